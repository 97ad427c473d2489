"""How much more data would decide a limit that these rows do not."""

from __future__ import annotations

import math
from collections.abc import Callable

from pytest_pixgates.model_gate import intervals
from pytest_pixgates.model_gate.intervals import Bounds

Needs = Callable[[float], str]


def of_rate(rate: float, n: float, counted: str, alpha: float) -> Needs:
    """So many observations of the same rate, whose interval is exact."""

    def decided(n: float, limit: float) -> bool:
        lower, upper = intervals.clopper_pearson(rate * n, n, alpha)
        return not lower < limit <= upper

    def needs(limit: float) -> str:
        if rate == limit:
            return "the rate is the limit itself, so no amount of data decides it"
        low, high = n, 2 * n
        for _ in range(60):
            if decided(high, limit):
                break
            high *= 2
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if decided(middle, limit) else (middle, high)
        return f"about {math.ceil(high):,} {counted} at the same rate; there are {n:,.0f}"

    return needs


def of_figure(value: float, bounds: Bounds, n: float, counted: str, what: str = "figure") -> Needs:
    """So many rows like these, of a figure whose interval narrows with the root of their number."""

    def needs(limit: float) -> str:
        if value == limit:
            return f"the {what} is the limit itself, so no amount of data decides it"
        reach = value - bounds[0] if value > limit else bounds[1] - value
        enough = n * (reach / abs(value - limit)) ** 2
        if not math.isfinite(enough):
            return "more data: these rows give no interval"
        return f"about {math.ceil(enough * 1.05):,} {counted} like these; there are {n:,.0f}"

    return needs
