"""Scores that lie in a Spark frame: counted there, judged here, with the same verdict as if polars had read them.

Two jobs: the positives' rows, whose scores cut the axis, and one `groupBy` over the pieces; a third if there are ids,
which must not stand twice. The executors need no Python: the pieces are told by Spark's own `Bucketizer`, which
compares as numpy does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import polars as pl

from pytest_pixgates.core.spark import collected, micros, quoted
from pytest_pixgates.model_gate import counted
from pytest_pixgates.model_gate.columns import (
    AMOUNT,
    CLUSTER,
    DECISION,
    ID,
    LABEL,
    RESERVED,
    SCORE,
    TIME,
    WEIGHT,
    ScoresError,
    refuse_bad,
    refuse_repeated,
    typed,
)  # fmt: skip
from pytest_pixgates.model_gate.counted import FIRST, LAST, LEFT, SUMS, Counted, Tally
from pytest_pixgates.model_gate.intervals import Floats
from pytest_pixgates.model_gate.policy import ModelGatePolicy
from pytest_pixgates.model_gate.read import first_line

_BAD = "bad "
_PIECE = "piece"
_KINDS: dict[str, Any] = {  # of Spark, as polars would have them
    "BooleanType": pl.Boolean(),
    **dict.fromkeys(("ByteType", "ShortType", "IntegerType", "LongType"), pl.Int64()),
    **dict.fromkeys(("FloatType", "DoubleType", "DecimalType"), pl.Float64()),
    "DateType": pl.Date(),
    "TimestampType": pl.Datetime("us", "UTC"),
    "TimestampNTZType": pl.Datetime("us"),
}


def schema(frame: Any) -> dict[str, Any]:
    """The columns of a Spark frame as polars would have them; what has no like there is a text."""
    return {field.name: _KINDS.get(type(field.dataType).__name__, pl.String()) for field in frame.schema.fields}


def renamed(frame: Any, policy: ModelGatePolicy, named: Mapping[str, str]) -> Any:
    """The columns of `frame` that are judged (`named`, ours and theirs), as `read.scores` makes them of a file."""
    from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

    kinds = schema(frame)
    if policy.label_delay:
        frame = frame.filter(F.col(quoted(policy.time)) <= F.lit(policy.final_before))
    for name, group in policy.nulls.items():
        frame = frame.withColumn(name, F.coalesce(F.col(quoted(name)).cast("string"), F.lit(group)))
    told = {own: F.col(quoted(name)) for own, name in named.items()}
    if policy.decision and kinds[policy.decision] != pl.Boolean:
        told[DECISION] = told[DECISION].cast("string").isin(list(policy.alert))
    if policy.amount:
        if not kinds[policy.amount].is_numeric():
            raise ScoresError(f"amounts are {kinds[policy.amount]}, not numbers")
        told[AMOUNT] = told[AMOUNT].cast("double") * F.lit(policy.amount_unit)
    return frame.select(*(column.alias(own) for own, column in told.items()))


def scan(frame: Any, threshold: float | None) -> Counted:
    """The rows of a Spark frame, which are counted at once. Raises ScoresError."""
    kinds = schema(frame)
    for name, why in ((CLUSTER, "clusters"), (WEIGHT, "weights")):
        if name in kinds:
            fix = "hand over a polars frame, or the path of the rows"
            raise ScoresError(f"{why} need the rows themselves, which stay in Spark", remedy=fix)
    typed(pl.LazyFrame(schema=kinds), threshold)
    if SCORE not in kinds:
        raise ScoresError("there are no scores, by which a Spark frame is counted")
    with _told():
        rows = _typed(frame, kinds, threshold)
        positives = _positives(rows)
        pieces, bad = _pieces(rows, counted.splits(positives[SCORE].to_numpy()))
        refuse_bad(bad)
        if ID in kinds:
            refuse_repeated(bad["rows"] - _ids(rows))
    return Counted(Tally(positives, pieces))


def _typed(frame: Any, kinds: Mapping[str, Any], threshold: float | None) -> Any:
    """`frame` with labels and decisions as booleans, numbers as doubles, and how the columns were bad."""
    from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

    given = {name: F.col(name) for name in RESERVED if name in kinds}
    score = given[SCORE].cast("double") + F.lit(0.0)  # -0.0 is 0.0 to numpy, and not to Spark's Bucketizer
    told = given | {LABEL: given[LABEL].cast("long") == 1, SCORE: score}
    bad = {f"nulls {name}": column.isNull() for name, column in given.items()}
    bad["labels"] = ~given[LABEL].cast("long").isin(0, 1)
    bad["scores"] = F.isnan(score) | (F.abs(score) == float("inf"))
    bad["range"] = ~score.between(0.0, 1.0)
    if threshold is not None:
        told[DECISION] = score >= F.lit(threshold)
    if AMOUNT in given:
        told[AMOUNT] = amount = given[AMOUNT].cast("double")
        bad[AMOUNT] = F.isnan(amount) | (amount == float("inf")) | (amount < 0)
    return frame.select(
        *(column.alias(name) for name, column in told.items()),
        *(F.coalesce(column, F.lit(False)).cast("long").alias(_BAD + name) for name, column in bad.items()),  # noqa: FBT003
    )


def _positives(rows: Any) -> pl.DataFrame:
    """The rows of the positives, in an order of their own."""
    from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

    kinds = {SCORE: pl.Float64(), DECISION: pl.Boolean()} | ({AMOUNT: pl.Float64()} if AMOUNT in rows.columns else {})
    found = collected(rows.filter(F.col(LABEL) & F.col(SCORE).between(0.0, 1.0)).select(*kinds))
    return pl.DataFrame(found, schema=kinds).sort(*kinds)


def _pieces(rows: Any, splits: Floats) -> tuple[pl.DataFrame, dict[str, int]]:
    """A line for each piece of the score axis, and how many rows were bad in which way."""
    from pyspark.ml.feature import Bucketizer
    from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

    ends = [*splits.tolist(), float("inf")]
    cut = Bucketizer(splits=ends, inputCol=SCORE, outputCol=_PIECE, handleInvalid="keep").transform(rows)
    sums = _sums(F) | {name: F.sum(F.col(name)) for name in rows.columns if name.startswith(_BAD)}
    sums[f"{_BAD}rows"] = F.count(F.lit(1))
    if TIME in rows.columns:
        kind = schema(rows)[TIME]
        date, zoned = kind == pl.Date, kind == pl.Datetime("us", "UTC")
        for name, function in ((FIRST, "min"), (LAST, "max")):
            sums[name] = F.expr(micros(f"{function}({TIME})", date=date, zoned=zoned))
    lines = collected(cut.groupBy(_PIECE).agg(*(total.alias(name) for name, total in sums.items())))
    bad = {name.removeprefix(_BAD): sum(line[name] for line in lines) for name in sums if name.startswith(_BAD)}
    pieces = {line[_PIECE]: line for line in lines}
    sound = [pieces[at] | {LEFT: begin} for at, begin in enumerate(splits.tolist()) if at in pieces]
    whole = dict.fromkeys(("frauds", "honest", "alarms", FIRST, LAST), pl.Int64())
    kinds = {LEFT: pl.Float64()} | {name: whole.get(name, pl.Float64()) for name in sums if not name.startswith(_BAD)}
    return pl.DataFrame([{name: line[name] for name in kinds} for line in sound], schema=kinds).sort(LEFT), bad


def _sums(F: Any) -> dict[str, Any]:  # noqa: N803 - the name that Spark's own documentation uses
    """`SUMS` in Spark, each over the rows of a piece."""
    label, score = F.col(LABEL), F.col(SCORE)
    square = (score - label.cast("double")) * (score - label.cast("double"))
    told = (
        label.cast("long"), (~label).cast("long"), (~label & F.col(DECISION)).cast("long"),
        F.when(label, score).otherwise(0.0), F.when(~label, score).otherwise(0.0),
        square, square * square, square * square * square,
    )  # fmt: skip
    return {name: F.sum(each) for name, each in zip(SUMS, told, strict=True)}


def _ids(rows: Any) -> int:
    """How many there are."""
    from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

    return int(collected(rows.agg(F.count_distinct(ID).alias("ids")))[0]["ids"])


@contextmanager
def _told() -> Iterator[None]:
    """What Spark could not do, as an error of ours."""
    try:
        yield
    except ScoresError:
        raise
    except Exception as error:
        raise ScoresError(f"the Spark frame can't be read: {first_line(error)}") from None
