"""What remembers which evidence was used, so that it counts once.

Anything with `spend` will do, such as a ledger in an object store; here is one in a file, for one machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pytest_pixgates.core import decode, files
from pytest_pixgates.core.errors import PixgatesError

_SECONDS = 30.0
_MOST_BYTES = 64 * 2**20


class LedgerError(PixgatesError):
    """A ledger that can't say what was used, so nothing may be."""


class NonceLedger(Protocol):
    """Remembers what was used."""

    def spend(self, nonces: Sequence[str], use: str) -> Mapping[str, str]:
        """Note all `nonces` as used for `use`, or none if one of them was; return those that were, with their use.

        Of two callers at once only one may get an empty answer. Raises LedgerError if that can't be told.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Document:
    used: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileLedger:
    """A ledger in the JSON file at `path`. It must be there: one made on demand would forget with the file."""

    path: Path

    def spend(self, nonces: Sequence[str], use: str) -> Mapping[str, str]:
        lock = self.path.with_name(f"{self.path.name}.lock")
        try:
            with files.locked(lock, timeout=_SECONDS, remedy="make it writable"):
                return self._spend(nonces, use)
        except LedgerError:
            raise
        except PixgatesError as error:
            raise LedgerError(error.message, remedy=error.remedy) from None

    def _spend(self, nonces: Sequence[str], use: str) -> Mapping[str, str]:
        known = self._read()
        if before := {nonce: known[nonce] for nonce in nonces if nonce in known}:
            return before
        try:
            text = json.dumps({"used": {**known, **dict.fromkeys(nonces, use)}}, indent=1)
            files.write_atomically(self.path, text + "\n")
        except OSError as error:
            raise LedgerError(f"{self.path} can't be written: {error.strerror}") from None
        return {}

    def _read(self) -> dict[str, str]:
        try:
            with self.path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
            if len(content) > _MOST_BYTES:
                raise LedgerError(f"{self.path} is larger than {_MOST_BYTES:,} bytes")
            return decode.decode(_Document, decode.strict_json(content)).used
        except OSError as error:
            raise LedgerError(f"{self.path}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise LedgerError(f"{self.path}: {error}") from None
