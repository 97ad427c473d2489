"""A lane that does not run says so: left out of `make test`, or where it lacks what it needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import LANES

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True)


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_lane_that_was_left_out_is_named(workers: tuple[str, ...]) -> None:
    done = run("tests/lanes", *workers)
    assert done.returncode == 5, done.stdout  # no test ran
    for name in LANES:
        assert f"NOT RUN: lane {name}, which needs more than `make test`: make {name}\n" in done.stdout


def test_other_tests_do_not_name_lanes() -> None:
    assert "NOT RUN" not in run("tests/unit/test_verdict.py").stdout


def test_a_lane_that_lacks_what_it_needs_says_not_run_with_the_reason_and_a_code_of_its_own(tmp_path: Path) -> None:
    nothing = str(tmp_path / "nothing")
    done = run("tests/lanes", "--lane", "kafka", PIXGATES_TOOL_DIR=str(tmp_path), PIXGATES_GO=nothing)
    assert done.returncode == 69, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert f"NOT RUN: lane kafka: go: PIXGATES_GO names {nothing}, which does not exist" in said


def test_every_lane_is_required_before_a_change_lands_or_in_the_nightly_run() -> None:
    required, nightly = ((ROOT / ".ci" / name).read_text() for name in ("run", "nightly"))
    commands = (ROOT / "Makefile").read_text()
    for name in LANES:
        at_night = re.search(rf"^(\S+=\S+ )?make {name} \|\| failed=1$", nightly, re.MULTILINE)
        on_each_change = re.search(
            rf"^(lane {name} make {name}|track [a-z ]*\b{name}\b[a-z &]*)$", required, re.MULTILINE
        )
        assert on_each_change or at_night
        assert f"\t$(BIN)/pytest tests/lanes --lane {name}\n" in commands
