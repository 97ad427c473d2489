"""What the installed plugin costs a suite that doesn't use it: pytest with and without it, in alternating pairs.

    python benchmarks/startup.py [PAIRS]

Prints medians and fails if the plugin adds more than the bar. Whole processes on one noisy machine: the median of
the paired differences is what counts.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BAR_MS = 15.0
BASE = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
# Only ours is loaded, or nothing: other plugins on this machine would only add noise.
WITHOUT = [*BASE, "--disable-plugin-autoload"]
WITH = [*WITHOUT, "-p", "pytest_pixgates.plugin"]
# With bytecode, as an installed package has it.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def milliseconds(command: list[str], folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env=ENVIRONMENT, check=True, capture_output=True)
    return (time.perf_counter() - began) * 1000


def main() -> int:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_one.py").write_text("def test_one(): pass\n")
        for command in (WITHOUT, WITH):
            milliseconds(command, folder)
        without, with_it = [], []
        for _ in range(pairs):
            without.append(milliseconds(WITHOUT, folder))
            with_it.append(milliseconds(WITH, folder))
    added = statistics.median(b - a for a, b in zip(without, with_it, strict=True))
    print(f"pytest alone {statistics.median(without):.1f} ms, with pixgates {statistics.median(with_it):.1f} ms")
    print(f"added {added:.1f} ms (median of {pairs} paired differences; bar {BAR_MS:.0f} ms)")
    return 0 if added <= BAR_MS else 1


if __name__ == "__main__":
    sys.exit(main())
