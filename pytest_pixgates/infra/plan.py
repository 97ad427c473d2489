"""A saved Terraform plan: what it would destroy, replace or shorten, before anybody applies it.

`terraform plan` ends well whatever it plans. Here a plan that is not whole is an ERROR, and what loses data is a
finding by name. What is meant to go is waived: by its address, by an owner, until a day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_pixgates
from pytest_pixgates.core import files, sources
from pytest_pixgates.core.scan import Finding, Problem, Scan, ToolUse
from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.core.tools import Tool
from pytest_pixgates.infra import saved

NAME = "plan"
DATA_LOSS, DESTROY, REPLACE, BLAST, CHECK = (
    "plan-data-loss",
    "plan-destroy",
    "plan-replace",
    "plan-blast-radius",
    "plan-check",
)

_KNOWN = frozenset({"no-op", "read", "create", "update", "delete", "forget"})
# Types, or how they begin, whose destruction takes data along that no later apply brings back.
_DATA = (
    *("aws_s3_bucket", "aws_kms_key", "aws_msk_", "kafka_topic", "aws_dynamodb_table", "aws_cloudwatch_log_group"),
    *("aws_db_", "aws_rds_cluster", "aws_ebs_volume", "aws_efs_file_system", "aws_fsx_", "aws_ecr_repository"),
    *("aws_secretsmanager_secret", "aws_ssm_parameter", "aws_sqs_queue", "aws_kinesis_stream", "aws_opensearch_domain"),
    *("aws_redshift_cluster", "aws_elasticache_", "aws_backup_vault", "aws_glacier_vault", "kubernetes_persistent_"),
)
# How long something is kept, by type: the attribute, and the values that mean "for ever".
_KEPT: Mapping[str, tuple[tuple[str, frozenset[float]], ...]] = {
    "kafka_topic": (("config.retention.ms", frozenset({-1.0})), ("config.retention.bytes", frozenset({-1.0}))),
    "aws_cloudwatch_log_group": (("retention_in_days", frozenset({0.0})),),
    "aws_kms_key": (("deletion_window_in_days", frozenset()),),
    "aws_sqs_queue": (("message_retention_seconds", frozenset()),),
    "aws_kinesis_stream": (("retention_period", frozenset()),),
    "aws_db_instance": (("backup_retention_period", frozenset()),),
    "aws_rds_cluster": (("backup_retention_period", frozenset()),),
    "aws_secretsmanager_secret": (("recovery_window_in_days", frozenset()),),
}
_FOR_EVER = float("inf")
# What protects data, wherever it stands, and the value that no longer does.
_PROTECTION: Mapping[str, object] = {
    "deletion_protection": False,
    "deletion_protection_enabled": False,
    "enable_key_rotation": False,
    "force_destroy": True,
    "force_delete": True,
    "skip_final_snapshot": True,
    "prevent_destroy": False,
}
_MEANT = "undo it; or, if it is meant, waive it in gates/waivers.toml by the address until a day"

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a plan is judged. `find` gives terraform, for a plan that is not JSON yet; `timeout` is in seconds."""

    root: Path
    find: Callable[[], Tool]
    max_changes: int = 50
    timeout: float = 600.0

    def scan(self, file: Path) -> Scan:
        """Judge the plan in `file`: `terraform show -json` of one, or as `terraform plan -out` wrote it into its stack.

        Raises NotMeasured, OSError.
        """
        label = sources.name(file, self.root)
        declared = saved.Declared.of(file, self.root)
        subjects = sources.trees([file, *declared.made_from(self.root)], self.root)
        plan = saved.read(file, self.root, self.find, self.timeout)
        data = plan.data
        problems = tuple(_not_whole(data, label))
        changes = [Change.of(each, label) for each in data["resource_changes"]] if not problems else []
        odd = [f"{each.address}: {', '.join(each.actions)}" for each in changes if not each.known]
        problems += (*declared.problems, *declared.changed(self.root))
        problems += tuple(Problem(f"plans what is not known here: {each}", label) for each in odd)
        counts = Counter(each.what for each in changes)
        code = files.sha256(Path(__file__))
        own = ToolUse("pixgates-plan", pytest_pixgates.__version__, code, tuple(f"{k}={v}" for k, v in counts.items()))
        drifted = len(data.get("resource_drift") or ())
        return Scan(
            NAME,
            label,
            scanned={"resources": len(changes), **({"drifted": drifted} if drifted else {})},
            findings=(*_findings(changes, label), *self._too_many(changes, label), *_failed_checks(data, label)),
            problems=problems,
            tools=(*plan.used, own),
            subjects=subjects,
        )

    def _too_many(self, changes: list[Change], label: str) -> Iterator[Finding]:
        changed = sum(each.what not in ("no-op", "read") for each in changes)
        if changed > self.max_changes:
            message = f"changes {changed} resources; the policy allows {self.max_changes} at once"
            yield Finding(BLAST, message, label, fix="split the change, or raise plan_max_changes in the policy")


