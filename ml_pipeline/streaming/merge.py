"""One order for the records of all partitions, the same in every run, so that a restart gives the same scores.

A record's place is by (time, partition, offset), where time is the latest payment of its partition so far: within a
partition records keep their order. A record is ready when every partition has shown a later one. A partition that has
been read to its end holds the others back for `grace` seconds at most, counted from the arrival of each record.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Record(NamedTuple):
    """A record in the order of all: sorts by place."""

    time: int
    partition: int
    offset: int
    message: Any
    payment: Any


@dataclass(slots=True)
class _Partition:
    time: int  # of the latest payment
    at_end: bool = False
    waiting: int = 0


@dataclass(slots=True)
class Merge:
    """`latest`: by partition, the time in milliseconds that was reached before the first record that is put."""

    grace: float
    latest: dict[int, int]
    _partitions: dict[int, _Partition] = field(init=False)
    _waiting: list[Record] = field(default_factory=list)
    _arrived: deque[tuple[float, int]] = field(default_factory=deque)
    _due: int = -1

    def __post_init__(self) -> None:
        self._partitions = {number: _Partition(time) for number, time in self.latest.items()}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, partition: int, offset: int, time: int | None, message: Any, payment: Any) -> None:
        """One more record; `time` is None if it can't be read. Within a partition by offset."""
        its = self._partitions[partition]
        its.time = max(its.time, time or 0)
        its.at_end = False
        its.waiting += 1
        self._waiting.append(Record(its.time, partition, offset, message, payment))

    def end(self, partition: int) -> None:
        """The partition has been read to its end, for now."""
        self._partitions[partition].at_end = True

    def ready(self, now: float) -> list[Record]:
        """The next records in order; `now` in seconds by a clock that never goes back."""
        if self._waiting:
            self._arrived.append((now, max(its.time for its in self._partitions.values() if its.waiting)))
        while self._arrived and self._arrived[0][0] <= now - self.grace:
            self._due = max(self._due, self._arrived.popleft()[1])
        until = min(max(its.time, self._due + 1) if its.at_end else its.time for its in self._partitions.values())
        self._waiting.sort()
        count = bisect_left(self._waiting, until, key=lambda record: record.time)
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        for record in taken:
            self.latest[record.partition] = record.time
            self._partitions[record.partition].waiting -= 1
        return taken

    def ahead(self) -> set[int]:
        """The partitions with more to read that others hold back; never all of these."""
        more = {number: its.time for number, its in self._partitions.items() if not its.at_end}
        return {number for number, time in more.items() if time > min(more.values())}
