"""Payments in their order to scores: features by the account state in memory, the ONNX model once for a whole batch.

The stream needs of a scoring what `Scoring` shows: `score`, and `dump` and `load` of all that it remembers. What it
answers must depend on the payments it has seen, and on nothing else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml_pipeline import features
from ml_pipeline.serving.model import Model
from ml_pipeline.streaming.messages import Transaction

ACCOUNTS = "accounts"


class Scored(NamedTuple):
    """What the model says of a payment. `reasons`: the features that weighed most, of what is not approved."""

    score: float
    decision: Literal["approve", "block"]
    reasons: tuple[str, ...]


def scored(model: Model, rows: Sequence[NDArray[np.float32]]) -> list[Scored]:
    """Each row of features, scored and decided as the service does."""
    matrix = np.array(rows, np.float32)
    return [
        Scored(score, "block", model.reasons(row, score)) if score >= model.threshold else Scored(score, "approve", ())
        for row, score in zip(matrix, model.scorer(matrix).tolist(), strict=True)
    ]


def accounts(place: str) -> dict[str, dict[str, Any]]:
    """Reference data by account, from the table `accounts` in a folder, or below a URL (s3://bucket).

    Raises as `features.read` does, and OSError if the URL can't be read.
    """
    with _brought(place) as folder:
        rows = features.read(folder, ACCOUNTS, features.ACCOUNTS)
    return {row["account_id"]: row for row in rows.iter_rows(named=True)}


@contextmanager
def _brought(place: str) -> Iterator[Path]:
    """The folder, or one with what lies below the URL."""
    if "://" not in place:
        yield Path(place)
        return
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    with tempfile.TemporaryDirectory(prefix="accounts-") as name:
        (Path(name) / ACCOUNTS).mkdir()
        try:
            store = from_url(place)
            found = (each["path"] for batch in store.list(ACCOUNTS) for each in batch)
            paths = sorted(each for each in found if each.endswith(".parquet"))
            for number, path in enumerate(paths):
                (Path(name) / ACCOUNTS / f"{number}.parquet").write_bytes(store.get(path).bytes())
        except BaseError as error:
            raise OSError(f"{place}/{ACCOUNTS} could not be read ({type(error).__name__})") from error
        if not paths:
            raise FileNotFoundError(f"{place}/{ACCOUNTS} holds no Parquet file")
        yield Path(name)


@dataclass(slots=True)
class Scoring:
    """Scores payments, and remembers them. `late` and `unknown` count what was not as it should be."""

    model: Model
    accounts: dict[str, dict[str, Any]]
    late: int = 0
    unknown: int = 0
    _state: features.State = field(default_factory=features.State)

    def score(self, batch: Iterable[tuple[Transaction, bool]]) -> list[Scored]:
        """Scores of those payments of a batch of which it is asked (True); all are remembered, in their order."""
        rows, names, state = [], self.model.scorer.features, self._state
        for transaction, asked in batch:
            one = self._in_time(self._payment(transaction))
            if asked:
                rows.append(state.features(one, names))
            state.add(one)
        return scored(self.model, rows) if rows else []

    def dump(self) -> bytes:
        """All that is remembered."""
        return msgspec.msgpack.encode(self._state)

    def load(self, data: bytes | None) -> None:
        """Remember what was dumped, or nothing. Raises ValueError if it can't be read."""
        try:
            self._state = msgspec.msgpack.decode(data, type=features.State) if data else features.State()
        except msgspec.DecodeError as error:
            raise ValueError(f"the account state can't be read: {error}; remove the snapshot") from error

    def _payment(self, one: Transaction) -> features.Payment:
        """An account that is not known (yet) counts as a person's, opened this moment, in a region of its own."""
        payer, payee = self.accounts.get(one.payer_account_id), self.accounts.get(one.payee_account_id)
        event = msgspec.structs.asdict(one)
        if payer and payee:
            return features.payment(event, payer, payee)
        self.unknown += 1
        nobody = _nobody(one.initiated_at)
        made = features.payment(event, payer or nobody, payee or nobody)
        return replace(
            made, payer_region=made.payer_region if payer else -1, payee_region=made.payee_region if payee else -2
        )

    def _in_time(self, one: features.Payment) -> features.Payment:
        """The payment, at the time of the latest payment of its accounts if that was later."""
        state = self._state
        known = (
            state.sent.get(one.payer), state.received.get(one.payee), state.received.get(one.payer),
            state.devices.get((one.payer, one.device)), state.pairs.get((one.payer, one.payee)),
        )  # fmt: skip
        latest = max((history.times[-1] for history in known if history is not None and history.times), default=0)
        if latest <= one.at:
            return one
        self.late += 1
        return replace(one, at=latest)


def _nobody(now: datetime) -> dict[str, Any]:
    return {"holder_type": "NATURAL_PERSON", "region": features.REGIONS[0], "opened_at": now}