@dataclass(frozen=True, slots=True)
class Change:
    """What is planned for one resource."""

    address: str
    type: str
    actions: tuple[str, ...]
    before: Values
    after: Values
    unknown: Values

    @classmethod
    def of(cls, each: dict[str, Any], label: str) -> Change:
        """Raises Unreadable for what Terraform would not write."""
        try:
            change = each["change"]
            parts = [change.get(name) or {} for name in ("before", "after", "after_unknown")]
            actions = tuple(map(str, change["actions"]))
            made = cls(str(each["address"]), str(each["type"]), actions, *map(_values, parts))
        except (KeyError, TypeError, AttributeError) as error:
            raise Unreadable(f"holds a change of unknown form: {error}", label) from None
        return made

    @property
    def known(self) -> bool:
        return bool(self.actions) and _KNOWN.issuperset(self.actions)

    @property
    def what(self) -> str:
        """One word for its actions: "replace" for a destruction that is followed or preceded by a creation."""
        return "replace" if {"delete", "create"} <= set(self.actions) else "/".join(self.actions)

    @property
    def holds_data(self) -> bool:
        return self.type.startswith(_DATA)


def _values(part: object) -> Values:
    return part if isinstance(part, dict) else {}


def _not_whole(data: dict[str, Any], label: str) -> Iterator[Problem]:
    """Why the plan can't be judged as a whole."""
    again, version = "plan again", str(data.get("format_version", ""))
    if version.partition(".")[0] != "1":
        yield Problem(f"is no plan in a known format: format_version {version!r}", label, fix="use Terraform 1.x")
    if data.get("errored", False) is not False:
        yield Problem("the plan broke off with an error", label, fix=f"mend the error and {again}")
    if data.get("complete", True) is not True:
        yield Problem("the plan is not complete: something of it was put off", label, fix=f"{again} without -target")
    if data.get("deferred_changes"):
        yield Problem("holds changes that are put off to a later plan", label, fix=again)
    if not isinstance(data.get("resource_changes"), list):
        yield Problem("says nothing of resources", label, fix="check that it is the plan of the stack")
    elif not all(isinstance(each, dict) for each in data["resource_changes"]):
        yield Problem("holds a change of unknown form", label, fix=again)


def _failed_checks(data: dict[str, Any], label: str) -> Iterator[Finding]:
    for each in data.get("checks") or ():
        if isinstance(each, dict) and each.get("status") in ("fail", "error"):
            address = str((each.get("address") or {}).get("to_display", ""))
            yield Finding(CHECK, f"{address}: a condition does not hold", label, resource=address, fix="mend it")


