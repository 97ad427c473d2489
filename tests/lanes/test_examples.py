"""Each example as an outsider meets it: the built wheel, a fresh environment, and only what its README says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_pixgates.core import tools
from tests import walkthrough
from tests.lanes.conftest import needed_by


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with needed_by("examples"):
        for spec in (tools.TERRAFORM, tools.TFLINT, tools.CHECKOV, tools.LOCUST):
            tools.find(spec)
        return walkthrough.build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return walkthrough.constraints(tmp_path_factory.mktemp("pinned") / "constraints.txt")


@pytest.mark.parametrize("example", walkthrough.NAMES)
def test_an_outsider_gets_from_red_to_green_by_the_commands_of_the_readme(
    example: str, wheel: Path, pinned: Path, tmp_path: Path
) -> None:
    environment = walkthrough.outsider(tmp_path, wheel, pinned)
    seen = list(walkthrough.walk(example, tmp_path, environment))
    assert not seen[-1].problem(), seen[-1].problem()
    assert len(seen) == len(walkthrough.commands(example))
    assert [done.code for done in seen if "pytest gates" in done.command.text][:2] == [1, 0]  # red, then green


def test_a_readme_that_promises_what_does_not_happen_is_found(tmp_path: Path) -> None:
    command = walkthrough.Command("x", 0, ("PASS",))
    assert not walkthrough.Done(command, 0, "all PASS\n", 1.0).problem()
    assert "not printed" in walkthrough.Done(command, 0, "FAIL\n", 1.0).problem()
    assert "exit code 1" in walkthrough.Done(command, 1, "PASS\n", 1.0).problem()


def test_the_wheel_brings_nothing_of_its_own_but_the_package(wheel: Path) -> None:
    listed = subprocess.run(["python", "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True, check=True)
    names = [line.split()[0] for line in listed.stdout.splitlines()[1:]]
    assert {name.split("/")[0] for name in names} == {"pytest_pixgates", wheel.name.partition("-py3")[0] + ".dist-info"}
