"""`pixgates verdict` is green only for fresh, complete evidence of what is here now; each gap is refused by name."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates.cli.main import main
from pytest_pixgates.core import policy, record
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.record import Check, Record, Run
from pytest_pixgates.core.refusal import Question, judge
from pytest_pixgates.core.scan import Scan, State
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome, Verdict
from tests.unit import example_runs
from tests.unit.example_runs import CLEAN, FINDING, NOW, POLICY

HOUR = 3600.0
LATER = Question(NOW + 60)
BAD = Verdict(Outcome.FAIL, "recall >= 0.8", reason="beyond the limit")


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Policy, Run]:
    return example_runs.repository(tmp_path)


def rules(run: Run, reviewed: Policy, question: Question = LATER) -> list[str]:
    return [refusal.rule for refusal in judge(run, reviewed, question)]


def with_record(run: Run, **changes: Any) -> Run:
    return dataclasses.replace(run, records=(dataclasses.replace(run.records[0], **changes),))


def with_scan(run: Run, **changes: Any) -> Run:
    """The run with its scan changed and nothing that was concluded from it: as somebody edits a file."""
    check = run.records[0].checks[0]
    assert check.scan is not None
    return with_record(run, checks=(Check(check.verdict, dataclasses.replace(check.scan, **changes)),))


def test_whole_fresh_evidence_is_not_refused(repository: tuple[Policy, Run]) -> None:
    reviewed, run = repository
    assert judge(run, reviewed, LATER) == []
    assert judge(run, reviewed, Question(NOW + 60, "run-1", ("infra",), 120.0)) == []


SPOILED: dict[str, tuple[str, Callable[[Run], Run]]] = {
    "still running": ("not-closed", lambda run: dataclasses.replace(run, status="running")),
    "partial": ("partial", lambda run: dataclasses.replace(run, partial=("-k recall",))),
    "a gate left no record": (
        "missing-gate",
        lambda run: dataclasses.replace(run, expected={**run.expected, "gates/test_x.py::test_y": "infra/y"}),
    ),
    "a gate failed": ("not-passed", lambda run: with_record(run, outcome=Outcome.FAIL)),
    "a gate was inconclusive": ("not-passed", lambda run: with_record(run, outcome=Outcome.INCONCLUSIVE)),
    "a gate was an error": ("not-passed", lambda run: with_record(run, outcome=Outcome.ERROR)),
    "PASS without a check": ("contradicted", lambda run: with_record(run, checks=())),
    "PASS with a failed check": ("contradicted", lambda run: with_record(run, checks=(Check(BAD),))),
    "PASS with a failed check among others": (
        "contradicted",
        lambda run: with_record(run, checks=(*run.records[0].checks, Check(BAD))),
    ),
    "PASS over a finding": ("contradicted", lambda run: with_scan(run, findings=(FINDING,))),
    "PASS over nothing scanned": ("contradicted", lambda run: with_scan(run, scanned={"files": 0})),
    "PASS by an unknown tool": ("contradicted", lambda run: with_scan(run, tools=())),
    "PASS without a subject": (
        "contradicted",
        lambda run: with_record(run, checks=(Check(Verdict(Outcome.PASS, "recall >= 0.8")),)),
    ),
    "a measurement of what changed": (
        "subject-changed",
        lambda run: with_record(
            run, checks=(Check(Verdict(Outcome.PASS, "blocks <= 5", subjects=(Subject("iac/prod", "0" * 64),))),)
        ),
    ),
    "PASS of another gate": ("contradicted", lambda run: with_record(run, gate="infra/other")),
    "PASS of another family": ("contradicted", lambda run: with_record(run, family="latency")),
    "waived by nothing": (
        "waiver",
        lambda run: with_scan(run, findings=(dataclasses.replace(FINDING, state=State.WAIVED, waiver="W-9"),)),
    ),
    "known by nothing": (
        "baseline",
        lambda run: with_scan(run, findings=(dataclasses.replace(FINDING, state=State.KNOWN),)),
    ),
    "a family left out": ("family-missing", lambda run: dataclasses.replace(run, families=())),
    "a family without gates": ("family-missing", lambda run: with_record(run, family="latency", gate="latency/x")),
    "other policy": ("policy-changed", lambda run: dataclasses.replace(run, policy_sha256="0" * 64)),
    "ended before it started": ("from-future", lambda run: dataclasses.replace(run, ended=NOW - 1)),
    "from the future": ("from-future", lambda run: dataclasses.replace(run, started=NOW + HOUR, ended=NOW + HOUR)),
    "a subject without a digest": (
        "subject-changed",
        lambda run: with_scan(run, subjects=(Subject("iac/prod", ""),)),
    ),
    "a subject that is not there": (
        "subject-changed",
        lambda run: with_scan(run, subjects=(Subject("iac/gone", "0" * 64),)),
    ),
    "a subject that was absent": (
        "subject-changed",
        lambda run: with_scan(run, subjects=(Subject("iac/prod", "", "absent"),)),
    ),
    "a subject that can't be a path": (
        "subject-changed",
        lambda run: with_scan(run, subjects=(Subject("iac/\x00", "0" * 64),)),
    ),
    "a subject of unknown kind": (
        "subject-unknown",
        lambda run: with_scan(run, subjects=(Subject("iac/prod", "0" * 64, "image"),)),
    ),
}


@pytest.mark.parametrize("how", SPOILED)
def test_each_gap_is_refused_by_name(repository: tuple[Policy, Run], how: str) -> None:
    reviewed, run = repository
    rule, spoil = SPOILED[how]
    assert rule not in rules(run, reviewed)
    assert rule in rules(spoil(run), reviewed)


def test_a_run_without_gates_is_refused(repository: tuple[Policy, Run]) -> None:
    reviewed, run = repository
    assert "no-gates" in rules(dataclasses.replace(run, records=(), expected={}), reviewed)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("iac/prod", lambda root: (root / "iac/prod/main.tf").write_text("changed"), "it changed"),
        ("iac/prod", lambda root: (root / "iac/prod/new.tf").write_text(""), "it changed"),
        ("iac/prod", lambda root: (root / "iac/prod").rename(root / "iac/moved"), "it vanished"),
        ("iac/one.tf", lambda root: (root / "iac/one.tf").write_text("changed"), "it changed"),
        ("iac/one.tf", lambda root: (root / "iac/one.tf").unlink(), "it vanished"),
    ],
)
def test_what_changed_since_is_named(
    repository: tuple[Policy, Run], name: str, change: Callable[[Path], object], words: str
) -> None:
    reviewed, run = repository
    assert judge(run, reviewed, LATER) == []
    change(reviewed.root)
    (refusal,) = judge(run, reviewed, LATER)
    assert refusal.where == name
    assert words in refusal.what


@pytest.mark.parametrize(
    "change",
    [
        lambda gates: (gates / "gates.toml").write_text(POLICY + "\n"),
        lambda gates: (gates / "test_infra.py").write_text(""),
        lambda gates: (gates / "waivers.toml").write_text(""),
        lambda gates: (gates / "baseline.json").write_text('{"schema": 1, "entries": []}'),
    ],
)
def test_a_change_to_anything_reviewed_is_refused(
    repository: tuple[Policy, Run], change: Callable[[Path], object]
) -> None:
    reviewed, run = repository
    change(reviewed.folder)
    assert rules(run, reviewed) == ["policy-changed"]


@pytest.mark.parametrize(
    ("age", "environment", "max_age", "fresh"),
    [
        (23.9, "", None, True),
        (24.1, "", None, False),
        (3.9, "prod", None, True),
        (4.1, "prod", None, False),
        (4.1, "prod", 8.0, False),
        (1.1, "prod", 1.0, False),
        (30.0, "", 48.0, True),
        (0.6, "", 0.5, False),
        (-0.03, "", None, True),
        (-0.06, "", None, False),
    ],
)
def test_evidence_ages(
    repository: tuple[Policy, Run], age: float, environment: str, max_age: float | None, fresh: bool
) -> None:
    reviewed, run = repository
    reviewed = dataclasses.replace(reviewed, environment=environment)
    run = dataclasses.replace(run, environment=environment, ended=NOW)
    question = Question(NOW + age * HOUR, max_age=None if max_age is None else max_age * HOUR)
    assert rules(run, reviewed, question) == ([] if fresh else ["too-old" if age > 0 else "from-future"])


def test_an_environment_takes_only_its_own_evidence_with_all_that_it_requires(repository: tuple[Policy, Run]) -> None:
    reviewed, run = repository
    prod = dataclasses.replace(reviewed, environment="prod")
    assert rules(dataclasses.replace(run, environment="prod"), prod) == []
    assert rules(run, prod) == ["other-environment"]
    assert rules(dataclasses.replace(run, environment="dev"), prod) == ["other-environment"]
    other = example_runs.run(
        example_runs.record(CLEAN, gate="infra/other"), policy_sha256=reviewed.sha256, environment="prod"
    )
    assert rules(other, prod) == ["required-missing"]
    dev = dataclasses.replace(reviewed, environment="dev")
    assert rules(dataclasses.replace(other, environment="dev"), dev) == []


def test_a_run_is_that_of_the_pipeline_that_asks(repository: tuple[Policy, Run]) -> None:
    reviewed, run = repository
    assert rules(run, reviewed, Question(NOW, "run-1")) == []
    assert rules(run, reviewed, Question(NOW, "run-2")) == ["other-run"]


def test_families_are_all_of_the_policy_unless_fewer_are_asked_for(tmp_path: Path) -> None:
    _, run = example_runs.repository(tmp_path)
    (tmp_path / "gates/gates.toml").write_text(POLICY + "[latency]\n")
    reviewed = policy.load(tmp_path / "gates" / "gates.toml")
    run = dataclasses.replace(run, policy_sha256=reviewed.sha256)
    assert rules(run, reviewed) == ["family-missing"]
    assert rules(run, reviewed, Question(NOW, families=("infra",))) == []
    assert rules(run, reviewed, Question(NOW, families=("infra", "latency"))) == ["family-missing"]
    red = with_record(run, outcome=Outcome.FAIL)
    assert rules(red, reviewed, Question(NOW, families=("infra",))) == ["not-passed"]


def test_asking_for_one_family_does_not_excuse_a_gate_of_another(repository: tuple[Policy, Run]) -> None:
    reviewed, run = repository
    failed = example_runs.record(BAD, gate="latency/p99", node="n")
    both = dataclasses.replace(run, records=(*run.records, failed), families=("infra", "latency"))
    assert rules(both, reviewed, Question(NOW, families=("infra",))) == ["not-passed"]


def test_a_waiver_that_expired_since_no_longer_excuses(tmp_path: Path) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    example_runs.repository(tmp_path)
    (tmp_path / "gates/waivers.toml").write_text(
        f'[[infra]]\nid = "W-1"\nrule = "{FINDING.rule}"\npath = "iac/prod/*"\n'
        f'owner = "o"\nreason = "r"\nexpires = {today}\n'
    )
    reviewed = policy.load(tmp_path / "gates" / "gates.toml")
    waived = example_runs.scan(reviewed.waive("infra", FINDING))
    now = time.time()
    run = example_runs.run(example_runs.record(waived), policy_sha256=reviewed.sha256, started=now, ended=now)
    assert rules(run, reviewed, Question(now)) == []
    assert rules(run, reviewed, Question(now + 24 * HOUR, max_age=48 * HOUR)) == ["waiver"]


def test_all_refusals_are_listed_each_with_where_and_what_to_do(repository: tuple[Policy, Run]) -> None:
    reviewed, run = repository
    spoiled = dataclasses.replace(run, status="running", partial=("-x",), policy_sha256="")
    (reviewed.root / "iac/one.tf").unlink()
    found = judge(spoiled, reviewed, Question(NOW + 100 * HOUR, "run-2"))
    expected = ["not-closed", "other-run", "partial", "policy-changed", "subject-changed", "too-old"]
    assert [refusal.rule for refusal in found] == expected
    for refusal in found:
        assert str(refusal) == f"{refusal.where}: {refusal.what}; {refusal.fix}"
        assert refusal.where
        assert refusal.what
        assert refusal.fix
        assert "\n" not in str(refusal)


# The command


class Command:
    """`pixgates verdict` in a repository whose run has just ended."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self._capsys = root, capsys
        _, run = example_runs.repository(root)
        now = time.time()
        self.run = dataclasses.replace(run, started=now - 34, ended=now)
        self.save(self.run)

    def save(self, run: Run, folder: str = ".pixgates") -> Path:
        return record.save(run, self.root / folder)

    def __call__(self, *arguments: str) -> tuple[int, list[str]]:
        """The exit code and what was printed."""
        try:
            code = main(["verdict", *arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = self._capsys.readouterr()
        return code, (said.out + said.err).splitlines()


@pytest.fixture
def verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    for name in ("PIXGATES_RUN_ID", "PIXGATES_REPORT_DIR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Command(tmp_path, capsys)


def test_green_prints_the_summary_and_ends_with_pass(verdict: Command) -> None:
    code, lines = verdict()
    assert code == 0
    assert lines[-2:] == ["pixgates: PASS (1 gate, 34 s)", "pixgates verdict: PASS"]
    assert verdict("--run-id", "run-1", "--family", "infra", "--max-age", "1h")[0] == 0


@pytest.mark.parametrize(
    ("spoil", "code", "last"),
    [
        (lambda run: with_record(run, outcome=Outcome.FAIL), 1, "FAIL"),
        (lambda run: with_record(run, outcome=Outcome.INCONCLUSIVE), 1, "INCONCLUSIVE"),
        (lambda run: with_record(run, checks=()), 1, "ERROR"),
        (lambda run: dataclasses.replace(run, partial=("-x",)), 1, "ERROR"),
        (lambda run: dataclasses.replace(run, started=1.0), 1, "ERROR"),
        (lambda run: dataclasses.replace(run, status="running", records=()), 2, "ERROR"),
        (lambda run: dataclasses.replace(with_record(run, outcome=Outcome.FAIL), status="running"), 2, "FAIL"),
    ],
)
def test_the_exit_code_and_the_last_line_agree(
    verdict: Command, spoil: Callable[[Run], Run], code: int, last: str
) -> None:
    verdict.save(spoil(verdict.run))
    got, lines = verdict()
    assert (got, lines[-1]) == (code, f"pixgates verdict: {last}")
    assert any(line.startswith("refused: ") for line in lines)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema": 2}', "null"])
def test_records_that_can_not_be_read_are_no_evidence(verdict: Command, damage: str) -> None:
    (verdict.root / ".pixgates/records.json").write_text(damage)
    code, lines = verdict()
    assert code == 1
    assert lines[0].startswith("refused: ")
    assert lines[0].count(".pixgates/records.json") == 1
    assert lines[-1] == "pixgates verdict: ERROR"


def test_no_records_at_all_is_5_and_says_how_to_make_some(verdict: Command) -> None:
    (verdict.root / ".pixgates/records.json").unlink()
    code, lines = verdict()
    assert code == 5
    path = verdict.root / ".pixgates/records.json"
    assert lines[0] == f"refused: {path}: no records (No such file or directory); run the gates: pytest"
    assert lines[-1] == "pixgates verdict: ERROR"


def test_records_that_are_no_file_are_no_evidence(verdict: Command) -> None:
    path = verdict.root / ".pixgates/records.json"
    path.unlink()
    path.mkdir()
    assert verdict()[0] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--env", "prdo"),
        ("--env", ""),
        ("--run-id", ""),
        ("--family", " "),
        ("--max-age", "soon"),
        ("--max-age", "0h"),
        ("--max-age", "-1h"),
        ("--config", "gates/absent.toml"),
        ("--unknown",),
    ],
)
def test_what_is_asked_wrongly_is_4(verdict: Command, arguments: tuple[str, ...]) -> None:
    assert verdict()[0] == 0
    code, lines = verdict(*arguments)
    assert code == 4
    assert "pixgates verdict: PASS" not in lines


def test_a_policy_that_is_odd_is_4(verdict: Command) -> None:
    (verdict.root / "gates/gates.toml").write_text("[pixgates]\nalhpa = 1\n")
    code, lines = verdict()
    assert code == 4
    assert any("gates.toml:2" in line and "'alpha'" in line for line in lines)


def test_the_environment_names_the_run_and_the_folder(verdict: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXGATES_RUN_ID", "run-2")
    assert verdict()[0] == 1
    assert verdict("--run-id", "run-1")[0] == 0
    monkeypatch.setenv("PIXGATES_RUN_ID", "run-1")
    assert verdict()[0] == 0
    monkeypatch.setenv("PIXGATES_REPORT_DIR", "elsewhere")
    assert verdict()[0] == 5
    verdict.save(verdict.run, "elsewhere")
    assert verdict()[0] == 0
    assert verdict("--report-dir", "nowhere")[0] == 5


def test_an_environment_is_asked_for_by_name(verdict: Command) -> None:
    assert verdict("--env", "prod")[0] == 1
    verdict.save(dataclasses.replace(verdict.run, environment="prod"))
    assert verdict("--env", "prod")[0] == 0
    assert verdict("--env", "dev")[0] == 1


def test_another_policy_file_may_be_named(verdict: Command) -> None:
    (verdict.root / "gates").rename(verdict.root / "checks")
    code, lines = verdict()
    assert code == 4
    assert any("--config" in line for line in lines)
    assert not any("--pixgates-config" in line for line in lines)
    assert verdict("--config", "checks/gates.toml")[0] == 0
    (verdict.root / "checks").rename(verdict.root / "gates")
    assert verdict("--config", "gates/gates.toml")[0] == 0
    os.chdir(verdict.root / "gates")
    assert verdict("--report-dir", "../.pixgates", "--config", "gates.toml")[0] == 0


def test_the_policy_and_the_records_are_those_of_the_nearest_folder_above(verdict: Command) -> None:
    (verdict.root / "deep/below").mkdir(parents=True)
    os.chdir(verdict.root / "deep/below")
    assert verdict()[0] == 0
    (verdict.root / "deep/gates").mkdir()
    (verdict.root / "deep/gates/gates.toml").write_text("")
    assert verdict()[0] == 5


def test_json_is_one_document(verdict: Command) -> None:
    code, lines = verdict("--json")
    assert (code, json.loads("\n".join(lines))) == (0, {"verdict": "PASS", "run": "run-1", "refusals": []})
    code, lines = verdict("--json", "--run-id", "run-2")
    document = json.loads("\n".join(lines))
    assert (code, document["verdict"], [each["rule"] for each in document["refusals"]]) == (1, "ERROR", ["other-run"])
    (verdict.root / ".pixgates/records.json").unlink()
    assert json.loads("\n".join(verdict("--json")[1]))["run"] is None


@pytest.mark.parametrize(
    ("arguments", "what", "fix"),
    [
        (("--env", "prdo"), "did you mean 'prod'", ""),
        (("--max-age", "soon"), "'soon' is not a number", "pixgates verdict --help"),
        (("--unknown",), "unrecognized arguments: --unknown", "--help"),
        (("--config", "gates/absent.toml"), "No such file", "name another with --config"),
    ],
)
def test_json_is_one_document_even_for_what_is_asked_wrongly(
    verdict: Command, arguments: tuple[str, ...], what: str, fix: str
) -> None:
    code, lines = verdict("--json", *arguments)
    document = json.loads("\n".join(lines))
    (refusal,) = document["refusals"]
    assert (code, document["verdict"], document["run"], refusal["rule"]) == (4, "ERROR", None, "usage")
    assert what in refusal["what"]
    assert fix in refusal["fix"]


@pytest.mark.parametrize("value", ["", " "])
def test_a_run_id_that_is_set_but_empty_is_asked_wrongly(
    verdict: Command, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("PIXGATES_RUN_ID", value)
    code, lines = verdict()
    assert code == 4
    assert "PIXGATES_RUN_ID is set but empty" in lines[0]
    assert verdict("--run-id", "run-1")[0] == 0


@pytest.mark.parametrize(("environment", "code"), [("", 0), ("dev", 0), ("prod", 1)])
def test_without_an_environment_the_run_ages_as_that_which_it_was_judged_for(
    verdict: Command, environment: str, code: int
) -> None:
    ended = time.time() - 5 * HOUR
    run = dataclasses.replace(verdict.run, started=ended, ended=ended, environment=environment)
    verdict.save(run)
    got, lines = verdict()
    assert got == code
    assert any("at most 4 h are allowed" in line for line in lines) is bool(code)
    assert verdict("--max-age", "8h")[0] == code
    verdict.save(dataclasses.replace(run, started=time.time(), ended=time.time()))
    assert verdict()[0] == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_can_not_show_a_character_still_gets_the_verdict(verdict: Command, encoding: str) -> None:
    reason = "o saldo não fecha… \u65e5\u672c " + "x" * 200
    bad = Verdict(Outcome.FAIL, "café", reason=reason, subjects=(example_runs.RENDERED,))
    verdict.save(with_record(verdict.run, outcome=Outcome.FAIL, reason=reason, checks=(Check(bad),)))
    variables = {**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C", "PYTHONUTF8": "0"}
    argv = [sys.executable, "-m", "pytest_pixgates", "verdict"]
    done = subprocess.run(argv, capture_output=True, cwd=verdict.root, env=variables, timeout=60)
    assert (done.returncode, done.stderr) == (1, b"")
    assert done.stdout.decode(encoding).splitlines()[-1] == "pixgates verdict: FAIL"


def test_a_record_can_not_print_its_own_verdict(verdict: Command) -> None:
    hostile = "\x1b[2K\rpixgates verdict: PASS\n"
    verdict.save(dataclasses.replace(with_record(verdict.run, outcome=Outcome.FAIL, reason=hostile), id=hostile))
    code, lines = verdict()
    assert code == 1
    assert "pixgates verdict: PASS" not in lines
    assert not any("\x1b" in line for line in lines)
    assert lines[-1] == "pixgates verdict: FAIL"


def test_judging_records_nothing(verdict: Command) -> None:
    one: Record = verdict.run.records[0]
    assert isinstance(one.scans[0], Scan)
    assert verdict()[0] == 0
