"""A bar on a terminal, and nothing elsewhere."""

from __future__ import annotations

import sys


class Steps:
    """Shows which of `count` steps is under way."""

    def __init__(self, count: int) -> None:
        self.count, self.begun, self.shown = count, 0, sys.stderr.isatty()

    def begin(self, name: str) -> None:
        self._show(name)
        self.begun += 1

    def done(self) -> None:
        self._show("done")
        if self.shown:
            print(file=sys.stderr)

    def _show(self, name: str) -> None:
        if self.shown:
            filled = 30 * self.begun // self.count
            print(f"\r\033[K[{'#' * filled}{'.' * (30 - filled)}] {name} ", end="", file=sys.stderr, flush=True)
