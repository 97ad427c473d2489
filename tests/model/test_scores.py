"""Figures against scikit-learn and fairlearn; what must not change them; rows that cannot be measured."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from pytest_pixgates import Outcome, Scores
from pytest_pixgates.model_gate import champion, fairness
from pytest_pixgates.model_gate.policy import COMPARED
from pytest_pixgates.model_gate.rows import RATES
from pytest_pixgates.model_gate.scores import ScoresError

RNG = np.random.default_rng(0)
Y = RNG.random(30_000) < 0.02
Z = RNG.normal(size=30_000) + 2.5 * Y
S = 1 / (1 + np.exp(3 - Z))
G = RNG.choice(["N", "NE", "S"], 30_000)
A = RNG.lognormal(4, 1, 30_000)
T = np.datetime64("2026-08-01") + np.linspace(0, 20 * 86400, 30_000).astype("timedelta64[s]")
CUT = 0.3


def made(y: Any = Y, s: Any = S, **more: Any) -> Scores:
    return Scores(y, s, threshold=CUT, groups={"region": G}, amounts=A, times=T, **more)


@pytest.mark.parametrize("scores", [S, S.round(2), S.round(1)], ids=["distinct", "tied", "many ties"])
def test_figures_are_those_of_scikit_learn(scores: Any) -> None:
    ours, alert = made(s=scores), scores >= CUT
    oracle = {
        "recall": metrics.recall_score(Y, alert),
        "precision": metrics.precision_score(Y, alert),
        "specificity": metrics.recall_score(~Y, ~alert),
        "false_positive_rate": false_positive_rate(Y, alert),
        "roc_auc": metrics.roc_auc_score(Y, scores),
        "average_precision": metrics.average_precision_score(Y, scores),
        "brier": metrics.brier_score_loss(Y, scores),
        "amount_recall": metrics.recall_score(Y, alert, sample_weight=A),
    }
    assert {name: getattr(ours, name).value for name in oracle} == pytest.approx(oracle, abs=1e-12)
    assert ours.f_beta(2).value == pytest.approx(metrics.fbeta_score(Y, alert, beta=2), abs=1e-12)


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.1])
def test_recall_at_a_rate_is_that_of_the_roc_curve(rate: float) -> None:
    false, found, _ = metrics.roc_curve(Y, S, drop_intermediate=False)
    assert made().recall_at_fpr(rate).value == pytest.approx(found[false <= rate].max(), abs=1e-12)


def test_precision_of_the_first_alerts_is_that_of_the_sorted_rows() -> None:
    first = Y[np.argsort(-S)][: 20 * 20]
    assert made().precision_at(20).value == pytest.approx(first.mean(), abs=5e-3)


@pytest.mark.parametrize(
    "name", ["recall", "precision", "false_positive_rate", "roc_auc", "average_precision", "brier"]
)
def test_weights_are_those_of_scikit_learn(name: str) -> None:
    weights, alert = RNG.random(30_000) + 0.5, S >= CUT
    oracle = {
        "recall": lambda: metrics.recall_score(Y, alert, sample_weight=weights),
        "precision": lambda: metrics.precision_score(Y, alert, sample_weight=weights),
        "false_positive_rate": lambda: false_positive_rate(Y, alert, sample_weight=weights),
        "roc_auc": lambda: metrics.roc_auc_score(Y, S, sample_weight=weights),
        "average_precision": lambda: metrics.average_precision_score(Y, S, sample_weight=weights),
        "brier": lambda: metrics.brier_score_loss(Y, S, sample_weight=weights),
    }[name]()
    assert getattr(made(weights=weights), name).value == pytest.approx(oracle, abs=1e-12)


def test_groups_are_those_of_fairlearn() -> None:
    frame = MetricFrame(metrics=false_positive_rate, y_true=Y, y_pred=S >= CUT, sensitive_features=G)
    ours = {group.name: group.rate for group in fairness.groups(made(), ["region"], "false_positive_rate")}
    assert ours == pytest.approx(frame.by_group.to_dict(), abs=1e-12)


FIGURES: dict[str, Callable[[Scores], Any]] = {
    **{name: operator.attrgetter(name) for name in (*COMPARED, "calibration_error")},
    "f_2": lambda rows: rows.f_beta(2),
    "recall_at_fpr": lambda rows: rows.recall_at_fpr(0.01),
    "precision_at": lambda rows: rows.precision_at(15),
    "cost": lambda rows: rows.cost(5),
}


def told(measured: Any) -> tuple[float, float, float]:
    return measured.value, measured.lower, measured.upper


@pytest.mark.parametrize("figure", FIGURES)
def test_the_order_of_rows_changes_nothing(figure: str) -> None:
    order = np.random.default_rng(3).permutation(len(Y))
    shuffled = Scores(Y[order], S[order], threshold=CUT, amounts=A[order], times=T[order])
    assert told(FIGURES[figure](shuffled)) == pytest.approx(told(FIGURES[figure](made())), rel=1e-9)


@pytest.mark.parametrize("figure", ["recall", "roc_auc", "average_precision", "recall_at_fpr", "precision_at"])
def test_a_monotone_transform_of_the_score_changes_no_ranking(figure: str) -> None:
    bent = Scores(Y, S**3, decisions=S >= CUT, amounts=A, times=T)
    assert told(FIGURES[figure](bent)) == pytest.approx(told(FIGURES[figure](made())), rel=1e-9)


@pytest.mark.parametrize("figure", ["recall", "false_positive_rate", "brier"])
def test_clusters_of_single_rows_and_equal_weights_change_little(figure: str) -> None:
    plain, clustered = told(getattr(made(), figure)), told(getattr(made(clusters=np.arange(len(Y))), figure))
    assert clustered == pytest.approx(plain, rel=0.01)
    assert told(getattr(made(weights=np.full(len(Y), 2.0)), figure)) == pytest.approx(plain, rel=0.01)


def test_repeated_rows_of_a_payer_add_no_evidence() -> None:
    thrice = np.repeat(np.arange(len(Y)), 3)
    plain, naive = made().recall, Scores(Y[thrice], S[thrice], threshold=CUT).recall
    clustered = Scores(Y[thrice], S[thrice], threshold=CUT, clusters=thrice).recall
    assert naive.upper - naive.lower < 0.65 * (plain.upper - plain.lower)
    assert clustered.upper - clustered.lower == pytest.approx(plain.upper - plain.lower, rel=0.02)
    single = Scores(Y, S, threshold=CUT, groups={"region": G})
    repeated = Scores(Y[thrice], S[thrice], threshold=CUT, groups={"region": G[thrice]}, clusters=thrice)
    plain_n, clustered_n = (
        [group.n for group in fairness.groups(each, ["region"], "recall")] for each in (single, repeated)
    )
    assert clustered_n == pytest.approx(plain_n, rel=0.02)


@pytest.mark.parametrize("figure", ["roc_auc", "average_precision"])
def test_a_ranking_of_repeated_rows_is_no_surer(figure: str) -> None:
    few = slice(0, 12_000)
    thrice = np.repeat(np.arange(12_000), 3)
    plain = getattr(Scores(Y[few], S[few], threshold=CUT), figure)
    clustered = getattr(Scores(Y[thrice], S[thrice], threshold=CUT, clusters=thrice), figure)
    assert clustered.upper - clustered.lower == pytest.approx(plain.upper - plain.lower, rel=0.15)


def test_groups_may_be_called_anything() -> None:
    names = {"N": "a", "NE": "b", "S": "c"}
    renamed = Scores(Y, S, threshold=CUT, groups={"region": [names[each] for each in G]})
    ours = fairness.judge(made(), ["region"], "false_positive_rate", 1.5)
    theirs = fairness.judge(renamed, ["region"], "false_positive_rate", 1.5)
    assert ours.outcome is theirs.outcome
    assert [each.value for each in ours.figures] == [each.value for each in theirs.figures]


@pytest.mark.parametrize("name", ["rows", "alerts", "len", "0", "other", "hits", "place", "key"])
def test_a_group_column_may_be_called_as_we_call_ours(name: str) -> None:
    rows = Scores(Y, S, threshold=CUT, groups={name: G}, ids=np.arange(len(Y)))
    plain = fairness.groups(made(), ["region"], "false_positive_rate")
    assert fairness.groups(rows, [name], "false_positive_rate") == plain
    assert (rows.recall >= champion.aligned(rows, rows).recall - 0.1).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "rows",
    [
        {"labels": list(map(bool, Y)), "scores": list(map(float, S))},
        {"labels": pd.Series(Y), "scores": pd.Series(S)},
        {"labels": pl.Series(Y), "scores": pl.Series(S)},
        {"labels": pa.array(Y), "scores": pa.array(S)},
        {"labels": Y.astype(int), "scores": S.astype(np.float64)},
    ],
    ids=["lists", "pandas", "polars", "arrow", "0 and 1"],
)
def test_all_kinds_of_columns_give_the_same(rows: dict[str, Any]) -> None:
    found = Scores(rows["labels"], rows["scores"], threshold=CUT).recall
    assert told(found) == told(made().recall)


def test_a_file_is_measured_without_being_held(tmp_path: Any) -> None:
    frame = pl.DataFrame({"label": Y, "score": S, "amount": A})
    frame.write_parquet(tmp_path / "rows.parquet", row_group_size=1_000)
    scanned = Scores.scan(pl.scan_parquet(tmp_path / "rows.parquet"), threshold=CUT)
    held = Scores(Y, S, threshold=CUT, amounts=A)
    for name in ("recall", "roc_auc", "brier", "calibration_error"):
        assert told(getattr(scanned, name)) == pytest.approx(told(getattr(held, name)), rel=1e-9)


def test_a_verdict_outside_of_pytest() -> None:
    assert (made().recall >= 0.1).outcome is Outcome.PASS
    assert (made().recall >= 0.99).outcome is Outcome.FAIL


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "labels of text": ({"labels": ["0", "1"]}, "not booleans"),
    "labels of floats": ({"labels": [0.0, 1.0]}, "not booleans"),
    "a label 2": ({"labels": [0, 2]}, "neither 0 nor 1"),
    "a null label": ({"labels": [True, None]}, "nulls"),
    "a NaN": ({"scores": [0.1, float("nan")]}, "NaN"),
    "an infinite score": ({"scores": [0.1, float("inf")]}, "infinite"),
    "a score above 1": ({"scores": [0.1, 1.01]}, "outside of"),
    "lengths": ({"scores": [0.1]}, "differ in length"),
    "no rows": ({"labels": np.array([], bool), "scores": np.array([], float)}, "no rows"),
    "a threshold above 1": ({"threshold": 1.1}, "outside of"),
    "a threshold NaN": ({"threshold": float("nan")}, "outside of"),
    "no decision": ({"threshold": None}, "alerts"),
    "both": ({"decisions": [True, False]}, "not both"),
    "ids twice": ({"ids": ["a", "a"]}, "twice"),
    "a weight 0": ({"weights": [1.0, 0.0]}, "weights"),
    "a weight beyond all others": ({"weights": [1.0, 1e10]}, "weights are no numbers between 1e-09 and 1e\\+09"),
    "a negative amount": ({"amounts": [1.0, -1.0]}, "amounts"),
    "two dimensions": ({"scores": np.zeros((2, 2))}, "dimensions"),
    "a group called score": ({"groups": {"score": [1, 2]}}, "may not be called"),
    "alpha": ({"alpha": 0.7}, "alpha"),
}


@pytest.mark.parametrize("case", BAD)
def test_rows_that_cannot_be_measured_are_refused_by_name(case: str) -> None:
    change, named = BAD[case]
    good: dict[str, Any] = {"labels": [False, True], "scores": [0.2, 0.9], "threshold": 0.5}
    with pytest.raises(ScoresError, match=named):
        Scores(**{**good, **change})


@pytest.mark.parametrize("label", [True, False])
def test_one_class_alone_never_passes_what_needs_both(label: bool) -> None:
    rows = Scores([label] * 300, np.linspace(0, 1, 300), threshold=0.5, amounts=np.ones(300))
    for each in (rows.roc_auc, rows.average_precision, rows.recall_at_fpr(0.1)):
        assert (each >= 0.0).outcome is Outcome.ERROR
    missing = rows.false_positive_rate if label else rows.recall
    assert (missing >= 0.0).outcome is Outcome.ERROR


def test_few_positives_have_no_interval_of_a_large_sample() -> None:
    few = Scores(Y[:3_000], S[:3_000], threshold=CUT)
    verdict = few.roc_auc >= 0.5
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "200 positives" in verdict.needs


def test_a_perfect_ranking_is_as_sure_as_its_pairs() -> None:
    labels = np.arange(1_000) < 250
    rows = Scores(labels, np.where(labels, 0.9, 0.1), threshold=0.5)
    assert rows.roc_auc.lower == pytest.approx(0.05 ** (1 / 250))
    assert (rows.average_precision >= 0.5).outcome is Outcome.INCONCLUSIVE


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=60))
def test_small_tables_agree_with_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    labels, scores = np.array([row[0] for row in rows]), np.array([row[1] / 20 for row in rows])
    ours = Scores(labels, scores, threshold=0.5)
    if labels.any() and not labels.all():
        assert ours.roc_auc.value == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)
        assert ours.average_precision.value == pytest.approx(
            metrics.average_precision_score(labels, scores), abs=1e-12
        )  # fmt: skip
    if labels.any():
        assert ours.recall.value == pytest.approx(metrics.recall_score(labels, scores >= 0.5), abs=1e-12)
        assert ours.recall.lower <= ours.recall.value <= ours.recall.upper


ONE = np.flatnonzero(Y)[0]
HEAVY: dict[str, dict[str, Any]] = {
    "a row of a weight": {"weights": np.where(np.arange(len(Y)) == ONE, 1e6, 1.0)},
    "rows of many weights": {"weights": np.random.default_rng(7).pareto(0.3, len(Y)).clip(1e-6, 1e6)},
    "a payer of most rows": {"clusters": np.where(np.arange(len(Y)) % 10 < 9, -1, np.arange(len(Y)))},
}


@pytest.mark.parametrize("heavy", HEAVY)
@pytest.mark.parametrize("figure", sorted(FIGURES.keys() - {"precision", "false_positive_rate", "specificity"}))
def test_where_a_few_outweigh_all_others_nothing_is_known_well_enough(figure: str, heavy: str) -> None:
    rows = made(**HEAVY[heavy])
    measured = FIGURES[figure](rows)
    assert not measured >= 0.7 * measured.value
    if figure in COMPARED:
        other = Scores(Y, S, threshold=CUT, amounts=A, **HEAVY[heavy])
        assert not getattr(other, figure) >= getattr(other, figure) - 0.01


def test_a_champion_is_compared_by_amounts_only_where_no_few_outweigh_all_others() -> None:
    fraud, amounts = np.arange(1_000) < 400, np.where(np.arange(1_000) == 0, 1e9, 100.0)
    own, base = (Scores(fraud, decisions=np.arange(1_000) < caught, amounts=amounts) for caught in (101, 301))
    assert (own.amount_recall >= base.amount_recall - 0.02).outcome is Outcome.INCONCLUSIVE
    assert (own.recall >= base.recall - 0.02).outcome is Outcome.FAIL


HOURS = np.datetime64("2026-08-01") + (np.arange(2_400) // 100).astype("timedelta64[h]")


def test_every_row_is_in_one_slice() -> None:
    last = np.arange(2_400) >= 2_300
    rows = Scores(np.ones(2_400, bool), decisions=last, times=HOURS)
    assert {every: len(rows.periods(every)) for every in ("1h", "6h", "1d")} == {"1h": 24, "6h": 4, "1d": 1}
    assert list(rows.periods("6h"))[:2] == ["2026-08-01", "2026-08-01 06:00"]
    assert not rows.periods("1h").recall >= 0.9
    age = pl.Series([None if each else float(at) for at, each in enumerate(~last)])
    with pytest.raises(ScoresError, match="age has nulls"):
        Scores(np.ones(2_400, bool), decisions=last, groups={"age": age}).quantiles("age")
    names = {"a": np.where(last, "x y", "x"), "b": np.where(last, "z", "y z")}
    with pytest.raises(ScoresError, match="two groups would have one name"):
        Scores(np.ones(2_400, bool), decisions=last, groups=names).by("a", "b")


def test_a_bound_beyond_all_draws_is_none() -> None:
    assert made().at(1e-4).calibration_error.upper == math.inf


@pytest.mark.parametrize("figure", ["roc_auc", "average_precision", "recall_at_fpr"])
def test_few_weights_or_many_give_the_same_bounds(figure: str) -> None:
    few = np.where(Y, 1.0, np.random.default_rng(6).choice([2.0, 4.0], len(Y)))
    many = few * (1 + np.arange(len(Y)) * 1e-12)  # each row's own, so that rows are drawn instead of counts
    counted, drawn = (FIGURES[figure](made(weights=each)) for each in (few, many))
    assert counted.value == pytest.approx(drawn.value, rel=1e-6)
    width = drawn.upper - drawn.lower
    assert told(counted) == pytest.approx(told(drawn), abs=0.1 * width)


@pytest.mark.parametrize("clusters", [{}, {"clusters": np.arange(len(Y)) // 3}], ids=["rows", "clusters"])
def test_the_calibration_error_of_weighted_rows_is_that_of_so_many_rows(clusters: dict[str, Any]) -> None:
    times = np.random.default_rng(4).integers(1, 4, len(Y))
    many = np.repeat(np.arange(len(Y)), times)
    weighted, repeated = (
        made(weights=times.astype(float), **clusters).calibration_error,
        Scores(Y[many], S[many], threshold=CUT).calibration_error,
    )
    assert weighted.value == pytest.approx(repeated.value, abs=1e-12)
    assert weighted.upper - weighted.value > repeated.upper - repeated.value  # a weight is no evidence


@pytest.mark.parametrize("figure", COMPARED)
def test_the_difference_of_weighted_rows_is_that_of_so_many_rows_and_less_sure(figure: str) -> None:
    rng = np.random.default_rng(5)
    times, other = rng.integers(1, 4, len(Y)), np.clip(S + rng.normal(0, 0.02, len(Y)), 0, 1)
    many = np.repeat(np.arange(len(Y)), times)

    def difference(rows: Any, **more: Any) -> Any:
        own, base = (Scores(Y[rows], each[rows], threshold=CUT, amounts=A[rows], **more) for each in (S, other))
        return (getattr(own, figure) >= getattr(base, figure) - 0.5).figures[0]

    every = np.arange(len(Y))
    weighted, repeated, plain = difference(every, weights=times.astype(float)), difference(many), difference(every)
    assert weighted.value == pytest.approx(repeated.value, abs=1e-12)
    assert weighted.upper - weighted.lower > 1.2 * (repeated.upper - repeated.lower)
    doubled = difference(every, weights=np.full(len(Y), 2.0))
    assert doubled.value == pytest.approx(plain.value, abs=1e-12)
    assert 0.95 < (doubled.upper - doubled.lower) / (plain.upper - plain.lower) < 1.25  # at half of alpha, some of them


ANY: dict[str, st.SearchStrategy[Any]] = {
    "weights": st.sampled_from([1e-9, 0.3, 1.0, 2.5, 1e9]),
    "clusters": st.integers(0, 5),
    "amounts": st.sampled_from([0.0, 1.0, 1e9]),
}


@settings(max_examples=60, deadline=None)
@given(st.data())
@pytest.mark.filterwarnings("error")
def test_whatever_rows_weights_and_payers_there_are_each_figure_is_judged_or_refused(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 40))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return data.draw(st.lists(values, min_size=n, max_size=n))

    labels, told = column(st.booleans()), st.sampled_from([0.0, 0.25, 0.5, 1.0])
    more = {name: column(values) for name, values in ANY.items() if name == "amounts" or data.draw(st.booleans())}
    own, base = (Scores(labels, column(told), threshold=0.5, **more) for _ in range(2))
    for name, figure in FIGURES.items():
        if name == "precision_at":  # there are no times
            continue
        measured, other = figure(own), figure(base)
        verdicts = [measured >= 0.5, *([measured >= other - 0.1] if name in COMPARED else [])]
        assert all(isinstance(verdict.outcome, Outcome) for verdict in verdicts)
        if name not in (*RATES, "amount_recall"):
            assert not any(verdicts)  # so few rows decide no figure but a rate
