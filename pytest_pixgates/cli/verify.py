"""`pixgates verify`: go or stop, from signed evidence. A deployment asks it first and obeys.

The time is this machine's; no option or variable sets another, for whoever could set it could revive what is expired.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_pixgates.cli.arguments import CONFIG, add_config, add_report_dir, named, policy_file, report_dir

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers
    from pytest_pixgates.evidence.verify import Answer, Opened, Request

GO, STOP, NO_EVIDENCE = 0, 1, 5  # 4 is a usage error, as everywhere
MODES = ("authorise", "reverify")


def add_parser(subparsers: Subparsers) -> None:
    """Register `verify`."""
    parser = subparsers.add_parser(
        "verify",
        help="say whether something may go out: go or stop, from signed evidence",
        epilog="exit code: 0 go, 1 stop, 4 asked wrongly, 5 stop, for there is no evidence",
    )
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="EVIDENCE", help="default: evidence.dsse.json beside the records"
    )
    parser.add_argument("--env", type=named, required=True, metavar="NAME", help="where it is to go")
    parser.add_argument(
        "--subject",
        type=named,
        action="append",
        required=True,
        metavar="NAME=WHAT",
        help="what is to go: PATH, sha256:HEX or git:REVISION; repeatable",
    )
    parser.add_argument(
        "--mode", choices=MODES, default=MODES[0], help="reverify, for a rollback: as it was signed; default: authorise"
    )
    parser.add_argument("--ledger", type=Path, metavar="FILE", help="what remembers which evidence was used")
    parser.add_argument(
        "--recorded",
        type=named,
        action="append",
        default=[],
        metavar="sha256:HEX",
        help="digest of the evidence file as it was noted when it was authorised; repeatable; only to reverify",
    )
    add_report_dir(parser)
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")
    parser.set_defaults(run=run_verify)


def run_verify(args: argparse.Namespace) -> int:
    """Print the answer and why. Raises PolicyError, UsageError."""
    from pytest_pixgates.core import policy
    from pytest_pixgates.core.errors import UsageError
    from pytest_pixgates.evidence import envelope, subjects
    from pytest_pixgates.evidence.codes import Code
    from pytest_pixgates.evidence.ledger import FileLedger
    from pytest_pixgates.evidence.verify import Mode, Request, verify

    mode = Mode(args.mode)
    if mode is Mode.AUTHORISE and args.recorded:
        raise UsageError("--recorded says what was authorised before", remedy="add --mode reverify, or leave it out")
    if mode is Mode.REVERIFY and args.ledger:
        raise UsageError("what is returned to was used before, so no ledger is asked", remedy="leave --ledger out")
    reviewed = policy.load(policy_file(args), environment=args.env, option=CONFIG)
    request = Request(
        policy=reviewed,
        subjects=subjects.asked(args.subject, reviewed.root),
        mode=mode,
        ledger=FileLedger(args.ledger) if args.ledger else None,
        use=f"{args.env}: {' '.join(args.subject)}",
        recorded=frozenset(map(subjects.digest, args.recorded)),
    )
    answer = verify(args.files or [report_dir(args, reviewed) / envelope.FILE_NAME], request)
    _show(answer, request, as_json=args.json)
    if answer.go:
        return GO
    return NO_EVIDENCE if any(each.rule == Code.MISSING.value for each in answer.refusals) else STOP


def _show(answer: Answer, request: Request, *, as_json: bool) -> None:
    verdict = "GO" if answer.go else "STOP"
    if as_json:
        document = {
            "verdict": verdict,
            "mode": request.mode.value,
            "environment": request.policy.environment,
            "subjects": dict(request.subjects),
            "replay": _replay(answer, request),
            "evidence": [_evidence(each) for each in answer.evidence],
            "refusals": [
                {"rule": each.rule, "where": each.where, "what": each.what, "fix": each.fix} for each in answer.refusals
            ],
        }
        sys.stdout.write(json.dumps(document, indent=1) + "\n")
        return
    from pytest_pixgates.report.text import plain

    lines = [plain(_line(each)) for each in answer.evidence]
    lines += [f"tolerated: {plain(text)}" for each in answer.evidence for text in _tolerated(each)]
    lines += [f"refused ({each.rule}): {plain(str(each))}" for each in answer.refusals]
    if _replay(answer, request) == "unchecked":
        lines.append("whether it was used before was not asked: no --ledger")
    sys.stdout.write("\n".join([*lines, f"pixgates verify: {verdict}, for {plain(request.policy.environment)}"]) + "\n")


def _replay(answer: Answer, request: Request) -> str:
    if not request.fresh:
        return "not asked"
    if request.ledger is None:
        return "unchecked"
    return "spent" if answer.spent else "not spent"


def _line(each: Opened) -> str:
    claims = each.statement.claims
    names = ", ".join(key.name for key in each.keys)
    return f"{each.path}: {len(claims.gates)} gates for {claims.environment}, run {claims.run}, signed by {names}"


def _tolerated(each: Opened) -> list[str]:
    return [f"{one.finding} by {one.by} {one.id} until {one.expires}" for one in each.statement.claims.tolerated]


def _evidence(each: Opened) -> dict[str, Any]:
    from pytest_pixgates.core import decode

    claims = each.statement.claims
    return {
        "path": each.path,
        "sha256": each.sha256,
        "keys": [key.name for key in each.keys],
        "run": claims.run,
        "commit": claims.commit,
        "expires": claims.expires,
        "nonce": claims.nonce,
        "policy_sha256": each.statement.policy_sha256,
        "tolerated": decode.encode(claims.tolerated),
    }
