"""From simulated payments to a verdict: a good model passes, a bad one fails at the gate that is there for it."""

from __future__ import annotations

import json
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_pipeline import export, folders
from tests.e2e.conftest import VERSIONS
from tests.e2e.pipeline import CHAMPION, FAIRNESS, POLICY, RECALL, Project

GATES = {RECALL, CHAMPION, FAIRNESS, "limit[false_positive_rate]", "drift", "artifact", "test_set"}
ARTIFACT, ITS_CHAMPION = (f"gates/gates.toml::model_gate::{name}" for name in ("artifact", CHAMPION))


@pytest.fixture(autouse=True)
def _policy(project: Project) -> None:
    project.policy(POLICY)


def evaluated(project: Project, name: str) -> pl.DataFrame:
    return pl.read_parquet(project.pipeline / "evaluation" / f"{name}.parquet")


def recall(project: Project, model: Path) -> float:
    """Of the model in a folder, by its own ONNX and threshold, on the project's test set."""
    described: dict[str, Any] = json.loads((model / "model.json").read_text())
    rows = evaluated(project, "test_set")
    score = export.score_onnx(model / "model.onnx", rows.select(described["features"]).to_numpy())
    return float((score >= described["threshold"])[rows["is_fraud"].to_numpy()].mean())


def test_a_good_model_passes_every_gate_and_again_from_the_cache(project: Project, made: Path) -> None:
    project.alias(champion=VERSIONS["weaker"])
    first = project.pytest()
    assert (first.named("PASS"), first.code) == (GATES, 0), first.text
    assert not first.cached(GATES)
    for name, of in (("reference", "recall"), ("weaker", "recall of the champion - 0.02")):
        margin = 0.02 if name == "weaker" else 0
        assert f"{of} {recall(project, made / name / 'model') - margin:.6g} " in first.measured(CHAMPION)
    again = project.pytest()
    assert (again.named("PASS"), again.code) == (GATES, 0), again.text
    assert again.cached(GATES) == GATES - {"test_set"}  # which counts looks
    assert f"{len(GATES) - 1} cached" in again.text
    assert "1 on this test set" in again.measured("test_set")


@pytest.mark.parametrize(
    ("model", "gate", "champion"),
    [
        ("without_features", RECALL, None),
        ("penalised", FAIRNESS, None),
        ("weaker", CHAMPION, "reference"),
    ],
)
def test_a_bad_model_fails_at_the_gate_that_is_there_for_it_and_nowhere_else(
    project: Project, made: Path, model: str, gate: str, champion: str | None
) -> None:
    project.take(made / model)
    project.alias(candidate=VERSIONS[model], **({"champion": VERSIONS[champion]} if champion else {}))
    found = project.pytest()
    assert (found.named("FAIL"), found.named("PASS"), found.code) == ({gate}, GATES - {gate}, 1), found.text
    if champion is None:
        assert "there is no champion yet" in found.measured(CHAMPION)


# The artifact


def test_a_registered_model_other_than_the_evaluated_one_fails(project: Project) -> None:
    project.alias(candidate=VERSIONS["weaker"])
    found = project.pytest(ARTIFACT)
    assert found.named("FAIL") == {"artifact"}, found.text
    assert "model.onnx is not the one that was evaluated" in found.text


def test_a_model_changed_in_the_registry_after_its_evaluation_fails(project: Project, made: Path) -> None:
    shutil.copy(made / "weaker" / "model" / "model.onnx", project.stored(made / "reference"))
    found = project.pytest(ARTIFACT)
    assert found.named("FAIL") == {"artifact"}, found.text
    assert "model.onnx is not the one that was evaluated" in found.text


def test_scores_that_the_registered_model_does_not_give_fail(project: Project) -> None:
    folder = project.pipeline / "evaluation"
    better = evaluated(project, "scores").with_columns(pl.when("is_fraud").then(0.99).otherwise("score").alias("score"))
    better.with_columns(decision=pl.when("is_fraud").then(pl.lit("block")).otherwise("decision")).write_parquet(
        folder / "scores.parquet"
    )
    described = folders.read_json(folder / "evaluation.json")
    folders.write_json(folder / "evaluation.json", described | {"scores": folders.digest(folder / "scores.parquet")})
    found = project.pytest(ARTIFACT)
    assert found.named("FAIL") == {"artifact"}, found.text
    assert "scores differ from the model's own" in found.text


# What can't be judged


def test_without_a_candidate_the_run_is_an_error_that_names_the_command(project: Project) -> None:
    shutil.rmtree(project.pipeline)
    found = project.pytest()
    assert found.named("ERROR") == GATES, found.text
    assert found.code == 1
    assert "python -m ml_pipeline evaluate" in found.text


def test_a_pass_is_not_kept_for_files_that_changed_in_the_registry(project: Project, made: Path) -> None:
    assert project.pytest(ARTIFACT).named("PASS") == {"artifact"}
    project.stored(made / "reference").write_bytes(b"another model")
    assert project.pytest(ARTIFACT).named("FAIL") == {"artifact"}


def test_a_champion_whose_files_are_not_those_registered_is_an_error(project: Project, made: Path) -> None:
    project.alias(champion=VERSIONS["weaker"])
    worse = made / "without_features" / "model" / "model.onnx"
    project.stored(made / "weaker").write_bytes(worse.read_bytes())
    found = project.pytest(ITS_CHAMPION)
    assert found.named("ERROR") == {CHAMPION}, found.text
    assert "other files than were registered: model.onnx" in found.text


def test_a_champion_that_is_no_model_is_an_error(project: Project, made: Path) -> None:
    project.alias(champion=VERSIONS["weaker"])
    project.stored(made / "weaker").write_bytes(b"no model")
    assert project.pytest(ITS_CHAMPION).named("ERROR") == {CHAMPION}


@pytest.mark.parametrize("answers", [False, True], ids=["down", "slow"])
def test_a_registry_that_is_down_or_slow_is_an_error_in_time(project: Project, *, answers: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        if not answers:
            server.close()
        project.policy(POLICY.replace("sqlite:///ml_pipeline/registry/mlflow.db", address))
        began = time.monotonic()
        found = project.pytest(ARTIFACT)
    assert found.named("ERROR") == {"artifact"}, found.text
    assert "can't be looked up" in found.text
    assert found.code == 1
    assert time.monotonic() - began < 120
