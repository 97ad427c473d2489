"""The rows of a test set and what is counted on them: each once, however many figures ask for it.

A file is measured in passes over it and need not fit into memory, unless its rows belong to clusters, carry weights,
or are compared with another model's.
"""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pytest_pixgates.core.spark import is_spark
from pytest_pixgates.model_gate import cells, intervals
from pytest_pixgates.model_gate.cells import Cells
from pytest_pixgates.model_gate.columns import (
    AMOUNT,
    CLUSTER,
    DECISION,
    ENGINE,
    LABEL,
    SCORE,
    TIME,
    WEIGHT,
    checked,
)  # fmt: skip
from pytest_pixgates.model_gate.intervals import Clustered, Floats, Moments

Influence = tuple[float, Floats]
"""A figure, and by how much each row moves it: the influences of all rows sum to 0."""

RANKINGS: dict[str, cells.Ranking] = {"roc_auc": cells.roc_auc, "average_precision": cells.average_precision}
EDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9)
"""Of the bins of the calibration error: narrow where the scores of rare fraud are."""
_BINS = len(EDGES) + 1
_BIN = pl.sum_horizontal(*(pl.col(SCORE) >= edge for edge in EDGES), _BINS * (~pl.col(LABEL)).cast(pl.Int64))
"""Of a row: the positives' bins come first."""
_SQUARE = (pl.col(SCORE) - pl.col(LABEL).cast(pl.Float64)) ** 2
_FEW_WEIGHTS = 20
"""So many different ones at most, and the rows of each are drawn as counts."""
_FEW = 1 << 25
"""Numbers; so many replicates are kept for the next figure that asks for them."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of rows: what they are called, which they are, and which of them hit."""

    counted: str
    rows: pl.Expr
    hit: pl.Expr


