"""A small repository whose policy judges a table of scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pytest_pixgates.core.record import Run, load

REGIONS = ("N", "NE", "CO", "SE", "S")


def scored(rows: int = 40_000, seed: int = 0, recall: float = 0.85, fpr: float = 0.005) -> pl.DataFrame:
    """A labelled test set with 1 % fraud; a threshold of 0.5 finds `recall` of it, at the false positive rate `fpr`."""
    rng = np.random.default_rng(seed)
    fraud = rng.random(rows) < 0.01
    alert = rng.random(rows) < np.where(fraud, recall, fpr)
    score = np.where(alert, 0.5 + rng.random(rows) / 2, rng.random(rows) / 2)
    return pl.DataFrame(
        {
            "id": [f"E{at:031d}" for at in range(rows)],
            "is_fraud": fraud,
            "score": score,
            "decision": np.where(alert, np.where(score > 0.8, "block", "review"), "approve"),
            "region": rng.choice(REGIONS, rows),
            "payer": rng.integers(0, rows // 4, rows),
            "cents": np.rint(rng.lognormal(9, 1, rows)).astype(int) + 1,
            "at": (np.datetime64("2026-08-01") + rng.integers(0, 30 * 86400, rows).astype("timedelta64[s]")).astype(
                "datetime64[ms]"
            ),
        }
    ).with_columns(pl.col("at").dt.replace_time_zone("UTC"))


POLICY = """
[model_gate]
scores = "scores.parquet"
label = "is_fraud"
id = "id"
decision = "decision"
alert = ["review", "block"]
amount = "cents"
amount_unit = 0.01
time = "at"
made_by = "make model"
"""


class Repository:
    """Writes files, runs pytest as its user would, and reads the records."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path

    def policy(self, text: str, base: str = POLICY) -> None:
        folder = self.path / "gates"
        folder.mkdir(exist_ok=True)
        (folder / "gates.toml").write_text(base + text)

    def write(self, rows: pl.DataFrame, name: str = "scores.parquet") -> None:
        rows.write_parquet(self.path / name)

    def run(self, *arguments: str) -> Run:
        self.result = self.pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)
        self.text = self.result.stdout.str() + self.result.stderr.str()
        return load(self.path / ".pixgates" / "records.json")

    def outcomes(self, *arguments: str) -> dict[str, str]:
        """The outcome of each gate by name."""
        return {record.name: record.outcome.value for record in self.run(*arguments).records}


@pytest.fixture
def repository(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Repository:
    monkeypatch.setenv("PIXGATES_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIXGATES_LOOKS", str(tmp_path / "looks.json"))
    return Repository(pytester)


@pytest.fixture
def judged(repository: Repository) -> Callable[..., dict[str, str]]:
    """Outcomes of one policy on one table."""

    def judge(policy: str, rows: pl.DataFrame | None = None, *arguments: str) -> dict[str, str]:
        repository.write(scored() if rows is None else rows)
        repository.policy(policy)
        return repository.outcomes(*arguments)

    return judge
