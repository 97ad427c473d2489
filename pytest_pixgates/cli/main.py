"""The `pixgates` command: what is not a test run, such as bringing the tools and reading a run's verdict.

A sub-command lives in the module of its name and is imported only when it is used, or when all are listed.
"""

from __future__ import annotations

import argparse
import importlib
import io
import sys
from collections.abc import Iterable
from typing import NoReturn

from pytest_pixgates import __version__
from pytest_pixgates.core.errors import PixgatesError, PolicyError, UsageError

COMMANDS = (
    "init", "doctor", "tools", "explain", "verdict", "prove", "report", "history", "baseline", "pre-push", "affected",
    "expiring", "contract", "keygen", "sign", "verify", "approve",
)  # fmt: skip

USAGE_ERROR = 4  # as pytest's
INTERRUPTED = 130  # as a shell's


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, remedy=f"{self.prog} --help lists what is possible")


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 not done, 4 asked wrongly, 130 interrupted."""
    arguments = sys.argv[1:] if argv is None else argv
    named = arguments[:1]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names in a report are not all ASCII; some terminals are
    try:
        args = parser(named if set(named) <= set(COMMANDS) and named else COMMANDS).parse_args(arguments)
        return int(args.run(args))
    except (PolicyError, UsageError) as error:
        return _failed(error, USAGE_ERROR, as_json="--json" in arguments)
    except PixgatesError as error:
        return _failed(error, 1, as_json="--json" in arguments)
    except KeyboardInterrupt:
        return INTERRUPTED


def parser(commands: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """What reads the arguments of `commands`."""
    made = _Parser(prog="pixgates", description="Quality gates whose green is evidence.")
    made.add_argument("--version", action="version", version=f"pixgates {__version__}")
    subparsers = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in commands:
        importlib.import_module(f"pytest_pixgates.cli.{command.replace('-', '_')}").add_parser(subparsers)
    return made


def _failed(error: PixgatesError, code: int, *, as_json: bool) -> int:
    if as_json:
        from pytest_pixgates.cli import verdict

        sys.stdout.write(verdict.document_of(error))
    else:
        sys.stderr.write(f"pixgates: {error}\n")
    return code
