"""`pixgates contract`: a first contract from data, and what a changed one means for who reads the data."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pixgates.core import files, git
from pytest_pixgates.core.errors import EXTRA, NotMeasured, UsageError
from pytest_pixgates.report.text import counted, plain

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers
    from pytest_pixgates.data_contract.rules import Contract


def add_parser(subparsers: Subparsers) -> None:
    """Register `contract` with its own sub-commands."""
    parser = subparsers.add_parser("contract", help="suggest a data contract, or explain how one changed")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    diff = actions.add_parser(
        "diff",
        help="explain what changed from one contract to another, and whether its version says so",
        epilog="exit code: 0 the version owns up to it; 1 it doesn't, or a contract can't be read; 4 asked wrongly",
    )
    diff.add_argument("old", metavar="OLD", help="a file, or REVISION:file as git knows it")
    diff.add_argument("new", metavar="NEW", help="a file, or REVISION:file as git knows it")
    diff.set_defaults(run=run_diff)
    suggest = actions.add_parser(
        "suggest",
        help="write a first contract from data, for people to review",
        epilog="exit code: 0 done; 1 the data can't be read, or the file is there; 4 asked wrongly",
    )
    suggest.add_argument("data", metavar="DATA", help="a file, folder or glob (Parquet, CSV, NDJSON, Arrow)")
    suggest.add_argument("--name", help="the table's name (default: that of the file or folder)")
    suggest.add_argument("--out", type=Path, metavar="FILE", help="write it there instead of to the terminal")
    suggest.set_defaults(run=run_suggest)


def run_diff(args: argparse.Namespace) -> int:
    """Explain each change. Raises PixgatesError."""
    from pytest_pixgates.data_contract import changes

    old, new = _read(args.old), _read(args.new)
    found, missing = changes.changes(old, new), changes.judged(old, new)
    for change in found:
        kind = "breaking  " if change.breaking else "compatible"
        sys.stdout.write(f"{kind}  {plain(new.path)}:{change.line}: {plain(change.what)}\n")
    breaking = sum(change.breaking for change in found)
    sys.stdout.write(f"{counted(len(found), 'change')}, {breaking} breaking; version {old.version} to {new.version}\n")
    if missing:
        sys.stdout.write(f"the version does not say so: {plain(missing[0].fix)}\n")
    return 1 if missing else 0


def run_suggest(args: argparse.Namespace) -> int:
    """Write the contract. Raises PixgatesError."""
    try:
        from pytest_pixgates.data_contract.suggest import suggest
    except ImportError as error:
        raise NotMeasured(f"data can't be read: {error}", remedy=EXTRA.format("data")) from None
    if args.out and args.out.exists():
        raise UsageError(f"{args.out} is there already", remedy="name another file, or remove it")
    data = Path(args.data)
    root = Path(data.anchor) if data.is_absolute() else Path.cwd()
    name = args.name or data.name.partition(".")[0] or "data"
    text = suggest(str(data.relative_to(root)) if data.is_absolute() else args.data, root, name)
    if args.out:
        files.write_atomically(args.out, text)
    else:
        sys.stdout.write(text)
    return 0


def _read(named: str) -> Contract:
    """The contract in a file, or in a file of a revision. Raises PixgatesError."""
    from pytest_pixgates.data_contract import contract

    path = Path(named)
    revision, colon, rest = named.partition(":")
    if path.exists() or not colon:
        return contract.read(path.absolute(), path.absolute().parent)
    text = git.file_at(Path.cwd(), git.commit(Path.cwd(), revision, "name a commit, branch or tag"), rest)
    if text is None:
        raise NotMeasured(f"{revision} has no file {rest}", remedy="name it relative to this folder")
    return contract.parse(text, rest)
