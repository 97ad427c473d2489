"""Rows of one payer, two models on the same rows, groups, slices and drift: the promise holds there too."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from pytest_pixgates.core.verdict import Outcome, Verdict
from pytest_pixgates.model_gate import drift, fairness, intervals
from pytest_pixgates.model_gate.compare import difference_bounds
from pytest_pixgates.model_gate.intervals import Clustered
from pytest_pixgates.model_gate.scores import Scores
from tests.statistics.simulate import SETS, most

MANY = 10 * SETS


def passing(verdicts: list[Verdict]) -> float:
    return sum(verdict.outcome is Outcome.PASS for verdict in verdicts) / len(verdicts)


@pytest.mark.parametrize("largest", [1, 5, 50])
@pytest.mark.parametrize("rate", [0.7, 0.9, 0.98])
def test_a_rate_over_clusters_passes_at_its_limit_as_promised(rate: float, largest: int) -> None:
    """Each payer has a rate of its own (beta), so that its rows are alike; stated: at most 5.8 %."""
    rng = np.random.default_rng([largest, int(100 * rate)])
    passed = naive = 0
    for _ in range(MANY):
        sizes = rng.integers(1, largest + 1, 300)
        hits = rng.binomial(sizes, rng.beta(rate, 1 - rate, 300))  # half of the spread is between payers
        made = Clustered(hits.astype(float), sizes.astype(float))
        passed += made.bounds(0.05, sizes.sum())[0] >= rate
        naive += intervals.clopper_pearson(hits.sum(), sizes.sum(), 0.05)[0] >= rate
    assert passed / MANY <= most(0.058, MANY)
    if largest > 1:
        assert naive / MANY > 0.08  # the control: rows taken as independent


@pytest.mark.parametrize("discordant", [0.02, 0.05, 0.2])
def test_a_champion_at_the_margin_is_not_passed_by_luck(discordant: float) -> None:
    rng, n, margin = np.random.default_rng(3), 1_500, 0.01
    worse = (discordant + margin) / 2
    drawn = rng.multinomial(n, [discordant - worse, worse, 1 - discordant], MANY)
    bounds = [intervals.tango(float(b), float(c), n, 0.05)[0] for b, c, _ in drawn]
    assert np.mean(np.array(bounds) >= -margin) <= most(0.055, MANY)


def two_models(rng: np.random.Generator, margin: float, whole: float) -> tuple[Scores, Scores]:
    """A model and a champion whose recall is `margin` better; a part of the payers is judged alike as a `whole`."""
    payers = np.repeat(np.arange(300), rng.integers(1, 6, 300))
    odds = [0.1 - margin / 2, 0.1 + margin / 2, 0.8]
    each, together = (rng.choice([1, -1, 0], size, p=odds) for size in (len(payers), 300))
    only = np.where((rng.random(300) < whole)[payers], together[payers], each)  # 1: the model alone finds it
    fraud = np.ones(len(payers), bool)
    own, base = (Scores(fraud, decisions=decided, clusters=payers) for decided in (only >= 0, only <= 0))
    return own, base


@pytest.mark.parametrize("whole", [0.0, 0.5, 1.0])
def test_a_champion_at_the_margin_is_not_passed_by_luck_if_payers_repeat(whole: float) -> None:
    rng, margin = np.random.default_rng(12), 0.02
    pairs = [two_models(rng, margin, whole) for _ in range(SETS)]
    assert passing([own.recall >= base.recall - margin for own, base in pairs]) <= most(0.058)


def test_payers_whose_rows_are_judged_apart_count_nearly_as_many_rows() -> None:
    own, base = two_models(np.random.default_rng(13), 0.02, 0.0)
    apart = [Scores.scan(each.rows.drop("cluster")) for each in (own, base)]
    figures = [(left.recall >= right.recall - 0.1).figures[0] for left, right in ((own, base), apart)]
    width, independent = (each.upper - each.lower for each in figures)
    assert width == pytest.approx(independent, rel=0.1)


def test_a_champion_at_the_margin_is_not_passed_by_luck_if_rows_have_weights() -> None:
    """Of the frauds that the models judge apart most often, one in four was kept, and counts four times."""
    rng, margin, verdicts = np.random.default_rng(14), 0.02, []
    for _ in range(SETS):
        rare = rng.random(1_500) < 0.2
        odds = np.where(rare, 0.2, 0.05) / 2
        drawn = rng.random(1_500)
        alone, other = drawn < odds - margin / 2, drawn > 1 - odds - margin / 2
        fraud, weights = np.ones(1_500, bool), np.where(rare, 4.0, 1.0)
        own, base = (Scores(fraud, decisions=~missed, weights=weights) for missed in (other, alone))
        verdicts.append(own.recall >= base.recall - margin)
    assert passing(verdicts) <= most(0.058)
    assert passing(verdicts) > 0


@pytest.mark.parametrize("kept", [1.0, 0.25], ids=["all rows", "a quarter of the honest"])
@pytest.mark.parametrize("figure", ["roc_auc", "average_precision", "precision", "brier"])
def test_a_figure_of_two_models_passes_at_the_margin_as_promised(figure: str, kept: float) -> None:
    """The margin is the true difference, from a population two hundred times as large.

    Where only some honest payments are `kept`, they have weights.
    """

    def pair(rng: np.random.Generator, rows: int) -> tuple[Scores, Scores]:
        labels = rng.random(rows) < 0.01
        labels = labels[labels | (rng.random(rows) < kept)]
        shared = 3.0 * labels + rng.normal(size=len(labels))
        both = (1 / (1 + np.exp(4 - shared - noise * rng.normal(size=len(labels)))) for noise in (0.6, 0.4))
        weights = {} if kept == 1 else {"weights": np.where(labels, 1.0, 1 / kept)}
        own, base = (Scores(labels, score, threshold=0.3, **weights) for score in both)
        return own, base

    def difference(own: Scores, base: Scores) -> float:
        return own.data.influence(figure)[0] - base.data.influence(figure)[0]

    rng = np.random.default_rng(11)
    truth = float(np.mean([difference(*pair(rng, 400_000)) for _ in range(12)]))
    pairs = [pair(np.random.default_rng([seed, 5]), 30_000) for seed in range(SETS)]
    lower, upper = np.transpose([difference_bounds(figure, own, base) for own, base in pairs])
    passed, failed = np.mean(lower >= truth), np.mean(upper < truth)
    print(figure, kept, truth, passed, failed)
    assert max(passed, failed) <= most(0.06)  # the truth itself is known to an eighth of its deviation only


def test_groups_at_the_ratio_are_not_passed_by_luck_and_equal_ones_mostly_pass() -> None:
    rng, n, ratio = np.random.default_rng(5), 115_000, 1.25
    low = rng.binomial(n, 0.003, MANY)
    far, same = rng.binomial(n, 0.003 * ratio, MANY), rng.binomial(n, 0.003, MANY)

    def inside(x: int, y: int) -> bool:
        lower, upper = intervals.rate_ratio((x, n), (y, n), 0.05)
        return lower >= 1 / ratio and upper <= ratio

    assert np.mean([inside(x, y) for x, y in zip(far, low, strict=True)]) <= most(0.06, MANY)
    assert np.mean([inside(x, y) for x, y in zip(same, low, strict=True)]) >= 0.75


def test_a_fair_model_seldom_fails_and_the_four_fifths_rule_often_fails_it() -> None:
    rng, regions = np.random.default_rng(6), 5
    failed = rule = 0
    for _ in range(SETS):
        rows = 20_000
        names = np.repeat(list("abcde"), rows // regions)
        scores = Scores(np.zeros(rows, bool), decisions=rng.random(rows) < 0.003, groups={"region": names})
        failed += fairness.judge(scores, ["region"], "false_positive_rate", 1.25).outcome is Outcome.FAIL
        rates = [group.rate for group in fairness.groups(scores, ["region"], "false_positive_rate")]
        rule += min(rates) < 0.8 * max(rates)
    assert failed / SETS <= most(0.05)
    assert rule / SETS > 0.47


def test_of_many_slices_at_the_limit_hardly_one_is_said_to_fail() -> None:
    rng, verdicts = np.random.default_rng(8), []
    for _ in range(SETS):
        names = np.repeat(list("abcdefghij"), 200)
        rows = Scores(np.ones(2_000, bool), decisions=rng.random(2_000) < 0.8, groups={"slice": names})
        verdicts.append(rows.by("slice").recall >= 0.8)
    assert sum(verdict.outcome is Outcome.FAIL for verdict in verdicts) / SETS <= most(0.05)
    assert passing(verdicts) <= most(0.05)


@pytest.mark.parametrize("rows", [1_000, 20_000])
def test_drift_at_the_limit_is_decided_wrongly_as_seldom_as_promised(rows: int) -> None:
    rng, moved = np.random.default_rng(rows), 0.35
    edges = stats.norm.ppf(np.arange(1, 10) / 10)
    p, q = (np.diff(np.r_[0, stats.norm.cdf(edges - by), 1]) for by in (moved, 0.0))
    truth = float(((p - q) * np.log(p / q)).sum())
    found = [
        drift.shift("x", pl.Series(rng.normal(moved, 1, rows)), pl.Series(rng.normal(0, 1, rows)), 0.05)
        for _ in range(SETS)
    ]
    assert np.mean([each.bounds[1] <= truth for each in found]) <= most(0.07)
    assert np.mean([each.bounds[0] > truth for each in found]) <= most(0.07)


def test_without_drift_nothing_is_found() -> None:
    rng, found = np.random.default_rng(9), []
    for at in range(2 * SETS):
        now, before = rng.normal(size=3_000), rng.normal(size=3_000)
        rows = [pl.Series(each if at % 2 else np.floor(each).astype(str)) for each in (now, before)]
        found.append(drift.shift("x", *rows, 0.05))
    assert {each.index for each in found} == {"psi", "js"}
    assert np.mean([each.bounds[0] > 0 for each in found]) <= most(0.05, len(found))
