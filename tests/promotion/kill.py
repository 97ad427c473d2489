"""Ends a command with SIGKILL just before one of its steps."""

from __future__ import annotations

from pathlib import Path

from tests.promotion.world import run

CODE = """
import os
from ml_pipeline.ledger import steps
told = steps.begin
def begin(step, number, of):
    if step.name == {step!r}:
        os.kill(os.getpid(), 9)
    told(step, number, of)
steps.begin = begin
"""


def killed(words: list[str], step: str, cwd: Path) -> int:
    """The return code of the command, which is killed before `step`."""
    return run(words, cwd, f"exec({CODE.format(step=step)!r})").returncode
