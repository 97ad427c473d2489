"""What a load on the service needs: the account state of the morning when the test period began, and what came then.

The gate on latency starts the service on this state and sends it these payments, in their order, faster than they came.
"""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ml_pipeline import folders
from ml_pipeline.train import DATA

MANIFEST, STATE, PAYMENTS = "rehearsal.json", "state", "payments.ndjson"
REHEARSAL = Path("ml_pipeline/rehearsal")
SCHEMA_VERSION = 1
HISTORY = timedelta(days=30)  # the longest window of a feature
SOURCES = ("online.py", "remember.py", "rehearse.py", "serving/histories.py", "serving/scoring.py", "serving/stores.py")


def rehearse(data: Path, out: Path, count: int) -> bool:
    """Write account state and the first `count` payments of the test period of `data` into `out`, whole or not at all.

    Returns False, having changed nothing, if `out` is already what would be written. Raises FileNotFoundError or
    ValueError with what the data lack, FileExistsError if anything but a rehearsal is in `out`.
    """
    inputs = _inputs(data, count)
    found = folders.read_json(out / MANIFEST)
    if folders.is_up_to_date(out, found, inputs, found.get("files", {})):
        return False
    from ml_pipeline import dataset, features
    from ml_pipeline.remember import remember

    begins = dataset.periods(features.read(data, "transactions", ("initiated_at",))["initiated_at"]).test
    with folders.replaced(out, MANIFEST) as folder:
        remember(data, str(folder / STATE), None, begins, begins - HISTORY)
        with (folder / PAYMENTS).open("w") as file:
            file.writelines(json.dumps(each) + "\n" for each in as_sent(data, begins, count))
        files = {path.relative_to(folder).as_posix(): folders.digest(path) for path in _files(folder)}
        folders.write_json(folder / MANIFEST, {**inputs, "files": files})
    return True


def as_sent(data: Path, since: datetime, count: int) -> list[dict[str, Any]]:
    """The first `count` payments from `since` on, as clients send them: all columns of the contract, in their order."""
    import polars as pl

    table = pl.scan_parquet(data / "transactions" / "**" / "*.parquet", hive_partitioning=False)
    later = table.filter(pl.col("initiated_at") >= since)
    rows = later.sort("initiated_at", "end_to_end_id").head(count).collect()
    return [{**row, "initiated_at": row["initiated_at"].isoformat()} for row in rows.iter_rows(named=True)]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _inputs(data: Path, count: int) -> dict[str, Any]:
    from ml_pipeline import dataset

    code = {name: folders.digest(Path(__file__).parent / name) for name in SOURCES}
    return {"schema_version": SCHEMA_VERSION, "count": count, "data": dataset.digests(data), "code": code}


def add_arguments(steps: Any) -> None:
    """The subcommand `rehearse`."""
    parser = steps.add_parser("rehearse", help="write what a load on the service needs", description=__doc__)
    parser.set_defaults(run=run, step="rehearse")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of `simulate` (%(default)s)")
    parser.add_argument("--out", type=Path, default=REHEARSAL, help="folder to write (%(default)s)")
    parser.add_argument("--count", type=int, default=20_000, help="payments to send (%(default)s)")


def run(arguments: argparse.Namespace) -> None:
    """Write what the arguments name, and say what came of it. Raises as `rehearse` does."""
    if arguments.count < 1:
        raise ValueError(f"--count is {arguments.count}; it must be at least 1")
    if rehearse(arguments.data, arguments.out, arguments.count):
        print(f"{arguments.out}: account state, and {arguments.count:,} payments to send")
    else:
        print(f"up to date: {arguments.out} was made from these very inputs; nothing was changed")