RATES = {
    "recall": Rate("positives", pl.col(LABEL), pl.col(DECISION)),
    "precision": Rate("alerts", pl.col(DECISION), pl.col(LABEL)),
    "false_positive_rate": Rate("negatives", ~pl.col(LABEL), pl.col(DECISION)),
    "specificity": Rate("negatives", ~pl.col(LABEL), ~pl.col(DECISION)),
}


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows there are, and of each kind; `caught` are positives with an alert."""

    rows: int = 0
    positives: int = 0
    alerts: int = 0
    caught: int = 0

    def of(self, rate: str) -> tuple[int, int]:
        """How many rows a rate is about, and how many of them hit."""
        negatives, false_alarms = self.rows - self.positives, self.alerts - self.caught
        return {
            "recall": (self.positives, self.caught),
            "precision": (self.alerts, self.caught),
            "false_positive_rate": (negatives, false_alarms),
            "specificity": (negatives, negatives - false_alarms),
        }[rate]


_COUNTED = (
    pl.len().alias("rows"),
    pl.col(LABEL).sum().alias("positives"),
    pl.col(DECISION).sum().alias("alerts"),
    (pl.col(LABEL) & pl.col(DECISION)).sum().alias("caught"),
)
"""`Counts`, by name."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Which rows were measured, whatever scored them; compared by a digest, which is made only then."""

    frame: pl.LazyFrame

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Sample) and self.digest == other.digest)

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def digest(self) -> str:
        """Of the rows' labels, ids and groups in order."""
        told = [name for name in self.frame.collect_schema() if name not in (SCORE, DECISION)]
        digest = hashlib.sha256("\0".join(told).encode())
        hashes = self.frame.select(pl.struct(told).hash(seed=0).alias("row")).collect(engine=ENGINE)["row"]
        digest.update(hashes.to_numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Rows:
    """Checked rows (see `columns.checked`), whose counts may be `known`, and which may be the `same_as` others."""

    frame: pl.LazyFrame = field(repr=False)
    known: Counts | None = None
    same_as: Sample | None = field(default=None, repr=False)

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        return dict(self.frame.collect_schema())

    @property
    def clustered(self) -> bool:
        return CLUSTER in self.schema

    @property
    def dependent(self) -> bool:
        """Whether rows are not worth one observation each."""
        return self.clustered or WEIGHT in self.schema

    @property
    def weight(self) -> pl.Expr:
        return pl.col(WEIGHT) if WEIGHT in self.schema else pl.lit(1.0)

    @cached_property
    def alike(self) -> float:
        """How many clusters, or weighted rows, of one size tell as much: of positives or of negatives, the fewer."""
        sides = (pl.col(LABEL), ~pl.col(LABEL)) if self.dependent else ()
        sizes = (self.by_cluster(side, sizes=self.weight)["sizes"] for side in sides)
        return min(map(intervals.alike, sizes), default=math.inf)

    @property
    def alike_amounts(self) -> float:
        """The same of the positives' amounts."""
        return intervals.alike(self.by_cluster(pl.col(LABEL), sizes=pl.col(AMOUNT) * self.weight)["sizes"])

    @cached_property
    def sample(self) -> Sample | None:
        """Which rows these are; none if nothing tells."""
        return self.same_as or Sample(self.frame)

    @cached_property
    def counts(self) -> Counts:
        return self.known or Counts(**self.collect(_COUNTED))

    @cached_property
    def days(self) -> float:
        """From the first to the last of the times, at least one."""
        found = self.collect([pl.col(TIME).min().alias("first"), pl.col(TIME).max().alias("last")])
        return float(max((found["last"] - found["first"]) / datetime.timedelta(days=1), 1.0))

    def collect(self, expressions: Iterable[pl.Expr]) -> dict[str, Any]:
        """One row of figures, by name."""
        return self.frame.select(*expressions).collect(engine=ENGINE).row(0, named=True)

    def groups(self, *keys: pl.Expr) -> dict[tuple[Any, ...], Counts]:
        """The counts of each combination of `keys` that occurs, in order; one pass over the rows for all."""
        names = [str(at) for at in range(len(keys))]  # a column may be called as a count is
        by = [key.alias(name) for key, name in zip(keys, names, strict=True)]
        found = self.frame.group_by(by).agg(_COUNTED).sort(names).collect(engine=ENGINE)
        return {row[: len(keys)]: Counts(*row[len(keys) :]) for row in found.iter_rows()}

    def sums(self, key: pl.Expr, *sums: pl.Expr) -> dict[Any, tuple[Any, ...]]:
        """Sums over the rows of each value of `key`."""
        named = (each.alias(str(at)) for at, each in enumerate(sums))
        found = self.frame.group_by(key=key).agg(*named).collect(engine=ENGINE)
        return {row[0]: row[1:] for row in found.iter_rows()}

    def by_cluster(self, rows: pl.Expr | None = None, **sums: pl.Expr) -> dict[str, Floats]:
        """Sums of each cluster, or values of each row without clusters, over those rows that are `rows`."""
        each = (self.frame if rows is None else self.frame.filter(rows)).select(
            **sums, **({CLUSTER: pl.col(CLUSTER)} if self.clustered else {})
        )
        if self.clustered:
            each = each.group_by(CLUSTER).agg(pl.col(*sums).sum()).sort(CLUSTER)
        found = each.collect(engine=ENGINE)
        return {name: found[name].to_numpy() for name in sums}

    def rate(self, kind: Rate, weight: pl.Expr | None = None) -> tuple[Clustered, int]:
        """A weighted rate of dependent rows, and how many rows it is about."""
        size = self.weight if weight is None else weight
        found = self.by_cluster(kind.rows, hits=size * kind.hit.cast(pl.Float64), sizes=size, n=pl.lit(1))
        return Clustered(found["hits"], found["sizes"]), int(found["n"].sum())

    def moments(self, value: pl.Expr) -> Moments:
        """Of a number of each row."""
        if not self.dependent:
            powers = ((value**power).sum().alias(str(power)) for power in (1, 2, 3))
            return Moments(*self.collect([pl.len().cast(pl.Float64), *powers]).values())
        each = self.by_cluster(sums=self.weight * value, sizes=self.weight)
        sums, sizes = each["sums"], each["sizes"]
        if not len(sums):
            return Moments(0, 0, 0, 0)
        mean = sums.sum() / sizes.sum()
        # The cluster's part in the mean, linearised, so that clusters of unlike sizes count as what they are.
        return Moments.of(mean + (sums - mean * sizes) * (len(sums) / sizes.sum()))

    @property
    def squares(self) -> Moments:
        """Of the squared distance of score and label."""
        return self.moments(_SQUARE)

    def costs(self, false_alarm: float) -> Moments:
        """Of what a row costs per 1,000: its amount if it was missed, `false_alarm` if its alert was none."""
        missed = (pl.col(LABEL) & ~pl.col(DECISION)).cast(pl.Float64) * pl.col(AMOUNT)
        alarms = (~pl.col(LABEL) & pl.col(DECISION)).cast(pl.Float64) * false_alarm
        return self.moments(1000 * (missed + alarms))

    @property
    def binned(self) -> tuple[Floats, Floats, Floats]:
        """Weights of the rows, and of their scores, in each bin of the positives, then of the others; their `totals`.

        Without weights each row has that of 1.
        """
        rows = pl.col(WEIGHT).sum() if WEIGHT in self.schema else pl.len()
        sums = self.sums(_BIN, rows, (self.weight * pl.col(SCORE)).sum())
        weights, scores = (np.array([sums.get(at, (0, 0.0))[what] for at in range(2 * _BINS)]) for what in (0, 1))
        totals = self.totals([_BIN.eq(at) for at in range(2 * _BINS)]) if self.dependent else weights[None]
        return weights, scores, totals

    @property
    def decided(self) -> Floats:
        """The `totals` of positives with an alert, positives without, and alerts that were none."""
        if not self.dependent:
            counts = self.counts
            return np.array([[counts.caught, counts.positives - counts.caught, counts.alerts - counts.caught]], float)
        fraud, alert = pl.col(LABEL), pl.col(DECISION)
        return self.totals([fraud & alert, fraud & ~alert, ~fraud & alert])

    def totals(self, kinds: Sequence[pl.Expr]) -> Floats:
        """How many dependent rows are of each kind [lines, kinds]: a line per cluster, else per weighted row."""
        sums = {str(at): self.weight * kind.cast(pl.Float64) for at, kind in enumerate(kinds)}
        return np.stack(list(self.by_cluster(**sums).values()), axis=1)

    def refuse_slices(self, of: str) -> None:
        """Raises ScoresError if the rows `of` something can't be told from the others."""

    # Rankings

    @cached_property
    def cuts(self) -> Floats:
        return cells.cuts_of(self._column(pl.col(SCORE).filter(pl.col(LABEL))).to_numpy())

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """Where each row is counted, in order."""

        def place(rows: Sequence[pl.Series]) -> pl.Series:
            return pl.Series(cells.place(self.cuts, rows[0].to_numpy(), rows[1].to_numpy()))

        mapped = pl.map_batches([LABEL, SCORE], place, return_dtype=pl.Int64, is_elementwise=True)
        return self._column(mapped.alias("place")).to_numpy()

    @cached_property
    def cells(self) -> Cells:
        if self.dependent:
            return Cells.gather(self.places, len(self.cuts), self._weights)

        def count(rows: pl.DataFrame) -> pl.DataFrame:
            counts = cells.counts(self.cuts, rows[LABEL].to_numpy(), rows[SCORE].to_numpy())
            held = np.flatnonzero(counts)
            return pl.DataFrame({"place": held, "rows": counts[held]})

        schema = {"place": pl.Int64, "rows": pl.Int64}
        parts = self.frame.select(LABEL, SCORE).map_batches(count, schema=schema, streamable=True)
        found = parts.group_by("place").agg(pl.col("rows").sum()).collect(engine=ENGINE)
        return Cells.gather(found["place"].to_numpy(), len(self.cuts), found["rows"].to_numpy().astype(np.float64))

    @cached_property
    def ranked(self) -> dict[str, tuple[Floats, Floats]]:
        """Replicates of each ranking, with their standard errors; all from the same draws."""
        found: dict[str, list[tuple[Floats, Floats]]] = {name: [] for name in RANKINGS}
        with np.errstate(divide="ignore", invalid="ignore"):  # a draw without a positive has no figure
            for each in self._replicates():
                for name, figure in RANKINGS.items():
                    value, influence = figure(each)
                    found[name].append((value, np.sqrt(influence.variance(each))))
        return {name: _joined(pairs) for name, pairs in found.items()}

    def drawn(self, figure: Callable[[Cells], Floats]) -> Floats:
        """Replicates of any other figure of cells."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.concatenate([figure(each) for each in self._replicates()])

    @cached_property
    def _kept(self) -> list[Cells]:
        """Replicates that were drawn, if they are few."""
        return []

    def _replicates(self) -> Iterator[Cells]:
        if self._kept:
            for each in self._kept:
                yield from each.parts()
            return
        keep, kept = cells.DRAWS * 3 * len(self.cuts) <= _FEW, []
        for each in self._draw():
            yield from each.parts()
            if keep:
                kept.append(each)
        self._kept.extend(kept)

    def _draw(self) -> Iterable[Cells]:
        if not self.dependent:
            return cells.replicates(self.cells)
        if self._weights is not None and not self.clustered:
            kinds = np.unique(self._weights)
            if len(kinds) <= _FEW_WEIGHTS:
                same = ((each, self.places[self._weights == each]) for each in kinds)
                return cells.weighted_replicates({each: Cells.gather(of, len(self.cuts)) for each, of in same})
        clusters = np.arange(len(self.places))
        if self.clustered:
            clusters = self._column(CLUSTER).rank("dense").to_numpy().astype(np.int64) - 1
        return cells.clustered_replicates(self.places, len(self.cuts), clusters, self._weights)

    @cached_property
    def _weights(self) -> Floats | None:
        return self._column(WEIGHT).to_numpy() if WEIGHT in self.schema else None

    def _column(self, what: str | pl.Expr) -> pl.Series:
        return self.frame.select(what).collect(engine=ENGINE).to_series()

    # What each row does to a figure

    def influence(self, name: str) -> Influence:
        """The figure `name`, and by how much each row moves it, in the order of the rows."""
        if name in RATES:
            return self._mean_influence(RATES[name].hit, RATES[name].rows)
        if name == "amount_recall":
            return self._mean_influence(RATES["recall"].hit, RATES["recall"].rows.cast(pl.Float64) * pl.col(AMOUNT))
        if name == "brier":
            return self._mean_influence(_SQUARE, pl.lit(1.0))
        value, influence = RANKINGS[name](Cells.gather(self.places, len(self.cuts), self._weights))
        moved = influence.at(self.places)
        return float(value), moved if self._weights is None else moved * self._weights

    def summed(self, parts: Floats) -> Floats:
        """Sums over each cluster of a number of each row; without clusters, the numbers."""
        if not self.clustered:
            return parts
        rows = pl.DataFrame([self._column(CLUSTER), pl.Series("part", parts)])
        return rows.group_by(CLUSTER).agg(pl.col("part").sum())["part"].to_numpy()

    def _mean_influence(self, value: pl.Expr, size: pl.Expr) -> Influence:
        """Of the mean of `value` over rows that count by their `size` and their weight."""
        told = {"value": value.cast(pl.Float64), "size": size.cast(pl.Float64) * self.weight}
        found = self.frame.with_columns(**told).select("value", "size").collect(engine=ENGINE)
        values, sizes = found["value"].to_numpy(), found["size"].to_numpy()
        if not (total := float(sizes.sum())):
            return math.nan, sizes
        mean = float(sizes @ values) / total
        return mean, sizes * (values - mean) / total


def scanned(rows: Any, threshold: float | None) -> Rows:
    """A lazy frame of polars, or what Spark counts of a frame of its own. Raises ScoresError."""
    if is_spark(rows):
        from pytest_pixgates.model_gate import spark

        return spark.scan(rows, threshold)
    return Rows(checked(rows, threshold))


def _joined(pairs: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    values, errors = zip(*pairs, strict=True)
    return np.concatenate(values), np.concatenate(errors)


def draw_totals(totals: Floats) -> Floats:
    """Poisson replicates of counts, or of clusters' counts as wholes: [draws, kinds]."""
    rng = np.random.default_rng(cells.SEED)
    if len(totals) == 1:
        return rng.poisson(totals[0], (cells.DRAWS, totals.shape[1])).astype(np.float64)
    step = max(1, (1 << 22) // len(totals))
    parts = [
        rng.poisson(1.0, (min(step, cells.DRAWS - first), len(totals))).astype(np.float64) @ totals
        for first in range(0, cells.DRAWS, step)
    ]
    return np.concatenate(parts)
