"""Plain data becomes a dataclass only if it fits, and what is wrong is named with the nearest thing that is right."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given

from pytest_pixgates.core import decode
from pytest_pixgates.core.record import Check, Record, Run
from pytest_pixgates.core.scan import Scan
from tests.unit.example_runs import records, runs, scans


class Color(enum.Enum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    size: float
    color: Color = Color.RED


@dataclass(frozen=True)
class Outer:
    name: str
    inner: tuple[Inner, ...] = ()
    table: Mapping[str, Inner] = field(default_factory=dict)
    level: Literal["low", "high"] = "low"
    limit: int | str | None = None
    day: datetime.date | None = None
    many: Inner | tuple[Inner, ...] = ()
    on: bool = False
    fixed: int = field(default=3, init=False)

    def __post_init__(self) -> None:
        if self.name == "impossible":
            raise ValueError("no such name")


WHOLE: dict[str, Any] = {
    "name": "n",
    "inner": [{"size": 1}, {"size": 0.5, "color": "red"}],
    "table": {"a": {"size": 2}},
    "level": "high",
    "limit": "5%",
    "day": "2026-01-31",
    "on": True,
}


def test_data_that_fits_is_read() -> None:
    expected = Outer(
        "n",
        (Inner(1.0), Inner(0.5)),
        {"a": Inner(2.0)},
        "high",
        "5%",
        datetime.date(2026, 1, 31),
        on=True,
    )
    assert decode.decode(Outer, WHOLE) == expected
    assert decode.decode(Outer, {"name": "n"}) == Outer("n")
    assert type(decode.decode(Outer, WHOLE).inner[0].size) is float


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        ({"nmae": "x"}, "nmae", "did you mean 'name'?"),
        ({"zzz": 1}, "zzz", "valid: "),
        ({"fixed": 4}, "fixed", "unknown key"),
        ({"name": 1}, "name", "expected a string, got a whole number"),
        ({"name": None}, "name", "expected a string"),
        ({"on": 1}, "on", "expected a bool"),
        ({"limit": True}, "limit", "expected a whole number or a string, got a bool"),
        ({"limit": 1.5}, "limit", "got a number"),
        ({"inner": {}}, "inner", "expected a list, got a table"),
        ({"inner": [{"size": 1}, {"size": "1"}]}, "inner[1].size", "expected a number, got a string"),
        ({"inner": [{"size": True}]}, "inner[0].size", "got a bool"),
        ({"inner": [{"size": 10**400}]}, "inner[0].size", "too large"),
        ({"inner": [{"size": float("inf")}]}, "inner[0].size", "inf is not a finite number"),
        ({"inner": [{"size": float("nan")}]}, "inner[0].size", "nan is not a finite number"),
        ({"many": 3}, "many", "expected a table or a list, got a whole number"),
        ({"inner": [{}]}, "inner[0].size", "is required"),
        ({"inner": [{"size": 1, "color": "blue"}]}, "inner[0].color", "'blue' is not one of 'red'"),
        ({"table": {"a": {"size": 1, "clor": 1}}}, "table.a.clor", "did you mean 'color'?"),
        ({"table": []}, "table", "expected a table"),
        ({"level": "middle"}, "level", "not one of 'low', 'high'"),
        ({"level": ["low"]}, "level", "not one of"),
        ({"day": "2026-02-30"}, "day", "day is out of range"),
        ({"day": 20260131}, "day", "expected a date"),
        ({"name": "impossible"}, "", "no such name"),
    ],
)
def test_data_that_does_not_fit_is_named(change: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(decode.DecodeError) as caught:
        decode.decode(Outer, {**WHOLE, **change})
    assert caught.value.key == key
    assert words in str(caught.value)


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_a_document_that_is_no_table_is_refused(data: object) -> None:
    with pytest.raises(decode.DecodeError, match="document: expected a table"):
        decode.decode(Outer, data)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(decode.DecodeError, match="name: is required"):
        decode.decode(Outer, {})


@given(runs)
def test_a_run_comes_back_as_it_was(run: Run) -> None:
    assert decode.decode(Run, decode.encode(run)) == run


@given(scans)
def test_a_scan_comes_back_as_it_was(scan: Scan) -> None:
    assert decode.decode(Scan, decode.encode(scan)) == scan


@given(records)
def test_a_key_that_nobody_knows_is_found_however_deep(record: Record) -> None:
    data = decode.encode(record)
    assert decode.decode(Record, data) == record
    for check in [data, *data["checks"]]:
        check["planted"] = 1
        with pytest.raises(decode.DecodeError, match="planted"):
            decode.decode(Record, data)
        del check["planted"]


def test_a_check_is_a_verdict_or_a_scan_and_nothing_else() -> None:
    scan = Scan("a", "b")
    assert Check.of(scan) == Check(scan.verdict, scan)
    assert Check.of(scan.verdict) == Check(scan.verdict)
    with pytest.raises(TypeError, match="bool is not a Verdict or a Scan"):
        Check.of(True)
