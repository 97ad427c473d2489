"""Only PASS is green, the worst counts, and asking for a verdict's truth records it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pixgates.core import recording
from pytest_pixgates.core.scan import Scan
from pytest_pixgates.core.verdict import Figure, Outcome, Verdict, any_of
from pytest_pixgates.recorder import ItemRecorder

ORDER = [Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.ERROR, Outcome.FAIL]
some_outcomes = st.lists(st.sampled_from(Outcome), min_size=1)


@pytest.fixture
def noted() -> Iterator[ItemRecorder]:
    sink = ItemRecorder("ledger/settled", "ledger", "gates/test_ledger.py::test_settled")
    before = recording.use(sink)
    yield sink
    recording.use(before)


def checks(noted: ItemRecorder) -> list[str]:
    return [each.verdict.check for each in noted.record().checks]


@pytest.mark.parametrize("outcome", Outcome)
def test_only_pass_is_truthy(outcome: Outcome) -> None:
    assert bool(outcome) is (outcome is Outcome.PASS)
    assert bool(Verdict(outcome, "a")) is (outcome is Outcome.PASS)


def test_outcomes_are_ordered_from_pass_to_fail() -> None:
    assert sorted(Outcome, key=lambda outcome: outcome.rank) == ORDER
    for better, worse in itertools.combinations(ORDER, 2):
        assert Outcome.worst([better, worse]) is Outcome.worst([worse, better]) is worse


@given(some_outcomes, some_outcomes)
def test_the_worst_is_never_better_for_looking_at_more(some: list[Outcome], more: list[Outcome]) -> None:
    assert Outcome.worst(some + more).rank >= Outcome.worst(some).rank
    assert bool(Outcome.worst(some)) is all(outcome is Outcome.PASS for outcome in some)


def test_the_worst_of_nothing_is_an_error() -> None:
    assert Outcome.worst([]) is Outcome.ERROR
    assert Outcome.worst([Outcome.PASS]) is Outcome.PASS


def test_the_text_says_each_thing_once_and_leaves_out_what_is_empty() -> None:
    assert str(Verdict(Outcome.PASS, "recall >= 0.8")) == "PASS: recall >= 0.8"
    full = Verdict(Outcome.FAIL, "recall >= 0.8", "0.7", "too low", "a better model")
    expected = ["FAIL: recall >= 0.8", "  measured: 0.7", "  because: too low", "  needs: a better model"]
    assert full.lines() == expected


@given(some_outcomes)
def test_any_of_passes_iff_one_does(outcomes: list[Outcome]) -> None:
    combined = any_of(*(Verdict(outcome, outcome.value) for outcome in outcomes))
    assert combined.outcome is min(outcomes, key=lambda outcome: outcome.rank)
    assert bool(combined) is (Outcome.PASS in outcomes)


def test_any_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        any_of()


def test_any_of_stands_in_for_its_parts_while_or_records_both(noted: ItemRecorder) -> None:
    bad, good = Verdict(Outcome.FAIL, "a"), Verdict(Outcome.PASS, "b")
    assert bad or good
    assert checks(noted) == ["a", "b"]
    combined = any_of(bad, good)
    assert checks(noted) == ["any of: a; b"]
    assert combined


def test_asking_for_truth_records_once_and_not_asking_records_nothing(noted: ItemRecorder) -> None:
    verdict, scan = Verdict(Outcome.FAIL, "a"), Scan("checkov", "iac")
    assert checks(noted) == []
    assert not verdict
    assert not verdict
    assert not scan
    assert checks(noted) == ["a", "checkov iac"]


def test_equal_verdicts_are_two_checks(noted: ItemRecorder) -> None:
    assert Verdict(Outcome.PASS, "a")
    assert Verdict(Outcome.PASS, "a")
    assert checks(noted) == ["a", "a"]


@pytest.mark.parametrize(
    ("figure", "outcome"),
    [
        (Figure("x", 0.8, 0.7, 0.9, ">=", 0.7, 9), Outcome.PASS),
        (Figure("x", 0.8, 0.7, 0.9, ">", 0.7, 9), Outcome.INCONCLUSIVE),
        (Figure("x", 0.8, 0.7, 0.9, "<=", 0.9, 9), Outcome.PASS),
        (Figure("x", 0.8, 0.7, 0.9, "<", 0.7, 9), Outcome.FAIL),
        (Figure("x", 0.8, None, 0.9, ">=", 0.7, 9), Outcome.INCONCLUSIVE),
        (Figure("x", 0.8, 0.7, None, ">=", 0.7, 9), Outcome.PASS),
        (Figure("x", 0.8, math.inf, math.nan, ">=", 0.7, 9), Outcome.INCONCLUSIVE),
        (Figure("x", math.nan, 0.7, 0.9, ">=", 0.7, 9), Outcome.ERROR),
        (Figure("x", 0.8, 0.7, 0.9, ">=", math.inf, 9), Outcome.ERROR),
        (Figure("x", 0.8, 0.7, 0.9, "==", 0.8, 9), Outcome.ERROR),
    ],
)
def test_a_figure_says_what_its_interval_decides_and_nothing_of_what_is_no_number(
    figure: Figure, outcome: Outcome
) -> None:
    assert figure.outcome is outcome
