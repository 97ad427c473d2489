"""Only what is whole, fresh, measured now and still as it was judged is signed; red is signed as FAILED."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from typing import Any

import pytest

from pytest_pixgates.core import baseline, files, trust
from pytest_pixgates.core.errors import UsageError
from pytest_pixgates.core.record import Check, Run, save
from pytest_pixgates.core.scan import State
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome, Verdict
from pytest_pixgates.evidence import keys
from pytest_pixgates.evidence.codes import Code
from pytest_pixgates.evidence.sign import Signed
from tests.evidence.pipeline import DAY, IMAGE, MODEL, NOW, TODAY, Pipeline, codes, failing, read
from tests.unit.example_runs import CLEAN, FINDING, record, scan


def rules(signed: Signed) -> list[str]:
    return [each.rule for each in signed.refusals]


def with_check(run: Run, check: Check) -> Run:
    first = dataclasses.replace(run.records[0], checks=(check,))
    return dataclasses.replace(run, records=(first, *run.records[1:]))


def with_scan(run: Run, **changes: Any) -> Run:
    check = run.records[0].checks[0]
    assert check.scan is not None
    return with_check(run, dataclasses.replace(check, scan=dataclasses.replace(check.scan, **changes)))


CACHED = Verdict(Outcome.PASS, "recall >= 0.8", cached=True, subjects=(Subject("build/model.onnx", "ab"),))
BAD = Verdict(Outcome.FAIL, "recall >= 0.8", subjects=CACHED.subjects)
UNFIT: dict[str, tuple[str, Callable[[Run], Run]]] = {
    "a part of the gates": ("partial", lambda run: dataclasses.replace(run, partial=("-k recall",))),
    "a run that never closed": ("not-closed", lambda run: dataclasses.replace(run, status="running")),
    "a scan from the cache": ("cached", lambda run: with_scan(run, cached=True)),
    "a gate without a record": (
        "missing-gate",
        lambda run: dataclasses.replace(run, expected={**run.expected, "x": "infra/x"}),
    ),
    "no gates": ("no-gates", lambda run: dataclasses.replace(run, records=(), expected={})),
    "PASS over a failed check": ("contradicted", lambda run: with_check(run, Check(BAD))),
    "PASS over a finding": ("contradicted", lambda run: with_scan(run, findings=(FINDING,))),
    "a finding that no waiver covers": (
        "waiver",
        lambda run: with_scan(run, findings=(dataclasses.replace(FINDING, state=State.WAIVED, waiver="W-9"),)),
    ),
    "a finding that no baseline knows": (
        "baseline",
        lambda run: with_scan(run, findings=(dataclasses.replace(FINDING, state=State.KNOWN),)),
    ),
    "a run for another environment": ("other-environment", lambda run: dataclasses.replace(run, environment="dev")),
    "a run for no environment": ("other-environment", lambda run: dataclasses.replace(run, environment="")),
    "a run by another policy": ("policy-changed", lambda run: dataclasses.replace(run, policy_sha256="0" * 64)),
    "a subject that is something else": (
        "subject-changed",
        lambda run: with_scan(run, subjects=(Subject("iac/prod", "0" * 64),)),
    ),
    "a subject of a later kind": (
        "subject-unknown",
        lambda run: with_scan(run, subjects=(Subject("iac/prod", "0" * 64, "image"),)),
    ),
    "a subject by another digest": (
        "subject-undigested",
        lambda run: with_scan(run, subjects=(Subject("rendered", "md5:0", "content"),)),
    ),
    "a subject elsewhere": (
        "subject-outside",
        lambda run: with_scan(run, subjects=(Subject("/proc/kcore", "0" * 64),)),
    ),
    "a subject above": (
        "subject-outside",
        lambda run: with_scan(run, subjects=(Subject("iac/../../x", "0" * 64, "file"),)),
    ),
    "an old run": ("too-old", lambda run: dataclasses.replace(run, started=NOW - 4 * DAY)),
    "a run from the future": ("from-future", lambda run: dataclasses.replace(run, started=NOW + DAY, ended=NOW + DAY)),
}


@pytest.mark.parametrize("how", UNFIT)
def test_what_is_unfit_as_evidence_is_not_signed(shared: Pipeline, how: str) -> None:
    rule, spoil = UNFIT[how]
    run = shared.run()
    assert shared.sign(run).text
    signed = shared.sign(spoil(run))
    assert rule in rules(signed)
    assert (signed.text, signed.statement) == ("", None)


def test_the_run_of_another_pipeline_is_not_signed(shared: Pipeline) -> None:
    assert shared.sign(run_id="run-1").text
    assert rules(shared.sign(run_id="run-2")) == ["other-run"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda made: made.write("iac/prod/main.tf", "changed\n"), "subject-changed"),
        (lambda made: made.write("iac/prod/new.tf", ""), "subject-changed"),
        (lambda made: made.write(MODEL, "other weights\n"), "subject-changed"),
        (lambda made: made.write("gates/test_more.py", ""), "policy-changed"),
        (lambda made: made.write("conftest.py", ""), "other-commit"),
    ],
)
def test_what_changed_since_the_run_is_not_signed(
    pipeline: Pipeline, change: Callable[[Pipeline], object], rule: str
) -> None:
    run = pipeline.run()
    order = {"subjects": {}}
    assert pipeline.sign(run, **order).text
    change(pipeline)
    assert rule in rules(pipeline.sign(run, **order))


def test_what_was_never_committed_is_not_signed(pipeline: Pipeline) -> None:
    pipeline.write("iac/prod/more.tf", "# new\n")
    assert rules(pipeline.sign()) == ["other-commit"]
    pipeline.git.commit()
    assert pipeline.sign().text


RED: dict[str, Callable[[Pipeline], Run]] = {
    "a gate failed": lambda made: made.run(records=[failing(made.records()[0]), made.records()[1]]),
    "a gate was inconclusive": lambda made: made.run(
        records=[dataclasses.replace(made.records()[0], outcome=Outcome.INCONCLUSIVE), made.records()[1]]
    ),
    "a gate that nobody requires failed": lambda made: made.run(
        records=[*made.records(), failing(record(scan(subjects=(made.subject("iac/prod"),)), gate="x/y", node="z"))]
    ),
    "a required family is absent": lambda made: made.run(records=made.records()[:1]),
    "a required gate is absent": lambda made: made.run(
        records=[made.records()[0], dataclasses.replace(made.records()[1], gate="scores/other")]
    ),
}


@pytest.mark.parametrize("how", RED)
def test_a_red_run_is_signed_as_failed(shared: Pipeline, how: str) -> None:
    signed = shared.sign(RED[how](shared), subjects={})
    assert signed.red
    assert signed.statement is not None
    assert not signed.statement.passed
    assert not shared.verify(shared.file(signed.text)).go


def test_more_than_verify_reads_is_not_signed(shared: Pipeline) -> None:
    infra, recall = shared.records()
    many = [dataclasses.replace(recall, gate=f"scores/{n}", node=str(n), reason="x" * 300) for n in range(9)]
    check = Check(dataclasses.replace(recall.checks[0].verdict, check="x" * 300, measured="y" * 300))
    large = [dataclasses.replace(each, checks=(check,) * 1500) for each in many]
    assert rules(shared.sign(shared.run(records=[infra, recall, *large]))) == [Code.TOO_LARGE.value]


def test_the_records_are_named_by_the_digest_of_their_file(shared: Pipeline, tmp_path: Any) -> None:
    path = save(shared.run(), tmp_path)
    assert read(shared.evidence()).records_sha256 == files.sha256(path)


def test_a_part_that_failed_is_failed(shared: Pipeline) -> None:
    infra, _ = shared.records()
    assert read(shared.evidence(shared.run(records=[infra]), part=True)).passed
    assert not read(shared.evidence(shared.run(records=[failing(infra)]), part=True)).passed


def test_a_part_of_which_a_required_gate_is_absent_is_failed(shared: Pipeline) -> None:
    _, recall = shared.records()
    other = dataclasses.replace(recall, gate="scores/other")
    assert not read(shared.evidence(shared.run(records=[other]), part=True)).passed


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("expired", Code.KEY_EXPIRED),
        ("future", Code.KEY_NOT_YET_VALID),
        ("revoked", Code.KEY_REVOKED),
        ("dev-only", Code.KEY_NOT_ALLOWED),
    ],
)
def test_a_key_that_verify_would_refuse_signs_nothing(shared: Pipeline, name: str, code: Code) -> None:
    assert shared.sign(key=shared.keys["second"]).text
    assert rules(shared.sign(key=shared.keys[name])) == [code.value]


def test_a_key_that_nobody_trusts_signs_nothing(shared: Pipeline) -> None:
    assert rules(shared.sign(key=keys.generate())) == [Code.UNKNOWN_KEY.value]


def test_for_an_environment_that_requires_nothing_nothing_is_signed(tmp_path: Any) -> None:
    made = Pipeline(tmp_path, "[environments.dev]\n[environments.prod]\n[environments.locked]\n[infra]\n")
    with pytest.raises(UsageError, match="requires nothing"):
        made.sign()


# Subjects


def test_what_goes_out_is_signed_by_its_name_if_a_gate_judged_it(shared: Pipeline) -> None:
    made = read(shared.evidence(subjects={"model": shared.model()}))
    assert made.subjects["model"] == made.subjects[MODEL] == shared.model()
    assert made.claims.unjudged == ()


def test_what_no_gate_judged_is_signed_only_as_the_policy_allows(shared: Pipeline) -> None:
    made = read(shared.evidence(subjects={"model": shared.model(), "image": IMAGE}))
    assert made.claims.unjudged == ("image",)
    assert rules(shared.sign(subjects={"plan": IMAGE})) == [Code.SUBJECT_UNJUDGED.value]


def test_a_name_that_means_something_else_is_refused(shared: Pipeline) -> None:
    assert rules(shared.sign(subjects={MODEL: IMAGE})) == [Code.OTHER_SUBJECT.value, Code.SUBJECT_UNJUDGED.value]
    assert Code.OTHER_SUBJECT.value in rules(shared.sign(subjects={"source": IMAGE}))
    assert shared.sign(subjects={MODEL: shared.model(), "source": shared.subjects()["source"]}).text


def test_what_is_rendered_from_a_folder_of_the_same_name_is_told_apart(shared: Pipeline) -> None:
    _, recall = shared.records()
    rendered = Subject("iac/prod", "cd" * 32, "content")
    judged = dataclasses.replace(CLEAN, subjects=(shared.subject("iac/prod"), rendered))
    again = dataclasses.replace(CLEAN, subjects=(dataclasses.replace(rendered, sha256="ef" * 32),))
    for scans, names in [
        ((judged,), {"iac/prod (tree)", "iac/prod (content)"}),
        ((judged, again), {"iac/prod (tree)", f"iac/prod (content) {'cd' * 6}", f"iac/prod (content) {'ef' * 6}"}),
    ]:
        infra = record(*scans, gate="infra/checkov", node="n")
        made = read(shared.evidence(shared.run(records=[infra, recall])))
        assert {name for name in made.subjects if name.startswith("iac/prod")} == names


def test_the_source_is_the_commit_and_nothing_else(pipeline: Pipeline) -> None:
    first = pipeline.subjects()["source"]
    pipeline.write("ignored.json", "{}")
    pipeline.git("commit", "--quiet", "--allow-empty", "--message=same files")
    assert pipeline.subjects()["source"] == first
    pipeline.git("update-index", "--chmod=+x", MODEL)
    pipeline.git("commit", "--quiet", "--message=other mode")
    assert pipeline.subjects()["source"] != first


def test_what_is_tolerated_is_in_the_evidence_and_refuses_it_after_its_end(pipeline: Pipeline) -> None:
    """A finding that the baseline knows; tests/evidence/test_refusals.py has the same of a waiver."""
    infra, recall = pipeline.records()
    known = dataclasses.replace(FINDING, state=State.KNOWN)
    judged = scan(known, subjects=(pipeline.subject("iac/prod"),))
    dates = {"count": 1, "since": TODAY, "expires": TODAY + datetime.timedelta(days=1)}
    entry = baseline.Entry.of(FINDING, judged, "infra", "prod", **dates)
    (pipeline.root / "gates" / baseline.FILE).write_text(baseline.dumps([entry]))
    pipeline.git("add", "--force", f"gates/{baseline.FILE}")
    pipeline.git.merged()
    found = record(judged, gate="infra/checkov", node="n")
    evidence = pipeline.evidence(pipeline.run(records=[found, recall]))
    (tolerated,) = read(evidence).claims.tolerated
    assert (tolerated.by, tolerated.id, tolerated.gate) == ("baseline", entry.fingerprint, infra.gate)
    end = trust.midnight(TODAY + datetime.timedelta(days=2))
    assert pipeline.verify(evidence, now=end - 1).go
    assert codes(pipeline.verify(evidence, now=end + 1)) == [Code.WAIVER_EXPIRED.value]
