"""A new user's path on each example, by the commands of its README: from `pip install` to the first red and green gate.

    python benchmarks/first_gate.py [EXAMPLE...] [--tools-here]

pip is pip, the environment is fresh, and no tool is installed yet (with --tools-here those of this machine are used).
Ends with 1 if a path is not walked to its end, or takes longer than the bar.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import walkthrough

BAR = 300.0
"""Seconds to the first green gate."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("examples", nargs="*", metavar="EXAMPLE", help=f"default: {', '.join(walkthrough.NAMES)}")
    parser.add_argument("--tools-here", action="store_true", help="use the tools that this machine has installed")
    given = parser.parse_args()
    if unknown := set(given.examples) - set(walkthrough.NAMES):
        parser.error(f"there is no example {', '.join(sorted(unknown))}")
    missed = 0
    with tempfile.TemporaryDirectory(prefix="first-gate-") as name:
        base = Path(name)
        wheel = walkthrough.build(base / "wheel")
        print("| example | installed | first red | first green | of processor time |")
        print("| --- | --- | --- | --- | --- |")
        for example in given.examples or walkthrough.NAMES:
            missed += not timed(example, base, wheel, tools_here=given.tools_here)
    return 1 if missed else 0


def timed(example: str, base: Path, wheel: Path, *, tools_here: bool) -> bool:
    """Print the line of one example; whether it was walked to its end within the bar."""
    folder = base / example
    folder.mkdir()
    environment = walkthrough.outsider(folder, wheel)
    if not tools_here:
        environment["PIXGATES_TOOL_DIR"] = str(folder / "tools")
    wall = cpu = 0.0
    at: dict[str, tuple[float, float]] = {}
    for done in walkthrough.walk(example, folder, environment):
        wall, cpu = wall + done.seconds, cpu + done.cpu
        if problem := done.problem():
            print(f"{example}: {problem}", file=sys.stderr)
            return False
        if done.command.text.startswith("pip install"):
            at["installed"] = wall, cpu
        elif "pytest gates" in done.command.text and "red" not in at:
            at["red"] = wall, cpu
        elif "pytest gates" in done.command.text:
            at.setdefault("green", (wall, cpu))
    shutil.rmtree(folder)
    walls = " | ".join(f"{at[each][0]:.0f} s" for each in ("installed", "red", "green"))
    print(f"| {example} | {walls} | {at['green'][1]:.0f} s |", flush=True)
    return at["green"][0] <= BAR


if __name__ == "__main__":
    sys.exit(main())
