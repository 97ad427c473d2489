"""What earlier versions wrote is still read as it was meant, or refused with what to do: docs/versions.md."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import pytest

from pytest_pixgates.core import baseline, record
from pytest_pixgates.core.errors import PolicyError
from pytest_pixgates.core.record import RecordError
from pytest_pixgates.core.scan import State
from pytest_pixgates.core.trust import TrustedKey
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.evidence import statement
from pytest_pixgates.evidence.codes import Code, Refused
from pytest_pixgates.evidence.verify import open_evidence
from tests.release import sample

DOCUMENT = Path(__file__).parents[2] / "docs" / "versions.md"


def key() -> TrustedKey:
    public = sample.path("evidence", 1).with_suffix(".key").read_text().strip()
    return TrustedKey("then", public, ("prod",), datetime.date(2020, 1, 1), datetime.date(2100, 1, 1))


@pytest.mark.parametrize("kind", sample.SCHEMAS)
def test_a_sample_of_each_schema_is_kept(kind: str) -> None:
    kept = {int(each.stem.partition("-")[2]) for each in sample.FOLDER.glob(f"{kind}-*.json")}
    assert kept == set(range(1, sample.SCHEMAS[kind] + 1)), "run: python -m tests.release.sample"


def test_the_document_names_the_schemas_of_today() -> None:
    told = dict(re.findall(r"^\| `?(\w+)[.\w]*`? .*\| (\d+) \|$", DOCUMENT.read_text(), re.MULTILINE))
    assert {name: int(number) for name, number in told.items()} == sample.SCHEMAS


def test_records_of_this_schema_are_read_as_they_were_meant_whichever_version_wrote_them() -> None:
    run = record.load(sample.path("records", record.SCHEMA))
    assert (run.environment, run.families, run.status) == ("prod", ("infra", "scores"), "closed")
    infra, scores = run.records
    assert (infra.attempts, infra.reason) == (2, "1 finding(s)")
    assert [each.state for each in infra.findings] == [State.OPEN, State.KNOWN]
    assert infra.findings[0].resource == "aws_s3_bucket.a"
    (check,) = scores.checks
    assert (check.verdict.outcome, check.cached) == (Outcome.PASS, True)
    assert (check.verdict.figures[0].value, check.verdict.figures[0].n) == (0.82, 900)


@pytest.mark.parametrize(
    ("schema", "fix"), [(0, "run the gates again"), (99, "update pytest-pixgates"), ("x", "run the gates again")]
)
def test_records_of_another_schema_are_refused_with_what_to_do(schema: object, fix: str) -> None:
    data = json.loads(sample.path("records", 1).read_text()) | {"schema": schema, "new": "unknown here"}
    with pytest.raises(RecordError, match=f"schema {schema!r} is not {record.SCHEMA}") as caught:
        record.loads(json.dumps(data))
    assert fix in caught.value.remedy


def test_a_key_that_this_version_does_not_know_is_never_passed_over() -> None:
    data = json.loads(sample.path("records", 1).read_text()) | {"signed": True}
    with pytest.raises(RecordError, match="signed: unknown key"):
        record.loads(json.dumps(data))


@pytest.mark.parametrize("schema", range(1, statement.SCHEMA + 1))
def test_evidence_of_every_schema_is_read_for_as_long_as_its_key_is_trusted(schema: int) -> None:
    opened = open_evidence(sample.path("evidence", schema), [key()])
    claims = opened.statement.claims
    assert claims.environment == "prod"
    assert {gate.gate: gate.outcome.value for gate in claims.gates} == {
        "infra/checkov": "PASS",
        "scores/recall": "PASS",
    }
    assert claims.requires == ("infra", "scores/recall")


def test_evidence_that_a_later_version_wrote_is_told_as_such() -> None:
    from pytest_pixgates.evidence import envelope

    payload = json.loads(envelope.parse(sample.path("evidence", 1).read_bytes()).payload)
    payload["predicate"][statement.EXTENSION] = {"schema": statement.SCHEMA + 1, "gates": "told otherwise"}
    with pytest.raises(Refused) as caught:
        statement.loads(json.dumps(payload).encode())
    assert caught.value.code is Code.SCHEMA_NEWER


def test_a_baseline_of_this_schema_is_read_and_of_another_refused(tmp_path: Path) -> None:
    kept = baseline.load(sample.path("baseline", baseline.SCHEMA), None)
    (entry,) = kept.entries
    assert (entry.family, entry.rule, entry.count, entry.environment) == ("infra", "CKV_AWS_19", 2, "prod")
    text = sample.path("baseline", 1).read_text().replace('"schema": 1', '"schema": 2')
    (tmp_path / "baseline.json").write_text(text)
    with pytest.raises(PolicyError, match="schema 2 is not 1"):
        baseline.load(tmp_path / "baseline.json", None)
