"""How often the warning of a slow slide is wrong, and how often it comes in time.

A measurement that stays where it is, near its limit or far, may be warned of in 5 % of a hundred runs in a row at most;
one that slides to its limit by a fifth of its own noise a run or more must be warned of before it is there.
"""

from __future__ import annotations

import math
from random import Random

import pytest

from pytest_pixgates.core.verdict import Figure
from pytest_pixgates.history import slide
from tests.statistics.simulate import SETS

RUNS = 100


def first_warning(values: list[float]) -> int | None:
    """The run after which a slide towards 0 is told first, None if it never is; `values` are in noise's own size."""
    points = tuple((float(at), Figure("m", each, each, each, ">=", 0.0, 1)) for at, each in enumerate(values))
    for seen in range(slide.LEAST, len(values) + 1):
        if slide.of(slide.Series("g", "m", "", ">=", points[max(0, seen - slide.WINDOW) : seen])):
            return seen
    return None


def wandering(random: Random, level: float, memory: float) -> list[float]:
    value, values = 0.0, []
    for _ in range(RUNS):
        value = memory * value + math.sqrt(1 - memory * memory) * random.gauss(0, 1)
        values.append(level + value)
    return values


@pytest.mark.parametrize("level", [1.0, 2.0, 5.0])
def test_what_stays_is_seldom_warned_of(level: float) -> None:
    random = Random(1)
    false = sum(first_warning(wandering(random, level, 0.0)) is not None for _ in range(SETS))
    assert false <= 0.05 * SETS


def test_where_each_run_resembles_the_one_before_it_is_warned_of_more_often() -> None:
    """Which is why the documentation says so: neighbours correlated by 0.3."""
    random = Random(2)
    false = sum(first_warning(wandering(random, 2.0, 0.3)) is not None for _ in range(SETS))
    assert false <= 0.25 * SETS


@pytest.mark.parametrize(("step", "share"), [(0.2, 0.8), (0.3, 0.9), (0.5, 0.95)])
def test_what_slides_is_warned_of_in_time(step: float, share: float) -> None:
    random, told = Random(3), 0
    for _ in range(SETS):
        values = []
        while not values or values[-1] >= 0:
            values.append(10 - step * max(0, len(values) - 10) + random.gauss(0, 1))
        first = first_warning(values[:-1])
        told += first is not None
    assert told >= share * SETS
