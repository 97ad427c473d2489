"""`pixgates verdict`: whether the last run is evidence for what is here now. Pipelines and hooks end with it.

A process can't notice that it was killed, or that its records are yesterday's; this second one can.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pixgates.core import environ, policy, quantity, record
from pytest_pixgates.core.record import RecordError, Run
from pytest_pixgates.core.refusal import DEFAULT_MAX_AGE, Question, Refusal, judge
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.report import terminal
from pytest_pixgates.report.text import plain

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

PASSED, NOT_GREEN, NEVER_CLOSED, NO_RECORDS = 0, 1, 2, 5  # 4 is a usage error, as everywhere


def add_parser(subparsers: Subparsers) -> None:
    """Register `verdict`."""
    parser = subparsers.add_parser(
        "verdict",
        help="say whether the last run is fresh, complete evidence for what is here now",
        epilog="exit code: 0 PASS, 1 not green, 2 the run never closed, 4 asked wrongly, 5 no records",
    )
    default = environ.report_dir() or environ.REPORTS
    parser.add_argument("--report-dir", type=Path, default=Path(default), metavar="DIR", help=f"default: {default}")
    parser.add_argument(
        "--config", type=Path, default=environ.POLICY, metavar="FILE", help=f"default: {environ.POLICY}"
    )
    parser.add_argument("--env", type=_named, metavar="NAME", help="the environment that is asked for")
    parser.add_argument(
        "--run-id", type=_named, default=environ.run_id() or None, metavar="ID", help=f"default: ${environ.RUN_ID}"
    )
    parser.add_argument(
        "--family",
        type=_named,
        action="append",
        default=[],
        metavar="NAME",
        help="ask for this family only; repeatable",
    )
    parser.add_argument(
        "--max-age", type=_seconds, metavar="AGE", help=f"such as 30m; default: the environment's, or {DEFAULT_MAX_AGE}"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    parser.set_defaults(run=run_verdict)


def run_verdict(args: argparse.Namespace) -> int:
    """Print the verdict and why. Raises PolicyError."""
    reviewed = policy.load(args.config, environment=args.env or "")
    question = Question(time.time(), args.run_id or "", tuple(args.family), args.max_age)
    path = args.report_dir / record.FILE_NAME
    try:
        run = record.load(path)
    except RecordError as error:
        fix = error.remedy or "run the gates again"
        _show(None, [Refusal("unreadable", plain(str(path)), plain(error.message), fix)], args)
        return NOT_GREEN if os.path.lexists(path) else NO_RECORDS
    refusals = judge(run, reviewed, question)
    _show(run, refusals, args)
    if run.status != "closed":
        return NEVER_CLOSED
    return NOT_GREEN if refusals else PASSED


def verdict_of(run: Run | None, refusals: list[Refusal]) -> Outcome:
    """PASS without refusals; else what the run says, and ERROR if that is PASS: nothing shows what is asked."""
    if not refusals:
        return Outcome.PASS
    return run.outcome if run and not run.outcome else Outcome.ERROR


def _show(run: Run | None, refusals: list[Refusal], args: argparse.Namespace) -> None:
    outcome = verdict_of(run, refusals)
    if args.json:
        reasons = [{"rule": each.rule, "where": each.where, "what": each.what, "fix": each.fix} for each in refusals]
        document = {"verdict": outcome.value, "run": run.id if run else None, "refusals": reasons}
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return
    lines = []
    if run is not None:
        color = terminal.use_color(sys.stdout, os.environ)
        lines += terminal.summary(run, color=color, width=shutil.get_terminal_size((120, 24)).columns)
    lines += [f"refused: {plain(str(refusal))}" for refusal in refusals]
    sys.stdout.write("\n".join([*lines, f"pixgates verdict: {outcome.value}"]) + "\n")


def _named(text: str) -> str:
    """A name that is not empty: an unset variable in a pipeline must not switch a check off."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; leave the option out or give it a value")
    return text


def _seconds(text: str) -> float:
    try:
        return quantity.seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
