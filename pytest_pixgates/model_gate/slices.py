"""A figure over several groups of rows, judged as one: all must hold, and none is dropped for being small.

PASS for all needs no correction, for every one of them must pass. FAIL claims that one of k is bad, so it takes a
bound at 1 - alpha / k.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_pixgates.core import recording
from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.quantity import Number
from pytest_pixgates.core.verdict import Outcome, Verdict
from pytest_pixgates.model_gate.scores import Scores

Metric = Callable[[Scores], Measurement]


class Slices(Mapping[str, Scores]):
    """Groups of rows by name. A figure of them (`slices.recall`, `slices.figure(...)`) compares with a limit."""

    def __init__(self, parts: Mapping[str, Scores]) -> None:
        self._parts = dict(parts)

    def __getitem__(self, name: str) -> Scores:
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def figure(self, metric: Metric, name: str = "") -> SlicedMeasurement:
        """What `metric` measures of each group, such as `lambda rows: rows.recall_at_fpr(0.003)`."""
        return SlicedMeasurement(self._parts, metric, name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not isinstance(getattr(Scores, name, None), property):
            raise AttributeError(f"slices have no {name}; a figure that takes a number: slices.figure(lambda ...)")
        return self.figure(lambda rows: getattr(rows, name), name)


@dataclass(frozen=True, eq=False)
class SlicedMeasurement:
    """One figure of each group. Comparing it with a limit gives one Verdict, the worst of the groups'."""

    parts: Mapping[str, Scores]
    metric: Metric
    name: str = ""

    def __ge__(self, limit: Number) -> Verdict:
        return self.judge(lambda each: each >= limit, low_is_worse=True)

    def __gt__(self, limit: Number) -> Verdict:
        return self.judge(lambda each: each > limit, low_is_worse=True)

    def __le__(self, limit: Number) -> Verdict:
        return self.judge(lambda each: each <= limit, low_is_worse=False)

    def __lt__(self, limit: Number) -> Verdict:
        return self.judge(lambda each: each < limit, low_is_worse=False)

    def __bool__(self) -> bool:
        raise TypeError(f"compare {self.name or 'it'} with a limit")

    def judge(
        self,
        judge: Callable[[Measurement], Verdict],
        least: Callable[[Scores], str] = lambda _: "",
        *,
        low_is_worse: bool,
    ) -> Verdict:
        """One verdict on all groups. `least` says what the rows of one lack to be judged, or ""."""
        sink = recording.use(None)  # the groups count once, together
        try:
            measured = [(self.metric(rows), rows) for rows in self.parts.values()]
            measured.sort(key=lambda pair: pair[0].value, reverse=not low_is_worse)
            verdicts = [self._of(each, rows, judge, least) for each, rows in measured]
        finally:
            recording.use(sink)
        made = combined(verdicts)
        recording.note(made)
        return made

    def _of(
        self,
        measured: Measurement,
        rows: Scores,
        judge: Callable[[Measurement], Verdict],
        least: Callable[[Scores], str],
    ) -> Verdict:
        verdict = judge(measured)
        if verdict.outcome is not Outcome.ERROR and (too_few := least(rows)):
            return dataclasses.replace(verdict, outcome=Outcome.INCONCLUSIVE, reason="too few to judge", needs=too_few)
        if verdict.outcome is not Outcome.FAIL:
            return verdict
        sure = judge(self.metric(rows.at(rows.alpha / len(self.parts))))
        if sure.outcome is Outcome.FAIL:
            return verdict
        reason = f"beyond the limit, but not surely so as one of {len(self.parts)} groups"
        return dataclasses.replace(sure, reason=reason)


def combined(verdicts: Sequence[Verdict]) -> Verdict:
    """All of `verdicts`, the worst figure first, as one: as bad as the worst of them, which it tells first."""
    if not verdicts:
        return Verdict(Outcome.ERROR, "slices", reason="there are no groups")
    ranked = sorted(verdicts, key=lambda verdict: -verdict.outcome.rank)  # stable: figures stay in order
    worst = ranked[0]
    same = [verdict for verdict in ranked if verdict.outcome is worst.outcome]
    reason = "" if worst.outcome else "; ".join(f"{verdict.measured}: {verdict.reason}" for verdict in same[:5])
    return Verdict(
        worst.outcome,
        f"{worst.check} (and {len(ranked) - 1} more)" if len(ranked) > 1 else worst.check,
        "; ".join(verdict.measured for verdict in ranked),
        reason,
        worst.needs,
        tuple(dict.fromkeys(subject for verdict in ranked for subject in verdict.subjects)),
        figures=tuple(figure for verdict in ranked for figure in verdict.figures),
    )
