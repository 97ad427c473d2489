"""`pixgates tools`: brings the external tools that the gates run, and says which ones would judge."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pytest_pixgates.cli.arguments import add_config, policy_if_any
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.tools import JUDGES, TOOLS, find

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Register `tools install` and `tools list`."""
    tools = subparsers.add_parser("tools", help="install or list the tools that the gates run")
    actions = tools.add_subparsers(title="actions", metavar="ACTION", required=True)

    judges = ", ".join(spec.name for spec in JUDGES)
    install = actions.add_parser(
        "install",
        help="bring what is missing, without root",
        epilog="exit code: 0 all are there, 1 one can't be had, 4 asked wrongly",
    )
    install.add_argument(
        "names",
        nargs="*",
        type=_tool_name,
        metavar="NAME",
        help=f"one of {', '.join(TOOLS)} (default: what the policy needs, without any {judges})",
    )
    add_config(install)
    install.set_defaults(run=run_install)

    listing = actions.add_parser(
        "list",
        help="name, version, digest and path of each tool",
        epilog="exit code: 0 all are there and supported, 1 one is not, 4 asked wrongly",
    )
    add_config(listing)
    listing.set_defaults(run=run_list)


def run_install(args: argparse.Namespace) -> int:
    """Install each tool; go on after one that can't be had. 0 if all are there. Raises PolicyError."""
    from pytest_pixgates.core.install import install

    failed = 0
    for name in dict.fromkeys(args.names or _needed(args)):
        try:
            done = install(name, say=_progress)
        except PixgatesError as error:
            failed += 1
            sys.stderr.write(f"pixgates: {error}\n")
        else:
            _line(name, done.tool.version, f"{done.how}: {done.tool.path}")
    return 1 if failed else 0


def _needed(args: argparse.Namespace) -> list[str]:
    """The tools that the gates of the policy run; without a policy, all. Raises PolicyError."""
    from pytest_pixgates.cli.needs import tools_of
    from pytest_pixgates.infra.policy import InfraPolicy

    reviewed = policy_if_any(args)
    if reviewed is None:
        return [spec.name for spec in JUDGES]
    infra = reviewed.settings("infra", InfraPolicy) if "infra" in reviewed.sections else None
    return [spec.name for spec in tools_of(reviewed, infra)]


def run_list(args: argparse.Namespace) -> int:
    """Print the tools that would judge. 0 if all are there and supported. Raises PolicyError."""
    reviewed, missing = policy_if_any(args), 0
    for spec in JUDGES:
        try:
            tool = find(spec, configured=reviewed.tool_path(spec.name) if reviewed else None)
        except PixgatesError as error:
            missing += 1
            _line(spec.name, "missing", str(error))
        else:
            _line(spec.name, tool.version, f"{tool.sha256[:12]}  {tool.path}")
    return 1 if missing else 0


def _tool_name(text: str) -> str:
    if text not in TOOLS:
        raise argparse.ArgumentTypeError(f"no tool is called {text!r}; the tools are {', '.join(TOOLS)}")
    return text


def _line(name: str, version: str, rest: str) -> None:
    sys.stdout.write(f"{name:<10} {version:<10} {rest}\n")
    sys.stdout.flush()


def _progress(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
