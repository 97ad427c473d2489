"""Simulated payments, a small model that learnt from them, and what it says of each when nothing interrupts it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from ml_pipeline import export, features, folders, simulate
from ml_pipeline.simulation.settings import Settings
from ml_pipeline.streaming.messages import Transaction


@dataclass(frozen=True)
class World:
    """`rows` are records of `transactions` in the order of time; `scores` by id, from training's features."""

    data: Path
    model: Path
    rows: list[dict[str, Any]]
    scores: dict[str, float]
    threshold: float

    @property
    def transactions(self) -> list[Transaction]:
        return [msgspec.convert(row, Transaction) for row in self.rows]


def world(folder: Path, rows: int) -> World:
    """Everything in a new folder."""
    settings = Settings(rows=rows, seed=7, days=20, accounts=400, fraud_rate=0.01)
    simulate.write(settings, folder / "data")
    described = features.offline(folder / "data")
    labels = pl.read_parquet(folder / "data" / "labels" / "**" / "*.parquet", hive_partitioning=False)
    table = described.join(labels.select("end_to_end_id", "is_fraud"), on="end_to_end_id", maintain_order="left")
    scores, threshold = _train(table, folder / "model")
    transactions = features.read(folder / "data", "transactions", tuple(Transaction.__struct_fields__))
    ordered = transactions.sort("initiated_at", "end_to_end_id").rows(named=True)
    ids = table["end_to_end_id"].to_list()
    return World(folder / "data", folder / "model", ordered, dict(zip(ids, scores.tolist(), strict=True)), threshold)


def _train(table: pl.DataFrame, folder: Path) -> tuple[Any, float]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    matrix = table.select(features.FEATURES).to_numpy().astype(np.float32)
    trees = HistGradientBoostingClassifier(max_iter=15, early_stopping=False, random_state=0)
    folder.mkdir()
    export.write_onnx(trees.fit(matrix, table["is_fraud"].to_numpy()), folder / "model.onnx", features.FEATURES)
    scores = export.score_onnx(folder / "model.onnx", matrix)
    threshold = float(np.quantile(scores, 0.98))
    typical = dict(zip(features.FEATURES, np.median(matrix, axis=0).tolist(), strict=True))
    described = {
        "name": "pix-fraud", "features": features.FEATURES, "threshold": threshold,
        "training_reference": {"typical": typical},
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(described))
    record = {"model": {"sha256": {name: folders.digest(folder / name) for name in ("model.onnx", "model.json")}}}
    (folder.parent / "evaluation").mkdir()
    (folder.parent / "evaluation" / "evaluation.json").write_text(json.dumps(record))
    return scores, threshold


def changed(row: dict[str, Any], **values: Any) -> bytes:
    """A record with other values."""
    return msgspec.json.encode(row | values)


def broken(row: dict[str, Any]) -> dict[str, bytes | None]:
    """Records that break the contract, by why they are refused."""
    other = "E" + "".join("1" if each == "0" else "0" for each in row["end_to_end_id"][1:9]) + row["end_to_end_id"][9:]
    return {
        "the value is no JSON": changed(row)[:-1],
        "there is no value": None,
        "$: Expected `object`, got `array`": b"[]",
        "$: Object missing required field `device_id`": msgspec.json.encode(
            {name: value for name, value in row.items() if name != "device_id"}
        ),
        "$.amount_cents: Expected `int` >= 1": changed(row, amount_cents=0),
        "$.amount_cents: Expected `int`, got `str`": changed(row, amount_cents="12"),
        "$.amount_cents: Expected `int` <= 10000000000": changed(row, amount_cents=10**10 + 1),
        "$.initiation_type: not one of those allowed": changed(row, initiation_type="secret value"),
        "$.initiated_at: Expected `datetime` with a timezone component": changed(
            row, initiated_at="2026-05-02T10:00:00"
        ),
        "$.initiated_at: Invalid RFC3339 encoded datetime": changed(row, initiated_at="yesterday"),
        "$.initiated_at: earlier than Pix": changed(row, initiated_at="2019-05-02T10:00:00Z"),
        "$.initiated_at: in the future of its record": changed(row, initiated_at="2099-05-02T10:00:00Z"),
        "$.end_to_end_id: begins with the institution of the payer": changed(row, end_to_end_id=other),
        "$.payee_account_id: nobody pays themselves": changed(row, payee_account_id=row["payer_account_id"]),
        "$.payee_key: a key has a type, and a type has a key": changed(row, payee_key=None, payee_key_type="CPF"),
        "$.payer_account_id: Expected `str` of length <= 34": changed(row, payer_account_id="1" * 35),
        "$.device_id: Expected `str` matching regex '^[0-9a-f]{16}$'": changed(row, device_id="x"),
    }
