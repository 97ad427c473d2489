"""Great Expectations on lazy tables: every number that a contract's rules need comes from one streaming scan.

Great Expectations' own engines scan once per metric. To this one no metric depends on another, so all are asked at
once. Its expressions are narwhals', so polars and Spark count by the same code. It never hands out a value of the data:
what Great Expectations asks for beyond counts is answered with nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import narwhals as nw
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.metrics.metric_provider import MetricProvider
from great_expectations.expectations.registry import _registered_metrics, register_metric
from great_expectations.validator.metric_configuration import MetricConfiguration, MetricConfigurationID

from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.core.spark import collected, micros, quoted
from pytest_pixgates.data_contract import expectations, logical, patterns
from pytest_pixgates.data_contract.rules import Expectation, Reference

Metrics = dict[MetricConfigurationID, Any]
Condition = Callable[[nw.Expr, Mapping[str, Any]], nw.Expr]
ALMOST = 1e-9
HASH, COUNT = "\0hash of ", "\0count"


def _outside(column: nw.Expr, given: Mapping[str, Any]) -> nw.Expr:
    low, high = moment(given.get("min_value")), moment(given.get("max_value"))
    after, before = bool(given.get("strict_min")), bool(given.get("strict_max"))
    if high is None:
        below: nw.Expr = column <= low if after else column < low
        return below
    if low is None:
        above: nw.Expr = column >= high if before else column > high
        return above
    closed: dict[tuple[bool, bool], Literal["both", "left", "right", "none"]] = {
        (False, False): "both", (False, True): "left", (True, False): "right", (True, True): "none",
    }  # fmt: skip
    return ~column.is_between(low, high, closed=closed[after, before])


def _any(conditions: Sequence[nw.Expr]) -> nw.Expr:
    first, *others = conditions
    for other in others:
        first = first | other
    return first


def _uneven(column: nw.Expr, factor: float) -> nw.Expr:
    if float(factor).is_integer():
        return column % int(factor) != 0
    times = column / factor
    return (times - times.round()).abs() > ALMOST  # also of NaN, which is greater than any number


def moment(limit: Any) -> Any:
    """A limit as the data holds it: contracts write moments as texts by ISO 8601."""
    if isinstance(limit, str):
        for kind in (datetime.date, datetime.time, datetime.datetime):
            try:
                return kind.fromisoformat(limit)
            except ValueError:
                continue
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _missing(column: nw.Expr, given: Mapping[str, Any]) -> nw.Expr:
    listed = [value for value in given["missing_values"] if value is not None]
    null = [column.is_null()] if len(listed) < len(given["missing_values"]) else []
    return _any([*null, *([column.is_in(listed)] if listed else [])])


UNEXPECTED: dict[str, Condition] = {
    "column_values.nonnull": lambda column, _: column.is_null(),
    "column_values.between": _outside,
    "column_values.value_length.between": lambda column, given: _outside(column.str.len_chars(), given),
    "column_values.match_regex": lambda column, given: ~column.str.contains(given["regex"]),
    "column_values.in_set": lambda column, given: ~column.is_in(given["value_set"]),
    "column_values.finite": lambda column, _: ~column.is_finite(),
    "column_values.multiple_of": lambda column, given: _uneven(column, given["factor"]),
    "column_values.not_missing": _missing,
    "column_values.items.between": lambda column, given: _outside(column.list.len(), given),
    "column_values.items.unique": lambda column, _: column.list.len() != column.list.unique().list.len(),
}
"""What counts as unexpected, by metric. A null is unexpected only where nulls are what is asked about."""

ASPECTS = ("unexpected_count", "unexpected_values", "filtered_row_count")
DUPLICATES = ("column_values.unique", "compound_columns.unique")


@dataclass
class Rows:
    """The table that is judged, lazily: `untyped` names for a column that was read from text the one that keeps it."""

    frame: nw.LazyFrame[Any]
    spark: bool = False
    untyped: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.schema = self.frame.collect_schema()

    def execution_engine(self) -> FrameExecutionEngine:
        return FrameExecutionEngine(self)

    def arguments(self, check: Expectation) -> dict[str, Any]:
        """An expectation's arguments as this engine takes them."""
        arguments = dict(check.arguments)
        if self.spark and "regex" in arguments:  # in Java, $ holds before a last line break too
            arguments["regex"] = patterns.with_end(arguments["regex"], r"\z")
        return arguments

    def newest(self, column: str) -> nw.LazyFrame[Any]:
        """Asks for the greatest moment of a column, in microseconds since 1970."""
        if self.spark:
            return _newest_in_spark(self.frame.to_native(), column, self.schema[column])
        return self.frame.select(found=nw.col(column).max().cast(nw.Datetime("us")).dt.timestamp("us"))

    def strangers(self, check: Reference, other: object) -> nw.LazyFrame[Any]:
        """Asks how many rows refer to nothing in `other`. Raises NotMeasured."""
        if not isinstance(other, Rows) or other.spark != self.spark:
            raise NotMeasured(f"{check.other} is not read by the same engine", remedy="hand both over as frames")
        pairs = zip(check.other_columns, check.columns, strict=True)
        known = other.frame.select(*(nw.col(theirs).alias(ours) for theirs, ours in pairs)).unique()
        absent = self.frame.select(*check.columns).drop_nulls().join(known, on=list(check.columns), how="anti")
        return absent.select(found=nw.len())

    def answers(self, asked: Mapping[str, nw.LazyFrame[Any]]) -> dict[str, Any]:
        """The single number of each frame, all by one job."""
        places = {name: f"a{index}" for index, name in enumerate(asked)}
        rows = self.collect([frame.select(nw.col("found").alias(places[name])) for name, frame in asked.items()])
        return {name: rows[place] for name, place in places.items()}

    def collect(self, frames: Sequence[nw.LazyFrame[Any]]) -> dict[str, Any]:
        """The columns of frames that have a single row each, all by one job."""
        if not self.spark:
            import polars as pl

            found = pl.collect_all([frame.to_native() for frame in frames], engine="streaming")
            return {name: value for each in found for name, value in each.row(0, named=True).items()}
        names = [frame.collect_schema().names() for frame in frames]
        every = [name for each in names for name in each]
        whole = nw.concat(
            [
                frame.select(
                    *((nw.col(name) if name in own else nw.lit(None)).cast(nw.Int64).alias(name) for name in every)
                )
                for frame, own in zip(frames, names, strict=True)
            ],
            how="vertical",
        )
        return dict(self.listed(whole.select(*(nw.col(name).max() for name in every)))[0])

    def listed(self, frame: nw.LazyFrame[Any]) -> list[dict[str, Any]]:
        """The rows of a frame. To Spark this is one job: it is kept from making several of it."""
        native = frame.to_native()
        if not self.spark:
            rows: list[dict[str, Any]] = native.collect(engine="streaming").rows(named=True)
            return rows
        return collected(native)


