"""The `[model_gate]` section of the policy: which rows are judged, by which limits, against which model."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pytest_pixgates.core import quantity
from pytest_pixgates.core.limit import Limit

FIGURES: dict[str, str] = {  # each figure, and the key that it needs
    "recall": "", "precision": "", "false_positive_rate": "", "specificity": "", "amount_recall": "",
    "roc_auc": "", "average_precision": "", "brier": "", "calibration_error": "",
    "f_beta": "beta", "recall_at_fpr": "fpr", "precision_at": "alerts_per_day", "cost": "false_alarm",
}  # fmt: skip
COMPARED = (
    "recall", "precision", "false_positive_rate", "specificity", "amount_recall", "roc_auc", "average_precision",
    "brier",
)  # fmt: skip
"""Figures that have a paired interval."""


@dataclass(frozen=True, slots=True)
class MetricLimit(Limit):
    """`[model_gate.limits.NAME]`: a limit of a figure, by default the one that it is called after."""

    metric: str = ""
    """The figure, if the limit is called otherwise."""
    min_positives: int = 0
    """How many frauds must be among the rows."""
    slices: tuple[str, ...] = ()
    """Slices whose every group must hold the limit by itself."""
    vs_champion: float | None = None
    """By how much the figure may be worse than the champion's."""
    beta: float | None = None
    """How many times recall counts, for `f_beta`."""
    fpr: float | None = None
    """The false positive rate, for `recall_at_fpr`."""
    alerts_per_day: float | None = None
    """How many the team takes, for `precision_at`."""
    false_alarm: float | None = None
    """What one costs in R$, for `cost`."""

    def __post_init__(self) -> None:
        Limit.__post_init__(self)
        if self.min_positives < 0:
            raise ValueError(f"min_positives is {self.min_positives}; it must be 0 or more")
        if self.vs_champion is not None and not 0 <= self.vs_champion < 1:
            raise ValueError(f"vs_champion is {self.vs_champion}: give the margin of a share (5 % is 0.05)")


@dataclass(frozen=True, slots=True)
class Slice:
    """`[model_gate.slices.NAME]`: groups of rows, by a column or by time."""

    column: str = ""
    """The column, each value a group."""
    values: tuple[str, ...] = ()
    """Values that must be there."""
    quantiles: int = 0
    """Groups by so many quantiles of the column."""
    every: str = ""
    """Groups by periods of the time column: `"1d"`, `"1w"`, `"1mo"`."""

    def __post_init__(self) -> None:
        if bool(self.column) == bool(self.every):
            raise ValueError("give a column, or a period of time (every)")
        if self.every and not re.fullmatch(r"[1-9][0-9]*(h|d|w|mo)", self.every):
            raise ValueError(f'every: {self.every!r} is not written like "1d", "1w" or "1mo"')
        if self.quantiles and (self.quantiles < 2 or self.values):
            raise ValueError("quantiles must be 2 or more, and go without values")


@dataclass(frozen=True, slots=True)
class Fairness:
    """`[model_gate.fairness]`, a table or a list of tables: every pair of groups within a ratio of each other."""

    columns: tuple[str, ...]
    """Columns whose groups are compared."""
    metric: str = "false_positive_rate"
    """`false_positive_rate` (customers who are blocked wrongly) or `recall`."""
    ratio: float = 1.25
    """How many times one group's rate may be another's."""
    intersections: tuple[tuple[str, ...], ...] = ()
    """Lists of columns whose combinations are groups."""
    min_group: int = 0
    """A group of fewer rows is undecided."""

    def __post_init__(self) -> None:
        if self.metric not in ("false_positive_rate", "recall"):
            raise ValueError(f"metric {self.metric!r} is neither false_positive_rate nor recall")
        if not self.ratio > 1:
            raise ValueError(f"ratio is {self.ratio}; it must be more than 1, such as 1.25")
        if not self.columns and not self.intersections:
            raise ValueError("name at least one column")

    @property
    def compared(self) -> tuple[tuple[str, ...], ...]:
        """The columns of each comparison."""
        return (*((column,) for column in self.columns), *self.intersections)


@dataclass(frozen=True, slots=True)
class Drift:
    """`[model_gate.drift]`: how far the rows may be from those that the model was trained on."""

    reference: str
    """The table of training rows, with the same names."""
    columns: tuple[str, ...] = ()
    """Columns that are compared, by which `test_set` must be named; the score is, too."""
    psi: float = 0.2
    """The limit of the population stability index, for numbers."""
    js: float = 0.1
    """The limit of the Jensen-Shannon divergence in bits, for categories."""
    ks: float | None = None
    """A limit of the Kolmogorov-Smirnov distance, for numbers too."""
    block: bool = True
    """Whether a drift blocks, or is only shown."""

    def __post_init__(self) -> None:
        _inside(self.reference)
        for name in ("psi", "js", "ks"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}; it must be more than 0")
            if value is not None and name != "psi" and not value < 1:
                raise ValueError(f"{name} is {value}, but it is never more than 1; write it like 0.1")


