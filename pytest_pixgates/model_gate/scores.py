"""Labels, scores and decisions of a labelled test set, and everything that is measured on them.

`Scores` works anywhere, not only in a gate: `Scores(labels, scores, threshold=0.5).recall >= 0.8` is a Verdict.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.model_gate import cells, enough, intervals
from pytest_pixgates.model_gate.columns import (
    AMOUNT,
    CLUSTER,
    DECISION,
    ID,
    LABEL,
    RESERVED,
    SCORE,
    TIME,
    WEIGHT,
    ScoresError,
    checked,
    series,
)  # fmt: skip
from pytest_pixgates.model_gate.enough import Needs
from pytest_pixgates.model_gate.intervals import Bounds, Floats, Moments
from pytest_pixgates.model_gate.policy import COMPARED
from pytest_pixgates.model_gate.rows import RANKINGS, RATES, Counts, Rate, Rows, Sample, draw_totals, scanned

if TYPE_CHECKING:
    from pytest_pixgates.model_gate.slices import Slices


@dataclass(frozen=True)
class Scores:
    """Rows with a label (true: fraud), a score in [0, 1] and a decision (true: alert); made by `Scores(...)`.

    `labels` are bools or 0/1, `scores` numbers in [0, 1]; give `decisions` or the `threshold` from which on a score is
    an alert. `groups` are columns by which slices are told, `weights` positive, `clusters` whatever names the rows that
    belong together (the payer), `amounts` in R$, `times` moments, `ids` one per row. Arrays, lists or series.

    Measurements are attributes (`recall`) or, where they need a number, methods (`recall_at_fpr(0.003)`); their bounds
    are one-sided, each at 1 - `alpha`. Raises ScoresError for rows that can't be measured.
    """

    data: Rows = field(repr=False)
    alpha: float = 0.05
    threshold: float | None = None
    subjects: tuple[Subject, ...] = ()
    of: str = ""

    def __init__(
        self,
        labels: Any,
        scores: Any = None,
        *,
        threshold: float | None = None,
        decisions: Any = None,
        groups: Mapping[str, Any] | None = None,
        weights: Any = None,
        clusters: Any = None,
        amounts: Any = None,
        times: Any = None,
        ids: Any = None,
        alpha: float = 0.05,
        subjects: tuple[Subject, ...] = (),
    ) -> None:
        given = {
            LABEL: labels, SCORE: scores, DECISION: decisions, WEIGHT: weights, CLUSTER: clusters,
            AMOUNT: amounts, TIME: times, ID: ids,
        }  # fmt: skip
        columns = {name: values for name, values in given.items() if values is not None}
        if clash := set(groups or ()) & set(RESERVED):
            raise ScoresError(f"{', '.join(sorted(clash))}: a group may not be called so", remedy="rename the column")
        columns |= dict(groups or {})
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {count}" for name, count in lengths.items())
            raise ScoresError(f"the columns differ in length: {told}")
        frame = pl.DataFrame([series(name, values) for name, values in columns.items()])
        self._set(Rows(checked(frame.lazy(), threshold)), alpha, threshold, subjects)

    @classmethod
    def scan(
        cls,
        rows: Any,
        *,
        threshold: float | None = None,
        alpha: float = 0.05,
        subjects: tuple[Subject, ...] = (),
    ) -> Scores:
        """Rows that need not fit into memory, with the columns named as here: `label`, `score`, `decision`, ...

        A lazy frame of polars, or a frame of Spark, which is counted there.
        """
        made = cls.__new__(cls)
        made._set(scanned(rows, threshold), alpha, threshold, subjects)
        return made

    def _set(
        self, data: Rows, alpha: float, threshold: float | None, subjects: tuple[Subject, ...], of: str = ""
    ) -> None:
        if not 0 < alpha < 0.5:
            raise ScoresError(f"alpha must lie between 0 and 0.5, not {alpha}")
        values = {"data": data, "alpha": alpha, "threshold": threshold, "subjects": subjects, "of": of}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _with(self, **changes: Any) -> Scores:
        made = type(self).__new__(type(self))
        made._set(**{each.name: getattr(self, each.name) for each in dataclasses.fields(self)} | changes)
        return made

    def where(self, condition: pl.Expr, of: str, counts: Counts | None = None) -> Scores:
        """The rows for which `condition` holds, and their counts if known; `of` says which they are. May be none."""
        self.data.refuse_slices(of)
        return self._with(data=Rows(self.rows.filter(condition), counts), of=of)

    def called(self, of: str) -> Scores:
        """The same rows, of which measurements say that they are those `of` something."""
        return self._with(of=of)

    def at(self, alpha: float) -> Scores:
        """The same rows, with bounds at 1 - `alpha`."""
        return self._with(alpha=alpha)

    def rescored(self, told: pl.DataFrame, threshold: float | None = None) -> Scores:
        """The same rows as another model scores and decides them, `told` in their order. Raises ScoresError."""
        own = [name for name in (SCORE, DECISION) if name in self.columns]
        theirs = pl.concat([self.rows.select(LABEL), told.lazy()], how="horizontal")
        both = [self.rows.drop(own), checked(theirs, threshold).drop(LABEL)]
        return self._with(data=Rows(pl.concat(both, how="horizontal"), same_as=self.sample), threshold=threshold)

    # Rates at the operating point

    @property
    def recall(self) -> Measurement:
        """The share of the positives that raised an alert."""
        return self._rate("recall")

    @property
    def precision(self) -> Measurement:
        """The share of the alerts that were right."""
        return self._rate("precision")

    @property
    def false_positive_rate(self) -> Measurement:
        """The share of the negatives that raised an alert."""
        return self._rate("false_positive_rate")

    @property
    def specificity(self) -> Measurement:
        """The share of the negatives that raised none."""
        return self._rate("specificity")

    @property
    def amount_recall(self) -> Measurement:
        """The share of the positives' R$ that raised an alert."""
        self._require(AMOUNT, "amounts")
        cautious = self.at(self.alpha * intervals.UNEVEN_CAUTION)
        return cautious._weighted_rate("amount_recall", RATES["recall"], pl.col(AMOUNT) * self.data.weight)

    def f_beta(self, beta: float = 1.0) -> Measurement:
        """The harmonic mean of precision and recall, recall counted `beta` times (van Rijsbergen 1979)."""
        if not beta > 0:
            raise ScoresError(f"beta must be positive, not {beta}")
        square = beta * beta
        gain, loss = np.array([1 + square, 0.0, 0.0]), np.array([1 + square, square, 1.0])
        totals = self.data.decided  # [clusters or 1, 3]
        counts = totals.sum(axis=0)
        name = f"f_{beta:g}"

        def figure(each: Floats) -> tuple[Floats, Floats]:
            part, whole = each @ gain, each @ loss
            with np.errstate(divide="ignore", invalid="ignore"):
                value = part / whole
                slopes = (gain - value[..., None] * loss) / whole[..., None]
            return value, np.sqrt((each * slopes**2).sum(axis=-1))

        value, error = (float(each[0]) for each in figure(counts[None]))
        drawn = draw_totals(totals)
        bounds = intervals.studentised(value, error, *figure(drawn), self.alpha)
        return self._large_sample(name, value, bounds)

    # Rankings

    @property
    def roc_auc(self) -> Measurement:
        """The chance that a positive scores higher than a negative."""
        return self._ranking("roc_auc")

    @property
    def average_precision(self) -> Measurement:
        """Precision averaged over the positives, each at its own score as threshold."""
        return self._ranking("average_precision")

    def recall_at_fpr(self, rate: float) -> Measurement:
        """The recall of the lowest threshold whose false positive rate is at most `rate`."""
        if not 0 < rate < 1:
            raise ScoresError(f"a false positive rate lies between 0 and 1, not {rate}")
        p, n = self._both
        name = f"recall at {rate:.3g} false positive rate"
        if not (p and n):
            return self._nothing(name)
        found = float(cells.recall_at(self.data.cells, rate))
        drawn = self.data.drawn(lambda each: cells.recall_at(each, rate))
        bounds = intervals.effective_rate(found, float(drawn.var()), p, self.alpha)
        return self._large_sample(name, found, bounds)

    def precision_at(self, per_day: float) -> Measurement:
        """The precision of the alerts if the team takes so many a day, highest scores first.

        The days are those from the first to the last of `times`.
        """
        if not per_day > 0:
            raise ScoresError(f"alerts a day must be positive, not {per_day}")
        self._require(TIME, "times")
        p, n = self._both
        name = f"precision at {per_day:g} alerts a day"
        if not (p and n):
            return self._nothing(name)
        alerts, rows = per_day * self.data.days, float(self.data.cells.rows)
        if alerts < 1 or alerts > rows:
            raise ScoresError(f"{per_day:g} alerts a day are {alerts:.1f} in all, of {rows:,.0f} rows")
        share = alerts / rows
        found = float(cells.precision_of_first(self.data.cells, share))
        drawn = self.data.drawn(lambda each: cells.precision_of_first(each, share))
        bounds = intervals.effective_rate(found, float(drawn.var()), alerts, self.alpha)
        return self._large_sample(name, found, bounds)

    # Probabilities and money

    @property
    def brier(self) -> Measurement:
        """The mean squared distance of the score from the label."""
        return self._mean("brier", self.data.squares)

    def cost(self, false_alarm: float) -> Measurement:
        """What fraud and alarms cost, in R$ per 1,000 payments: the amounts missed, and `false_alarm` R$ for each."""
        if not false_alarm >= 0:
            raise ScoresError(f"a false alarm costs at least 0, not {false_alarm}")
        self._require(AMOUNT, "amounts")
        cautious = self.at(self.alpha * intervals.UNEVEN_CAUTION)
        return cautious._mean("cost", self.data.costs(false_alarm), " R$")

    @property
    def calibration_error(self) -> Measurement:
        """How far scores are from the share of positives, over bins of the score, weighted by rows (ECE)."""
        counts, scores, totals = self.data.binned
        if not counts.sum():
            return self._nothing("calibration_error")
        means = np.divide(scores, counts, out=np.zeros(len(counts)), where=counts > 0)

        def figure(each: Floats) -> Floats:
            frauds, others = np.split(each, 2, axis=-1)
            expected = sum(np.split(each * means, 2, axis=-1))
            with np.errstate(divide="ignore", invalid="ignore"):  # a draw without a row has no figure
                return np.asarray(np.abs(frauds - expected).sum(axis=-1) / (frauds + others).sum(axis=-1))

        value = float(figure(counts))
        drawn = np.sort(figure(draw_totals(totals)))
        tail = int(self.alpha * (len(drawn) + 1))
        most = float(drawn[len(drawn) - tail]) if tail else math.inf
        # Noise adds to a sum of distances: so much of the replicates' excess is in the figure itself.
        bounds = max(0.0, min(value, 2 * value - most)), max(value, most)
        return self._large_sample("calibration_error", value, bounds)

    # Slices

    def slice(self, column: str, value: Any) -> Scores:
        """The rows where `column` is `value`. Raises ScoresError if there are none."""
        self._require_group(f"{column} {value}", column)
        made = self.where(pl.col(column) == value, f"{column} {value}")
        if not made.size:
            raise ScoresError(f"no row has {column} {value!r}", remedy="check the policy against the data")
        return made

    def by(self, *columns: str) -> Slices:
        """The rows of each value of a column, or of each combination of several columns that occurs.

        Raises ScoresError for nulls, which are no group.
        """
        self._require_group(f"by {', '.join(columns)}", *columns)
        what, made = " ".join(columns), []
        for values, counts in self.data.groups(*map(pl.col, columns)).items():
            for column, value in zip(columns, values, strict=True):
                if value is None:
                    raise _no_group(column)
            name = " ".join(map(str, values))
            same = pl.all_horizontal(pl.col(column) == value for column, value in zip(columns, values, strict=True))
            made.append((name, self.where(same, f"{what} {name}", counts)))
        return self._divided(what, made)

    def quantiles(self, column: str, count: int = 4) -> Slices:
        """The rows by quantile of a numeric column, or of `time`, from low to high. Raises ScoresError for nulls."""
        self._require_group(f"{count} quantiles of {column}", column)
        cuts = (pl.col(column).quantile(each / count, "lower").alias(str(each)) for each in range(1, count))
        above = [pl.col(column) > edge for edge in self.data.collect(cuts).values()]
        place = pl.sum_horizontal(pl.lit(0), *above, ignore_nulls=False)
        found, made = self.data.groups(place), []
        if (None,) in found:
            raise _no_group(column)
        for at in range(count):
            name = f"{at + 1}/{count}"
            made.append((name, self.where(place == at, f"{column} quantile {name}", found.get((at,), Counts()))))
        return self._divided(f"{count} quantiles of {column}", made)

    def periods(self, every: str) -> Slices:
        """The rows by period of `time` ("1h", "1d", "1w", "1mo"), in order."""
        self._require(TIME, "times")
        self._require_group(f"periods of {every}", TIME)
        begin, made = pl.col(TIME).dt.truncate(every), []
        for (each,), counts in self.data.groups(begin).items():
            name = f"{each:%Y-%m-%d %H:%M:%S}".removesuffix(" 00:00:00").removesuffix(":00")
            made.append((name, self.where(begin == each, name, counts)))
        return self._divided(f"periods of {every}", made)

    def _divided(self, what: str, parts: Sequence[tuple[str, Scores]]) -> Slices:
        """`parts` by name. Raises ScoresError unless each row is in one of them, and each has a name of its own."""
        from pytest_pixgates.model_gate.slices import Slices

        made = dict(parts)
        if len(made) < len(parts):
            raise ScoresError(f"{what}: two groups would have one name", remedy="give the values other names")
        if left := self.size - sum(part.size for part in made.values()):
            raise ScoresError(f"{what}: {left:,} of {self.size:,} rows belong to no group")
        return Slices(made)

    # What there is

    @property
    def rows(self) -> pl.LazyFrame:
        return self.data.frame

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.data.schema)

    @property
    def size(self) -> int:
        return self.data.counts.rows

    @property
    def positives(self) -> int:
        return self.data.counts.positives

    @property
    def sample(self) -> Sample | None:
        """Which rows these are, whatever scored them; none if nothing tells."""
        return self.data.sample

    # How it is measured

    def _require(self, column: str, argument: str) -> None:
        if column not in self.columns:
            raise ScoresError(f"there are no {argument}", remedy=f"give {argument}, or name their column in the policy")

    def _require_group(self, of: str, *columns: str) -> None:
        self.data.refuse_slices(of)
        if missing := [column for column in columns if column not in self.columns]:
            known = ", ".join(name for name in self.columns if name not in RESERVED) or "none"
            raise ScoresError(f"there is no column {missing[0]} to slice by", remedy=f"there are: {known}")

    def _rate(self, name: str) -> Measurement:
        kind = RATES[name]
        if self.data.dependent:
            return self._weighted_rate(name, kind)
        n, hits = self.data.counts.of(name)
        if not n:
            return self._nothing(name, kind.counted)
        bounds = intervals.clopper_pearson(hits, n, self.alpha)
        needs = enough.of_rate(hits / n, n, kind.counted, self.alpha)
        return self._measured(name, hits / n, bounds, n, kind.counted, needs)

    def _weighted_rate(self, name: str, kind: Rate, weight: pl.Expr | None = None) -> Measurement:
        made, n = self.data.rate(kind, weight)
        if not made.sizes.any():  # no rows, or none that has an amount
            return self._nothing(name, kind.counted)
        effective = min(made.effective_size, n)
        needs = enough.of_rate(made.rate, effective, f"independent {kind.counted}", self.alpha)
        return self._measured(name, made.rate, made.bounds(self.alpha, n), n, kind.counted, needs)

    def _ranking(self, name: str) -> Measurement:
        p, n = self._both
        if not (p and n):
            return self._nothing(name)
        value, influence = RANKINGS[name](self.data.cells)
        error = math.sqrt(float(influence.variance(self.data.cells)))
        bounds = intervals.studentised(float(value), error, *self.data.ranked[name], self.alpha)
        if value == 1 and name == "roc_auc" and not self.data.dependent:
            # Each positive beside a negative of its own: so many independent pairs, all in order.
            bounds = intervals.clopper_pearson(min(p, n), min(p, n), self.alpha)
        return self._large_sample(name, float(value), bounds)

    @property
    def _both(self) -> tuple[int, int]:
        """How many positives and how many negatives there are."""
        return self.positives, self.size - self.positives

    def _mean(self, name: str, moments: Moments, unit: str = "") -> Measurement:
        if not moments.n:
            return self._nothing(name)
        return self._large_sample(name, moments.mean, moments.bounds(self.alpha), unit)

    # How it is told

    def _large_sample(self, name: str, value: float, bounds: Bounds, unit: str = "") -> Measurement:
        """A figure whose bounds hold for many positives; with few, or where a few outweigh all others, it has none."""
        positives = self.positives
        if not positives:
            return self._nothing(name)
        least, lacking = intervals.ENOUGH_POSITIVES, ""
        if positives < least:
            lacking = f"{least} positives, without which it has no interval; there are {positives:,}"
        elif (told := self.data.alike) < (least := intervals.ENOUGH_CLUSTERS):
            lacking = f"rows of which no few outweigh all others: these tell as much as {told:.1f} alike, not {least}"
        if lacking:
            return self._measured(name, value, (-math.inf, math.inf), positives, "positives", lambda _: lacking, unit)
        needs = enough.of_figure(value, bounds, positives, "positives")
        return self._measured(name, value, bounds, positives, "positives", needs, unit)

    def _measured(
        self,
        name: str,
        value: float,
        bounds: Bounds,
        n: float,
        counted: str,
        needs: Needs,
        unit: str = "",
    ) -> Measurement:
        full = f"{name} of {self.of}" if self.of else name
        lower, upper = min(bounds[0], value), max(bounds[1], value)
        return Measurement(
            full, value, lower, upper, int(n), unit, self.sample, self.subjects, needs, self._paired(name, unit),
            counted=counted,
        )  # fmt: skip

    def _paired(self, name: str, unit: str) -> Callable[[Measurement, Measurement], Measurement] | None:
        from pytest_pixgates.model_gate.compare import Paired

        return Paired(self, name, unit) if name in COMPARED else None

    def _nothing(self, name: str, counted: str = "") -> Measurement:
        full = f"{name} of {self.of}" if self.of else name
        return Measurement(full, math.nan, math.nan, math.nan, 0, subjects=self.subjects, counted=counted)


def _no_group(column: str) -> ScoresError:
    fix = "say what they stand for (in the policy: nulls), or drop the rows"
    return ScoresError(f"{column} has nulls, which belong to no group", remedy=fix)
