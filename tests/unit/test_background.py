"""A program beside a block: it runs meanwhile, what it prints is kept, and nothing of it is left."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from pytest_pixgates.core.errors import ToolMissing
from pytest_pixgates.core.process import background

FAMILY = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("code", ["import time; time.sleep(600)", f"{FAMILY}; import time; time.sleep(600)", FAMILY])
def test_a_program_and_its_children_end_with_the_block(tmp_path: Path, code: str) -> None:
    with background([sys.executable, "-c", code], cwd=tmp_path, log=tmp_path / "log") as program:
        assert alive(program.pid)
    until = time.monotonic() + 10
    while alive(program.pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(program.pid)


POLITE = """
import signal, sys, time
signal.signal(15, lambda *_: (print("bye", flush=True), sys.exit(0)))
print("up", flush=True)
time.sleep(600)
"""


def interrupted(command: list[str], folder: Path) -> None:
    with background(command, cwd=folder, log=folder / "log"):
        while "up" not in (folder / "log").read_text():
            time.sleep(0.02)
        raise KeyError


def test_it_ends_with_an_exception_too_and_may_end_in_its_own_way(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        interrupted([sys.executable, "-c", POLITE], tmp_path)
    assert (tmp_path / "log").read_text().split() == ["up", "bye"]


def test_what_it_ended_with_and_what_it_said_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with background([sys.executable, "-c", "print('out'); raise SystemExit(3)"], cwd=tmp_path, log=log) as program:
        until = time.monotonic() + 20
        while program.ended() is None and time.monotonic() < until:
            time.sleep(0.02)
        assert program.ended() == 3
    assert "out" in log.read_text()
    with pytest.raises(ToolMissing), background([tmp_path / "nothing"], cwd=tmp_path, log=log):
        pass
