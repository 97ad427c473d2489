"""A contract's own SQL, in a DuckDB that can reach nothing but the table.

Whoever may change a contract must not thereby read the disk, the network or the environment of the machine that judges.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.data_contract.engine import Rows

TABLE = "table"
MEMORY = "1GB"
_LOCKED = (
    "SET enable_external_access = false",
    "SET allow_community_extensions = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET python_enable_replacements = false",
    f"SET memory_limit = '{MEMORY}'",
    "SET lock_configuration = true",
)


def number(sql: str, rows: object, seconds: float = 120) -> float:
    """The single number that `sql` gives. Raises NotMeasured for anything else, without a word of the data."""
    import duckdb

    connection = duckdb.connect(":memory:")
    try:
        for setting in _LOCKED:
            connection.execute(setting)
        _refuse_all_but_select(connection, sql)
        connection.register(TABLE, _Stream(rows, sql))
        with _at_most(connection, seconds):
            found = connection.execute(sql).fetchmany(2)
    except duckdb.InterruptException:
        raise NotMeasured(f"its SQL ran longer than {seconds:g} s", remedy="write it simpler") from None
    except duckdb.Error as error:
        raise NotMeasured(_said(error), remedy="try it in DuckDB on data that you may see") from None
    finally:
        connection.close()
    if len(found) != 1 or len(found[0]) != 1:
        raise NotMeasured("its SQL gives not one number", remedy="select one row of one column")
    value = found[0][0]
    try:
        measured = float(value)
    except (TypeError, ValueError):
        measured = math.nan
    if isinstance(value, str | bytes) or not math.isfinite(measured):
        raise NotMeasured("its SQL gives no number", remedy="select a count or a sum")
    return measured


def _refuse_all_but_select(connection: Any, sql: str) -> None:
    import duckdb

    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise NotMeasured("its SQL is not one SELECT", remedy="write one query")


def _said(error: Any) -> str:
    """What kind of error it was. Only a parser or binder speaks of the query alone; all others quote values."""
    import duckdb

    if isinstance(error, duckdb.ParserException | duckdb.BinderException | duckdb.CatalogException):
        return f"its SQL is wrong: {str(error).splitlines()[0]}"
    if isinstance(error, duckdb.PermissionException):
        return "its SQL reaches for a file, the network, an extension or a setting, which no contract may"
    return f"its SQL failed ({type(error).__name__}; its words are withheld, for they may hold data)"


class _Stream:
    """The columns that a query may ask for, as Arrow, batch by batch and from the start whenever they are scanned."""

    def __init__(self, rows: object, sql: str) -> None:
        import polars as pl

        if not isinstance(rows, Rows) or rows.spark:
            remedy = "judge that rule on a file or frame, or ask it without SQL"
            raise NotMeasured("a contract's SQL runs in DuckDB, not in Spark or another database", remedy=remedy)
        known = [name for name in rows.schema.names() if name[0] != "\0"]
        plain = re.sub(r"count\s*\(\s*\*\s*\)", "", sql, flags=re.IGNORECASE).lower()
        named = [name for name in known if "*" in plain or "columns" in plain or name.lower() in plain]
        self._frame: pl.LazyFrame = rows.frame.select(*(named or known[:1])).to_native()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        import polars as pl
        import pyarrow as pa

        plain = pl.CompatLevel.oldest()
        schema = pl.DataFrame(schema=self._frame.collect_schema()).to_arrow(compat_level=plain).schema
        batches = (
            each
            for batch in self._frame.collect_batches()
            for each in batch.to_arrow(compat_level=plain).cast(schema).to_batches()
        )
        return pa.RecordBatchReader.from_batches(schema, batches).__arrow_c_stream__(requested_schema)


@contextmanager
def _at_most(connection: Any, seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, connection.interrupt)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
