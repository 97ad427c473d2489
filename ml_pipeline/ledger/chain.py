"""Entries and artifacts in an object store: a local folder, S3, or what else obstore speaks.

An entry is created exclusively, so of two writers one wins; it holds the hash of the one before, so nothing in between
can be changed or lost unseen. A head beside the entries tells when the last ones are missing; it may lag behind, for
it is written after them. Artifacts lie under their digests, for all environments together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ml_pipeline.ledger.entries import Entry, decoded, encoded, sha256

ENVIRONMENT = re.compile(r"[a-z][a-z0-9-]{0,30}")
_NAME = re.compile(r"\d{8}\.json")


class LedgerError(OSError):
    """The ledger can't be asked, or is not what was written."""


class Taken(Exception):  # noqa: N818 - it is an answer
    """Somebody else wrote the next entry first."""


@dataclass(frozen=True)
class Chain:
    """The entries of an environment from the first, verified, and their digests."""

    environment: str
    entries: tuple[Entry, ...]
    digests: tuple[str, ...]

    @property
    def tip(self) -> str:
        """What the next entry must hold."""
        return self.digests[-1] if self.digests else ""


class Ledger:
    """The ledger at a URL or in a folder, which is made on the first entry."""

    def __init__(self, url: str) -> None:
        """Raises LedgerError."""
        from obstore.exceptions import BaseError
        from obstore.store import LocalStore, from_url

        self.url = url
        try:
            if "://" in url:
                self._store: Any = from_url(url)
            else:
                Path(url).mkdir(parents=True, exist_ok=True)
                self._store = LocalStore(Path(url).resolve())
        except (BaseError, OSError, ValueError) as error:
            raise LedgerError(f"the ledger {shown(url)} can't be opened: {_first(error)}") from None

    def read(self, environment: str) -> Chain:
        """All entries of an environment. Raises LedgerError that names the one that was changed or is missing."""
        if not ENVIRONMENT.fullmatch(environment):
            raise ValueError(f"{environment!r} is no name of an environment")
        head = self._head(environment)  # first, or an entry written meanwhile would seem to be missing
        names = [name for name in self._names(environment) if _NAME.fullmatch(name)]
        entries, digests = list[Entry](), list[str]()
        for number, name in enumerate(sorted(names), start=1):
            where = f"entry {number} of {environment} in {shown(self.url)}"
            if name != _name(number):
                raise LedgerError(f"{where} is missing: {name} follows; restore it, nothing is believed without it")
            data = self._get(f"{environment}/{name}")
            digests.append(sha256(data))
            entries.append(_entry(data, environment, number, digests, where))
        if head:
            self._check_head(environment, head, digests)
        return Chain(environment, tuple(entries), tuple(digests))

    def append(self, chain: Chain, entry: Entry) -> Chain:
        """The chain with one entry more. Raises Taken if another writer was first, and LedgerError."""
        from obstore.exceptions import AlreadyExistsError

        data = encoded(entry)
        path = f"{chain.environment}/{_name(entry.number)}"
        try:
            self._put(path, data, mode="create")
        except AlreadyExistsError:
            if self._get(path) != data:  # else it is ours: an answer was lost, and the request was sent again
                raise Taken from None
        return Chain(chain.environment, (*chain.entries, entry), (*chain.digests, sha256(data)))

    def point(self, chain: Chain) -> None:
        """Note where the chain ends. Raises LedgerError."""
        head = {"number": len(chain.entries), "sha256": chain.tip}
        self._put(f"{chain.environment}/head", msgspec.json.encode(head), mode="overwrite")

    def keep(self, data: bytes) -> str:
        """Put an artifact under its digest, which is returned. Raises LedgerError."""
        digest = sha256(data)
        try:
            if self.kept(digest) == data:
                return digest
        except LedgerError:
            pass
        self._put(_artifact(digest), data, mode="overwrite")
        return digest

    def kept(self, digest: str) -> bytes:
        """The artifact with a digest. Raises LedgerError if it is not there, or not what it was."""
        data = self._get(_artifact(digest))
        if sha256(data) != digest:
            raise LedgerError(f"{_artifact(digest)} in {shown(self.url)} is not what it was; restore it")
        return data

    def _head(self, environment: str) -> tuple[int, str] | None:
        if "head" not in self._names(environment):
            return None
        try:
            head = msgspec.json.decode(self._get(f"{environment}/head"))
            return int(head["number"]), str(head["sha256"])
        except (KeyError, TypeError, ValueError):
            where = f"the head of {environment} in {shown(self.url)}"
            raise LedgerError(f"{where} can't be read; remove it if all entries are there") from None

    def _check_head(self, environment: str, head: tuple[int, str], digests: list[str]) -> None:
        number, digest = head
        where = f"{environment} in {shown(self.url)}"
        if number > len(digests):
            raise LedgerError(f"entry {number} of {where} is missing: the last is {len(digests)}; restore it")
        if digests[number - 1] != digest:
            raise LedgerError(f"entry {number} of {where} is not the one that was written; restore it")

    def _names(self, environment: str) -> list[str]:
        with _asked(self.url):
            listed = [each["path"] for some in self._store.list(f"{environment}/") for each in some]
        return [path.removeprefix(f"{environment}/") for path in listed]

    def _get(self, path: str) -> bytes:
        with _asked(self.url):
            return bytes(self._store.get(path).bytes())

    def _put(self, path: str, data: bytes, mode: Any) -> None:
        with _asked(self.url):
            self._store.put(path, data, mode=mode)


class _asked:  # noqa: N801 - reads as a verb
    """Turns what the store raises into LedgerError, but for AlreadyExistsError."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from obstore.exceptions import AlreadyExistsError, BaseError

        if isinstance(error, FileNotFoundError):
            raise LedgerError(f"the ledger {shown(self.url)} lacks what it should hold: {_first(error)}") from None
        if isinstance(error, BaseError | OSError) and not isinstance(error, AlreadyExistsError):
            raise LedgerError(f"the ledger {shown(self.url)} can't be asked: {_first(error)}") from None


def shown(url: str) -> str:
    """A URL without user and password."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", url)


def _entry(data: bytes, environment: str, number: int, digests: list[str], where: str) -> Entry:
    try:
        entry = decoded(data)
    except ValueError as error:
        raise LedgerError(f"{where} can't be read: {error}") from None
    before = digests[-2] if number > 1 else ""
    if (entry.environment, entry.number) != (environment, number):
        raise LedgerError(f"{where} says that it is entry {entry.number} of {entry.environment}: it was moved")
    if entry.previous != before:
        raise LedgerError(f"entry {number - 1} of {environment} was changed after entry {number} was written: {where}"
                          f" holds {entry.previous[:12]}, and it is {before[:12]}")  # fmt: skip
    return entry


def _name(number: int) -> str:
    return f"{number:08d}.json"


def _artifact(digest: str) -> str:
    return f"artifacts/sha256/{digest}"


def _first(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
