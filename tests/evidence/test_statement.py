"""What is signed is read back as it was, and reads as a SLSA Verification Summary to whoever knows no more."""

from __future__ import annotations

import json
import re
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.evidence import statement
from pytest_pixgates.evidence.codes import Code, Refused
from pytest_pixgates.evidence.statement import CheckResult, Claims, GateResult, Statement, Tolerated, ToolVersion
from tests.evidence.pipeline import NOW, Pipeline, failing, payload, read
from tests.unit import example_runs

hexes = st.text("0123456789abcdef", min_size=64, max_size=64)
texts = example_runs.texts
plain = st.text(string.ascii_lowercase + " /é%?", min_size=1, max_size=12)
moments = st.integers(0, 4_000_000_000).map(float)
stamps = moments.map(statement.stamp)
checks = st.builds(CheckResult, texts, st.sampled_from(Outcome), texts)
gates = st.builds(GateResult, plain, st.sampled_from(Outcome), texts, st.lists(checks, max_size=2).map(tuple))
claims = st.builds(
    Claims,
    environment=plain,
    requires=st.lists(texts, max_size=2).map(tuple),
    subjects=st.lists(texts, max_size=2).map(tuple),
    started=stamps,
    expires=stamps,
    nonce=st.text("0123456789abcdef", min_size=32, max_size=32),
    run=texts,
    gates=st.lists(gates, max_size=3).map(tuple),
    part=st.booleans(),
    unjudged=st.lists(texts, max_size=2).map(tuple),
    tolerated=st.lists(st.builds(Tolerated, texts, texts, texts, texts, st.dates()), max_size=2).map(tuple),
    tools=st.lists(st.builds(ToolVersion, texts, texts, texts), max_size=2).map(tuple),
    versions=st.dictionaries(texts, texts, max_size=2),
    commit=texts,
    ci=st.dictionaries(texts, texts, max_size=2),
)
statements = st.builds(
    Statement,
    subjects=st.dictionaries(texts, hexes, max_size=3),
    passed=st.booleans(),
    signed=moments,
    policy=st.just("gates/gates.toml"),
    policy_sha256=hexes,
    records_sha256=hexes,
    claims=claims,
)


@given(statements)
@settings(deadline=None)
def test_a_statement_is_read_back_as_it_was(made: Statement) -> None:
    assert statement.loads(statement.dumps(made)) == made


@given(moments)
@settings(deadline=None)
def test_times_are_read_back_to_the_second(moment: float) -> None:
    assert statement.seconds(statement.stamp(moment)) == moment


@pytest.mark.parametrize(
    "text", ["", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "\uff12026-01-01T00:00:00Z"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        statement.seconds(text)


def test_it_is_a_summary_as_slsa_has_it(shared: Pipeline) -> None:
    data = json.loads(payload(shared.sign().text))
    assert data["_type"] == "https://in-toto.io/Statement/v1"
    assert data["predicateType"] == "https://slsa.dev/verification_summary/v1"
    predicate = data["predicate"]
    required = {"verifier", "timeVerified", "resourceUri", "policy", "verificationResult", "verifiedLevels"}
    assert required <= predicate.keys()
    uris = [name for name in predicate if "://" in name]
    assert uris == [statement.EXTENSION]
    assert predicate["verificationResult"] == "PASSED"
    assert predicate["verifiedLevels"] == ["PIXGATES_ENVIRONMENT_PROD"]
    assert predicate["policy"] == {"uri": "gates/gates.toml", "digest": {"sha256": shared.policy().sha256}}
    assert {each["name"]: each["digest"]["sha256"] for each in data["subject"]}.items() >= shared.subjects().items()
    assert all(re.fullmatch("[0-9a-f]{64}", each["digest"]["sha256"]) for each in data["subject"])


def test_a_part_and_a_failure_say_so_to_who_knows_only_the_summary(shared: Pipeline) -> None:
    infra, recall = shared.records()
    part = json.loads(payload(shared.sign(shared.run(records=[infra]), part=True).text))["predicate"]
    assert part["resourceUri"] == "pixgates:environment/prod?families=infra"
    assert part["verifiedLevels"] == ["PIXGATES_FAMILY_INFRA"]
    failed = json.loads(payload(shared.sign(shared.run(records=[infra, failing(recall)])).text))["predicate"]
    assert (failed["verificationResult"], failed["verifiedLevels"]) == ("FAILED", ["FAILED"])


def test_it_holds_what_a_reader_needs(shared: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "bank/pix")
    made = read(shared.evidence())
    assert made.claims.environment == "prod"
    assert made.claims.run == "run-1"
    assert made.claims.ci["GITHUB_REPOSITORY"] == "bank/pix"
    assert made.claims.commit == shared.git("rev-parse", "HEAD")
    assert [(each.gate, each.outcome.value) for each in made.claims.gates] == [
        ("infra/checkov", "PASS"),
        ("scores/recall", "PASS"),
    ]
    assert made.claims.gates[1].checks[0].measured == "0.82 [0.80, 0.84] on 900"
    assert [(each.name, each.version) for each in made.claims.tools] == [("checkov", "3.3.30")]
    assert made.expires - made.started == 3 * 86400
    assert read(shared.evidence()).claims.nonce != made.claims.nonce


# From records to an answer

green = st.tuples(texts, texts, texts.filter(bool), texts)


@given(green)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_green_record_holds_is_signed_and_goes(shared: Pipeline, made: tuple[str, str, str, str]) -> None:
    text, measured, tool, subject = made
    judged = example_runs.scan(
        name=text,
        target=text,
        tools=(example_runs.ToolUse(tool, tool, "ab"),),
        subjects=(shared.subject("iac/prod"), example_runs.Subject(subject, "cd" * 32, "content")),
        absent=(measured,),
    )
    _, recall = shared.records()
    infra = example_runs.record(judged, gate=f"infra/{text}", node=f"node {text}", reason=text)
    answer = shared.verify(shared.evidence(shared.run(records=[infra, recall])))
    assert answer.go, answer.refusals


@given(example_runs.runs)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_records_hold_is_refused_or_signed_as_it_is(shared: Pipeline, run: example_runs.Run) -> None:
    from pytest_pixgates.evidence.sign import Order, sign

    signed = sign(run, shared.policy(), Order(now=NOW), shared.key)
    assert signed.refusals or (signed.statement is not None and not signed.statement.passed)


def test_a_later_schema_is_told_before_anything_else_of_it_is_read() -> None:
    data = {"_type": statement.STATEMENT, "predicateType": statement.PREDICATE, "subject": "elsewhere now"}
    predicate = {"verifier": {"id": statement.VERIFIER}, statement.EXTENSION: {"schema": 2, "gates": {}}}
    with pytest.raises(Refused) as refused:
        statement.loads(json.dumps({**data, "predicate": predicate}).encode())
    assert refused.value.code is Code.SCHEMA_NEWER
