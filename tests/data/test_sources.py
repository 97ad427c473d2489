"""Whatever holds the data, it is judged whole; and what can't be read whole is an ERROR that names the place."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pytest_pixgates.core.scan import Scan
from pytest_pixgates.core.verdict import Outcome
from tests.data.conftest import COLUMNS, CONTRACT, Repository, payments

FILES = ["data.parquet", "data.csv", "data.ndjson", "data.arrow"]
BROKEN = {"cpf": ["00000000001", "1", None, "x"], "channel": ["app", "fax", "web", "app"]}


def broken(scan: Scan) -> dict[str, str]:
    return {finding.rule: finding.message.rpartition(": ")[2].partition(";")[0] for finding in scan.findings}


def problem(scan: Scan) -> str:
    assert scan.outcome is Outcome.ERROR
    return str(scan.problems[0])


def forms(frame: pl.DataFrame) -> dict[str, Any]:
    import pyarrow.dataset

    return {
        "eager": frame,
        "lazy": frame.lazy(),
        "pandas": frame.to_pandas(),
        "pandas on Arrow": frame.to_pandas(use_pyarrow_extension_array=True),
        "PyArrow": frame.to_arrow(),
        "PyArrow data set": pyarrow.dataset.dataset(frame.to_arrow()),
    }


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_each_format_is_judged_alike(repository: Repository, name: str) -> None:
    good, bad = repository.judged(payments(), name), repository.judged(payments(**BROKEN), name)
    assert good.outcome is Outcome.PASS, good.lines()
    assert good.scanned == {"rows": 4, "rules": 18}
    assert broken(bad) == {"cpf.pattern": "2 of 4 rows", "channel.invalidValues": "1 of 4 rows"}, bad.lines()


@pytest.mark.parametrize("form", forms(payments()))
def test_a_frame_of_each_library_is_judged_alike(repository: Repository, form: str) -> None:
    good = repository.judged(forms(payments())[form], "")
    bad = repository.judged(forms(payments(**BROKEN))[form], "")
    assert good.outcome is Outcome.PASS, good.lines()
    assert broken(bad) == {"cpf.pattern": "2 of 4 rows", "channel.invalidValues": "1 of 4 rows"}, bad.lines()


def test_a_finding_names_the_rule_the_line_and_the_count(repository: Repository) -> None:
    finding = repository.judged(payments(channel=["app", None, "web", "app"])).findings[0]
    line = next(
        number for number, text in enumerate(CONTRACT.splitlines(), start=1) if text == "        required: true"
    )
    assert (finding.rule, finding.path, finding.line) == (
        "channel.required",
        "gates/contracts/payments.odcs.yaml",
        line,
    )
    assert finding.message.startswith("channel is not null: 1 of 4 rows")


@pytest.mark.parametrize("pattern", ["days", "days/**/*.parquet", "days/day=*"])
def test_partitions_are_one_table_and_unique_over_all_of_them(repository: Repository, pattern: str) -> None:
    for day in (1, 2):
        repository.write(f"days/day=2026-08-0{day}/part.parquet", payments())
    scan = repository.gates()("payments", pattern)
    assert scan.scanned["rows"] == 8
    assert broken(scan) == {"id.unique": "8 of 8 rows"}


def test_a_partition_s_key_is_a_column_where_the_contract_has_one(repository: Repository) -> None:
    column = "      - {name: day, logicalType: date, classification: public, description: The day., required: true}\n"
    repository.contract(CONTRACT + column)
    for day in (1, 2):
        repository.write(f"days/day=2026-08-0{day}/part.parquet", payments(id=[day * 10 + i for i in range(4)]))
    scan = repository.gates()("payments", "days")
    assert scan.outcome is Outcome.PASS, scan.lines()


def test_a_missing_day_fails_unless_gaps_are_allowed(repository: Repository) -> None:
    for day in (1, 2, 5):
        repository.write(f"days/day=2026-08-0{day}/part.parquet", payments(id=[day * 10 + i for i in range(4)]))
    strict, loose = ("[data_contract.data.payments]\npath = 'days'\n" + more for more in ("", "gaps = true\n"))
    finding = repository.gates(strict)("payments").findings[0]
    assert finding.message.endswith("2 missing (day=2026-08-03, day=2026-08-04)")
    assert repository.gates(loose)("payments").outcome is Outcome.PASS


def partitions(repository: Repository, *names: str) -> list[str]:
    """What is found of partitions that are called so, whose other rules hold."""
    for number, name in enumerate(names):
        repository.write(f"days/{name}/part.parquet", payments(id=[number * 10 + i for i in range(4)]))
    scan = repository.gates("[data_contract.data.payments]\npath = 'days'\n")("payments")
    assert scan.outcome is (Outcome.FAIL if scan.findings else Outcome.PASS)
    return [finding.message.partition(": ")[2] for finding in scan.findings]


@pytest.mark.parametrize("name", ["day=__HIVE_DEFAULT_PARTITION__", "day=2026-13-45", "day="])
def test_a_partition_of_no_day_fails_and_hides_no_gap(repository: Repository, name: str) -> None:
    found = partitions(repository, "day=2026-08-01", "day=2026-08-03", name)
    assert found == ["1 missing (day=2026-08-02)", f"1 not ({name})"]


def test_a_file_outside_of_the_days_fails_and_hides_no_gap(repository: Repository) -> None:
    found = partitions(repository, "day=2026-08-01", "day=2026-08-03", "other")
    assert found == ["1 missing (day=2026-08-02)", "1 not (days/other/part.parquet)"]


def test_data_of_no_day_passes_where_gaps_are_allowed(repository: Repository) -> None:
    partitions(repository, "day=2026-08-01", "day=2026-08-03", "day=unknown")
    loose = repository.gates("[data_contract.data.payments]\npath = 'days'\ngaps = true\n")("payments")
    assert loose.outcome is Outcome.PASS, loose.lines()


def test_days_are_counted_over_levels_of_year_month_and_day(repository: Repository) -> None:
    found = partitions(repository, "year=2026/month=2/day=27", "year=2026/month=03/day=01")
    assert found == ["1 missing (year-month-day=2026-02-28)"]


def test_partitions_of_no_days_have_no_gaps(repository: Repository) -> None:
    assert partitions(repository, "region=N", "region=S", "other") == []


def test_the_keys_of_all_levels_are_columns_where_the_contract_has_them(repository: Repository) -> None:
    column = "      - {{name: {}, logicalType: integer, classification: public, description: It., required: true}}\n"
    repository.contract(CONTRACT + "".join(map(column.format, ("year", "month", "day"))))
    assert partitions(repository, "year=2026/month=07/day=31", "year=2026/month=08/day=01") == []


def test_parts_with_other_columns_or_types_are_named(repository: Repository) -> None:
    repository.write("days/a.parquet", payments())
    repository.write("days/b.parquet", payments(id=["5", "6", "7", "8"]))
    repository.write("days/c.parquet", payments().drop("cpf"))
    scan = repository.gates()("payments", "days")
    assert [str(each) for each in scan.problems] == [
        "days/b.parquet: id: not as in days/a.parquet",
        "days/c.parquet: cpf: not as in days/a.parquet",
    ]


@pytest.mark.parametrize("name", FILES)
def test_zero_rows_are_an_error(repository: Repository, name: str) -> None:
    if name.endswith(".ndjson"):
        assert problem(repository.judged("\n", name))
    else:
        assert problem(repository.judged(payments().clear(), name)) == f"{name}: has no rows"


def test_a_frame_of_zero_rows_is_an_error(repository: Repository) -> None:
    assert problem(repository.judged(payments().clear(), "")) == "payments: has no rows, so nothing was judged"


@pytest.mark.parametrize("name", ["b.parquet", "b.csv", "b.arrow"])
def test_a_part_of_zero_rows_is_an_error_that_names_it(repository: Repository, name: str) -> None:
    for part in ("a", "c"):
        repository.write(f"parts/{part}{Path(name).suffix}", payments())
    repository.write(f"parts/{name}", payments().clear())
    assert problem(repository.gates()("payments", "parts")) == f"parts/{name}: has no rows"


@pytest.mark.parametrize("name", FILES)
def test_an_empty_file_is_an_error(repository: Repository, name: str) -> None:
    assert problem(repository.judged(b"", name)) == f"{name}: is empty"


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_is_an_error_without_a_value(repository: Repository, name: str) -> None:
    whole = repository.write(name, payments(4000)).read_bytes()
    scan = repository.judged(whole[: len(whole) * 2 // 3], name)
    assert not scan.outcome
    assert "00000000" not in "\n".join(scan.lines())


def test_a_missing_column_fails_and_its_rules_are_not_judged(repository: Repository) -> None:
    scan = repository.judged(payments().drop("cpf"))
    assert {"columns", "cpf.exists"} == set(broken(scan))
    assert "cpf matches ^[0-9]{11}$: not judged, for cpf is missing" in str(scan.problems)
    assert scan.outcome is Outcome.FAIL


def test_an_extra_column_fails_unless_the_contract_allows_it(repository: Repository) -> None:
    frame = payments().with_columns(pl.lit(1).alias("extra"))
    assert set(broken(repository.judged(frame))) == {"columns"}
    allowed = "  - name: payments\n    customProperties: [{property: additionalColumns, value: true}]\n"
    repository.contract(CONTRACT.replace("  - name: payments\n", allowed))
    assert repository.judged(frame).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("column", "values", "rule"),
    [
        ("id", ["1", "2", "3", "4"], "id.logicalType"),
        ("cpf", [1, 2, 3, 4], "cpf.logicalType"),
        ("amount", ["1", "2", "3", "4"], "amount.logicalType"),
        ("paid_at", ["2026-08-01T00:00:00Z"] * 4, "paid_at.logicalType"),
        ("channel", [True, False, True, True], "channel.logicalType"),
    ],
)
def test_a_column_of_the_wrong_type_fails(repository: Repository, column: str, values: list[Any], rule: str) -> None:
    assert broken(repository.judged(payments(**{column: values})))[rule] == "4 of 4 rows"


def test_in_text_each_value_of_the_wrong_type_is_counted(repository: Repository) -> None:
    lines = ["1,00000000001,app,1.5,2026-08-01T00:00:00Z", "two,00000000002,web,1e2,2026-08-01 00:00:00-03:00",
             "3,00000000003,app,abc,2026-08-01T00:00:00", "4,,web,,"]  # fmt: skip
    scan = repository.judged("\n".join([",".join(COLUMNS), *lines]), "data.csv")
    wrong = {"id.logicalType": "1 of 4 rows", "amount.logicalType": "1 of 4 rows", "paid_at.logicalType": "1 of 4 rows"}
    assert broken(scan) == wrong | {"id.required": "1 of 4 rows"}, scan.lines()


def test_moments_without_a_zone_fail_unless_the_contract_has_none(repository: Repository) -> None:
    naive = payments().with_columns(pl.col("paid_at").dt.replace_time_zone(None))
    assert set(broken(repository.judged(naive))) == {"paid_at.logicalType"}
    local = CONTRACT + "        logicalTypeOptions: {timezone: false}\n"
    repository.contract(local)
    assert repository.judged(naive).outcome is Outcome.PASS
    assert set(broken(repository.judged(payments()))) == {"paid_at.logicalType"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_invalid(repository: Repository, value: float) -> None:
    assert broken(repository.judged(payments(amount=[1.0, 2.0, 3.0, value])))["amount.finite"] == "1 of 4 rows"


def test_null_is_valid_where_it_is_not_forbidden(repository: Repository) -> None:
    assert repository.judged(payments(amount=[None] * 4, cpf=[None] * 4)).outcome is Outcome.PASS


def test_a_column_that_stands_twice_is_an_error(repository: Repository) -> None:
    import pandas as pd

    twice = "the column id stands twice"
    assert twice in problem(repository.judged("id,id,cpf,channel,amount,paid_at\n1,1,,app,,\n", "data.csv"))
    assert twice in problem(repository.judged('{"id": 1, "id": 2}\n', "data.ndjson"))
    frame = payments().to_pandas()
    assert twice in problem(repository.judged(pd.concat([frame, frame[["id"]]], axis=1), ""))
    table = payments().to_arrow()
    assert twice in problem(repository.judged(table.append_column("id", table["id"]), ""))


def test_values_of_several_types_in_one_pandas_column_are_an_error(repository: Repository) -> None:
    frame = payments().to_pandas()
    frame["cpf"] = [1, "00000000002", None, 4.5]
    assert problem(repository.judged(frame, "")) == "payments: cpf: holds values of several types"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_an_encoding_other_than_utf_8_is_an_error(repository: Repository, encoding: str) -> None:
    text = "id,cpf,channel,amount,paid_at\n1,00000000001,aplicação,1,2026-08-01T00:00:00Z\n"
    assert problem(repository.judged(text.encode(encoding), "data.csv"))
    mixed = b"id,cpf,channel,amount,paid_at\n1,00000000001,app,1,\n2,\xe7,app,1,\n"
    assert problem(repository.judged(mixed, "data.csv"))


def test_a_row_with_more_fields_than_columns_is_an_error(repository: Repository) -> None:
    assert problem(repository.judged("id,cpf,channel,amount,paid_at\n1,00000000001,app,1,,99\n", "data.csv"))


@pytest.mark.parametrize(("line", "fields"), [("2,00000000002", 2), ("", 0), ("2,00000000002,app,1,,99", 6)])
def test_a_row_of_too_few_or_too_many_fields_is_an_error_that_names_it(
    repository: Repository, line: str, fields: int
) -> None:
    text = "\n".join([",".join(COLUMNS), "1,00000000001,app,1,", line, '3,00000000003,"app",1,', ""])
    said = f"days/b.csv: line 3 has {fields} of 5 fields; fix: write every field of every row"
    repository.write("days/b.csv", text)
    scan = repository.gates()("payments", "days")
    assert f"{problem(scan)}; fix: {scan.problems[0].fix}" == said
    assert "00000000002" not in "\n".join(scan.lines())


def test_a_quoted_line_break_or_a_text_of_ten_megabytes_leaves_a_row_of_csv_whole(repository: Repository) -> None:
    lines = [",".join(COLUMNS), '1,,"app\n\n,",1,', f"2,,{'x' * 10_000_000},1,", "3,,web,1,"]
    scan = repository.judged("\r\n".join(lines), "data.csv")
    assert broken(scan) == {"channel.invalidValues": "2 of 3 rows"}, scan.lines()


def test_texts_of_ten_megabytes_are_judged_and_not_shown(repository: Repository) -> None:
    scan = repository.judged(payments(channel=["app", "x" * 10_000_000, "web", "app"]))
    assert broken(scan)["channel.invalidValues"] == "1 of 4 rows"
    assert max(map(len, scan.lines())) < 1000


def test_a_link_out_of_the_repository_is_an_error(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "data.parquet"
    payments().write_parquet(outside)
    (repository.root / "data.parquet").symlink_to(outside)
    assert problem(repository.gates()("payments", "data.parquet")) == "data.parquet: leads out of the repository"
    assert "lies outside of the repository" in problem(repository.gates()("payments", outside))
    (repository.root / "data.parquet").unlink()
    (repository.root / "data.parquet").symlink_to("data.parquet")
    assert problem(repository.gates()("payments", "data.parquet"))


@pytest.mark.parametrize(
    ("path", "said"),
    [("none.parquet", "matches nothing"), ("folder", "holds no data files"), ("data.xlsx", "is of an unknown format")],
)
def test_what_holds_no_data_is_an_error(repository: Repository, path: str, said: str) -> None:
    (repository.root / "folder").mkdir()
    repository.write("data.xlsx", "x")
    assert said in problem(repository.gates()("payments", path))


def test_several_formats_in_one_folder_are_an_error(repository: Repository) -> None:
    repository.write("days/a.parquet", payments())
    repository.write("days/b.csv", payments())
    assert "holds files of several formats: csv, parquet" in problem(repository.gates()("payments", "days"))


def test_what_is_no_table_is_an_error(repository: Repository) -> None:
    assert "dict is no table" in problem(repository.gates()("payments", {"id": [1]}))


def test_a_data_set_that_the_policy_does_not_name_is_an_error(repository: Repository) -> None:
    assert "the policy has no data set payments, and no data is given" in problem(repository.gates()("payments"))


def test_the_data_and_the_contract_are_subjects(repository: Repository) -> None:
    scan = repository.judged(payments())
    assert [(each.name, each.kind) for each in scan.subjects] == [
        ("gates/contracts/payments.odcs.yaml", "file"),
        ("data.parquet", "file"),
    ]
    again, other = repository.judged(payments(), ""), repository.judged(payments(5), "")
    assert again.subjects[1].sha256 == repository.judged(payments(), "").subjects[1].sha256 != other.subjects[1].sha256


# Databases


def in_sqlite(frame: pl.DataFrame, path: Path) -> str:
    with sqlite3.connect(path) as connection:
        connection.execute("create table payments (id integer, cpf text, channel text, amount real, paid_at text)")
        rows = [(*row[:4], row[4].isoformat(sep=" ")) for row in frame.iter_rows()]
        connection.executemany("insert into payments values (?, ?, ?, ?, ?)", rows)
    return f"sqlite:///{path}"


def in_database(repository: Repository, url: str, table: str = "payments") -> Scan:
    return repository.gates(f"[data_contract.data.payments]\nurl = '{url}'\ntable = '{table}'\n")("payments")


def test_a_table_in_sqlite_is_judged_by_great_expectations(repository: Repository) -> None:
    good = in_database(repository, in_sqlite(payments(), repository.root / "good.db"))
    assert good.outcome is Outcome.PASS, good.lines()
    bad = in_database(repository, in_sqlite(payments(**BROKEN), repository.root / "bad.db"))
    assert broken(bad) == {"cpf.pattern": "2 of 4 rows", "channel.invalidValues": "1 of 4 rows"}, bad.lines()


def test_each_value_in_sqlite_has_a_type_of_its_own(repository: Repository) -> None:
    url = in_sqlite(payments(), repository.root / "mixed.db")
    with sqlite3.connect(repository.root / "mixed.db") as connection:
        connection.execute("update payments set amount = 'much', paid_at = 'soon' where id = 1")
    found = broken(in_database(repository, url))
    assert (found["amount.logicalType"], found["paid_at.logicalType"]) == ("1 of 4 rows", "1 of 4 rows")


def test_a_database_that_can_not_be_asked_is_an_error_without_its_url(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_PLACE", "postgresql+psycopg://me:hunter2@127.0.0.1:1/x")
    said = problem(in_database(repository, "${SECRET_PLACE}"))
    assert "the database can't be asked (OperationalError" in said
    assert "hunter2" not in said
    monkeypatch.delenv("SECRET_PLACE")
    assert "SECRET_PLACE is not set" in problem(in_database(repository, "${SECRET_PLACE}"))
    url = in_sqlite(payments(), repository.root / "good.db")
    assert problem(in_database(repository, url, "none")) == "none: is no table of the database"
