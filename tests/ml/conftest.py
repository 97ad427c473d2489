"""A small model of made-up fraud, trained once: float32 features with gaps and with numbers float32 can just hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Trained:
    """An estimator, rows that it has not seen, and the names of its features."""

    estimator: Any
    matrix: Any
    fraud: Any
    features: tuple[str, ...]
    threshold: float


def made_up(rows: int) -> tuple[Any, Any]:
    """Features and fraud."""
    import numpy as np
    from sklearn.datasets import make_classification

    values, fraud = make_classification(rows, 12, n_informative=6, weights=[0.95], class_sep=0.9, random_state=1)
    matrix = values.astype(np.float32)
    matrix[:, 0] = np.where(matrix[:, 0] > 1.5, np.nan, matrix[:, 0])
    matrix[:, 1] = 2**24 + np.round(matrix[:, 1] * 100)  # neighbours in float32: 2 apart above this
    return matrix, fraud.astype(bool)


def trained(trees: int, method: str = "sigmoid") -> Trained:
    import numpy as np
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.frozen import FrozenEstimator

    matrix, fraud = made_up(40_000)
    learnt, calibrated, rest = slice(0, 12_000), slice(12_000, 20_000), slice(20_000, None)
    boosted = HistGradientBoostingClassifier(max_iter=trees, early_stopping=False, random_state=0)
    boosted.fit(matrix[learnt], fraud[learnt])
    estimator = CalibratedClassifierCV(FrozenEstimator(boosted), method=method)
    estimator.fit(matrix[calibrated], fraud[calibrated])
    highest = np.sort(estimator.predict_proba(matrix[calibrated])[:, 1])[-400:-398]
    names = tuple(f"feature_{index}" for index in range(matrix.shape[1]))
    return Trained(estimator, matrix[rest], fraud[rest], names, float(highest.mean()))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """More threads in each of pytest's workers only fight."""
    import sklearn.ensemble  # noqa: F401  # limits hold for the libraries that are loaded
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def model() -> Trained:
    return trained(60)


@pytest.fixture(scope="session")
def weaker() -> Trained:
    return trained(3)
