"""`pixgates baseline`: adopts what the gates found when they came, and from then on only takes away what is gone.

It believes a run as far as `pixgates verdict` does, but for findings: they are what it is about.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pixgates.cli.arguments import CONFIG, add_config, add_report_dir, policy_file, report_dir
from pytest_pixgates.core import baseline, environ, files, known, policy, record, tolerance
from pytest_pixgates.core.baseline import Entry
from pytest_pixgates.core.errors import PixgatesError, UsageError
from pytest_pixgates.core.known import Known
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.record import Run
from pytest_pixgates.core.refusal import Question, judge
from pytest_pixgates.infra.policy import NEVER_OFF
from pytest_pixgates.report.text import counted, plain

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Register `baseline`."""
    parser = subparsers.add_parser(
        "baseline",
        help="adopt what the gates found when they came; later take away what is gone",
        epilog="exit code: 0 done, or nothing to do; 1 refused, or --check and something to do; 4 asked wrongly",
    )
    add_report_dir(parser)
    add_config(parser)
    text = f"how long adopted findings are known; default and latest: {tolerance.LONGEST.days} days from today"
    parser.add_argument("--expires", type=_date, metavar="YYYY-MM-DD", help=text)
    parser.add_argument("--check", action="store_true", help="say what would be done, and do nothing")
    parser.set_defaults(run=run_baseline)


def run_baseline(args: argparse.Namespace) -> int:
    """Write the baseline that the last run leaves of it. Raises PixgatesError."""
    reviewed = policy.load(policy_file(args), option=CONFIG)
    run = record.load(report_dir(args, reviewed) / record.FILE_NAME)
    reviewed = dataclasses.replace(reviewed, environment=run.environment)
    if refused := list(_refusals(run, reviewed)):
        sys.stdout.write("".join(f"refused: {plain(each)}\n" for each in refused))
        return 1
    path = reviewed.folder / baseline.FILE
    before, after = list(reviewed.baseline.entries if reviewed.baseline else ()), _entries(args, run, reviewed)
    lines = [plain(line) for line in _changes(before, after)]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    if not lines:
        sys.stdout.write(f"{path}: nothing to do, {counted(sum(each.count for each in after), 'finding')} known\n")
    elif not args.check:
        _write(path, after)
    return 1 if lines and args.check else 0


def _refusals(run: Run, reviewed: Policy) -> Iterator[str]:
    """Why `run` does not show what is found here, of everything that was asked."""
    question = Question(time.time(), environ.run_id(), run.families)
    yield from (str(each) for each in judge(run, reviewed, question) if each.rule != "not-passed")
    for each in filter(known.unmeasured, run.records):
        yield f"{each.gate}: not everything was measured: {each.reason}; mend it, then run the gates again"


def _entries(args: argparse.Namespace, run: Run, reviewed: Policy) -> list[Entry]:
    """What is to stand in the file after `run`. Raises UsageError, and PixgatesError where git can't tell."""
    knows, today, path = Known(reviewed), tolerance.today(), reviewed.folder / baseline.FILE
    if knows.before.adopting:
        expires = args.expires or today + tolerance.LONGEST
        if not today <= expires <= today + tolerance.LONGEST:
            raise UsageError(f"--expires {expires} is past, or later than {today + tolerance.LONGEST}")
        return [*knows.shrunk(run), *knows.adopted(run, NEVER_OFF, today, expires)]
    if args.expires:
        raise UsageError(f"--expires is for adopting, but there was a baseline at {knows.before} already")
    if reviewed.baseline is None:
        fix = f"if findings came back, restore it: git checkout {knows.before.at[:12]} -- {path}"
        raise PixgatesError(f"{path} is gone, and there was one at {knows.before}", remedy=fix)
    return knows.shrunk(run)


def _changes(before: Sequence[Entry], after: Sequence[Entry]) -> Iterator[str]:
    """A line for each entry that differs."""
    old, new = ({each.fingerprint: each for each in entries} for entries in (before, after))
    for key in sorted({*old, *new}, key=lambda each: (old.get(each) or new[each]).identity):
        if key not in new:
            yield f"- {old[key]}: {'expired' if old[key].expired else 'gone, or never counted'}"
        elif key not in old:
            yield f"+ {new[key]}: {new[key].count}, until {new[key].expires}"
        elif old[key] != new[key]:
            was, now = old[key], new[key]
            yield f"~ {now}: {was.count} -> {now.count}, until {now.expires}"


def _write(path: Path, entries: Sequence[Entry]) -> None:
    """Raises PixgatesError if it can't be written."""
    try:
        files.write_atomically(path, baseline.dumps(entries))
    except OSError as error:
        raise PixgatesError(f"{path}: {error.strerror}", remedy="make its folder writable") from None
    total = counted(sum(each.count for each in entries), "finding")
    sys.stdout.write(f"{path}: {total} known; commit it, then run the gates again\n")


def _date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
