"""The picture of calibration shows the bins that the figure is made of, and is left for the page of the run."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from pytest_pixgates import Scores
from pytest_pixgates.model_gate import calibration
from tests.model.conftest import Repository

RNG = np.random.default_rng(0)
SCORES = RNG.beta(0.5, 20, 20_000)
FRAUD = RNG.random(20_000) < SCORES


def made(fraud: np.ndarray, score: np.ndarray) -> Scores:
    return Scores(fraud, score, threshold=0.5)


def test_the_bins_are_those_of_the_figure() -> None:
    scores = made(FRAUD, SCORES)
    found = calibration.bins(scores)
    assert sum(each.rows for each in found) == len(SCORES)
    assert sum(each.share * each.rows for each in found) == pytest.approx(FRAUD.sum())
    assert sum(each.score * each.rows for each in found) == pytest.approx(SCORES.sum())
    weighted = sum(abs(each.share - each.score) * each.rows for each in found) / len(SCORES)
    assert weighted == pytest.approx(scores.calibration_error.value)
    each = found[3]
    exact = stats.binomtest(round(each.share * each.rows), int(each.rows)).proportion_ci(0.9, "exact")
    assert (each.lower, each.upper) == pytest.approx((exact.low, exact.high))


@pytest.mark.parametrize("more", [{"weights": np.full(20_000, 2.0)}, {"clusters": np.arange(20_000)}])
def test_a_weight_or_a_payer_of_one_row_adds_nothing_to_what_is_known_of_a_bin(more: dict[str, np.ndarray]) -> None:
    plain, told = (calibration.bins(Scores(FRAUD, SCORES, threshold=0.5, **each)) for each in ({}, more))
    for own, other in zip(plain, told, strict=True):
        assert (other.score, other.share) == pytest.approx((own.score, own.share))
        assert other.upper - other.lower > 0.95 * (own.upper - own.lower)


@pytest.mark.parametrize(
    ("fraud", "score"),
    [
        (FRAUD, SCORES),
        (np.array([True, False] * 300), np.array([1.0, 0.0] * 300)),
        (np.array([True, False] * 300), np.array([1.0, 1e-30] * 300)),
        (np.array([True] * 300 + [False]), np.ones(301)),
    ],
)
def test_any_scores_give_a_picture_whose_marks_are_inside(fraud: np.ndarray, score: np.ndarray) -> None:
    text = calibration.render(made(fraud, score))
    assert text == calibration.render(made(fraud, score))
    marks = [each for each in ET.fromstring(text).iter() if each.tag.endswith("circle")]
    assert len(marks) == len(calibration.bins(made(fraud, score)))
    for each in marks:
        assert 0 <= float(each.get("cx", "nan")) <= calibration.WIDTH
        assert 0 <= float(each.get("cy", "nan")) <= calibration.HEIGHT


def test_the_gate_leaves_it_for_the_page(repository: Repository, judged: Callable[..., dict[str, str]]) -> None:
    judged("[model_gate.limits]\nodd = { metric = 'calibration_error', at_most = 0.9 }")
    assert (repository.path / ".pixgates" / "model_gate" / "calibration.svg").is_file()
    assert (
        'alt="model_gate: calibration, as measured in this run"'
        in (repository.path / ".pixgates" / "report.html").read_text()
    )
