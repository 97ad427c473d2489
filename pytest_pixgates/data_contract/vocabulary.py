"""One field, one meaning: what two contracts call by one name must be one thing, and one thing must have one name.

An account id that is a number in one job and a text in another joins to nothing, and nobody is told. Whether a field is
required or unique is a matter of the table, so tables may differ in that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_pixgates.core.scan import Finding
from pytest_pixgates.data_contract.rules import Column, Contract, Expectation, Table

OF_THE_TABLE = ("exists", "required", "unique", "relationship")
_TABLE_ONLY = (
    "expect_column_to_exist",
    "expect_column_values_to_not_be_null",
    "expect_column_values_to_be_unique",
)


@dataclass(frozen=True)
class Use:
    """A column where it stands."""

    contract: Contract
    table: Table
    column: Column

    @property
    def where(self) -> str:
        return f"{self.contract.path}:{self.column.line}"

    @property
    def rules(self) -> dict[str, tuple[str, str]]:
        """What is asked of its values, by the rule's name without the column's."""
        return {
            rule.name.removeprefix(f"{self.column.name}."): (repr(rule.check), repr(rule.bound))
            for rule in self.table.rules
            if rule.columns == (self.column.name,)
            and isinstance(rule.check, Expectation)
            and rule.check.type not in _TABLE_ONLY
        }


def conflicts(contracts: Sequence[Contract]) -> tuple[Finding, ...]:
    """Each use of a name that is not as its first use, and each name that differs from another in writing only."""
    first: dict[str, Use] = {}
    written: dict[str, str] = {}
    meant: dict[str, str] = {}
    found: list[Finding] = []
    for use in _uses(contracts):
        name, business = use.column.name, use.column.business
        found += _differences(first.setdefault(name, use), use)
        plain = re.sub(r"[^a-z0-9]", "", name.lower())
        if (other := written.setdefault(plain, name)) != name:
            found.append(
                _finding(use, "spelling", f"{name} is written {other} in {first[other].where}", f"write {other}")
            )
        if business and (other := meant.setdefault(business, name)) != name:
            message = f'{name} is "{business}", which is called {other} in {first[other].where}'
            found.append(_finding(use, "synonym", message, f"write {other}"))
    return tuple(dict.fromkeys(found))


def _uses(contracts: Sequence[Contract]) -> Iterator[Use]:
    for contract in contracts:
        for table in contract.tables:
            yield from (Use(contract, table, column) for column in table.columns)


def _differences(first: Use, use: Use) -> Iterator[Finding]:
    name = use.column.name
    for what in ("type", "classification", "unit", "items", "business"):
        here, there = getattr(use.column, what), getattr(first.column, what)
        if here != there:
            message = f"{name}: {what} is {here or 'none'}, but {there or 'none'} in {first.where}"
            yield _finding(use, what, message, "agree on one")
    if use.column.type == first.column.type:
        here, there = use.rules, first.rules
        for rule in sorted({*here, *there}):
            if here.get(rule) != there.get(rule):
                said = "is asked" if rule in here else "is not asked"
                else_ = "otherwise" if rule in here and rule in there else "not" if rule in here else "there"
                yield _finding(use, "rule", f"{name}.{rule} {said} here, {else_} in {first.where}", "agree on one")


def _finding(use: Use, rule: str, message: str, fix: str) -> Finding:
    resource = f"{use.table.name}.{use.column.name}"
    return Finding(f"vocabulary-{rule}", message, use.contract.path, use.column.line, resource=resource, fix=fix)
