"""The features of a whole history of payments at once: what `online.define` states, asked with columns."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml_pipeline.online import (
    ADDS,
    DAY,
    FEATURES,
    HOUR,
    LATEST,
    LOOKED_UP,
    MILLION,
    REGIONAL,
    REGIONS,
    WINDOWS,
    Past,
    Payment,
    State,
    added,
    define,
    payment,
)

__all__ = [
    "DAY",
    "FEATURES",
    "HOUR",
    "LATEST",
    "REGIONAL",
    "REGIONS",
    "Payment",
    "State",
    "compute",
    "offline",
    "payment",
    "read",
]

TRANSACTIONS = (
    "end_to_end_id", "initiated_at", "payer_account_id", "payee_account_id", "initiation_type", "amount_cents",
    "device_id", "device_registered",
)  # fmt: skip
ACCOUNTS = ("account_id", "holder_type", "region", "age_band", "opened_at")
# What `offline` says of each payment beside its features.
DESCRIBED = (
    "end_to_end_id", "initiated_at", "payer_account_id", "payee_account_id", "region", "age_band", "amount_cents",
)  # fmt: skip


class _Columns:
    """The functions of `define` for columns."""

    log, exp, sqrt, cos, sin, atan2 = np.log, np.exp, np.sqrt, np.cos, np.sin, np.arctan2
    minimum, maximum, where = np.minimum, np.maximum, np.where

    @staticmethod
    def whole(value: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.rint(value * MILLION).astype(np.int64)


class _Ledger:
    """All histories of one kind at once: payments by key, then by time, and the running totals over them.

    Keys are whole numbers from 0, `at` ascends.
    """

    def __init__(self, key: NDArray[np.int64], at: NDArray[np.int64], adds: dict[str, NDArray[np.int64]]) -> None:
        self.key, self.at, self.adds = key, at, adds
        self.order = np.argsort(key, kind="stable")
        self.began, self.span = int(at[0]), int(at[-1] - at[0]) + 1
        if (int(key.max()) + 2) * self.span > 2**62:
            raise ValueError(f"{len(at):,} payments of {key.max() + 1:,} keys are too many for one history; split it")
        self.moments = key[self.order] * self.span + (at[self.order] - self.began)
        self._running: dict[str, NDArray[np.int64]] = {}

    def running(self, name: str) -> NDArray[np.int64]:
        """The total of a value before each place, over all keys."""
        if name not in self._running:
            self._running[name] = np.concatenate(([0], np.cumsum(self.adds[name][self.order])))
        return self._running[name]

    @cached_property
    def highest(self) -> NDArray[np.int64]:
        """The highest logarithm of a key up to and including each place."""
        log, above, key = self.adds["log"][self.order], 1 << 32, self.key[self.order]
        return np.maximum.accumulate(key * above + log) - key * above


class _Look:
    """What the histories of each payment's key were before it, or within a window; each total made when asked for.

    `asks` is the ledger by whose key each payment asks, `of` the ledger that it asks.
    """

    def __init__(self, asks: _Ledger, of: _Ledger, back: int | None = None) -> None:
        self.of = of
        # Asked in the order of the keys: several times faster than in the order of time.
        key, at = asks.key[asks.order], asks.at[asks.order] - of.began
        begin, end = np.empty_like(key), np.empty_like(key)
        end[asks.order] = last = np.searchsorted(of.moments, key * of.span + at)
        since = np.zeros_like(at) if back is None else np.maximum(at - back, 0)
        first = np.searchsorted(of.moments, key * of.span + since)
        begin[asks.order] = first if back is None else np.maximum(first, last - LATEST)
        self.begin, self.end = begin, end
        self.payments = end - begin

    def __getattr__(self, name: str) -> NDArray[np.int64]:
        running = self.of.running(name)
        return running[self.end] - running[self.begin]

    @property
    def first_at(self) -> NDArray[np.int64]:
        return self.of.at[self.of.order[np.minimum(self.begin, len(self.of.order) - 1)]]

    @property
    def highest(self) -> NDArray[np.int64]:
        return self.of.highest[self.end - 1]


def _columns_past(one: Payment) -> Any:
    """The histories before each payment, for `define`."""
    pair = np.unique(one.payer * (one.payee.max() + 1) + one.payee, return_inverse=True)[1]
    device = np.unique(one.payer * (one.device.max() + 1) + one.device, return_inverse=True)[1]
    adds = dict(zip(ADDS, added(_Columns, one, None), strict=True))
    past = Past()
    pairs, devices = _Ledger(pair, one.at, adds), _Ledger(device, one.at, adds)
    past.pair, past.device = _Look(pairs, pairs), _Look(devices, devices)
    adds |= {"new": (past.pair.payments == 0).astype(np.int64), "static": one.static.astype(np.int64)}
    sides = {
        "payer": (sent := _Ledger(one.payer, one.at, adds)),
        "payee": (received := _Ledger(one.payee, one.at, adds)),
    }
    kinds = {"sent": sent, "received": received}
    past.sent, past.received = _Look(sent, sent), _Look(received, received)
    for name, back in WINDOWS.items():
        kind, side = LOOKED_UP[name.partition("_")[0]]
        setattr(past, name, _Look(sides[side], kinds[kind], back))
    past.payee_payers_24h = _different(past.received_24h, pair)
    return past


def _different(look: _Look, value: NDArray[np.int64], at_once: int = 1 << 23) -> NDArray[np.int64]:
    """How many different values there are among the payments of each look; a value counts where it occurs last."""
    order = look.of.order
    by_value = np.argsort(value[order], kind="stable")
    following = np.full(len(order), len(order))
    same = value[order][by_value[1:]] == value[order][by_value[:-1]]
    following[by_value[:-1][same]] = by_value[1:][same]
    size, count = look.end - look.begin, np.zeros(len(look.end), np.int64)
    ends = np.cumsum(size)
    begin = 0
    while begin < len(size):
        done = ends[begin - 1] if begin else 0
        stop = max(begin + 1, int(np.searchsorted(ends, done + at_once, "right")))
        sizes = size[begin:stop]
        row = np.repeat(np.arange(begin, stop), sizes)
        place = np.arange(len(row)) - np.repeat(ends[begin:stop] - sizes - done, sizes) + look.begin[row]
        last = following[place] >= look.end[row]
        count[begin:stop] = np.bincount(row[last] - begin, minlength=stop - begin)
        begin = stop
    return count


def offline(folder: Path) -> pl.DataFrame:
    """DESCRIBED and every feature (float32) of each payment that was simulated into `folder`, by time and id.

    Raises FileNotFoundError if there is no simulation, ValueError if rows, columns, values or accounts are missing.
    """
    return compute(read(folder, "transactions", TRANSACTIONS), read(folder, "accounts", ACCOUNTS))


def read(folder: Path, name: str, columns: tuple[str, ...]) -> pl.DataFrame:
    """These columns of a table of the simulation in `folder`. Raises as `offline` does."""
    files = sorted((folder / name).rglob("*.parquet"))
    if not files:
        simulate = f"python -m ml_pipeline simulate --rows 1000000 --out {folder}"
        raise FileNotFoundError(f"{folder / name} holds no Parquet file; simulate first: {simulate}")
    table = pl.scan_parquet(files, hive_partitioning=False)
    missing = [each for each in columns if each not in table.collect_schema().names()]
    if missing:
        raise ValueError(f"{folder / name} lacks the columns {', '.join(missing)}; simulate it again")
    made = table.select(columns).collect()
    if made.is_empty():
        raise ValueError(f"{folder / name} holds no row; simulate it again")
    return made


def compute(transactions: pl.DataFrame, accounts: pl.DataFrame) -> pl.DataFrame:
    """As `offline`, from tables."""
    table = transactions.sort("initiated_at", "end_to_end_id")
    known = accounts.select(ACCOUNTS).with_columns(pl.col("region").cast(pl.Enum(REGIONS), strict=False))
    known = known.with_row_index("code")
    for side in ("payer", "payee"):
        renamed = known.rename({name: f"{side}_{name}" for name in known.columns})
        table = table.join(renamed, on=f"{side}_account_id", how="left", validate="m:1", maintain_order="left")
    _complete(table)
    one = _columns(table)
    made = define(_Columns, one, _columns_past(one))
    described = table.with_columns(region=pl.col("payer_region").cast(pl.String), age_band=pl.col("payer_age_band"))
    features = (pl.Series(name, np.asarray(each, np.float32)) for name, each in made.items())
    return described.select(DESCRIBED).with_columns(features)


def _complete(table: pl.DataFrame) -> None:
    for side in ("payer", "payee"):
        unknown = table.filter(pl.col(f"{side}_code").is_null())[f"{side}_account_id"]
        if len(unknown):
            raise ValueError(f"accounts lack {len(unknown):,} of the {side}_account_id, {unknown[0]!r} first; add them")
    of_accounts = [f"{side}_{name}" for side in ("payer", "payee") for name in ("holder_type", "region", "opened_at")]
    empty = table.select(*TRANSACTIONS, *of_accounts).null_count().row(0, named=True)
    holes = [f"{count:,} of {name}" for name, count in empty.items() if count]
    if holes:
        raise ValueError(f"values are missing or unknown: {', '.join(holes)}; judge the data with its contracts first")
    if table["amount_cents"].min() < 1:
        raise ValueError("an amount_cents is below 1; judge the data with its contracts first")


def _columns(table: pl.DataFrame) -> Payment:
    """The payments of a table with both accounts' reference data."""

    def numbers(column: str | pl.Expr, kind: Any = pl.Int64) -> NDArray[Any]:
        return table.select(pl.col(column) if isinstance(column, str) else column).to_series().cast(kind).to_numpy()

    def moments(column: str) -> NDArray[np.int64]:
        return numbers(pl.col(column).dt.timestamp("ms"))

    def truth(column: pl.Expr) -> NDArray[np.bool_]:
        return numbers(column, pl.Boolean)

    return Payment(
        at=moments("initiated_at"),
        payer=numbers("payer_code"),
        payee=numbers("payee_code"),
        device=numbers(pl.col("device_id").rank("dense")),
        cents=numbers("amount_cents"),
        static=truth(pl.col("initiation_type") == "QRES"),
        dynamic=truth(pl.col("initiation_type") == "QRDN"),
        registered=truth(pl.col("device_registered")),
        payer_opened=moments("payer_opened_at"),
        payee_opened=moments("payee_opened_at"),
        payer_company=truth(pl.col("payer_holder_type") == "LEGAL_PERSON"),
        payee_company=truth(pl.col("payee_holder_type") == "LEGAL_PERSON"),
        payer_region=table["payer_region"].to_physical().to_numpy(),
        payee_region=table["payee_region"].to_physical().to_numpy(),
    )
