"""Whether what gates judged is what a commit holds: files are judged, but a commit is what goes out.

A change that was never committed, a file that git ignores or was told to overlook could each turn a gate green here and
be missing there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_pixgates.core import files, git
from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.record import Run
from pytest_pixgates.core.refusal import Refusal

# What tells pytest how to run the gates, beside the folder of the policy.
STEERING = ("conftest.py", "pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
_SHOWN = 5
# What Terraform leaves beside its sources and reads as no source. Not `x.tfstate.auto.tfvars`, which it reads.
_LEFT = re.compile(r"\.(tfplan|tfstate(\.(\d+\.)?backup|\.lock\.info)?)$")


def judge(run: Run, policy: Policy, revision: str) -> list[Refusal]:
    """Every reason why `run`, which was on the files here, says nothing about the commit `revision`."""
    judged = {subject.name for record in run.records for subject in record.subjects if subject.kind != "content"}
    own = policy.folder.relative_to(policy.root).as_posix()
    fix = "commit it or put it away (git stash --include-untracked), then run the gates again"
    try:
        found = sorted(set(differing(policy.root, revision, [*sorted(judged), own, *STEERING])))
    except NotMeasured as error:
        return [Refusal("other-commit", revision, error.message, error.remedy)]
    refusals = [Refusal("other-commit", name, f"is not what {revision[:12]} holds", fix) for name in found[:_SHOWN]]
    if more := len(found) - _SHOWN:
        refusals += [Refusal("other-commit", f"{more} more", f"are not what {revision[:12]} holds", fix)] * (more > 0)
    return refusals


def differing(root: Path, revision: str, paths: Sequence[str]) -> Iterator[str]:
    """The files below `paths` that are not in `root` as they are in `revision`. Raises NotMeasured."""
    if any("\0" in path for path in paths):
        raise NotMeasured("the name of a subject holds a NUL, which no file's does", remedy="run the gates again")
    sha, below = git.commit(root, revision, "name one that is here, or fetch it"), ("--", *paths)
    options = ("--no-ext-diff", "--no-renames", "--ignore-submodules=none", "--name-only", "--relative", "-z")
    yield from _names(root, "diff", *options, sha, *below)
    ignored = set(_names(root, "ls-files", "--others", "--ignored", "--exclude-standard", "-z", *below))
    for name in _names(root, "ls-files", "--others", "-z", *below):
        # A file that is ignored, and judged by its own name, is data that was never meant for a commit.
        if not files.made_by_tools(Path(name)) and not (name in ignored and (name in paths or _LEFT.search(name))):
            yield name
    for entry in _names(root, "ls-files", "-v", "-z", *below):
        flag, _, name = entry.partition(" ")
        if flag.islower() or flag == "S":  # assume-unchanged, skip-worktree: diff would say nothing of it
            yield name


def _names(root: Path, *arguments: str) -> list[str]:
    done = git.call(root, *arguments)
    if done.returncode:
        raise NotMeasured(f"git {arguments[0]} failed: {done.tail(1)}", remedy="mend the repository")
    return [name for name in done.stdout.split("\0") if name]
