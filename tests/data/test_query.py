"""A contract's SQL reaches nothing but the table, gives one number, and tells no value."""

from __future__ import annotations

from pathlib import Path

import narwhals as nw
import polars as pl
import pytest

from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.data_contract import query
from pytest_pixgates.data_contract.engine import Rows

CANARY = "52998224725"
ROWS = Rows(nw.from_native(pl.DataFrame({"id": [1, 2, 3], "cpf": [CANARY, "x", None], "tags": [[1], [], None]}).lazy()))


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ('select count(*) from "table"', 3),
        ('select count(*) filter (where cpf is null) from "table"', 1),
        ('select sum(id) / 4 from "table"', 1.5),
        ('with t as (select id from "table" where id > 1) select count(*) from t join "table" using (id)', 2),
        ('select sum(len(tags)) from "table"', 1),
        ('select count(*) > 2 from "table"', 1),
        ('select count(*) from (select * from "table" where cpf is null)', 1),
        ('select count(CPF) from "table"', 2),
    ],
)
def test_one_number_is_what_it_gives(sql: str, number: float) -> None:
    assert query.number(sql, ROWS) == number


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) from '{file}'",
        "select count(*) from read_csv('{file}')",
        "select count(*) from read_text('{file}')",
        "select count(*) from glob('{folder}/*')",
        "select count(*) from read_parquet('http://127.0.0.1:9/x.parquet')",
        "select count(*) from sqlite_scan('{file}', 't')",
    ],
)
def test_no_file_and_no_network_is_in_reach(sql: str, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text(f"a\n{CANARY}\n")
    with pytest.raises(NotMeasured) as caught:
        query.number(sql.format(file=tmp_path / "secret.csv", folder=tmp_path), ROWS)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        "copy \"table\" to '{file}'",
        "attach '{file}' as x",
        "install httpfs",
        "load httpfs",
        "set enable_external_access = true",
        "pragma version",
        "create table x as select 1",
        "select 1; select 2",
        "export database '{file}'",
        "call pragma_version()",
        "",
    ],
)
def test_anything_but_one_select_is_refused(sql: str, tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match=r"is not one SELECT|reaches for|its SQL is wrong"):
        query.number(sql.format(file=tmp_path / "out"), ROWS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ('select id from "table"', "gives not one number"),
        ('select 1 from "table" where false', "gives not one number"),
        ("select 1, 2", "gives not one number"),
        ("select null", "gives no number"),
        ('select max(cpf) from "table"', "gives no number"),
        ("select 'nan'::double", "gives no number"),
        ("select 'inf'::double", "gives no number"),
        ('select count(*) from "tabel"', "its SQL is wrong"),
        ('select count(*) frm "table"', "its SQL is wrong"),
        ('select sum(cpf::int) from "table"', "its words are withheld"),
        ('select error(cpf) from "table"', "its words are withheld"),
    ],
)
def test_what_gives_no_number_is_said_without_a_value(sql: str, said: str) -> None:
    with pytest.raises(NotMeasured, match=said) as caught:
        query.number(sql, ROWS)
    assert CANARY not in str(caught.value)


def test_a_query_without_end_is_ended() -> None:
    endless = "with recursive r as (select 1 as n union all select n + 1 from r) select count(*) from r"
    with pytest.raises(NotMeasured, match=r"ran longer than 0\.3 s|withheld"):
        query.number(endless, ROWS, seconds=0.3)
