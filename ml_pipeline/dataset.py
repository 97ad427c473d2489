"""Features with their labels, cut by time and by account so that no part knows another's outcome."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml_pipeline import features
from ml_pipeline.folders import digest_of_all

LABELS = ("end_to_end_id", "is_fraud", "typology", "label_known_at")
LABEL_WINDOW = timedelta(days=30)  # a payment that nobody reported by then counts as honest
TEST = timedelta(days=30)
WARM_UP = timedelta(days=7)  # at the start nearly everything is new, which it never is again
VALIDATION_SHARE = 0.2  # of the time from which labels are final
HELD_OUT_SHARE = 0.1  # of the accounts
MINIMUM = 20  # frauds, below which a part teaches or shows nothing


@dataclass(frozen=True)
class Periods:
    """When each part begins. Training ends where validation begins, validation at `final_until`, the test at the end.

    Between `final_until` and `test` lies the window in which labels are not final when the test begins.
    """

    training: datetime
    validation: datetime
    final_until: datetime
    test: datetime


@dataclass(frozen=True)
class Dataset:
    """All payments with features and labels, by time."""

    table: pl.DataFrame
    periods: Periods

    def learnable(self) -> pl.DataFrame:
        """Payments of training and validation whose labels are final when the test begins."""
        at, known = pl.col("initiated_at"), pl.col("label_known_at")
        within = (at >= self.periods.training) & (at < self.periods.final_until)
        return self.table.filter(within & (known <= self.periods.test))

    def test(self) -> pl.DataFrame:
        """Payments of the test period, whether their labels are final or not."""
        return self.table.filter(pl.col("initiated_at") >= self.periods.test)


def load(folder: Path) -> Dataset:
    """The simulation in `folder`. Raises FileNotFoundError or ValueError with what is missing."""
    made = features.offline(folder)
    labels = features.read(folder, "labels", LABELS)
    table = made.join(labels, on="end_to_end_id", how="left", validate="1:1", maintain_order="left")
    bare = table.filter(pl.col("is_fraud").is_null() | pl.col("label_known_at").is_null())
    if len(bare):
        raise ValueError(f"{len(bare):,} payments have no label, {bare['end_to_end_id'][0]} first; simulate again")
    return Dataset(table, periods(table["initiated_at"]))


def periods(initiated_at: pl.Series) -> Periods:
    """The parts of a period of payments, by midnights in São Paulo. Raises ValueError if it is too short."""
    local = initiated_at.dt.convert_time_zone("America/Sao_Paulo").dt.truncate("1d").dt.convert_time_zone("UTC")
    test = local.max() + timedelta(days=1) - TEST
    training, final_until = local.min() + WARM_UP, test - LABEL_WINDOW
    days = round((final_until - training).days * (1 - VALIDATION_SHARE))
    validation = training + timedelta(days=days)
    if not training < validation < final_until:
        needed = (TEST + LABEL_WINDOW + WARM_UP).days
        raise ValueError(
            f"the payments are of {(local.max() - local.min()).days + 1} days; training needs more than {needed} "
            "(warm-up, labels that are final, test)"
        )
    return Periods(training, validation, final_until, test)


def held_out(accounts: pl.Series, seed: int) -> NDArray[np.bool_]:
    """Which accounts are held out of training; the same ones whatever else is in the data."""
    unique = accounts.unique()
    drawn = [zlib.crc32(f"{seed}/{each}".encode()) / 2**32 < HELD_OUT_SHARE for each in unique]
    return accounts.is_in(unique.filter(pl.Series(drawn)).implode()).to_numpy()


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of each table of a simulation."""
    return {name: digest_of_all(folder / name) for name in ("transactions", "labels", "accounts")}
