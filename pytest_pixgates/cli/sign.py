"""`pixgates sign`: makes evidence of the last run, in a process and a job of its own, for code under test must not meet
the key.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pixgates.cli.arguments import (
    CONFIG,
    add_config,
    add_key,
    add_report_dir,
    named,
    policy_file,
    private_key,
    report_dir,
)
from pytest_pixgates.core import environ

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers
    from pytest_pixgates.core.record import Run
    from pytest_pixgates.evidence.sign import Signed

PASSED, REFUSED, FAILED = 0, 1, 3  # 4 is a usage error, as everywhere
_MOST_BYTES = 128 * 2**20


def add_parser(subparsers: Subparsers) -> None:
    """Register `sign`."""
    parser = subparsers.add_parser(
        "sign",
        help="sign what the last run showed, as evidence for `pixgates verify`",
        epilog="exit code: 0 signed as PASSED, 1 refused and nothing signed, 3 signed as FAILED, 4 asked wrongly",
    )
    add_report_dir(parser)
    add_config(parser)
    parser.add_argument(
        "--env", type=named, required=True, metavar="NAME", help="the environment that the run was judged for"
    )
    parser.add_argument("--run-id", type=named, metavar="ID", help=f"default: ${environ.RUN_ID}")
    parser.add_argument(
        "--subject",
        type=named,
        action="append",
        default=[],
        metavar="NAME=WHAT",
        help="also what goes out: PATH, sha256:HEX or git:REVISION; repeatable",
    )
    parser.add_argument("--part", action="store_true", help="other jobs sign the rest of what the environment requires")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: evidence.dsse.json beside the records")
    add_key(parser)
    parser.set_defaults(run=run_sign)


def run_sign(args: argparse.Namespace) -> int:
    """Write the evidence, or say why there is none. Raises PolicyError, UsageError."""
    key = private_key(args)
    from pytest_pixgates.core import files, policy, record
    from pytest_pixgates.core.errors import PixgatesError
    from pytest_pixgates.evidence import envelope, subjects
    from pytest_pixgates.evidence.sign import Order, sign

    reviewed = policy.load(policy_file(args), environment=args.env, option=CONFIG)
    folder = report_dir(args, reviewed)
    out = args.out or folder / envelope.FILE_NAME
    with contextlib.suppress(OSError):
        out.unlink()  # or that of an earlier run would stand in if this is refused
    run = _records(folder / record.FILE_NAME)
    order = Order(subjects.asked(args.subject, reviewed.root), args.part, args.run_id or environ.run_id())
    signed = sign(run, reviewed, order, key)
    if signed.text:
        try:
            files.write_atomically(out, signed.text)
        except OSError as error:
            raise PixgatesError(f"{out} can't be written: {error.strerror}", remedy="name another with --out") from None
    return _say(signed, out)


def _records(path: Path) -> Run:
    """The run at `path`, which comes from where code under test ran. Raises RecordError."""
    from pytest_pixgates.core import files, record

    try:
        with files.regular(path) as (file, _):
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise record.RecordError(f"{path}: no records ({error.strerror})", remedy="run the gates") from None
    if len(content) > _MOST_BYTES:
        raise record.RecordError(f"{path}: more than {_MOST_BYTES:,} bytes", remedy="take the records of a run")
    return record.loads(content, str(path))


def _say(signed: Signed, out: Path) -> int:
    from pytest_pixgates.report.text import plain

    for each in signed.refusals:
        sys.stdout.write(f"refused ({each.rule}): {plain(str(each))}\n")
    for each in signed.red:
        sys.stdout.write(f"failed ({each.rule}): {plain(str(each))}\n")
    if signed.statement is None:
        sys.stdout.write("pixgates sign: NOT signed\n")
        return REFUSED
    made = signed.statement
    verdict = "PASSED" if made.passed else "FAILED"
    sys.stdout.write(f"{len(made.claims.gates)} gates, {len(made.subjects)} subjects, expires {made.claims.expires}\n")
    sys.stdout.write(f"pixgates sign: {verdict}, for {plain(made.claims.environment)}: {out}\n")
    return PASSED if made.passed else FAILED