def _newest_in_spark(native: Any, column: str, dtype: Any) -> nw.LazyFrame[Any]:
    """As for polars: what has no zone is UTC's, whatever the session's zone is."""
    from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

    date = isinstance(dtype, nw.Date)
    found = micros(f"max({quoted(column)})", date=date, zoned=not date and dtype.time_zone is not None)
    asked: nw.LazyFrame[Any] = nw.from_native(native.select(F.expr(found).alias("found")))
    return asked


class FrameExecutionEngine(PandasExecutionEngine):
    """Answers the metrics below, and refuses all others."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self.rows = rows
        self.scans = 0

    def resolve_metrics(
        self,
        metrics_to_resolve: Iterable[MetricConfiguration],
        metrics: Metrics | None = None,
        runtime_configuration: dict[str, Any] | None = None,
    ) -> Metrics:
        """Everything asked: from the schema, and the rest by one scan."""
        del metrics, runtime_configuration
        asked = list(metrics_to_resolve)
        free = {each.id: answer[0] for each in asked if (answer := self._free(each))}
        return free | self._scan([each for each in asked if each.id not in free])

    def get_batch_data_and_markers(self, batch_spec: Any) -> Any:
        """Raises NotImplementedError: the table is given, not looked up."""
        raise NotImplementedError

    def _free(self, metric: MetricConfiguration) -> tuple[Any] | None:
        """The answer in a tuple, if it needs no scan."""
        name, kind = _split(metric.metric_name)
        if kind == "unexpected_values":
            return ([],)
        if metric.metric_name == "table.columns":
            return ([each for each in self.rows.schema.names() if not each.startswith("\0")],)
        if name == "column_values.of_logical_type" and not self._text(metric):
            dtype = self.rows.schema[metric.metric_domain_kwargs["column"]]
            given = metric.metric_value_kwargs
            if logical.fits(dtype, given["logical_type"], given["format"], given["timezone"]):
                return (0,)
        return None

    def _text(self, metric: MetricConfiguration) -> str:
        """The column of texts that the metric's column was read from, or ""."""
        return self.rows.untyped.get(metric.metric_domain_kwargs["column"], "")

    def _scan(self, asked: Sequence[MetricConfiguration]) -> Metrics:
        if not asked:
            return {}
        self.scans += 1
        unique = list(dict.fromkeys(columns for each in asked if (columns := _unique_columns(each))))
        frame = _with_hashes(self.rows, {_hash_name(columns): columns for columns in unique})
        numbers: dict[str, nw.Expr] = {"rows": nw.len()}
        for index, columns in enumerate(unique):
            hashed = nw.col(_hash_name(columns))
            numbers[f"u{index} present"] = (nw.col(columns[0]) if not columns[1:] else hashed).count()
            if not self.rows.spark:
                numbers[f"u{index} hashes"] = hashed.n_unique()
        for index, metric in enumerate(asked):
            if not _unique_columns(metric) and metric.metric_name != "table.row_count":
                domain, given = metric.metric_domain_kwargs, metric.metric_value_kwargs
                broken = unexpected(self.rows, metric.metric_name, domain, given)
                numbers[f"m{index}"] = count(broken, spark=self.rows.spark)
        exact = self._exactly(unique) if self.rows.spark else {}  # a job of Spark costs more than what it does
        row = self.rows.collect([frame.select(**numbers), *exact.values()])
        repeating = {name: int(row[name]) for name in exact} or self._repeating(unique, row)
        found: Metrics = {}
        for index, metric in enumerate(asked):
            if metric.metric_name == "table.row_count":
                found[metric.id] = int(row["rows"])
            elif columns := _unique_columns(metric):
                place = f"u{unique.index(columns)}"
                present = metric.metric_name.endswith(".filtered_row_count")
                found[metric.id] = int(row[f"{place} present"]) if present else repeating.get(place, 0)
            else:
                found[metric.id] = int(row[f"m{index}"] or 0)
        return found

    def _repeating(self, unique: Sequence[tuple[str, ...]], row: Mapping[str, Any]) -> dict[str, int]:
        """How many rows hold a value that another row holds too.

        As many hashes as values: certainly none. Else a further scan of these columns tells, for a hash may collide.
        """
        suspect = []
        for index, columns in enumerate(unique):
            present, hashes = int(row[f"u{index} present"]), int(row[f"u{index} hashes"])
            if hashes - (present < int(row["rows"])) < present:  # null is a value of its own
                suspect.append(columns)
        if not suspect:
            return {}
        self.scans += 1
        frames = self._exactly(unique, suspect)
        found = self.rows.collect(list(frames.values()))
        return {name: int(found[name]) for name in frames}

    def _exactly(
        self, unique: Sequence[tuple[str, ...]], suspect: Sequence[tuple[str, ...]] | None = None
    ) -> dict[str, nw.LazyFrame[Any]]:
        """Asks how many rows repeat the values of each of the columns, or of those that are suspect."""
        return {
            f"u{index}": repeated(self.rows, columns).select(nw.len().alias(f"u{index}"))
            for index, columns in enumerate(unique)
            if suspect is None or columns in suspect
        }


