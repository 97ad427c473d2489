"""Records are read back exactly or not at all, and a run is worth its worst gate."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given

from pytest_pixgates.core import record
from pytest_pixgates.core.record import Check, Record, RecordError, Run
from pytest_pixgates.core.verdict import Outcome, Verdict
from tests.unit import example_runs
from tests.unit.example_runs import CLEAN, FINDING, GREEN, RED, records, runs, scan

TEXT = record.dumps(GREEN)


@given(runs)
def test_a_run_survives_its_file(run: Run) -> None:
    assert record.loads(record.dumps(run)) == run
    assert record.dumps(run).isascii(), "so that no file system, worker or reader can choke on a name"


@given(records)
def test_a_record_survives_the_way_from_a_worker(one: Record) -> None:
    assert record.load_record(record.dump_record(one), "node") == one


def test_a_file_survives_and_says_where_it_lies_if_it_does_not(tmp_path: Path) -> None:
    path = record.save(RED, tmp_path / "new")
    assert record.load(path) == RED
    path.write_text("{")
    with pytest.raises(RecordError, match=r"new/records\.json: not valid JSON"):
        record.load(path)
    path.unlink()
    with pytest.raises(RecordError, match="no records") as caught:
        record.load(path)
    assert "pytest" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("PASS", "not valid JSON"),
        (b"\xff\xfe\xfd", "not valid JSON"),
        (TEXT + TEXT, "Extra data"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "schema None is not 1"),
        ("null", "schema None is not 1"),
        ("{}", "schema None is not 1"),
        (TEXT.replace('"schema": 1', '"schema": 2'), "schema 2 is not 1"),
        (TEXT.replace('"schema": 1', '"schema": "1"'), "schema '1' is not 1"),
        (TEXT.replace('"schema": 1', '"schema": true'), "schema: expected a whole number, got a bool"),
        (TEXT.replace('"schema": 1', '"schema": 1, "signed": true'), "signed: unknown key"),
        (TEXT.replace('"schema": 1', '"schema": 1, "id": "other"'), "'id' stands twice"),
        (TEXT.replace('"outcome": "PASS"', '"outcome": "FAIL", "outcome": "PASS"'), "'outcome' stands twice"),
        (TEXT.replace('"outcome": "PASS"', '"outcome": "pass"'), "not one of 'PASS'"),
        (TEXT.replace('"status": "closed"', '"status": "done"'), "not one of 'running', 'closed'"),
        (TEXT.replace('"status": "closed",', ""), "status: is required"),
        (TEXT.replace('"seconds": 17.0', '"seconds": NaN'), "NaN is not JSON"),
        (TEXT.replace('"seconds": 17.0', '"seconds": -Infinity'), "-Infinity is not JSON"),
        (TEXT.replace('"seconds": 17.0', '"seconds": 1e999'), "too large"),
        (TEXT.replace('"seconds": 17.0', f'"seconds": {10**400}'), "too large"),
        (TEXT.replace('"seconds": 17.0', '"seconds": "17"'), "expected a number"),
    ],
)
def test_what_is_not_whole_valid_and_known_is_refused(text: str | bytes, words: str) -> None:
    assert text != TEXT, "the replacement found nothing to replace"
    assert record.loads(TEXT) == GREEN
    with pytest.raises(RecordError, match="records") as caught:
        record.loads(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("share", range(0, 100, 7))
def test_a_truncated_file_is_refused(share: int) -> None:
    with pytest.raises(RecordError, match="not valid JSON"):
        record.loads(TEXT[: len(TEXT) * share // 100])


@pytest.mark.parametrize("payload", [None, 3, {"gate": "a"}, b"{}", "{}", "[]", "{", '{"gate": NaN}'])
def test_a_worker_that_sends_no_record_is_refused(payload: object) -> None:
    with pytest.raises(RecordError, match=r"^node"):
        record.load_record(payload, "node")


def test_numbers_that_are_none_are_not_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        record.dumps(dataclasses.replace(GREEN, ended=float("nan")))


@pytest.mark.parametrize(
    ("run", "outcome"),
    [
        (GREEN, Outcome.PASS),
        (RED, Outcome.FAIL),
        (example_runs.run(), Outcome.ERROR),
        (dataclasses.replace(GREEN, status="running"), Outcome.ERROR),
        (dataclasses.replace(RED, status="running"), Outcome.FAIL),
        (
            dataclasses.replace(GREEN, expected={**GREEN.expected, "gates/test_x.py::test_lost": "infra/lost"}),
            Outcome.ERROR,
        ),
        (
            example_runs.run(*GREEN.records, example_runs.record(Verdict(Outcome.INCONCLUSIVE, "a"))),
            Outcome.INCONCLUSIVE,
        ),
    ],
)
def test_a_run_is_worth_its_worst_gate_and_nothing_if_it_is_not_whole(run: Run, outcome: Outcome) -> None:
    assert run.outcome is outcome
    assert run.green is (outcome is Outcome.PASS)


def test_a_partial_run_is_not_green_though_all_that_ran_passed() -> None:
    partial = dataclasses.replace(GREEN, partial=("-k recall",))
    assert partial.outcome is Outcome.PASS
    assert not partial.green
    assert GREEN.green


def test_a_record_knows_its_name_its_scans_and_its_findings() -> None:
    (red,) = RED.records
    assert red.name == "checkov[iac/prod]"
    assert red.findings == (FINDING,)
    assert [scan.name for scan in red.scans] == ["checkov"]
    assert json.loads(record.dumps(RED))["records"][0]["checks"][0]["scan"]["findings"][0]["state"] == "open"


def test_what_a_scan_judged_is_told_whatever_it_found() -> None:
    check = Check.of(scan(FINDING, cached=True))
    assert not check.verdict.outcome
    assert check.subjects == CLEAN.subjects
    assert check.cached
