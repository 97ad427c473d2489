"""`pixgates expiring`: what will refuse a deployment soon, because it ends, while there is time to do something.

Waivers and entries of the baseline that turn into findings, keys that stop being trusted, evidence that grows too old.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pixgates.cli.arguments import CONFIG, add_config, policy_file, seconds
from pytest_pixgates.core import policy, quantity, trust
from pytest_pixgates.core.errors import PixgatesError

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers
    from pytest_pixgates.core.policy import Policy

_DAY = datetime.timedelta(days=1)
_SOON = "14d"


@dataclass(frozen=True, slots=True, order=True)
class Ending:
    """Something that counts until `at`, in seconds since the epoch."""

    at: float
    what: str
    fix: str


def add_parser(subparsers: Subparsers) -> None:
    """Register `expiring`."""
    parser = subparsers.add_parser(
        "expiring",
        help="say which waivers, known findings, keys and evidence end soon",
        epilog="exit code: 0 nothing does, 1 something does or did, 4 asked wrongly",
    )
    add_config(parser)
    parser.add_argument("evidence", nargs="*", type=Path, metavar="EVIDENCE", help="what `pixgates sign` wrote")
    parser.add_argument(
        "--within", type=seconds, default=quantity.seconds(_SOON), metavar="TIME", help=f"how soon (default: {_SOON})"
    )
    parser.set_defaults(run=run_expiring)


def run_expiring(args: argparse.Namespace) -> int:
    """Print what ends, the first to end first. Raises PixgatesError for evidence that nobody trusted signed."""
    reviewed, now = policy.load(policy_file(args), option=CONFIG), time.time()
    found = [*_reviewed(reviewed), *_evidence(args.evidence, reviewed)]
    soon = sorted(each for each in found if each.at <= now + args.within)
    for each in soon:
        stamp = datetime.datetime.fromtimestamp(each.at, datetime.UTC).strftime("%Y-%m-%dT%H:%MZ")
        sys.stdout.write(f"{'ended' if each.at <= now else 'ends'} {stamp}: {each.what}\n  fix: {each.fix}\n")
    sys.stdout.write(f"pixgates expiring: {len(soon)} of {len(found)} end too soon\n")
    return 1 if soon else 0


def _reviewed(reviewed: Policy) -> Iterator[Ending]:
    """What the policy holds. A waiver and an entry count through their last day."""
    for family, waivers in reviewed.waivers.items():
        for waiver in waivers:
            what = f"waiver {waiver.id} for {waiver.rule} at {waiver.path} ({family}), owned by {waiver.owner}"
            yield Ending(_end(waiver.expires), what, "mend the finding, or have the waiver reviewed again")
    for entry in reviewed.baseline.entries if reviewed.baseline else ():
        fix = "mend the finding, or register a waiver with an owner; then `pixgates baseline`"
        yield Ending(_end(entry.expires), f"baseline: {entry}", fix)
    for key in reviewed.trust.keys:
        if key.revoked is None and not any(_follows(other, key) for other in reviewed.trust.keys):
            what = f"key {key.name}, which signs for {', '.join(key.environments)}, and none takes over"
            yield Ending(key.ends, what, "pixgates keygen, and have the new key reviewed into [[evidence.keys]]")


def _follows(other: trust.TrustedKey, key: trust.TrustedKey) -> bool:
    """Whether `other` goes on where `key` ends, for each of its environments."""
    goes_on = other.begins <= key.ends < other.ends
    return other.revoked is None and goes_on and set(key.environments) <= set(other.environments)


def _end(day: datetime.date) -> float:
    return trust.midnight(day + _DAY)


def _evidence(paths: list[Path], reviewed: Policy) -> Iterator[Ending]:
    if not paths:
        return
    from pytest_pixgates.evidence.codes import Refused
    from pytest_pixgates.evidence.verify import open_evidence

    for path in paths:
        try:
            opened = open_evidence(path, reviewed.trust.keys)
        except Refused as refused:
            raise PixgatesError(f"{path}: {refused.code.meaning} ({refused})", remedy=refused.code.remedy) from None
        made = opened.statement
        what = f"{path}: evidence for {made.claims.environment}, run {made.claims.run}"
        fix = "deploy it, or run the gates again and sign"
        yield Ending(made.expires, what, fix)
        for each in made.claims.tolerated:
            until = f"{path}: it tolerates {each.finding} by {each.by} {each.id}"
            yield Ending(_end(each.expires), until, "mend the finding, or have it reviewed again, and sign")
