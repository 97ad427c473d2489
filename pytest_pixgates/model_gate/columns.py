"""What the columns of a labelled test set are called here, and whether their values can be measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from pytest_pixgates.core.errors import NotMeasured

LABEL, SCORE, DECISION = "label", "score", "decision"
WEIGHT, CLUSTER, AMOUNT, TIME, ID = "weight", "cluster", "amount", "time", "id"
WEIGHTS = (1e-9, 1e9)
"""Of which sums and squares can be made."""
RESERVED = (LABEL, SCORE, DECISION, WEIGHT, CLUSTER, AMOUNT, TIME, ID)

ENGINE: Any = "streaming"
"""Of polars: rows that don't fit into memory are passed over in parts; on those that do it is as fast as any."""


class ScoresError(NotMeasured):
    """The rows can't be measured as given."""


def checked(rows: pl.LazyFrame, threshold: float | None) -> pl.LazyFrame:
    """`rows` with their columns as they are to be measured. Raises ScoresError, naming what is wrong."""
    rows = typed(rows, threshold)
    _refuse_bad_values(rows, rows.collect_schema())
    return rows.with_columns(pl.col(LABEL).cast(pl.Boolean))


def typed(rows: pl.LazyFrame, threshold: float | None) -> pl.LazyFrame:
    """`rows` with numbers as floats, and decisions. Raises ScoresError for columns that are missing or of no use."""
    schema = rows.collect_schema()
    if LABEL not in schema:
        raise ScoresError("there are no labels")
    if schema[LABEL] != pl.Boolean and not schema[LABEL].is_integer():
        fix = "say which rows are fraud: cast them"
        raise ScoresError(f"labels are {schema[LABEL]}, not booleans or 0 and 1", remedy=fix)
    if SCORE in schema:
        if not schema[SCORE].is_numeric():
            raise ScoresError(f"scores are {schema[SCORE]}, not numbers")
        rows = rows.with_columns(pl.col(SCORE).cast(pl.Float64))
    rows = _decided(rows, schema, threshold)
    for name in (WEIGHT, AMOUNT):
        if name in schema:
            rows = rows.with_columns(pl.col(name).cast(pl.Float64))
    if TIME in schema and not schema[TIME].is_temporal():
        raise ScoresError(f"times are {schema[TIME]}, not moments")
    return rows


def _decided(rows: pl.LazyFrame, schema: Any, threshold: float | None) -> pl.LazyFrame:
    if (threshold is None) == (DECISION not in schema):
        if threshold is not None:
            raise ScoresError("give decisions or a threshold, not both")
        if SCORE not in schema:
            raise ScoresError("there are neither scores nor decisions")
        raise ScoresError("nothing says which rows are alerts", remedy="give decisions, or a threshold")
    if threshold is None:
        if schema[DECISION] != pl.Boolean:
            raise ScoresError(f"decisions are {schema[DECISION]}, not booleans")
        return rows
    if SCORE not in schema:
        raise ScoresError("a threshold needs scores")
    if not 0 <= threshold <= 1:
        raise ScoresError(f"threshold {threshold} lies outside of [0, 1]")
    return rows.with_columns((pl.col(SCORE) >= threshold).alias(DECISION))


def _refuse_bad_values(rows: pl.LazyFrame, schema: Any) -> None:
    """One pass over the rows for all that may be wrong with values."""
    told = [pl.len().alias("rows")]
    told += [pl.col(name).null_count().alias(f"nulls {name}") for name in RESERVED if name in schema]
    if schema[LABEL] != pl.Boolean:
        told.append((~pl.col(LABEL).is_in([0, 1])).sum().alias("labels"))
    if SCORE in schema:
        told += [(~pl.col(SCORE).is_finite()).sum().alias("scores"),
                 (~pl.col(SCORE).is_between(0, 1)).sum().alias("range")]  # fmt: skip
    for name in (WEIGHT, AMOUNT):
        if name in schema:
            right = pl.col(name).is_between(*WEIGHTS) if name == WEIGHT else pl.col(name) >= 0
            told.append((~(pl.col(name).is_finite() & right)).sum().alias(name))
    refuse_bad(rows.select(*told).collect(engine=ENGINE).row(0, named=True))
    if ID in schema:
        refuse_repeated(_repeated(rows))


def refuse_bad(found: Mapping[str, int]) -> None:
    """Raises ScoresError for what was counted of bad values: how many `rows`, `nulls` of each column, and so on."""
    if not found["rows"]:
        raise ScoresError("there are no rows")
    for name in RESERVED:
        if count := found.get(f"nulls {name}"):
            raise ScoresError(f"{name} has {count} nulls")
    problems = {
        "labels": "labels are neither 0 nor 1",
        "scores": "scores are NaN or infinite",
        "range": "scores lie outside of [0, 1]",
        WEIGHT: "weights are no numbers between {:g} and {:g}".format(*WEIGHTS),
        AMOUNT: "amounts are not numbers from 0 on",
    }
    for name, problem in problems.items():
        if count := found.get(name):
            raise ScoresError(f"{count} {problem}")


def refuse_repeated(ids: int) -> None:
    """Raises ScoresError if so many ids were there before."""
    if ids:
        raise ScoresError(f"{ids} ids stand twice", remedy="one row per payment")


def _repeated(rows: pl.LazyFrame) -> int:
    """How many ids were there before. Hashes that all differ are those of ids that do, and are quickly sorted."""
    hashes = rows.select(pl.col(ID).hash(seed=0)).collect(engine=ENGINE)[ID].to_numpy(writable=True)
    hashes.sort()
    if (hashes[1:] != hashes[:-1]).all():
        return 0
    return len(hashes) - int(rows.select(pl.col(ID).n_unique()).collect(engine=ENGINE).item())


def series(name: str, values: Any) -> pl.Series:
    """An array, list or series as a column. Raises ScoresError."""
    if isinstance(values, pl.Series):
        return values.alias(name)
    try:
        arrow = hasattr(values, "__arrow_c_array__") or hasattr(values, "__arrow_c_stream__")
        array = values.to_numpy() if hasattr(values, "to_numpy") and not arrow else values
        if isinstance(array, np.ndarray):
            if array.ndim != 1:
                raise ScoresError(f"{name} has {array.ndim} dimensions, not one")
            array = array.astype("datetime64[us]") if array.dtype.kind == "M" else array
            array = array.tolist() if array.dtype.kind == "O" else array
        return pl.Series(name, array, strict=True)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise ScoresError(f"{name} is no column of one type: {type(error).__name__}") from None
