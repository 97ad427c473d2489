"""What may be chosen for a simulation. Everything else follows from these values, byte for byte."""

from __future__ import annotations

import datetime
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np

ZONE = ZoneInfo("America/Sao_Paulo")
PIX_BEGAN = datetime.date(2020, 11, 16)  # after daylight saving time was given up: every day here has 24 hours
HOUR = 3_600_000
DAY = 24 * HOUR
REGIONS = ("N", "NE", "CO", "SE", "S")


@dataclass(frozen=True)
class Drift:
    """What changes from `after` on (a share of the period); days before it stay the same bytes.

    `amount_inflation` 0.2 raises amounts by a fifth. `new_typology_share` is the part of the campaigns that turns into
    remote access. `region` then makes `region_share` of the payments that people and companies initiate.
    """

    after: float = 0.75
    amount_inflation: float = 0.0
    new_typology_share: float = 0.0
    region: str | None = None
    region_share: float = 0.0

    def __post_init__(self) -> None:
        _within("drift-after", self.after, 0, 1)
        _within("amount-inflation", self.amount_inflation, -0.9, 10)
        _within("new-typology-share", self.new_typology_share, 0, 1)
        if self.region is not None and self.region not in REGIONS:
            raise ValueError(f"region {self.region!r} is unknown; there are {', '.join(REGIONS)}")
        if self.region is not None:
            _within("region-share", self.region_share, 0.01, 0.99)


@dataclass(frozen=True)
class Settings:
    """How much to simulate. Raises ValueError for what cannot be.

    `accounts` is by default one per 100 transactions. `fraud_rate` is the share of rows that are fraud. Of the fraud,
    `label_noise` is never reported, and as many honest payments are reported wrongly. After `label_window_days` without
    a report, a payment counts as honest.
    """

    rows: int
    seed: int = 0
    start: datetime.date = datetime.date(2026, 5, 1)
    days: int = 120
    accounts: int | None = None
    fraud_rate: float = 0.003
    label_noise: float = 0.02
    label_window_days: int = 30
    drift: Drift = field(default_factory=Drift)

    def __post_init__(self) -> None:
        _within("rows", self.rows, 1, 10**9)
        _within("seed", self.seed, 0, 2**63)
        _within("days", self.days, 7, 3660)
        _within("accounts", self.population, 200, 10**7)
        _within("fraud-rate", self.fraud_rate, 0, 0.2)
        _within("label-noise", self.label_noise, 0, 0.5)
        _within("label-window-days", self.label_window_days, 1, 365)
        if self.start < PIX_BEGAN:
            raise ValueError(f"start is {self.start}, before Pix began on {PIX_BEGAN}")

    @property
    def population(self) -> int:
        return self.accounts if self.accounts is not None else max(500, self.rows // 100)

    @property
    def frauds(self) -> int:
        return round(self.rows * self.fraud_rate)

    @property
    def drifts_on(self) -> int:
        """The first day that drifts, counted from the start."""
        return round(self.days * self.drift.after)

    @cached_property
    def midnight(self) -> int:
        """When the first day begins in São Paulo, in milliseconds since 1970."""
        began = datetime.datetime.combine(self.start, datetime.time(), ZONE)
        return round(began.timestamp()) * 1000

    def date(self, day: int) -> datetime.date:
        return self.start + datetime.timedelta(days=day)

    def stream(self, purpose: str, index: int = 0) -> np.random.Generator:
        """Random numbers of their own for each purpose and day, so that the order of work cannot matter."""
        spawn = (zlib.crc32(purpose.encode()), index + 1)  # the night before the first day has index -1
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(self.seed, spawn_key=spawn)))


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; it must be from {low} to {high}")
