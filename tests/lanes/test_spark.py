"""The lane `spark`: contracts and models judged on a real Spark of two cores: `make spark`. NOT RUN if it can't."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pytest_pixgates import Scores
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.data_contract import contract, tables
from pytest_pixgates.data_contract.judge import Judge
from pytest_pixgates.model_gate import read
from pytest_pixgates.model_gate.columns import ScoresError
from pytest_pixgates.model_gate.policy import ModelGatePolicy
from tests import torture
from tests.lanes import java
from tests.lanes.conftest import needed_by
from tests.model.conftest import scored

RELATED = """\
slaProperties:
  - {property: latency, element: torture.at, value: 1, unit: d}
"""
CONTRACT = torture.WITH_LISTS.replace(
    "- {name: id, logicalType: integer,", "- {name: id, relationships: [{to: others.id}], logicalType: integer,"
)  # fmt: skip
NOW = datetime.datetime(2200, 1, 1, 6, tzinfo=datetime.UTC)
MOST_JOBS = 3


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with needed_by("spark"):
        from pyspark.sql import SparkSession

        home = java.home(tmp_path_factory.mktemp("java"))
    before = {name: os.environ.get(name) for name in ("JAVA_HOME", "PYSPARK_PYTHON")}
    os.environ |= {"JAVA_HOME": str(home), "PYSPARK_PYTHON": sys.executable}
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.session.timeZone": "America/Sao_Paulo",  # whatever it is, counts must not follow it
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(home / "warehouse"),
    }
    session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()
    os.environ |= {name: value for name, value in before.items() if value is not None}


@pytest.fixture(scope="module")
def tortured(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("data") / "torture.parquet"
    torture.table().write_parquet(path)
    return spark.read.parquet(str(path))


def test_spark_counts_alike(tortured: Any) -> None:
    agreed = contract.parse(torture.WITH_LISTS, "torture.yaml")
    opened = tables.open_frame(tortured, agreed.tables[0], "torture")
    scan = Judge().scan(agreed, agreed.tables[0], opened, "torture")
    assert not scan.problems
    found = {each.rule: int(each.measured.partition(" ")[0]) for each in scan.rules if ".exists" not in each.rule}
    assert found == torture.COUNTS
    assert "hmac:" in next(finding.message for finding in scan.findings if finding.rule == "flag.required")


def test_a_whole_contract_with_everything_broken_takes_three_jobs_at_most(spark: Any, tortured: Any) -> None:
    agreed = contract.parse(CONTRACT + RELATED, "torture.yaml")
    table, context = agreed.tables[0], spark.sparkContext
    others = tables.open_frame(spark.createDataFrame([(1,), (2,)], "id bigint"), table, "others")
    before = {name: spark.conf.get(name) for name in ("spark.sql.adaptive.enabled",)}
    context.setJobGroup("judged", "")
    scan = Judge(now=NOW, others=lambda _: others.rows).scan(
        agreed, table, tables.open_frame(tortured, table, "torture"), "torture"
    )
    jobs = context.statusTracker().getJobIdsForGroup("judged")
    assert 1 <= len(jobs) <= MOST_JOBS
    measured = {each.rule: each.measured for each in scan.rules}
    assert measured["id.relationship"] == "5 of 9 rows"
    assert measured["at.latency"] == "21,600"
    assert len(scan.findings) > 20
    assert {name: spark.conf.get(name) for name in before} == before, "the session is left as it was"


def test_a_sound_frame_passes_and_an_empty_one_is_an_error(spark: Any) -> None:
    agreed = contract.parse(
        "apiVersion: v3.1.0\nkind: DataContract\nid: t\nversion: 1.0.0\nstatus: active\nschema:\n  - name: t\n"
        "    properties:\n"
        "      - {name: id, logicalType: integer, primaryKey: true, classification: public, description: d}\n",
        "t.yaml",
    )
    for rows, outcome in {((1,), (2,)): Outcome.PASS, ((1,), (1,)): Outcome.FAIL, (): Outcome.ERROR}.items():
        frame = spark.createDataFrame(list(rows), "id bigint")
        opened = tables.open_frame(frame, agreed.tables[0], "t")
        scan = Judge().scan(agreed, agreed.tables[0], opened, "t")
        assert scan.outcome is outcome, scan.lines()


def test_sql_of_a_contract_is_refused_by_name_on_spark(spark: Any) -> None:
    agreed = contract.parse(
        "apiVersion: v3.1.0\nkind: DataContract\nid: t\nversion: 1.0.0\nstatus: active\nschema:\n  - name: t\n"
        "    properties:\n      - {name: id, logicalType: integer, classification: public, description: d}\n"
        "    quality: [{name: q, type: sql, query: select 1, mustBe: 1}]\n",
        "t.yaml",
    )
    opened = tables.open_frame(spark.createDataFrame([(1,)], "id bigint"), agreed.tables[0], "t")
    scan = Judge().scan(agreed, agreed.tables[0], opened, "t")
    assert scan.outcome is Outcome.ERROR
    assert "a contract's SQL runs in DuckDB, not in Spark" in str(scan.problems[0])


# Models

POLICY = ModelGatePolicy(
    label="is_fraud",
    score="score",
    decision="decision",
    alert=("review", "block"),
    id="id",
    amount="cents",
    amount_unit=0.01,
    time="at",
    label_delay="30d",
    clock="2026-09-20T00:00:00Z",
)
LIMITS: dict[str, Callable[[Scores], Any]] = {
    "recall": lambda rows: rows.recall >= 0.82,
    "precision": lambda rows: rows.precision >= 0.5,
    "false_positive_rate": lambda rows: rows.false_positive_rate <= 0.006,
    "specificity": lambda rows: rows.specificity >= 0.999,
    "amount_recall": lambda rows: rows.amount_recall >= 0.7,
    "f_2": lambda rows: rows.f_beta(2) >= 0.8,
    "roc_auc": lambda rows: rows.roc_auc >= 0.9,
    "average_precision": lambda rows: rows.average_precision >= 0.5,
    "recall_at_fpr": lambda rows: rows.recall_at_fpr(0.003) >= 0.5,
    "precision_at": lambda rows: rows.precision_at(10) >= 0.6,
    "brier": lambda rows: rows.brier <= 0.2,
    "cost": lambda rows: rows.cost(4) <= 900,
    "calibration_error": lambda rows: rows.calibration_error <= 0.3,
}


def judged(source: Any, policy: ModelGatePolicy = POLICY) -> Scores:
    """What `model_gate(source)` gives."""
    return read.scores(source, policy, Path(), alpha=0.05)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Payments with ties, -0.0, scores on the edges of bins, and labels that are not final yet."""
    rows = scored(60_000).with_columns(pl.col("score").round(4))
    rows = rows.with_columns(pl.when(pl.int_range(pl.len()) % 50 == 0).then(-0.0).otherwise("score").alias("score"))
    path = tmp_path_factory.mktemp("scored") / "scores.parquet"
    rows.write_parquet(path)
    return path


