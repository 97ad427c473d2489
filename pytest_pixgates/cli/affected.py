"""`pixgates affected`: which families a pull request has to run, so that it need not wait for all of them.

It narrows what runs before a merge, never what counts as evidence: that is asked for by `pixgates verify`.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from pytest_pixgates.cli.arguments import CONFIG, add_config, add_report_dir, named, policy_file, report_dir
from pytest_pixgates.core import affected, policy, record

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers
    from pytest_pixgates.core.policy import Policy


def add_parser(subparsers: Subparsers) -> None:
    """Register `affected`."""
    parser = subparsers.add_parser(
        "affected",
        help="say which families a change can alter the verdict of",
        epilog="exit code: 0 told, 1 can't be told (then run all), or --check found [affects] untrue; 4 asked wrongly",
    )
    add_config(parser)
    add_report_dir(parser)
    since = parser.add_mutually_exclusive_group()
    since.add_argument(
        "--since", type=named, metavar="REV", help="the branch that the change goes to; default: as for the baseline"
    )
    since.add_argument("--all", action="store_true", help="all that the policy has, whatever changed")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print a list of names instead")
    how.add_argument("--github", type=named, metavar="NAME", help="print it as NAME=[…], for $GITHUB_OUTPUT")
    how.add_argument(
        "--check", action="store_true", help="hold [affects] against what the last run read, as its records say"
    )
    parser.set_defaults(run=run_affected)


def run_affected(args: argparse.Namespace) -> int:
    """Print the families, and to standard error why each. Raises PixgatesError where it can't be told."""
    reviewed = policy.load(policy_file(args), option=CONFIG)
    if args.check:
        return _check(args, reviewed)
    found = list(reviewed.sections) if args.all else _found(args, reviewed)
    said = json.dumps(found) if args.json or args.github else "\n".join(found)
    sys.stdout.write(f"{args.github}={said}\n" if args.github else f"{said}\n" if said else "")
    return 0


def _found(args: argparse.Namespace, reviewed: Policy) -> list[str]:
    names = affected.changed(reviewed.root, args.since or reviewed.target)
    found = affected.families(reviewed, names)
    for family, name in found.items():
        sys.stderr.write(f"{family}: {name}\n")
    if not found:
        sys.stderr.write(f"none: {len(names)} changed files affect no gate\n")
    return list(found)


def _check(args: argparse.Namespace, reviewed: Policy) -> int:
    run = record.load(report_dir(args, reviewed) / record.FILE_NAME)
    found = list(affected.untrue(reviewed, run))
    for each in found:
        sys.stdout.write(f"untrue: {each}\n")
    sys.stdout.write(f"pixgates affected: [affects] is {'NOT true' if found else 'true'} of run {run.id}\n")
    return 1 if found else 0
