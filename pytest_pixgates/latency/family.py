"""The `latency` family: a running service under a load whose requests are sent when they are due."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_pixgates.core.family import Context, Family, Gate

if TYPE_CHECKING:
    from pytest_pixgates.core.verdict import Verdict
    from pytest_pixgates.latency.gates import LatencyGates
    from pytest_pixgates.latency.policy import LatencyPolicy


class Latency(Family):
    """Percentiles, errors and availability with intervals; the previous version beside it; capacity."""

    name = "latency"
    summary = "a running service under load: the tail of its latency with intervals, errors, capacity"
    alone = True

    def settings(self) -> type:
        from pytest_pixgates.latency.policy import LatencyPolicy

        return LatencyPolicy

    def fixture(self, context: Context) -> LatencyGates:
        from pytest_pixgates.latency.gates import LatencyGates

        return LatencyGates(context)

    def gates(self, settings: LatencyPolicy, root: Path) -> Iterator[Gate]:
        """One gate per stage, endpoint and limit; one for the previous version, one for the capacity."""
        from pytest_pixgates.latency.about import ABOUT

        del root
        for stage, endpoint, limits in settings.judged:
            for name in limits:
                run = partial(_call, "limit", stage, endpoint, name)
                key = settings.key(stage, endpoint, name)
                yield Gate(f"limit[{stage}/{endpoint}/{name}]", run, key, about=ABOUT["limit"])
        if settings.previous:
            yield Gate("previous", partial(_call, "against_previous"), "previous", about=ABOUT["previous"])
        if settings.capacity:
            yield Gate("capacity", partial(_call, "judge_capacity"), "capacity", about=ABOUT["capacity"])


def _call(method: str, *arguments: Any) -> Verdict:
    """What a gate runs: a method of the fixture, which comes last."""
    *given, gates = arguments
    found: Verdict = getattr(gates, method)(*given)
    return found
