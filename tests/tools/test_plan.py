"""Plans that the real terraform wrote, as a file and as JSON; what is done with a plan is a user's own business."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_pixgates.core import process, tools
from pytest_pixgates.core.policy import Waiver
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.infra.plan import DESTROY, REPLACE
from tests.tools.conftest import Project

New = Callable[[Mapping[str, str | bytes]], Project]
STACK = 'resource "terraform_data" "this" {\n  triggers_replace = "one"\n}\n'


def terraform(folder: Path, *arguments: str) -> str:
    done = process.run([tools.find(tools.TERRAFORM).path, *arguments], cwd=folder, timeout=120)
    assert done.returncode == 0, done.tail()
    return done.stdout


@pytest.fixture
def applied(new_project: New) -> Project:
    """A stack that was applied."""
    project = new_project({"stack/main.tf": STACK})
    terraform(project.root / "stack", "init", "-no-color")
    terraform(project.root / "stack", "apply", "-auto-approve", "-no-color")
    return project


def planned(project: Project, text: str) -> Project:
    project.write({"stack/main.tf": text})
    terraform(project.root / "stack", "plan", "-out", "it.tfplan", "-no-color")
    return project


def test_a_plan_that_only_adds_passes(applied: Project) -> None:
    scan = planned(applied, STACK + 'resource "terraform_data" "more" {}\n').infra().plan("stack/it.tfplan")
    assert scan, scan.lines()
    assert scan.scanned == {"resources": 2}
    assert [tool.name for tool in scan.tools] == ["terraform", "pixgates-plan"]
    assert str(applied.root) not in repr(scan)


@pytest.mark.parametrize(("text", "rule"), [("", DESTROY), (STACK.replace("one", "two"), REPLACE)])
def test_a_plan_that_takes_away_fails_in_both_forms(applied: Project, text: str, rule: str) -> None:
    stack = planned(applied, text).root / "stack"
    scan = applied.infra().plan("stack/it.tfplan")
    (stack / "it.json").write_text(terraform(stack, "show", "-json", "it.tfplan"))
    for each in (scan, applied.infra().plan("stack/it.json")):
        assert each.outcome is Outcome.FAIL
        assert [(finding.rule, finding.resource) for finding in each.findings] == [(rule, "terraform_data.this")]


def test_what_is_meant_is_waived_by_its_address(applied: Project) -> None:
    planned(applied, "")
    soon = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=3)
    waiver = Waiver("W-1", DESTROY, "stack/it.tfplan", "platform", "moved", soon, resource="terraform_data.this")
    scan = applied.infra(waivers=(waiver,)).plan("stack/it.tfplan")
    assert scan, scan.lines()
    other = Waiver("W-2", DESTROY, "stack/it.tfplan", "platform", "moved", soon, resource="terraform_data.other")
    assert not applied.infra(waivers=(other,)).plan("stack/it.tfplan")


def test_a_plan_of_other_sources_than_are_here_is_an_error(applied: Project) -> None:
    project = planned(applied, STACK + "# a comment\n")
    scan = project.infra().plan("stack/it.tfplan")
    assert scan
    assert [each.name for each in scan.subjects] == ["stack/it.tfplan", "stack"]
    project.write({"stack/main.tf": STACK})
    scan = project.infra().plan("stack/it.tfplan")
    assert scan.outcome is Outcome.ERROR
    assert "stack/main.tf: is not what the plan was made from" in str(scan.problems[0])


def test_a_plan_without_its_stack_or_cut_short_is_an_error(applied: Project) -> None:
    plan = (planned(applied, STACK).root / "stack" / "it.tfplan").read_bytes()
    applied.write({"elsewhere/cut.tfplan": plan[: len(plan) // 2]})
    for path in ("elsewhere/cut.tfplan", "stack", "nowhere.json"):
        assert applied.infra().plan(path).outcome is Outcome.ERROR


def test_another_plan_at_the_same_place_is_judged_anew(applied: Project) -> None:
    assert planned(applied, STACK).infra().plan("stack/it.tfplan").outcome is Outcome.PASS
    assert planned(applied, "").infra().plan("stack/it.tfplan").outcome is Outcome.FAIL
