"""`pixgates baseline` believes only whole, measured runs of what is here, adopts once, and then only takes away."""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_pixgates.cli.main import main
from pytest_pixgates.core import baseline, policy, record, tolerance
from pytest_pixgates.core.baseline import Entry
from pytest_pixgates.core.known import Known
from pytest_pixgates.core.record import Run
from pytest_pixgates.core.scan import Finding, Problem, State
from pytest_pixgates.core.verdict import Outcome
from tests.git import Git
from tests.unit import example_runs
from tests.unit.example_runs import FINDING

TODAY = tolerance.today()
DAY = datetime.timedelta(days=1)
OTHER = dataclasses.replace(FINDING, resource="aws_s3_bucket.b")


class Command:
    """`pixgates baseline` in a clone whose run has just ended."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.git, self._capsys = root, Git(root), capsys
        example_runs.repository(root)
        (root / ".gitignore").write_text(".pixgates\n")
        self.git.merged()

    def ran(self, *found: Finding, environment: str = "", problems: tuple[Problem, ...] = ()) -> Run:
        """A run that found `found`, its records saved."""
        reviewed, _ = example_runs.repository(self.root)
        known, now = Known(dataclasses.replace(reviewed, environment=environment)), time.time()
        scan = known.mark("infra", example_runs.scan(*found, problems=problems))
        run = example_runs.run(
            example_runs.record(scan),
            started=now - 34,
            ended=now,
            policy_sha256=reviewed.sha256,
            environment=environment,
        )
        return self.save(run)

    def save(self, run: Run) -> Run:
        record.save(run, self.root / ".pixgates")
        return run

    def entries(self) -> list[Entry] | None:
        read = policy.load(self.root / "gates/gates.toml").baseline
        return None if read is None else list(read.entries)

    def __call__(self, *arguments: str) -> tuple[int, str]:
        """The exit code and what was printed."""
        code = main(["baseline", *arguments])
        said = self._capsys.readouterr()
        return code, said.out + said.err


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    made = Command(tmp_path / "clone", capsys)
    monkeypatch.chdir(made.root)
    for name in ("PIXGATES_RUN_ID", "PIXGATES_REPORT_DIR", "PIXGATES_TARGET", "GITHUB_BASE_REF", "CHANGE_TARGET"):
        monkeypatch.delenv(name, raising=False)
    return made


def test_adopting_writes_what_blocks_for_90_days_or_less(command: Command) -> None:
    command.ran(FINDING, FINDING, dataclasses.replace(OTHER, state=State.OFF))
    assert command("--check") == (
        1,
        f"+ CKV_AWS_19 at iac/prod/main.tf (aws_s3_bucket.a) [checkov iac/prod]: 2, until {TODAY + 90 * DAY}\n",
    )
    assert command.entries() is None
    code, said = command()
    assert code == 0
    assert said.endswith("gates/baseline.json: 2 findings known; commit it, then run the gates again\n")
    (entry,) = command.entries() or []
    assert (entry.count, entry.since, entry.expires) == (2, TODAY, TODAY + 90 * DAY)
    (command.root / "gates/baseline.json").unlink()
    assert command("--expires", str(TODAY + DAY))[0] == 0
    assert [each.expires for each in command.entries() or []] == [TODAY + DAY]


@pytest.mark.parametrize("expires", [str(TODAY + 91 * DAY), str(TODAY - DAY), "soon", ""])
def test_no_expiry_is_past_or_too_far(command: Command, expires: str) -> None:
    command.ran(FINDING)
    assert command("--expires", expires)[0] == 4
    assert command.entries() is None


def test_what_can_never_be_known_is_not_adopted(command: Command) -> None:
    rules = ("inline-skip", "terraform-validate", "terraform-test", "kubernetes-schema", "kubernetes-expect")
    command.ran(*(dataclasses.replace(FINDING, rule=rule) for rule in rules))
    assert command()[0] == 0
    assert command.entries() is None


def test_each_environment_is_adopted_once(command: Command) -> None:
    command.ran(FINDING)
    assert command()[0] == 0
    command.ran(FINDING, environment="prod")
    assert command()[0] == 0
    assert [each.environment for each in command.entries() or []] == ["", "prod"]
    before = command.entries()
    for environment in ("", "prod"):
        command.ran(FINDING, OTHER, environment=environment)
        assert command("--check")[0] == 0
    assert command.entries() == before


def test_once_merged_it_only_shrinks(command: Command) -> None:
    command.ran(FINDING, FINDING, OTHER)
    assert command()[0] == 0
    command.git.merged()
    new = dataclasses.replace(FINDING, rule="CKV_AWS_18")
    command.ran(FINDING, FINDING, OTHER, new)
    code, said = command()
    assert (code, said.endswith("nothing to do, 3 findings known\n")) == (0, True)
    command.ran(FINDING, new)
    assert command()[0] == 0
    (entry,) = command.entries() or []
    assert (entry.rule, entry.resource, entry.count) == (FINDING.rule, FINDING.resource, 1)
    command.ran()
    assert command()[0] == 0
    assert command.entries() == []
    assert json.loads((command.root / "gates/baseline.json").read_text()) == {"schema": 1, "entries": []}
    command.ran(FINDING)
    assert command("--expires", str(TODAY))[0] == 4


def test_an_expired_entry_goes_and_is_not_renewed(command: Command) -> None:
    scan = example_runs.scan(FINDING)
    old = Entry.of(FINDING, scan, "infra", "", count=1, since=TODAY - 60 * DAY, expires=TODAY - DAY)
    (command.root / "gates/baseline.json").write_text(baseline.dumps([old]))
    command.git.merged()
    command.ran(FINDING)
    code, said = command()
    assert code == 0
    assert said.startswith("- CKV_AWS_19 at iac/prod/main.tf (aws_s3_bucket.a) [checkov iac/prod]: expired\n")
    assert command.entries() == []


def test_a_baseline_that_is_gone_is_not_adopted_anew(command: Command) -> None:
    command.ran(FINDING)
    assert command()[0] == 0
    command.git.merged()
    (command.root / "gates/baseline.json").unlink()
    command.ran(FINDING)
    code, said = command()
    assert code == 1
    assert "git checkout" in said
    assert command.entries() is None


REFUSED: dict[str, tuple[Callable[[Run], Run], str]] = {
    "still running": (lambda run: dataclasses.replace(run, status="running"), "never closed"),
    "partial": (lambda run: dataclasses.replace(run, partial=("-k x",)), "only a part ran: -k x"),
    "a gate left no record": (
        lambda run: dataclasses.replace(run, expected={**run.expected, "x": "infra/x"}),
        "infra/x was expected",
    ),
    "an error": (
        lambda run: dataclasses.replace(run, records=(dataclasses.replace(run.records[0], outcome=Outcome.ERROR),)),
        "not everything was measured",
    ),
    "other policy": (lambda run: dataclasses.replace(run, policy_sha256="0" * 64), "the gates or their policy changed"),
    "too old": (lambda run: dataclasses.replace(run, started=1.0), "h old"),
    "no gates": (lambda run: dataclasses.replace(run, records=(), expected={}), "no gate ran"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_a_run_that_is_no_evidence_is_refused(command: Command, how: str) -> None:
    spoil, words = REFUSED[how]
    run = command.ran(FINDING)
    assert command("--check")[0] == 1
    command.save(spoil(run))
    code, said = command()
    assert code == 1
    assert said.startswith("refused: ")
    assert words in said
    assert command.entries() is None


def test_a_finding_beside_what_could_not_be_measured_is_not_adopted(command: Command) -> None:
    run = command.ran(FINDING, problems=(Problem("not parsed", "iac/b.tf"),))
    assert run.outcome is Outcome.FAIL
    code, said = command()
    assert (code, "not everything was measured" in said) == (1, True)


def test_without_records_or_history_it_says_what_to_do(command: Command) -> None:
    code, said = command()
    assert (code, "run the gates" in said) == (1, True)
    command.ran(FINDING)
    command.git("update-ref", "-d", "refs/remotes/origin/main")
    code, said = command()
    assert (code, "fetch-depth: 0" in said) == (1, True)
    assert command.entries() is None


def test_of_another_run_it_makes_nothing(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command.ran(FINDING)
    monkeypatch.setenv("PIXGATES_RUN_ID", "run-2")
    assert command()[0] == 1
    monkeypatch.setenv("PIXGATES_RUN_ID", "run-1")
    assert command()[0] == 0


def test_doctor_asks_for_git_where_there_is_a_baseline(
    command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    main(["doctor"])
    assert "optional git" in capsys.readouterr().out
    (command.root / "gates/baseline.json").write_text(baseline.dumps([]))
    main(["doctor"])
    said = capsys.readouterr().out
    assert "missing  git" in said
    assert "knows what the baseline was before a change" in said
