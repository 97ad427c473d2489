"""From a file or a frame to `Scores`: which columns are what, which rows have a final label, which files were read."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import polars as pl

from pytest_pixgates.core.spark import is_spark
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.model_gate import columns, paths
from pytest_pixgates.model_gate.columns import ScoresError
from pytest_pixgates.model_gate.policy import ModelGatePolicy
from pytest_pixgates.model_gate.scores import Scores

_READERS: dict[str, Any] = {
    ".parquet": pl.scan_parquet,
    ".csv": pl.scan_csv,
    ".arrow": pl.scan_ipc,
    ".feather": pl.scan_ipc,
    ".ipc": pl.scan_ipc,
    ".ndjson": pl.scan_ndjson,
}
_AS_THE_TABLE = "write alert in the policy as the table writes its decisions"


def table(source: Any, root: Path, remedy: str = "") -> pl.LazyFrame:
    """The rows of a path, or of a frame (polars, pandas, Arrow; not Spark). Raises ScoresError."""
    if isinstance(source, pl.LazyFrame):
        return source
    if isinstance(source, pl.DataFrame):
        return source.lazy()
    if not isinstance(source, str | Path):
        return _frame(source).lazy()
    found = paths.files(str(source), root)
    if not found:
        raise ScoresError(f"{source} is not there", remedy=remedy or "make it, or name another in the policy")
    kinds = {path.suffix for path in found if path.is_file()}
    if odd := [path.name for path in found if path.suffix not in _READERS or not path.is_file()]:
        told = f"{', '.join(odd[:5])} can't be read as rows"
        raise ScoresError(f"{source}: {told}; what can are files of {', '.join(_READERS)}")
    if len(kinds) != 1:
        raise ScoresError(f"{source} is {', '.join(sorted(kinds))}: one kind can be read at a time")
    try:
        if kinds == {".csv"}:
            _refuse_twice(found)
        rows: pl.LazyFrame = _READERS[kinds.pop()](found)
        rows.collect_schema()
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise ScoresError(f"{source} can't be read: {first_line(error)}", remedy=remedy) from None
    return rows


def _refuse_twice(found: list[Path]) -> None:
    """Of two columns of one name polars renames the second, and which one is meant can't be told."""
    for path in found:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            names = next(csv.reader(lines), [])
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ScoresError(f"{path.name}: the column {', '.join(twice)} stands twice", remedy="rename one")


def _frame(source: Any) -> pl.DataFrame:
    try:
        made = pl.DataFrame(source)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise ScoresError(f"{type(source).__name__} is no table: {first_line(error)}") from None
    return made


def scores(
    source: Any,
    policy: ModelGatePolicy,
    root: Path,
    *,
    alpha: float,
    subjects: tuple[Subject, ...] = (),
) -> Scores:
    """The rows at `source` with their columns as the policy names them, and all others to slice by.

    Raises ScoresError.
    """
    if is_spark(source):
        return _counted(source, policy, alpha, subjects)
    rows = table(source, root, f"run {policy.made_by}" if policy.made_by else "")
    named, there = _named(policy), rows.collect_schema()
    _refuse_missing(policy, there, str(source) if isinstance(source, str | Path) else "the table")
    if policy.label_delay:
        rows = _final(rows, policy)
    rows = rows.with_columns(pl.col(name).cast(pl.String).fill_null(group) for name, group in policy.nulls.items())
    told = [pl.col(name).alias(own) for own, name in named.items()]
    kept = [name for name in there if name not in columns.RESERVED]
    decision = [_decision(policy, there)] if policy.decision else []
    amount = [pl.col(columns.AMOUNT) * policy.amount_unit] if policy.amount else []
    try:
        rows = rows.select(*told, *kept)
        # What fits into memory is read once; only a table of many rows is passed over again for each figure.
        hold = not _is_large(rows)
        held = rows.collect().lazy() if hold else rows
        if policy.decision and policy.alert:
            _refuse_unlike(held, policy)
        made = held.with_columns(*decision, *amount)
        return Scores.scan(
            made.collect().lazy() if hold else made, threshold=policy.threshold, alpha=alpha, subjects=subjects
        )
    except pl.exceptions.PolarsError as error:
        raise ScoresError(f"the scores can't be read: {first_line(error)}") from None


