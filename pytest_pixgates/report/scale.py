"""Numbers along a line of a picture. Nothing is known of them: rates near 0, R$, ratios without an upper bound."""

from __future__ import annotations

import itertools
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_pixgates.core.verdict import Figure

_FAR = 3
"""Intervals may reach so many times beyond the numbers and limits as is usual here, else one hides all others."""
_PADDING = 0.08
_LARGEST = sys.float_info.max


@dataclass(frozen=True, slots=True)
class Scale:
    """From `low` to `high`, drawn from `left` to `right`."""

    low: float
    high: float
    left: float
    right: float

    @classmethod
    def of(cls, figures: Sequence[Figure], left: float, right: float) -> Scale:
        """A scale that holds every value and limit of `figures`, and their intervals unless these are very wide."""
        core = [number for each in figures for number in (each.value, each.limit)]
        bounds = [bound for each in figures for bound in each.interval if math.isfinite(bound)]
        usual = max(max(core) - min(core), statistics.median(map(_width, figures)))
        everything = [*core, *bounds]
        low = max(min(everything), min(core) - _FAR * usual)
        high = min(max(everything), max(core) + _FAR * usual)
        padding = (_PADDING * high - _PADDING * low) or 0.1 * abs(low) or 1.0
        # Where nothing is below 0, or above 1, the scale should not look as if it could be.
        floor = 0.0 if low >= 0 else -_LARGEST
        ceiling = 1.0 if low >= 0 and high <= 1 else _LARGEST
        return cls(max(low - padding, floor), min(high + padding, ceiling), left, right)

    def x(self, number: float) -> float:
        """Where `number` is drawn; at an end if it lies beyond."""
        size = max(abs(self.low), abs(self.high))  # a difference of large numbers would be infinite
        low, high, at = self.low / size, self.high / size, number / size
        return self.left + (self.right - self.left) * min(max((at - low) / (high - low), 0.0), 1.0)

    def holds(self, number: float) -> bool:
        return self.low <= number <= self.high

    def ticks(self) -> list[float]:
        """Up to five round numbers."""
        least = (self.high - self.low) / 4
        if not sys.float_info.min < least < math.inf:
            return []
        power = 10.0 ** math.floor(math.log10(least))
        step = next(power * times for times in (1, 2, 5, 10, 20) if power * times >= least)
        first = math.ceil(self.low / step)
        ticks = itertools.takewhile(lambda tick: tick <= self.high, ((first + at) * step + 0.0 for at in range(5)))
        return list({f"{tick:.6g}": tick for tick in ticks}.values())


def _width(figure: Figure) -> float:
    """Of the interval, as far as it has ends."""
    ends = [bound if math.isfinite(bound) else figure.value for bound in figure.interval]
    return abs(ends[1] - ends[0])
