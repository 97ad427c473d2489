"""What is remembered of runs, where, and what a history that is broken or hostile can not do."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
from pathlib import Path

import pytest

from pytest_pixgates.core import record
from pytest_pixgates.core.errors import UsageError
from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.record import Run
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.history import remember, slide, store, target
from pytest_pixgates.history.entry import Entry, HistoryError, complete
from pytest_pixgates.history.sqlite import MOST_RUNS, SqliteHistory
from tests.git import Git
from tests.unit import example_runs, hostile_runs
from tests.unit.example_runs import GREEN, NOW, RED

CI = (
    "GITHUB_REF_NAME", "GITHUB_BASE_REF", "GITHUB_HEAD_REF", "CI_COMMIT_BRANCH", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
    "BRANCH_NAME", "CHANGE_TARGET", "PIXGATES_TARGET", "PIXGATES_HISTORY", "PIXGATES_AGAINST",
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CI:
        monkeypatch.delenv(name, raising=False)


def measured(value: float = 0.8, at: int = 0, **changes: object) -> Run:
    verdict = Measurement("recall", value, value - 0.02, value + 0.02, 500 + at) >= 0.7
    made = example_runs.record(verdict, gate="model_gate/limit[recall]", node="recall")
    return dataclasses.replace(
        example_runs.run(made), id=f"run-{at}", started=NOW + 100 * at, ended=NOW + 100 * at + 9, **changes
    )  # type: ignore[arg-type]


def entry(value: float = 0.8, at: int = 0, *, branch: str = "main") -> Entry:
    return Entry.of(measured(value, at), branch=branch, commit="ab" * 20)


# The store


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    kept = SqliteHistory(tmp_path / "new" / "history.db")
    entries = [entry(0.8 + at / 100, at) for at in range(5)]
    for each in reversed(entries):
        kept.append(each)
    assert kept.read(50) == entries
    assert kept.read(2) == entries[-2:]


def test_a_run_is_kept_once(tmp_path: Path) -> None:
    kept = SqliteHistory(tmp_path / "history.db")
    kept.append(entry(0.8))
    kept.append(dataclasses.replace(entry(0.9), outcome=Outcome.FAIL))
    assert kept.read(9) == [entry(0.8)]


def test_anyone_s_sql_can_read_it(tmp_path: Path) -> None:
    SqliteHistory(tmp_path / "history.db").append(entry())
    with sqlite3.connect(tmp_path / "history.db") as connection:
        rows = connection.execute(
            "select gate, name, value, threshold from measurements join runs on runs.id = run"
        ).fetchall()
    assert rows == [("model_gate/limit[recall]", "recall", 0.8, 0.7)]


def test_no_file_is_no_history_and_is_not_made_by_reading(tmp_path: Path) -> None:
    assert SqliteHistory(tmp_path / "history.db").read(9) == []
    assert not (tmp_path / "history.db").exists()


def test_any_text_can_be_kept(tmp_path: Path) -> None:
    kept = SqliteHistory(tmp_path / "history.db")
    name = "'; drop table runs; -- \x1b[31m é \u202e"
    hostile = dataclasses.replace(entry(), run=name, branch=name, gates={name: Outcome.FAIL})
    kept.append(hostile)
    assert kept.read(9) == [hostile]


def test_text_that_no_database_holds_is_an_error_of_the_history_alone(tmp_path: Path) -> None:
    kept = SqliteHistory(tmp_path / "history.db")
    with pytest.raises(HistoryError):
        kept.append(dataclasses.replace(entry(), run="\ud800"))
    assert kept.read(9) == []


def test_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_RUNS >= 1000
    monkeypatch.setattr("pytest_pixgates.history.sqlite.MOST_RUNS", 3)
    kept = SqliteHistory(tmp_path / "history.db")
    for at in range(5):
        kept.append(entry(at=at))
    assert [each.run for each in kept.read(9)] == ["run-2", "run-3", "run-4"]
    with sqlite3.connect(tmp_path / "history.db") as connection:
        assert connection.execute("select count(*) from measurements").fetchone() == (3,)


def _another_program(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table mine (x)")


def _newer(path: Path) -> None:
    SqliteHistory(path).append(entry())
    with sqlite3.connect(path) as connection:
        connection.execute("pragma user_version = 99")


def _spoiled(sql: str) -> object:
    def spoil(path: Path) -> None:
        SqliteHistory(path).append(entry())
        with sqlite3.connect(path) as connection:
            connection.execute(sql)

    return spoil


BROKEN = {
    "no database": lambda path: path.write_bytes(b"not a database" * 100),
    "cut short": lambda path: (SqliteHistory(path).append(entry()), os.truncate(path, 5000)),
    "a folder": lambda path: path.mkdir(),
    "another program's": _another_program,
    "a newer version's": _newer,
    "an unknown outcome": _spoiled("update runs set outcome = 'GREEN'"),
    "a measurement that is none": _spoiled("update measurements set value = 'x'"),
    "text that is none": _spoiled("update measurements set name = x'ff'"),
    "a moment that is none": _spoiled("update runs set started = 'yesterday'"),
    "a branch that is no text": _spoiled("update runs set branch = x'ff'"),
    "another column": _spoiled("alter table runs rename column label to title"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_history_is_said_and_left_as_it_is(tmp_path: Path, how: str) -> None:
    path = tmp_path / "history.db"
    BROKEN[how](path)  # type: ignore[operator]
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(HistoryError, match=r"history\.db can't be used") as caught:
        SqliteHistory(path).read(9)
    assert "move it away" in caught.value.remedy
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_name_that_is_too_long_is_an_error_of_the_history(tmp_path: Path) -> None:
    kept = SqliteHistory(tmp_path / ("x" * 300))
    with pytest.raises(HistoryError, match="can't be used"):
        kept.append(entry())
    with pytest.raises(HistoryError, match="can't be used"):
        kept.read(9)


def test_a_history_that_another_process_holds_is_an_error_not_a_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_pixgates.history.sqlite._WAIT", 0.05)
    kept = SqliteHistory(tmp_path / "history.db")
    kept.append(entry())
    with sqlite3.connect(tmp_path / "history.db") as other:
        other.execute("begin exclusive")
        with pytest.raises(HistoryError, match="locked"):
            kept.append(entry(at=1))


# Where it is


def test_the_place(tmp_path: Path) -> None:
    assert str(store.at("", tmp_path)) == str(tmp_path / "history.db")
    assert str(store.at("some/where.db", tmp_path)) == "some/where.db"
    assert str(store.at("mlflow+https://user:pass@host:5000", tmp_path)) == "https://host:5000"
    with pytest.raises(UsageError, match="can't be kept at such an address"):
        store.at("postgresql://host/db", tmp_path)


# What is remembered


def test_only_closed_and_complete_runs_are_remembered() -> None:
    assert complete(GREEN)
    assert complete(RED)
    assert not complete(dataclasses.replace(GREEN, status="running"))
    assert not complete(dataclasses.replace(GREEN, partial=("-k a",)))
    assert not complete(dataclasses.replace(GREEN, expected={**GREEN.expected, "lost": "infra/lost"}))
    assert not complete(example_runs.run())


def test_a_gate_that_stands_twice_counts_as_its_worse() -> None:
    twice = example_runs.run(*GREEN.records, *RED.records)
    assert Entry.of(twice).gates == {"infra/checkov[iac/prod]": Outcome.FAIL}


def test_numbers_that_are_none_are_not_remembered() -> None:
    assert Entry.of(hostile_runs.RUN).points != ()
    assert all(point.figure.outcome is not Outcome.ERROR for point in Entry.of(hostile_runs.RUN).points)


@pytest.fixture
def repository(tmp_path: Path) -> Policy:
    reviewed, _ = example_runs.repository(tmp_path)
    Git(tmp_path).commit()
    return reviewed


def test_keeping_notes_branch_and_commit(repository: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = repository.root / ".pixgates"
    assert remember.keep(measured(), repository, reports) == ""
    monkeypatch.setenv("GITHUB_REF_NAME", "release")
    assert remember.keep(measured(at=1), repository, reports) == ""
    monkeypatch.setenv("GITHUB_BASE_REF", "main")
    monkeypatch.setenv("GITHUB_HEAD_REF", "main")
    assert remember.keep(measured(at=2), repository, reports) == ""
    first, second, third = SqliteHistory(reports / "history.db").read(9)
    assert (first.branch, second.branch, third.branch) == ("main", "release", "")
    assert len(first.commit) == 40


def test_outside_of_git_it_is_kept_all_the_same(tmp_path: Path) -> None:
    reviewed, _ = example_runs.repository(tmp_path)
    assert remember.keep(measured(), reviewed, tmp_path / ".pixgates") == ""
    assert [each.branch for each in SqliteHistory(tmp_path / ".pixgates" / "history.db").read(9)] == [""]


def test_whatever_is_wrong_is_told_and_raises_nothing(repository: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = repository.root / ".pixgates"
    (reports / "history.db").mkdir(parents=True)
    assert "can't be used" in remember.keep(measured(), repository, reports)
    past = remember.past(measured(), repository, reports)
    assert past.entries == ()
    assert "can't be used" in past.problem
    monkeypatch.setenv("PIXGATES_HISTORY", "ftp://somewhere")
    assert "can't be kept at such an address" in remember.keep(measured(), repository, reports)
    assert "can't be kept" in remember.past(measured(), repository, reports).problem


@pytest.mark.parametrize("error", [OSError(36, "File name too long"), IndexError("no such thing"), RuntimeError("x")])
def test_an_error_that_nobody_foresaw_is_told_too(
    repository: Policy, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("pytest_pixgates.history.store.at", fail)
    told = f"{type(error).__name__}: {error}"
    assert remember.keep(measured(), repository, repository.root) == told
    assert remember.past(measured(), repository, repository.root).problem == told


# The target


def test_the_last_run_of_the_target_before_this_one(repository: Policy) -> None:
    entries = [entry(at=0), entry(at=1), entry(at=2, branch="other"), entry(at=3)]
    found = target.find(measured(at=3), repository, entries)
    assert found.entry == entries[1]
    assert found.branch == "main"


def test_a_run_for_another_environment_is_none(repository: Policy) -> None:
    found = target.find(dataclasses.replace(measured(at=3), environment="prod"), repository, [entry()])
    assert found.entry is None
    assert found.problem == "no run of main is known here"


@pytest.mark.parametrize(
    ("given", "name"),
    [("origin/trunk", "trunk"), ("refs/remotes/origin/release/1", "release/1"), ("refs/heads/x", "x")],
)
def test_the_target_that_is_named(repository: Policy, monkeypatch: pytest.MonkeyPatch, given: str, name: str) -> None:
    monkeypatch.setenv("PIXGATES_TARGET", given)
    assert target.find(measured(at=3), repository, [entry()]).problem == f"no run of {name} is known here"
    assert target.find(measured(at=3), repository, [entry(branch=name)]).entry


def test_records_in_a_file_stand_for_the_target(repository: Policy, tmp_path: Path) -> None:
    record.save(measured(0.9), tmp_path / "main")
    found = target.find(measured(at=3), repository, [entry()], str(tmp_path / "main" / "records.json"))
    assert found.entry is not None
    assert found.entry.points[0].figure.value == 0.9
    missing = target.find(measured(at=3), repository, [entry()], str(tmp_path / "none.json"))
    assert missing.entry is None
    assert "no records" in missing.problem


# Slides


def watched(values: list[float], limit: float = 0.7, *, sign: str = ">=") -> list[slide.Slide]:
    entries = []
    for at, value in enumerate(values):
        made = Measurement("x", value, value - 0.02, value + 0.02, 500 + at)
        verdict = made >= limit if sign == ">=" else made <= limit
        run = example_runs.run(example_runs.record(verdict, gate="model_gate/x"))
        entries.append(Entry.of(dataclasses.replace(run, id=str(at), started=NOW + at)))
    return slide.slides(slide.series(entries))


def test_a_slide_is_told_before_the_limit_with_its_pace() -> None:
    (found,) = watched([0.90 - 0.01 * at for at in range(12)])
    assert found.step == pytest.approx(0.01)
    assert found.runs == 7  # 0.79 - 0.02 is 0.07 above the limit
    assert str(found) == (
        "model_gate/x: x is 0.79 and loses about 0.01 a run over the last 12; at that pace its interval meets the "
        "limit >= 0.7 in about 7 more runs"
    )
    (found,) = watched([0.50 + 0.01 * at for at in range(12)], sign="<=")
    assert found.runs == 7


@pytest.mark.parametrize(
    "values",
    [
        [0.90 + 0.01 * at for at in range(12)],  # to the good side
        [0.90 - 0.01 * at for at in range(slide.LEAST - 1)],  # too few
        [0.90 - 0.001 * at for at in range(12)],  # the limit is far
        [0.80] * 12,
        [0.90] * 10 + [0.75] * 10,  # one step is no slide
        [0.80, 0.79, 0.81, 0.8, 0.79, 0.81, 0.78, 0.82, 0.8, 0.79, 0.81, 0.8],
        [0.80 - 0.01 * at for at in range(12)],  # beyond the limit: the gate says it
    ],
)
def test_what_is_no_slide_is_not_told(values: list[float]) -> None:
    assert watched(values) == []


def test_an_outlier_makes_no_slide_and_hides_none() -> None:
    falling = [0.90 - 0.01 * at for at in range(12)]
    assert watched([*falling[:6], 0.95, *falling[7:]])
    assert not watched([0.8] * 5 + [0.6] + [0.8] * 6)


def test_what_has_no_bound_is_no_series_to_watch() -> None:
    made = [Entry.of(example_runs.run(example_runs.record(Measurement("x", 0.8, float("-inf"), 1.0, 9) >= 0.7)))] * 12
    entries = [dataclasses.replace(each, started=NOW + at, run=str(at)) for at, each in enumerate(made)]
    assert slide.slides(slide.series(entries)) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3, 2, 1], (-1.0, 1.0)), ([1, 1, 1], (0.0, 1.0)), ([0, 1, 2, 100, 4], (1.0, 4.0))],
)
def test_the_line_is_that_of_theil_and_sen(values: list[float], expected: tuple[float, float]) -> None:
    assert slide.line(values) == expected


def test_the_test_is_that_of_mann_and_kendall() -> None:
    from scipy.stats import kendalltau, norm

    values = [5.0, 4.0, 6.0, 3.0, 2.5, 2.0, 3.5, 1.0, 0.5, 1.5, 0.2, 0.1]
    tau = kendalltau(range(len(values)), values, method="asymptotic")
    assert 2 * norm.cdf(slide.kendall(values)) == pytest.approx(tau.pvalue, rel=0.35)  # scipy corrects nothing
    assert slide.kendall([1.0, 1.0]) == 0.0
