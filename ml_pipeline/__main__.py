"""`python -m ml_pipeline <step>`: each step is a subcommand, and imports its libraries only when called."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ml_pipeline import (
    deploy,
    evaluate,
    history,
    promote,
    registry,
    rehearse,
    remember,
    render,
    rollback,
    serve,
    simulate,
    stream,
    train,
    watch,
)

STEPS = (
    simulate, train, evaluate, registry, render, promote, history, deploy, rollback, watch, remember, rehearse, serve,
    stream,
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """What reads the arguments of all steps."""
    made = argparse.ArgumentParser(prog="python -m ml_pipeline", description=__doc__)
    steps = made.add_subparsers(metavar="step", required=True)
    for step in STEPS:
        step.add_arguments(steps)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run one step. Returns 0, or 2 after a message on what to change in the arguments."""
    reader = parser()
    arguments = reader.parse_args(argv)
    try:
        arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(f"{reader.prog} {arguments.step}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(
            f"{reader.prog} {arguments.step}: {error.name} is missing: pip install -e '.[ml,serve,deploy,evidence]'",
            file=sys.stderr,
        )
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
