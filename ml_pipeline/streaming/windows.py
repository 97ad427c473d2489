"""Payments per institution and minute, from `processed_transactions`.

Sums are of whole numbers (scores in billionths), so that they come out the same in whatever order partitions are read.
A window takes payments until every partition has shown one that is `LATE` after its end; what comes later is counted
and left out. To be restored, a window needs its payments again: `begin` says from which offset.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ml_pipeline.streaming.messages import Aggregated, Processed, milliseconds

WINDOW = 60_000  # milliseconds
LATE = 300_000
BILLION = 1_000_000_000


@dataclass(slots=True)
class _Window:
    payments: int = 0
    blocked: int = 0
    cents: int = 0
    billionths: int = 0
    scored: int = 0


@dataclass(slots=True)
class Windows:
    """`closed`: windows that end by then (milliseconds since 1970) take no more payments."""

    closed: int = 0
    late: int = 0
    _open: dict[tuple[int, str], _Window] = field(default_factory=dict)
    _changed: set[tuple[int, str]] = field(default_factory=set)
    _begin: dict[int, dict[int, int]] = field(default_factory=dict)  # by window's start: the first offset by partition
    _latest: dict[int, int] = field(default_factory=dict)

    def add(self, partition: int, offset: int, one: Processed, *, known: bool) -> None:
        """One more payment. `known`: it is in the windows that were written, which are being restored."""
        at = milliseconds(one.initiated_at)
        self._latest[partition] = max(self._latest.get(partition, 0), at)
        start = at - at % WINDOW
        if start + WINDOW <= self.closed:
            self.late += not known
            return
        self._begin.setdefault(start, {}).setdefault(partition, offset)
        key = (start, one.end_to_end_id[1:9])  # an id begins with the payer's institution
        window = self._open.setdefault(key, _Window())
        window.payments += 1
        window.blocked += one.decision == "block"
        window.cents += one.amount_cents
        if one.score is not None:
            window.billionths += round(one.score * BILLION)
            window.scored += 1
        if not known:
            self._changed.add(key)

    def changed(self) -> list[Aggregated]:
        """The windows that changed since they were last asked for."""
        rows = [
            _row(start, institution, self._open[start, institution]) for start, institution in sorted(self._changed)
        ]
        self._changed.clear()
        return rows

    def close(self, behind: set[int]) -> None:
        """Forget the windows that no partition will add to, after `changed` has told of them.

        `behind` are the partitions that may have more to come.
        """
        if not self._latest or behind - self._latest.keys():
            return
        waited = [self._latest[partition] for partition in behind] or [max(self._latest.values())]
        self.closed = max(self.closed, min(waited) - LATE)
        gone = [start for start in self._begin if start + WINDOW <= self.closed]
        for start in gone:
            del self._begin[start]
        if gone:
            self._open = {key: window for key, window in self._open.items() if key[0] + WINDOW > self.closed}

    def begin(self, partition: int, position: int) -> int:
        """The offset from which the open windows can be restored, if `position` is the next one."""
        return min((first[partition] for first in self._begin.values() if partition in first), default=position)


def _row(start: int, institution: str, window: _Window) -> Aggregated:
    began = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=start)
    mean = min(window.billionths / BILLION / window.scored, 1.0) if window.scored else None
    return Aggregated(
        payer_ispb=institution,
        window_start=began,
        window_end=began + timedelta(milliseconds=WINDOW),
        payments=window.payments,
        blocked_payments=window.blocked,
        total_amount_cents=window.cents,
        mean_score=mean,
    )