def repeated(rows: Rows, columns: tuple[str, ...]) -> nw.LazyFrame[Any]:
    """The rows whose `columns` another row holds too. Only those whose hash repeats are compared by value."""
    name = _hash_name(columns)
    hashed = _with_hashes(rows, {name: columns}).drop_nulls(list(columns))
    likely = hashed.join(_twice(hashed.select(name), name, spark=rows.spark), on=name, how="semi")
    keys = likely.group_by(*columns).agg(nw.len().alias(COUNT)).filter(nw.col(COUNT) > 1)
    return likely.join(keys.select(*columns), on=list(columns), how="semi")


def _twice(hashes: nw.LazyFrame[Any], name: str, *, spark: bool) -> nw.LazyFrame[Any]:
    """The hashes that stand more than once."""
    if spark:
        counted = hashes.group_by(name).agg(nw.len().alias(COUNT))
        return counted.filter(~nw.col(name).is_null(), nw.col(COUNT) > 1).select(name)
    import polars as pl

    # Sorted in a column of their own they take a fifth of the memory that grouping takes.
    column: pl.Series = hashes.to_native().collect(engine="streaming")[name].drop_nulls().sort()
    found: nw.LazyFrame[Any] = nw.from_native(column.filter(column == column.shift(1)).unique().to_frame().lazy())
    return found


def count(condition: nw.Expr, *, spark: bool) -> nw.Expr:
    """How many rows fulfil a condition; null does not."""
    if spark:
        return nw.when(condition).then(nw.lit(1, nw.Int64)).otherwise(nw.lit(0, nw.Int64)).sum()
    return condition.sum()


