"""Candidate against champion on the same rows: the difference of a figure, with its paired interval."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import polars as pl

from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.model_gate import enough, intervals
from pytest_pixgates.model_gate.columns import CLUSTER, DECISION, LABEL, WEIGHT
from pytest_pixgates.model_gate.intervals import Bounds, Moments
from pytest_pixgates.model_gate.rows import RATES, Rows
from pytest_pixgates.model_gate.scores import Scores

_PAIRS = ("recall", "false_positive_rate", "specificity")
"""Rates of the same rows, whatever the model."""


@dataclass(frozen=True)
class Paired:
    """How the figure `name` of one model is compared with another's; `Measurement.difference` holds it."""

    scores: Scores = field(repr=False)
    name: str
    unit: str = ""

    def __call__(self, own: Measurement, base: Measurement) -> Measurement:
        """own - base. Both must be figures of the same name on the same rows."""
        other = base.difference
        told = f"{own.name} - {base.name}"
        if not isinstance(other, Paired) or other.name != self.name:
            return Measurement(told, math.nan, math.nan, math.nan, 0)
        bounds = difference_bounds(self.name, self.scores, other.scores)
        value = own.value - base.value
        lower, upper = min(bounds[0], value), max(bounds[1], value)

        needs = enough.of_figure(value, (lower, upper), own.n, own.counted, "difference")
        return Measurement(
            told, value, lower, upper, own.n, self.unit, own.sample, own.subjects, needs, counted=own.counted
        )


def difference_bounds(name: str, candidate: Scores, champion: Scores) -> Bounds:
    """One-sided bounds of the candidate's figure less the champion's, each at 1 - alpha of the candidate or more."""
    if name in _PAIRS:
        return _discordant(name, candidate, champion)
    alike = candidate.data.alike_amounts if name == "amount_recall" else candidate.data.alike
    if candidate.positives < intervals.ENOUGH_POSITIVES or alike < intervals.ENOUGH_CLUSTERS:
        return -math.inf, math.inf
    (own, left), (base, right) = candidate.data.influence(name), champion.data.influence(name)
    parts = candidate.data.summed(left - right)
    uneven = name == "amount_recall" or WEIGHT in candidate.columns
    part = intervals.UNEVEN_CAUTION if uneven else intervals.CAUTION
    return Moments.of(own - base + len(parts) * parts).bounds(part * candidate.alpha)


def _discordant(name: str, candidate: Scores, champion: Scores) -> Bounds:
    """Of a rate: only rows on which the two models decide differently count."""
    kind, differs = RATES[name], pl.col("other") != pl.col(DECISION)
    told = [name for name in (LABEL, DECISION, CLUSTER, WEIGHT) if name in candidate.columns]
    both = [candidate.rows.select(told), champion.rows.select(other=pl.col(DECISION))]  # in the same order
    rows = Rows(pl.concat(both, how="horizontal").filter(kind.rows))
    sides = {"left": (kind.hit & differs).cast(pl.Float64), "right": (~kind.hit & differs).cast(pl.Float64)}
    if not candidate.data.dependent:
        left, right, n = rows.collect([*(side.sum().alias(name) for name, side in sides.items()), pl.len()]).values()
        return intervals.tango(left, right, n, candidate.alpha)
    weighed = {name: rows.weight * side for name, side in {**sides, "n": pl.lit(1.0)}.items()}
    each = rows.by_cluster(**weighed, most=pl.lit(1.0))
    left, right, n, most = (float(side.sum()) for side in each.values())
    if not n:
        return -1.0, 1.0
    parts = each["left"] - each["right"]
    alone = left + right - (left - right) ** 2 / n
    scale = min(most, intervals.effective_size(parts, each["n"], alone, parts > 0, parts < 0)) / n
    return intervals.tango(left * scale, right * scale, n * scale, candidate.alpha)
