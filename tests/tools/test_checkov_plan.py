"""checkov on saved plans: the values that will be applied, each finding at the source that declares it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.infra import saved
from tests.tools.conftest import Project
from tests.tools.test_plan import terraform

New = Callable[[Mapping[str, str | bytes]], Project]
OPEN, CLOSED = [{"cidr_blocks": ["0.0.0.0/0"]}], [{"cidr_blocks": ["10.0.0.0/8"]}]


def plan(ingress: list[dict[str, Any]]) -> str:
    """As `terraform show -json` writes it, of a security group in a module."""
    each = {"from_port": 22, "to_port": 22, "protocol": "tcp", "description": "SSH", "ipv6_cidr_blocks": []}
    values = {"name": "ssh", "description": "SSH", "ingress": [{**each, **rule} for rule in ingress]}
    group = {"address": "module.door.aws_security_group.this[0]", "mode": "managed", "type": "aws_security_group"}
    group |= {"name": "this", "index": 0, "provider_name": "registry.terraform.io/hashicorp/aws", "schema_version": 1}
    change = {"actions": ["create"], "before": None, "after": values, "after_unknown": {}}
    modules = [{"address": "module.door", "resources": [{**group, "values": values}]}]
    document = {
        "format_version": "1.2",
        "terraform_version": "1.11.4",
        "planned_values": {"root_module": {"child_modules": modules}},
        "resource_changes": [{**group, "module_address": "module.door", "change": change}],
        "configuration": {"root_module": {}},
        "complete": True,
        "errored": False,
    }
    return json.dumps(document)


@pytest.mark.parametrize(("ingress", "found"), [(OPEN, True), (CLOSED, False)], ids=["open", "closed"])
def test_what_a_plan_would_open_to_everybody_is_found(new_project: New, ingress: Any, found: bool) -> None:
    project = new_project({"stack/it.json": plan(ingress)})
    scan = project.infra().checkov("stack/it.json")
    assert scan.scanned["resources"] == 1
    assert scan.scanned["checks"] > 0
    assert ("CKV_AWS_24" in {each.rule for each in scan.findings}) is found
    assert {each.path for each in scan.findings} <= {"stack/it.json"}
    assert [(each.name, each.kind) for each in scan.subjects] == [("stack/it.json", "file")]


def test_a_plan_that_checkov_knows_no_rule_for_is_an_error(new_project: New) -> None:
    project = new_project({"stack/main.tf": 'resource "terraform_data" "this" {}\n'})
    terraform(project.root / "stack", "init", "-no-color")
    terraform(project.root / "stack", "plan", "-out", "it.tfplan", "-no-color")
    scan = project.infra().checkov("stack/it.tfplan")
    assert scan.outcome is Outcome.ERROR
    assert "checkov evaluated no terraform_plan check" in str(scan.problems)


def test_a_plan_is_left_alone_by_a_policy_without_that_framework(new_project: New) -> None:
    project = new_project({"stack/it.json": plan(OPEN)})
    scan = project.infra(checkov_frameworks=("kubernetes",)).checkov("stack/it.json")
    assert scan.outcome is Outcome.ERROR


def test_resources_are_placed_where_the_plan_says_that_they_were_declared(new_project: New) -> None:
    project = new_project(
        {
            "stack/main.tf": 'module "door" {\n  source = "../door"\n}\n',
            "stack/this_override.tf": "locals {}\n",
            "door/main.tf": '\nresource "terraform_data" "this" {\n  for_each = toset(["a.b[0]"])\n}\n',
            "door/main_override.tf": 'resource "terraform_data" "this" {\n  input = 1\n}\n',
        }
    )
    terraform(project.root / "stack", "init", "-no-color")
    terraform(project.root / "stack", "plan", "-out", "it.tfplan", "-no-color")
    (project.root / "door/main.tf").unlink()
    declared = saved.Declared.of(project.root / "stack/it.tfplan", project.root)
    assert declared.place('module.door.terraform_data.this["a.b[0]"]') == ("door/main.tf", 2)
    assert declared.place("module.door.terraform_data.other") == ("stack/it.tfplan", 0)


def test_what_is_no_plan_is_not_taken_for_one(new_project: New) -> None:
    files = {"a.json": "{}", "b.json": '{"apiVersion": "v1"}', "c.zip": b"PK\x03\x04", "d.tf": "", "e.tfplan": b"PK"}
    project = new_project(files)
    assert [name for name in sorted(files) if saved.is_plan(project.root / name)] == ["e.tfplan"]
    assert saved.Declared.of(project.root / "e.tfplan", project.root).places == {}
