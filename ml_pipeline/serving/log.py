"""The log: one JSON object a line, on standard output, without personal data: ids are keyed hashes.

A line is written before the answer that it tells of is sent. If nothing can be written, the service goes on and says so
at /readyz.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import msgspec

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class Log:
    """Writes lines of a level and above."""

    def __init__(self, level: str, descriptor: int = 1) -> None:
        self._from, self._descriptor = LEVELS.index(level), descriptor
        self.broken = False

    def write(self, level: str, event: str, **said: Any) -> None:
        if LEVELS.index(level) < self._from:
            return
        line = {"time": datetime.now(UTC), "level": level, "event": event, **said}
        data = msgspec.json.encode(line) + b"\n"
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            self.broken = False
        except OSError:
            self.broken = True
