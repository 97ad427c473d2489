"""At the limit itself a gate passes at most 5 % of the time; a point estimate passes half of the time."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from pytest_pixgates.core.verdict import Outcome
from tests.statistics.simulate import AT_MOST, FIGURES, SETS, World, most

MONEY = ("amount_recall", "cost")
WORLDS = {
    "usual": World(),
    "hard": World(mean=2.8, hard=0.0),
    "easy": World(mean=5.0, hard=0.1, threshold=3.0),
    "weighted": World(kept=0.25),
}
FEWER = {"weighted": max(SETS // 3, 1)}  # of the others SETS


@functools.cache
def measured(world: str) -> dict[str, list[Any]]:
    """Each figure of many test sets."""
    found: dict[str, list[Any]] = {name: [] for name in FIGURES}
    for seed in range(FEWER.get(world, SETS)):
        scores = WORLDS[world].scores(np.random.default_rng([seed, 7]))
        for name, figure in FIGURES.items():
            found[name].append(figure(scores))
    return found


def share(outcome: Outcome, figure: str, world: str, away: float = 0.0) -> float:
    """How often a limit ends so that lies `away` from the truth, on the side where the figure is good."""
    limit = WORLDS[world].truth()[figure] + (away if figure in AT_MOST else -away)
    found = [each <= limit if figure in AT_MOST else each >= limit for each in measured(world)[figure]]
    counted = sum(verdict.outcome is outcome for verdict in found) / len(found)
    print(f"{world} {figure}: limit {limit:.5g}, {away:.4g} from the truth, {outcome.name} {counted:.4f}")
    return counted


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("figure", FIGURES)
def test_at_the_limit_at_most_one_of_twenty_passes(figure: str, world: str) -> None:
    assert share(Outcome.PASS, figure, world) <= most(0.05, FEWER.get(world, SETS))


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("figure", FIGURES)
def test_at_the_limit_at_most_one_of_twenty_fails(figure: str, world: str) -> None:
    assert share(Outcome.FAIL, figure, world) <= most(0.06, FEWER.get(world, SETS))


@pytest.mark.parametrize("figure", ["recall", "roc_auc", "average_precision", "brier"])
def test_a_point_estimate_passes_half_of_the_time(figure: str) -> None:
    truth = WORLDS["usual"].truth()[figure]
    values = [each.value for each in measured("usual")[figure]]
    good = [value <= truth if figure in AT_MOST else value >= truth for value in values]
    assert 0.3 < np.mean(good) < 0.7


@pytest.mark.parametrize("figure", FIGURES)
def test_far_on_the_good_side_nearly_all_pass(figure: str) -> None:
    """Four standard deviations away, where a bound needs 1.65 of them; six for money, whose bounds are cautious."""
    deviations = 6 if figure in MONEY else 4
    away = deviations * float(np.std([each.value for each in measured("usual")[figure]]))
    assert share(Outcome.PASS, figure, "usual", away) >= 0.9
