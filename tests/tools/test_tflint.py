"""tflint, as it is: what makes it look away must end as an ERROR with its reason, or as a finding."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping

import pytest

from pytest_pixgates.core.policy import Waiver
from pytest_pixgates.core.scan import Scan, Severity, State
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.infra.policy import Rule
from tests.tools.conftest import Project

ABSENT = "it was not there when it was judged"
New = Callable[[Mapping[str, str | bytes]], Project]

GOOD = """\
terraform {
  required_version = ">= 1.9"
}

resource "terraform_data" "this" {
  input = 1
}
"""
UNUSED = 'variable "unused" {\n  type = string\n}\n'
ALL = 'plugin "terraform" {\n  enabled = true\n  preset  = "all"\n}\n'


def problems(scan: Scan) -> str:
    assert scan.outcome is Outcome.ERROR, scan.lines()
    return "\n".join(f"{problem} | {problem.fix}" for problem in scan.problems)


def test_a_good_stack_passes(new_project: New) -> None:
    project = new_project({"iac/main.tf": GOOD})
    scan = project.infra().tflint("iac")
    assert scan, scan.lines()
    assert scan.scanned == {"files": 1, "blocks": 2}
    assert "--config=<recommended.hcl>" in scan.tools[0].argv
    assert str(project.root) not in repr(scan)


def test_an_issue_fails_at_its_line(new_project: New) -> None:
    scan = new_project({"iac/main.tf": GOOD + UNUSED}).infra().tflint("iac")
    assert scan.outcome is Outcome.FAIL
    (finding,) = scan.findings
    assert (finding.rule, finding.where) == ("terraform_unused_declarations", "iac/main.tf:8")
    assert finding.severity is Severity.WARNING
    assert finding.help_uri.startswith("https://")


def test_the_nearest_configuration_counts_and_is_a_subject(new_project: New) -> None:
    project = new_project({"iac/.tflint.hcl": ALL, "iac/dev/main.tf": GOOD + 'variable "x" {\n  type = string\n}\n'})
    scan = project.infra().tflint("iac/dev")
    assert "terraform_documented_variables" in {finding.rule for finding in scan.findings}
    judged = [(subject.name, subject.kind) for subject in scan.subjects]
    assert judged == [("iac/dev", "tree"), ("iac/.tflint.hcl", "file"), ("iac/dev/.tflint.hcl", "absent")]


def test_a_configuration_that_comes_later_would_count_so_the_scan_does_not(new_project: New) -> None:
    project = new_project({"iac/dev/main.tf": GOOD})
    scan = project.infra().tflint("iac/dev")
    assert scan, scan.lines()
    assert not any(subject.changed(project.root) for subject in scan.subjects)
    project.write({".tflint.hcl": ALL})
    changed = {subject.name: subject.changed(project.root) for subject in scan.subjects}
    assert changed == {"iac/dev": "", "iac/dev/.tflint.hcl": "", "iac/.tflint.hcl": "", ".tflint.hcl": ABSENT}


def test_the_policy_weighs_switches_off_and_counts(new_project: New) -> None:
    project = new_project({"iac/main.tf": GOOD + UNUSED})
    rule = "terraform_unused_declarations"
    off = project.infra(rules=(Rule(rule, "an interface", ("iac/*",)),)).tflint("iac")
    assert off, off.lines()
    assert [each.rule for each in off.findings if each.state is State.OFF] == [rule]
    elsewhere = project.infra(rules=(Rule(rule, "an interface", ("other/*",)),)).tflint("iac")
    assert elsewhere.outcome is Outcome.FAIL
    again = (Rule(rule, "an interface"), Rule(rule, "but here it counts", ("iac/*",), on=True))
    assert project.infra(rules=again).tflint("iac").outcome is Outcome.FAIL
    minor = project.infra(severity=Severity.ERROR).tflint("iac")
    assert minor
    assert [finding.state for finding in minor.findings] == [State.MINOR]


@pytest.mark.parametrize(
    ("comment", "line"),
    [
        ("# tflint-ignore: terraform_unused_declarations", 8),
        ("# tflint-ignore-file: terraform_unused_declarations", 8),
        ("// tflint-ignore: terraform_unused_declarations, terraform_typed_variables", 8),
    ],
)
def test_an_ignore_comment_blocks_unless_waived(new_project: New, comment: str, line: int) -> None:
    text = f"{comment}\n{GOOD}{UNUSED}" if "file" in comment else f"{GOOD}{comment}\n{UNUSED}"
    project = new_project({"iac/main.tf": text})
    scan = project.infra().tflint("iac")
    assert scan.outcome is Outcome.FAIL
    finding = scan.findings[0]
    assert (finding.rule, finding.line) == ("inline-skip", 1 if "file" in comment else line)
    assert "terraform_unused_declarations" in {each.resource for each in scan.findings}
    assert "gates/waivers.toml" in finding.fix
    soon = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=30)
    waivers = tuple(
        Waiver(rule, "inline-skip", "iac/main.tf", "platform", "moving house", soon, resource=rule)
        for rule in sorted({each.resource for each in scan.findings if each.rule == "inline-skip"})
    )
    waived = project.infra(waivers=waivers).tflint("iac")
    assert waived, waived.lines()
    assert {each.waiver for each in waived.findings} >= {each.id for each in waivers}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        pytest.param({"iac/readme.md": ""}, "declares nothing", id="empty folder"),
        pytest.param({"iac/dev/main.tf": GOOD}, "name the stacks themselves", id="parent folder"),
        pytest.param({"iac/main.tf": GOOD, "iac/x.tf": "a {"}, "iac/x.tf:1: is not valid HCL", id="broken HCL"),
        pytest.param(
            {
                "iac/main.tf": GOOD
                + 'module "vpc" {\n  source  = "terraform-aws-modules/vpc/aws"\n  version = "5.0.0"\n}\n'
            },
            "iac/main.tf:8: tflint: ",
            id="module that is not there",
        ),
    ],
)
def test_what_it_can_not_see_is_an_error(new_project: New, files: Mapping[str, str | bytes], said: str) -> None:
    assert said in problems(new_project(files).infra().tflint("iac"))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('plugin "terraform" {\n  enabled = false\n}\n', "iac/.tflint.hcl:1: plugin terraform is switched off"),
        (ALL + "config {\n  disabled_by_default = true\n}\n", "iac/.tflint.hcl:5: disabled_by_default"),
        (ALL + "config {\n  force = true\n}\n", "force would make tflint look away"),
        (ALL + 'rule "terraform_typed_variables" {\n  enabled = false\n}\n', "rule terraform_typed_variables is off"),
        (ALL + 'plugin "aws" {\n  enabled = true\n}\n', "ruleset aws is not one that the policy names"),
        ("plugin {", "is not valid HCL"),
    ],
)
def test_a_configuration_that_looks_away_is_an_error(new_project: New, config: str, said: str) -> None:
    project = new_project({"iac/main.tf": GOOD + UNUSED, "iac/.tflint.hcl": config})
    assert said.replace(" is off", " is switched off") in problems(project.infra().tflint("iac"))


def test_a_ruleset_of_the_policy_must_be_there(new_project: New) -> None:
    project = new_project({"iac/main.tf": GOOD})
    assert "ruleset aws of the policy is not enabled" in problems(project.infra(rulesets=("aws",)).tflint("iac"))
    project.write({"iac/.tflint.hcl": ALL + 'plugin "aws" {\n  enabled = true\n}\n'})
    assert 'Plugin "aws" not found' in problems(project.infra(rulesets=("aws",)).tflint("iac"))


def test_a_configuration_that_is_named_must_exist(new_project: New) -> None:
    project = new_project({"iac/main.tf": GOOD})
    assert "lint.hcl: does not exist" in problems(project.infra(tflint_config="lint.hcl").tflint("iac"))


def test_a_hidden_tflint_is_an_error_that_says_how_to_get_it(new_project: New) -> None:
    scan = new_project({"iac/main.tf": GOOD}).infra(tools={"tflint": "nowhere/tflint"}).tflint("iac")
    assert "pixgates tools install tflint" in problems(scan)
