"""`pixgates prove`: puts defects, one at a time, into a copy of the repository; each must be caught by its gate."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pixgates.cli.arguments import CONFIG, add_config, add_report_dir, named, policy_file, report_dir
from pytest_pixgates.core import files, git, policy, process
from pytest_pixgates.core.errors import NotMeasured, PixgatesError, PolicyError, UsageError
from pytest_pixgates.core.policy import Policy

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers
    from pytest_pixgates.prove.catalogue import Case, Catalogue
    from pytest_pixgates.prove.matrix import Matrix

JSON, HTML = "prove.json", "prove.html"


def add_parser(subparsers: Subparsers) -> None:
    """Register `prove`."""
    parser = subparsers.add_parser(
        "prove",
        help="put defects into a copy of the repository, one at a time; each must be caught by its gate",
        epilog="exit code: 0 all caught and all variations green, 1 a survivor or a red variation, 3 something could "
        "not be judged, 4 asked wrongly, 5 nothing to try",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="only these defects, variations or areas; default: all"
    )
    add_config(parser)
    add_report_dir(parser)
    parser.add_argument("--since", type=named, metavar="REV", help="only what is near a change since this revision")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many, drawn by --seed from every area")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the sample; default: 0")
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="so many at a time; default: one for each core, 4 at most"
    )
    parser.add_argument("--no-generic", action="store_true", help="only the repository's own, not those that ship")
    parser.add_argument("--no-cache", action="store_true", help="measure again whatever is cached")
    parser.add_argument("--list", action="store_true", help="say what would be tried, and try nothing")
    parser.add_argument("-v", "--verbose", action="store_true", help="also name what was caught, and how")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    parser.set_defaults(run=run_prove)


def run_prove(args: argparse.Namespace) -> int:
    """Try what is selected, write the matrix, and say what it shows. Raises PolicyError, UsageError, PixgatesError."""
    from pytest_pixgates.prove import catalogue, matrix

    reviewed = policy.load(policy_file(args), option=CONFIG)
    known = catalogue.load(catalogue.files(reviewed.folder, generic=not args.no_generic))
    cases = _selected(args, known, reviewed)
    if not cases:
        sys.stderr.write("pixgates prove: nothing is selected, so nothing is proven\n")
        return matrix.NOTHING
    if args.list:
        sys.stdout.write("".join(f"{case.kind:<9} {case.area}/{case.name}: {case.why}\n" for case in cases))
        return matrix.PASSED
    try:
        return _round(args, known, reviewed, cases)
    except (PolicyError, UsageError):
        raise
    except PixgatesError as error:  # not 1, which says that something survived
        sys.stderr.write(f"pixgates prove: {error}\n")
        return matrix.NOT_JUDGED


def _round(args: argparse.Namespace, known: Catalogue, reviewed: Policy, cases: Sequence[Case]) -> int:
    folder = report_dir(args, reviewed)
    found = dataclasses.replace(
        _proven(args, reviewed, known, cases, folder),
        selection=_selection(args, cases, known),
        commit=_head(reviewed.root),
    )
    _write(found, folder)
    _show(found, args, folder)
    return found.exit_code


def _selected(args: argparse.Namespace, known: Catalogue, reviewed: Policy) -> tuple[Case, ...]:
    from pytest_pixgates.prove import catalogue

    if args.sample is not None and args.sample < 1:
        raise UsageError("--sample must be at least 1", remedy="leave it out for all")
    if args.jobs is not None and args.jobs < 1:
        raise UsageError("--jobs must be at least 1", remedy="leave it out for one for each core")
    changed = _changed(reviewed.root, args.since) if args.since else None
    # What judges decides everything: with another policy every defect may come out otherwise.
    if changed is not None and _policy_changed(changed, reviewed):
        changed = None
    cases = catalogue.selected(known, names=args.names, changed=changed)
    return catalogue.sampled(cases, args.sample, args.seed) if args.sample else cases


def _changed(root: Path, revision: str) -> list[str]:
    """The files that differ from `revision`, and those that git does not know yet. Raises UsageError, PixgatesError."""
    try:
        since = git.commit(root, revision)
    except NotMeasured as error:
        raise UsageError(error.message, remedy="name a commit, a branch or a tag that is here") from None
    told = []
    for command in (
        ["diff", "--name-only", "--relative", "-z", since],
        ["ls-files", "--others", "--exclude-standard", "-z"],
    ):
        done = git.call(root, *command)
        if done.returncode != 0:
            raise PixgatesError(f"git {command[0]} failed: {done.tail(2)}")
        told += [name for name in done.stdout.split("\0") if name]
    return told


def _policy_changed(changed: Sequence[str], reviewed: Policy) -> bool:
    from pytest_pixgates.prove.catalogue import FOLDER

    folder = reviewed.folder.relative_to(reviewed.root).as_posix()
    reviewed_files = [name for name in changed if name.startswith(f"{folder}/")]
    return any(not name.startswith((f"{folder}/{FOLDER}/", f"{folder}/contracts/")) for name in reviewed_files)


def _proven(
    args: argparse.Namespace, reviewed: Policy, known: Catalogue, cases: Sequence[Case], folder: Path
) -> Matrix:
    from pytest_pixgates.prove.prove import Settings, prove

    work = Path(tempfile.mkdtemp(prefix="pixgates-prove-"))
    try:
        jobs = args.jobs or min(process.cores(), 4)
        settings = Settings(work, jobs, cache=not args.no_cache, tell=_tell, known=_durations(folder))
        return prove(reviewed, known, cases, settings)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _durations(folder: Path) -> dict[str, float]:
    """How long each took in the last round, if one was kept: only for the estimate."""
    from pytest_pixgates.prove import matrix

    try:
        rows = matrix.loads((folder / JSON).read_bytes()).rows
        return {row.name: row.seconds for row in rows if row.status.good}
    except (OSError, PixgatesError):
        return {}


def _head(root: Path) -> str:
    try:
        return git.commit(root, git.HEAD)
    except PixgatesError:
        return ""


def _selection(args: argparse.Namespace, cases: Sequence[Case], known: Catalogue) -> str:
    parts = [
        f"named {' '.join(args.names)}" if args.names else "",
        f"near what changed since {args.since}" if args.since else "",
        f"a sample of {args.sample} with seed {args.seed}" if args.sample else "",
    ]
    return f"{len(cases)} of {len(known.cases)}: {'; '.join(filter(None, parts))}" if any(parts) else "all"


def _write(found: Matrix, folder: Path) -> None:
    from pytest_pixgates.prove import matrix
    from pytest_pixgates.report.text import duration, plain

    fresh = not folder.exists()
    try:
        files.write_atomically(folder / JSON, matrix.dumps(found))
        files.write_atomically(
            folder / HTML, matrix.page(found, list(matrix.lines(found, duration=duration, plain=plain)))
        )
        if fresh:
            files.write_atomically(folder / ".gitignore", "*\n")
    except OSError as error:
        raise PixgatesError(
            f"{folder}: the matrix can't be written: {error.strerror}", remedy="make it writable"
        ) from None


def _show(found: Matrix, args: argparse.Namespace, folder: Path) -> None:
    from pytest_pixgates.prove import matrix
    from pytest_pixgates.report import terminal
    from pytest_pixgates.report.text import duration, plain

    if args.json:
        sys.stdout.write(matrix.dumps(found))
        return
    color = terminal.use_color(sys.stdout, os.environ)
    for line in matrix.lines(found, duration=duration, plain=plain, color=color, wide=args.verbose):
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(f"{folder / HTML}\n")
