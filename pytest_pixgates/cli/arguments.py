"""What the commands share: how they are asked about a policy, and that they were asked wrongly."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pixgates.core import environ, quantity

if TYPE_CHECKING:
    from pytest_pixgates.core.policy import Policy
    from pytest_pixgates.evidence.keys import PrivateKey

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

CONFIG = "--config"


def add_config(parser: argparse.ArgumentParser) -> None:
    """Register the option that names the policy."""
    text = f"the policy; default: the nearest {environ.POLICY}, here or in a folder above"
    parser.add_argument(CONFIG, type=Path, metavar="FILE", help=text)


def policy_file(args: argparse.Namespace) -> Path:
    """The policy that is named, else the nearest from here upwards; there may be none."""
    if args.config is not None:
        return Path(args.config)
    here = Path.cwd()
    places = (folder / environ.POLICY for folder in (here, *here.parents))
    return next(filter(os.path.lexists, places), here / environ.POLICY)


def policy_if_any(args: argparse.Namespace) -> Policy | None:
    """The policy; None if none is named and none is found. Raises PolicyError."""
    from pytest_pixgates.core import policy

    path = policy_file(args)
    return policy.load(path, option=CONFIG) if args.config or os.path.lexists(path) else None


def add_report_dir(parser: argparse.ArgumentParser) -> None:
    """Register the option that names the folder of a run's records."""
    folder = f"default: ${environ.REPORT_DIR}, or {environ.REPORTS} beside the folder of the policy"
    parser.add_argument("--report-dir", type=Path, metavar="DIR", help=folder)


def report_dir(args: argparse.Namespace, reviewed: Policy) -> Path:
    """As the plugin chooses it, as far as that can be told from here."""
    if given := args.report_dir or environ.report_dir():
        return Path(given)
    return environ.REPORTS if args.config else reviewed.root / environ.REPORTS


def add_key(parser: argparse.ArgumentParser) -> None:
    """Register the options that say where the private key is, of which one must be given."""
    key = parser.add_mutually_exclusive_group(required=True)
    key.add_argument("--key", type=Path, metavar="FILE", help="the private key, which only you can read")
    key.add_argument("--key-env", type=named, metavar="NAME", help="the variable that holds the private key")
    key.add_argument("--key-command", type=named, metavar="COMMAND", help="a command that prints the private key")


def private_key(args: argparse.Namespace) -> PrivateKey:
    """The key that was named. Ask first, so that nothing that is started later inherits its variable.

    Raises UsageError, PixgatesError.
    """
    from pytest_pixgates.evidence import keys

    if args.key:
        return keys.from_file(args.key)
    return keys.from_environment(args.key_env) if args.key_env else keys.from_command(args.key_command)


def named(text: str) -> str:
    """A name that is not empty: an unset variable in a pipeline must not switch a check off."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; leave the option out or give it a value")
    return text


def seconds(text: str) -> float:
    """A length of time as people write it, such as 30m."""
    try:
        return quantity.seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
