"""`pixgates approve`: a person signs for an exception, in a process of its own: nothing else should meet the key."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pixgates.cli.arguments import CONFIG, add_config, add_key, named, policy_file, private_key

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers

SIGNED, REFUSED = 0, 1  # 4 is a usage error, as everywhere
PURPOSES = ("break-glass", "review")


def add_parser(subparsers: Subparsers) -> None:
    """Register `approve`."""
    parser = subparsers.add_parser(
        "approve",
        help="sign for an exception, as an owner of the policy's [[evidence.owners]]",
        epilog="exit code: 0 signed, 1 refused and nothing signed, 4 asked wrongly",
    )
    parser.add_argument("--env", type=named, required=True, metavar="NAME", help="where it is to go, or went")
    parser.add_argument("--purpose", choices=PURPOSES, required=True, help="what is approved")
    parser.add_argument("--about", type=named, required=True, metavar="TEXT", help="the one use, such as prod:7")
    parser.add_argument("--reason", type=named, required=True, help="why, or what was found")
    parser.add_argument(
        "--subject", type=named, action="append", required=True, metavar="NAME=WHAT", help="as for `pixgates verify`"
    )
    parser.add_argument("--accept", type=named, action="append", default=[], metavar="CODE", help="of a refusal")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: printed")
    add_key(parser)
    add_config(parser)
    parser.set_defaults(run=run_approve)


def run_approve(args: argparse.Namespace) -> int:
    """Write the approval, or say why it would not count. Raises PolicyError, UsageError."""
    key = private_key(args)
    from pytest_pixgates.core import files, policy
    from pytest_pixgates.core.errors import PixgatesError
    from pytest_pixgates.evidence import statement, subjects
    from pytest_pixgates.evidence.approval import Claims, Purpose, approve
    from pytest_pixgates.report.text import plain

    reviewed = policy.load(policy_file(args), environment=args.env, option=CONFIG)
    claims = Claims(
        purpose=Purpose(args.purpose),
        environment=args.env,
        about=args.about,
        reason=args.reason,
        at=statement.stamp(time.time()),
        accepts=tuple(sorted(set(args.accept))),
    )
    text, refusals = approve(subjects.asked(args.subject, reviewed.root), claims, reviewed, key)
    for each in refusals:
        sys.stderr.write(f"refused ({each.rule}): {plain(str(each))}\n")
    if refusals:
        sys.stderr.write("pixgates approve: NOT signed\n")
        return REFUSED
    if args.out is None:
        sys.stdout.write(text)
        return SIGNED
    try:
        files.write_atomically(args.out, text)
    except OSError as error:
        raise PixgatesError(
            f"{args.out} can't be written: {error.strerror}", remedy="name another with --out"
        ) from None
    return SIGNED
