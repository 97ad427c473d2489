"""The second run is answered from the first, says so, and never about anything that changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path

import pytest

from pytest_pixgates.core import tools
from pytest_pixgates.core.family import Context
from pytest_pixgates.core.policy import Policy, Waiver
from pytest_pixgates.core.scan import Scan, State
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.infra.gates import InfraGates
from pytest_pixgates.infra.policy import InfraPolicy, Rule
from tests.tools.conftest import Project

New = Callable[[Mapping[str, str | bytes]], Project]

UNUSED = 'terraform {\n  required_version = ">= 1.9"\n}\n\nlocals {\n  unused = 1\n}\n'
RULE = "terraform_unused_declarations"


def later(project: Project) -> Project:
    """The same repository in a later run."""
    shutil.rmtree(project.scratch, ignore_errors=True)
    return project


def tflint(project: Project, **settings: object) -> Scan:
    return project.infra(**settings).tflint("iac")  # type: ignore[arg-type]  # settings of any key


def test_the_second_run_is_answered_from_the_first(new_project: New) -> None:
    project = new_project({"iac/main.tf": UNUSED})
    first, again = tflint(project), tflint(later(project))
    assert (first.cached, again.cached) == (False, True)
    assert first.findings == again.findings
    assert "(cached)" in again.verdict.measured


def test_a_waiver_counts_and_expires_on_a_cached_answer_too(new_project: New) -> None:
    project = new_project({"iac/main.tf": UNUSED})
    assert tflint(project).outcome is Outcome.FAIL
    today = date.today()  # noqa: DTZ011 - waivers are dated by day
    for expires, outcome in ((today + timedelta(days=9), Outcome.PASS), (today - timedelta(days=1), Outcome.FAIL)):
        waiver = Waiver("W1", RULE, "iac/main.tf", "platform", "not yet", expires)
        scan = tflint(later(project), waivers=(waiver,))
        assert (scan.cached, scan.outcome) == (True, outcome)


def test_a_rule_that_is_switched_off_counts_on_a_cached_answer_too(new_project: New) -> None:
    project = new_project({"iac/main.tf": UNUSED})
    tflint(project)
    scan = tflint(later(project), rules=(Rule(RULE, "an interface"),))
    assert (scan.cached, [each.state for each in scan.findings]) == (True, [State.OFF])


def test_a_changed_input_a_template_elsewhere_and_another_tool_are_measured_again(
    new_project: New, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = (
        UNUSED.replace("unused = 1", 'used = file("${path.module}/../shared.txt")') + 'output "x" {\n  value = 1\n}\n'
    )
    project = new_project({"iac/main.tf": read, "shared.txt": "a"})
    assert not tflint(project).cached
    assert tflint(later(project)).cached
    project.write({"shared.txt": "b"})
    assert not tflint(later(project)).cached
    assert tflint(later(project)).cached
    # Behind a shim: the same path, another program.
    real = shutil.which("tflint", path=str(_tool_folder())) or ""
    shim = tmp_path / "tflint"
    shim.write_text(f'#!/bin/sh\nexec {real} "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PIXGATES_TFLINT", str(shim))
    assert not tflint(later(project)).cached
    assert tflint(later(project)).cached
    shim.write_text(f'#!/bin/sh\n# upgraded\nexec {real} "$@"\n')
    assert not tflint(later(project)).cached


def test_without_the_cache_everything_is_measured_again(new_project: New) -> None:
    project = new_project({"iac/main.tf": UNUSED})
    tflint(project)
    policy = Policy(project.root / "gates" / "gates.toml", project.root, "")
    gates = InfraGates(Context(policy, InfraPolicy(), later(project).scratch, use_cache=False))
    assert not gates.tflint("iac").cached


def test_what_was_not_measured_is_measured_again(new_project: New, monkeypatch: pytest.MonkeyPatch) -> None:
    project = new_project({"iac/main.tf": UNUSED})
    monkeypatch.setenv("PIXGATES_TFLINT", "/nowhere/tflint")
    assert tflint(project).outcome is Outcome.ERROR
    monkeypatch.delenv("PIXGATES_TFLINT")
    assert tflint(later(project)).outcome is Outcome.FAIL


def _tool_folder() -> Path:
    return tools.find(tools.TFLINT).path.parent
