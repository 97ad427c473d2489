"""Whether a model treats groups alike: every pair's ratio of a rate must lie inside [1/r, r], with its interval.

The largest difference between groups is never below 0 and grows with noise, and the four-fifths rule on point ratios
fails a fair model most of the time at the rates of fraud; so pairs are compared, by the log of their ratio.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_pixgates.core import recording
from pytest_pixgates.core.verdict import Figure, Outcome, Verdict
from pytest_pixgates.model_gate import intervals
from pytest_pixgates.model_gate.columns import ScoresError
from pytest_pixgates.model_gate.intervals import Bounds
from pytest_pixgates.model_gate.rows import RATES
from pytest_pixgates.model_gate.scores import Scores

COMPARED = ("false_positive_rate", "recall")


@dataclass(frozen=True, slots=True)
class Group:
    """How often a group's rows were hit, as independent rows; `rows` as they are."""

    name: str
    hits: float
    n: float
    rows: int

    @property
    def rate(self) -> float:
        return self.hits / self.n if self.n else math.nan


@dataclass(frozen=True, slots=True)
class Pair:
    """Two groups, and the bounds of the ratio of their rates, each at 1 - alpha."""

    left: Group
    right: Group
    bounds: Bounds

    @property
    def ratio(self) -> float:
        return self.left.rate / self.right.rate if self.right.hits else math.inf

    def __str__(self) -> str:
        low, high = self.bounds
        return f"{self.left.name}/{self.right.name} {self.ratio:.3g} [{low:.3g}, {high:.3g}]"


def groups(scores: Scores, columns: Sequence[str], rate: str) -> list[Group]:
    """The groups of `columns`, by name. Raises ScoresError for nulls and for a column that is not there."""
    if rate not in COMPARED:
        raise ScoresError(f"fairness is judged by {' or '.join(COMPARED)}, not by {rate}")
    made = []
    for name, part in scores.by(*columns).items():
        if not part.data.dependent:
            n, hits = part.data.counts.of(rate)
            made.append(Group(name, hits, n, n))
            continue
        clustered, rows = part.data.rate(RATES[rate])
        size = min(clustered.effective_size, rows) if rows else 0.0
        made.append(Group(name, clustered.rate * size if rows else 0.0, size, rows))
    return made


def judge(
    scores: Scores, columns: Sequence[str], rate: str, ratio: float, min_group: int = 0, names: Sequence[str] = ()
) -> Verdict:
    """Whether all pairs of groups are within `ratio` of each other. `names` must be among the groups."""
    what = " x ".join(columns)
    check = f"{rate} by {what} within a ratio of {ratio:g}"
    found = groups(scores, columns, rate)
    if missing := set(names) - {group.name for group in found}:
        raise ScoresError(f"no row has {what} {', '.join(sorted(missing))}, which the policy names")
    if len(found) < 2:
        raise ScoresError(f"{what} has {len(found)} group, so there is nothing to compare")
    verdict = _verdict(check, found, ratio, min_group, scores)
    recording.note(verdict)
    return verdict


def _verdict(check: str, found: list[Group], ratio: float, min_group: int, scores: Scores) -> Verdict:
    pairs = list(itertools.combinations(found, 2))
    told = [Pair(left, right, _bounds(left, right, scores.alpha)) for left, right in pairs]
    apart = [pair for pair in told if _surely_apart(pair, ratio, scores.alpha / (2 * len(pairs)))]  # two sides each
    small = [group for group in found if group.rows < max(min_group, 1)]
    undecided = [pair for pair in told if not (pair.bounds[0] >= 1 / ratio and pair.bounds[1] <= ratio)]
    outcome, reason, needs = Outcome.PASS, "", ""
    if apart:
        outcome, reason = Outcome.FAIL, f"surely apart: {_some(apart)}"
    elif small:
        names = ", ".join(f"{group.name} ({group.rows:,})" for group in small)
        outcome, reason = Outcome.INCONCLUSIVE, f"too small to judge: {names}"
        needs = f"at least {max(min_group, 1):,} rows in each group"
    elif undecided:
        outcome, reason = Outcome.INCONCLUSIVE, f"undecided: {_some(undecided)}"
        needs = _enough(max(undecided, key=_reach), ratio)
    return Verdict(
        outcome, check, _told(found, told), reason, needs, scores.subjects,
        figures=tuple(each for pair in told for each in _figures(pair, ratio)),
    )  # fmt: skip


def _told(found: list[Group], pairs: list[Pair]) -> str:
    rates = ", ".join(f"{group.name} {group.rate:.4g} of {group.rows:,}" for group in found)
    widest = max(pairs, key=lambda pair: max(pair.bounds[1], 1 / max(pair.bounds[0], 1e-300)))
    low, high = min(group.rate for group in found), max(group.rate for group in found)
    return f"{rates}; widest {widest}; smallest rate / largest {low / high if high else math.nan:.3g}"


def _some(pairs: list[Pair], most: int = 5) -> str:
    return "; ".join(map(str, pairs[:most])) + (f"; and {len(pairs) - most} more" if pairs[most:] else "")


def _figures(pair: Pair, ratio: float) -> tuple[Figure, ...]:
    """Both sides on which a pair may fail."""
    if not math.isfinite(pair.ratio):
        return ()
    name, n = f"{pair.left.name}/{pair.right.name}", min(pair.left.rows, pair.right.rows)
    low, high = (bound if math.isfinite(bound) else None for bound in pair.bounds)
    return tuple(
        Figure(name, pair.ratio, low, high, operator, limit, n)
        for operator, limit in ((">=", 1 / ratio), ("<=", ratio))
    )


def _bounds(left: Group, right: Group, alpha: float) -> Bounds:
    return intervals.rate_ratio((left.hits, left.n), (right.hits, right.n), alpha)


def _surely_apart(pair: Pair, ratio: float, alpha: float) -> bool:
    low, high = _bounds(pair.left, pair.right, alpha)
    return low > ratio or high < 1 / ratio


def _reach(pair: Pair) -> float:
    low, high = pair.bounds
    return math.inf if low <= 0 or math.isinf(high) else math.log(high / low)


def _enough(pair: Pair, ratio: float) -> str:
    """How many rows of the smaller group of `pair` would decide it at the same rates."""
    smaller = min(pair.left, pair.right, key=lambda group: group.rows)
    if not (pair.left.hits and pair.right.hits):
        return f"more rows of {pair.left.name} and {pair.right.name}: one of them was never hit"
    middle, room = abs(math.log(pair.ratio)), math.log(ratio)
    if math.isclose(middle, room):
        return "the ratio is the limit itself, so no amount of data decides it"
    reach = max(math.log(pair.bounds[1] / pair.ratio), math.log(pair.ratio / max(pair.bounds[0], 1e-300)))
    rows = math.ceil(smaller.rows * (reach / abs(room - middle)) ** 2)
    return (
        f"about {rows:,} such rows of {smaller.name}, and as many times more of the others; there are {smaller.rows:,}"
    )
