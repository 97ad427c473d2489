"""`pixgates init`: a first policy for a repository that has none, with what goes beside it; never overwrites.

What it writes is read back by the policy's own reader first. No limit that it proposes passes by itself: a machine's
guess must not become a promise that nobody made.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pixgates.core import environ, files, policy
from pytest_pixgates.core.errors import NotMeasured, PixgatesError, UsageError
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.report.text import counted, plain

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers
    from pytest_pixgates.start.look import Found
    from pytest_pixgates.start.policy import Proposed

_BY_HAND = "write gates/gates.toml: docs/policy.md"
_LOOKED_FOR = "Terraform, Kubernetes manifests, Dockerfiles, tables of data, a table of scores, a web application"


@dataclass(frozen=True, slots=True)
class File:
    """A file to write. `instead` says what to do where one of that name is there already."""

    name: str
    text: str
    instead: str = ""


def add_parser(subparsers: Subparsers) -> None:
    """Register `init`."""
    parser = subparsers.add_parser(
        "init",
        help="propose gates for a repository: policy, draft contracts, workflow, pre-push hook",
        epilog="exit code: 0 done, or nothing to do; 1 nothing to judge was found; 4 asked wrongly",
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="the repository (default: here)"
    )
    parser.add_argument("--dry-run", action="store_true", help="write nothing, show a diff")
    parser.set_defaults(run=run_init)


def run_init(args: argparse.Namespace) -> int:
    """Write what is not there yet. Raises PixgatesError."""
    from pytest_pixgates.start import look, measure
    from pytest_pixgates.start.policy import propose

    root = args.folder.resolve()
    if not root.is_dir():
        raise UsageError(f"{args.folder} is no folder", remedy="name the folder of the repository")
    say = sys.stderr.write if args.dry_run else sys.stdout.write  # a diff is for `git apply`
    if os.path.lexists(root / environ.POLICY):
        reviewed = policy.load(root / environ.POLICY)
        wanted, families = [], list(reviewed.sections)
        say(f"kept    {environ.POLICY}: there is a policy already\n")
    else:
        found = look.look(root)
        scores = measure.find(found.tables, root)
        proposed = propose(found, scores, root)
        if not proposed:
            raise NotMeasured(f"{root} holds nothing to judge; looked for {_LOOKED_FOR}", remedy=_BY_HAND)
        reviewed = _accepted(proposed, root)
        wanted, families = list(_of_policy(proposed, root, say)), list(proposed.families)
        for family, told in proposed.families.items():
            say(f"found   {family:<14} {plain(told)}\n")
        _warn(found, say)
    wanted += _beside(root, reviewed, families, say)
    written = [each for each in wanted if _offer(each, root, dry=args.dry_run, say=say)]
    if written and not args.dry_run:
        _next(root, reviewed, families)
    return 0


def _accepted(proposed: Proposed, root: Path) -> Policy:
    """The proposed policy as its reader takes it. Raises PolicyError, which would be our fault."""
    with tempfile.TemporaryDirectory(prefix="pixgates-init-") as scratch:
        path = Path(scratch, "gates", environ.POLICY.name)
        path.parent.mkdir()
        path.write_text(proposed.text, encoding="utf-8")
        read = policy.load(path)
        for family in proposed.families:
            read.settings(family, _settings(family))
    return Policy(root / environ.POLICY, root, proposed.text, read.general, read.environments, sections=read.sections)


def _settings(family: str) -> type:
    from pytest_pixgates.plugin import pytest_pixgates_families

    return next(each.settings() for each in pytest_pixgates_families() if each.name == family)


def _of_policy(proposed: Proposed, root: Path, say: Callable[[str], object]) -> Iterator[File]:
    from pytest_pixgates.start.policy import CONTRACTS, REQUESTS

    yield File(environ.POLICY.as_posix(), proposed.text)
    for name, path in proposed.data.items():
        contract = CONTRACTS.format(name)
        command = f"pixgates contract suggest {path} --name {name} --out {contract}"
        try:
            from pytest_pixgates.data_contract.suggest import suggest

            yield File(contract, suggest(path, root, name))
        except ImportError:
            say(f"later   {contract}: pip install 'pytest-pixgates[data]', then {plain(command)}\n")
        except PixgatesError as error:
            say(f"later   {contract}: {plain(path)} can't be read ({plain(error.message)}); then {plain(command)}\n")
    if proposed.requests:
        yield File(REQUESTS, "{}\n")


def _warn(found: Found, say: Callable[[str], object]) -> None:
    from pytest_pixgates.start.policy import MOST_DATA

    if found.charts:
        say(f"left    {plain(', '.join(found.charts))}: Helm charts are not judged; gate what they render\n")
    if len(found.tables) > MOST_DATA:
        say(f"left    {len(found.tables) - MOST_DATA} more tables of data: declare those that matter\n")


def _beside(root: Path, reviewed: Policy, families: list[str], say: Callable[[str], object]) -> list[File]:
    """The workflow and the hook, where `root` is what git has cloned; a folder inside of it has none of its own."""
    from pytest_pixgates.start import beside

    top = next((each for each in (root, *root.parents) if os.path.lexists(each / ".git")), root)
    if top != root:
        say(f'left    workflow and hook: they belong into {plain(str(top))}, see "several products" in the README\n')
        return []
    workflow = beside.workflow(families, _tools(reviewed), _own(root), _branch(root))
    return [
        File(beside.WORKFLOW, workflow, "add to yours: pytest gates, then pixgates verdict"),
        File(beside.HOOKS, beside.hooks(), f"add to its repos:\n{beside.HOOK}"),
    ]


def _tools(reviewed: Policy) -> list[str]:
    from pytest_pixgates.cli.needs import tools_of
    from pytest_pixgates.infra.policy import InfraPolicy

    infra = reviewed.settings("infra", InfraPolicy) if "infra" in reviewed.sections else None
    return [spec.name for spec in tools_of(reviewed, infra)]


def _own(root: Path) -> str:
    """What pip installs of the repository itself, for gates that run its code."""
    if (root / "requirements.txt").is_file():
        return "-r requirements.txt"
    project = root / "pyproject.toml"
    return "." if project.is_file() and "[project]" in project.read_text(encoding="utf-8", errors="replace") else ""


def _branch(root: Path) -> str:
    """The branch that changes go to, as this clone knows it."""
    from pytest_pixgates.core import git

    try:
        known = git.call(root, "symbolic-ref", "--short", "refs/remotes/origin/HEAD").stdout.strip()
        here = git.call(root, "symbolic-ref", "--short", "HEAD").stdout.strip()
    except PixgatesError:
        return "main"
    name = known.removeprefix("origin/") or here or "main"
    return name if all(each.isalnum() or each in "/_.-" for each in name) else "main"


def _offer(file: File, root: Path, *, dry: bool, say: Callable[[str], object]) -> bool:
    """Write `file`, or show it; not if something of that name is there. Whether it was, or would be, written."""
    path = root / file.name
    if not os.path.lexists(path):
        if dry:
            sys.stdout.writelines(_diff(file))
            return True
        if _written(path, file):
            lines = counted(file.text.count("\n"), "line")
            say(f"wrote   {file.name} ({lines})\n")
            return True
    say(f"kept    {file.name}{': ' if file.instead else ''}{file.instead.rstrip()}\n")
    return False


def _written(path: Path, file: File) -> bool:
    try:
        return files.write_new(path, file.text)
    except OSError as error:
        where = error.filename or path
        raise PixgatesError(
            f"{where}: {error.strerror}", remedy="see that it can be written, and run this again"
        ) from None


def _diff(file: File) -> Iterable[str]:
    head = [f"diff --git a/{file.name} b/{file.name}\n", "new file mode 100644\n"]
    lines = difflib.unified_diff([], file.text.splitlines(keepends=True), "/dev/null", f"b/{file.name}")
    return [*head, *lines]


def _next(root: Path, reviewed: Policy, families: list[str]) -> None:
    """What to do now, in order."""
    import importlib.util

    from pytest_pixgates.cli.needs import MODULES
    from pytest_pixgates.start import beside

    steps = []
    if any(not importlib.util.find_spec(name) for each in families for name in MODULES.get(each, ("", ()))[1]):
        steps.append(f"pip install {beside.requirement(families)}")
    if tools := _tools(reviewed):
        steps.append(f"pixgates tools install {' '.join(tools)}")
    steps += ["pixgates doctor", "pytest gates && pixgates verdict"]
    where = "" if root == Path.cwd() else f" in {plain(str(root))}"
    sys.stdout.write(f"next{where}, after you have read what says REVIEW in {environ.POLICY}:\n")
    sys.stdout.writelines(f"        {step}\n" for step in steps)
