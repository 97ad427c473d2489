"""Simulated Pix payments, because real ones may not leave the bank: `transactions`, `accounts` and `labels`.

A day is made from the settings alone, with random numbers of its own. The same seed therefore gives the same bytes in
whatever order and in however many threads days are made. Fraud is planned first, for the whole period. Columns, kinds
of fraud and measured numbers: docs/data.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_pipeline.folders import replaced

if TYPE_CHECKING:
    import polars as pl

    from ml_pipeline.simulation.accounts import Accounts
    from ml_pipeline.simulation.rows import Rows
    from ml_pipeline.simulation.settings import Settings

MANIFEST = "_simulation.json"  # names with an underscore are no data to Spark and polars
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Simulation:
    """A simulated period: its accounts, and any of its days on demand."""

    settings: Settings

    @cached_property
    def accounts(self) -> Accounts:
        from ml_pipeline.simulation.accounts import open_accounts

        return open_accounts(self.settings)

    @cached_property
    def fraud(self) -> Rows:
        from ml_pipeline.simulation import typologies

        return typologies.plan(self.settings, self.accounts)

    @cached_property
    def honest_counts(self) -> Any:
        """How many honest payments each part of each day has (an array by day and part), by what is usual then."""
        import numpy as np

        from ml_pipeline.simulation import behaviour, seasons

        weights = np.array(
            [
                [behaviour.payer_weights(self.settings, self.accounts, day, part, drifts=False).sum()
                 for part in range(len(seasons.PARTS))]
                for day in range(self.settings.days)
            ]
        )  # fmt: skip
        count = self.settings.rows - self.settings.frauds
        drawn = self.settings.stream("counts").multinomial(count, (weights / weights.sum()).ravel())
        return drawn.reshape(weights.shape)

    def prepare(self) -> None:
        """Do what all days share, before threads ask for it at once."""
        _ = self.accounts, self.fraud, self.honest_counts

    def day(self, day: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The transactions and the labels of one date in São Paulo, both by time."""
        import numpy as np

        from ml_pipeline.simulation import behaviour, seasons, tables
        from ml_pipeline.simulation.rows import join
        from ml_pipeline.simulation.settings import DAY

        counts = self.honest_counts
        began = self.settings.midnight + day * DAY
        first, last = np.searchsorted(self.fraud.at, [began, began + DAY])
        parts = [
            self._night(day - 1)[1],
            behaviour.daytime(self.settings, self.accounts, day, int(counts[day, seasons.DAYTIME])),
            self._night(day)[0],
            self.fraud.take(np.arange(first, last)),
        ]
        rows = join(parts)
        return tables.tables(self.settings, self.accounts, day, rows.take(np.argsort(rows.at, kind="stable")))

    def _night(self, day: int) -> tuple[Rows, Rows]:
        """The honest payments of the evening of a day and of the morning after."""
        import numpy as np

        from ml_pipeline.simulation import behaviour, seasons, typologies

        counts, days = self.honest_counts, self.settings.days
        night, dark = typologies.nights(self.settings, self.fraud.at)
        within = dark & (night == day)
        spent = np.bincount(self.fraud.payer[within], self.fraud.cents[within], minlength=len(self.accounts))
        evening = int(counts[day, seasons.EVENING]) if day >= 0 else 0
        morning = int(counts[day + 1, seasons.MORNING]) if day + 1 < days else 0
        return behaviour.night(self.settings, self.accounts, day, (evening, morning), spent)


def write(settings: Settings, out: Path, jobs: int = 1) -> None:
    """Simulate into `out`, which appears whole or not at all.

    An earlier simulation in `out` is replaced. Raises FileExistsError if anything else is there.
    """
    with replaced(out, MANIFEST) as folder:
        simulation = Simulation(settings)
        simulation.prepare()
        _write(simulation.accounts.table, folder / "accounts" / "part-0.parquet")
        progress = _Progress(settings.rows)
        with ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(_write_day, simulation, day, folder) for day in range(settings.days)]
            try:
                for future in as_completed(futures):
                    progress.add(future.result())
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        progress.done()
        manifest = {"schema_version": SCHEMA_VERSION, "settings": asdict(settings)}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True, default=str) + "\n")


def _write_day(simulation: Simulation, day: int, folder: Path) -> int:
    transactions, labels = simulation.day(day)
    partition = f"date={simulation.settings.date(day)}"
    _write(transactions, folder / "transactions" / partition / "part-0.parquet")
    _write(labels, folder / "labels" / partition / "part-0.parquet")
    return len(transactions)


def _write(table: pl.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write_parquet(path, compression="zstd", compression_level=3, row_group_size=1 << 20, statistics=True)


class _Progress:
    """A bar on a terminal, and nothing elsewhere."""

    def __init__(self, rows: int) -> None:
        self.rows, self.made, self.began = rows, 0, time.monotonic()
        self.shown = sys.stderr.isatty()

    def add(self, rows: int) -> None:
        self.made += rows
        if self.shown:
            filled = 30 * self.made // self.rows
            speed = self.made / max(time.monotonic() - self.began, 1e-3)
            bar = "#" * filled + "." * (30 - filled)
            print(
                f"\r[{bar}] {self.made:,} of {self.rows:,} rows, {speed:,.0f}/s ", end="", file=sys.stderr, flush=True
            )

    def done(self) -> None:
        if self.shown:
            print(file=sys.stderr)


def add_arguments(steps: Any) -> None:
    """The subcommand `simulate`."""
    parser = steps.add_parser("simulate", help="make transactions, accounts and labels", description=__doc__)
    parser.set_defaults(run=run, step="simulate")
    parser.add_argument("--rows", type=int, required=True, help="transactions, exactly")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; it appears whole or not at all")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="threads; they change no byte")
    parser.add_argument("--start", type=datetime.date.fromisoformat, help="first date (2026-05-01)")
    parser.add_argument("--days", type=int, help="length of the period (120)")
    parser.add_argument("--accounts", type=int, help="by default one per 100 transactions")
    parser.add_argument("--fraud-rate", type=float, help="share of the transactions (0.003)")
    parser.add_argument("--label-noise", type=float, help="share of wrong labels among the fraud (0.02)")
    parser.add_argument("--label-window-days", type=int, help="without a report, honest after these days (30)")
    drift = parser.add_argument_group("drift", "what changes within the period; days before it stay the same bytes")
    drift.add_argument("--drift-after", dest="after", type=float, help="share of the period that passes first (0.75)")
    drift.add_argument("--amount-inflation", type=float, help="0.2 raises amounts by a fifth")
    drift.add_argument("--new-typology-share", type=float, help="share of the fraud that turns into remote access")
    drift.add_argument("--region", help="N, NE, CO, SE or S, whose share of payers changes")
    drift.add_argument("--region-share", type=float, help="to this")


def run(arguments: argparse.Namespace) -> None:
    """Write what the arguments ask for. Raises ValueError or OSError with what to change."""
    from ml_pipeline.simulation.settings import Drift, Settings

    if arguments.jobs < 1:
        raise ValueError(f"jobs is {arguments.jobs}; it must be at least 1")
    if (arguments.region is None) != (arguments.region_share is None):
        raise ValueError("--region and --region-share belong together")
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    drift = Drift(**{name: given[name] for name in Drift.__dataclass_fields__ if name in given})
    names = Settings.__dataclass_fields__.keys() - {"drift"}
    settings = Settings(drift=drift, **{name: given[name] for name in names if name in given})
    write(settings, arguments.out, arguments.jobs)