def unexpected(rows: Rows, metric: str, domain: Mapping[str, Any], given: Mapping[str, Any]) -> nw.Expr:
    """Which rows are unexpected by a metric such as `column_values.between.unexpected_count`.

    Raises NotImplementedError for one that this engine doesn't know.
    """
    name, _ = _split(metric)
    if name == "column_values.of_logical_type":
        column = nw.col(domain["column"])
        text = rows.untyped.get(domain["column"], "")
        return column.is_null() & ~nw.col(text).is_null() if text else ~column.is_null()
    if name not in UNEXPECTED:
        raise NotImplementedError(metric)
    return UNEXPECTED[name](nw.col(domain["column"]), given)


METRICS = {
    "expect_column_values_to_not_be_null": "column_values.nonnull",
    "expect_column_values_to_be_between": "column_values.between",
    "expect_column_value_lengths_to_be_between": "column_values.value_length.between",
    "expect_column_values_to_match_regex": "column_values.match_regex",
    "expect_column_values_to_be_in_set": "column_values.in_set",
    "expect_column_values_to_be_of_logical_type": "column_values.of_logical_type",
    "expect_column_values_to_be_finite": "column_values.finite",
    "expect_column_values_to_be_multiple_of": "column_values.multiple_of",
    "expect_column_values_to_not_be_missing": "column_values.not_missing",
    "expect_column_value_items_to_be_between": "column_values.items.between",
    "expect_column_value_items_to_be_unique": "column_values.items.unique",
}
"""The metric of each expectation on the values of one column."""


def unexpected_by(rows: Rows, expectation: str, arguments: Mapping[str, Any]) -> nw.Expr:
    """Which rows break an expectation on the values of one column."""
    return unexpected(rows, METRICS[expectation], arguments, arguments)


def _split(metric: str) -> tuple[str, str]:
    """The name of a metric, and which aspect of it is asked."""
    name, _, kind = metric.rpartition(".")
    return (name, kind) if kind in ASPECTS else (metric, "")


def _unique_columns(metric: MetricConfiguration) -> tuple[str, ...]:
    """The columns whose values shall be unique, if that is what the metric counts."""
    if _split(metric.metric_name)[0] not in DUPLICATES:
        return ()
    domain = metric.metric_domain_kwargs
    return tuple(domain["column_list"]) if "column_list" in domain else (domain["column"],)


def _hash_name(columns: Sequence[str]) -> str:
    return HASH + "\0".join(columns)


def _with_hashes(rows: Rows, keys: Mapping[str, tuple[str, ...]]) -> nw.LazyFrame[Any]:
    """64 bits for each key, null where a part of it is: equal keys have equal hashes, and a set of them stays small.

    For polars, whose nulls have a hash, a key of one column keeps it.
    """
    if not keys:
        return rows.frame
    native = rows.frame.to_native()
    if rows.spark:
        from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

        for name, columns in keys.items():
            parts = [F.col(f"`{each}`") for each in columns]
            whole = F.lit(True)  # noqa: FBT003 - a literal of SQL
            for part in parts:
                whole = whole & part.isNotNull()
            native = native.withColumn(name, F.when(whole, F.xxhash64(*parts)))
        spark: nw.LazyFrame[Any] = nw.from_native(native)
        return spark
    import polars as pl

    several: dict[str, pl.Expr] = {
        name: pl.when(pl.all_horizontal(pl.col(columns).is_not_null())).then(pl.struct(columns).hash())
        for name, columns in keys.items()
        if columns[1:]
    }
    # Of a single column null has a hash too: one more, which whoever counts them takes off again.
    single = {name: pl.col(columns[0]).hash() for name, columns in keys.items() if not columns[1:]}
    hashed: nw.LazyFrame[Any] = nw.from_native(native.with_columns(**several, **single))
    return hashed


class _Answered(MetricProvider):
    """A metric that the engine answers by itself."""

    @classmethod
    def get_evaluation_dependencies(cls, *_: object, **__: object) -> dict[str, MetricConfiguration]:
        return {}


def _register() -> None:
    """Great Expectations looks a metric up by its name and the engine's."""
    for name, value_keys in expectations.VALUES.items():
        for aspect in ASPECTS:
            keys = (*value_keys, "result_format") if aspect == "unexpected_values" else value_keys
            register_metric(f"{name}.{aspect}", expectations.COLUMN, keys, FrameExecutionEngine, _Answered, None)
    names = [f"{name}.{aspect}" for name in (*UNEXPECTED, *DUPLICATES) for aspect in ASPECTS]
    for name in ["table.columns", "table.row_count", *names]:
        if known := _registered_metrics.get(name):
            there = known["metric_domain_keys"], known["metric_value_keys"]
            register_metric(name, *there, FrameExecutionEngine, _Answered, None)


_register()
