"""What git knows of commits, such as a file as it was where a branch left the one that it goes back to.

Asked with nothing of this process's environment that could point git elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from pytest_pixgates.core.errors import NotMeasured, ToolMissing
from pytest_pixgates.core.process import Completed, run

_TIMEOUT = 60.0  # seconds
# Replacement objects would let a clone rewrite its own past.
_ENVIRONMENT = {"LC_ALL": "C", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
_FETCH = "fetch it with its whole history (git fetch --unshallow; actions/checkout: fetch-depth: 0)"
_HISTORY = f"{_FETCH}, and name the branch that changes go to: `target` in [pixgates] of the policy, or PIXGATES_TARGET"
HEAD = "HEAD"
DEFAULT_TARGETS = ("origin/HEAD", "origin/main", "origin/master")


def merge_base(folder: Path, target: str) -> str:
    """The commit from which both HEAD and `target` of the repository around `folder` come.

    Raises NotMeasured without a repository, without that target, and where too little of the history is there to tell.
    """
    shallow = _said(folder, "rev-parse", "--is-shallow-repository") == "true"
    head, there = commit(folder, HEAD), commit(folder, target)
    done = call(folder, "merge-base", head, there)
    base = done.stdout.strip()
    # A cut history may hide the nearest common commit behind an older one, but not that one side holds the other.
    if done.returncode == 0 and base and (not shallow or base in (head, there)):
        return base
    if shallow:
        raise NotMeasured(f"this clone is shallow, so where it left {target} is not known", remedy=_HISTORY)
    raise NotMeasured(f"HEAD and {target} have no common history{_why(done)}", remedy=_HISTORY)


def has_remotes(folder: Path) -> bool:
    """Whether the repository around `folder` knows a branch of any other. Raises NotMeasured without a repository."""
    return bool(_said(folder, "for-each-ref", "--count=1", "refs/remotes"))


def default_target(folder: Path) -> str:
    """The branch that changes go to unless one is named: the remote's own, or where no clone has noted that, its main.

    Raises NotMeasured without a repository.
    """
    known = _said(folder, "for-each-ref", "--format=%(refname)", "refs/remotes/origin").split()
    return next((each for each in DEFAULT_TARGETS if f"refs/remotes/{each}" in known), DEFAULT_TARGETS[0])


def parent(folder: Path) -> str:
    """The id of the commit before HEAD, "" if HEAD is the first. Raises NotMeasured without a repository."""
    ids = _said(folder, "rev-list", "--max-count=1", "--parents", HEAD).split()
    return ids[1] if ids[1:] else ""


def commit(folder: Path, revision: str, remedy: str = _HISTORY) -> str:
    """The id of the commit that `revision` names. Raises NotMeasured."""
    done = call(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if done.returncode != 0:
        raise NotMeasured(f"git knows no commit {revision!r} here", remedy=remedy)
    return done.stdout.strip()


def file_at(folder: Path, revision: str, name: str) -> str | None:
    """The text of the file `name` in `folder` as `revision` has it, None if it has none. Raises NotMeasured."""
    if not _said(folder, "ls-tree", revision, "--", name):
        return None
    return _said(folder, "show", f"{revision}:./{name}", strip=False)


def _said(folder: Path, *arguments: str, strip: bool = True) -> str:
    done = call(folder, *arguments)
    if done.returncode != 0:
        raise NotMeasured(f"git {arguments[0]} failed in {folder}{_why(done)}", remedy=_HISTORY)
    return done.stdout.strip() if strip else done.stdout


def call(folder: Path, *arguments: str) -> Completed:
    """git with `arguments` in `folder`, however it ends. Raises NotMeasured if it can't be run."""
    try:
        return run(("git", "--literal-pathspecs", *arguments), cwd=folder, timeout=_TIMEOUT, env=_ENVIRONMENT)
    except ToolMissing as error:
        raise ToolMissing(error.message, remedy="install git: it knows what a change started from") from None


def _why(done: Completed) -> str:
    said = done.tail(1)
    return f": {said}" if said else ""
