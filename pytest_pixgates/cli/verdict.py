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
from typing import TYPE_CHECKING

from pytest_pixgates.cli.arguments import CONFIG, add_config, add_report_dir, named, policy_file, report_dir, seconds
from pytest_pixgates.core import commit, environ, policy, quantity, record
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.policy import DEFAULT_MAX_AGE, Policy
from pytest_pixgates.core.record import RecordError, Run
from pytest_pixgates.core.refusal import Question, Refusal, judge
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.report import terminal
from pytest_pixgates.report.text import plain

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers

PASSED, NOT_GREEN, NEVER_CLOSED, NO_RECORDS = 0, 1, 2, 5  # 4 is a usage error, as everywhere


def add_parser(subparsers: Subparsers) -> None:
    """Register `verdict`."""
    parser = subparsers.add_parser(
        "verdict",
        help="say whether the last run is fresh, complete evidence for what is here now",
        epilog="exit code: 0 PASS, 1 not green, 2 the run never closed, 4 asked wrongly, 5 no records",
    )
    add_report_dir(parser)
    add_config(parser)
    parser.add_argument("--env", type=named, metavar="NAME", help="the environment that is asked for")
    parser.add_argument("--run-id", type=named, metavar="ID", help=f"default: ${environ.RUN_ID}")
    parser.add_argument(
        "--family",
        type=named,
        action="append",
        default=[],
        metavar="NAME",
        help="ask for this family only; repeatable",
    )
    parser.add_argument(
        "--max-age", type=seconds, metavar="AGE", help=f"such as 30m; default: the environment's, or {DEFAULT_MAX_AGE}"
    )
    parser.add_argument(
        "--commit", type=named, metavar="REV", help="also ask whether what was judged is what this commit holds"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    parser.set_defaults(run=run_verdict)


def run_verdict(args: argparse.Namespace) -> int:
    """Print the verdict and why. Raises PolicyError, UsageError."""
    reviewed = policy.load(policy_file(args), environment=args.env or "", option=CONFIG)
    run_id, path = args.run_id or environ.run_id(), report_dir(args, reviewed) / record.FILE_NAME
    try:
        run = record.load(path)
    except RecordError as error:
        what, fix = error.message.removeprefix(f"{path}: "), error.remedy or "run the gates again"
        _show(None, [Refusal("unreadable", plain(str(path)), plain(what), fix)], args)
        return NOT_GREEN if os.path.lexists(path) else NO_RECORDS
    question = Question(time.time(), run_id, tuple(args.family), _max_age(args, run, reviewed))
    refusals = judge(run, reviewed, question)
    if args.commit:
        refusals += commit.judge(run, reviewed, args.commit)
    _show(run, refusals, args)
    if run.status != "closed":
        return NEVER_CLOSED
    return NOT_GREEN if refusals else PASSED


def _max_age(args: argparse.Namespace, run: Run, reviewed: Policy) -> float | None:
    """The shorter of what is asked for and, where no environment is, what that of the run allows."""
    judged_for = None if args.env else reviewed.environments.get(run.environment)
    ages = [args.max_age] if args.max_age is not None else []
    return min([*ages, *([quantity.seconds(judged_for.max_age)] if judged_for else [])], default=None)


def verdict_of(run: Run | None, refusals: list[Refusal]) -> Outcome:
    """PASS without refusals; else what the run says, and ERROR if that is PASS: nothing shows what is asked."""
    if not refusals:
        return Outcome.PASS
    return run.outcome if run and not run.outcome else Outcome.ERROR


def _show(run: Run | None, refusals: list[Refusal], args: argparse.Namespace) -> None:
    outcome = verdict_of(run, refusals)
    if args.json:
        sys.stdout.write(_document(outcome, run, refusals))
        return
    lines = []
    if run is not None:
        color = terminal.use_color(sys.stdout, os.environ)
        lines += terminal.summary(run, color=color, width=shutil.get_terminal_size((120, 24)).columns)
    lines += [f"refused: {plain(str(refusal))}" for refusal in refusals]
    sys.stdout.write("\n".join([*lines, f"pixgates verdict: {outcome.value}"]) + "\n")


def document_of(error: PixgatesError) -> str:
    """The JSON document for an answer that `error` kept from being given."""
    return _document(Outcome.ERROR, None, [Refusal("usage", "pixgates verdict", error.message, error.remedy)])


def _document(outcome: Outcome, run: Run | None, refusals: list[Refusal]) -> str:
    reasons = [{"rule": each.rule, "where": each.where, "what": each.what, "fix": each.fix} for each in refusals]
    document = {"verdict": outcome.value, "run": run.id if run else None, "refusals": reasons}
    return json.dumps(document, indent=1) + "\n"
