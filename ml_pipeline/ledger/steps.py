"""What a command is about to do, as named steps: shown by --dry-run, told one by one when they are done.

Between any two of them the process may be killed. What a step leaves behind, the next run completes or undoes.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLICY = Path("gates/gates.toml")
LEDGER = "ml_pipeline/deployments/ledger"
REFUSED = 1  # 2 is for what was asked wrongly, or can't be asked


class Refused(Exception):  # noqa: N818 - it is an answer
    """Why something does not go out, or was taken back."""


@dataclass(frozen=True)
class Step:
    """Something that is done whole, or again by the next run."""

    name: str
    says: str
    do: Callable[[], object]


def carry_out(steps: Sequence[Step], *, dry_run: bool = False) -> None:
    """Do the steps in order, or only tell of them."""
    for number, step in enumerate(steps, start=1):
        if dry_run:
            print(f"would {number}/{len(steps)} {step.name}: {step.says}")
        else:
            begin(step, number, len(steps))
            step.do()


def begin(step: Step, number: int, of: int) -> None:
    """Say that a step begins."""
    print(f"{number}/{of} {step.name}: {step.says}", flush=True)


@contextmanager
def exits() -> Iterator[None]:
    """Ends the process with exit code 1 and the reasons if something is refused."""
    try:
        yield
    except Refused as refused:
        print(refused, file=sys.stderr)
        sys.exit(REFUSED)


def environments(policy: Path) -> list[str]:
    """The environments of the policy in the order in which a release goes through them.

    Raises ValueError or OSError if the policy can't be read.
    """
    return list(tomllib.loads(policy.read_text(encoding="utf-8")).get("environments", {}))


def checked(policy: Path, environment: str) -> list[str]:
    """The same, if `environment` is among them. Raises ValueError."""
    known = environments(policy)
    if environment not in known:
        raise ValueError(f"{policy} has no environment {environment!r}, only {', '.join(known) or 'none'}")
    return known


def add_common(parser: Any) -> None:
    """The options that nearly all commands share."""
    parser.add_argument("--env", required=True, help="environment of the policy")
    parser.add_argument("--config", type=Path, default=POLICY, help="the policy (%(default)s)")
    add_ledger(parser)


def add_ledger(parser: Any) -> None:
    """Where the ledger is."""
    url = os.environ.get("LEDGER_URL") or LEDGER
    parser.add_argument("--ledger", default=url, help=f"folder or URL of the ledger ($LEDGER_URL, else {LEDGER})")


def add_key(parser: Any) -> None:
    """Where the private key of a person is."""
    key = parser.add_mutually_exclusive_group()
    key.add_argument("--key", type=Path, metavar="FILE", help="the private key of whoever signs for it")
    key.add_argument("--key-command", metavar="COMMAND", help="a command that prints it")


def key_words(arguments: Any) -> tuple[str, ...]:
    """The same for `pixgates approve`."""
    if arguments.key:
        return ("--key", str(arguments.key))
    return ("--key-command", arguments.key_command) if arguments.key_command else ()


def add_tracking(parser: Any) -> None:
    """Where MLflow is."""
    from ml_pipeline.registration.store import DEFAULT

    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT
    parser.add_argument("--tracking-uri", default=uri, help="MLflow ($MLFLOW_TRACKING_URI, else %(default)s)")
