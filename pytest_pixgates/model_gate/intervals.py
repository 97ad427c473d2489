"""Confidence bounds whose promise is one-sided: at the limit itself, a gate passes at most `alpha` of the time.

Every function returns (lower, upper), each at 1 - alpha on its own. Where a figure has no interval, the bounds are as
wide as can be, so that no limit is ever decided by it. What each method costs at realistic sizes is simulated in
tests/statistics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Bounds = tuple[float, float]

ENOUGH_CLUSTERS = 20
"""So many clusters must hold a hit, so many a miss, and so many be alike, before their own spread is believed."""
ENOUGH_POSITIVES = 200
"""Fewer carry no large-sample interval (bootstrap, moments)."""
CAUTION = 0.9
"""Bounds that hold for many rows take this part of alpha: with 200 positives they miss 5.6 % at a nominal 5 %."""
UNEVEN_CAUTION = 0.5
"""Figures of amounts take this part, and differences of weighted ones: where 30 dear misses decide, or where a row
stands for four, a nominal 5 % is 8 %."""


def normal_quantile(alpha: float) -> float:
    """The z that a standard normal exceeds with probability `alpha`."""
    return float(-special.ndtri(alpha))


def clopper_pearson(hits: float, n: float, alpha: float) -> Bounds:
    """Exact bounds of a rate with `hits` of `n`; of an effective sample both may be fractions."""
    lower = 0.0 if hits <= 0 else float(special.betaincinv(hits, n - hits + 1, alpha))
    upper = 1.0 if hits >= n else float(special.betaincinv(hits + 1, n - hits, 1 - alpha))
    return lower, upper


@dataclass(frozen=True, slots=True)
class Clustered:
    """A rate over clusters: each one's weighted `hits` and `sizes`, and whether it holds a hit or a miss at all."""

    hits: Floats
    sizes: Floats

    @property
    def rate(self) -> float:
        return float(self.hits.sum() / self.sizes.sum())

    @property
    def effective_size(self) -> float:
        """How many independent observations weigh as much."""
        alone = float(self.sizes.sum()) * self.rate * (1 - self.rate)
        return effective_size(self.hits, self.sizes, alone, self.hits > 0, self.hits < self.sizes)

    def bounds(self, alpha: float, most: float = math.inf) -> Bounds:
        """Of the rate; `most` is how many observations it may count for at most."""
        n = min(self.effective_size, most)
        return clopper_pearson(self.rate * n, n, alpha)


def alike(sizes: Floats) -> float:
    """How many observations of one size tell as much as those of so many sizes (Kish 1965); without any, no end."""
    return float(sizes.sum()) ** 2 / float((sizes**2).sum()) if sizes.any() else math.inf


def effective_size(
    parts: Floats, sizes: Floats, alone: float, some: NDArray[np.bool_], others: NDArray[np.bool_]
) -> float:
    """How many independent observations weigh as much as clusters whose `parts` make a mean (Korn and Graubard).

    `alone` is the sum of squared deviations if all were independent. The spread of the clusters is believed only if
    enough of them are `some`, and enough `others` (those with a hit, with a miss), and no few outweigh all others;
    otherwise a cluster counts as one observation, of its size.
    """
    total, count, worst = float(sizes.sum()), len(sizes), alike(sizes)
    if min(int(some.sum()), int(others.sum()), worst) < ENOUGH_CLUSTERS:
        return worst
    spread = count / (count - 1) * float(((parts - float(parts.sum()) / total * sizes) ** 2).sum())
    return total * alone / spread if spread > 0 else worst


def effective_rate(rate: float, variance: float, n: float, alpha: float) -> Bounds:
    """Bounds of a rate whose variance is not binomial: exact ones, on as many observations as that variance is worth.

    Without any variance the rate is counted as it is, on `n`; a rate of 0 or 1 that varies has no bounds.
    """
    if not variance > 0:
        return clopper_pearson(rate * n, n, alpha)
    if not 0 < rate < 1:
        return 0.0, 1.0
    n = min(n, rate * (1 - rate) / variance)
    return clopper_pearson(rate * n, n, alpha)


def tango(only_left: float, only_right: float, n: float, alpha: float) -> Bounds:
    """Bounds of p_left - p_right over `n` pairs, of which so many were hits of one side only (Tango 1998)."""
    if n <= 0:
        return -1.0, 1.0
    z = normal_quantile(alpha)

    def score(delta: float) -> float:
        b = -only_left - only_right + (2 * n - only_left + only_right) * delta
        c = -only_right * delta * (1 - delta)
        rare = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
        variance = n * (2 * rare + delta * (1 - delta))
        distance = only_left - only_right - n * delta
        if variance <= 0:
            return math.copysign(math.inf, distance) if distance else 0.0
        return distance / math.sqrt(variance)

    estimate = (only_left - only_right) / n
    lower = _root(lambda delta: score(delta) - z, -1.0, estimate)
    upper = _root(lambda delta: score(delta) + z, estimate, 1.0)
    return lower, upper


