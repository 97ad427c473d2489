"""Payments as columns of plain arrays, before they become a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_pipeline.identifiers import Booleans, Integers

# How a payment was initiated, in the terms of the Pix message: typed in, by key, static code, dynamic code, or through
# an initiation provider.
INITIATIONS = ("MANU", "DICT", "QRES", "QRDN", "INIC")
MANUAL, KEY, STATIC_CODE, DYNAMIC_CODE, INITIATOR = range(5)
HONEST = -1


@dataclass(frozen=True)
class Rows:
    """Payments: when (milliseconds since 1970), between which accounts (their positions), how much, how, from where."""

    at: Integers
    payer: Integers
    payee: Integers
    cents: Integers
    initiation: Integers
    device: NDArray[np.uint64]
    registered: Booleans
    typology: Integers
    known_at: Integers

    def __len__(self) -> int:
        return len(self.at)

    def take(self, which: NDArray[Any]) -> Rows:
        return Rows(*(getattr(self, column.name)[which] for column in fields(self)))

    def having(self, **columns: NDArray[Any]) -> Rows:
        return replace(self, **columns)


def join(parts: Sequence[Rows]) -> Rows:
    return Rows(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(Rows)))


def capped(cents: Integers, group: Integers, budget: NDArray[Any]) -> Integers:
    """Amounts scaled down so that each group's sum stays within its budget; whole reais where it bites."""
    total = np.bincount(group, weights=cents, minlength=len(budget))
    factor = np.minimum(1.0, budget / np.maximum(total, 1))[group]
    scaled = np.floor(cents * factor).astype(np.int64)
    whole = np.where(scaled >= 100, scaled // 100 * 100, np.maximum(scaled, 1))
    return np.where(factor < 1, whole, cents)
