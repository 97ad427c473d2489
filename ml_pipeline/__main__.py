"""`python -m ml_pipeline <step>`: each step is a subcommand, and imports its libraries only when called."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ml_pipeline import simulate

STEPS = (simulate,)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one step. Returns 0, or 2 after a message on what to change in the arguments."""
    parser = argparse.ArgumentParser(prog="python -m ml_pipeline", description=__doc__)
    steps = parser.add_subparsers(metavar="step", required=True)
    for step in STEPS:
        step.add_arguments(steps)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except (ValueError, OSError) as error:
        print(f"{parser.prog} {arguments.step}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"{parser.prog} {arguments.step}: {error.name} is missing: pip install -e '.[ml]'", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
