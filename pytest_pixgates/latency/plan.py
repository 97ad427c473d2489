"""When each request is due, drawn before the first one is sent: a service that stalls can't slow its own load down.

The schedule is a file that the driver only follows. The same settings and seed give the same bytes.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from pytest_pixgates.latency.policy import Stage

ARRIVAL = struct.Struct("<qBBBBI")
SECOND = 1_000_000_000


class Arrival(NamedTuple):
    """A request that is `due` so many nanoseconds after the start.

    `judged` is 0 in a ramp or warm-up. The others are indexes; `request` counts within its endpoint.
    """

    due: int
    judged: int
    stage: int
    target: int
    endpoint: int
    request: int


@dataclass(frozen=True, slots=True)
class Plan:
    """All arrivals of a run, and when each stage's judged part begins and ends (nanoseconds)."""

    arrivals: tuple[Arrival, ...]
    windows: tuple[tuple[int, int], ...]

    def to_bytes(self) -> bytes:
        return b"".join(ARRIVAL.pack(*each) for each in self.arrivals)


def plan(stages: Sequence[Stage], weights: Sequence[float], seed: int, *, blocks: float = 0.0) -> Plan:
    """The arrivals of `stages` one after the other, each for an endpoint drawn by `weights`.

    With `blocks` (seconds), two targets take turns for so long each; which one is first in a pair is drawn.
    """
    draw = random.Random(seed)  # noqa: S311 - not for secrets
    ends, counts = list(accumulate(weights)), [[0] * len(weights) for _ in range(2)]
    arrivals: list[Arrival] = []
    windows: list[tuple[int, int]] = []
    began = 0.0
    for index, stage in enumerate(stages):
        ramp, warm, length = stage.seconds
        judged_from, ended = began + ramp + warm, began + ramp + warm + length
        turns = _Turns(blocks, judged_from, draw) if blocks else None
        for at in _times(stage, draw):
            endpoint = draw.choices(range(len(ends)), cum_weights=ends)[0] if len(ends) > 1 else 0
            moment = began + at
            target = turns.at(moment) if turns else 0
            number = counts[target][endpoint]
            counts[target][endpoint] += 1
            judged = int(moment >= judged_from)
            arrivals.append(Arrival(round(moment * SECOND), judged, index, target, endpoint, number))
        windows.append((round(judged_from * SECOND), round(ended * SECOND)))
        began = ended
    return Plan(tuple(arrivals), tuple(windows))


class _Turns:
    """Which of two targets has its turn: pairs of blocks, each target once in each."""

    def __init__(self, block: float, origin: float, draw: random.Random) -> None:
        self._block, self._origin = block, origin
        self._draw, self._first = draw, list[int]()

    def at(self, moment: float) -> int:
        block = int((moment - self._origin) // self._block)
        if block < 0:  # the warm-up is for both
            return block % 2
        while len(self._first) <= block // 2:
            self._first.append(self._draw.randrange(2))
        return self._first[block // 2] ^ block % 2


def _times(stage: Stage, draw: random.Random) -> Iterator[float]:
    """Seconds after the stage's begin: a rate that rises evenly to its height, then stays.

    Arrivals of rate 1, stretched by the inverse of what has come by each moment.
    """
    ramp, warm, length = stage.seconds
    end, by_ramp = ramp + warm + length, stage.rate * ramp / 2
    passed = draw.expovariate(1.0) if stage.arrivals == "poisson" else 0.5
    while True:
        rising = passed < by_ramp
        at = (2 * passed * ramp / stage.rate) ** 0.5 if rising else ramp + (passed - by_ramp) / stage.rate
        if at >= end:
            return
        yield at
        passed += draw.expovariate(1.0) if stage.arrivals == "poisson" else 1.0
