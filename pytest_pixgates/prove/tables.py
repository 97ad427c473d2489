"""Rows of a Parquet file, changed by expressions of SQL and looked at again: the change must be what was said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from pytest_pixgates.prove.operations import Table


class Unchanged(Exception):  # noqa: N818 - a state
    """The table can't be changed as it is said, or would be the same."""


def changed(path: Path, change: Table) -> int:
    """Change the file at `path`; how many rows are concerned. Raises Unchanged, ImportError."""
    import polars as pl

    try:
        before = pl.read_parquet(path, hive_partitioning=False)
        after, concerned = _after(before, change)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Unchanged(f"{type(error).__name__}: {str(error).splitlines()[0]}") from None
    if not concerned:
        return 0
    if after.equals(before) and not change.compression:
        raise Unchanged("the rows are so already")
    after.write_parquet(path, compression=change.compression or "zstd")  # type: ignore[arg-type]  # polars refuses others
    if not pl.read_parquet(path, hive_partitioning=False).equals(after):
        raise Unchanged("what was written reads otherwise")
    return concerned


def _after(before: pl.DataFrame, change: Table) -> tuple[pl.DataFrame, int]:
    import polars as pl

    met = _met(before, change.where)
    if change.put:
        values = [
            pl.when(pl.lit(met)).then(_value(expression, before.schema[name])).otherwise(pl.col(name)).alias(name)
            for name, expression in _known(before, change.put).items()
        ]
        after = before.with_columns(values)
        differing = pl.any_horizontal(pl.col(name).ne_missing(after[name]) for name in change.put)
        return after, before.select(differing.sum()).item()
    if change.keep:
        kept = before.filter(_met(before, change.keep))
        return kept, before.height - kept.height
    if change.repeat:
        again = before.filter(_met(before, change.repeat))
        return pl.concat([before, again]), again.height
    return _columns(before, change), before.height


def _columns(before: pl.DataFrame, change: Table) -> pl.DataFrame:
    import polars as pl

    if change.drop:
        return before.drop(list(_known(before, dict.fromkeys(change.drop))))
    if change.rename:
        return before.rename(dict(_known(before, change.rename)))
    if change.cast:
        types = {name: getattr(pl, kind) for name, kind in _known(before, change.cast).items() if hasattr(pl, kind)}
        return before.with_columns(pl.col(name).cast(kind) for name, kind in types.items())
    return before.sort(change.sort) if change.sort else before


def _met(frame: pl.DataFrame, expression: str) -> Any:
    """Which rows meet `expression`: a column of booleans; all without one. `row` is the number of a row, from 0."""
    import polars as pl

    if not expression:
        return pl.repeat(value=True, n=frame.height, eager=True)
    numbered = frame.with_row_index("row")
    return numbered.select(pl.sql_expr(expression).fill_null(value=False)).to_series()


def _value(expression: str, dtype: Any) -> Any:
    import polars as pl

    return pl.sql_expr(expression).cast(dtype)


def _known(frame: pl.DataFrame, given: Any) -> Any:
    """`given`, whose names must be columns."""
    if missing := [name for name in given if name not in frame.columns]:
        raise Unchanged(f"there is no column {', '.join(missing)}")
    return given
