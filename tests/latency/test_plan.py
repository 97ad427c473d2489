"""The schedule is drawn beforehand: the same bytes from the same seed, the rate that was asked, ramp and turns."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_pixgates.latency.plan import SECOND, Plan, plan
from pytest_pixgates.latency.policy import Stage


def due(made: Plan, **where: int) -> np.ndarray:
    chosen = [each.due for each in made.arrivals if all(getattr(each, name) == at for name, at in where.items())]
    return np.array(chosen) / SECOND


@pytest.mark.parametrize("arrivals", ["fixed", "poisson"])
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(arrivals: str) -> None:
    stages = [Stage(rate=50, duration="10s", arrivals=arrivals)]
    assert plan(stages, [1, 2], 7).to_bytes() == plan(stages, [1, 2], 7).to_bytes()
    assert plan(stages, [1, 2], 7).to_bytes() != plan(stages, [1, 2], 8).to_bytes()


def test_fixed_arrivals_are_evenly_spaced_and_random_ones_have_the_rate() -> None:
    fixed = due(plan([Stage(rate=50, duration="10s", arrivals="fixed", warm_up="")], [1], 0))
    assert len(fixed) == 500
    assert np.diff(fixed) == pytest.approx(0.02)
    gaps = np.diff(due(plan([Stage(rate=200, duration="100s", warm_up="")], [1], 0)))
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.03)
    assert gaps.std() == pytest.approx(1 / 200, rel=0.03)


def test_a_ramp_rises_evenly_and_neither_it_nor_the_warm_up_is_judged() -> None:
    made = plan([Stage(rate=100, duration="10s", arrivals="fixed", ramp="10s", warm_up="2s")], [1], 0)
    rising, judged = due(made), due(made, judged=1)
    assert ((rising < 5).sum(), (rising < 10).sum()) == (125, 500)  # a quarter of the half
    assert len(judged) == 1_000
    assert made.windows == ((12 * SECOND, 22 * SECOND),)
    assert judged.min() >= 12


def test_stages_follow_each_other() -> None:
    made = plan([Stage(rate=10, duration="5s", warm_up=""), Stage(rate=100, duration="5s", warm_up="1s")], [1], 0)
    assert due(made, stage=0).max() < 5 <= due(made, stage=1).min()
    assert made.windows[1] == (6 * SECOND, 11 * SECOND)
    assert [each.due for each in made.arrivals] == sorted(each.due for each in made.arrivals)


def test_endpoints_come_by_weight_and_their_requests_in_order() -> None:
    made = plan([Stage(rate=1_000, duration="10s")], [1, 3], 0)
    share = np.mean([each.endpoint for each in made.arrivals])
    assert share == pytest.approx(0.75, abs=0.02)
    for endpoint in (0, 1):
        numbers = [each.request for each in made.arrivals if each.endpoint == endpoint]
        assert numbers == list(range(len(numbers)))


def test_two_targets_take_turns_in_pairs_of_blocks() -> None:
    made = plan([Stage(rate=100, duration="20s", arrivals="fixed", warm_up="2s")], [1], 3, blocks=0.5)
    judged = [each for each in made.arrivals if each.judged]
    blocks: dict[int, set[int]] = {}
    for each in judged:
        blocks.setdefault(int((each.due / SECOND - 2) // 0.5), set()).add(each.target)
    assert all(len(targets) == 1 for targets in blocks.values())
    firsts = []
    for pair in range(20):
        first, second = blocks[2 * pair], blocks[2 * pair + 1]
        assert first | second == {0, 1}
        firsts.append(min(first))
    assert 0 < sum(firsts) < 20  # which is first is drawn
    assert sum(each.target for each in judged) == len(judged) / 2
