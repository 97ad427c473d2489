"""What is said of a run: when it passes, when it fails, and when its own generator keeps it from saying anything."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.latency import load, picture, rule
from pytest_pixgates.latency.policy import LatencyPolicy
from pytest_pixgates.latency.results import problems
from pytest_pixgates.latency.rule import Share
from tests.latency.made import run, view

FAST = np.full(3_000, 5.0)  # ms; 30 s at 100/s, which is just enough for a p99


def with_stalls(length: int, every: int, n: int = 3_000) -> np.ndarray:
    """Every so many requests, so many in a row that waited for a stall to end."""
    taken = np.full(n, 5.0)
    for begin in range(0, n, every):
        taken[begin : begin + length] = 10.0 * np.arange(length, 0, -1)[: n - begin]
    return taken


def test_a_fast_service_passes_when_the_run_is_long_enough_and_says_what_it_covers() -> None:
    verdict = view(FAST).p99 <= "50ms"
    assert verdict.outcome is Outcome.PASS
    assert "covers stalls of up to 0.1 s" in verdict.measured


def test_a_run_that_is_too_short_is_undecided_and_says_how_long_it_must_be() -> None:
    verdict = view(FAST[:2_900]).p99 <= "50ms"
    assert (verdict.outcome, verdict.needs) == (Outcome.INCONCLUSIVE, "a duration of 30 s")
    assert (view(FAST[:2_900], covers=0.01).p99 <= "50ms").outcome is Outcome.PASS
    assert (view(FAST, covers=1.0).p99 <= "50ms").needs == "a duration of 299 s"
    assert (view(FAST).p99_9 <= "50ms").needs == "a duration of 300 s"
    assert (view(FAST).p95 <= "50ms").outcome is Outcome.PASS


def test_stalls_fail_and_a_slow_service_fails_too() -> None:
    verdict = view(with_stalls(30, 300)).p99 <= "50ms"
    assert verdict.outcome is Outcome.FAIL
    for share in ("p50", "p95", "p99"):
        assert (getattr(view(FAST * 100), share) <= "50ms").outcome is Outcome.FAIL


def test_one_stall_in_a_run_does_not_decide() -> None:
    verdict = view(with_stalls(40, 5_000)).p99 <= "50ms"
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "duration" in verdict.needs or "longer" in verdict.needs


def test_an_error_counts_as_slow_however_fast_it_came() -> None:
    failed = np.arange(3_000) % 20 == 0
    seen = view(FAST, outcome=failed * load.WRONG_BODY, covers=0.01)
    assert (seen.p99 <= "50ms").outcome is Outcome.FAIL
    assert (seen.errors <= "1%").outcome is Outcome.FAIL
    assert (seen.errors <= "10%").outcome is Outcome.PASS
    assert (seen.availability >= "99%").outcome is Outcome.PASS
    gone = view(FAST, outcome=failed * load.NO_ANSWER, covers=0.01)
    assert (gone.availability >= "99%").outcome is Outcome.FAIL
    broken = view(FAST, outcome=failed * load.WRONG_STATUS, status=np.where(failed, 503, 200), covers=0.01)
    assert (broken.availability >= "99%").outcome is Outcome.FAIL
    assert "errors" in str(seen.errors)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"overflow": 3}, "not sent"),
        ({"recorded": 2_999}, "recorded"),
        ({"lost": 5}, "recorded"),
        ({"lost": 5, "sent": 2_995, "recorded": 2_995}, "5 were never sent"),
        ({"scheduled": 2_000}, "given to a process"),
        ({"cpu_seconds": 19.0}, "of a core"),
        ({"late": np.linspace(0, 2_000, 3_000)}, "in time"),
    ],
)
def test_a_generator_that_was_the_limit_makes_any_verdict_inconclusive(made: dict[str, object], told: str) -> None:
    for taken in (FAST + 2_000, FAST):
        verdict = view(taken, **made).p99 <= "500ms"
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert "the load generator was the limit" in verdict.reason
        assert told in verdict.reason
    assert problems(run(FAST)) == ()


def test_late_sends_void_a_fail_and_not_a_pass() -> None:
    late = np.where(np.arange(3_000) % 100 < 5, 80, 0)
    seen = view(FAST + late, late=late)
    assert (seen.p99 <= "500ms").outcome is Outcome.PASS
    voided = seen.p99 <= "50ms"
    assert voided.outcome is Outcome.INCONCLUSIVE
    assert "sent late" in voided.reason
    assert (view(FAST + late + 60, late=late).p99 <= "50ms").outcome is Outcome.FAIL


def test_an_answer_that_the_generator_could_not_take_in_time_does_not_fail_the_service() -> None:
    """A stopped generator also receives late: the requests before the late ones seem slow though sent in time."""
    taken, late = FAST.copy(), np.zeros(3_000)
    for begin in range(50, 3_000, 100):
        taken[begin - 1], late[begin : begin + 8] = 95, 90 - 10 * np.arange(8)
        taken[begin : begin + 8] += late[begin : begin + 8]
    seen = view(taken, late=late)
    assert rule.Share.of(seen.taken > 0.05, seen.floor, 0.05).lower > 0.01
    assert (seen.p99 <= "50ms").outcome is Outcome.INCONCLUSIVE


def test_what_cannot_be_judged_is_an_error() -> None:
    seen = view(FAST)
    for verdict in (seen.p99 >= "50ms", seen.p99 <= "10s", seen.p99 <= "5 apples", seen.errors >= 0.1, seen.p99 <= 0):
        assert verdict.outcome is Outcome.ERROR
    assert (seen.p99 <= view(FAST).p99).outcome is Outcome.ERROR
    with pytest.raises(AttributeError, match="p50"):
        _ = seen.p999


def test_the_interval_agrees_with_every_verdict() -> None:
    seen = view(with_stalls(12, 300))
    for limit in np.geomspace(0.001, 0.2, 60):
        verdict = seen.p99 <= float(limit)
        (figure,) = verdict.figures
        upper = np.inf if figure.upper is None else figure.upper
        by_interval = "PASS" if upper <= limit else "FAIL" if figure.lower > limit else "INCONCLUSIVE"
        assert by_interval == verdict.outcome.value
        assert figure.lower <= figure.value <= upper


def test_the_percentile_is_that_of_the_records_unrounded() -> None:
    taken = np.random.default_rng(1).lognormal(1, 1, 1_000)
    seen = view(taken)
    for share in (0.5, 0.9, 0.95, 0.99):
        exact = np.sort(seen.taken)[int(np.ceil(share * 1_000)) - 1]
        assert rule.percentile(seen.taken, share) == exact
        assert (seen.taken > exact).mean() <= 1 - share + 1e-12


def test_runs_of_slow_requests_count_as_the_run_that_a_random_slow_one_sits_in() -> None:
    slow = np.array([0, 1, 1, 1, 0, 0, 1, 0], bool)
    assert rule.dispersion(slow, 0) == (9 + 1) / 4
    assert rule.dispersion(slow, 6) == 6
    assert rule.dispersion(np.zeros(8, bool), 0) == 1
    assert rule.dispersion(~slow[:4], 0) == rule.dispersion(slow[:4], 0)  # most are slow: by the others
    assert [rule.least(share, 0.05) for share in (0.05, 0.01, 0.001)] == [59, 299, 2995]
    share = Share.of(slow, 2.5, 0.05)
    assert (share.hits, share.n, share.spread) == (4, 8, 2.5)


def test_the_picture_is_a_function_of_the_records_and_shows_the_limit() -> None:
    policy = LatencyPolicy(url="http://127.0.0.1:1", limits={"p99": "50ms", "errors": "1%"})
    seen = view(with_stalls(30, 300), outcome=(np.arange(3_000) == 7) * 4)
    drawn = picture.render(seen, policy.limits)
    assert drawn == picture.render(view(with_stalls(30, 300), outcome=(np.arange(3_000) == 7) * 4), policy.limits)
    assert "p99 limit 50 ms" in drawn
    assert drawn.count("<polyline") == 3
    assert "nan" not in drawn
    assert "inf" not in drawn
