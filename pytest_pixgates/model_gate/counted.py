"""The same figures from counts that somebody else made: of rows that are too many for one machine.

Whoever has the rows cuts the score axis (`splits`) and counts each piece; the counts of parts of the rows add up. Only
the positives are wanted as rows, for fraud is rare. What needs all rows (clusters, weights, pairs with another model's
decisions, slices) can't be had of counts, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import polars as pl

from pytest_pixgates.model_gate import cells
from pytest_pixgates.model_gate.cells import Cells
from pytest_pixgates.model_gate.columns import AMOUNT, DECISION, LABEL, SCORE, TIME, ScoresError
from pytest_pixgates.model_gate.intervals import Clustered, Floats, Moments
from pytest_pixgates.model_gate.rows import EDGES, RATES, Counts, Rate, Rows

LEFT, FIRST, LAST = "left", "first", "last"
SUMS = (
    "frauds", "honest", "alarms",  # rows by label, and the honest ones that raised an alert
    "fraud scores", "honest scores",  # sums of the score
    "d2", "d4", "d6",  # and of powers of its distance from the label
)  # fmt: skip
_DAY = 86_400_000_000
_REMEDY = "count a part of the frame by itself, such as model_gate(frame.filter(...)), or hand over a polars frame"


def splits(positive_scores: Floats) -> Floats:
    """Where the pieces of the score axis begin, from low to high: the first at -inf, each score of a positive alone."""
    cuts = cells.cuts_of(positive_scores)
    return np.unique(np.concatenate([[-np.inf], cuts, np.nextafter(cuts, np.inf), EDGES]))


@dataclass(frozen=True)
class Tally:
    """`positives` has a row for each (score, decision, and the amount if there is one); `pieces` a line for each piece.

    A piece says where it begins (`LEFT`, one of `splits`), its `SUMS`, and its `FIRST` and `LAST` moment if there are
    moments, in microseconds since 1970.
    """

    positives: pl.DataFrame
    pieces: pl.DataFrame

    def __add__(self, other: Tally) -> Tally:
        """Of both parts, whose pieces must be cut alike."""
        edges = [pl.col(FIRST).min(), pl.col(LAST).max()] if FIRST in self.pieces.columns else []
        both = pl.concat([self.pieces, other.pieces]).group_by(LEFT).agg(pl.col(SUMS).sum(), *edges)
        return Tally(pl.concat([self.positives, other.positives]), both.sort(LEFT))

    def sums(self, name: str) -> Floats:
        """Of each piece."""
        return self.pieces[name].cast(pl.Float64).to_numpy()

    def total(self, name: str) -> float:
        return float(self.sums(name).sum())


class Counted(Rows):
    """`Rows` of which there is only a `tally`. What can't be had of it asks for the `frame`, and is refused."""

    def __init__(self, tally: Tally) -> None:
        """Raises ScoresError if the positives are not those that were counted."""
        self.tally = tally
        _ = self.cells

    @property
    def frame(self) -> NoReturn:
        raise ScoresError("counts can't be looked at row by row", remedy=_REMEDY)

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        times = {TIME: pl.Datetime("us")} if FIRST in self.tally.pieces.columns else {}
        return {LABEL: pl.Boolean(), **self.tally.positives.schema, **times}

    @property
    def sample(self) -> None:
        """None, for counts do not tell which rows they are of: so they are compared with no other's."""

    @cached_property
    def counts(self) -> Counts:
        frauds, honest, alarms = (int(self.tally.total(name)) for name in ("frauds", "honest", "alarms"))
        caught = int(self.tally.positives[DECISION].sum())
        return Counts(frauds + honest, frauds, caught + alarms, caught)

    @cached_property
    def days(self) -> float:
        pieces = self.tally.pieces
        return max(float(pieces[LAST].to_numpy().max() - pieces[FIRST].to_numpy().min()) / _DAY, 1.0)

    def rate(self, kind: Rate, weight: pl.Expr | None = None) -> tuple[Clustered, int]:
        """Of the positives only."""
        if kind is not RATES["recall"]:
            raise ScoresError(f"{kind.counted}: counts can't be weighted row by row", remedy=_REMEDY)
        return Rows(self.tally.positives.lazy().with_columns(pl.lit(value=True).alias(LABEL))).rate(kind, weight)

    @property
    def squares(self) -> Moments:
        return Moments(self.counts.rows, *(self.tally.total(name) for name in ("d2", "d4", "d6")))

    def costs(self, false_alarm: float) -> Moments:
        missed = Moments.of(self.tally.positives.filter(~pl.col(DECISION))[AMOUNT].to_numpy() * 1000)
        alarms, each = self.tally.total("alarms"), false_alarm * 1000
        free = self.counts.rows - missed.n - alarms
        return missed + Moments(alarms + free, *(alarms * each**power for power in (1, 2, 3)))

    @property
    def binned(self) -> tuple[Floats, Floats, Floats]:
        at = np.searchsorted(np.array(EDGES), self.tally.pieces[LEFT].to_numpy(), side="right")
        counts, scores = (
            np.concatenate([np.bincount(at, self.tally.sums(name), len(EDGES) + 1) for name in names])
            for names in (("frauds", "honest"), ("fraud scores", "honest scores"))
        )
        return counts, scores, counts[None]

    @cached_property
    def cuts(self) -> Floats:
        return cells.cuts_of(self.tally.positives[SCORE].to_numpy())

    @cached_property
    def cells(self) -> Cells:
        begins, cuts = self.tally.pieces[LEFT].to_numpy(), self.cuts
        scores = self.tally.positives[SCORE].to_numpy()
        frauds = Cells.gather(cells.place(cuts, np.ones(len(scores), dtype=bool), scores), len(cuts))
        counted = self.tally.pieces.filter(pl.col("frauds") > 0)
        if not (
            np.array_equal(counted[LEFT].to_numpy(), cuts)
            and np.array_equal(counted["frauds"].to_numpy(), frauds.positives[::-1])
        ):
            fix = "keep it (frame.cache()), or make it of what does not change"
            raise ScoresError("the frame has other rows each time it is read", remedy=fix)
        honest = cells.place(cuts, np.zeros(len(begins), dtype=bool), begins)
        return frauds + Cells.gather(honest, len(cuts), self.tally.sums("honest"))

    def influence(self, name: str) -> NoReturn:
        raise ScoresError(f"{name}: counts can't be compared row by row", remedy=_REMEDY)

    def refuse_slices(self, of: str) -> NoReturn:
        raise ScoresError(f"{of}: counts can't be sliced", remedy=_REMEDY)
