"""Which families a change can alter the verdict of, by `[affects]` of the policy.

It fails closed: what the table does not name, and the folder of the policy itself, alters all. Whether the table is
true is asked of the records of a run, which say what each family really read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pytest_pixgates.core import git
from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.core.policy import Policy, matches
from pytest_pixgates.core.record import Run


def changed(root: Path, since: str) -> list[str]:
    """Every file that HEAD or the work tree has otherwise than where HEAD left `since`, as seen from `root`.

    One outside of `root` begins with "..". Raises NotMeasured where git can't tell.
    """
    base = git.merge_base(root, since)
    top = Path(_said(root, "rev-parse", "--show-toplevel").rstrip("\n"))
    inside = _said(root, "rev-parse", "--show-prefix").rstrip("\n")
    options = ("--name-only", "--no-renames", "--no-ext-diff", "--ignore-submodules=none", "-z", base)
    found = _names(top, "diff", *options) + _names(top, "diff", *options, git.HEAD)
    found += _names(top, "ls-files", "--others", "--exclude-standard", "-z")
    seen = (name.removeprefix(inside) if name.startswith(inside) else f"../{name}" for name in found)
    return sorted(set(seen))


def families(policy: Policy, names: Iterable[str]) -> dict[str, str]:
    """The families that changes of the files `names` affect, in the policy's order, each with the first that does."""
    found: dict[str, str] = {}
    for name in names:
        for family in by(policy, name):
            found.setdefault(family, name)
    return {family: found[family] for family in policy.sections if family in found}


def by(policy: Policy, name: str) -> frozenset[str]:
    """The families that a change of the file `name` affects."""
    own = policy.folder.relative_to(policy.root).as_posix()
    named = [families for pattern, families in policy.affects.items() if matches(name, pattern)]
    if not named or name == own or name.startswith(f"{own}/"):
        return frozenset(policy.sections)
    return frozenset(family for families in named for family in families)


def untrue(policy: Policy, run: Run) -> Iterator[str]:
    """What families read in `run` that the table says does not affect them. Raises NotMeasured."""
    read: Mapping[tuple[str, str], None] = dict.fromkeys(
        (record.family, subject.name)
        for record in run.records
        for subject in record.subjects
        if subject.kind != "content"
    )
    for family, subject in read:
        below = _names(policy.root, "ls-files", "-z", "--", subject) or [subject]
        wrong = [name for name in below if family not in by(policy, name)]
        if wrong and not _ignored(policy.root, subject):
            yield f"{family} reads {wrong[0]}, of which [affects] says that it does not affect it"


def _ignored(root: Path, name: str) -> bool:
    """Whether git never sees a change of it. Raises NotMeasured."""
    return git.call(root, "check-ignore", "--quiet", "--", name).returncode == 0


def _names(folder: Path, *arguments: str) -> list[str]:
    return [name for name in _said(folder, *arguments).split("\0") if name]


def _said(folder: Path, *arguments: str) -> str:
    done = git.call(folder, *arguments)
    if done.returncode:
        raise NotMeasured(f"git {arguments[0]} failed: {done.tail(1)}", remedy="mend the repository")
    return done.stdout
