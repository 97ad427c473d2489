"""A limit is compared with the end of the interval on its wrong side, and nothing slips past the interval."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.verdict import Outcome, Verdict

floats = st.floats(-1e6, 1e6)
triples = st.tuples(floats, floats, floats).map(sorted)
OPERATORS: dict[str, Callable[..., Verdict]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}
names = st.sampled_from(sorted(OPERATORS))


def measured(lower: float, value: float, upper: float, n: int = 100) -> Measurement:
    return Measurement("recall", value, lower, upper, n)


@given(triples, names, floats)
def test_pass_iff_the_worse_bound_holds_and_fail_iff_the_better_does_not(
    triple: list[float], name: str, limit: float
) -> None:
    lower, value, upper = triple
    compare: Callable[[float, float], bool] = getattr(operator, {">=": "ge", ">": "gt", "<=": "le", "<": "lt"}[name])
    worse, better = (lower, upper) if ">" in name else (upper, lower)
    outcome = OPERATORS[name](measured(lower, value, upper), limit).outcome
    assert (outcome is Outcome.PASS) is compare(worse, limit)
    assert (outcome is Outcome.FAIL) is (not compare(better, limit))
    assert outcome is not Outcome.ERROR


@given(triples, names, floats, floats)
def test_a_stricter_limit_is_never_easier(triple: list[float], name: str, one: float, other: float) -> None:
    strict, loose = (max(one, other), min(one, other)) if ">" in name else (min(one, other), max(one, other))
    compare, m = OPERATORS[name], measured(*triple)
    order = [Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.FAIL]
    assert order.index(compare(m, strict).outcome) >= order.index(compare(m, loose).outcome)


@given(triples, floats)
def test_a_limit_on_the_left_means_the_same(triple: list[float], limit: float) -> None:
    m = measured(*triple)
    assert (limit <= m).outcome is (m >= limit).outcome
    assert (limit > m).outcome is (m < limit).outcome


@given(names, st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(0, 2), floats)
def test_what_is_not_a_number_never_passes(name: str, odd: float, place: int, limit: float) -> None:
    numbers = [0.5, 0.5, 0.5]
    numbers[place] = odd
    outcome = OPERATORS[name](measured(*numbers), limit).outcome
    # One-sided: the bound that a limit is not compared with may be infinite, the one that it is may not.
    harmless = {"<": (0, -math.inf), ">": (2, math.inf)}[name[0]]
    if (place, odd) != harmless:
        assert outcome is not Outcome.PASS


@given(names, st.sampled_from([math.nan, math.inf, -math.inf, True, "fast", "5ms", "nan", ""]))
def test_a_limit_that_is_no_number_is_an_error(name: str, limit: float | str) -> None:
    assert OPERATORS[name](measured(0.4, 0.5, 0.6), limit).outcome is Outcome.ERROR


@pytest.mark.parametrize(
    "broken",
    [
        Measurement.exact("size", math.inf),
        measured(0.4, 0.5, 0.6, n=0),
        measured(0.4, 0.5, 0.6, n=-1),
        measured(0.6, 0.5, 0.7),
        measured(0.1, 0.5, 0.4),
    ],
)
def test_no_observations_or_an_impossible_interval_is_an_error(broken: Measurement) -> None:
    assert (broken >= 0.0).outcome is Outcome.ERROR
    assert (measured(0.4, 0.5, 0.6) >= 0.0).outcome is Outcome.PASS


def test_limits_may_carry_units() -> None:
    p99 = Measurement("p99", 0.04, 0.03, 0.05, 1000, unit="s")
    assert p99 <= "50ms"
    assert not p99 <= "49ms"
    assert (p99 <= "50MiB").outcome is Outcome.ERROR


def test_an_exact_number_is_never_inconclusive() -> None:
    size = Measurement.exact("size", 10, unit="MiB")
    assert size <= "10MiB"
    assert (size < "10MiB").outcome is Outcome.FAIL
    assert str(size) == "size 10MiB, n = 1"
    assert str(measured(0.7, 0.8, 0.9)) == "recall 0.8 [0.7, 0.9], n = 100"


def test_inconclusive_says_what_would_decide_it() -> None:
    m = dataclasses.replace(measured(0.7, 0.8, 0.9), needs=lambda limit: f"{limit * 1000:.0f} more positives")
    assert (m >= 0.8).needs == "800 more positives"
    assert (m >= 0.7).needs == ""
    assert (m >= 0.95).needs == ""
    assert (m >= 0.95).reason == "the whole interval is beyond the limit; off by 0.15"
    assert (measured(0.7, 0.8, 0.9) >= 0.8).needs == "more data, for a narrower interval"


@pytest.mark.parametrize(
    "misuse",
    [
        bool,
        float,
        lambda m: m == 0.8,
        lambda m: m != 0.8,
        lambda m: m == m,
        lambda m: m in [0.8],
        lambda m: not m,
        lambda m: m + True,
        lambda m: m - False,
        lambda m: m - "1",
        lambda m: m + m,
    ],
)
def test_what_would_hide_the_interval_raises(misuse: Callable[[Measurement], object]) -> None:
    with pytest.raises(TypeError):
        misuse(measured(0.01, 0.05, 0.06))


def test_the_comparison_that_is_meant_does_not_raise() -> None:
    assert measured(0.7, 0.8, 0.9) >= 0.7
    assert measured(0.7, 0.8, 0.9).value == 0.8


# Two measurements, on the paired interval of their difference. `new - old` is 0.02 within [0.01, 0.03].


def difference(left: Measurement, right: Measurement) -> Measurement:
    del left, right
    return Measurement("new - old", 0.02, 0.01, 0.03, 100)


newer = Measurement("new", 0.82, 0.7, 0.9, 100, sample="rows", difference=difference)
older = Measurement("old", 0.80, 0.7, 0.9, 100, sample="rows", difference=difference)


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (newer >= older, Outcome.PASS),
        (newer >= older - 0.01, Outcome.PASS),
        (newer >= older + 0.01, Outcome.PASS),
        (newer >= older + 0.02, Outcome.INCONCLUSIVE),
        (newer >= older + 0.04, Outcome.FAIL),
        (newer >= older - 0.01 + 0.05, Outcome.FAIL),
        (newer - 0.01 >= older, Outcome.PASS),
        (newer - 0.02 >= older, Outcome.INCONCLUSIVE),
        (newer - 0.04 >= older, Outcome.FAIL),
        (newer - 0.04 >= older - 0.04, Outcome.PASS),
        (newer <= older + 0.03, Outcome.PASS),
        (newer <= older, Outcome.FAIL),
    ],
)
def test_margins_on_either_side_count(verdict: Verdict, outcome: Outcome) -> None:
    assert verdict.outcome is outcome


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(older, sample="other rows"),
        dataclasses.replace(older, sample=""),
        older - math.nan,
        older - math.inf,
    ],
)
def test_measurements_that_can_not_be_paired_are_an_error(other: Measurement) -> None:
    assert (newer >= other).outcome is Outcome.ERROR
    assert (newer >= older).outcome is Outcome.PASS


def test_without_a_sample_or_a_paired_interval_there_is_no_comparison() -> None:
    nameless = dataclasses.replace(newer, sample="")
    assert (nameless >= dataclasses.replace(older, sample="")).outcome is Outcome.ERROR
    assert (dataclasses.replace(newer, difference=None) >= older).outcome is Outcome.ERROR
