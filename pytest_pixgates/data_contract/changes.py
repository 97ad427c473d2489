"""What a change of a contract means for who reads the data: it breaks them, or it doesn't.

Readers rely on what a contract promises. So a promise that goes, or holds less, breaks them; one more, or a stricter
one, does not. What can't be compared counts as breaking, and needs a new major version; any other change a new version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_pixgates.core.scan import Finding
from pytest_pixgates.data_contract.contract import CLASSIFICATIONS
from pytest_pixgates.data_contract.rules import Bound, Column, Contract, Expectation, Rule, Table


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: `what` in words, `line` in the new contract."""

    what: str
    breaking: bool
    line: int
    resource: str


def changes(old: Contract, new: Contract) -> tuple[Change, ...]:
    """Every difference that matters to a reader of the data."""
    return tuple(_changes(old, new))


def judged(old: Contract, new: Contract) -> tuple[Finding, ...]:
    """What the new contract's version does not own up to."""
    found = changes(old, new)
    before, after = _version(old.version), _version(new.version)
    if before is None or after is None:
        bad = new if after is None else old
        return (_finding(new, 1, f"the version {bad.version} is not of the form 1.2.3", "version"),) if found else ()
    if found and after <= before:
        kind = "breaking change" if any(each.breaking for each in found) else "change"
        first = next((each for each in found if each.breaking), found[0])
        message = f"{kind} without a new version: {first.what}"
        return (_finding(new, first.line, f"{message} ({len(found)} in all)", "version", _next(old, found)),)
    if after[0] > before[0]:
        return ()
    return tuple(
        _finding(new, each.line, f"breaks who reads the data: {each.what}", each.resource, _next(old, found))
        for each in found
        if each.breaking
    )


def _changes(old: Contract, new: Contract) -> Iterator[Change]:
    if old.id != new.id:
        yield Change(f"the id was {old.id} and is {new.id}", breaking=True, line=1, resource="id")
    tables = {table.name: table for table in new.tables}
    for before in old.tables:
        if after := tables.pop(before.name, None):
            yield from _of_table(before, after)
        else:
            yield Change(f"the table {before.name} is gone", breaking=True, line=1, resource=before.name)
    for name, table in tables.items():
        yield Change(f"the table {name} is new", breaking=False, line=table.line, resource=name)


def _of_table(old: Table, new: Table) -> Iterator[Change]:
    gone = set[str]()
    for before in old.columns:
        resource = f"{new.name}.{before.name}"
        after = new.column(before.name)
        if after is None:
            gone.add(before.name)
            yield Change(f"the column {before.name} is gone", breaking=True, line=new.line, resource=resource)
        else:
            yield from _of_column(before, after, resource)
    for column in new.columns:
        if old.column(column.name) is None:
            gone.add(column.name)
            resource = f"{new.name}.{column.name}"
            yield Change(f"the column {column.name} is new", breaking=False, line=column.line, resource=resource)
    rules = {rule.name: rule for rule in new.rules}
    for rule in old.rules:
        if not gone.intersection(rule.columns):
            yield from _of_rule(rule, rules.get(rule.name), new)
    known = {rule.name for rule in old.rules}
    for rule in new.rules:
        if rule.name not in known and not gone.intersection(rule.columns):
            resource = f"{new.name}.{rule.name}"
            yield Change(f"newly asked: {rule.asks}", breaking=False, line=rule.line, resource=resource)


def _of_column(old: Column, new: Column, resource: str) -> Iterator[Change]:
    name, line = new.name, new.line
    if old.type != new.type or old.items != new.items:
        yield Change(f"{name} was of type {old.type} and is of {new.type}", breaking=True, line=line, resource=resource)
    if old.classification != new.classification:
        relaxed = CLASSIFICATIONS.index(new.classification) < CLASSIFICATIONS.index(old.classification)
        what = f"{name} was {old.classification} and is {new.classification}"
        yield Change(what, breaking=relaxed, line=line, resource=resource)
    if old.unit != new.unit:
        yield Change(f"{name} was in {old.unit} and is in {new.unit}", breaking=True, line=line, resource=resource)