def _findings(changes: list[Change], label: str) -> Iterator[Finding]:
    for each in changes:
        if {"delete", "forget"} & set(each.actions):
            does = {"replace": "destroys and creates again", "forget": "forgets"}.get(each.what, "destroys")
            rule = DATA_LOSS if each.holds_data else REPLACE if each.what == "replace" else DESTROY
            lost = ", and the data in it" if each.holds_data and each.what != "forget" else ""
            yield Finding(rule, f"{does} {each.address}{lost}", label, resource=each.address, fix=_MEANT)
        if each.before and each.what != "delete":
            for message in (*_fewer_partitions(each), *_kept_shorter(each), *_unprotected(each)):
                yield Finding(DATA_LOSS, f"{each.address}: {message}", label, resource=each.address, fix=_MEANT)


def _fewer_partitions(each: Change) -> Iterator[str]:
    if each.type == "kafka_topic":
        before, after = _number(each.before.get("partitions")), _number(each.after.get("partitions"))
        if each.unknown.get("partitions") or after is None:
            yield "the number of partitions is known only when it is applied"
        elif before is not None and after < before:
            yield f"fewer partitions, {after:g} instead of {before:g}"


def _kept_shorter(each: Change) -> Iterator[str]:
    for path, for_ever in _KEPT.get(each.type, ()):
        if _at(each.unknown, path) is True:
            yield f"{path} is known only when it is applied"
            continue
        before, after = (_duration(_at(values, path), for_ever) for values in _both(each))
        if after is None and before is not None:
            yield f"{path} is left to a default"
        elif after is not None and after < (_FOR_EVER if before is None else before):
            said = "a default" if before is None else "without end" if before == _FOR_EVER else f"{before:g}"
            yield f"{path} is {after:g} instead of {said}"
    if each.type == "aws_s3_bucket_lifecycle_configuration" and (found := _expires_sooner(each)):
        yield found
    if each.type == "aws_s3_bucket_versioning":
        states = [str(_first(_first(values.get("versioning_configuration")).get("status"))) for values in _both(each)]
        if states[0] == "Enabled" != states[1]:
            yield "versions are no longer kept"


def _expires_sooner(each: Change) -> str:
    before, after = (_expiry(values.get("rule")) for values in _both(each))
    sooner = [name for name, days in after.items() if days < before.get(name, _FOR_EVER)]
    return f"objects expire sooner, by the rule {', '.join(sorted(sooner))}" if sooner else ""


def _expiry(rules: object) -> dict[str, float]:
    """Days after which each enabled rule deletes objects or their old versions."""
    found: dict[str, float] = {}
    for rule in rules if isinstance(rules, list) else []:
        for block, key in (("expiration", "days"), ("noncurrent_version_expiration", "noncurrent_days")):
            days = _number(_first(rule.get(block)).get(key))
            if days and rule.get("status") != "Disabled":
                found[f"{rule.get('id', '')} ({block})"] = days
    return found


def _unprotected(each: Change) -> Iterator[str]:
    for name, bad in _PROTECTION.items():
        before, after = each.before.get(name), each.after.get(name)
        if each.unknown.get(name) is True:
            yield f"{name} is known only when it is applied"
        # Not said is not protected, so that it may go on unsaid; to say "destroy" for the first time is a change.
        elif after is bad and before is not bad and (bad or before is not None):
            yield f"{name} becomes {str(bad).lower()}"


def _both(each: Change) -> tuple[Values, Values]:
    return each.before, each.after


def _first(block: object) -> Any:
    """The block, which Terraform writes as a list of one; or the value itself."""
    if isinstance(block, list):
        block = block[0] if block else {}
    return {} if block is None else block


def _at(values: Values, path: str) -> object:
    """The value at "a.b"; the names of Kafka's settings hold dots themselves."""
    head, _, rest = path.partition(".")
    inner = values.get(head)
    return inner.get(rest) if rest and isinstance(inner, dict) else None if rest else inner


def _duration(value: object, for_ever: frozenset[float]) -> float | None:
    """How long; None for what is not set."""
    number = _number(value)
    return _FOR_EVER if number in for_ever else number


def _number(value: object) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)  # type: ignore[arg-type]  # whatever JSON holds
    except (TypeError, ValueError):
        return None