def rate_ratio(left: tuple[float, float], right: tuple[float, float], alpha: float) -> Bounds:
    """Bounds of p_left / p_right, each side (hits, n), independent (score method; Miettinen and Nurminen 1985)."""
    (x, n), (y, m) = left, right
    if min(n, m) <= 0 or x + y <= 0:
        return 0.0, math.inf
    z, total = normal_quantile(alpha), n + m

    def score(log_ratio: float) -> float:
        ratio = math.exp(log_ratio)
        b = n * ratio + x + m + y * ratio
        # The smaller root, written so that nothing cancels where the ratio is huge or tiny.
        p_right = 2 * (x + y) / (b + math.sqrt(max(b * b - 4 * total * ratio * (x + y), 0.0)))
        p_left = min(ratio * p_right, 1.0)
        variance = p_left * (1 - p_left) / n + ratio**2 * p_right * (1 - p_right) / m
        distance = x / n - ratio * y / m
        if variance <= 0:
            return math.copysign(math.inf, distance) if distance else 0.0
        return distance / math.sqrt(variance * total / (total - 1))

    far = 40.0
    lower = 0.0 if x == 0 else math.exp(_root(lambda each: score(each) - z, -far, far))
    upper = math.inf if y == 0 else math.exp(_root(lambda each: score(each) + z, -far, far))
    return lower, upper


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where `falling`, which is above 0 at `low` and below at `high`, crosses 0; else the end that is nearest."""
    if falling(low) <= 0:
        return low
    if falling(high) >= 0:
        return high
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def studentised(value: float, error: float, values: Floats, errors: Floats, alpha: float) -> Bounds:
    """Bounds of a figure in (0, 1) on the logit, from bootstrap replicates that each have their own standard error.

    A replicate at 0 or 1 counts as infinitely far, on the side that widens the interval.
    """
    if not 0 < value < 1 or not error > 0:
        return 0.0, 1.0
    centre, spread = special.logit(value), error / (value * (1 - value))
    with np.errstate(divide="ignore", invalid="ignore"):
        scales = errors / (values * (1 - values))
        distances = (special.logit(values) - centre) / scales
    distances = np.where(np.isfinite(distances), distances, np.where(values > value, np.inf, -np.inf))
    ranked = np.sort(distances)
    draws = len(ranked)
    tail = int(CAUTION * alpha * (draws + 1))  # rounded towards the wider interval
    if tail < 1:
        return 0.0, 1.0
    least, most = ranked[tail - 1], ranked[draws - tail]
    lower = float(special.expit(centre - most * spread)) if np.isfinite(most) else 0.0
    upper = float(special.expit(centre - least * spread)) if np.isfinite(least) else 1.0
    return lower, upper


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over rows of a number's first three powers; they add up over partitions of the rows."""

    n: float
    first: float
    second: float
    third: float

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.first + other.first, self.second + other.second, self.third + other.third)

    @classmethod
    def of(cls, values: Floats) -> Moments:
        squares = values * values
        return cls(float(len(values)), float(values.sum()), float(squares.sum()), float((squares * values).sum()))

    @property
    def mean(self) -> float:
        return self.first / self.n

    @property
    def deviation(self) -> float:
        return math.sqrt(max(self.second / self.n - self.mean**2, 0.0))

    def bounds(self, alpha: float) -> Bounds:
        """Of the mean, corrected for skewness (Hall 1992); without any spread, none."""
        spread, mean = self.deviation, self.mean
        if not spread > 0 or self.n < 2:
            return -math.inf, math.inf
        skewness = (self.third / self.n - 3 * mean * self.second / self.n + 2 * mean**3) / spread**3
        error, z = spread / math.sqrt(self.n), normal_quantile(alpha)
        return mean - error * _hall(z, skewness, self.n), mean - error * _hall(-z, skewness, self.n)


def _hall(x: float, skewness: float, n: float) -> float:
    """The quantile of a studentised mean that a normal quantile `x` stands for: the inverse of Hall's cubic."""
    bend = skewness / math.sqrt(n)
    if abs(bend) < 1e-12:
        return x
    inner = 1 + bend * (x - bend / 6)
    return 3 / bend * (math.copysign(abs(inner) ** (1 / 3), inner) - 1)
