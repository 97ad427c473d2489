"""What the ledger holds: releases, and the entries that say what became of them."""

from __future__ import annotations

import enum
import getpass
import hashlib
import os
import secrets
import socket
from datetime import UTC, datetime

import msgspec

SCHEMA = 1
OWN = frozenset({"manifests", "plan"})  # subjects that differ between environments by design


class Kind(enum.StrEnum):
    """`promoted` and `rollback` make a generation; the others say what became of one."""

    PROMOTED = "promoted"
    ROLLBACK = "rollback"
    BEGUN = "begun"  # from here on the target may run it
    LIVE = "live"
    FAILED = "failed"
    REVIEWED = "reviewed"


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Written as JSON, and read strictly."""


class Release(_Struct, frozen=True):
    """What goes out. `files` are the model's, by name and sha256; `subjects` are what evidence was asked for."""

    name: str
    version: str
    files: dict[str, str]
    evaluation: str
    commit: str
    data: dict[str, str] = {}
    subjects: dict[str, str] = {}

    @property
    def model(self) -> str:
        """The digest by which people know the model."""
        return self.files["model.onnx"]

    @property
    def digest(self) -> str:
        """The sha256 of all that it says."""
        return sha256(msgspec.json.encode(self, order="deterministic"))

    def differences(self, other: Release) -> dict[str, tuple[str, str]]:
        """What is not the same in the two, by name; "" where one has nothing."""
        mine, others = self._flat(), other._flat()
        names = sorted(mine.keys() | others.keys())
        pairs = {name: (mine.get(name, ""), others.get(name, "")) for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def moved(self, other: Release) -> dict[str, tuple[str, str]]:
        """What differs although it must be the same in every environment."""
        return {name: pair for name, pair in self.differences(other).items() if name not in OWN}

    def _flat(self) -> dict[str, str]:
        said = {"model": f"{self.name} version {self.version}", "commit": self.commit, "evaluation": self.evaluation}
        said |= {f"file {name}": digest for name, digest in self.files.items()}
        return said | {f"data {name}": digest for name, digest in self.data.items()} | self.subjects


class Evidence(_Struct, frozen=True):
    """A file of evidence that was used, and the nonce in it, by which it counts once."""

    sha256: str
    nonce: str


class BreakGlass(_Struct, frozen=True):
    """Who let a release pass although it was refused, why, the codes of the refusals, and the signature for it."""

    owner: str
    reason: str
    refusals: list[str]
    approval: str = ""


class Link(_Struct, frozen=True):
    """An entry of another environment that a promotion stands on."""

    environment: str
    number: int
    sha256: str


class Entry(_Struct, frozen=True):
    """Entry `number` of an environment; `previous` is the sha256 of the one before, "" in the first.

    `generation` counts promotions and rollbacks. `returns_to` is the generation that a failure goes back to, `restores`
    the one that a rollback brings again; `token` tells apart entries that say the same; `approval` is the signature of
    whoever reviewed.
    """

    environment: str
    number: int
    previous: str
    kind: Kind
    generation: int
    actor: str
    at: str
    token: str
    release: Release | None = None
    evidence: list[Evidence] = []
    tolerated: list[str] = []
    break_glass: BreakGlass | None = None
    returns_to: int | None = None
    restores: int | None = None
    before: Link | None = None
    why: str = ""
    approval: str = ""
    schema: int = SCHEMA


def encoded(entry: Entry) -> bytes:
    return msgspec.json.format(msgspec.json.encode(entry), indent=1) + b"\n"


def decoded(data: bytes) -> Entry:
    """Raises ValueError for what is no entry, or one of a later version."""
    entry = msgspec.json.decode(data, type=Entry)
    if entry.schema != SCHEMA:
        raise ValueError(f"it has schema {entry.schema}, and this version reads {SCHEMA}")
    if (entry.release is not None) != (entry.kind in (Kind.PROMOTED, Kind.ROLLBACK)):
        raise ValueError(f"an entry of kind {entry.kind} {'has a' if entry.release else 'lacks its'} release")
    return entry


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def token() -> str:
    return secrets.token_hex(8)


def whoever() -> str:
    """Who runs this: what the pipeline says, else the user and the machine."""
    return os.environ.get("GITHUB_ACTOR") or f"{getpass.getuser()}@{socket.gethostname()}"
