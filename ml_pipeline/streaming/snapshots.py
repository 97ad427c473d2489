"""The account state as it was after a record of each partition, so that a restart need not read all history again.

A snapshot may lie before what the group has committed, never after: the records in between are read again, and nothing
is written for them. Another instance may be behind this one and be taken over, so a snapshot is kept until a newer one
lies before what all have committed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Snapshot:
    """`positions`: the next offset by partition; `latest`: the time in milliseconds that each had reached."""

    path: Path
    positions: Mapping[int, int]
    latest: Mapping[int, int]
    sha256: str

    def is_before(self, committed: Mapping[int, int]) -> bool:
        return all(self.positions.get(partition, 0) <= offset for partition, offset in committed.items())

    def state(self) -> bytes:
        """Raises ValueError if the file is damaged."""
        data = self.path.read_bytes().partition(b"\n")[2]
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ValueError(f"{self.path} is damaged; remove it, and the state is made from an older one")
        return data


@dataclass
class Snapshots:
    """The snapshots of a topic in a folder of this process alone. Raises ValueError if another process uses it."""

    folder: Path
    topic: str
    _lock: BufferedWriter = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / ".lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{self.folder} is used by another process; give each instance its own --state") from None
        for left in self.folder.glob(".tmp-*"):  # by a process that was killed
            left.unlink()

    def close(self) -> None:
        self._lock.close()

    def all(self) -> list[Snapshot]:
        """The newest first. Raises ValueError if one is of another topic or version."""
        found = [self._read(path) for path in self.folder.glob("*.snapshot")]
        return sorted(found, key=lambda each: sum(each.positions.values()), reverse=True)

    def save(self, positions: Mapping[int, int], latest: Mapping[int, int], state: bytes) -> None:
        """One more snapshot, whole or not at all."""
        head = {"schema_version": SCHEMA_VERSION, "topic": self.topic, "sha256": hashlib.sha256(state).hexdigest()}
        head |= {"positions": dict(positions), "latest": dict(latest)}
        handle, name = tempfile.mkstemp(prefix=".tmp-", dir=self.folder)
        with os.fdopen(handle, "wb") as file:
            file.write(json.dumps(head).encode() + b"\n")
            file.write(state)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(self.folder / f"{sum(positions.values()):020d}.snapshot")

    def prune(self, committed: Mapping[int, int]) -> int:
        """Remove those that nobody will need if all partitions are committed so far; returns how many are not yet
        before that."""
        found = self.all()
        usable = [each for each in found if each.is_before(committed)]
        for snapshot in usable[1:]:
            snapshot.path.unlink()
        return len(found) - len(usable)

    def _read(self, path: Path) -> Snapshot:
        try:
            with path.open("rb") as file:
                head = json.loads(file.readline())
            if (head["schema_version"], head["topic"]) != (SCHEMA_VERSION, self.topic):
                raise ValueError(f"it is of {head['topic']!r}, version {head['schema_version']}")
            places = [{int(each): int(value) for each, value in head[key].items()} for key in ("positions", "latest")]
            return Snapshot(path, places[0], places[1], str(head["sha256"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is no snapshot of {self.topic!r} ({error}); remove it or name a new --state"
            ) from error
