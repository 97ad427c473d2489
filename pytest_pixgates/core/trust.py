"""Whose signature counts: `[evidence]` of the policy, public keys that are each trusted for some environments, for a
while.

Two keys may be valid at once, so that one takes over from the other without a gap.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
from dataclasses import dataclass

_BYTES = 32


def encoded(public: bytes) -> str:
    """A raw public key as the policy writes it."""
    return base64.b64encode(public).decode()


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """`[[evidence.keys]]`: an Ed25519 key that is trusted for some environments, for a while."""

    name: str
    """What people call the key."""
    public: str
    """Base64 of the 32 bytes of the public key, as `pixgates keygen` prints it."""
    environments: tuple[str, ...]
    """Those that it may sign for."""
    valid_from: datetime.date
    """The first day, in UTC."""
    valid_until: datetime.date
    """The last day, in UTC."""
    revoked: datetime.date | None = None
    """The day since when somebody else may have had it."""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name is empty")
        try:
            raw = self.raw
        except (ValueError, binascii.Error):
            raw = b""
        if len(raw) != _BYTES or encoded(raw) != self.public:
            raise ValueError(f"public must be the base64 of {_BYTES} bytes, as `pixgates keygen` prints it")
        if not self.environments:
            raise ValueError(f"the key {self.name} names no environments, so nothing could be signed with it")
        if self.valid_until < self.valid_from:
            raise ValueError(f"valid_until {self.valid_until} lies before valid_from {self.valid_from}")

    @property
    def raw(self) -> bytes:
        return base64.b64decode(self.public, validate=True)

    @property
    def id(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def begins(self) -> float:
        """When it begins to be valid, in seconds since the epoch."""
        return midnight(self.valid_from)

    @property
    def ends(self) -> float:
        """When it is no longer valid, in seconds since the epoch."""
        return midnight(self.valid_until + datetime.timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Trust:
    """`[evidence]`: `keys` sign evidence; `owners` are people, who answer for exceptions. No key may be both."""

    keys: tuple[TrustedKey, ...] = ()
    """Whose signature counts."""
    owners: tuple[TrustedKey, ...] = ()
    """People who may break the glass, and review it; as `pixgates keygen --owner` prints them."""

    def __post_init__(self) -> None:
        for what in ("name", "public"):
            seen = [getattr(key, what) for key in (*self.keys, *self.owners)]
            if twice := sorted({each for each in seen if seen.count(each) > 1}):
                raise ValueError(f"two keys have the {what} {twice[0]!r}")


def midnight(day: datetime.date) -> float:
    """The beginning of `day` in UTC, in seconds since the epoch."""
    return datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC).timestamp()
