"""Account state as a history leaves it: what the service must know before its first payment.

Without it every account is one that was never seen. Reads the tables of `simulate`, adds up the payments before a time
as the service would have, and writes a snapshot or fills a Redis.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from ml_pipeline.progress import Steps

AT_ONCE = 1_000  # values for Redis


def remember(
    data: Path, state: str, hash_key: Path | None, until: datetime | None = None, since: datetime | None = None
) -> tuple[int, int]:
    """Put accounts and the payments from `since` on and before `until` into the state of a folder or a URL.

    Returns how many payments and accounts there were. Raises FileNotFoundError, or ValueError for what data or state
    lack; FileExistsError if the folder has a snapshot already.
    """
    from ml_pipeline import features
    from ml_pipeline.serving.server import opened
    from ml_pipeline.serving.stores import SNAPSHOT, Memory

    if "://" not in state and (Path(state) / SNAPSHOT).exists():
        raise FileExistsError(f"{Path(state) / SNAPSHOT} is there already; remove it, or name another folder")
    progress = Steps(2)
    progress.begin("payments")
    payments = features.read(data, "transactions", features.TRANSACTIONS).sort("initiated_at", "end_to_end_id")
    payments = payments if until is None else payments.filter(payments["initiated_at"] < until.astimezone(UTC))
    payments = payments if since is None else payments.filter(payments["initiated_at"] >= since.astimezone(UTC))
    accounts = features.read(data, "accounts", features.ACCOUNTS)
    store, key = opened(state, hash_key)
    values = dict(_accounts(accounts, key)) | dict(_histories(payments, accounts, key))
    progress.begin("state")
    if isinstance(store, Memory):
        for each, value in values.items():
            store.put(each, value)
    asyncio.run(_kept(store, values))
    progress.done()
    return len(payments), len(accounts)


def _accounts(accounts: Any, key: bytes) -> Iterator[tuple[bytes, bytes]]:
    from ml_pipeline.online import REGIONS
    from ml_pipeline.serving import scoring
    from ml_pipeline.serving.keys import Hasher

    hasher = Hasher(key)
    for each in accounts.iter_rows(named=True):
        value = scoring.account(each["opened_at"], each["holder_type"], REGIONS.index(each["region"]))
        yield scoring.account_key(hasher, each["account_id"]), value


def _histories(payments: Any, accounts: Any, key: bytes) -> Iterator[tuple[bytes, bytes]]:
    from ml_pipeline import online
    from ml_pipeline.serving.histories import packed
    from ml_pipeline.serving.keys import Hasher
    from ml_pipeline.serving.scoring import HISTORIES, Hashed

    hasher, state, known = Hasher(key), online.State(), {}
    for each in accounts.iter_rows(named=True):
        known[each["account_id"]] = each
    gc.disable()  # millions of objects, none of them garbage
    try:
        for event in payments.iter_rows(named=True):
            sides = known[event["payer_account_id"]], known[event["payee_account_id"]]
            state.add(Hashed.of(hasher, event).within(online.payment(event, *sides)))
    finally:
        gc.enable()
    for name, key_of in HISTORIES.items():
        for whose, history in getattr(state, name).items():
            yield key_of(whose), packed(history, 1)


async def _kept(store: Any, values: dict[bytes, bytes]) -> None:
    if hasattr(store, "put_all"):
        left = iter(values.items())
        while some := dict(islice(left, AT_ONCE)):
            await store.put_all(some)
    await store.save()
    await store.close()


def add_arguments(steps: Any) -> None:
    """The subcommand `remember`."""
    from ml_pipeline.serve import state_arguments
    from ml_pipeline.train import DATA

    parser = steps.add_parser("remember", help="fill the account state of the service", description=__doc__)
    parser.set_defaults(run=run, step="remember")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of `simulate` (%(default)s)")
    parser.add_argument("--until", type=datetime.fromisoformat, help="time with its zone before which payments count")
    state_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Remember what the arguments name, and say how much. Raises as `remember` does."""
    if arguments.until is not None and arguments.until.tzinfo is None:
        raise ValueError("--until has no time zone; give one, as in 2026-07-30T00:00:00-03:00")
    payments, accounts = remember(arguments.data, arguments.state, arguments.hash_key, arguments.until)
    print(f"{payments:,} payments of {accounts:,} accounts are remembered")
