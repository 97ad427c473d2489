"""A measurement that slides towards its limit, told before it is there.

What is watched is the end of the interval that decides the gate, over the last runs that measured something new. It is
a slide if Mann-Kendall's test finds a trend to the bad side (one-sided, normal approximation with the correction for
ties and continuity), the line through it, Theil and Sen's, meets the limit within the next runs, and it goes on in the
later half of them, which a single step does not. All go by ranks and medians, so that one outlier neither makes a slide
nor hides one. tests/statistics simulates how often it is wrong.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_pixgates.core.verdict import Figure
from pytest_pixgates.history.entry import Entry

WINDOW = 20
"""How many of the last runs that measured something new are looked at."""
LEAST = 8
"""With fewer nothing is said: no order of them would be rare enough."""
AHEAD = 10
"""A warning says that the limit is met within so many more runs."""
ALPHA = 0.001
"""How often a measurement that stays as it is may look like one that slides, at one look; each run looks anew."""
_ROUNDING = 1e-9
_CRITICAL = statistics.NormalDist().inv_cdf(1 - ALPHA)


@dataclass(frozen=True, slots=True)
class Series:
    """One measurement over the runs, oldest first: when, and what was compared with the limit then."""

    gate: str
    name: str
    unit: str
    operator: str
    points: tuple[tuple[float, Figure], ...]

    @property
    def key(self) -> tuple[str, str, str, str]:
        return (self.gate, self.name, self.unit, self.operator)

    @property
    def last(self) -> Figure:
        return self.points[-1][1]

    @property
    def limit(self) -> float:
        """Of the last run."""
        return self.last.limit


@dataclass(frozen=True, slots=True)
class Slide:
    """`series` loses `step` a run, and meets its limit in about `runs` more."""

    series: Series
    step: float
    runs: int

    def __str__(self) -> str:
        from pytest_pixgates.core.quantity import shown

        series, when = self.series, "with the next run" if self.runs <= 1 else f"in about {self.runs} more runs"
        limit = f"{series.operator} {shown(series.limit, series.unit)}"
        seen = min(len(_new(series.points)), WINDOW)
        return (
            f"{series.gate}: {series.name} is {shown(series.last.value, series.unit)} and loses about "
            f"{shown(float(f'{self.step:.2g}'), series.unit)} a run over the last {seen}; at that pace its interval "
            f"meets the limit {limit} {when}"
        )


def series(entries: Iterable[Entry]) -> list[Series]:
    """The measurements of `entries`, each in the order of its runs; where a run has one twice, the worse counts."""
    found: dict[tuple[str, str, str, str], dict[tuple[float, str], tuple[float, Figure]]] = {}
    for entry in sorted(entries, key=lambda each: each.started):
        for point in entry.points:
            kept = found.setdefault(point.key, {})
            at = (entry.started, entry.run)
            if at not in kept or point.figure.room < kept[at][1].room:
                kept[at] = (entry.started, point.figure)
    return [Series(*key, tuple(points.values())) for key, points in sorted(found.items())]


def slides(every: Iterable[Series]) -> list[Slide]:
    """Those that slide, the nearest to its limit first."""
    found = [slide for each in every if (slide := of(each)) is not None]
    return sorted(found, key=lambda slide: (slide.runs, slide.series.gate, slide.series.name))


def of(watched: Series) -> Slide | None:
    """The slide of `watched`, None if it is none, or if the limit is met already: then the gate says so."""
    kept = _new(watched.points)[-WINDOW:]
    sign = 1.0 if watched.operator in (">=", ">") else -1.0
    ends = [sign * figure.end for _, figure in kept]
    if len(ends) < LEAST or not all(map(math.isfinite, ends)) or watched.last.room < 0:
        return None
    if kendall(ends) > -_CRITICAL:
        return None
    (slope, now), (lately, _) = line(ends), line(ends[len(ends) // 2 :])
    if slope >= 0 or lately >= 0:
        return None
    runs = math.ceil(max(now - sign * watched.limit, 0.0) / -slope - _ROUNDING)
    return Slide(watched, -slope, max(runs, 1)) if runs <= AHEAD else None


def kendall(values: Sequence[float]) -> float:
    """Mann and Kendall's statistic in standard deviations: below 0 where later values are smaller."""
    n = len(values)
    s = sum((b > a) - (b < a) for a, b in itertools.combinations(values, 2))
    ties = sum(t * (t - 1) * (2 * t + 5) for t in Counter(values).values())
    variance = (n * (n - 1) * (2 * n + 5) - ties) / 18
    return (s - math.copysign(1, s)) / math.sqrt(variance) if s and variance > 0 else 0.0


def line(values: Sequence[float]) -> tuple[float, float]:
    """Theil and Sen's: the median slope from one to the next, and where that line is at the last."""
    slope = statistics.median((b - a) / (j - i) for (i, a), (j, b) in itertools.combinations(enumerate(values), 2))
    last = len(values) - 1
    return slope, statistics.median(value + slope * (last - at) for at, value in enumerate(values))


def _new(points: Sequence[tuple[float, Figure]]) -> list[tuple[float, Figure]]:
    """Without those that only say again what the one before said: the same rows, or an answer that was kept."""
    kept: list[tuple[float, Figure]] = []
    for point in points:
        if not kept or _said(point[1]) != _said(kept[-1][1]):
            kept.append(point)
    return kept


def _said(figure: Figure) -> tuple[object, ...]:
    return (figure.value, figure.lower, figure.upper, figure.n)
