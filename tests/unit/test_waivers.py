"""A waiver that expired or excuses nothing is a finding, which says what it may have meant."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates.core import files, policy, waivers
from pytest_pixgates.core.record import Record
from pytest_pixgates.core.scan import Finding, State
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome
from tests.unit import example_runs
from tests.unit.example_runs import CLEAN, FINDING, POLICY

SOON = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=5)
GIVEN = {"id": "W-1", "rule": FINDING.rule, "path": FINDING.path, "owner": "o", "reason": "r", "expires": str(SOON)}


def judged(root: Path, *found: Finding, partial: bool = False, error: bool = False, **changes: str) -> Record:
    """The record of one waiver in a run that found `found`, which the policy was applied to."""
    (root / "gates").mkdir(exist_ok=True)
    (root / "gates/gates.toml").write_text(POLICY)
    rows = {**GIVEN, **changes}
    text = "[[infra]]\n" + "".join(f'{name} = "{value}"\n' for name, value in rows.items())
    (root / "gates/waivers.toml").write_text(text)
    reviewed = policy.load(root / "gates/gates.toml")
    settled = [each if each.state is not State.OPEN else reviewed.waive("infra", each) for each in found]
    outcome: dict[str, Any] = {"outcome": Outcome.ERROR} if error else {}
    ran = {"infra": [example_runs.record(example_runs.scan(*settled), **outcome)]}
    (record,) = waivers.judge(reviewed, ran, partial)
    return record


def message(record: Record) -> str:
    (finding,) = record.findings
    assert record.outcome is Outcome.FAIL
    return finding.message


def test_a_waiver_that_excuses_a_finding_passes_and_is_about_the_file_of_waivers(tmp_path: Path) -> None:
    record = judged(tmp_path, FINDING)
    assert record.outcome is Outcome.PASS
    digest = files.sha256(tmp_path / "gates/waivers.toml")
    assert record.subjects == (Subject("gates/waivers.toml", digest, "file"),)
    (tool,) = record.scans[0].tools
    assert (tool.name, len(tool.sha256)) == ("pixgates", 64)
    assert tool.sha256 != digest


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"resource": "aws_s3_bucket.b"}, "differs in resource"),
        ({"path": "iac/dev/main.tf"}, "differs in path"),
        ({"rule": "CKV_AWS_18"}, "differs in rule"),
        ({"rule": "CKV_AWS_18", "resource": "aws_s3_bucket.b"}, "differs in rule and resource"),
    ],
)
def test_an_unused_waiver_names_the_nearest_finding_and_how_it_differs(
    tmp_path: Path, changes: dict[str, str], hint: str
) -> None:
    far = dataclasses.replace(FINDING, rule="CKV_K8S_8", path="iac/k8s/app.yaml", resource="Deployment/app")
    said = message(judged(tmp_path, far, FINDING, **changes))
    assert said == (f"waiver W-1 excuses nothing; nearest: CKV_AWS_19 at iac/prod/main.tf:12 (aws_s3_bucket.a) {hint}")


@pytest.mark.parametrize(
    ("state", "hint"),
    [(State.OFF, "is switched off by the policy"), (State.MINOR, "does not block without it")],
)
def test_an_unused_waiver_says_that_its_finding_does_not_block(tmp_path: Path, state: State, hint: str) -> None:
    assert message(judged(tmp_path, dataclasses.replace(FINDING, state=state))).endswith(hint)


def test_an_unused_waiver_says_that_another_one_excuses_its_finding(tmp_path: Path) -> None:
    finding = dataclasses.replace(FINDING, state=State.WAIVED, waiver="W-2")
    assert message(judged(tmp_path, finding)).endswith("is excused by W-2 already")


def test_an_unused_waiver_with_nothing_near_says_no_more(tmp_path: Path) -> None:
    far = dataclasses.replace(FINDING, rule="CKV_K8S_8", path="iac/k8s/app.yaml")
    for found in ((), (far,)):
        assert message(judged(tmp_path, *found)) == "waiver W-1 excuses nothing"


def test_whether_a_waiver_is_used_is_judged_only_after_a_whole_run_without_errors(tmp_path: Path) -> None:
    assert judged(tmp_path).outcome is Outcome.FAIL
    assert judged(tmp_path, partial=True).outcome is Outcome.PASS
    assert judged(tmp_path, error=True).outcome is Outcome.PASS


def test_an_expired_waiver_is_a_finding_whatever_ran(tmp_path: Path) -> None:
    for partial in (False, True):
        record = judged(tmp_path, FINDING, partial=partial, expires="2020-01-01")
        assert message(record) == "waiver W-1 of o expired on 2020-01-01"
        assert record.findings[0].where == "gates/waivers.toml:1"


def test_a_family_without_waivers_gets_no_record(tmp_path: Path) -> None:
    reviewed, run = example_runs.repository(tmp_path)
    assert CLEAN.outcome is Outcome.PASS
    assert list(waivers.judge(reviewed, {"infra": run.records}, partial=False)) == []
