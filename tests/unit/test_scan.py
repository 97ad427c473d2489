"""A scan passes only if a known tool looked at something, read all of it, and found nothing that blocks."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given

from pytest_pixgates.core.scan import Problem, Scan, Severity, State, ToolUse
from pytest_pixgates.core.verdict import Outcome
from tests.unit.example_runs import CLEAN, FINDING, TOOL, scan, scans


def test_what_was_not_there_to_judge_is_said() -> None:
    assert scan(absent=("k8s-secret",)).verdict.measured == "2 files by checkov 3.3.30; not present: k8s-secret"


def test_a_clean_scan_passes_and_one_finding_fails_it() -> None:
    assert CLEAN
    assert scan(FINDING).outcome is Outcome.FAIL
    assert "CKV_AWS_19 at iac/prod/main.tf:12" in scan(FINDING).verdict.reason


@pytest.mark.parametrize("state", [State.WAIVED, State.MINOR])
def test_a_finding_that_does_not_block_is_kept_and_passes(state: State) -> None:
    tolerated = dataclasses.replace(FINDING, state=state)
    assert scan(tolerated)
    assert scan(tolerated).findings == (tolerated,)
    assert not scan(tolerated, FINDING)


@pytest.mark.parametrize(
    "unmeasured",
    [
        dataclasses.replace(CLEAN, scanned={}),
        dataclasses.replace(CLEAN, scanned={"files": 0}),
        dataclasses.replace(CLEAN, scanned={"files": 2, "resources": 0}),
        dataclasses.replace(CLEAN, scanned={"files": -1}),
        dataclasses.replace(CLEAN, subjects=()),
        dataclasses.replace(CLEAN, tools=()),
        dataclasses.replace(CLEAN, tools=(dataclasses.replace(TOOL, version=""),)),
        dataclasses.replace(CLEAN, tools=(TOOL, ToolUse("opa", "1", ""))),
        dataclasses.replace(CLEAN, problems=(Problem("not parsed", "iac/a.tf", 3),)),
    ],
)
def test_what_was_not_measured_is_an_error(unmeasured: Scan) -> None:
    assert unmeasured.outcome is Outcome.ERROR
    assert unmeasured.verdict.reason


@given(scans)
def test_pass_needs_all_of_it(any_scan: Scan) -> None:
    measured = bool(any_scan.scanned and any_scan.subjects) and all(any_scan.scanned.values())
    known = bool(any_scan.tools) and all(tool.version and tool.sha256 for tool in any_scan.tools)
    found = any(finding.state is State.OPEN for finding in any_scan.findings)
    assert bool(any_scan.outcome) is (measured and known and not found and not any_scan.problems)


@given(scans)
def test_its_texts_are_made_of_whatever_a_tool_says(any_scan: Scan) -> None:
    assert repr(any_scan)
    assert any_scan.lines()


def test_a_fingerprint_survives_edits_elsewhere_and_tells_findings_apart() -> None:
    moved = dataclasses.replace(FINDING, line=99, message="worded otherwise")
    assert moved.fingerprint == FINDING.fingerprint
    for change in ({"rule": "X"}, {"path": "b.tf"}, {"resource": "aws_s3_bucket.b"}):
        assert dataclasses.replace(FINDING, **change).fingerprint != FINDING.fingerprint
    assert dataclasses.replace(FINDING, path="b\udcff.tf").fingerprint


def test_severities_are_ordered() -> None:
    assert Severity.NOTE.rank < Severity.WARNING.rank < Severity.ERROR.rank


def test_a_place_without_a_line_is_the_file() -> None:
    assert FINDING.where == "iac/prod/main.tf:12"
    assert dataclasses.replace(FINDING, line=0).where == "iac/prod/main.tf"
    assert str(Problem("not parsed", "a.tf", 3)) == "a.tf:3: not parsed"
    assert str(Problem("no tool")) == "no tool"


def test_the_failure_text_lists_what_to_mend_and_says_how_much_it_leaves_out() -> None:
    broken = scan(
        FINDING, FINDING, problems=(Problem("not parsed", "a.tf", 3, "close it"), Problem("slow")), cached=True
    )
    expected = [
        "  measured: 2 files by checkov 3.3.30 (cached)",
        "  because: 2 finding(s), first CKV_AWS_19 at iac/prod/main.tf:12: bucket is not encrypted",
        "  needs: kms",
        "  a.tf:3: not parsed (fix: close it)",
        "  slow",
        *["  iac/prod/main.tf:12: error CKV_AWS_19: bucket is not encrypted"] * 2,
    ]
    assert broken.lines()[1:] == expected
    assert broken.lines(most=4)[1:] == expected
    assert broken.lines(most=3)[4:] == [*expected[3:6], "  and 1 more"]
    assert CLEAN.lines() == ["PASS: checkov iac/prod", "  measured: 2 files by checkov 3.3.30"]
    assert Scan("a", "b").lines()[1].startswith("  measured: nothing")