def _of_rule(old: Rule, new: Rule | None, table: Table) -> Iterator[Change]:
    resource = f"{table.name}.{old.name}"
    if new is None:
        line = next((column.line for column in table.columns if column.name in old.columns), table.line)
        yield Change(f"no longer asked: {old.asks}", breaking=True, line=line, resource=resource)
        return
    if old.name == "columns":  # said column by column
        if (was := _exact(old)) != (now := _exact(new)):
            what = f"columns beyond the contract's were {_allowed(was)} and are {_allowed(now)}"
            yield Change(what, breaking=was, line=new.line, resource=resource)
        return
    if old.bound != new.bound:
        what = f"{new.asks}: was {old.asks}"
        yield Change(what, breaking=not _stricter(old.bound, new.bound), line=new.line, resource=resource)
    if old.check != new.check and not _is_type(old):
        kinds = isinstance(old.check, Expectation) and isinstance(new.check, Expectation)
        harmless = kinds and _narrower(old.check, new.check, table)  # type: ignore[arg-type]  # both are, see kinds
        yield Change(f"{new.asks}: was {old.asks}", breaking=not harmless, line=new.line, resource=resource)
    elif old.check != new.check and _given(old).get("logical_type") == _given(new).get("logical_type"):
        yield Change(f"{new.asks}: was {old.asks}", breaking=True, line=new.line, resource=resource)


def _given(rule: Rule) -> Mapping[str, Any]:
    return rule.check.arguments if isinstance(rule.check, Expectation) else {}


def _exact(rule: Rule) -> bool:
    return bool(_given(rule).get("exact_match"))


def _allowed(exact: bool) -> str:  # noqa: FBT001 - read only above
    return "forbidden" if exact else "allowed"


def _is_type(rule: Rule) -> bool:
    return "logical_type" in _given(rule)


def _narrower(old: Expectation, new: Expectation, table: Table) -> bool:
    """Whether every value that the new expectation lets pass passed the old one."""
    if old.type != new.type:
        return False
    was, now = old.arguments, new.arguments
    differing = {name for name in {*was, *now} if was.get(name) != now.get(name)}
    if differing == {"min_value"}:
        return bool(now["min_value"] >= was["min_value"])
    if differing == {"max_value"}:
        return bool(now["max_value"] <= was["max_value"])
    if differing == {"value_set"}:
        return set(now["value_set"]) <= set(was["value_set"])
    if differing == {"missing_values"}:
        return set(was["missing_values"]) <= set(now["missing_values"])
    if differing == {"regex"}:
        column = table.column(str(now["column"]))
        return column is not None and was["regex"] in column.replaces
    return False


def _stricter(old: Bound, new: Bound) -> bool:
    """Whether every number that the new bound lets pass passed the old one."""
    if old.share == new.share and old.operator == new.operator:
        if old.operator in ("<", "<="):
            return new.values[0] <= old.values[0]
        if old.operator in (">", ">="):
            return new.values[0] >= old.values[0]
        if old.operator == "between":
            return old.values[0] <= new.values[0] and new.values[1] <= old.values[1]
    return new == Bound() and old.operator in ("<", "<=") and old.holds(0)


def _version(text: str) -> tuple[int, int, int] | None:
    match = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _next(old: Contract, found: tuple[Change, ...]) -> str:
    major, minor, _ = _version(old.version) or (0, 0, 0)
    needed = f"{major + 1}.0.0" if any(each.breaking for each in found) else f"{major}.{minor + 1}.0"
    return f"make it version {needed}, or take the change back"


def _finding(new: Contract, line: int, message: str, resource: str, fix: str = "write it as 1.2.3") -> Finding:
    return Finding("contract-change", message, new.path, line, resource=resource, fix=fix)
