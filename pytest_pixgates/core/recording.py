"""Where checks go. Outside pytest nowhere; inside it the plugin puts a sink here for the gate that runs.

The sink is one per process rather than per thread: pytest runs one item at a time, and a check made in
a thread of that item must count too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Sink(Protocol):
    """What the plugin offers to the checks of the running item."""

    def note(self, check: object) -> None:
        """Record `check` (a Verdict or a Scan); the same object twice counts once."""

    def replace(self, checks: Sequence[object], combined: object) -> None:
        """Record `combined` in place of `checks`."""


_sink: Sink | None = None


def use(sink: Sink | None) -> Sink | None:
    """Send checks to `sink` from now on; returns the sink before, to be put back."""
    global _sink
    before, _sink = _sink, sink
    return before


def note(check: object) -> None:
    if _sink is not None:
        _sink.note(check)


def replace(checks: Sequence[object], combined: object) -> None:
    if _sink is not None:
        _sink.replace(checks, combined)
