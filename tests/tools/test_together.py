"""Judged together or one by one, a target gets the same scan: same findings, same counts, same problems."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_pixgates.core import sources, tools
from pytest_pixgates.core.scan import Scan
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.infra import hcl, shared_root
from pytest_pixgates.infra.checkov import Checkov
from pytest_pixgates.infra.terraform import Terraform, Validated
from tests.tools.conftest import Project
from tests.tools.test_terraform import AWS

New = Callable[[Mapping[str, str | bytes]], Project]
IAC = Path(__file__).parents[2] / "iac"
VALID = "terraform-validate"


def said(scan: Scan) -> dict[str, object]:
    return {
        "scanned": dict(scan.scanned),
        "findings": sorted(map(str, scan.findings)),
        "problems": sorted(map(str, scan.problems)),
        "subjects": scan.subjects,
        "tools": [dataclasses.replace(tool, argv=()) for tool in scan.tools],
    }


@pytest.fixture(scope="module")
def defects(new_project: New) -> Project:
    """This product's own stacks, and beside them others that are each wrong in one way."""
    aws = AWS + 'variable "name" {\n  type = string\n}\n\n'
    bucket = 'resource "aws_s3_bucket" "this" {\n  bucket = var.name\n}\n'
    files = {
        "wrong/typo/main.tf": aws + bucket.replace("bucket =", "bukket ="),
        "wrong/reference/main.tf": aws + bucket.replace("var.name", "var.nam"),
        "wrong/type/main.tf": aws + bucket + 'output "x" {\n  value = aws_s3_bucket.this.id + {}\n}\n',
        "wrong/secret/main.tf": aws.replace("string", "string\n  sensitive = true")
        + bucket
        + 'output "x" {\n  value = var.name\n}\n',
        "wrong/argument/main.tf": AWS
        + 'module "key" {\n  source = "../../iac/terraform/modules/key"\n  nam    = 1\n}\n',
        "wrong/deprecated/main.tf": aws + bucket.replace("}\n", '  acl    = "private"\n}\n'),
        "wrong/backend/main.tf": 'terraform {\n  backend "s3" {\n    bucket = "x"\n  }\n}\n\n' + aws + bucket,
        "wrong/import/main.tf": aws + bucket + 'import {\n  to = aws_s3_bucket.this\n  id = "x"\n}\n',
        "wrong/open/main.tf": AWS
        + 'resource "aws_security_group" "this" {\n  ingress {\n    from_port   = 22\n    to_port     = 22\n'
        + '    protocol    = "tcp"\n    cidr_blocks = ["0.0.0.0/0"]\n  }\n}\n',
        "wrong/backend/inner/main.tf": aws + bucket,
        "wrong/syntax/main.tf": aws + bucket + "}\n",
    }
    project = new_project(files)
    shutil.copytree(IAC, project.root / "iac")
    lock = (IAC / "terraform" / "modules" / "key" / ".terraform.lock.hcl").read_bytes()
    return project.write({f"{Path(name).parent}/.terraform.lock.hcl": lock for name in files})


def stacks(root: Path) -> list[Path]:
    return sorted([*root.glob("iac/terraform/environments/*"), *root.glob("wrong/*"), root / "wrong/backend/inner"])


def test_terraform_says_the_same_of_stacks_that_share_a_root(defects: Project, mirror: Path) -> None:
    terraform = Terraform(tools.find(tools.TERRAFORM), defects.root, 600, mirror)
    ready = {each: hcl.load(each, defects.root) for each in stacks(defects.root)}
    (group,) = shared_root.groups({each: stack for each, stack in ready.items() if not stack.problems})
    alone = {"import", "secret", "syntax", "dev", "staging", "prod"}  # ours have a secret among their variables
    assert {each.name for each in group} == {each.name for each in stacks(defects.root)} - alone
    together = {target: scan() for target, scan in terraform.scans(stacks(defects.root))}
    assert list(together) == stacks(defects.root)
    for target, scan in together.items():
        assert said(scan) == said(terraform.scan(target)), target
    errors = {target.name for target, scan in together.items() if any(each.rule == VALID for each in scan.findings)}
    assert {"typo", "reference", "type", "secret", "argument", "deprecated"} <= errors
    outcomes = {scan.outcome for target, scan in together.items() if target.parent.name == "environments"}
    assert outcomes == {Outcome.PASS}


def test_a_root_that_can_not_be_made_leaves_each_stack_to_itself(
    defects: Project, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terraform = Terraform(tools.find(tools.TERRAFORM), defects.root, 600, mirror)
    monkeypatch.setattr(shared_root, "validate", lambda *_: {})
    wanted = [each for each in stacks(defects.root) if each.name in ("typo", "open")]
    outcomes = {target.name: scan().outcome for target, scan in terraform.scans(wanted)}
    assert outcomes == {"typo": Outcome.FAIL, "open": Outcome.PASS}


def test_what_was_validated_counts_only_for_the_state_that_it_was_in(defects: Project, mirror: Path) -> None:
    terraform = Terraform(tools.find(tools.TERRAFORM), defects.root, 600, mirror)
    typo = defects.root / "wrong" / "typo"
    assert terraform.scan(typo, Validated((), sources.trees([typo], defects.root))).outcome is Outcome.PASS
    assert terraform.scan(typo, Validated((), sources.trees([typo.parent / "open"], defects.root))).findings


def targets(root: Path) -> list[Path]:
    return [*stacks(root), *sorted(root.glob("iac/k8s/overlays/*"))]


def checkov(root: Path) -> Checkov:
    return Checkov(tools.find(tools.CHECKOV), root, kubectl=tools.find(tools.KUBECTL))


def test_checkov_started_once_says_the_same_as_its_command_line(
    defects: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_by_one = {target: said(checkov(defects.root).scan(target)) for target in targets(defects.root)}
    monkeypatch.setattr(Checkov, "_run", lambda *_: pytest.fail("checkov was started for one target alone"))
    together = {target: scan() for target, scan in checkov(defects.root).scans(targets(defects.root))}
    assert {target: said(scan) for target, scan in together.items()} == one_by_one
    assert {scan.outcome for scan in together.values()} == {Outcome.FAIL, Outcome.ERROR, Outcome.PASS}
