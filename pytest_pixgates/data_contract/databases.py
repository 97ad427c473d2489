"""Tables in a database, judged where they are by Great Expectations' own SQL engine.

It asks one query for all counts, but also for values to show, which it is not given here. What ODCS asks beyond its
expectations is said in SQL below. SQLite keeps any value anywhere, so there each value's type is counted.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import narwhals as nw
import sqlalchemy as sa
from great_expectations.execution_engine import SqlAlchemyExecutionEngine
from great_expectations.execution_engine.sqlalchemy_batch_data import SqlAlchemyBatchData
from great_expectations.expectations.metrics.map_metric_provider import (
    ColumnMapMetricProvider,
    column_condition_partial,
)
from great_expectations.validator.metric_configuration import MetricConfiguration

from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.core.scan import Problem
from pytest_pixgates.data_contract import expectations, logical, patterns
from pytest_pixgates.data_contract.engine import ALMOST, Metrics
from pytest_pixgates.data_contract.rules import Expectation, Reference
from pytest_pixgates.data_contract.tables import Opened, Unusable

SQLITE = "sqlite"
NOT_FINITE = ("NaN", "Infinity", "-Infinity", "Inf", "-Inf")
_DTYPES: tuple[tuple[type, Any], ...] = (
    (bool, nw.Boolean()),
    (int, nw.Int64()),
    (float, nw.Float64()),
    (decimal.Decimal, nw.Decimal()),
    (str, nw.String()),
    (datetime.datetime, nw.Datetime("us")),
    (datetime.date, nw.Date()),
    (datetime.time, nw.Time()),
)
_KEPT_AS = {
    "string": ("text",),
    "integer": ("integer",),
    "number": ("integer", "real"),
    "boolean": ("integer",),
    "date": ("text",),
    "timestamp": ("text",),
    "time": ("text",),
}
"""How SQLite keeps values of a logical type; it has no others."""


def open_table(url: str, name: str) -> Opened:
    """The table `name` ("schema.table" or "table") of the database at `url`. Raises Unusable, without the url."""
    try:
        engine = sa.create_engine(url)
        schema, _, table = name.rpartition(".")
        with engine.connect() as connection:
            found = sa.Table(table, sa.MetaData(), schema=schema or None, autoload_with=connection)
    except sa.exc.NoSuchTableError:
        raise Unusable(Problem("is no table of the database", name)) from None
    except Exception as error:
        why = f"the database can't be asked ({type(error).__name__}; its words are withheld, for they may hold secrets)"
        raise Unusable(Problem(why, name, fix="check `url`, and that its driver is installed")) from None
    return Opened(Stored(engine, found), lambda: ())


@dataclass
class Stored:
    """A table in a database."""

    engine: sa.Engine
    table: sa.Table
    schema: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.schema = {column.name: _dtype(column.type) for column in self.table.columns}

    @cached_property
    def sqlite(self) -> bool:
        return self.engine.dialect.name == SQLITE

    def execution_engine(self) -> SqlAlchemyExecutionEngine:
        return DatabaseExecutionEngine(self)

    def arguments(self, check: Expectation) -> dict[str, Any]:
        """An expectation's arguments as this database takes them. Raises NotMeasured for what it can't be asked."""
        if check.type.startswith("expect_column_value_items_"):
            raise NotMeasured("lists in a database are not judged", remedy="hand the table over as a frame")
        arguments = dict(check.arguments)
        if self.sqlite and "regex" in arguments:  # which SQLite leaves to Python
            arguments["regex"] = patterns.with_end(arguments["regex"], r"\Z")
        return arguments

    def one(self, query: Any) -> Any:
        """The single value of a query. Raises NotMeasured."""
        try:
            with self.engine.connect() as connection:
                return connection.execute(query).scalar_one()
        except sa.exc.SQLAlchemyError as error:
            why = f"{type(error).__name__}; its words are withheld, for they may hold data"
            raise NotMeasured(f"the database can't answer ({why})") from None

    def newest(self, column: str) -> Any:
        """Asks for the greatest moment of a column."""
        return sa.select(sa.func.max(self.table.c[column]))

    def strangers(self, check: Reference, other: object) -> Any:
        """Asks how many rows refer to nothing in `other`, a table of the same database. Raises NotMeasured."""
        if not isinstance(other, Stored) or other.engine.url != self.engine.url:
            raise NotMeasured(f"{check.other} is not in the same database", remedy="judge references where both are")
        ours, theirs = self.table, other.table.alias()
        pairs = [ours.c[a] == theirs.c[b] for a, b in zip(check.columns, check.other_columns, strict=True)]
        given = [ours.c[name].is_not(None) for name in check.columns]
        absent = ~sa.exists(sa.select(sa.literal(1)).where(*pairs))
        return sa.select(sa.func.count()).select_from(ours).where(*given, absent)

    def answers(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The single value of each query. Raises NotMeasured."""
        return {name: self.one(query) for name, query in asked.items()}

    def uneven(self, column: str, factor: float) -> int:
        """How many values of a column are no multiple of `factor`."""
        here = self.table.c[column]
        if self.schema[column].is_integer() and float(factor).is_integer():
            wrong = here % sa.literal(int(factor), sa.BigInteger) != 0
        else:
            times = sa.cast(here, sa.Double) / sa.literal(factor, sa.Double)
            wrong = ~sa.func.coalesce(sa.func.abs(times - sa.func.round(times)) <= ALMOST, sa.false())
        return int(self.one(sa.select(sa.func.count()).select_from(self.table).where(here.is_not(None), wrong)))

    def mistyped(self, column: str, given: Mapping[str, Any]) -> int:
        """How many values of a column are not of the logical type that is given."""
        here = self.table.c[column]
        kind = given["logical_type"]
        if self.sqlite:
            wrong: sa.ColumnElement[bool] = sa.func.typeof(here).not_in(_KEPT_AS.get(kind, ()))
            if kind == "boolean":
                wrong = wrong | here.not_in([0, 1])
            if kind in ("date", "timestamp", "time"):
                wrong = wrong | sa.func.julianday(sa.cast(here, sa.Text)).is_(None)
            if kind == "timestamp":
                zoned = sa.cast(here, sa.Text).bool_op("GLOB")("*[+-][0-9][0-9]:[0-9][0-9]")
                wrong = wrong | (~zoned if given.get("timezone") is not False else zoned)
        elif logical.fits(self.schema[column], kind, given.get("format"), given.get("timezone")):
            return 0
        else:
            wrong = sa.true()
        return int(self.one(sa.select(sa.func.count()).select_from(self.table).where(here.is_not(None), wrong)))


