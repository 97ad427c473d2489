"""A plan that would lose data never passes, nor does one that is not whole."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pixgates.core import sources
from pytest_pixgates.core.errors import ToolMissing
from pytest_pixgates.core.scan import Scan
from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.core.tools import Tool
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.infra import saved
from pytest_pixgates.infra.plan import BLAST, CHECK, DATA_LOSS, DESTROY, REPLACE, Plan

TOPIC = {"partitions": 24, "config": {"retention.ms": "604800000", "cleanup.policy": "delete"}}


def no_terraform() -> Tool:
    raise ToolMissing("JSON needs no terraform")


def change(kind: str, *actions: str, before: Any = None, after: Any = None, **more: Any) -> dict[str, Any]:
    values = {"actions": list(actions), "before": before, "after": after, "after_unknown": {}, **more}
    return {"address": f"{kind}.this", "mode": "managed", "type": kind, "name": "this", "change": values}


def plan(*changes: dict[str, Any], **more: Any) -> dict[str, Any]:
    whole = {"format_version": "1.2", "terraform_version": "1.11.4", "errored": False, "complete": True}
    return {**whole, "resource_changes": list(changes), **more}


@pytest.fixture
def judged(tmp_path: Path) -> Callable[..., Scan]:
    def judge(document: Any, **settings: Any) -> Scan:
        (tmp_path / "plan.json").write_text(document if isinstance(document, str) else json.dumps(document))
        return Plan(tmp_path, no_terraform, **settings).scan(tmp_path / "plan.json")

    return judge


def update(kind: str, before: dict[str, Any], after: dict[str, Any], **more: Any) -> dict[str, Any]:
    return change(kind, "update", before=before, after=after, **more)


def topic(**config: Any) -> dict[str, Any]:
    return {**TOPIC, "config": {**TOPIC["config"], **config}}  # type: ignore[dict-item]


def versioning(status: str) -> dict[str, Any]:
    return {"versioning_configuration": [{"status": status}]}


def lifecycle(days: int, status: str = "Enabled") -> dict[str, Any]:
    return {"rule": [{"id": "old", "status": status, "expiration": [{"days": days}]}]}


def old_versions(days: int) -> dict[str, Any]:
    return {"rule": [{"id": "v", "status": "Enabled", "noncurrent_version_expiration": [{"noncurrent_days": days}]}]}


LIFECYCLE = "aws_s3_bucket_lifecycle_configuration"
LOSES: dict[str, tuple[dict[str, Any], str]] = {
    "a bucket": (
        change("aws_s3_bucket", "delete", before={"bucket": "b"}),
        "destroys aws_s3_bucket.this, and the data",
    ),
    "a key": (change("aws_kms_key", "delete", "create", before={}, after={}), "destroys and creates again"),
    "a key, the other way round": (change("aws_kms_key", "create", "delete", before={}, after={}), "creates again"),
    "a topic that is forgotten": (change("kafka_topic", "forget", before=TOPIC), "forgets kafka_topic.this"),
    "fewer partitions": (
        update("kafka_topic", TOPIC, {**TOPIC, "partitions": 12}),
        "fewer partitions, 12 instead of 24",
    ),
    "fewer partitions by a replacement": (
        change("kafka_topic", "delete", "create", before=TOPIC, after={**TOPIC, "partitions": 12}),
        "fewer partitions, 12 instead of 24",
    ),
    "partitions that nobody knows": (
        update("kafka_topic", TOPIC, {"config": TOPIC["config"]}, after_unknown={"partitions": True}),
        "known only when it is applied",
    ),
    "shorter retention": (update("kafka_topic", TOPIC, topic(**{"retention.ms": "3600000"})), "3.6e+06 instead of"),
    "retention that had no end": (
        update("kafka_topic", topic(**{"retention.ms": "-1"}), TOPIC),
        "instead of without end",
    ),
    "retention left to a default": (
        update("kafka_topic", TOPIC, {**TOPIC, "config": {"cleanup.policy": "delete"}}),
        "left to a default",
    ),
    "logs": (update("aws_cloudwatch_log_group", {"retention_in_days": 0}, {"retention_in_days": 30}), "without end"),
    "unknown retention of logs": (
        update("aws_cloudwatch_log_group", {"retention_in_days": 30}, {}, after_unknown={"retention_in_days": True}),
        "known only when",
    ),
    "a key's window": (
        update("aws_kms_key", {"deletion_window_in_days": 30}, {"deletion_window_in_days": 7}),
        "7 instead of 30",
    ),
    "versions": (update("aws_s3_bucket_versioning", versioning("Enabled"), versioning("Suspended")), "no longer kept"),
    "objects": (update(LIFECYCLE, lifecycle(90), lifecycle(30)), "objects expire sooner"),
    "objects by a new rule": (update(LIFECYCLE, {"rule": []}, lifecycle(30)), "objects expire sooner"),
    "objects by a rule that was off": (update(LIFECYCLE, lifecycle(9, "Disabled"), lifecycle(9)), "expire sooner"),
    "old versions": (update(LIFECYCLE, old_versions(90), old_versions(9)), "objects expire sooner"),
    "a protection": (
        update("aws_db_instance", {"deletion_protection": True}, {"deletion_protection": False}),
        "deletion_protection becomes false",
    ),
    "a protection by a word never said before": (
        update("aws_s3_bucket", {"force_destroy": None}, {"force_destroy": True}),
        "force_destroy becomes true",
    ),
    "a protection that nobody knows": (
        update("aws_s3_bucket", {"force_destroy": False}, {}, after_unknown={"force_destroy": True}),
        "force_destroy is known only",
    ),
}


@pytest.mark.parametrize("what", LOSES)
def test_what_loses_data_is_found(judged: Callable[..., Scan], what: str) -> None:
    planned, said = LOSES[what]
    scan = judged(plan(planned))
    assert scan.outcome is Outcome.FAIL
    assert said in "\n".join(finding.message for finding in scan.findings if finding.rule == DATA_LOSS)
    assert {finding.resource for finding in scan.findings} == {planned["address"]}


KEEPS: dict[str, dict[str, Any]] = {
    "nothing": change("aws_s3_bucket", "no-op", before={"force_destroy": True}, after={"force_destroy": True}),
    "a new topic": change("kafka_topic", "create", after={**TOPIC, "partitions": 1}),
    "a new bucket that may be destroyed": change("aws_s3_bucket", "create", after={"force_destroy": True}),
    "more partitions": update("kafka_topic", TOPIC, {**TOPIC, "partitions": 48}),
    "longer retention": update("kafka_topic", TOPIC, topic(**{"retention.ms": "-1"})),
    "logs without end": update("aws_cloudwatch_log_group", {"retention_in_days": 30}, {"retention_in_days": 0}),
    "objects kept longer": update(LIFECYCLE, lifecycle(30), lifecycle(90)),
    "a rule that is switched off": update(LIFECYCLE, lifecycle(30), lifecycle(30, "Disabled")),
    "versions": update("aws_s3_bucket_versioning", versioning("Suspended"), versioning("Enabled")),
    "a protection": update("aws_db_instance", {"deletion_protection": False}, {"deletion_protection": True}),
    "a data source": {**change("aws_s3_bucket", "read", after={}), "mode": "data"},
}


@pytest.mark.parametrize("what", KEEPS)
def test_what_keeps_all_data_passes(judged: Callable[..., Scan], what: str) -> None:
    scan = judged(plan(KEEPS[what]))
    assert scan, scan.lines()
    assert scan.scanned == {"resources": 1}


def test_what_goes_without_data_is_found_by_rules_of_its_own(judged: Callable[..., Scan]) -> None:
    replaced = change("aws_launch_template", "delete", "create", before={}, after={})
    scan = judged(plan(change("aws_iam_role", "delete", before={}), replaced))
    assert [finding.rule for finding in scan.findings] == [DESTROY, REPLACE]


def test_the_blast_radius_is_the_policys(judged: Callable[..., Scan]) -> None:
    many = [change("aws_iam_role", "create", after={}) for _ in range(3)]
    assert judged(plan(*many), max_changes=3)
    (finding,) = judged(plan(*many), max_changes=2).findings
    assert (finding.rule, "changes 3 resources" in finding.message) == (BLAST, True)


@pytest.mark.parametrize("status", ["fail", "error"])
def test_a_condition_that_does_not_hold_is_found(judged: Callable[..., Scan], status: str) -> None:
    checks = [{"address": {"to_display": "check.health"}, "status": status}]
    (finding,) = judged(plan(KEEPS["nothing"], checks=checks)).findings
    assert (finding.rule, finding.resource) == (CHECK, "check.health")
    assert judged(plan(KEEPS["nothing"], checks=[{**checks[0], "status": "pass"}]))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (plan(KEEPS["nothing"], errored=True), "broke off"),
        (plan(KEEPS["nothing"], complete=False), "not complete"),
        (plan(KEEPS["nothing"], deferred_changes=[{}]), "put off"),
        (plan(KEEPS["nothing"], format_version="2.0"), "known format"),
        ({"format_version": "1.2"}, "says nothing of resources"),
        (plan(), "nothing was scanned"),
        (plan(change("aws_s3_bucket", "explode")), "not known here"),
        (plan(change("aws_s3_bucket")), "not known here"),
        ({**plan(), "resource_changes": ["x"]}, "unknown form"),
    ],
)
def test_a_plan_that_is_not_whole_is_an_error(judged: Callable[..., Scan], document: Any, said: str) -> None:
    scan = judged(document)
    assert scan.outcome is Outcome.ERROR, scan.lines()
    assert said in scan.verdict.reason


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"a": NaN}', "[" * 100_000, json.dumps(plan({"address": "x", "type": "y"}))]
)
def test_what_is_no_plan_is_refused(judged: Callable[..., Scan], text: str) -> None:
    with pytest.raises(Unreadable):
        judged(text)


def test_no_secret_of_a_plan_is_told(judged: Callable[..., Scan]) -> None:
    secret = change("aws_secretsmanager_secret", "delete", before={"name": "hunter2"})
    topics = update("kafka_topic", {**TOPIC, "name": "hunter2"}, {**TOPIC, "name": "hunter2", "partitions": 1})
    assert "hunter2" not in repr(judged(plan(secret, topics)).findings)


others = st.sampled_from(list(KEEPS.values()))
lost = st.sampled_from([planned for planned, _ in LOSES.values()])


@given(st.lists(others, max_size=4), lost, st.lists(others, max_size=4))
def test_no_company_hides_a_loss(
    tmp_path_factory: pytest.TempPathFactory, before: list[Any], loss: Any, after: list[Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "plan.json"
    path.write_text(json.dumps(plan(*before, loss, *after)))
    assert Plan(path.parent, no_terraform).scan(path).outcome is Outcome.FAIL


# What it was made from

READS = 'locals {\n  t = jsondecode(file("${path.module}/../shared.json"))\n}\nmodule "m" {\n  source = "../m"\n}\n'
MODULES = [{"Key": "", "Dir": "."}, {"Key": "m", "Dir": "../m"}]
HELD = {"tfconfig/modules.json": json.dumps(MODULES), "tfconfig/m-/main.tf": READS, "tfconfig/m-m/x.tf.json": "{}"}


def binary(root: Path, held: Mapping[str, str]) -> Path:
    """A plan as terraform writes it, of a stack that reads a file elsewhere and calls a module."""
    for name, text in {"stack/main.tf": READS, "m/x.tf.json": "{}", "shared.json": "{}"}.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    with zipfile.ZipFile(root / "stack/it.tfplan", "w") as archive:
        for name, text in held.items():
            archive.writestr(name, text)
    return root / "stack/it.tfplan"


@pytest.mark.parametrize(
    "name",
    [
        *("stack/evil.auto.tfvars.json", "stack/terraform.tfvars", "stack/local.json", "stack/.hidden.json"),
        *("stack/main.tf", "shared.json", "m/x.tf.json", "m/template.tftpl"),
    ],
)
def test_whatever_a_plan_may_be_made_from_is_a_subject(tmp_path: Path, name: str) -> None:
    declared = saved.Declared.of(binary(tmp_path, HELD), tmp_path)
    before = sources.trees(declared.made_from(tmp_path), tmp_path)
    assert [each.name for each in before] == ["stack", "m", "shared.json"]
    (tmp_path / name).write_text("other")
    assert sources.trees(declared.made_from(tmp_path), tmp_path) != before


def test_sources_in_json_are_held_against_those_that_are_here(tmp_path: Path) -> None:
    declared = saved.Declared.of(binary(tmp_path, HELD), tmp_path)
    assert declared.digests["m/x.tf.json"] == hashlib.sha256(b"{}").hexdigest()
    assert list(declared.changed(tmp_path)) == []
    (tmp_path / "m/x.tf.json").write_text("other")
    assert [each.path for each in declared.changed(tmp_path)] == ["m/x.tf.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"tfconfig/modules.json": None},
        {"tfconfig/modules.json": "{"},
        {"tfconfig/modules.json": "[1]"},
        {"tfconfig/modules.json": json.dumps(MODULES[:1])},
        {"tfconfig/m-/main.tf": None, "tfconfig/m-m/x.tf.json": None},
    ],
    ids=["no modules", "not JSON", "no module", "an unknown module", "no source"],
)
def test_a_plan_that_does_not_say_what_it_was_made_from_is_a_problem(
    tmp_path: Path, change: dict[str, str | None]
) -> None:
    held = {name: text for name, text in {**HELD, **change}.items() if text is not None}
    (problem,) = saved.Declared.of(binary(tmp_path, held), tmp_path).problems
    assert str(problem) == "stack/it.tfplan: does not say what it was made from"
    assert saved.Declared.of(binary(tmp_path, HELD), tmp_path).problems == ()


def test_a_problem_of_the_sources_is_one_of_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = saved.Saved("", plan(KEEPS["nothing"]))
    monkeypatch.setattr(saved, "read", lambda *_: shown)
    assert Plan(tmp_path, no_terraform).scan(binary(tmp_path, HELD))
    scan = Plan(tmp_path, no_terraform).scan(binary(tmp_path, {}))
    assert (scan.outcome, "does not say what" in scan.verdict.reason) == (Outcome.ERROR, True)
