"""`pixgates keygen`: a new key to sign evidence with, and what the policy must say to trust it."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pixgates.cli.arguments import named
from pytest_pixgates.core.errors import UsageError

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers

_DAYS = 365


def add_parser(subparsers: Subparsers) -> None:
    """Register `keygen`."""
    parser = subparsers.add_parser(
        "keygen",
        help="make a key that signs evidence, and print what the policy must say to trust it",
        epilog="exit code: 0 done, 1 not done, 4 asked wrongly",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="where the private key goes; it must not be there yet")
    parser.add_argument("--name", type=named, required=True, help="what people call the key, such as ci-2026")
    parser.add_argument(
        "--env",
        type=named,
        action="append",
        required=True,
        metavar="NAME",
        help="an environment that it may sign for; repeatable",
    )
    parser.add_argument("--owner", action="store_true", help="of a person, for `pixgates approve`; signs no evidence")
    parser.add_argument("--days", type=int, default=_DAYS, help=f"how long it is valid; default: {_DAYS}")
    parser.set_defaults(run=run_keygen)


def run_keygen(args: argparse.Namespace) -> int:
    """Write the private key, print the public one. Raises UsageError, PixgatesError without the library."""
    from pytest_pixgates.core.trust import encoded
    from pytest_pixgates.evidence import keys

    if args.days < 1:
        raise UsageError("--days must be at least 1", remedy=f"leave it out for {_DAYS}")
    _refuse_repository(args.file)
    key = keys.generate()
    try:
        handle = os.open(args.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise UsageError(f"{args.file} is there already", remedy="name a new file: keys are not overwritten") from None
    except OSError as error:
        raise UsageError(f"{args.file} can't be written: {error.strerror}", remedy="name a file elsewhere") from None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(key.pem())
    today = datetime.datetime.now(datetime.UTC).date()
    sys.stderr.write(f"the private key is in {args.file}; give it to the signing step alone. For the policy:\n")
    sys.stdout.write(
        f"[[evidence.{'owners' if args.owner else 'keys'}]]\n"
        f"name = {_toml(args.name)}\n"
        f'public = "{encoded(key.public)}"\n'
        f"environments = [{', '.join(map(_toml, args.env))}]\n"
        f"valid_from = {today}\n"
        f"valid_until = {today + datetime.timedelta(days=args.days)}\n"
    )
    return 0


def _refuse_repository(path: Path) -> None:
    """Raise UsageError where git would take the key for one of its files."""
    for folder in path.absolute().resolve().parents:
        if os.path.lexists(folder / ".git"):
            raise UsageError(f"{path} lies in the repository {folder}", remedy="name a file outside, such as ~/ci.pem")


def _toml(text: str) -> str:
    """`text` as a string of TOML; JSON's are."""
    import json

    return json.dumps(text, ensure_ascii=True)
