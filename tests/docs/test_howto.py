"""docs/model-gate.md as a reader takes it: its policy and its Python judge a model, and every gate measures."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.docs.markdown import blocks
from tests.docs.test_run import run

ROWS = 20_000


def scored(seed: int) -> pl.DataFrame:
    """Payments of three weeks, a fiftieth of them fraud, with the columns that the page names."""
    draw = np.random.default_rng(seed)
    fraud = np.arange(ROWS) % 50 == 0
    score = np.where(fraud, draw.beta(6, 2, ROWS), draw.beta(1, 14, ROWS))
    return pl.DataFrame(
        {
            "end_to_end_id": [f"E{number}" for number in range(ROWS)],
            "is_fraud": fraud,
            "score": score,
            "decision": np.where(score >= 0.5, "block", "approve"),
            "amount_cents": draw.integers(100, 500_000, ROWS),
            "initiated_at": [
                datetime(2026, 5, 1, tzinfo=UTC) + timedelta(minutes=1.5 * number) for number in range(ROWS)
            ],
            "region": draw.choice(["N", "NE", "CO", "SE", "S"], ROWS),
        }
    )


@pytest.fixture
def records(tmp_path: Path) -> dict[str, dict[str, object]]:
    """The records of the page's policy and Python, by gate."""
    policy, python = (
        next(
            block.text
            for block in blocks("docs/model-gate.md")
            if block.language == language and ">>>" not in block.text
        )
        for language in ("toml", "python")
    )
    (tmp_path / "gates").mkdir()
    (tmp_path / "gates" / "gates.toml").write_text(policy)
    (tmp_path / "gates" / "test_model.py").write_text(python)
    for name in ("evaluation/scores", "champion/scores", "model/reference"):
        path = tmp_path / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        scored(7 if name.endswith("scores") else 8).write_parquet(path)
    output = run("pytest -q", tmp_path)
    path = tmp_path / ".pixgates" / "records.json"
    assert path.exists(), output
    return {each["gate"]: each for each in json.loads(path.read_text())["records"]}


def test_every_gate_of_the_page_on_models_measures_something(records: dict[str, dict[str, object]]) -> None:
    named = {
        "limit[recall]",
        "slices[recall/region]",
        "champion[recall]",
        "fairness[false_positive_rate/region]",
        "drift",
    }
    assert {f"model_gate/{name}" for name in named} <= records.keys()
    assert sum("test_model.py" in str(each["node"]) for each in records.values()) == 3
    wrong = {gate: each for gate, each in records.items() if each["outcome"] == "ERROR"}
    assert not wrong