def _counted(frame: Any, policy: ModelGatePolicy, alpha: float, subjects: tuple[Subject, ...]) -> Scores:
    """The rows of a Spark frame, by the same rules."""
    from pytest_pixgates.model_gate import spark

    there = spark.schema(frame)
    _refuse_missing(policy, there, "the frame")
    if policy.label_delay:
        _final(pl.LazyFrame(schema=there), policy)
    if policy.decision:
        _decision(policy, there)
    rows = spark.renamed(frame, policy, _named(policy))
    found = Scores.scan(rows, threshold=policy.threshold, alpha=alpha, subjects=subjects)
    if policy.decision and policy.alert and not found.data.counts.alerts:
        raise _no_alert(policy)
    return found


LARGE = 20_000_000
"""Rows; fewer are kept in memory."""


def _is_large(rows: pl.LazyFrame) -> bool:
    return int(rows.select(pl.len()).collect().item()) > LARGE


def _refuse_missing(policy: ModelGatePolicy, there: Any, where: str) -> None:
    wanted = [*dict.fromkeys([*_named(policy).values(), *_groups(policy)])]
    if missing := [name for name in wanted if name not in there]:
        raise ScoresError(
            f"{where} has no column {', '.join(missing)}; it has {', '.join(there)}",
            remedy="name the columns in [model_gate] of the policy",
        )


def _named(policy: ModelGatePolicy) -> dict[str, str]:
    """What each of our columns is called in the table."""
    told = {
        columns.LABEL: policy.label,
        columns.SCORE: policy.score,
        columns.DECISION: policy.decision,
        columns.WEIGHT: policy.weight,
        columns.CLUSTER: policy.cluster,
        columns.AMOUNT: policy.amount,
        columns.TIME: policy.time,
        columns.ID: policy.id,
    }
    return {own: name for own, name in told.items() if name}


def _groups(policy: ModelGatePolicy) -> list[str]:
    """The columns that slices and fairness tell groups by."""
    sliced = [policy.slice_of(name).column for limit in policy.limits.values() for name in limit.slices]
    compared = [column for fair in policy.fair for columns in fair.compared for column in columns]
    return [name for name in dict.fromkeys([*sliced, *compared]) if name]


def _decision(policy: ModelGatePolicy, schema: Any) -> pl.Expr:
    kind = schema[policy.decision]
    if kind == pl.Boolean:
        if policy.alert:
            fix = "drop alert from the policy: true is an alert"
            raise ScoresError(
                f"{policy.decision} is true or false, and alert names {', '.join(policy.alert)}", remedy=fix
            )
        return pl.col(columns.DECISION)
    if not policy.alert:
        raise ScoresError(f"decision is {kind}", remedy="say which values are alerts: alert = [...] in the policy")
    return pl.col(columns.DECISION).cast(pl.String).is_in(list(policy.alert))


def _refuse_unlike(rows: pl.LazyFrame, policy: ModelGatePolicy) -> None:
    """Raises ScoresError if the table writes its decisions otherwise than `alert` does."""
    found = rows.select(pl.col(columns.DECISION).cast(pl.String).unique()).collect(engine=columns.ENGINE).to_series()
    said, alike = found.drop_nulls().sort().to_list(), {each.strip().casefold() for each in policy.alert}
    if odd := [each for each in said if each.strip().casefold() in alike and each not in policy.alert]:
        told = f"{policy.decision} says {', '.join(odd)}, and alert {', '.join(policy.alert)}"
        raise ScoresError(told, remedy=_AS_THE_TABLE)
    if not set(said) & set(policy.alert):
        raise _no_alert(policy)


def _no_alert(policy: ModelGatePolicy) -> ScoresError:
    told = f"no row of {policy.decision} is an alert: none says {' or '.join(policy.alert)}"
    return ScoresError(told, remedy=_AS_THE_TABLE)


def _final(rows: pl.LazyFrame, policy: ModelGatePolicy) -> pl.LazyFrame:
    """The rows whose label can be final at the policy's clock, and those without a moment, which will be refused."""
    before = policy.final_before
    kind = rows.collect_schema()[policy.time]
    if not isinstance(kind, pl.Datetime) or kind.time_zone is None:
        raise ScoresError(f"{policy.time} is {kind}, not a moment with a time zone, which label_delay needs")
    return rows.filter((pl.col(policy.time) <= before).fill_null(value=True))


def first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
