"""The pipeline as its user runs it, from made-up payments to a registered model, and pytest on what it left."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ml_pipeline import __main__ as cli
from ml_pipeline import folders, registry
from ml_pipeline.features import FEATURES
from pytest_pixgates.core.record import Run, load

NAME = registry.NAME
LOCATIONS = {"experiments": "artifact_location", "runs": "artifact_uri", "model_versions": "storage_location"}
CONTRACTS = Path(__file__).parents[2] / registry.CONTRACTS
# What each model is trained with. All but the reference must be refused, each by the gate that is there for it.
MODELS: dict[str, tuple[str, ...]] = {
    "reference": (),
    "without_features": ("--drop-features", *FEATURES[::2]),
    "penalised": ("--penalise-region", "NE"),
    "weaker": ("--drop-features", *FEATURES[::3]),  # within every limit, but below its champion
}


@dataclass(frozen=True)
class World:
    """How much is simulated, and the budget of false positives that its models are given."""

    rows: int
    accounts: int
    fraud_rate: float
    budget: float

    def simulate(self, data: Path, seed: int) -> None:
        settings = ("--rows", self.rows, "--accounts", self.accounts, "--fraud-rate", self.fraud_rate)
        step("simulate", "--out", data, "--seed", seed, "--jobs", 1, *settings)

    def train(self, data: Path, folder: Path, which: str, seed: int) -> None:
        """The model `which` and its evaluation, into `folder`."""
        recipe = ("--seed", seed, "--false-positive-budget", self.budget, *MODELS[which])
        step("train", "--data", data, "--out", folder / "model", *recipe)
        step("evaluate", "--data", data, "--model", folder / "model", "--out", folder / "evaluation")


WORLD = World(rows=150_000, accounts=3_000, fraud_rate=0.02, budget=0.02)
"""Few payments, but enough fraud and false alarms to decide limits by."""

# As in this repository's own policy, with limits for fewer payments of which more are fraud.
POLICY = """
[model_gate]
scores = "ml_pipeline/evaluation/scores.parquet"
label = "is_fraud"
decision = "decision"
alert = ["review", "block"]
id = "end_to_end_id"
cluster = "payer_account_id"
time = "initiated_at"
label_delay = "30d"
clock = "2026-10-01T00:00:00-03:00"
made_by = "python -m ml_pipeline evaluate"
artifact = "ml_pipeline/evaluation/evaluation.json"
model = "models:/pix-fraud@candidate"
champion = "models:/pix-fraud@champion"
registry = "sqlite:///ml_pipeline/registry/mlflow.db"
test_set = "ml_pipeline/evaluation/test_set.parquet"

[model_gate.limits]
recall = { at_least = 0.8, min_positives = 500, vs_champion = 0.02 }
false_positive_rate = { at_most = "3%" }

[model_gate.fairness]
columns = ["region"]
ratio = 2.5
min_group = 2000

[model_gate.drift]
reference = "ml_pipeline/model/reference.parquet"
columns = ["amount_log", "hour", "is_static_code", "payer_is_company"]
psi = 0.4
"""
RECALL, CHAMPION, FAIRNESS = "limit[recall]", "champion[recall]", "fairness[false_positive_rate/region]"


def step(*words: object) -> None:
    """`python -m ml_pipeline` with these words."""
    assert cli.main([str(word) for word in words]) == 0


def uri(registry_folder: Path) -> str:
    return f"sqlite:///{registry_folder / 'mlflow.db'}"


def register(made: Path, registry_folder: Path) -> None:
    """A new version of the model and the evaluation in `made`, which becomes the candidate."""
    step("register", "--model", made / "model", "--evaluation", made / "evaluation", "--contracts", CONTRACTS,
         "--tracking-uri", uri(registry_folder))  # fmt: skip


@dataclass(frozen=True)
class Project:
    """A repository with a policy, in which the pipeline has left a model, its evaluation and a registry."""

    path: Path

    @property
    def pipeline(self) -> Path:
        return self.path / "ml_pipeline"

    @property
    def registry(self) -> Path:
        return self.pipeline / "registry"

    def policy(self, text: str) -> None:
        (self.path / "gates").mkdir(parents=True, exist_ok=True)
        (self.path / "gates" / "gates.toml").write_text(text)

    def take(self, made: Path) -> None:
        """Put a model and its evaluation where the policy looks for them."""
        for name in ("model", "evaluation"):
            shutil.rmtree(self.pipeline / name, ignore_errors=True)
            shutil.copytree(made / name, self.pipeline / name)

    def registry_of(self, made: Path) -> None:
        """A copy of the registry in `made`, which knows its artifacts by where they were."""
        shutil.copytree(made / "registry", self.registry)
        with closing(sqlite3.connect(self.registry / "mlflow.db")) as database, database:
            for table, column in LOCATIONS.items():
                change = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"  # names of ours
                database.execute(change, (str(made / "registry"), str(self.registry)))

    def stored(self, made: Path) -> Path:
        """The registry's copy of the model.onnx in `made`."""
        digest = folders.digest(made / "model" / "model.onnx")
        (found,) = [each for each in self.registry.rglob("model.onnx") if folders.digest(each) == digest]
        return found

    def alias(self, **versions: str) -> None:
        """Let aliases point to versions."""
        for alias, version in versions.items():
            registry.promote(NAME, version, alias, uri(self.registry))

    def pytest(self, *arguments: str) -> Judged:
        """`pytest -m model_gate` in a process of its own, with caches that are this project's."""
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "PIXGATES_", "COV_"))}
        env |= {"PIXGATES_CACHE_DIR": str(self.path / "cache"), "PIXGATES_LOOKS": str(self.path / "looks.json")}
        command = [sys.executable, "-m", "pytest", "-m", "model_gate", "-p", "no:cacheprovider", *arguments]
        ran = subprocess.run(command, cwd=self.path, env=env, capture_output=True, text=True, timeout=600, check=False)
        return Judged(ran.returncode, ran.stdout + ran.stderr, load(self.path / ".pixgates" / "records.json"))


@dataclass(frozen=True)
class Judged:
    """What a run of pytest said."""

    code: int
    text: str
    run: Run

    @property
    def outcomes(self) -> dict[str, str]:
        """The outcome of each gate by name."""
        return {record.name: record.outcome.value for record in self.run.records}

    def named(self, outcome: str) -> set[str]:
        """The gates with this outcome."""
        return {name for name, found in self.outcomes.items() if found == outcome}

    def measured(self, gate: str) -> str:
        (record,) = [record for record in self.run.records if record.name == gate]
        return "; ".join(check.verdict.measured for check in record.checks)

    def cached(self, gates: Iterable[str]) -> set[str]:
        """Those of `gates` that were answered from the cache."""
        records = [record for record in self.run.records if record.name in set(gates)]
        return {record.name for record in records if all(check.cached for check in record.checks)}
