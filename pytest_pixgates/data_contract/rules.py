"""What a contract asks of a table, in the terms of whoever checks it: Great Expectations, DuckDB, or another table.

A contract is read into these rules once (`contract`), and every engine judges the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "between", "not between"]
Classification = Literal["public", "internal", "confidential", "restricted"]


@dataclass(frozen=True, slots=True)
class Bound:
    """What a rule's number must be: a count of failing rows, their share (0 to 1), or a value that was observed.

    `between` and `not between` leave both ends out, as ODCS does, and have two values.
    """

    operator: Operator = "=="
    values: tuple[float, ...] = (0,)
    share: bool = False

    def holds(self, number: float) -> bool:
        first, last = self.values[0], self.values[-1]
        return {
            "==": number == first,
            "!=": number != first,
            "<": number < first,
            "<=": number <= first,
            ">": number > first,
            ">=": number >= first,
            "between": first < number < last,
            "not between": not first < number < last,
        }[self.operator]


@dataclass(frozen=True, slots=True)
class Expectation:
    """An expectation of Great Expectations by its type, with its keyword arguments (column names included).

    Its number is the count of unexpected rows; of an expectation on the whole table, what was observed.
    """

    type: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """One number by SQL, over the table under the name `table`."""

    sql: str


@dataclass(frozen=True, slots=True)
class Reference:
    """Each row's `columns` stand in `other_columns` of the data set `other`. Its number counts the rows that don't."""

    columns: tuple[str, ...]
    other: str
    other_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Freshness:
    """The newest `column` is at most so many seconds before the stated clock. Its number is the age in seconds."""

    column: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a contract asks. `name` is stable and unique in its table ("amount_cents.minimum").

    `asks` says it in words, without any value of the data. `line` is where the contract asks it.
    """

    name: str
    asks: str
    line: int
    check: Expectation | Query | Reference | Freshness
    bound: Bound = Bound()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """A column, or a field of a structure under its path ("payer.account_id"). `type` is ODCS' logicalType.

    `primary_key` is its position in the key, from 1. `items` is the type of a list's items, `business` its name among
    people, `unit` what it counts in. `replaces` are patterns that its own one may take the place of.
    """

    name: str
    type: str
    line: int
    classification: Classification
    description: str = ""
    physical_type: str = ""
    required: bool = False
    primary_key: int = 0
    unit: str = ""
    items: str = ""
    business: str = ""
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """One object of a contract's schema. `told` is what it says only to people (rules of type text), by name."""

    name: str
    line: int
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]
    told: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(each.name for each in sorted(self.columns, key=lambda each: each.primary_key) if each.primary_key)

    def column(self, name: str) -> Column | None:
        return next((each for each in self.columns if each.name == name), None)


@dataclass(frozen=True, slots=True)
class Contract:
    """A contract that is whole: everything in it is mapped. `path` is relative to the repository."""

    path: str
    id: str
    name: str
    version: str
    status: str
    tables: tuple[Table, ...]
