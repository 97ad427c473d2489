"""What a ranking is worth, from counts alone: the score axis is cut at the positives' scores, and each piece counted.

ROC AUC, average precision, recall at a false positive rate and precision of the first alerts depend on nothing else.
The counts add up over partitions of the rows, and a Poisson bootstrap draws counts instead of rows, which makes its
cost that of the positives (fraud is rare), not of the rows.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_pixgates.model_gate.intervals import Floats

DRAWS = 1_000
SEED = 20_260_501
"""Fixed, so that the same rows give the same verdict."""
_DRAWN = 1 << 18
"""Numbers that are drawn at once: a part of what `SEED` stands for."""
_NEAR = 1 << 14
"""Numbers that figures are made of at once, so that they stay near the processor."""


@dataclass(frozen=True)
class Cells:
    """Counts along the score axis, from high to low; with a leading axis, one row per draw.

    `positives` [m] have the same score, `tied` [m] are the negatives that share it; `gaps` [m + 1] are the negatives
    above the first, between each two, and below the last.
    """

    positives: NDArray[Any]
    tied: NDArray[Any]
    gaps: NDArray[Any]

    @classmethod
    def gather(cls, places: NDArray[np.int64], cuts: int, weights: Floats | None = None) -> Cells:
        """Cells from each row's place (see `place`)."""
        counts = np.bincount(places, weights, minlength=3 * cuts + 1).astype(np.float64)
        return cls(counts[:cuts], counts[cuts : 2 * cuts], counts[2 * cuts :])

    def __add__(self, other: Cells) -> Cells:
        return Cells(self.positives + other.positives, self.tied + other.tied, self.gaps + other.gaps)

    def times(self, weight: float) -> Cells:
        """The same rows, each counted `weight` times."""
        return Cells(self.positives * weight, self.tied * weight, self.gaps * weight)

    @cached_property
    def hits(self) -> Floats:
        """Positives with at least each score."""
        return np.cumsum(self.positives, axis=-1)

    @cached_property
    def false_alarms(self) -> Floats:
        """Negatives with at least each score."""
        return np.cumsum(self.tied + self.gaps[..., :-1], axis=-1)

    @cached_property
    def positive_count(self) -> Floats:
        return np.asarray(self.positives.sum(axis=-1, keepdims=True))

    @cached_property
    def negative_count(self) -> Floats:
        return np.asarray((self.tied.sum(axis=-1) + self.gaps.sum(axis=-1))[..., None])

    @property
    def rows(self) -> Floats:
        """All of them, by their weights."""
        return np.asarray(self.positive_count + self.negative_count)[..., 0]

    def parts(self) -> Iterator[Cells]:
        """A few draws at a time, as figures are made of them."""
        few = max(1, _NEAR // self.gaps.shape[-1])
        for first in range(0, len(self.gaps), few):
            some = slice(first, first + few)
            yield Cells(*(part[some].astype(np.float64) for part in (self.positives, self.tied, self.gaps)))


@dataclass(frozen=True, slots=True)
class Influence:
    """By how much one more row in a place moves a figure, in the order of `Cells`: its variance follows from it."""

    positives: Floats
    tied: Floats
    gaps: Floats

    def variance(self, cells: Cells) -> Floats:
        mine, theirs = (self.positives, self.tied, self.gaps), (cells.positives, cells.tied, cells.gaps)
        return np.asarray(sum(np.vecdot(count * each, each) for each, count in zip(mine, theirs, strict=True)))

    def at(self, places: NDArray[np.int64]) -> Floats:
        """The influence of each row, by its place."""
        return np.asarray(np.concatenate([self.positives, self.tied, self.gaps])[places])


Ranking = Callable[[Cells], tuple[Floats, Influence]]


def cuts_of(positive_scores: Floats) -> Floats:
    """The distinct scores of the positives, from low to high."""
    return np.unique(positive_scores)


def place(cuts: Floats, labels: NDArray[np.bool_], scores: Floats) -> NDArray[np.int64]:
    """Where each row is counted: positives by cut (from high), then tied negatives, then the gaps."""
    m = len(cuts)
    below = np.searchsorted(cuts, scores, side="left")  # cuts lower than the score
    tied = np.zeros(len(scores), dtype=bool)
    inside = below < m
    tied[inside] = cuts[below[inside]] == scores[inside]
    gap = 2 * m + (m - below)
    at = m - 1 - below
    return np.asarray(np.where(labels, at, np.where(tied, m + at, gap)), dtype=np.int64)


def counts(cuts: Floats, labels: NDArray[np.bool_], scores: Floats) -> NDArray[np.int64]:
    """How many rows are in each place (see `place`); sorting them is faster than looking each one up."""
    own = np.bincount(np.searchsorted(cuts, scores[labels]), minlength=len(cuts))
    others = np.sort(scores[~labels])
    first, after = (np.searchsorted(others, cuts, side=side) for side in ("left", "right"))
    gaps = np.append(first, len(others)) - np.insert(after, 0, 0)
    return np.concatenate([own[::-1], (after - first)[::-1], gaps[::-1]])


def roc_auc(cells: Cells) -> tuple[Floats, Influence]:
    """The chance that a positive scores higher than a negative, ties counted half."""
    p, n, gaps = cells.positive_count, cells.negative_count, np.zeros(cells.gaps.shape)
    lost = (cells.false_alarms - cells.tied / 2) * (1 / n)  # to negatives that are above
    missed = _dot(cells.positives, lost) / p
    np.multiply(cells.hits, 1 / (p * n), out=gaps[..., 1:])
    gaps -= (1 - missed) / n
    tied = gaps[..., 1:] - cells.positives * (1 / (2 * p * n))
    return 1 - missed[..., 0], Influence((missed - lost) * (1 / p), tied, gaps)


def average_precision(cells: Cells) -> tuple[Floats, Influence]:
    """Precision averaged over the positives, each at its own score as threshold."""
    p, hits = cells.positive_count, cells.hits
    alerts = np.maximum(hits + cells.false_alarms, np.finfo(float).tiny)  # where there are none, none is right
    precision, share = hits / alerts, cells.positives / alerts
    value = _dot(cells.positives, precision) / p
    lost = share * precision
    loss, gain = _from_here(lost) * (-1 / p), _from_here(share - lost)
    gain += precision
    gain -= value
    gaps = np.zeros(cells.gaps.shape)
    gaps[..., :-1] = loss
    return value[..., 0], Influence(gain * (1 / p), loss, gaps)


def recall_at(cells: Cells, rate: float) -> Floats:
    """The recall of the lowest threshold whose false positive rate is at most `rate`."""
    allowed = cells.false_alarms <= rate * cells.negative_count * (1 + 1e-12)  # the first so many places
    return np.asarray((_dot(cells.positives, allowed.astype(np.float64)) / cells.positive_count)[..., 0])


def precision_of_first(cells: Cells, share: float) -> Floats:
    """The precision of the first alerts: that `share` of all rows which scores highest, ties in random order."""
    wanted = share * (cells.positive_count + cells.negative_count)
    hits = np.concatenate([np.zeros_like(wanted), cells.hits], axis=-1)
    alerts = np.concatenate([np.zeros_like(wanted), cells.hits + cells.false_alarms], axis=-1)
    whole = (alerts[..., 1:] <= wanted * (1 + 1e-12)).sum(axis=-1)[..., None]
    following = np.minimum(whole, cells.positives.shape[-1] - 1)
    group = np.take_along_axis(cells.positives + cells.tied, following, axis=-1)
    left = wanted - np.take_along_axis(alerts, whole, axis=-1) - np.take_along_axis(cells.gaps, whole, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(group > 0, np.clip(left / group, 0, 1), 0.0)
    part = np.where(whole < cells.positives.shape[-1], part, 0.0)
    found = np.take_along_axis(hits, whole, axis=-1) + part * np.take_along_axis(cells.positives, following, axis=-1)
    return np.asarray((found / wanted)[..., 0])


def replicates(cells: Cells, draws: int = DRAWS, seed: int | Sequence[int] = SEED) -> Iterator[Cells]:
    """Poisson bootstrap of independent rows: the cells of many draws at a time, as small as they can be kept."""
    return _ahead(_drawn(cells, draws, seed))


def _drawn(cells: Cells, draws: int, seed: int | Sequence[int]) -> Iterator[Cells]:
    rng = np.random.default_rng(seed)
    step = max(1, _DRAWN // len(cells.gaps))
    for first in range(0, draws, step):
        size = min(step, draws - first)
        positives, gaps, tied = (_poisson(rng, part, size) for part in (cells.positives, cells.gaps, cells.tied))
        yield Cells(positives, tied, gaps)


def _poisson(rng: np.random.Generator, rates: Floats, draws: int) -> NDArray[Any]:
    """Counts of each draw, as small as they can be kept. Where there are no rows there is nothing to draw."""
    some = np.flatnonzero(rates)
    drawn = rng.poisson(rates[some], (draws, len(some)))
    kind = np.min_scalar_type(int(drawn.max(initial=0)))
    if len(some) == len(rates):
        return drawn.astype(kind)
    counts = np.zeros((draws, len(rates)), kind)
    counts[:, some] = drawn
    return counts


def _ahead(made: Iterator[Cells]) -> Iterator[Cells]:
    """What is `made`, the next one while this one is used: numpy draws without the interpreter's lock."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, made, None)
        while (each := coming.result()) is not None:
            coming = thread.submit(next, made, None)
            yield each


def weighted_replicates(by_weight: Mapping[float, Cells], draws: int = DRAWS, seed: int = SEED) -> Iterator[Cells]:
    """Poisson bootstrap of rows with few weights: those of one weight are alike, so that their counts are drawn."""
    kinds = [replicates(each, draws, [seed, at]) for at, each in enumerate(by_weight.values())]
    for parts in zip(*kinds, strict=True):
        yield functools.reduce(operator.add, map(Cells.times, parts, by_weight))


def clustered_replicates(
    places: NDArray[np.int64],
    cuts: int,
    clusters: NDArray[np.int64],
    weights: Floats | None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Iterator[Cells]:
    """Poisson bootstrap of whole clusters (numbered from 0): rows of a cluster stay together."""
    from scipy import sparse

    count, width = int(clusters.max()) + 1, 3 * cuts + 1
    counted = np.ones(len(places)) if weights is None else weights
    held = sparse.csr_array((counted, (places, clusters)), shape=(width, count))  # by place, of each cluster
    rng, step = np.random.default_rng(seed), max(1, _DRAWN // max(count, width))
    for first in range(0, draws, step):
        drawn = rng.poisson(1.0, (min(step, draws - first), count)).astype(np.float64)
        each = np.ascontiguousarray((held @ drawn.T).T)
        yield Cells(each[:, :cuts], each[:, cuts : 2 * cuts], each[:, 2 * cuts :])


def _dot(left: Floats, right: Floats) -> Floats:
    return np.asarray(np.vecdot(left, right)[..., None])


def _from_here(values: Floats) -> Floats:
    """Sums from each place to the end."""
    return np.asarray(np.cumsum(values[..., ::-1], axis=-1)[..., ::-1])
