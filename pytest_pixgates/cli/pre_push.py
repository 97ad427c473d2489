"""`pixgates pre-push`: nothing leaves this machine that the gates did not pass, at no cost if they passed it before.

What is pushed is a commit, so the evidence must be of files that are as in that commit. If the last run is such
evidence nothing runs; else the gates do, and what they say is asked again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pytest_pixgates.cli.arguments import CONFIG, add_config, policy_file
from pytest_pixgates.core import commit, environ, policy, record
from pytest_pixgates.core.errors import UsageError
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.record import RecordError
from pytest_pixgates.core.refusal import Question, Refusal, judge
from pytest_pixgates.report.text import plain

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers

PRE_COMMIT = "PRE_COMMIT_TO_REF"
# Git sets these for its hooks; with them git would look at this repository from wherever a gate calls it.
_OF_THE_HOOK = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)


def add_parser(subparsers: Subparsers) -> None:
    """Register `pre-push`."""
    parser = subparsers.add_parser(
        "pre-push",
        help="run the gates on what is about to be pushed, unless they have passed it",
        epilog="exit code: 0 PASS or nothing is pushed, 1 not green, 4 asked wrongly",
    )
    add_config(parser)
    parser.add_argument(
        "--family", action="append", default=[], metavar="NAME", help="only this family; repeatable; default: all"
    )
    parser.set_defaults(run=run_pre_push)


def run_pre_push(args: argparse.Namespace) -> int:
    """Let a push go on or not. Raises PolicyError, UsageError."""
    reviewed = policy.load(policy_file(args), option=CONFIG)
    families = tuple(args.family) or tuple(sorted(reviewed.sections))
    if unknown := sorted(set(families) - set(reviewed.sections)):
        raise UsageError(f"the policy has no family {', '.join(unknown)}", remedy=f"one of {_all(reviewed.sections)}")
    commits = pushed(os.environ, sys.stdin)
    if not commits:
        return _end("nothing is pushed", 0)
    if not _refusals(reviewed, families, commits):
        return _end(f"{_all(families)} passed, and nothing that the gates read has changed since: not run again", 0)
    run_id = f"pre-push-{uuid.uuid4().hex[:12]}"
    code = _run_gates(reviewed, families, run_id)
    refusals = _refusals(reviewed, families, commits, run_id)
    for each in refusals:
        sys.stdout.write(f"refused: {plain(str(each))}\n")
    if code or refusals:
        return _end("NOT pushed", 1)
    return _end(f"{_all(families)} passed", 0)


def pushed(environment: Mapping[str, str], told: TextIO) -> list[str]:
    """The commits that are about to be pushed: as pre-commit says, else as git tells a hook, else HEAD.

    A deleted branch pushes none. Raises UsageError for lines that git would not write.
    """
    if named := environment.get(PRE_COMMIT):
        return [named]
    lines = [] if told.isatty() else [line.split() for line in told.read().splitlines() if line.strip()]
    if not lines:
        return ["HEAD"]
    if any(len(words) != 4 for words in lines):
        raise UsageError("standard input is not what git tells a pre-push hook", remedy="run it without input")
    return list(dict.fromkeys(words[1] for words in lines if words[1].strip("0")))


def _refusals(reviewed: Policy, families: tuple[str, ...], commits: list[str], run_id: str = "") -> list[Refusal]:
    """Why the records are no evidence for every one of `commits`."""
    path = Path(environ.report_dir() or reviewed.root / environ.REPORTS) / record.FILE_NAME
    try:
        run = record.load(path)
    except RecordError as error:
        what, fix = error.message.removeprefix(f"{path}: "), error.remedy or "run the gates again"
        return [Refusal("unreadable", str(path), what, fix)]
    found = judge(run, reviewed, Question(time.time(), run_id, families))
    if not found:
        found = [each for revision in commits for each in commit.judge(run, reviewed, revision)]
    return found


def _run_gates(reviewed: Policy, families: tuple[str, ...], run_id: str) -> int:
    command = [sys.executable, "-m", "pytest", "-q", f"--rootdir={reviewed.root}", "-m", " or ".join(families)]
    environment = {name: value for name, value in os.environ.items() if name not in _OF_THE_HOOK}
    environment[environ.RUN_ID] = run_id
    sys.stdout.flush()
    # Not by core.process: the gates need this user's whole environment, and are watched as they run.
    return subprocess.call(
        [*command, str(reviewed.folder)], cwd=reviewed.root, env=environment, stdin=subprocess.DEVNULL
    )


def _all(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _end(said: str, code: int) -> int:
    sys.stdout.write(f"pixgates pre-push: {said}\n")
    return code
