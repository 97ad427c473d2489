"""A run that ends is remembered and shown beside the next; a history that is broken changes no verdict."""

from __future__ import annotations

import json

import pytest

from pytest_pixgates.core.verdict import Figure, Outcome
from pytest_pixgates.history.entry import Entry, Point
from pytest_pixgates.history.sqlite import SqliteHistory
from tests.plugin.conftest import Repository

FALLING = [0.99 - 0.006 * at for at in range(12)]


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIXGATES_HISTORY", "PIXGATES_AGAINST", "GITHUB_REF_NAME", "GITHUB_BASE_REF", "PIXGATES_TARGET"):
        monkeypatch.delenv(name, raising=False)


def measured(repository: Repository, value: float, n: int = 1000) -> None:
    numbers = [value, value - 0.005, min(value + 0.005, 1.0), n]
    repository.write("ledger.json", json.dumps({"settled": numbers}))


def test_runs_are_remembered_shown_and_a_slide_is_told(repository: Repository) -> None:
    history = SqliteHistory(repository.path / ".pixgates" / "history.db")
    for at, value in enumerate(FALLING[:-1]):  # as runs leave them, which the last one shows
        figure = Figure("settled", value, value - 0.005, value + 0.005, ">=", 0.9, 1000 + at)
        gates = {"ledger/limit[settled]": Outcome.PASS}
        history.append(
            Entry(str(at), at, at + 1, Outcome.PASS, gates=gates, points=(Point("ledger/limit[settled]", figure),))
        )
    measured(repository, FALLING[-1], 2000)
    result = repository.run()
    assert result.ret == 0
    assert [each.points[0].figure.value for each in history.read(50)] == FALLING
    assert history.read(1)[0].points[0].key == history.read(2)[0].points[0].key
    result.stdout.fnmatch_lines(
        ["slow slide: ledger/limit[[]settled[]]: settled is 0.924 and loses about 0.006 a run*"]
    )
    result.stdout.fnmatch_lines(["pixgates: PASS *"])
    page = (repository.path / ".pixgates" / "report.html").read_text()
    assert "A slow slide." in page
    assert "The last 12 runs" in page


def test_what_did_not_end_whole_is_not_remembered(repository: Repository) -> None:
    repository.gate("assert ledger.disputed >= 0.1", name="test_disputed")
    assert repository.run("-k", "settled").ret == 0
    assert repository.records()["partial"]
    repository.gate("import os; os._exit(0)")
    repository.run()
    assert not (repository.path / ".pixgates" / "history.db").exists()


@pytest.mark.parametrize(("value", "code", "verdict"), [(0.99, 0, "PASS"), (0.5, 1, "FAIL")])
def test_a_broken_history_is_said_and_changes_no_verdict(
    repository: Repository, value: float, code: int, verdict: str, workers: tuple[str, ...]
) -> None:
    measured(repository, value)
    repository.write(".pixgates/history.db", "this is no database" * 99)
    result = repository.run(*workers)
    assert result.ret == code
    result.stdout.fnmatch_lines(["no history: the history *history.db can't be used: file is not a database"])
    result.stdout.fnmatch_lines([f"pixgates: {verdict} *"])
    assert repository.records()["status"] == "closed"
    assert "this is no database" in (repository.path / ".pixgates" / "history.db").read_text()


def test_a_history_at_a_place_that_can_not_be_loses_no_records(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXGATES_HISTORY", "x" * 300)
    measured(repository, 0.99)
    result = repository.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["no history: the history xxx*"])
    assert repository.records()["status"] == "closed"


def test_a_green_history_turns_no_red_gate_green(repository: Repository) -> None:
    measured(repository, 0.99)
    assert repository.run().ret == 0
    measured(repository, 0.5)
    assert repository.run().ret == 1
