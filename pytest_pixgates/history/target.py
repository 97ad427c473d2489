"""The run that a change is held against: the last one of the branch that it goes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_pixgates.core import environ, git, record
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.record import Run
from pytest_pixgates.history.entry import Entry

_MAIN = ("main", "master")


@dataclass(frozen=True, slots=True)
class Target:
    """The last run of the target `branch`; or `problem`, why none is known."""

    branch: str = "main"
    entry: Entry | None = None
    problem: str = ""


def here(root: Path) -> tuple[str, str]:
    """Branch and commit of what is in `root`, each "" if it is none: a pull request is no branch of its own here."""
    try:
        commit = git.commit(root, git.HEAD)
        named = (
            ""
            if environ.is_pull_request()
            else environ.branch() or _said(root, "symbolic-ref", "-q", "--short", "HEAD")
        )
    except PixgatesError:
        return "", ""
    return named, commit


def find(run: Run, policy: Policy, entries: Sequence[Entry], file: str = "") -> Target:
    """What `run` is held against: the records in `file` if one is named, else the last of `entries` on the target."""
    names = _names(policy)
    if file:
        try:
            return Target(names[0], Entry.of(record.load(Path(file)), branch=names[0]))
        except PixgatesError as error:
            return Target(names[0], problem=f"{environ.AGAINST}: {error.message}")
    before = [each for each in entries if each.branch in names and each.environment == run.environment]
    earlier = [each for each in before if each.started < run.started]
    if earlier:
        last = max(earlier, key=lambda each: each.started)
        return Target(last.branch, last)
    return Target(names[0], problem=f"no run of {names[0]} is known here")


def _names(policy: Policy) -> tuple[str, ...]:
    """What the target may be called; the usual names where a clone has not noted which it is."""
    try:
        target = environ.target() or policy.general.target or git.default_target(policy.folder)
        if target.endswith("/HEAD"):
            target = _said(policy.folder, "symbolic-ref", "-q", f"refs/remotes/{target.removeprefix('refs/remotes/')}")
    except PixgatesError:
        target = ""
    name = target.removeprefix("refs/heads/").removeprefix("refs/remotes/").removeprefix("origin/")
    return (name,) if name else _MAIN


def _said(folder: Path, *arguments: str) -> str:
    done = git.call(folder, *arguments)
    return done.stdout.strip() if done.returncode == 0 else ""
