"""Simulated test sets whose true figures are known by integration, and how often a verdict comes out on each side.

A sample of data sets runs with every push; PIXGATES_SIMULATIONS sets how many (the nightly lane: 2,000).
"""

from __future__ import annotations

import math
import operator
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from pytest_pixgates.core.verdict import Outcome, Verdict
from pytest_pixgates.model_gate.rows import EDGES
from pytest_pixgates.model_gate.scores import Scores

SETS = int(os.environ.get("PIXGATES_SIMULATIONS", "150"))
ROWS, FRAUD = 50_000, 0.005  # 250 positives
DAYS = 30
Floats = NDArray[np.float64]


def most(share: float, sets: int = SETS) -> float:
    """A share of `sets` simulations that chance exceeds once in a thousand if the true share is `share`."""
    return float(stats.binom.ppf(0.999, sets, share)) / sets


def shares(verdicts: Iterable[Verdict]) -> dict[Outcome, float]:
    """The share of each outcome."""
    counted = Counter(verdict.outcome for verdict in verdicts)
    return {outcome: counted[outcome] / counted.total() for outcome in Outcome}


@dataclass(frozen=True)
class World:
    """Payments whose evidence is normal: honest ones around 0, of the frauds most at `mean` and a part at `hard_mean`.

    The amount of a fraud falls with its evidence, so that a model misses the expensive ones.
    """

    mean: float = 3.6
    hard: float = 0.15
    hard_mean: float = 1.0
    threshold: float = 2.7  # on the evidence
    shift: float = 0.7  # by which scores are too sure, on the logit
    kept: float = 1.0  # of the honest, each of which then has so much more weight

    def density(self, z: Floats) -> Floats:
        easy, hard = stats.norm.pdf(z, self.mean), stats.norm.pdf(z, self.hard_mean)
        return np.asarray((1 - self.hard) * easy + self.hard * hard)

    def survival(self, z: float) -> float:
        return float((1 - self.hard) * stats.norm.sf(z, self.mean) + self.hard * stats.norm.sf(z, self.hard_mean))

    def score(self, z: Floats) -> Floats:
        odds = np.log(FRAUD / (1 - FRAUD)) + np.log(self.density(z)) - stats.norm.logpdf(z)
        return np.asarray(special.expit(odds + self.shift))

    def draw(self, rng: np.random.Generator, rows: int = ROWS) -> tuple[NDArray[np.bool_], Floats, Floats]:
        """Labels, evidence, amounts."""
        labels = rng.random(rows) < FRAUD
        means = np.where(labels, np.where(rng.random(rows) < self.hard, self.hard_mean, self.mean), 0.0)
        evidence = means + rng.normal(size=rows)
        amounts = np.exp(4 - 0.3 * evidence * labels + 0.8 * rng.normal(size=rows))
        return labels, evidence, amounts

    def scores(self, rng: np.random.Generator, rows: int = ROWS) -> Scores:
        labels, evidence, amounts = self.draw(rng, rows)
        times = np.datetime64("2026-08-01", "ms") + np.linspace(0, DAYS * 86_400_000, rows).astype("timedelta64[ms]")
        weights: dict[str, Floats] = {}
        if self.kept < 1:
            some = labels | (rng.random(rows) < self.kept)
            labels, evidence, amounts, times = (each[some] for each in (labels, evidence, amounts, times))
            weights["weights"] = np.where(labels, 1.0, 1 / self.kept)
        return Scores(
            labels, self.score(evidence), decisions=evidence >= self.threshold, amounts=amounts, times=times, **weights
        )  # fmt: skip

    def truth(self) -> dict[str, float]:
        """The figures of the whole population, by integration over the evidence."""
        z = np.linspace(-9, 14, 460_001)
        step = z[1] - z[0]
        fraud, honest, score = FRAUD * self.density(z) * step, (1 - FRAUD) * stats.norm.pdf(z) * step, self.score(z)
        above = z >= self.threshold
        caught, alarms = fraud[above].sum(), honest[above].sum()
        mean = np.exp(4 - 0.3 * z + 0.32)  # of a fraud's amount at this evidence
        hits, false = (np.cumsum(each[::-1])[::-1] for each in (fraud, honest))
        at_rate = optimize.brentq(lambda each: stats.norm.sf(each) - 0.003, 0, 9)
        share = PER_DAY * DAYS / ROWS
        first = optimize.brentq(
            lambda each: FRAUD * self.survival(each) + (1 - FRAUD) * float(stats.norm.sf(each)) - share, -5, 9
        )
        place = np.searchsorted(EDGES, score, side="right")
        gaps = np.bincount(place, fraud - score * (fraud + honest), minlength=len(EDGES) + 1)
        return {
            "recall": caught / FRAUD,
            "precision": caught / (caught + alarms),
            "false_positive_rate": alarms / (1 - FRAUD),
            "specificity": 1 - alarms / (1 - FRAUD),
            "amount_recall": (fraud * mean)[above].sum() / (fraud * mean).sum(),
            "f_2": 5 * caught / (5 * caught + 4 * (FRAUD - caught) + alarms),
            "roc_auc": (fraud * stats.norm.cdf(z)).sum() / FRAUD,
            "average_precision": (fraud * hits / (hits + false)).sum() / FRAUD,
            "recall_at_fpr": self.survival(at_rate),
            "precision_at": FRAUD * self.survival(first) / share,
            "brier": (fraud * (1 - score) ** 2 + honest * score**2).sum(),
            "cost": 1000 * ((fraud * mean)[~above].sum() + 5 * alarms),
            "calibration_error": np.abs(gaps).sum(),
        }


PER_DAY = 8.0  # alerts
FIGURES: dict[str, Callable[[Scores], object]] = {
    **{
        name: operator.attrgetter(name)
        for name in (
            "recall", "precision", "false_positive_rate", "specificity", "amount_recall", "roc_auc",
            "average_precision", "brier", "calibration_error",
        )
    },
    "f_2": lambda scores: scores.f_beta(2),
    "recall_at_fpr": lambda scores: scores.recall_at_fpr(0.003),
    "precision_at": lambda scores: scores.precision_at(PER_DAY),
    "cost": lambda scores: scores.cost(5.0),
}  # fmt: skip
AT_MOST = ("false_positive_rate", "brier", "calibration_error", "cost")
"""Figures of which less is better."""


def logit(value: float) -> float:
    return math.log(value / (1 - value))
