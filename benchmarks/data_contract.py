"""What a contract of 25 rules costs, by this package and by those that one would use instead.

    python benchmarks/data_contract.py [--rows N ...] [--only NAME ...]

Each contestant runs in a process of its own, on the same Parquet files (simulated payments, and the same with one day
corrupted), and must count the same for every rule. Seconds are those of reading and judging; peak is the memory of the
process, of Spark with that of its Java. Fails if a bar is missed. Needs the group `lanes` (`make spark` brings it);
pandera and
datacontract-cli come into environments of their own, by uv.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ROWS = (100_000, 1_000_000, 10_000_000)
OF_PANDAS, OF_DUCKDB, PEAK = 0.10, 1.0, 1.5  # bars at the most rows: shares of time, GB
E2E, ISPB = "^E[0-9A-Z]{8}[0-9]{12}[A-Za-z0-9]{11}$", "^[0-9A-Z]{8}$"
RULES: list[tuple[str, str, Any]] = [
    *(
        ("null", column, None)
        for column in (
            "end_to_end_id", "initiated_at", "payer_account_id", "payer_ispb", "payee_account_id", "payee_ispb",
            "initiation_type", "amount_cents", "device_id", "device_registered",
        )
    ),
    ("regex", "end_to_end_id", E2E),
    ("regex", "txid", "^[A-Za-z0-9]{26,35}$"),
    ("regex", "payer_ispb", ISPB),
    ("regex", "payee_ispb", ISPB),
    ("regex", "device_id", "^[0-9a-f]{16}$"),
    ("length", "end_to_end_id", (32, 32)),
    ("length", "payee_key", (11, 77)),
    ("length", "payer_account_id", (1, 34)),
    ("length", "payee_account_id", (1, 34)),
    ("set", "payee_key_type", ["CPF", "CNPJ", "PHONE", "EMAIL", "EVP"]),
    ("set", "initiation_type", ["MANU", "DICT", "QRES", "QRDN", "INIC"]),
    ("min", "amount_cents", 1),
    ("max", "amount_cents", 10_000_000_000),
    ("unique", "end_to_end_id", None),
    ("rows", "", None),
]  # fmt: skip
COLUMNS = (
    "end_to_end_id", "txid", "initiated_at", "payer_account_id", "payer_ispb", "payee_account_id", "payee_ispb",
    "payee_key_type", "payee_key", "initiation_type", "amount_cents", "device_id", "device_registered",
)  # fmt: skip
NAMES = [f"{kind} {column}".strip() for kind, column, _ in RULES]
assert len(RULES) == 25


def expectations() -> list[tuple[str, dict[str, Any]]]:
    """The rules as Great Expectations knows them."""
    made: dict[str, Callable[[str, Any], tuple[str, dict[str, Any]]]] = {
        "null": lambda column, _: ("expect_column_values_to_not_be_null", {"column": column}),
        "regex": lambda column, regex: ("expect_column_values_to_match_regex", {"column": column, "regex": regex}),
        "length": lambda column, ends: (
            "expect_column_value_lengths_to_be_between",
            {"column": column, "min_value": ends[0], "max_value": ends[1]},
        ),
        "set": lambda column, values: ("expect_column_values_to_be_in_set", {"column": column, "value_set": values}),
        "min": lambda column, low: ("expect_column_values_to_be_between", {"column": column, "min_value": low}),
        "max": lambda column, high: ("expect_column_values_to_be_between", {"column": column, "max_value": high}),
        "unique": lambda column, _: ("expect_column_values_to_be_unique", {"column": column}),
        "rows": lambda *_: ("expect_table_row_count_to_be_between", {}),
    }
    return [made[kind](column, argument) for kind, column, argument in RULES]


def by_great_expectations(engine: Any) -> list[int]:
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.validator.validator import Validator

    asked = [ExpectationConfiguration(type=name, kwargs=arguments) for name, arguments in expectations()]
    format_ = {"result_format": {"result_format": "BASIC", "partial_unexpected_count": 0}, "catch_exceptions": False}
    answers = Validator(execution_engine=engine).graph_validate(asked, format_)
    return [int(each.result.get("unexpected_count", each.result.get("observed_value"))) for each in answers]


# Contestants: each gets ready (imports), and returns what reads and judges


def pixgates(folder: Path) -> Callable[[], list[int]]:
    from pytest_pixgates.data_contract import judge, tables
    from pytest_pixgates.data_contract.rules import Expectation, Rule, Table

    asked = [
        Rule(name, name, 1, Expectation(*each), columns=(each[1]["column"],) if "column" in each[1] else ())
        for name, each in zip(NAMES, expectations(), strict=True)
    ]
    __import__("great_expectations")

    def run() -> list[int]:
        opened = tables.open_path("transactions", Table("transactions", 1, (), tuple(asked)), folder)
        numbers, refused = judge.counted(asked, opened.rows)
        assert not refused
        return [int(numbers[name]) for name in NAMES]

    return run


def pandas(folder: Path) -> Callable[[], list[int]]:
    import pandas as pd
    from great_expectations.execution_engine import PandasExecutionEngine

    def run() -> list[int]:
        frame = pd.read_parquet(sorted((folder / "transactions").rglob("*.parquet")), partitioning=None)
        return by_great_expectations(PandasExecutionEngine(batch_data_dict={"table": frame}))

    return run


def spark(folder: Path) -> Callable[[], list[int]]:
    from great_expectations.execution_engine import SparkDFExecutionEngine

    sys.path.insert(0, str(ROOT))
    from tests.lanes import java

    os.environ |= {"JAVA_HOME": str(java.home(Path(tempfile.mkdtemp()))), "PYSPARK_PYTHON": sys.executable}
    from pyspark.sql import SparkSession

    settings = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.memory": "4g",
                "spark.driver.bindAddress": "127.0.0.1", "spark.sql.shuffle.partitions": "4"}  # fmt: skip
    session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()

    def run() -> list[int]:
        frame = session.read.parquet(*map(str, sorted((folder / "transactions").rglob("*.parquet"))))
        return by_great_expectations(SparkDFExecutionEngine(batch_data_dict={"table": frame}))

    return run


def duckdb(folder: Path) -> Callable[[], list[int]]:
    import duckdb as library

    words = {
        "null": lambda column, _: f"{column} is null",
        "regex": lambda column, regex: f"not regexp_matches({column}, '{regex}')",
        "length": lambda column, ends: f"length({column}) not between {ends[0]} and {ends[1]}",
        "set": lambda column, values: f"{column} not in ({', '.join(map(repr, values))})",
        "min": lambda column, low: f"{column} < {low}",
        "max": lambda column, high: f"{column} > {high}",
        "rows": lambda *_: "true",
    }
    table = f"read_parquet('{folder}/transactions/**/*.parquet', hive_partitioning = false)"
    parts = [
        f"count(*) filter (where {words[kind](column, argument)})" for kind, column, argument in RULES if kind in words
    ]
    unique = "count(end_to_end_id), count(distinct end_to_end_id)"
    twice = f"select coalesce(sum(n), 0) from (select count(*) as n from {table} where end_to_end_id is not null "\
            "group by end_to_end_id having n > 1)"  # fmt: skip

    def run() -> list[int]:
        connection = library.connect()
        connection.execute("set threads = 2")
        *row, present, distinct = connection.execute(f"select {', '.join(parts)}, {unique} from {table}").fetchone()
        repeated = connection.execute(twice).fetchone()[0] if distinct < present else 0
        row.insert(next(index for index, rule in enumerate(RULES) if rule[0] == "unique"), repeated)
        return [int(each) for each in row]

    return run


def pandera(folder: Path) -> Callable[[], list[int]]:
    import pandera.polars as pa
    import polars as pl

    checks: dict[str, list[Any]] = {}
    for kind, column, argument in RULES:
        made = {
            "regex": lambda a=argument: pa.Check.str_matches(a, error="regex"),
            "length": lambda a=argument: pa.Check.str_length(a[0], a[1], error="length"),
            "set": lambda a=argument: pa.Check.isin(a, error="set"),
            "min": lambda a=argument: pa.Check.ge(a, error="min"),
            "max": lambda a=argument: pa.Check.le(a, error="max"),
        }
        checks.setdefault(column, []).extend([made[kind]()] if kind in made else [])
    required = {column for kind, column, _ in RULES if kind == "null"}
    unique = {column for kind, column, _ in RULES if kind == "unique"}
    columns = {
        column: pa.Column(checks=its, nullable=column not in required, unique=column in unique)
        for column, its in checks.items()
        if column
    }
    schema = pa.DataFrameSchema(columns)

    def run() -> list[int]:
        frame = pl.read_parquet(folder / "transactions/**/*.parquet", hive_partitioning=False)
        broken: dict[tuple[str, str], int] = {}
        try:
            schema.validate(frame, lazy=True)
        except pa.errors.SchemaErrors as error:
            for row in error.failure_cases.group_by("column", "check").len().iter_rows():
                broken[row[0], row[1]] = row[2]
        kinds = {"null": "not_nullable", "unique": "field_uniqueness"}
        return [
            len(frame) if kind == "rows" else broken.get((column, kinds.get(kind, kind)), 0)
            for kind, column, _ in RULES
        ]

    return run


def datacontract(folder: Path) -> Callable[[], list[int]]:
    import yaml
    from datacontract.data_contract import DataContract

    types = {"initiated_at": "timestamp", "amount_cents": "integer", "device_registered": "boolean"}
    columns: dict[str, dict[str, Any]] = {}
    for name in COLUMNS:
        columns[name] = {
            "name": name,
            "logicalType": types.get(name, "string"),
            "logicalTypeOptions": {},
            "quality": [],
        }
    columns["amount_cents"]["physicalType"] = "BIGINT"
    option = {"regex": "pattern", "min": "minimum", "max": "maximum"}
    for kind, name, argument in RULES[:-1]:
        column = columns[name]
        if kind == "length":
            column["logicalTypeOptions"] |= {"minLength": argument[0], "maxLength": argument[1]}
        elif kind == "set":
            column["quality"].append({"metric": "invalidValues", "arguments": {"validValues": argument}, "mustBe": 0})
        elif kind in option:
            column["logicalTypeOptions"][option[kind]] = argument
        else:
            column["required" if kind == "null" else "unique"] = True
    asked = [{key: value for key, value in column.items() if value or key == "name"} for column in columns.values()]
    where = {"server": "files", "type": "local", "format": "parquet", "path": f"{folder}/transactions/*/*.parquet"}
    rows = [{"metric": "rowCount", "mustBeGreaterThan": 0}]
    made = {"apiVersion": "v3.1.0", "kind": "DataContract", "id": "t", "version": "1.0.0", "status": "active",
            "servers": [where], "schema": [{"name": "transactions", "properties": asked, "quality": rows}]}  # fmt: skip
    path = Path(tempfile.mkdtemp()) / "t.odcs.yaml"
    path.write_text(yaml.safe_dump(made))
    checks = {"null": ["required"], "unique": ["unique"], "regex": ["regex"], "set": ["invalid_values"],
              "length": ["min_length", "max_length"], "min": ["minimum"], "max": ["maximum"]}  # fmt: skip

    def run() -> list[int]:
        tested = DataContract(data_contract_file=str(path)).test()
        told = {(each.type, each.field): each.diagnostics or {} for each in tested.checks}
        counts = []
        for kind, name, _ in RULES[:-1]:
            found = [told[f"field_{check}", name] for check in checks[kind]]
            counts.append(sum(int(each.get("failed_rows", each["value"])) for each in found))
        return [*counts, int(told["row_count", None]["value"])]

    return run


CONTESTANTS: dict[str, Callable[[Path], Callable[[], list[int]]]] = {
    "pixgates": pixgates,
    "duckdb": duckdb,
    "pandera": pandera,
    "datacontract": datacontract,
    "pandas": pandas,
    "spark": spark,
}
TITLES = {
    "pixgates": "pytest-pixgates",
    "duckdb": "DuckDB, SQL by hand",
    "pandera": "pandera on polars",
    "datacontract": "datacontract-cli",
    "pandas": "Great Expectations on pandas",
    "spark": "Great Expectations on Spark local[2]",
}
OWN = {
    "pandera": ("pandera[polars]>=0.26", "polars>=1.30"),
    "datacontract": ("datacontract-cli[duckdb,parquet]>=1.2",),
}


def contest(name: str, folder: Path) -> None:
    """Run one contestant in this process, and say how it went as JSON."""
    run = CONTESTANTS[name](folder)
    began = time.perf_counter()
    counts = run()
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if name == "spark":
        for status in Path("/proc").glob("[0-9]*/status"):
            text = status.read_text()
            if "Name:\tjava" in text:
                peak += int(text.partition("VmHWM:")[2].split()[0]) / 1e6
    print(json.dumps({"counts": counts, "seconds": seconds, "peak": peak}))


def measured(name: str, folder: Path, cache: Path) -> dict[str, Any]:
    python = sys.executable
    if name in OWN:
        python = str(cache / name / "bin" / "python")
        if not Path(python).exists():
            uv = str(Path(sys.executable).with_name("uv"))
            subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, cache / name], check=True)
            subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *OWN[name]], check=True)
    done = subprocess.run([python, __file__, "--contest", name, str(folder)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def simulated(rows: int, cache: Path) -> tuple[Path, Path]:
    """The data sets, clean and with one corrupted day."""
    clean, broken = cache / f"{rows}", cache / f"{rows}-broken"
    if not clean.exists():
        given = ["--rows", str(rows), "--seed", "1", "--out", str(clean)]
        subprocess.run([sys.executable, "-m", "ml_pipeline", "simulate", *given], check=True, cwd=ROOT)
    if not broken.exists():
        shutil.copytree(clean / "transactions", broken / "transactions", copy_function=os.link)
        corrupt(max((broken / "transactions").rglob("*.parquet")))
    return clean, broken


def corrupt(path: Path) -> None:
    """Every 7th row of a day loses, doubles or spoils something, each in its own way."""
    import polars as pl

    frame = pl.read_parquet(path, hive_partitioning=False).with_row_index("n")
    n = pl.col("n")
    frame = frame.with_columns(
        end_to_end_id=pl.when(n % 7 == 0).then(pl.col("end_to_end_id").shift(-1))
            .when(n % 7 == 3).then(pl.lit("E1")).otherwise("end_to_end_id"),
        payer_ispb=pl.when(n % 21 == 1).then(None).when(n % 21 == 2).then(pl.lit("no ispb")).otherwise("payer_ispb"),
        amount_cents=pl.when(n % 14 == 4).then(0).when(n % 14 == 5).then(10**11).otherwise("amount_cents"),
        payee_key_type=pl.when(n % 35 == 6).then(pl.lit("FAX")).otherwise("payee_key_type"),
        device_id=pl.when(n % 28 == 8).then(pl.lit("0x")).otherwise("device_id"),
        payee_key=pl.when(n % 49 == 9).then(pl.lit("")).otherwise("payee_key"),
    ).drop("n")  # fmt: skip
    path.unlink()  # it is a link to the clean one
    frame.write_parquet(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "pixgates-data-contract")
    parser.add_argument("--contest", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contest:
        contest(args.contest[0], Path(args.contest[1]))
        return 0
    args.cache.mkdir(parents=True, exist_ok=True)
    missed = []
    print("| rows | | clean | peak | one day corrupted | peak |\n| --- | --- | --- | --- | --- | --- |")
    for rows in args.rows:
        found = {}
        for name in args.only:
            both = [measured(name, folder, args.cache) for folder in simulated(rows, args.cache)]
            found[name] = both
            words = " | ".join(f"{each['seconds']:.2f} s | {each['peak']:.2f} GB" for each in both)
            print(f"| {rows:,} | {TITLES[name]} | {words} |", flush=True)
            for mine, first in zip(both, found[args.only[0]], strict=True):
                if mine["counts"] != first["counts"]:
                    pairs = zip(NAMES, mine["counts"], first["counts"], strict=True)
                    raise SystemExit(f"{name} counts otherwise: {[each for each in pairs if each[1] != each[2]]}")
        if rows == max(ROWS) and {"pixgates", "duckdb", "pandas"} <= found.keys():
            missed = bars(found)
    return len(missed)


def bars(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    ours, theirs, pandas_ = (found[name] for name in ("pixgates", "duckdb", "pandas"))
    missed = []
    for index, what in enumerate(("clean", "corrupted")):
        of_duckdb, of_pandas = (ours[index]["seconds"] / each[index]["seconds"] for each in (theirs, pandas_))
        print(f"{what}: {of_pandas:.3f} of pandas (bar {OF_PANDAS}), {of_duckdb:.2f} of DuckDB (bar {OF_DUCKDB}),",
              f"{ours[index]['peak']:.2f} GB (bar {PEAK})")  # fmt: skip
        if of_duckdb > OF_DUCKDB or of_pandas > OF_PANDAS or ours[index]["peak"] > PEAK:
            missed.append(what)
    return missed


if __name__ == "__main__":
    sys.exit(main())
