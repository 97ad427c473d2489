"""What the tools say, read from text; scans kept between processes; and the policy applied to them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given

from pytest_pixgates.core import decode
from pytest_pixgates.core.errors import ToolError
from pytest_pixgates.core.process import Completed
from pytest_pixgates.core.scan import Scan, Severity
from pytest_pixgates.infra import checkov, hadolint, hcl, terraform, tflint
from tests.unit.example_runs import scans


@given(scans)
def test_a_scan_survives_json(scan: Scan) -> None:
    assert decode.decode(Scan, json.loads(json.dumps(decode.encode(scan)))) == scan


# ---- checkov's four shapes, and what stands beside them


def said(stdout: object, stderr: str = "", returncode: int = 0) -> Completed:
    output = stdout if isinstance(stdout, str) else json.dumps(stdout)
    return Completed(returncode, output, stderr)


def report(framework: str = "terraform", **results: list[object]) -> dict[str, object]:
    counts = {key: len(results.get(f"{key}_checks", ())) for key in ("passed", "failed", "skipped")}
    return {"check_type": framework, "results": results, "summary": {**counts, "parsing_errors": 0}}


def place(record: dict[str, object]) -> tuple[str, int]:
    return str(record.get("file_abs_path")), 1


RECORD = {"check_id": "CKV_1", "check_name": "Be good", "file_abs_path": "main.tf", "severity": None, "resource": "a.b"}


def test_one_report_and_a_list_of_them_are_read_alike() -> None:
    one = report(passed_checks=[RECORD], failed_checks=[RECORD])
    assert checkov.parse(said(one, returncode=1), place).by_framework == {"terraform": 2}
    many = checkov.parse(said([one, report("kubernetes", skipped_checks=[RECORD])], returncode=1), place)
    assert many.by_framework == {"terraform": 2, "kubernetes": 1}
    assert [(each.rule, each.severity) for each in many.failed] == [("CKV_1", Severity.ERROR)]
    assert [(each.rule, each.resource) for each in many.skipped] == [("inline-skip", "CKV_1")]


@pytest.mark.parametrize(
    ("given", "meant"), [("LOW", Severity.NOTE), ("MEDIUM", Severity.WARNING), ("?", Severity.ERROR)]
)
def test_a_severity_weighs_what_it_says_and_an_unknown_one_most(given: str, meant: Severity) -> None:
    scan = checkov.parse(said(report(failed_checks=[{**RECORD, "severity": given}]), returncode=1), place)
    assert scan.failed[0].severity is meant


def test_a_bare_summary_counts_nothing() -> None:
    assert checkov.parse(said({"passed": 0, "failed": 0, "resource_count": 0}), place).checks == 0


@pytest.mark.parametrize(
    "done",
    [
        said(""),
        said("{"),
        said("[1]"),
        said({"odd": 1}),
        said(report(), returncode=2),
        said(report(), returncode=1),
        said(report(), returncode=-9),
        said(report(failed_checks=[{}]), returncode=1),
        said(report(failed_checks=[RECORD]), returncode=0),
        said({**report(passed_checks=[RECORD]), "summary": {"passed": 2, "failed": 0, "skipped": 0}}),
        said({**report(passed_checks=[RECORD]), "summary": {"passed": 1, "failed": 1, "skipped": 0}}),
        said(report(passed_checks=[{**RECORD, "check_result": {"result": "FAILED"}}])),
        said([report(passed_checks=[RECORD]), {"passed": 0, "failed": 1, "resource_count": 1}]),
        said({"results": {}}),
        said('{"a": 1}{"a": 1}'),
    ],
)
def test_anything_else_is_no_answer(done: Completed) -> None:
    with pytest.raises(ToolError):
        checkov.parse(done, place)


def test_files_and_modules_that_it_did_not_read_are_problems() -> None:
    unparsed = report(parsing_errors=["main.tf"])
    assert checkov.parse(said(unparsed), place).problems[0].path == "main.tf"
    unnamed = {**report(), "summary": {"passed": 0, "failed": 0, "skipped": 0, "parsing_errors": 1}}
    assert "does not say which" in checkov.parse(said(unnamed), place).problems[0].message
    warned = checkov.parse(said(report(), stderr="Failed to download module a/b/c:None\n"), place)
    assert "Failed to download module" in warned.problems[0].message


# ---- tflint and terraform


@pytest.mark.parametrize("output", ["", "{", "[]", "{}", '{"issues": [1], "errors": []}', '{"issues": []}'])
def test_tflint_must_say_both_lists(output: str, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="tflint said nothing readable"):
        tflint.parse(said(output), tmp_path, tmp_path)


ISSUE = {"rule": {"name": "r", "severity": "warning", "link": ""}, "message": "m", "range": {"filename": "main.tf"}}


@pytest.mark.parametrize(
    ("issues", "errors", "returncode"),
    [(0, 0, 2), (0, 0, 1), (0, 0, -9), (1, 0, 0), (1, 0, 1), (0, 1, 0), (0, 1, 2), (1, 1, 2)],
)
def test_tflint_must_not_contradict_itself(issues: int, errors: int, returncode: int, tmp_path: Path) -> None:
    output = {"issues": [ISSUE] * issues, "errors": [{"message": "m"}] * errors}
    with pytest.raises(ToolError, match="contradicts itself"):
        tflint.parse(said(output, returncode=returncode), tmp_path, tmp_path)
    fitting = 1 if errors else 2 if issues else 0
    assert len(tflint.parse(said(output, returncode=fitting), tmp_path, tmp_path)[0]) == issues


def verdict(valid: object, *severities: str, **counts: int) -> str:
    errors = severities.count("error")
    counted = {"error_count": errors, "warning_count": len(severities) - errors, **counts}
    return json.dumps({"valid": valid, **counted, "diagnostics": [{"severity": each} for each in severities]})


@pytest.mark.parametrize(("output", "returncode"), [(verdict(True, "warning"), 0), (verdict(False, "error"), 1)])
def test_terraform_validate_is_believed_if_all_of_it_fits(output: str, returncode: int) -> None:
    assert len(terraform.parse_validate(said(output, returncode=returncode))) == 1


@pytest.mark.parametrize(
    ("output", "returncode"),
    [
        (verdict(True), 1),
        (verdict(True), -9),
        (verdict(True, "error"), 0),
        (verdict(True, "error"), 1),
        (verdict(True, "fatal"), 0),
        (verdict(True, error_count=1), 0),
        (verdict(True, warning_count=1), 0),
        (verdict(False), 0),
        (verdict(False), 1),
        (verdict(False, "error"), 0),
        (verdict(False, "warning"), 1),
        (verdict(1), 0),
        (verdict("true"), 0),
        (verdict(None), 0),
    ],
)
def test_terraform_validate_must_not_contradict_itself(output: str, returncode: int) -> None:
    with pytest.raises(ToolError, match="contradicts itself"):
        terraform.parse_validate(said(output, returncode=returncode))


@pytest.mark.parametrize("output", ["", "[]", "{}", '{"valid": true, "diagnostics": [1]}'])
def test_terraform_validate_must_be_readable(output: str) -> None:
    with pytest.raises(ToolError, match="nothing readable"):
        terraform.parse_validate(said(output))


@pytest.mark.parametrize(("output", "returncode"), [("", 3), ("main.tf\n", 0), ("", -9), ("main.tf\n", 2)])
def test_terraform_fmt_must_not_contradict_itself(output: str, returncode: int) -> None:
    with pytest.raises(ToolError, match="terraform fmt"):
        terraform.parse_format(said(output, returncode=returncode))
    assert terraform.parse_format(said("b.tf\na.tf\n", returncode=3)) == ["a.tf", "b.tf"]


def declared(tmp_path: Path) -> tuple[hcl.Source, ...]:
    blocks = hcl.parse('run "a" {\n}\nrun "b" {\n}\n', "x.tftest.hcl")
    return (hcl.Source(tmp_path / "x.tftest.hcl", "x.tftest.hcl", "", blocks),)


def events(*runs: tuple[str, str], status: str = "pass", **summary: object) -> str:
    lines: list[dict[str, object]] = [
        {"type": "test_run", "@testfile": "x.tftest.hcl", "@testrun": run, "test_run": {"status": status}}
        for run, status in runs
    ]
    return "\n".join(
        map(
            json.dumps,
            [*lines, *([{"type": "test_summary", "test_summary": {"status": status, **summary}}] if summary else [])],
        )
    )


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (events(("a", "pass"), ("b", "pass"), passed=2), ""),
        (events(), "'a' was not run"),
        (events(passed=2), "'a' was not run"),
        (events(("a", "pass"), passed=1), "'b' was not run: not reported"),
        (events(("a", "pass"), ("b", "skip"), passed=1, skipped=1), "'b' was not run: skip"),
        (events(("a", "pass"), ("b", "pass")), "did not run everything"),
        (events(("a", "pass"), ("b", "pass"), passed=0), "did not run everything"),
        (events(("a", "pass"), ("b", "fail"), passed=1, failed=1), "without saying where"),
        (events(("a", "pass"), ("b", "error"), passed=1, errored=1), "1 errored"),
        (events(("a", "pass"), ("b", "pass"), passed=3), "contradicts itself"),
        (events(("a", "pass"), ("b", "pass"), passed=2, status="error"), "contradicts itself"),
    ],
)
def test_every_declared_test_must_have_run(output: str, problem: str, tmp_path: Path) -> None:
    outcome = terraform.parse_tests(said(output), str, declared(tmp_path), tmp_path)
    assert bool(outcome.problems) is bool(problem)
    assert problem in "".join(map(str, outcome.problems))


@pytest.mark.parametrize(
    "output",
    [
        "Error: x",
        "[]",
        "{}",
        '{"type": "test_run"}',
        '{"type": "test_summary", "test_summary": [1]}',
        events(passed="x"),
    ],
)
def test_terraform_tests_must_be_readable(output: str, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="unreadable"):
        terraform.parse_tests(said(output), str, declared(tmp_path), tmp_path)


@pytest.mark.parametrize("returncode", [1, 2, -9])
def test_terraform_test_that_passed_must_have_ended_well(returncode: int, tmp_path: Path) -> None:
    all_passed = said(events(("a", "pass"), ("b", "pass"), passed=2), returncode=returncode)
    (problem,) = terraform.parse_tests(all_passed, str, declared(tmp_path), tmp_path).problems
    assert "contradicts itself" in problem.message


def test_a_test_run_has_one_status_and_each_that_failed_says_where(tmp_path: Path) -> None:
    twice = said(events(("a", "fail"), ("a", "pass"), ("b", "pass"), passed=2))
    with pytest.raises(ToolError, match="run 'a' is fail and pass"):
        terraform.parse_tests(twice, str, declared(tmp_path), tmp_path)
    where = {"type": "diagnostic", "@testfile": "x.tftest.hcl", "@testrun": "a", "diagnostic": {"severity": "error"}}
    both = events(("a", "fail"), ("b", "fail")) + "\n" + json.dumps(where) + "\n" + events(failed=2, status="fail")
    outcome = terraform.parse_tests(said(both, returncode=1), str, declared(tmp_path), tmp_path)
    assert len(outcome.findings) == 1
    assert "'b' failed without saying where" in str(outcome.problems)


def test_a_mirror_is_used_for_exactly_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "registry.terraform.io" / "hashicorp" / "aws" / "5.100.0" / "linux_amd64").mkdir(parents=True)
    written = terraform.mirror_configuration(tmp_path)
    assert f'path    = "{tmp_path}"' in written
    assert written.count('["registry.terraform.io/hashicorp/aws"]') == 2


def test_a_configuration_file_of_the_machine_is_kept_only_if_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(tmp_path / "rc"))
    assert "TF_CLI_CONFIG_FILE" not in terraform.environment(tmp_path)
    (tmp_path / "rc").touch()
    assert terraform.environment(tmp_path)["TF_CLI_CONFIG_FILE"] == str(tmp_path / "rc")


# ---- hadolint


@pytest.mark.parametrize(
    ("code", "out"),
    [
        (1, ""),
        (0, "null"),
        (1, "[]"),
        (0, '[{"code": "DL3006", "level": "warning", "line": 1, "message": "x"}]'),
        (0, '{"code": "DL3006"}'),
        (1, '[{"level": "warning"}]'),
        (2, "[]"),
    ],
)
def test_an_odd_answer_of_hadolint_is_not_believed(code: int, out: str) -> None:
    with pytest.raises(ToolError, match="hadolint"):
        hadolint.parse(Completed(code, out, "said"), "Dockerfile")


def test_an_unknown_level_of_hadolint_counts_as_the_worst() -> None:
    said = '[{"code": "DL9999", "level": "fatal", "line": 7, "message": "x"}]'
    (finding,), problems = hadolint.parse(Completed(1, said, ""), "Dockerfile")
    assert (finding.severity, finding.line, problems) == (Severity.ERROR, 7, ())
