"""How well a model does on the test set at its threshold, with intervals as the gates measure them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from pytest_pixgates import Measurement

CONFIDENCE = 0.90  # two-sided
ALPHA = (1 - CONFIDENCE) / 2  # each end by itself
RATES = ("recall", "precision", "false_positive_rate")


@dataclass(frozen=True)
class Rate:
    """A share of `of` rows with its interval; a share of nothing has no value, and may be anything."""

    value: float | None
    lower: float
    upper: float
    of: int

    @classmethod
    def measured(cls, found: Measurement) -> Rate:
        if math.isnan(found.value):
            return cls(None, 0.0, 1.0, found.n)
        return cls(found.value, found.lower, found.upper, found.n)

    def __str__(self) -> str:
        return "none" if self.value is None else f"{self.value:.4f} ({self.lower:.4f} to {self.upper:.4f})"


@dataclass(frozen=True)
class Figures:
    """What a model does on labelled rows; whoever scores at least the threshold is stopped."""

    rows: int
    frauds: int
    recall: Rate
    precision: Rate
    false_positive_rate: Rate
    average_precision: float
    roc_auc: float

    def metrics(self) -> dict[str, float]:
        """By name; a rate is three numbers, and absent if it is a share of nothing."""
        found = {
            "rows": float(self.rows), "frauds": float(self.frauds),
            "average_precision": self.average_precision, "roc_auc": self.roc_auc,
        }  # fmt: skip
        for name in RATES:
            rate: Rate = getattr(self, name)
            if rate.value is not None:
                found |= {name: rate.value, f"{name}_lower": rate.lower, f"{name}_upper": rate.upper}
        return found


@dataclass(frozen=True)
class Group:
    """The payments of a region, an age band or a kind of fraud."""

    name: str
    rows: int
    recall: Rate
    false_positive_rate: Rate


def measure(score: NDArray[np.float64], fraud: NDArray[np.bool_], threshold: float) -> Figures:
    """Raises ValueError without a fraud or without an honest payment, for then nothing can be told."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    from pytest_pixgates import Scores

    frauds = int(fraud.sum())
    if not 0 < frauds < len(fraud):
        raise ValueError(f"the test set has {len(fraud)} rows and {frauds} frauds; it must have both kinds")
    found = Scores(fraud, score, threshold=threshold, alpha=ALPHA)
    return Figures(
        rows=len(fraud),
        frauds=frauds,
        **{name: Rate.measured(getattr(found, name)) for name in RATES},
        average_precision=float(average_precision_score(fraud, score)),
        roc_auc=float(roc_auc_score(fraud, score)),
    )


def groups(scores: pl.DataFrame, column: str, threshold: float) -> Iterator[Group]:
    """Each value of a column of the scores in order; `none` is the rows that have no value."""
    from pytest_pixgates import Scores

    named = {column: scores[column].fill_null("none")}
    found = Scores(scores["is_fraud"], scores["score"], threshold=threshold, groups=named, alpha=ALPHA)
    for name, part in found.by(column).items():
        yield Group(name, part.size, Rate.measured(part.recall), Rate.measured(part.false_positive_rate))
