"""Lanes: tests that need more than `make test` brings, or the machine for themselves.

`make NAME` runs `tests/lanes/test_NAME.py`, or the tests in `tests/lanes/NAME`; nothing else does.

A lane that is left out, or that can't run here, is named with NOT RUN: it is never green in silence.
"""

from __future__ import annotations

from pathlib import Path

import pytest

_FILES = sorted(Path(__file__).parent.glob("lanes/**/test_*.py"))
_PARTS = [path if path.parent.name == "lanes" else path.parent for path in _FILES]
LANES = {path.stem.removeprefix("test_"): path for path in _PARTS}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lane", choices=tuple(LANES), help="run the tests of this lane, which are left out otherwise")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    left_out = collection_path in LANES.values() and collection_path != LANES.get(config.option.lane)
    return True if left_out else None  # None: whoever else has a say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    asked = [Path(config.invocation_params.dir, argument.partition("::")[0]).resolve() for argument in config.args]
    for name, path in LANES.items():
        if config.option.lane is None and any(path.is_relative_to(each) for each in asked):
            terminalreporter.write_line(
                f"NOT RUN: lane {name}, which needs more than `make test`: make {name}", red=True
            )
