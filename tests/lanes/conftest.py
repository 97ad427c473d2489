"""What lanes share: the word for what can't run here, and a stack of this repository that is really applied."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_pixgates.core import process, tools
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.process import Completed

IAC = Path(__file__).parents[2] / "iac"
NOT_RUN = 69
"""Exit code of a lane that can't run here: not 0, and none of pytest's own."""


@contextlib.contextmanager
def needed_by(lane: str) -> Iterator[None]:
    """End the whole run as NOT RUN if what the lane needs can't be had: no test of it may look passed or skipped."""
    try:
        yield
    except (PixgatesError, ImportError) as error:
        pytest.exit(f"NOT RUN: lane {lane}: {error}", returncode=NOT_RUN)


_not_covered = pytest.StashKey[list[str]]()


def not_covered(config: pytest.Config, what: str) -> None:
    """Have the end of the run say what the lane leaves out."""
    config.stash.setdefault(_not_covered, []).append(what)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for what in config.stash.get(_not_covered, []):
        terminalreporter.write_line(f"NOT COVERED: {what}")


@dataclass(frozen=True)
class Stack:
    """A Terraform stack in `repository`, a folder that holds a copy of `iac`; `env` is what Terraform gets."""

    repository: Path
    name: str
    env: Mapping[str, str]

    @property
    def folder(self) -> Path:
        return self.repository / "iac" / "terraform" / self.name

    def copy(self, repository: Path) -> Stack:
        """The stack as it is now, its state too, to be edited without touching this one."""
        shutil.copytree(self.repository, repository)
        return Stack(repository, self.name, self.env)

    def run(self, *arguments: str, timeout: float = 120) -> Completed:
        terraform = tools.find(tools.TERRAFORM).path
        return process.run([terraform, *arguments, "-no-color"], cwd=self.folder, timeout=timeout, env=self.env)

    def must(self, *arguments: str, timeout: float = 120) -> Completed:
        done = self.run(*arguments, timeout=timeout)
        assert done.returncode == 0, done.tail()
        return done

    def plan(self, *arguments: str, timeout: float = 120) -> Completed:
        """Its return code says: 0 nothing to do, 2 something, 1 refused."""
        return self.run("plan", "-detailed-exitcode", "-input=false", *arguments, timeout=timeout)


def copy_of_iac(repository: Path) -> None:
    """`iac` as it is in the work tree, without what Terraform may have left there."""
    left = shutil.ignore_patterns(".terraform", "*.tfstate*", "*.tfplan", "*override.tf")
    shutil.copytree(IAC, repository / "iac", ignore=left)
