"""How many slow requests are evidence: exact bounds of a share, counted as so many independent requests as there were.

One stall hits every request that was due in it, so K slow of n are worth K/D of n/D, where D is the run of slow
requests that a random slow one sits in, and at least the number that a stall as long as the policy's claim would hit.
What this costs at the limit itself is simulated in tests/statistics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def runs(slow: Bools) -> NDArray[np.int64]:
    """The lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], slow, [False])).astype(np.int8)))
    return edges[1::2] - edges[::2]


def dispersion(slow: Bools, floor: float) -> float:
    """D: how many requests in a row count as one; `floor` is the rate times the stall that must be covered.

    Where most are slow, the others tell it: a service that is slow throughout is one run, but not one request.
    """
    lengths = runs(~slow if 2 * slow.sum() > len(slow) else slow).astype(float)
    measured = float((lengths**2).sum() / lengths.sum()) if len(lengths) else 1.0
    return max(1.0, measured, floor)


def bounds(hits: Any, n: Any, spread: Any, alpha: float) -> tuple[Any, Any]:
    """One-sided bounds, each at 1 - alpha, of a share with `hits` of `n`; numbers or arrays (Clopper and Pearson)."""
    k, m = np.asarray(hits, float) / spread, np.asarray(n, float) / spread
    with np.errstate(invalid="ignore"):
        lower = np.where(k > 0, special.betaincinv(np.maximum(k, 1e-300), m - k + 1, alpha), 0.0)
        upper = np.where(k < m, special.betaincinv(k + 1, np.maximum(m - k, 1e-300), 1 - alpha), 1.0)
    return lower[()], upper[()]


def least(share: float, alpha: float) -> int:
    """How many independent requests, none of them slow, show that at most `share` are: 59 for 5 %, 299 for 1 %."""
    return math.ceil(math.log(alpha) / math.log1p(-share) - 1e-9)


@dataclass(frozen=True, slots=True)
class Share:
    """A share of requests: `hits` of `n`, counted in steps of `spread`, with its bounds."""

    hits: int
    n: int
    spread: float
    lower: float
    upper: float

    @classmethod
    def of(cls, hit: Bools, floor: float, alpha: float) -> Share:
        hits, n, spread = int(hit.sum()), len(hit), dispersion(hit, floor)
        lower, upper = bounds(hits, n, spread, alpha)
        return cls(hits, n, spread, float(lower), float(upper))

    @property
    def value(self) -> float:
        return self.hits / self.n

    def longer(self, share: float, alpha: float, most: float = 1000.0) -> float:
        """How many times as long a run with the same shares would show that at most `share` are hit; inf if none."""
        if self.value >= share:
            return math.inf
        low, high = 1.0, most
        if bounds(self.hits * high, self.n * high, self.spread, alpha)[1] > share:
            return math.inf
        while high / low > 1.01:
            middle = math.sqrt(low * high)
            decided = bounds(self.hits * middle, self.n * middle, self.spread, alpha)[1] <= share
            low, high = (low, middle) if decided else (middle, high)
        return high


def percentile(taken: Floats, share: float) -> float:
    """The least time that at most 1 - `share` of the requests exceed."""
    rank = len(taken) - math.floor((1 - share) * len(taken) + 1e-9)
    return float(np.sort(taken)[max(rank - 1, 0)])


def percentile_bounds(taken: Floats, share: float, floor: float, alpha: float) -> tuple[float, float]:
    """The times between which the rule decides nothing: from the last that fails to the first that passes (or inf)."""
    ranked, allowed = np.unique(taken), 1 - share

    def at(index: int) -> tuple[bool, bool]:
        found = Share.of(taken > ranked[index], floor, alpha)
        return found.lower > allowed, found.upper <= allowed

    last = len(ranked) - 1
    passes = _first(last, lambda index: at(index)[1])
    fails = _first(last, lambda index: not at(index)[0])
    upper = float(ranked[passes]) if passes <= last else math.inf
    bounded = fails > 0 or Share.of(np.ones(len(taken), bool), floor, alpha).lower > allowed
    return (float(ranked[fails]) if bounded else 0.0), upper


def _first(last: int, holds: Any) -> int:
    """The first index that holds, if it holds from there on; `last` + 1 if none does."""
    low, high = 0, last + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
