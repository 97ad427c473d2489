"""Many may share the lock or one hold it alone; the lock goes with its process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_pixgates.core.alone import held
from pytest_pixgates.core.errors import NotMeasured

HOLDER = """
import sys
from pathlib import Path
from pytest_pixgates.core.alone import held
with held(Path(sys.argv[1]), alone=sys.argv[2] == "alone", timeout=5):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path, how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize(
    ("theirs", "ours", "had"), [("shared", False, True), ("shared", True, False), ("alone", False, False)]
)
def test_the_lock_is_shared_or_held_alone(tmp_path: Path, theirs: str, ours: bool, had: bool) -> None:
    path = tmp_path / "folder" / "lock"
    with holder(path, theirs) as process:
        if had:
            with held(path, alone=ours, timeout=0):
                pass
        else:
            with pytest.raises(NotMeasured, match="another process has held"), held(path, alone=ours, timeout=0.1):
                pass
        process.kill()
    with held(path, alone=True, timeout=5):
        pass


def test_a_lock_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotMeasured, match="can't be used"), held(tmp_path / "file" / "lock", alone=True, timeout=0):
        pass
