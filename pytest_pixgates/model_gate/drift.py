"""How far rows have moved from those that the model was trained on, as an effect size with bounds.

With enough rows every shift is significant, and with few none is; so the size of the shift is judged. The bounds come
from what chance alone does to it: under a small shift, `n m / (n + m)` times the index is a noncentral chi-square.
Drift can block or warn; it never makes a verdict better.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from pytest_pixgates.model_gate.columns import ScoresError
from pytest_pixgates.model_gate.intervals import Bounds, Floats

BINS = 10
_LARGE = 2_000.0
"""From here on the root of a noncentral chi-square is taken as normal."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the column `name` moved: `index` is "psi" (numbers) or "js" (categories); `ks` is for numbers only."""

    name: str
    index: str
    value: float
    bounds: Bounds
    n: int
    reference: int
    ks: float = math.nan
    ks_bounds: Bounds = (0.0, 1.0)

    def __str__(self) -> str:
        ks = "" if math.isnan(self.ks) else f", ks {self.ks:.3g} [{self.ks_bounds[0]:.3g}, {self.ks_bounds[1]:.3g}]"
        return f"{self.name}: {self.index} {self.value:.3g} [{self.bounds[0]:.3g}, {self.bounds[1]:.3g}]{ks}"


def shift(name: str, now: pl.Series, before: pl.Series, alpha: float) -> Shift:
    """The shift of a column from `before` (the training reference) to `now`. Raises ScoresError without any values."""
    for rows, what in ((now, "the test set"), (before, "the reference")):
        if not len(rows):
            raise ScoresError(f"{what} has no rows of {name}")
    if before.dtype.is_numeric() and now.dtype.is_numeric():
        return _of_numbers(name, now.cast(pl.Float64), before.cast(pl.Float64), alpha)
    if before.dtype.is_numeric() or now.dtype.is_numeric():
        raise ScoresError(f"{name} is {now.dtype} here and {before.dtype} in the reference")
    return _of_categories(name, now, before, alpha)


def _of_numbers(name: str, now: pl.Series, before: pl.Series, alpha: float) -> Shift:
    new, old = _known(now), _known(before)
    if not len(old):
        raise ScoresError(f"the reference has no value of {name}")
    edges, times = np.unique(np.quantile(old, np.arange(1, BINS) / BINS), return_counts=True)
    # A value that fills bins of its own is one: what lies below it is another.
    edges = np.union1d(edges, np.nextafter(edges[times > 1], -np.inf))

    def counted(values: Floats, missing: int) -> Floats:
        places = np.searchsorted(edges, values, side="left")
        return np.append(np.bincount(places, minlength=len(edges) + 1), missing).astype(np.float64)

    a, b = counted(new, len(now) - len(new)), counted(old, len(before) - len(old))
    p, q = _shares(a, b)
    value = float(((p - q) * np.log(p / q)).sum())
    bounds = _effect(value, 1.0, len(p) - 1, len(now), len(before), alpha)
    ks = _distance(new, old) if len(new) else 1.0
    noise = math.sqrt(math.log(2 / alpha) / 2) * (len(now) ** -0.5 + len(before) ** -0.5)
    around = max(0.0, ks - noise), min(1.0, ks + noise)
    return Shift(name, "psi", value, bounds, len(now), len(before), ks, around)


def _of_categories(name: str, now: pl.Series, before: pl.Series, alpha: float) -> Shift:
    text = [each.cast(pl.String).fill_null("(null)").value_counts() for each in (now, before)]
    found = [dict(each.iter_rows()) for each in text]
    names = sorted(set(found[0]) | set(found[1]))
    p, q = _shares(*(np.array([float(each.get(one, 0)) for one in names]) for each in found))
    middle = (p + q) / 2
    value = float((p * np.log2(p / middle) + q * np.log2(q / middle)).sum() / 2)
    scale = 8 * math.log(2)  # near no shift, so much of it is the chi-square distance
    bounds = _effect(value, scale, max(len(names) - 1, 1), len(now), len(before), alpha)
    return Shift(name, "js", value, bounds, len(now), len(before))


def _shares(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Shares of the bins that hold anything, half a row added to each so that a logarithm exists."""
    there = (a + b) > 0
    a, b = a[there] + 0.5, b[there] + 0.5
    return a / a.sum(), b / b.sum()


def _effect(value: float, scale: float, freedom: int, n: int, m: int, alpha: float) -> Bounds:
    """Bounds of the index that chance could have turned into `value`, each at 1 - alpha."""
    rows = n * m / (n + m)
    seen, freedom = value * scale * rows, max(freedom, 1)

    def centre(probability: float) -> float:
        if seen > _LARGE:
            root = math.sqrt(seen) - float(special.ndtri(probability))
            return max(0.0, root**2 - freedom)
        if special.chndtr(seen, freedom, 0.0) <= probability:
            return 0.0
        low, high = 0.0, 4 * seen + 100.0
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if special.chndtr(seen, freedom, middle) > probability else (low, middle)
        return (low + high) / 2

    lower, upper = centre(1 - alpha) / rows / scale, centre(alpha) / rows / scale
    return min(lower, value), max(upper, value)


def _known(values: pl.Series) -> Floats:
    found: NDArray[np.float64] = values.drop_nulls().to_numpy()
    return found[np.isfinite(found)]


def _distance(left: Floats, right: Floats) -> float:
    """The largest distance between two distributions (Kolmogorov and Smirnov)."""
    left, right = np.sort(left), np.sort(right)
    at = np.concatenate([left, right])
    gap = np.searchsorted(left, at, side="right") / len(left) - np.searchsorted(right, at, side="right") / len(right)
    return float(np.abs(gap).max())
