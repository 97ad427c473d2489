"""`pixgates report`: makes the reports of the last run again, from its records."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pytest_pixgates.cli.arguments import CONFIG, add_config, add_report_dir, named, policy_file, report_dir
from pytest_pixgates.core import environ

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers

DONE, NO_RECORDS = 0, 5  # 1 could not be written, 4 asked wrongly, as everywhere


def add_parser(subparsers: Subparsers) -> None:
    """Register `report`."""
    parser = subparsers.add_parser(
        "report",
        help="make report.html, summary.md and results.sarif again from the records of the last run",
        epilog="exit code: 0 written, whatever the verdict, 1 not written, 4 asked wrongly, 5 no records",
    )
    add_report_dir(parser)
    add_config(parser)
    text = f"the records of the run to compare with; default: ${environ.AGAINST}, or the target's last in the history"
    parser.add_argument("--against", type=named, metavar="FILE", help=text)
    parser.set_defaults(run=run_report)


def run_report(args: argparse.Namespace) -> int:
    """Write the reports beside the records. Raises PolicyError, UsageError."""
    from pytest_pixgates import report
    from pytest_pixgates.core import policy, record
    from pytest_pixgates.core.errors import PixgatesError
    from pytest_pixgates.history import remember
    from pytest_pixgates.report.beside import gathered
    from pytest_pixgates.report.text import plain

    reviewed = policy.load(policy_file(args), option=CONFIG)
    folder = report_dir(args, reviewed)
    try:
        run = record.load(folder / record.FILE_NAME)
    except record.RecordError as error:
        sys.stderr.write(f"pixgates: {plain(error.message)}\n  fix: {plain(error.remedy or 'run the gates again')}\n")
        return NO_RECORDS
    past = remember.past(run, reviewed, folder, against=args.against or "")
    beside = gathered(run, reviewed.root, folder, past)
    try:
        written = report.write_reports(run, folder, beside)
    except OSError as error:
        raise PixgatesError(f"{folder}: {error.strerror}", remedy="make the folder one that can be written") from None
    for path in written[:3]:
        sys.stdout.write(f"{path}\n")
    sys.stdout.write(f"pixgates report: of a run that is {run.outcome.value}\n")
    return DONE