@pytest.fixture(scope="module")
def by_polars(table: Path) -> Scores:
    return judged(pl.scan_parquet(table))


@pytest.fixture(scope="module")
def by_spark(spark: Any, table: Path) -> Scores:
    return judged(spark.read.parquet(str(table)))


def same_counts(one: Scores, other: Scores) -> None:
    assert one.data.counts == other.data.counts
    assert (one.size, one.positives) == (other.size, other.positives)
    for name in ("positives", "tied", "gaps"):
        assert np.array_equal(getattr(one.data.cells, name), getattr(other.data.cells, name)), name


def test_spark_counts_the_scores_as_polars_does(by_spark: Scores, by_polars: Scores) -> None:
    same_counts(by_spark, by_polars)
    assert 0 < by_polars.size < 60_000, "labels that are not final are left out"
    assert by_polars.data.cells.tied.any()


@pytest.mark.parametrize("limit", LIMITS)
def test_spark_gives_the_same_verdict(by_spark: Scores, by_polars: Scores, limit: str) -> None:
    ours, theirs = LIMITS[limit](by_spark), LIMITS[limit](by_polars)
    assert (ours.outcome, ours.check, ours.measured, ours.reason, ours.needs) == (
        theirs.outcome, theirs.check, theirs.measured, theirs.reason, theirs.needs,
    )  # fmt: skip


def test_the_verdicts_compared_are_of_each_kind(by_polars: Scores) -> None:
    found = {limit(by_polars).outcome for limit in LIMITS.values()}
    assert found == {Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.FAIL}


def test_scores_take_three_jobs_with_ids_and_two_without(spark: Any, table: Path) -> None:
    context, frame = spark.sparkContext, spark.read.parquet(str(table))
    for columns, most in ((frame.columns, MOST_JOBS), ([name for name in frame.columns if name != "id"], 2)):
        context.setJobGroup(f"scored {most}", "")
        before = spark.conf.get("spark.sql.adaptive.enabled")
        found = judged(
            frame.select(*columns), ModelGatePolicy(**{**_settings(), "id": "id" if most == MOST_JOBS else ""})
        )
        for limit in LIMITS.values():
            limit(found)
        assert len(context.statusTracker().getJobIdsForGroup(f"scored {most}")) == most
        assert spark.conf.get("spark.sql.adaptive.enabled") == before, "the session is left as it was"


def _settings() -> dict[str, Any]:
    return {name: getattr(POLICY, name) for name in POLICY.__dataclass_fields__}


@pytest.mark.parametrize("partitions", [1, 7, 64])
def test_partitions_change_no_count(spark: Any, table: Path, by_polars: Scores, partitions: int) -> None:
    same_counts(judged(spark.read.parquet(str(table)).repartition(partitions)), by_polars)


def test_a_part_of_a_frame_is_judged_by_itself(spark: Any, table: Path) -> None:
    frame, rows = spark.read.parquet(str(table)), pl.scan_parquet(table)
    same_counts(judged(frame.filter("region = 'NE'")), judged(rows.filter(pl.col("region") == "NE")))


