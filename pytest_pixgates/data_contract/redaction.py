"""What may be shown of a row. By default nothing: values only of columns that are public, keys only as a keyed hash.

The hash lets who holds the key find the row again, and nobody else guess it: there are few enough CPFs to try them all
on an unkeyed one.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass, field
from functools import cached_property

from pytest_pixgates.core.cache import own_key
from pytest_pixgates.core.errors import UsageError

KEY = "PIXGATES_HMAC_KEY"
SHORTEST = 16
LONGEST_SHOWN = 60


@dataclass(frozen=True)
class Redactor:
    """Hides keys behind this machine's key, or the one in PIXGATES_HMAC_KEY, which several machines may share."""

    given: str | None = field(default_factory=lambda: os.environ.get(KEY), repr=False)

    @cached_property
    def _key(self) -> bytes:
        """Raises UsageError for a key that is too short, OSError if there is none and none can be made."""
        if self.given is None:
            from platformdirs import user_data_path

            return hmac.digest(own_key(user_data_path("pixgates")), b"redaction", "sha256")
        if len(self.given.encode()) < SHORTEST:
            raise UsageError(f"{KEY} is shorter than {SHORTEST} bytes", remedy="make it: openssl rand -hex 32")
        return self.given.encode()

    def key(self, text: str) -> str:
        """What stands for the key of a row."""
        return "hmac:" + hmac.digest(self._key, text.encode(errors="surrogatepass"), "sha256").hex()[:16]


def shown(value: str) -> str:
    """A public value in one line, and not for ever."""
    return repr(value if len(value) <= LONGEST_SHOWN else value[:LONGEST_SHOWN] + "…")
