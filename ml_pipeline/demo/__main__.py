"""`python -m ml_pipeline.demo`: tell the story in a new folder, which is removed afterwards."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from ml_pipeline.demo.story import Unexpected, told_in


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    """0 if all came as it must."""
    with tempfile.TemporaryDirectory(prefix="pixgates-demo-") as folder:
        try:
            told_in(Path(folder), say)
        except Unexpected as wrong:
            print(f"\nThe story went wrong: {wrong}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
