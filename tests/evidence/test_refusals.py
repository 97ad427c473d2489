"""Each reason to refuse has its own code: what is spoiled in one way is refused by exactly that, its twin goes."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates.core.errors import UsageError
from pytest_pixgates.core.scan import State
from pytest_pixgates.evidence import envelope, keys, statement
from pytest_pixgates.evidence.codes import Code
from pytest_pixgates.evidence.ledger import FileLedger
from pytest_pixgates.evidence.verify import Mode
from tests.evidence.pipeline import (
    DAY,
    IMAGE,
    MODEL,
    NOW,
    TODAY,
    Pipeline,
    claims,
    codes,
    edited,
    failing,
    payload,
)
from tests.unit.example_runs import FINDING, scan

HOUR = 3600.0


def flipped(text: str) -> str:
    """`text`, base64, with the first bit of its bytes changed."""
    raw = bytearray(base64.b64decode(text))
    raw[0] ^= 1
    return base64.b64encode(raw).decode()


def in_payload(data: dict[str, Any]) -> None:
    data["payload"] = flipped(data["payload"])


def in_signature(data: dict[str, Any]) -> None:
    data["signatures"][0]["sig"] = flipped(data["signatures"][0]["sig"])


# What anybody can do to a file: code, and the bytes that stand in for it.
FILES: dict[str, tuple[Code, Callable[[Path], bytes]]] = {
    "larger than evidence": (Code.TOO_LARGE, lambda path: path.read_bytes() + b" " * envelope.MOST_BYTES),
    "empty": (Code.MALFORMED, lambda path: b""),
    "cut short": (Code.MALFORMED, lambda path: path.read_bytes()[:-10]),
    "a bare statement": (Code.UNSIGNED, lambda path: payload(path.read_bytes())),
    "no signatures": (Code.UNSIGNED, lambda path: edited(path, lambda data: data.update(signatures=[]))),
    "signatures left out": (Code.UNSIGNED, lambda path: edited(path, lambda data: data.pop("signatures"))),
    "another type": (Code.WRONG_TYPE, lambda path: edited(path, lambda data: data.update(payloadType="text/plain"))),
    "a changed payload": (Code.ALTERED_PAYLOAD, lambda path: edited(path, in_payload)),
    "a changed signature": (Code.BAD_SIGNATURE, lambda path: edited(path, in_signature)),
    "a signature of no key": (
        Code.BAD_SIGNATURE,
        lambda path: edited(path, lambda data: data["signatures"][0].update(sig=base64.b64encode(b"x").decode())),
    ),
}


@pytest.mark.parametrize("how", FILES)
def test_a_spoiled_file_is_refused_by_its_code_alone(shared: Pipeline, how: str) -> None:
    code, spoil = FILES[how]
    healthy = shared.evidence()
    assert shared.verify(healthy).go
    assert codes(shared.verify(shared.file(spoil(healthy)))) == [code.value]


def older(seconds: float) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        claims(data)["started"] = statement.stamp(NOW - seconds)

    return change


def later(data: dict[str, Any]) -> None:
    data["predicate"]["timeVerified"] = statement.stamp(NOW + HOUR)


def without_gate(data: dict[str, Any]) -> None:
    claims(data)["gates"] = [gate for gate in claims(data)["gates"] if gate["gate"] != "scores/recall"]


def with_failed_check(data: dict[str, Any]) -> None:
    claims(data)["gates"][0]["checks"][0]["outcome"] = "FAIL"


# What only a signer could write: code, and what it changed before it signed.
SIGNED: dict[str, tuple[Code, Callable[[dict[str, Any]], object]]] = {
    "another predicate": (Code.WRONG_TYPE, lambda data: data.update(predicateType="https://slsa.dev/provenance/v1")),
    "another statement": (Code.WRONG_TYPE, lambda data: data.update(_type="https://in-toto.io/Statement/v0.1")),
    "another verifier": (Code.WRONG_TYPE, lambda data: data["predicate"]["verifier"].update(id="https://example.org")),
    "no extension": (Code.MALFORMED, lambda data: data["predicate"].pop(statement.EXTENSION)),
    "an unknown field": (Code.MALFORMED, lambda data: claims(data).update(excuse="none")),
    "a truth for a number": (Code.MALFORMED, lambda data: claims(data).update(schema=True)),
    "a number for a truth": (Code.MALFORMED, lambda data: claims(data).update(part=1)),
    "a URI for something else": (Code.MALFORMED, lambda data: data["predicate"].update(resourceUri="pixgates:x")),
    "a subject twice": (Code.MALFORMED, lambda data: data["subject"].append(data["subject"][0])),
    "a nonce that is none": (Code.MALFORMED, lambda data: claims(data).update(nonce="1")),
    "neither PASSED nor FAILED": (Code.MALFORMED, lambda data: data["predicate"].update(verificationResult="MAYBE")),
    "no records": (Code.MALFORMED, lambda data: data["predicate"].update(inputAttestations=[])),
    "half a digest": (Code.MALFORMED, lambda data: data["subject"][0]["digest"].update(sha256="ab")),
    "another digest alone": (Code.MALFORMED, lambda data: data["subject"][0].update(digest={"md5": "ab"})),
    "an earlier schema": (Code.MALFORMED, lambda data: claims(data).update(schema=0)),
    "a later schema": (Code.SCHEMA_NEWER, lambda data: claims(data).update(schema=2, news="unknown here")),
    "a later schema, huge": (Code.SCHEMA_NEWER, lambda data: claims(data).update(schema=10**400)),
    "another policy": (
        Code.OTHER_POLICY,
        lambda data: data["predicate"]["policy"]["digest"].update(sha256="0" * 64),
    ),
    "a gate left out": (Code.GATE_ABSENT, without_gate),
    "a failed check in a gate that passed": (Code.GATE_NOT_PASSED, with_failed_check),
    "FAILED although all gates passed": (
        Code.SIGNED_AS_FAILED,
        lambda data: data["predicate"].update(verificationResult="FAILED"),
    ),
    "a run that is too old for the policy": (Code.EXPIRED, older(3.1 * DAY)),
    "signed to expire": (Code.EXPIRED, lambda data: claims(data).update(expires=statement.stamp(NOW - 1))),
    "signed in the future": (Code.FROM_FUTURE, later),
    "signed before it ran": (Code.FROM_FUTURE, lambda data: claims(data).update(started=statement.stamp(NOW + HOUR))),
}


@pytest.mark.parametrize("how", SIGNED)
def test_what_a_signer_wrote_is_refused_by_its_code_alone(shared: Pipeline, how: str) -> None:
    code, change = SIGNED[how]
    assert shared.verify(shared.forged(lambda data: None)).go
    assert codes(shared.verify(shared.forged(change))) == [code.value]


KEYS = {
    "expired": Code.KEY_EXPIRED,
    "future": Code.KEY_NOT_YET_VALID,
    "revoked": Code.KEY_REVOKED,
    "dev-only": Code.KEY_NOT_ALLOWED,
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_may_not_sign_is_refused_by_its_code_alone(shared: Pipeline, name: str) -> None:
    assert shared.verify(shared.forged(lambda data: None, shared.keys["second"])).go
    evidence = shared.forged(lambda data: None, shared.keys[name])
    assert codes(shared.verify(evidence)) == [KEYS[name].value]
    assert codes(shared.reverify(evidence)) == [KEYS[name].value]


def test_a_key_that_nobody_trusts_is_refused(shared: Pipeline) -> None:
    stranger = keys.generate()
    assert codes(shared.verify(shared.forged(lambda data: None, stranger))) == [Code.UNKNOWN_KEY.value]
    assert shared.verify(shared.forged(lambda data: None, stranger, shared.key)).go


def test_a_stranger_who_names_a_trusted_key_is_refused(shared: Pipeline) -> None:
    """The id of a key is only a hint, so it buys nothing."""
    foreign = shared.forged(lambda data: None, keys.generate())
    renamed = edited(foreign, lambda data: data["signatures"][0].update(keyid=shared.key.id))
    assert codes(shared.verify(shared.file(renamed))) == [Code.BAD_SIGNATURE.value]
    nameless = edited(foreign, lambda data: data["signatures"][0].pop("keyid"))
    assert codes(shared.verify(shared.file(nameless))) == [Code.UNKNOWN_KEY.value]


# Another question about healthy evidence.
QUESTIONS: dict[str, tuple[Code, Callable[[Pipeline], dict[str, Any]]]] = {
    "another model": (Code.OTHER_SUBJECT, lambda made: {"subjects": {"model": "0" * 64}}),
    "another commit": (Code.OTHER_SUBJECT, lambda made: {"subjects": {**made.subjects(), "source": "0" * 64}}),
    "something unheard of": (Code.SUBJECT_MISSING, lambda made: {"subjects": {**made.subjects(), "plan": "0" * 64}}),
    "the model not asked for": (
        Code.SUBJECT_NOT_ASKED,
        lambda made: {"subjects": {"source": made.subjects()["source"]}},
    ),
    "days later": (Code.EXPIRED, lambda made: {"now": NOW + 4 * DAY}),
    "by a clock that is behind": (Code.FROM_FUTURE, lambda made: {"now": NOW - HOUR}),
}


@pytest.mark.parametrize("how", QUESTIONS)
def test_another_question_is_refused_by_its_code_alone(shared: Pipeline, how: str) -> None:
    code, change = QUESTIONS[how]
    evidence = shared.evidence()
    assert shared.verify(evidence).go
    assert codes(shared.verify(evidence, **change(shared))) == [code.value]


@pytest.mark.parametrize("path", ["nothing.json", ".", "nul\0l", "a" * 5000, "pipe"])
def test_evidence_that_is_not_there_is_missing(shared: Pipeline, tmp_path: Path, path: str) -> None:
    if path == "pipe":
        os.mkfifo(tmp_path / path)
    assert codes(shared.verify(tmp_path / path)) == [Code.MISSING.value]


def test_evidence_for_another_environment_is_refused(shared: Pipeline) -> None:
    evidence = shared.evidence()
    assert shared.verify(evidence, environment="prod").go
    assert codes(shared.verify(evidence, environment="dev")) == [Code.OTHER_ENVIRONMENT.value]
    assert codes(shared.reverify(evidence, environment="dev")) == [Code.OTHER_ENVIRONMENT.value]


def test_a_changed_policy_is_refused_by_who_authorises_alone(pipeline: Pipeline) -> None:
    evidence = pipeline.evidence()
    assert pipeline.verify(evidence).go
    pipeline.write("gates/test_more.py", "")
    assert codes(pipeline.verify(evidence)) == [Code.OTHER_POLICY.value]
    assert pipeline.reverify(evidence).go


def test_a_red_run_is_signed_to_be_kept_and_refused(shared: Pipeline) -> None:
    infra, recall = shared.records()
    evidence = shared.evidence(shared.run(records=[infra, failing(recall)]))
    assert codes(shared.verify(evidence)) == codes(shared.reverify(evidence)) == [Code.GATE_NOT_PASSED.value]


def test_a_subject_that_no_gate_judged_is_refused_unless_the_policy_says_so(shared: Pipeline) -> None:
    image = {"model": shared.model(), "image": IMAGE}
    evidence = shared.evidence(subjects=image)
    assert shared.verify(evidence, subjects=image).go
    spoiled = shared.forged(lambda data: claims(data).update(unjudged=["model"]))
    assert codes(shared.verify(spoiled)) == [Code.SUBJECT_UNJUDGED.value]


def test_evidence_counts_once(shared: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_text("{}")
    ledger, evidence = FileLedger(tmp_path / "ledger.json"), shared.evidence()
    first = shared.verify(evidence, ledger=ledger, use="prod")
    assert first.go
    assert first.spent
    again = shared.verify(evidence, ledger=ledger, use="prod")
    assert codes(again) == [Code.NONCE_USED.value]
    assert not again.spent
    assert shared.reverify(evidence).go
    assert shared.verify(shared.evidence(), ledger=ledger).go


def test_what_is_refused_is_not_used_up(shared: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_text("{}")
    ledger, evidence = FileLedger(tmp_path / "ledger.json"), shared.evidence()
    assert not shared.verify(evidence, ledger=ledger, subjects={"model": "0" * 64}).go
    assert shared.verify(evidence, ledger=ledger).go


def test_where_evidence_counts_once_a_ledger_must_be_named(shared: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_text("{}")
    evidence = shared.evidence(environment="locked")
    assert codes(shared.verify(evidence, environment="locked")) == [Code.NONCE_UNCHECKED.value]
    assert shared.verify(evidence, environment="locked", ledger=FileLedger(tmp_path / "ledger.json")).go


@pytest.mark.parametrize("content", ["", "[]", '{"used": 1}', '{"used": {}, "used": {}}', "[" * 10_000, None])
def test_a_ledger_that_tells_nothing_refuses(shared: Pipeline, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ledger.json"
    if content is not None:
        path.write_text(content)
    assert codes(shared.verify(shared.evidence(), ledger=FileLedger(path))) == [Code.LEDGER_UNREADABLE.value]


def test_a_waiver_that_expired_since_refuses(pipeline: Pipeline) -> None:
    pipeline.write(
        "gates/waivers.toml",
        '[[infra]]\nid = "W-1"\nrule = "CKV_AWS_19"\npath = "iac/prod/*.tf"\nowner = "platform"\n'
        f'reason = "replaced this week"\nexpires = {TODAY}\n',
    )
    pipeline.git.commit()
    infra, recall = pipeline.records()
    waived = dataclasses.replace(FINDING, state=State.WAIVED, waiver="W-1", excuse="platform")
    check = dataclasses.replace(
        infra.checks[0], scan=scan(waived, subjects=(pipeline.subject("iac/prod"),)), verdict=infra.checks[0].verdict
    )
    evidence = pipeline.evidence(pipeline.run(records=[dataclasses.replace(infra, checks=(check,)), recall]))
    midnight = datetime.datetime.combine(TODAY, datetime.time(), datetime.UTC).timestamp() + DAY
    assert pipeline.verify(evidence, now=midnight - 1).go
    assert codes(pipeline.verify(evidence, now=midnight + 1)) == [Code.WAIVER_EXPIRED.value]
    assert pipeline.reverify(evidence, now=midnight + 1).go


def test_only_recorded_evidence_is_returned_to_where_the_ledger_says_which(shared: Pipeline) -> None:
    evidence, other = shared.evidence(), shared.evidence()
    (opened,) = shared.verify(evidence).evidence
    recorded = frozenset({opened.sha256})
    assert shared.reverify(evidence, recorded=recorded).go
    assert codes(shared.reverify(other, recorded=recorded)) == [Code.NOT_RECORDED.value]


def test_every_code_has_a_test_that_it_is_the_only_one() -> None:
    text = Path(__file__).read_text()
    assert [code.name for code in Code if f"Code.{code.name}" not in text] == []


# Going back


def test_a_rollback_does_not_count_age_or_use_or_a_retired_key(shared: Pipeline) -> None:
    evidence = shared.forged(lambda data: None, shared.keys["retired"])
    weeks = NOW + 20 * DAY
    assert set(codes(shared.verify(evidence, now=weeks))) == {Code.EXPIRED.value, Code.KEY_EXPIRED.value}
    assert shared.reverify(evidence, now=weeks).go


def test_a_revoked_key_counts_only_for_what_the_ledger_recorded_before(shared: Pipeline) -> None:
    """Whoever has the key can write any date; the ledger knows what was there before the key was lost."""
    evidence = shared.forged(lambda data: None, shared.keys["revoked"])
    assert codes(shared.reverify(evidence)) == [Code.KEY_REVOKED.value]
    digest = frozenset({hashlib.sha256(evidence.read_bytes()).hexdigest()})
    assert shared.reverify(evidence, recorded=digest).go
    assert codes(shared.verify(evidence, recorded=digest)) == [Code.KEY_REVOKED.value]


def test_a_rollback_wants_the_gates_of_then(pipeline: Pipeline) -> None:
    evidence = pipeline.evidence()
    policy = (pipeline.root / "gates/gates.toml").read_text()
    pipeline.write("gates/gates.toml", policy.replace('"scores/recall"]', '"scores/recall", "scores/new"]'))
    assert set(codes(pipeline.verify(evidence))) == {Code.OTHER_POLICY.value, Code.GATE_ABSENT.value}
    assert pipeline.reverify(evidence).go
    spoiled = pipeline.file(envelope.sealed(_without_gate(payload(evidence.read_bytes())), [pipeline.key]))
    assert codes(pipeline.reverify(spoiled)) == [Code.GATE_ABSENT.value]


def _without_gate(content: bytes) -> bytes:
    data = json.loads(content)
    without_gate(data)
    return json.dumps(data).encode()


# Evidence of several jobs


def parts(made: Pipeline) -> tuple[Path, Path]:
    infra, recall = made.records()
    return (
        made.evidence(made.run(records=[infra]), part=True),
        made.evidence(made.run(records=[recall]), part=True),
    )


def test_evidence_of_several_jobs_combines(shared: Pipeline) -> None:
    infra, recall = parts(shared)
    assert shared.verify(infra, recall).go
    assert shared.verify(recall, infra).go
    assert codes(shared.verify(recall)) == [Code.GATE_ABSENT.value]
    assert codes(shared.verify(infra)) == [Code.GATE_ABSENT.value, Code.SUBJECT_MISSING.value]
    assert shared.reverify(infra, recall).go


def test_evidence_that_was_not_signed_as_a_part_is_none(shared: Pipeline) -> None:
    infra, recall = shared.records()
    alone = shared.evidence(shared.run(records=[infra]))
    other = shared.evidence(shared.run(records=[recall]), part=True)
    assert codes(shared.verify(alone, other)) == [Code.SIGNED_AS_FAILED.value]


def test_one_bad_file_refuses_all(shared: Pipeline) -> None:
    infra, recall = parts(shared)
    spoiled = shared.file(edited(recall, in_payload))
    assert codes(shared.verify(infra, spoiled)) == [Code.ALTERED_PAYLOAD.value]
    assert codes(shared.verify(shared.evidence(), spoiled)) == [Code.ALTERED_PAYLOAD.value]


def test_evidence_of_two_commits_does_not_combine(pipeline: Pipeline) -> None:
    infra, _ = parts(pipeline)
    pipeline.write("other.txt", "another commit\n")
    pipeline.git.commit()
    _, recall = parts(pipeline)
    asked = {"model": pipeline.model()}
    assert pipeline.verify(*parts(pipeline), subjects=asked).go
    assert codes(pipeline.verify(infra, recall, subjects=asked)) == [Code.OTHER_SUBJECT.value]
    assert codes(pipeline.reverify(infra, recall, subjects=asked)) == [Code.OTHER_SUBJECT.value]


def test_the_same_evidence_under_two_policies_does_not_combine(pipeline: Pipeline) -> None:
    infra, _ = parts(pipeline)
    forged = pipeline.forged(
        lambda data: data["predicate"]["policy"]["digest"].update(sha256="0" * 64),
        run=pipeline.run(),
    )
    assert codes(pipeline.reverify(infra, forged)) == [Code.OTHER_POLICY.value]


# Asked wrongly


def test_a_question_that_nothing_answers_is_no_go(shared: Pipeline, tmp_path: Path) -> None:
    evidence = shared.evidence()
    for paths, changes in [((), {}), ((evidence,), {"subjects": {}}), ((evidence,), {"policy": shared.policy("")})]:
        with pytest.raises(UsageError):
            shared.verify(*paths, **changes)
    empty = Pipeline(tmp_path, POLICY_OF_NOTHING)
    with pytest.raises(UsageError, match="requires nothing"):
        empty.verify(evidence, environment="dev", mode=Mode.AUTHORISE, subjects={"model": "0" * 64})


POLICY_OF_NOTHING = "[environments.dev]\n[environments.prod]\n[environments.locked]\n[infra]\n"


def test_a_model_that_changed_after_signing_is_another(pipeline: Pipeline) -> None:
    evidence = pipeline.evidence()
    pipeline.write(MODEL, "other weights\n")
    assert codes(pipeline.verify(evidence)) == [Code.OTHER_SUBJECT.value]