class DatabaseExecutionEngine(SqlAlchemyExecutionEngine):
    """Great Expectations' engine, which is kept from fetching values."""

    def __init__(self, stored: Stored) -> None:
        super().__init__(engine=stored.engine)
        self.stored = stored
        data = SqlAlchemyBatchData(self, table_name=stored.table.name, schema_name=stored.table.schema)
        self.load_batch_data("table", data)

    def resolve_metrics(
        self,
        metrics_to_resolve: Iterable[MetricConfiguration],
        metrics: Metrics | None = None,
        runtime_configuration: dict[str, Any] | None = None,
    ) -> Metrics:
        """The counts by Great Expectations; no values; and of types what `Stored` says."""
        asked = list(metrics_to_resolve)
        own: Metrics = {}
        for each in asked:
            if each.metric_name.endswith(".unexpected_values"):
                own[each.id] = []
            elif each.metric_name == "column_values.of_logical_type.unexpected_count":
                own[each.id] = self.stored.mistyped(each.metric_domain_kwargs["column"], each.metric_value_kwargs)
            elif each.metric_name == "column_values.multiple_of.unexpected_count":
                column, factor = each.metric_domain_kwargs["column"], each.metric_value_kwargs["factor"]
                own[each.id] = self.stored.uneven(column, factor)
        rest = [each for each in asked if each.id not in own]
        found: Metrics = super().resolve_metrics(rest, metrics, runtime_configuration) if rest else {}
        return own | found


def _dtype(kind: Any) -> Any:
    try:
        python = kind.python_type
    except NotImplementedError:
        return nw.Unknown()
    if python is datetime.datetime:
        return nw.Datetime("us", "UTC" if kind.timezone else None)
    return next((dtype for each, dtype in _DTYPES if python is each), nw.Unknown())


def _condition(name: str, values: tuple[str, ...], condition: Callable[..., Any], *, nulls: bool = False) -> None:
    """Tell Great Expectations how a database counts a metric of ours: `condition` is what holds of a good value."""

    class Provider(ColumnMapMetricProvider):
        condition_metric_name = name
        condition_value_keys = values
        filter_column_isnull = not nulls

        @column_condition_partial(engine=SqlAlchemyExecutionEngine)
        def _sqlalchemy(cls, column: Any, **given: Any) -> Any:  # noqa: N805 - Great Expectations wants it so
            return condition(column, given)


def _present(column: Any, given: Mapping[str, Any]) -> Any:
    listed = [value for value in given["missing_values"] if value is not None]
    missing = sa.and_(column.is_not(None), column.in_(listed))
    return ~(sa.or_(missing, column.is_(None)) if len(listed) < len(given["missing_values"]) else missing)


_CONDITIONS: dict[str, Callable[..., Any]] = {
    "column_values.of_logical_type": lambda column, _: column.is_(None),  # counted by `Stored` instead
    "column_values.finite": lambda column, _: sa.cast(column, sa.Text).not_in(NOT_FINITE),
    "column_values.multiple_of": lambda column, _: column.is_(None),  # and so is this
    "column_values.not_missing": _present,
}
for _name, _how in _CONDITIONS.items():
    _condition(_name, expectations.VALUES[_name], _how, nulls=_name == "column_values.not_missing")