def test_other_types_and_a_threshold_count_alike(spark: Any, table: Path) -> None:
    told = "cast(is_fraud as int) label, cast(score as float) score, cast(at as timestamp_ntz) time, cents amount"
    frame = spark.read.parquet(str(table)).selectExpr(*told.split(", "))
    rows = pl.scan_parquet(table).select(
        pl.col("is_fraud").cast(pl.Int32).alias("label"),
        pl.col("score").cast(pl.Float32),
        pl.col("at").dt.replace_time_zone(None).alias("time"),
        pl.col("cents").alias("amount"),
    )
    ours, theirs = Scores.scan(frame, threshold=0.4), Scores.scan(rows, threshold=0.4)
    same_counts(ours, theirs)
    assert str(ours.amount_recall) == str(theirs.amount_recall)


BAD = {
    "there are no rows": "SELECT * FROM good WHERE 1 = 0",
    "label has 1 nulls": "SELECT CAST(NULL AS BOOLEAN), 0.5D, true",
    "score has 1 nulls": "SELECT true, CAST(NULL AS DOUBLE), true",
    "decision has 1 nulls": "SELECT true, 0.5D, CAST(NULL AS BOOLEAN)",
    "1 scores are NaN or infinite": "SELECT true, CAST('NaN' AS DOUBLE), true",
    "1 scores lie outside of [0, 1]": "SELECT false, 1.5D, true",
}


@pytest.mark.parametrize("problem", BAD)
def test_bad_values_are_refused_in_the_words_of_polars(spark: Any, problem: str) -> None:
    good = spark.createDataFrame(
        [(True, 0.9, True), (False, 0.1, False)], "label boolean, score double, decision boolean"
    )
    good.createOrReplaceTempView("good")
    bad = spark.sql(BAD[problem])
    frame = bad if problem == "there are no rows" else good.union(bad)
    rows = pl.DataFrame(
        [row.asDict() for row in frame.collect()], {"label": pl.Boolean, "score": pl.Float64, "decision": pl.Boolean}
    )
    for each in (frame, rows.lazy()):
        with pytest.raises(ScoresError) as refused:
            Scores.scan(each)
        assert refused.value.message == problem


def test_labels_ids_and_types_are_checked_as_well(spark: Any) -> None:
    sound = spark.createDataFrame(
        [(1, 0.5, True, "a"), (0, 0.5, True, "b")], "label int, score double, decision boolean, id string"
    )
    assert Scores.scan(sound).size == 2
    for problem, schema, rows in (
        ("1 labels are neither 0 nor 1", "label int, score double, decision boolean", [(1, 0.5, True), (2, 0.5, True)]),
        ("1 ids stand twice", "label int, score double, decision boolean, id string", [(1, 0.5, True, "a")] * 2),
        (
            "labels are String, not booleans or 0 and 1",
            "label string, score double, decision boolean",
            [("1", 0.5, True)],
        ),
        ("scores are String, not numbers", "label int, score string, decision boolean", [(1, "0.5", True)]),
        ("nothing says which rows are alerts", "label int, score double", [(1, 0.5)]),
        ("there are no labels", "score double, decision boolean", [(0.5, True)]),
        ("there are no scores, by which a Spark frame is counted", "label int, decision boolean", [(1, True)]),
    ):
        with pytest.raises(ScoresError) as refused:
            Scores.scan(spark.createDataFrame(rows, schema))
        assert refused.value.message == problem


@pytest.mark.parametrize(("column", "what"), [("cluster", "clusters"), ("weight", "weights")])
def test_what_needs_rows_is_refused_by_name(spark: Any, column: str, what: str) -> None:
    frame = spark.createDataFrame(
        [(True, 0.9, True, 1.0)], f"label boolean, score double, decision boolean, {column} double"
    )
    with pytest.raises(ScoresError, match=f"^{what} need the rows themselves"):
        Scores.scan(frame)
    policy = ModelGatePolicy(label="label", decision="decision", **{column: column})
    with pytest.raises(ScoresError, match=f"^{what} need the rows themselves"):
        judged(frame, policy)


def test_a_frame_that_is_another_each_time_is_refused(spark: Any) -> None:
    from pyspark.sql import functions as F  # noqa: N812 - the name that Spark's own documentation uses

    frame = spark.range(2000).select((F.col("id") % 5 == 0).alias("label"), F.expr("true").alias("decision"))
    fresh = F.udf(lambda _: __import__("random").random(), "double").asNondeterministic()
    with pytest.raises(ScoresError, match="other rows each time"):
        Scores.scan(frame.withColumn("score", fresh(F.lit(1))))


def test_what_spark_can_not_do_is_an_error_of_ours(spark: Any) -> None:
    frame = spark.createDataFrame([("x", True)], "text string, label boolean")
    broken = frame.selectExpr("label", "cast(text as double) as score", "true as decision")
    with pytest.raises(ScoresError, match=r"^the Spark frame can't be read: "):
        Scores.scan(broken)