@dataclass(frozen=True, slots=True)
class ModelGatePolicy:
    """`[model_gate]`: a model, judged by its labelled test set."""

    scores: str = ""
    """The table of the test set: a file, a folder or a glob of Parquet, CSV, Arrow or NDJSON."""
    label: str = "label"
    """The column of the label: booleans, or 0 and 1."""
    score: str = "score"
    """The column of the score, in [0, 1]."""
    decision: str = ""
    """The column of the decision: booleans, or the values in `alert`."""
    alert: tuple[str, ...] = ()
    """The values of `decision` that count as alerts."""
    threshold: float | None = None
    """Instead of `decision`: the score from which a row is an alert."""
    id: str = ""
    """The column that tells rows apart; a champion is compared by it."""
    weight: str = ""
    """The column of the rows' weights."""
    cluster: str = ""
    """The column of what repeats, such as the payer: its rows belong together."""
    amount: str = ""
    """The column of the amounts."""
    amount_unit: float = 1.0
    """What one of `amount` is worth in R$."""
    time: str = ""
    """The column of the moments."""
    label_delay: str = ""
    """Rows younger than this at `clock` are left out: their label can't be final."""
    clock: str = "now"
    """The moment that counts as now, with its zone, or `"now"`."""
    made_by: str = ""
    """The command that a missing table tells to run."""
    nulls: Mapping[str, str] = field(default_factory=dict)
    """For a column, the group that a null stands for."""
    slices: Mapping[str, Slice] = field(default_factory=dict)
    """`[model_gate.slices.NAME]`, below."""
    limits: Mapping[str, MetricLimit] = field(default_factory=dict)
    """`[model_gate.limits.NAME]`, each a gate `limit[NAME]`."""
    fairness: Fairness | tuple[Fairness, ...] = ()
    """`[model_gate.fairness]`, each comparison a gate `fairness[METRIC/COLUMN]`."""
    drift: Drift | None = None
    """`[model_gate.drift]`, the gate `drift`."""
    artifact: str = ""
    """The manifest of the evaluation, the gate `artifact`."""
    model: str = ""
    """The registered version that must be what was evaluated; `artifact` needs it."""
    champion: str = ""
    """The table of scores, or the registered model, to compare with."""
    registry: str = ""
    """Where models are registered: MLflow's tracking URI."""
    test_set: str = ""
    """The features of the test set, to run a registered champion on."""
    max_candidates: int | None = None
    """How many may be judged on one test set."""

    def __post_init__(self) -> None:
        for each in (self.scores, self.artifact, self.test_set):
            _inside(each)
        if bool(self.decision) == (self.threshold is not None):
            if self.decision:
                raise ValueError("give decision or threshold, not both")
            if self.limits:
                raise ValueError("say which rows are alerts: decision (a column) or threshold")
        if self.label_delay:
            quantity.seconds(self.label_delay)
            if not self.time:
                raise ValueError("label_delay needs the column of the time")
        if self.clock != "now" and datetime.datetime.fromisoformat(self.clock).tzinfo is None:
            raise ValueError(f"clock: {self.clock!r} has no time zone, such as 2026-08-31T00:00:00-03:00")
        if self.artifact and not self.model:
            raise ValueError("artifact needs `model`, the registered version that must be what was evaluated")
        if not self.amount_unit > 0:
            raise ValueError(f"amount_unit is {self.amount_unit}; it must be more than 0")
        for name, limit in self.limits.items():
            _check(name, limit, champion=bool(self.champion))

    @property
    def fair(self) -> tuple[Fairness, ...]:
        return (self.fairness,) if isinstance(self.fairness, Fairness) else self.fairness

    @property
    def final_before(self) -> datetime.datetime:
        """Rows up to here have a final label: the last midnight (UTC) before the clock, less the delay.

        A whole day, so that a run later in the day judges the same rows.
        """
        stated = self.clock != "now"
        now = datetime.datetime.fromisoformat(self.clock) if stated else datetime.datetime.now(datetime.UTC)
        midnight = now.astimezone(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight - datetime.timedelta(seconds=quantity.seconds(self.label_delay))

    def slice_of(self, name: str) -> Slice:
        """The slice called `name`; by default that of the column of this name."""
        return self.slices.get(name) or Slice(column=name)


def _check(name: str, limit: MetricLimit, *, champion: bool) -> None:
    figure = limit.metric or name
    if figure not in FIGURES:
        raise ValueError(f"limits.{name}: {figure!r} is no figure; there are {', '.join(FIGURES)}")
    for key in ("beta", "fpr", "alerts_per_day", "false_alarm"):
        if (getattr(limit, key) is not None) != (FIGURES[figure] == key):
            what = "is needed" if FIGURES[figure] == key else "does not belong there"
            raise ValueError(f"limits.{name}: {key} {what} for {figure}")
    for value in (limit.base, *limit.environments.values()) if figure != "cost" else ():
        bound = quantity.parse(value)
        if not (0 <= bound < 1 if limit.at_least is None else 0 < bound <= 1):
            told = f'{figure} lies between 0 and 1, so that decides nothing; 5 % is "5%" or 0.05'
            raise ValueError(f"limits.{name}: {value!r}: {told}")
    if limit.vs_champion is not None:
        if figure not in COMPARED:
            raise ValueError(f"limits.{name}: {figure} has no paired interval; compare one of {', '.join(COMPARED)}")
        if not champion:
            raise ValueError(f"limits.{name}: vs_champion needs `champion`, the model to compare with")


def _inside(path: str) -> None:
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path!r} must be a path inside the repository")
