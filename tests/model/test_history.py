"""The history in MLflow: a real database, what MLflow's own client sees of it, and servers that are not there."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from pytest_pixgates.core.verdict import Figure, Outcome
from pytest_pixgates.history.entry import Entry, HistoryError, Point
from pytest_pixgates.history.mlflow import EXPERIMENT, MlflowHistory
from tests.unit.test_history import entry


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return f"sqlite:///{tmp_path}/mlflow.db"


def test_what_is_kept_is_read_again_and_mlflow_shows_it(uri: str) -> None:
    from mlflow import MlflowClient

    kept = MlflowHistory(uri)
    assert kept.read(9) == []
    points = tuple(
        Point("model_gate/limit[x]", Figure(f"recall of {at}", 0.8, 0.7, None, ">=", 0.5, 9)) for at in range(120)
    )
    large = dataclasses.replace(entry(0.9, 1), points=points, outcome=Outcome.FAIL)
    entries = [entry(0.8, 0), large, entry(0.85, 2)]
    for each in reversed(entries):
        kept.append(each)
    assert kept.read(9) == entries
    assert kept.read(2) == entries[1:]
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id], order_by=["start_time ASC"])
    assert runs[0].data.metrics == {"model_gate/limit_recall_ recall": 0.8}
    assert runs[1].data.tags["pixgates.outcome"] == "FAIL"
    assert [each.info.status for each in runs] == ["FINISHED"] * 3


def test_a_run_of_somebody_else_is_said_not_guessed_at(uri: str) -> None:
    from mlflow import MlflowClient

    kept = MlflowHistory(uri)
    kept.append(entry())
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    client.create_run(experiment.experiment_id, tags={"pixgates.entry.0": '{"run": "x"}'})
    with pytest.raises(HistoryError, match="a run in it is none of this version's"):
        kept.read(9)


def test_a_server_that_is_away_is_an_error_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = dict(os.environ)
    away = MlflowHistory("http://user:hunter2-hunter2@127.0.0.1:9")
    with pytest.raises(HistoryError, match=r"the history http://127\.0\.0\.1:9 can't be used") as caught:
        away.append(Entry.of(_run()))
    assert "hunter2" not in str(caught.value)
    assert dict(os.environ) == before


def _run() -> object:
    from tests.unit.example_runs import GREEN

    return GREEN
