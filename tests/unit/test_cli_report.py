"""`pixgates report` makes the reports again, `pixgates history` shows what was measured; each with its exit codes."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from pytest_pixgates.cli.main import main
from pytest_pixgates.core import record
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.record import Run
from pytest_pixgates.core.scan import Finding
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.history.entry import Entry
from pytest_pixgates.history.sqlite import SqliteHistory
from tests.unit import example_runs
from tests.unit.test_history import measured, no_ci

__all__ = ["no_ci"]

Said = pytest.CaptureFixture[str]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Policy, Run]:
    """One that we stand in, with the records of a run whose finding has a line of code to it."""
    reviewed, _ = example_runs.repository(tmp_path)
    (tmp_path / "iac/prod/main.tf").write_text("".join(f"line {at}\n" for at in range(1, 20)))
    found = Finding("R1", "bad", "iac/prod/main.tf", 12)
    red = example_runs.run(
        example_runs.record(example_runs.scan(found, subjects=(Subject.of(Path("iac/prod"), tmp_path),))),
        shown=("infra",),
    )
    record.save(red, tmp_path / ".pixgates")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PIXGATES_REPORT_DIR", raising=False)
    return reviewed, red


def kept(root: Path, *values: float, environment: str = "") -> None:
    history = SqliteHistory(root / ".pixgates" / "history.db")
    for at, value in enumerate(values):
        run = dataclasses.replace(measured(value, at), environment=environment)
        history.append(Entry.of(run, branch="main"))


def test_reports_are_made_again_whatever_the_verdict(repository: tuple[Policy, Run], capsys: Said) -> None:
    reviewed, _ = repository
    before = (reviewed.root / ".pixgates" / "records.json").read_bytes()
    assert main(["report"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "pixgates report: of a run that is FAIL"
    assert "line 12" in (reviewed.root / ".pixgates" / "report.html").read_text()
    assert (reviewed.root / ".pixgates" / "summary.md").read_text().startswith("# pixgates: FAIL")
    assert (reviewed.root / ".pixgates" / "records.json").read_bytes() == before


def test_of_a_file_that_changed_since_no_code_is_shown(repository: tuple[Policy, Run]) -> None:
    reviewed, _ = repository
    (reviewed.root / "iac/prod/main.tf").write_text("changed\n" * 20)
    assert main(["report"]) == 0
    page = (reviewed.root / ".pixgates" / "report.html").read_text()
    assert "changed" not in page
    assert "iac/prod/main.tf:12" in page


def test_code_is_shown_of_the_families_alone_that_the_records_say_may_be(repository: tuple[Policy, Run]) -> None:
    reviewed, red = repository
    page = reviewed.root / ".pixgates" / "report.html"
    for shown in ((), ("other",), ("infra", "other")):
        record.save(dataclasses.replace(red, shown=shown), reviewed.root / ".pixgates")
        assert main(["report"]) == 0
        assert ("line 12" in page.read_text()) == ("infra" in shown)


def test_no_records(repository: tuple[Policy, Run], capsys: Said) -> None:
    reviewed, _ = repository
    (reviewed.root / ".pixgates" / "records.json").write_text("{")
    assert main(["report"]) == 5
    assert "not valid JSON" in capsys.readouterr().err
    assert main(["report", "--report-dir", "nowhere"]) == 5
    assert "no records" in capsys.readouterr().err
    assert not Path("nowhere").exists()


def test_a_folder_that_can_not_be_written(repository: tuple[Policy, Run], capsys: Said) -> None:
    reviewed, _ = repository
    (reviewed.root / ".pixgates" / "report.html").mkdir()
    assert main(["report"]) == 1
    assert "fix: " in capsys.readouterr().err


def test_asked_wrongly(repository: tuple[Policy, Run]) -> None:
    assert main(["report", "--config", "nowhere.toml"]) == 4
    assert main(["report", "--against", ""]) == 4
    assert main(["history", "--last", "0"]) == 4
    assert main(["history", "--history", "ftp://x"]) == 4
    assert main(["history", "--env", "nowhere"]) == 4


def test_records_to_compare_with_may_be_named(repository: tuple[Policy, Run]) -> None:
    reviewed, _ = repository
    record.save(example_runs.GREEN, reviewed.root / "main")
    assert main(["report", "--against", "main/records.json"]) == 0
    summary = (reviewed.root / ".pixgates" / "summary.md").read_text()
    assert "| no finding | was PASS |" in summary
    assert main(["report", "--against", "main/nothing.json"]) == 0
    assert "no records" in (reviewed.root / ".pixgates" / "summary.md").read_text()


def test_the_history_is_shown_with_its_trend(repository: tuple[Policy, Run], capsys: Said) -> None:
    reviewed, _ = repository
    kept(reviewed.root, *(0.90 - 0.01 * at for at in range(12)))
    assert main(["history"]) == 0
    said = capsys.readouterr().out
    assert "model_gate/limit[recall]" in said
    assert "0.9 -> 0.79, limit >= 0.7" in said
    assert "slow slide: model_gate/limit[recall]: recall is 0.79 and loses about 0.01 a run" in said
    assert said.splitlines()[-1] == "pixgates history: 1 measurement, 1 slow slide"
    assert main(["history", "--strict"]) == 1
    assert main(["history", "--strict", "--last", "5"]) == 0
    assert main(["history", "--gate", "nothing", "--strict"]) == 0


def test_the_history_as_json(repository: tuple[Policy, Run], capsys: Said) -> None:
    reviewed, _ = repository
    kept(reviewed.root, 0.9, 0.91)
    assert main(["history", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["run"] for each in told["runs"]] == ["run-0", "run-1"]
    assert [point["value"] for point in told["measurements"][0]["points"]] == [0.9, 0.91]
    assert told["slides"] == []


def test_each_environment_has_a_history_of_its_own(repository: tuple[Policy, Run], capsys: Said) -> None:
    reviewed, _ = repository
    kept(reviewed.root, 0.9, environment="prod")
    assert main(["history"]) == 5
    assert main(["history", "--env", "prod"]) == 0


def test_a_history_that_is_none_or_broken(repository: tuple[Policy, Run], capsys: Said) -> None:
    reviewed, _ = repository
    assert main(["history"]) == 5
    assert "no runs in" in capsys.readouterr().err
    (reviewed.root / ".pixgates" / "history.db").write_bytes(os.urandom(5000))
    assert main(["history"]) == 1
    assert "move it away" in capsys.readouterr().err
    assert main(["report"]) == 0, "the reports are made all the same"
    assert "can&#x27;t be used" in (reviewed.root / ".pixgates" / "report.html").read_text()
