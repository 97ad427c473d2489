"""Figures of counts are those of the rows, however the rows were divided before they were counted."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_pixgates import Outcome, Scores
from pytest_pixgates.model_gate import counted, fairness
from pytest_pixgates.model_gate.columns import ScoresError
from pytest_pixgates.model_gate.counted import Counted, Tally
from tests.model.conftest import scored

FIGURES: dict[str, Callable[[Scores], Any]] = {
    **{
        name: lambda rows, name=name: getattr(rows, name)
        for name in (
            *("recall", "precision", "false_positive_rate", "specificity", "amount_recall"),
            *("roc_auc", "average_precision", "brier", "calibration_error"),
        )
    },
    "f_2": lambda rows: rows.f_beta(2),
    "recall_at_fpr": lambda rows: rows.recall_at_fpr(0.003),
    "precision_at": lambda rows: rows.precision_at(10),
    "cost": lambda rows: rows.cost(4),
}


def rows_of(seed: int = 0, rows: int = 30_000, digits: int = 4) -> pl.DataFrame:
    """Rows with ties, for scores are rounded, and with scores on the edges of bins."""
    return scored(rows, seed).select(
        pl.col("is_fraud").alias("label"),
        pl.col("score").round(digits),
        (pl.col("decision") != "approve").alias("decision"),
        (pl.col("cents") / 100).alias("amount"),
        pl.col("at").alias("time"),
    )


def tally_of(rows: pl.DataFrame, splits: Any) -> Tally:
    """What Spark counts, in numpy."""
    label, score, decision = (rows[name].to_numpy() for name in ("label", "score", "decision"))
    at = np.searchsorted(splits, score, side="right") - 1
    distance = (score - label) ** 2
    sums = {
        "frauds": label, "honest": ~label, "alarms": ~label & decision,
        "fraud scores": label * score, "honest scores": ~label * score,
        "d2": distance, "d4": distance**2, "d6": distance**3,
    }  # fmt: skip
    pieces = pl.DataFrame({"left": splits[at], **sums, "time": rows["time"].dt.epoch("us")})
    pieces = pieces.group_by("left").agg(
        pl.col("frauds", "honest", "alarms").sum().cast(pl.Int64),
        pl.col("fraud scores", "honest scores", "d2", "d4", "d6").sum(),
        pl.col("time").min().alias("first"),
        pl.col("time").max().alias("last"),
    )
    return Tally(rows.filter("label").select("score", "decision", "amount"), pieces.sort("left"))


def judged(tally: Tally) -> Scores:
    return BY_ROWS._with(data=Counted(tally))


def told(measured: Any) -> tuple[float, ...]:
    return measured.value, measured.lower, measured.upper, measured.n


def splits_of(rows: pl.DataFrame) -> Any:
    return counted.splits(rows.filter("label")["score"].to_numpy())


ROWS = rows_of()
WHOLE = tally_of(ROWS, splits_of(ROWS))
BY_ROWS = Scores.scan(ROWS.lazy())
BY_COUNTS = judged(WHOLE)


@pytest.mark.parametrize("figure", FIGURES)
def test_figures_of_counts_are_those_of_the_rows(figure: str) -> None:
    ours, theirs = (FIGURES[figure](each) for each in (BY_COUNTS, BY_ROWS))
    assert told(ours) == pytest.approx(told(theirs), rel=1e-9)
    assert (str(ours), ours.needs(0.5)) == (str(theirs), theirs.needs(0.5))


@pytest.mark.parametrize("digits", [1, 2, 12])
def test_cells_are_exactly_those_of_the_rows(digits: int) -> None:
    rows = rows_of(digits=digits)
    ours, theirs = judged(tally_of(rows, splits_of(rows))).data.cells, Scores.scan(rows.lazy()).data.cells
    for name in ("positives", "tied", "gaps"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4000), min_size=1, max_size=5), st.integers(0, 99))
def test_counts_of_parts_add_up_to_those_of_the_whole(ends: list[int], seed: int) -> None:
    rows = rows_of(seed, rows=4000, digits=2)
    splits, whole = splits_of(rows), judged(tally_of(rows, splits_of(rows)))
    edges = [0, *sorted(ends), 4000]
    parts = [tally_of(rows[low:high], splits) for low, high in itertools.pairwise(edges)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    summed = judged(total)
    for name in ("positives", "tied", "gaps"):
        assert np.array_equal(getattr(summed.data.cells, name), getattr(whole.data.cells, name)), name
    assert summed.data.counts == whole.data.counts
    assert summed.data.days == whole.data.days
    for figure in ("recall", "precision", "false_positive_rate", "brier", "amount_recall", "calibration_error"):
        assert told(FIGURES[figure](summed)) == pytest.approx(told(FIGURES[figure](whole)), rel=1e-9, nan_ok=True)


def test_a_part_that_is_left_out_changes_the_figures() -> None:
    half = judged(tally_of(ROWS[:15_000], splits_of(ROWS)))
    assert half.size == 15_000
    assert told(half.recall) != told(BY_COUNTS.recall)
    assert told(half.brier) != told(BY_COUNTS.brier)


def test_counts_that_are_of_other_rows_than_the_positives_are_refused() -> None:
    other = rows_of(seed=1)
    for mixed in (Tally(other.filter("label").select("score", "decision", "amount"), WHOLE.pieces),
                  Tally(WHOLE.positives[1:], WHOLE.pieces),
                  tally_of(ROWS, counted.splits(np.array([0.5])))):  # fmt: skip
        with pytest.raises(ScoresError, match="other rows each time"):
            judged(mixed)


def test_verdicts_of_counts_are_truthy_only_for_pass() -> None:
    assert (BY_COUNTS.recall >= 0.5).outcome is Outcome.PASS
    assert (BY_COUNTS.recall >= 0.99).outcome is Outcome.FAIL
    assert (BY_COUNTS.recall >= BY_COUNTS.recall.value).outcome is Outcome.INCONCLUSIVE


def test_what_needs_rows_is_refused_by_name() -> None:
    refused: dict[str, Callable[[], object]] = {
        "region S": lambda: BY_COUNTS.slice("region", "S"),
        "by region": lambda: BY_COUNTS.by("region"),
        "by score": lambda: fairness.judge(BY_COUNTS, ["score"], "recall", 1.5),
        "4 quantiles of amount": lambda: BY_COUNTS.quantiles("amount"),
        "periods of 1w": lambda: BY_COUNTS.periods("1w"),
        "brier": lambda: BY_COUNTS.data.influence("brier"),
        "night": lambda: BY_COUNTS.where(pl.col("score") > 0, "night"),
    }
    for name, ask in refused.items():
        with pytest.raises(ScoresError, match=f"^{name}: counts can't be"):
            ask()


def test_whatever_else_asks_for_rows_is_refused_as_well() -> None:
    asked: tuple[Callable[[], object], ...] = (
        lambda: BY_COUNTS.rows,
        lambda: BY_COUNTS.data.moments(pl.col("score")),
        lambda: BY_COUNTS.data.places,
        lambda: BY_COUNTS.rescored(ROWS.select("score", "decision")),
    )
    for ask in asked:
        with pytest.raises(ScoresError, match=r"^counts can't be looked at row by row"):
            ask()


def test_counts_are_compared_with_no_other_model() -> None:
    verdict = BY_COUNTS.recall >= BY_COUNTS.recall - 0.5
    assert verdict.outcome is Outcome.ERROR
    assert "not measured on the same rows" in verdict.reason


def test_without_amounts_or_moments_the_figures_that_need_them_say_so() -> None:
    bare = Tally(WHOLE.positives.drop("amount"), WHOLE.pieces.drop("first", "last"))
    with pytest.raises(ScoresError, match="no amounts"):
        _ = judged(bare).amount_recall
    with pytest.raises(ScoresError, match="no times"):
        judged(bare).precision_at(10)
    assert told(judged(bare).recall) == told(BY_COUNTS.recall)


def test_without_a_positive_nothing_is_measured() -> None:
    rows = ROWS.filter(~pl.col("label"))
    none = judged(tally_of(rows, splits_of(rows)))
    assert (none.recall >= 0.5).outcome is Outcome.ERROR
    assert (none.roc_auc >= 0.5).outcome is Outcome.ERROR
    assert none.false_positive_rate.n == len(rows)
