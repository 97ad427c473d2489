"""Bounds against independent implementations: scipy, statsmodels, and published tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.proportion import confint_proportions_2indep

from pytest_pixgates.model_gate import intervals
from pytest_pixgates.model_gate.intervals import Clustered, Moments

ALPHAS = (0.05, 0.01, 0.2)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (1, 300), (160, 200), (199, 200), (50, 50_000)])
def test_a_rate_has_the_exact_bounds_of_scipy(hits: int, n: int, alpha: float) -> None:
    test = stats.binomtest(hits, n)
    two_sided = test.proportion_ci(1 - 2 * alpha, method="exact")
    assert intervals.clopper_pearson(hits, n, alpha) == pytest.approx((two_sided.low, two_sided.high), abs=1e-10)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((30, 1000), (25, 900)),
        ((3, 50_000), (9, 40_000)),
        ((160, 200), (300, 400)),
        ((1, 10), (1, 9)),
    ],
)
def test_a_ratio_of_rates_has_the_score_bounds_of_statsmodels(
    left: tuple[int, int], right: tuple[int, int], alpha: float
) -> None:
    low, high = confint_proportions_2indep(*left, *right, method="score", compare="ratio", alpha=2 * alpha)
    assert intervals.rate_ratio(left, right, alpha) == pytest.approx((low, high), rel=1e-5)


def test_a_ratio_inverts_the_score_test_where_a_rate_is_one() -> None:
    """statsmodels gives 1.5 here, the ratio at which its search begins."""
    (x, n), (y, m) = (5, 5), (3, 7)
    ratio, _ = intervals.rate_ratio((x, n), (y, m), 0.05)

    def minus_likelihood(p: float) -> float:  # of the right side's rate
        left = ratio * p
        return -(x * math.log(left) + (n - x) * math.log(1 - left) + y * math.log(p) + (m - y) * math.log(1 - p))

    bound = min(1.0, 1 / ratio)
    p = optimize.minimize_scalar(minus_likelihood, bounds=(1e-9, bound - 1e-12), method="bounded").x
    left = ratio * p
    variance = (left * (1 - left) / n + ratio**2 * p * (1 - p) / m) * (n + m) / (n + m - 1)
    assert (x / n - ratio * y / m) / math.sqrt(variance) == pytest.approx(stats.norm.ppf(0.95), abs=1e-3)


def test_a_group_that_was_never_hit_leaves_the_ratio_open_on_that_side() -> None:
    low, high = intervals.rate_ratio((40, 8_000), (0, 49), 0.05)
    assert low < 1 < high == math.inf
    low, high = intervals.rate_ratio((0, 49), (40, 8_000), 0.05)
    assert low == 0 < 1 < high < 1e6


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5_000), st.integers(1, 5_000), st.data())
def test_swapped_groups_have_the_reciprocal_bounds(n: int, m: int, data: st.DataObject) -> None:
    x, y = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    low, high = intervals.rate_ratio((x, n), (y, m), 0.05)
    back_low, back_high = intervals.rate_ratio((y, m), (x, n), 0.05)
    assert low <= high
    if x and y:
        assert low <= (x / n) / (y / m) <= high
        assert (1 / back_high, 1 / back_low) == pytest.approx((low, high), rel=1e-6)


def constrained(b: int, c: int, n: int, delta: float) -> float:
    """Tango's score with the nuisance rate found by maximising the likelihood numerically."""

    def minus_likelihood(rare: float) -> float:  # of the pairs that only the right side hit
        often, rest = rare + delta, 1 - 2 * rare - delta
        parts = ((b, often), (c, rare), (n - b - c, rest))
        return -sum(count * math.log(max(p, 1e-300)) for count, p in parts if count)

    low, high = max(0.0, -delta), (1 - delta) / 2
    rare = optimize.minimize_scalar(minus_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
    return (b - c - n * delta) / math.sqrt(n * (2 * rare + delta * (1 - delta)))


@pytest.mark.parametrize(("b", "c", "n"), [(12, 5, 300), (1, 14, 260), (40, 44, 3_000), (7, 7, 50)])
def test_a_paired_difference_inverts_the_score_test(b: int, c: int, n: int) -> None:
    low, high = intervals.tango(b, c, n, 0.05)
    assert low < (b - c) / n < high
    assert constrained(b, c, n, low) == pytest.approx(stats.norm.ppf(0.95), abs=1e-4)
    assert constrained(b, c, n, high) == pytest.approx(stats.norm.ppf(0.05), abs=1e-4)


def test_identical_models_need_268_positives_for_a_margin_of_a_hundredth() -> None:
    assert intervals.tango(0, 0, 268, 0.05)[0] >= -0.01 > intervals.tango(0, 0, 267, 0.05)[0]


def test_a_paired_difference_turned_around_has_the_turned_bounds() -> None:
    low, high = intervals.tango(9, 21, 400, 0.05)
    assert intervals.tango(21, 9, 400, 0.05) == pytest.approx((-high, -low), abs=1e-12)


def test_clusters_of_one_row_are_independent_rows() -> None:
    hits = np.r_[np.ones(160), np.zeros(40)]
    found = Clustered(hits, np.ones(200)).bounds(0.05, 200)
    assert found == pytest.approx(intervals.clopper_pearson(160, 200, 0.05), abs=2e-4)


def test_clusters_that_repeat_one_outcome_count_once() -> None:
    hits = np.repeat([5.0, 0.0], [160, 40])
    found = Clustered(hits, np.full(200, 5.0))
    assert found.effective_size == pytest.approx(200, rel=0.01)


def test_few_clusters_with_a_miss_are_taken_at_their_worst() -> None:
    sizes = np.r_[np.full(50, 10.0), np.full(500, 1.0)]
    hits = sizes.copy()
    hits[-5:] = 0
    assert Clustered(hits, sizes).effective_size == pytest.approx(sizes.sum() ** 2 / (sizes**2).sum())


def test_moments_add_up_over_parts() -> None:
    values = np.random.default_rng(1).lognormal(size=1_000)
    parts = Moments.of(values[:300]) + Moments.of(values[300:])
    assert parts.bounds(0.05) == pytest.approx(Moments.of(values).bounds(0.05), rel=1e-9)


def test_a_symmetric_mean_has_the_bounds_of_the_normal() -> None:
    values = stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    low, high = Moments.of(values).bounds(0.05)
    assert (low, high) == pytest.approx((-1.6449 / 100, 1.6449 / 100), rel=0.01)


def test_what_does_not_vary_has_no_bounds() -> None:
    assert Moments.of(np.ones(50)).bounds(0.05) == (-math.inf, math.inf)
    assert intervals.effective_rate(1.0, 0.01, 200, 0.05) == (0.0, 1.0)
    assert intervals.studentised(1.0, 0.0, np.ones(9), np.zeros(9), 0.05) == (0.0, 1.0)
