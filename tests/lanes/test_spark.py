"""The lane `spark`: contracts judged on a real Spark of two cores. `make spark`; says NOT RUN where it can't."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.data_contract import contract, tables
from pytest_pixgates.data_contract.judge import Judge
from tests import torture
from tests.lanes import java
from tests.lanes.conftest import needed_by

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
