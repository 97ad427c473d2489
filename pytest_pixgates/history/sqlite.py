"""The history as one SQLite file: small, without a server, and open to anyone's SQL."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from pytest_pixgates.core.verdict import Figure, Outcome
from pytest_pixgates.history.entry import Entry, HistoryError, Point

SCHEMA = 1
MOST_RUNS = 2_000
"""Older ones go: about 10 KB a run."""
_APPLICATION = 0x50495847  # "PIXG", so that no other program's database is taken for ours
_WAIT = 10.0  # seconds, for another run that writes

_TABLES = """
create table runs (
  id integer primary key, label text not null, started real not null, ended real not null, outcome text not null,
  environment text not null, branch text not null, sha text not null, unique (label, started)
);
create table gates (
  run integer not null references runs on delete cascade, gate text not null, outcome text not null,
  primary key (run, gate)
);
create table measurements (
  run integer not null references runs on delete cascade, gate text not null, name text not null, value real not null,
  lower real, upper real, operator text not null, threshold real not null, n integer not null, unit text not null
);
create index measurements_by_run on measurements (run);
"""


class SqliteHistory:
    """The history at `path`, which is made when something is first kept."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def read(self, most: int) -> list[Entry]:
        """The last `most` runs, oldest first; none where there is no file. Raises HistoryError."""
        with self._errors():
            if not self._path.exists() or not self._path.stat().st_size:  # as after a first run that could not be kept
                return []
        with self._open(write=False) as connection:
            rows = connection.execute("select * from runs order by started desc, id desc limit ?", (most,)).fetchall()
            return [self._entry(connection, row) for row in reversed(rows)]

    def append(self, entry: Entry) -> None:
        """Keep `entry`; one that is there already stays as it is. Raises HistoryError."""
        with self._open(write=True) as connection:
            values = (entry.run, entry.started, entry.ended, entry.outcome.value)
            where = (entry.environment, entry.branch, entry.commit)
            sql = (
                "insert or ignore into runs (label, started, ended, outcome, environment, branch, sha) "
                "values (?, ?, ?, ?, ?, ?, ?)"
            )
            made = connection.execute(sql, (*values, *where))
            if not made.rowcount:
                return
            key = made.lastrowid
            gates = [(key, gate, outcome.value) for gate, outcome in entry.gates.items()]
            connection.executemany("insert into gates values (?, ?, ?)", gates)
            points = [(key, point.gate, *_row(point.figure)) for point in entry.points]
            connection.executemany("insert into measurements values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", points)
            oldest = "select id from runs order by started desc, id desc limit -1 offset ?"
            connection.execute(f"delete from runs where id in ({oldest})", (MOST_RUNS,))  # noqa: S608 - no value in it

    def _entry(self, connection: sqlite3.Connection, row: sqlite3.Row) -> Entry:
        gates = connection.execute("select gate, outcome from gates where run = ?", (row["id"],))
        points = connection.execute("select * from measurements where run = ? order by rowid", (row["id"],))
        texts = [row[name] for name in ("label", "environment", "branch", "sha")]
        if not (_are(float, row["started"], row["ended"]) and _are(str, *texts)):
            raise ValueError(f"the run {row['label']!r} is none")
        return Entry(
            run=row["label"],
            started=row["started"],
            ended=row["ended"],
            outcome=Outcome(row["outcome"]),
            environment=row["environment"],
            branch=row["branch"],
            commit=row["sha"],
            gates={each["gate"]: Outcome(each["outcome"]) for each in gates},
            points=tuple(Point(each["gate"], _figure(each)) for each in points),
        )

    @contextlib.contextmanager
    def _open(self, *, write: bool) -> Iterator[sqlite3.Connection]:
        """A connection whose work is kept whole or not at all. Raises HistoryError, also for what is read amiss."""
        with self._errors():
            if write:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            mode = "rwc" if write else "ro"
            uri = f"{self._path.absolute().as_uri()}?mode={mode}"
            with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_WAIT)) as connection:
                connection.row_factory = sqlite3.Row
                connection.execute("pragma foreign_keys = on")
                with connection:
                    self._prepare(connection, write=write)
                    yield connection

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Whatever is wrong with the file or with what is in it, as a HistoryError."""
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError, OverflowError, IndexError) as error:  # IndexError: no such column
            raise HistoryError(f"the history {self._path} can't be used: {error}", remedy=_REMEDY) from None
        except OSError as error:
            raise HistoryError(f"the history {self._path} can't be used: {error.strerror}", remedy=_REMEDY) from None

    def _prepare(self, connection: sqlite3.Connection, *, write: bool) -> None:
        if write:
            connection.execute("begin immediate")
        application = connection.execute("pragma application_id").fetchone()[0]
        version = connection.execute("pragma user_version").fetchone()[0]
        if (application, version) == (_APPLICATION, SCHEMA):
            return
        empty = not connection.execute("select count(*) from sqlite_master").fetchone()[0]
        if not (write and empty and (application, version) == (0, 0)):
            raise ValueError(f"it is none of this version's: application {application:#x}, schema {version}")
        for statement in filter(str.strip, _TABLES.split(";")):
            connection.execute(statement)
        connection.execute(f"pragma application_id = {_APPLICATION}")
        connection.execute(f"pragma user_version = {SCHEMA}")


_REMEDY = "move it away, and a new one is begun with the next run"


def _row(figure: Figure) -> tuple[object, ...]:
    return (
        figure.name, figure.value, figure.lower, figure.upper, figure.operator, figure.limit, figure.n, figure.unit,
    )  # fmt: skip


def _are(kind: type, *values: object) -> bool:
    return all(isinstance(each, kind) for each in values)


def _figure(row: sqlite3.Row) -> Figure:
    numbers = [row["value"], row["threshold"], *(row[name] for name in ("lower", "upper") if row[name] is not None)]
    texts = [row["name"], row["operator"], row["unit"]]
    if not (_are(float, *numbers) and _are(str, *texts)):
        raise ValueError(f"a measurement of {row['gate']!r} is none")
    return Figure(
        row["name"], row["value"], row["lower"], row["upper"], row["operator"], row["threshold"], int(row["n"]),
        row["unit"],
    )  # fmt: skip
