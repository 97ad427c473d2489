"""Which table holds the scores of a labelled test set, and what is measured on it: what limits are proposed from.

A proposed limit never passes on the data that it comes from: it is the measured value itself, so its interval holds it,
and people have to say what they need before anything is green.
"""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.limit import Limit

if TYPE_CHECKING:
    from pytest_pixgates.core.measurement import Measurement

LABELS = (
    "label", "is_fraud", "fraud", "target", "y_true", "y", "actual", "truth", "churn", "churned", "default", "outcome"
)  # fmt: skip
SCORES = (
    "score", "probability", "proba", "y_score", "y_prob", "y_proba", "prob", "predicted_probability",
    "fraud_score", "prediction_score",
)  # fmt: skip
DECISIONS = ("decision", "alert", "flagged", "predicted", "y_pred", "prediction")
THRESHOLD = 0.5
POSITIVES = 200  # without which a ranking stays undecided whatever the limit
_FIGURES = {"recall": "at_least", "precision": "at_least", "false_positive_rate": "at_most", "roc_auc": "at_least"}
_EXTRA = ("polars", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class Proposal:
    """A limit for a figure, and what it comes from."""

    figure: str
    bound: str
    value: float
    measured: str


@dataclass(frozen=True, slots=True)
class Table:
    """The table of scores and its columns; without `decision` a threshold stands in. `limits` may be empty."""

    path: str
    label: str
    score: str
    decision: str = ""
    limits: tuple[Proposal, ...] = ()
    trouble: str = ""


def measurable() -> bool:
    """Whether the libraries of the extra `model` are there."""
    return all(importlib.util.find_spec(name) for name in _EXTRA)


def find(tables: Iterable[str], root: Path) -> Table | None:
    """The first of `tables` whose columns are those of scores, measured if that can be done here."""
    for path in tables:
        columns = _columns(path, root)
        label, score = _named(columns, LABELS), _named(columns, SCORES)
        if label and score:
            found = Table(path, label, score, _named(columns, DECISIONS))
            return _measured(found, root) if measurable() else found
    return None


def _named(columns: Iterable[str], known: tuple[str, ...]) -> str:
    """The column that is called as one of `known`, the first of which is the best."""
    told = {column.lower(): column for column in columns}
    return next((told[name] for name in known if name in told), "")


def _columns(path: str, root: Path) -> tuple[str, ...]:
    """The names of the columns; none if they can't be told here."""
    if measurable():
        from pytest_pixgates.model_gate import read

        try:
            return tuple(read.table(path, root).collect_schema().names())
        except PixgatesError:
            return ()
    if not path.endswith(".csv"):
        return ()
    try:
        with (root / path).open(encoding="utf-8", newline="") as file:
            return tuple(next(csv.reader(file), ()))
    except (OSError, UnicodeDecodeError, csv.Error):
        return ()


def _measured(table: Table, root: Path) -> Table:
    """`table` with a limit for each figure that can be measured on it, or why there is none."""
    from pytest_pixgates.model_gate import read
    from pytest_pixgates.model_gate.policy import ModelGatePolicy

    decision = table.decision if table.decision and _is_boolean(table, root) else ""
    settings: dict[str, Any] = {"decision": decision} if decision else {"threshold": THRESHOLD}
    policy = ModelGatePolicy(scores=table.path, label=table.label, score=table.score, **settings)
    try:
        scores = read.scores(table.path, policy, root, alpha=0.05)
        limits = tuple(_proposed(scores))
    except PixgatesError as error:
        return Table(table.path, table.label, table.score, decision, trouble=error.message)
    return Table(table.path, table.label, table.score, decision, limits)


def _is_boolean(table: Table, root: Path) -> bool:
    import polars as pl

    from pytest_pixgates.model_gate import read

    return bool(read.table(table.path, root).collect_schema()[table.decision] == pl.Boolean)


def _proposed(scores: Any) -> Iterator[Proposal]:
    """A limit at each measured value, as long as the measurement that it comes from does not pass it."""
    for figure, bound in _FIGURES.items():
        if figure == "roc_auc" and scores.positives < POSITIVES:
            continue
        try:
            measured: Measurement = getattr(scores, figure)
            value = rounded(measured.value, up=bound == "at_least")
            limit = Limit(at_least=value) if bound == "at_least" else Limit(at_most=value)
            passes = bool(limit.judge(measured))
        except (PixgatesError, ValueError, ArithmeticError):  # no alert, no positive: its figure is left out
            continue
        if not passes:
            yield Proposal(figure, bound, value, str(measured))


def rounded(value: float, *, up: bool) -> float:
    """`value` to four digits, to the side on which it is harder to meet."""
    return float(Context(prec=4, rounding=ROUND_CEILING if up else ROUND_FLOOR).create_decimal(Decimal(repr(value))))
