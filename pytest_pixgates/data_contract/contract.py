"""Reads a contract (ODCS v3.1, YAML) into rules, whole or not at all: what can't be judged is refused by name and line.

The JSON schema beside this file is the Open Data Contract Standard's, by the Bitol project (Apache License 2.0).
"""

from __future__ import annotations

import datetime
import difflib
import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from pytest_pixgates.core import documents, sources
from pytest_pixgates.core.documents import Document
from pytest_pixgates.core.errors import EXTRA, NotMeasured
from pytest_pixgates.core.scan import Problem
from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.data_contract import mapping, patterns
from pytest_pixgates.data_contract.rules import (
    Bound,
    Classification,
    Column,
    Contract,
    Expectation,
    Freshness,
    Operator,
    Query,
    Reference,
    Rule,
    Table,
)

VERSION = "v3.1.0"
SCHEMA = Path(__file__).with_name(f"odcs-{VERSION}.json")
EXACT = 2**53
CLASSIFICATIONS = get_args(Classification)
Keys = tuple[object, ...]


class ContractError(NotMeasured):
    """A contract that can't be judged as it is written; `problems` holds all that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{more}", remedy=problems[0].fix)


def read(path: Path, root: Path) -> Contract:
    """The contract at `path` in the repository at `root`. Raises ContractError."""
    try:
        text = sources.read(path, root)
    except Unreadable as error:
        raise ContractError([error.problem]) from None
    return parse(text, sources.name(path, root))


def parse(text: str, label: str) -> Contract:
    """The contract in a YAML text. Raises ContractError."""
    try:
        found = documents.parse(text, label)
    except Unreadable as error:
        raise ContractError([error.problem]) from None
    if len(found) != 1 or not isinstance(found[0].value, dict):
        raise ContractError([Problem("is not one YAML document with a contract in it", label)])
    return _Reader(found[0]).contract()


class _Reader:
    """Collects problems while it reads, so that all are said at once."""

    def __init__(self, document: Document) -> None:
        self.document, self.problems = document, list[Problem]()

    def line(self, keys: Keys) -> int:
        while keys and not (line := self.document.line_of(keys)):
            keys = keys[:-1]
        return line if keys else 1

    def refuse(self, keys: Keys, message: str, fix: str = "") -> None:
        self.problems.append(Problem(message, self.document.path, self.line(keys), fix))

    def contract(self) -> Contract:
        value = self.document.value
        if value.get("apiVersion") != VERSION:
            self.refuse(("apiVersion",), f"apiVersion {value.get('apiVersion')!r} is not {VERSION}, which is read here")
            raise ContractError(self.problems)
        self._fits_standard(value)
        self._refuse_terms("Contract", value, ())
        if not value.get("schema"):
            self.refuse(("schema",), "has no schema, so it asks nothing")
        tables = tuple(self._table(each, ("schema", index)) for index, each in enumerate(value.get("schema") or ()))
        self._refuse_twice([table.name for table in tables], ("schema",))
        ages = list(self._ages(value, tables))
        if self.problems:
            raise ContractError(self.problems)
        tables = tuple(
            Table(
                each.name,
                each.line,
                each.columns,
                (*each.rules, *(rule for at, rule in ages if at == each.name)),
                each.told,
            )
            for each in tables
        )
        named = str(value.get("name", value["id"]))
        return Contract(self.document.path, value["id"], named, str(value["version"]), value["status"], tables)

    def _fits_standard(self, value: Mapping[str, Any]) -> None:
        """Raises ContractError: what doesn't fit the standard can't be read further."""
        for error in _validator().iter_errors(value):
            keys, said = tuple(error.absolute_path), error.message
            if error.validator in ("unevaluatedProperties", "additionalProperties"):
                self._unknown(keys, error)
            elif error.validator == "required":
                self.refuse(keys, said.replace(" is a required property", " is missing"))
            elif error.validator == "oneOf" and "quality" in keys:
                self.refuse(keys, f"{_dotted(keys)} needs one operator, such as mustBe: 0")
            else:
                self.refuse(keys, f"{_dotted(keys)}: {said if len(said) < 200 else f'breaks {error.validator}'}")
        if self.problems:
            raise ContractError(self.problems)

    def _unknown(self, keys: Keys, error: Any) -> None:
        known = sorted({name for terms in mapping.TERMS.values() for name in terms})
        names = [name for name in error.instance if name not in known or f"'{name}'" in error.message]
        for name in names or [str(keys[-1]) if keys else ""]:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near and near[0] != name else "see docs/contract-mapping.md"
            self.refuse((*keys, name), f"{name}: ODCS knows no such key here", hint)

    def _refuse_terms(self, section: str, given: Mapping[str, Any], keys: Keys) -> None:
        for name, why in mapping.refused(section, given):
            self.refuse((*keys, name), f"{name} is refused: {why}")

    def _refuse_twice(self, names: Sequence[str], keys: Keys) -> None:
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.refuse(keys, f"{name} stands twice")

    # Tables and columns

    def _table(self, given: Mapping[str, Any], keys: Keys) -> Table:
        name = str(given["name"])
        self._refuse_terms("Table", given, keys)
        columns = list(self._columns(given.get("properties") or (), (*keys, "properties"), ""))
        names = [column.name for column, _ in columns]
        if not columns:
            self.refuse(keys, f"{name} has no properties, so nothing would be judged")
        self._refuse_twice(names, keys)
        open_ended = _custom(given, "additionalColumns") is True
        asks = f"{name} has the columns of the contract" + ("" if open_ended else " and no others")
        arguments = {"column_set": names, "exact_match": not open_ended}
        rules = [self._rule("columns", asks, (*keys, "properties"), "expect_table_columns_to_match_set", arguments)]
        for _, theirs in columns:
            rules += theirs
        key = [column.name for column, _ in sorted(columns, key=lambda each: each[0].primary_key) if column.primary_key]
        if len(key) > 1:
            asks = f"{', '.join(key)} together are unique"
            arguments = {"column_list": key}
            rules.append(
                self._rule("primaryKey", asks, keys, "expect_compound_columns_to_be_unique", arguments, tuple(key))
            )
        told = list[str]()
        for index, quality in enumerate(given.get("quality") or ()):
            rules += self._quality(quality, (*keys, "quality", index), None, told)
        for index, each in enumerate(given.get("relationships") or ()):
            rules += self._relationship(each, (*keys, "relationships", index), name)
        for rule in rules:
            for column in rule.columns:
                if column not in names:
                    self.refuse((*keys, "properties"), f"{rule.name} asks of {column}, which is no column of {name}")
        rules = self._named(rules)
        return Table(
            name, self.line(keys), tuple(column for column, _ in columns), tuple(rules), (*told, *self._told(given))
        )

    def _told(self, given: Mapping[str, Any]) -> Iterator[str]:
        for column in given.get("properties") or ():
            for quality in column.get("quality") or ():
                if quality.get("type") == "text":
                    yield _words(quality, column["name"])

    def _named(self, rules: Sequence[Rule]) -> list[Rule]:
        """The rules, each under a name of its own."""
        seen: dict[str, int] = {}
        for rule in rules:
            if rule.name in seen:
                self.problems.append(
                    Problem(f"two rules are called {rule.name}", self.document.path, rule.line, "give each a name")
                )
            seen[rule.name] = rule.line
        return list(rules)

    def _columns(
        self, given: Sequence[Mapping[str, Any]], keys: Keys, within: str
    ) -> Iterator[tuple[Column, list[Rule]]]:
        for index, each in enumerate(given):
            at = (*keys, index)
            column = self._column(each, at, within)
            yield column, list(self._column_rules(column, each, at))
            if column.type == "object":
                yield from self._columns(each.get("properties") or (), (*at, "properties"), f"{column.name}.")

    def _column(self, given: Mapping[str, Any], keys: Keys, within: str) -> Column:
        name, kind = within + str(given["name"]), str(given.get("logicalType", ""))
        self._refuse_terms("Column", given, keys)
        if not kind:
            self.refuse(keys, f"{name} has no logicalType", "give it one: its values would go unjudged")
        classification = given.get("classification")
        if classification not in CLASSIFICATIONS:
            said = "has no classification" if classification is None else f"is classified as {classification!r}"
            self.refuse((*keys, "classification"), f"{name} {said}", f"give it one of {', '.join(CLASSIFICATIONS)}")
        if not str(given.get("description", "")).strip():
            self.refuse(keys, f"{name} has no description", "say what it means, and its unit")
        items = given.get("items") or {}
        if more := set(items) - {"logicalType", "description", "classification"}:
            self.refuse(
                (*keys, "items"),
                f"{name}: {', '.join(sorted(more))} of items is refused: items are not judged one by one",
            )
        position = int(given.get("primaryKeyPosition", -1))
        return Column(
            name,
            kind,
            self.line(keys),
            cast("Classification", classification),
            description=str(given.get("description", "")).strip(),
            physical_type=str(given.get("physicalType", "")),
            required=bool(given.get("required") or given.get("primaryKey")),
            primary_key=max(position, 1) if given.get("primaryKey") else 0,
            unit=str(_custom(given, "unit") or ""),
            items=str(items.get("logicalType", "")),
            business=str(given.get("businessName", "")),
            replaces=tuple(self._replaced(_custom(given, "replacesPattern"), keys)),
        )

    def _replaced(self, pattern: Any, keys: Keys) -> Iterator[str]:
        """The pattern, or patterns, that the column's own is stated to replace without breaking a reader."""
        for each in pattern if isinstance(pattern, list) else [pattern] if pattern is not None else []:
            try:
                yield patterns.portable(str(each))
            except ValueError as error:
                self.refuse((*keys, "customProperties"), f"replacesPattern: the pattern {error}")

    def _column_rules(self, column: Column, given: Mapping[str, Any], keys: Keys) -> Iterator[Rule]:
        name, options = column.name, given.get("logicalTypeOptions") or {}

        def rule(word: str, asks: str, expectation: str, **arguments: Any) -> Rule:
            at = (*keys, "logicalTypeOptions", word) if word in options else (*keys, word)
            return self._rule(f"{name}.{word}", asks, at, expectation, {"column": name, **arguments}, (name,))

        yield rule("exists", f"{name} is there", "expect_column_to_exist")
        if column.type:
            details = (
                {"format": options["format"]} if column.type in ("integer", "number") and "format" in options else {}
            )
            if column.type == "timestamp":
                details["timezone"] = options.get("timezone", True)
            kind = " ".join([column.type, *map(str, details.values())]) if "format" in details else column.type
            arguments = {"logical_type": column.type, **details}
            yield rule(
                "logicalType", f"{name} is of type {kind}", "expect_column_values_to_be_of_logical_type", **arguments
            )
        if column.type == "number":
            yield rule("finite", f"{name} is neither NaN nor infinite", "expect_column_values_to_be_finite")
        if column.required:
            yield rule("required", f"{name} is not null", "expect_column_values_to_not_be_null")
        if given.get("unique") or (given.get("primaryKey") and given.get("primaryKeyPosition", -1) < 1):
            yield rule("unique", f"{name} is unique", "expect_column_values_to_be_unique")
        if column.type:
            yield from self._option_rules(column, options, (*keys, "logicalTypeOptions"), rule)
        for index, each in enumerate(given.get("quality") or ()):
            yield from self._quality(each, (*keys, "quality", index), name, [])
        for index, each in enumerate(given.get("relationships") or ()):
            yield from self._relationship({"from": f".{name}", **each}, (*keys, "relationships", index), "")

    def _option_rules(
        self, column: Column, options: Mapping[str, Any], keys: Keys, rule: Callable[..., Rule]
    ) -> Iterator[Rule]:
        name, kind = column.name, column.type
        self._refuse_terms(f"Options of {kind}", options, keys)
        low = options.get("minimum", options.get("exclusiveMinimum"))
        high = options.get("maximum", options.get("exclusiveMaximum"))
        signs = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
        for word, value in options.items():
            at = (*keys, word)
            if word in signs:
                limit = self._limit(column, options, value, at)
                end, strict = ("min", "inimum") if word.endswith("inimum") else ("max", "aximum")
                arguments = {f"{end}_value": limit, f"strict_{end}": word == f"exclusiveM{strict}"}
                yield rule(word, f"{name} {signs[word]} {value}", "expect_column_values_to_be_between", **arguments)
            elif word == "multipleOf":
                yield rule(
                    word, f"{name} is a multiple of {value}", "expect_column_values_to_be_multiple_of", factor=value
                )
            elif word in ("minLength", "maxLength"):
                arguments = {f"{word[:3]}_value": value}
                asks = f"{name} has at {'least' if word == 'minLength' else 'most'} {value} characters"
                yield rule(word, asks, "expect_column_value_lengths_to_be_between", **arguments)
            elif word in ("minItems", "maxItems"):
                asks = f"{name} has at {'least' if word == 'minItems' else 'most'} {value} items"
                yield rule(word, asks, "expect_column_value_items_to_be_between", **{f"{word[:3]}_value": value})
            elif word == "uniqueItems" and value:
                yield rule(word, f"{name} holds no item twice", "expect_column_value_items_to_be_unique")
            elif word == "pattern":
                yield from self._pattern(rule, name, word, str(value), at)
            elif word == "format" and kind == "string":
                if value in mapping.FORMATS:
                    yield from self._pattern(
                        rule, name, word, mapping.FORMATS[value], at, f"{name} is of the form {value}"
                    )
                else:
                    self.refuse(at, f"format {value} is refused: no pattern is known for it", "give it a pattern")
            elif word == "format" and kind in mapping.MOMENTS and value not in mapping.MOMENTS[kind]:
                self.refuse(at, f"format {value} is refused: moments are read by ISO 8601")
            elif word == "required" and kind == "object":
                for field in value:
                    arguments = {"column": f"{name}.{field}"}
                    expectation = "expect_column_values_to_not_be_null"
                    asks = f"{name}.{field} is not null"
                    yield self._rule(f"{name}.{field}.required", asks, at, expectation, arguments, (f"{name}.{field}",))
        if kind != "string" and _above(low, high):
            self.refuse(keys, f"{name}: no value is both from {low} and to {high}")
        if _above(options.get("minLength"), options.get("maxLength")) or _above(
            options.get("minItems"), options.get("maxItems")
        ):
            self.refuse(keys, f"{name}: the least is above the most")

    def _limit(self, column: Column, options: Mapping[str, Any], value: Any, keys: Keys) -> Any:
        if column.type in ("integer", "number"):
            if not math.isfinite(value) or abs(value) > EXACT:
                self.refuse(keys, f"{value} is no limit: beyond 2^53 engines round, and would count differently")
            return value
        kinds: dict[str, Any] = {"date": datetime.date, "time": datetime.time, "timestamp": datetime.datetime}
        try:
            moment = kinds[column.type].fromisoformat(str(value))
        except ValueError:
            self.refuse(keys, f"{column.name}: {value} is no {column.type} by ISO 8601")
            return None
        if column.type == "timestamp" and (moment.tzinfo is None) == bool(options.get("timezone", True)):
            has = "has no time zone" if moment.tzinfo is None else "has a time zone"
            self.refuse(keys, f"{column.name}: {value} {has}, unlike the column")
        return moment.isoformat()

    def _pattern(
        self, rule: Callable[..., Rule], name: str, word: str, pattern: str, keys: Keys, asks: str = ""
    ) -> Iterator[Rule]:
        try:
            regex = patterns.portable(pattern)
        except ValueError as error:
            self.refuse(keys, f"{name}: the pattern {error}")
            return
        yield rule(word, asks or f"{name} matches {pattern}", "expect_column_values_to_match_regex", regex=regex)

    # Quality rules

    def _quality(self, given: Mapping[str, Any], keys: Keys, column: str | None, told: list[str]) -> Iterator[Rule]:
        self._refuse_terms("Quality", given, keys)
        kind = given.get("type", "library")
        label = _words(given, column or "table")
        bound = self._bound(given, keys)
        if kind == "text":
            if column is None:
                told.append(label)
        elif kind == "sql":
            sql = _filled(str(given["query"]), column)
            used = (column,) if column else ()
            asks = self._said(given, f"{label} {_bounded(bound)}")
            yield Rule(label, asks, self.line(keys), Query(sql), bound, used)
        elif kind == "custom":
            yield from self._custom_rule(given, keys, label, bound)
        else:
            yield from self._metric(given, keys, column, label, bound)

    def _metric(
        self, given: Mapping[str, Any], keys: Keys, column: str | None, label: str, bound: Bound
    ) -> Iterator[Rule]:
        metric, arguments = str(given.get("metric", "")), given.get("arguments") or {}
        wanted = {"missingValues": {"missingValues"}, "invalidValues": {"validValues", "pattern"},
                  "duplicateValues": set() if column else {"properties"}}.get(metric, set())  # fmt: skip
        for unknown in sorted(set(arguments) - wanted):
            self.refuse((*keys, "arguments", unknown), f"{metric} takes no argument {unknown}")
        if metric == "rowCount":
            if bound.share:
                self.refuse(keys, f"{label}: a row count is compared with a number of rows")
            asks, counts = self._said(given, f"rows {_bounded(bound)}"), "expect_table_row_count_to_be_between"
            yield self._rule(label, asks, keys, counts, {}, (), bound)
            return
        if metric == "duplicateValues" and column is None:
            listed = tuple(map(str, arguments.get("properties") or ()))
            if not listed:
                self.refuse(keys, f"{label}: duplicateValues of a table needs arguments.properties")
            asks = self._said(given, f"{', '.join(listed)} together are unique")
            unique = "expect_compound_columns_to_be_unique"
            yield self._rule(label, asks, keys, unique, {"column_list": list(listed)}, listed, bound)
            return
        if column is None:
            self.refuse(keys, f"{metric} is asked of no column", "write it under a property")
            return
        expectation, details, asks = self._of_column(metric, arguments, column, keys)
        if expectation:
            said = self._said(given, asks + ("" if bound == Bound() else f" (failing rows {_bounded(bound)})"))
            yield self._rule(label, said, keys, expectation, {"column": column, **details}, (column,), bound)

    def _of_column(
        self, metric: str, arguments: Mapping[str, Any], column: str, keys: Keys
    ) -> tuple[str, dict[str, Any], str]:
        if metric == "nullValues":
            return "expect_column_values_to_not_be_null", {}, f"{column} is not null"
        if metric == "duplicateValues":
            return "expect_column_values_to_be_unique", {}, f"{column} is unique"
        if metric == "missingValues" and arguments.get("missingValues"):
            listed = list(arguments["missingValues"])
            return "expect_column_values_to_not_be_missing", {"missing_values": listed}, f"{column} is not missing"
        if metric == "invalidValues" and ("validValues" in arguments) != ("pattern" in arguments):
            if "pattern" in arguments:
                try:
                    regex = patterns.portable(str(arguments["pattern"]))
                except ValueError as error:
                    self.refuse((*keys, "arguments", "pattern"), f"{column}: the pattern {error}")
                    return "", {}, ""
                return (
                    "expect_column_values_to_match_regex",
                    {"regex": regex},
                    f"{column} matches {arguments['pattern']}",
                )
            if arguments["validValues"] and isinstance(arguments["validValues"], list):
                listed = arguments["validValues"]
                words = ", ".join(map(str, listed[:8])) + (" …" if len(listed) > 8 else "")
                return "expect_column_values_to_be_in_set", {"value_set": listed}, f"{column} is one of {words}"
        needs = "missingValues" if metric == "missingValues" else "validValues, or pattern"
        self.refuse(keys, f"{metric} of {column} needs arguments.{needs}")
        return "", {}, ""

    def _custom_rule(self, given: Mapping[str, Any], keys: Keys, label: str, bound: Bound) -> Iterator[Rule]:
        named = str(given["engine"]).lower().replace("-", "").replace("_", "").replace(" ", "")
        if named != "greatexpectations":
            self.refuse(
                (*keys, "engine"), f"the engine {given['engine']} is refused: only greatExpectations is at hand"
            )
            return
        made = given["implementation"]
        kind = str(made.get("type", made.get("expectation_type", ""))) if isinstance(made, dict) else ""
        if kind not in mapping.EXPECTATIONS:
            near = difflib.get_close_matches(kind, mapping.EXPECTATIONS, 1)
            fix = f"did you mean {near[0]}?" if near else "see docs/contract-mapping.md"
            self.refuse(
                (*keys, "implementation"),
                f"the expectation {kind or '(none)'} is refused: no engine here knows it",
                fix,
            )
            return
        arguments = dict(made.get("kwargs") or {})
        if "mostly" in arguments:
            self.refuse((*keys, "implementation"), "mostly is refused: say it by an operator with unit: percent")
        if "regex" in arguments:
            try:
                arguments["regex"] = patterns.portable(str(arguments["regex"]))
            except ValueError as error:
                self.refuse((*keys, "implementation"), f"{label}: the pattern {error}")
        used = tuple(
            map(str, arguments.get("column_list") or [arguments[name] for name in ("column",) if name in arguments])
        )
        if not used and not kind.startswith("expect_table_"):
            self.refuse((*keys, "implementation"), f"{kind} is asked of no column", "add kwargs.column")
        yield self._rule(label, self._said(given, kind.replace("_", " ")), keys, kind, arguments, used, bound)

    def _bound(self, given: Mapping[str, Any], keys: Keys) -> Bound:
        unit = given.get("unit", "rows")
        if unit not in ("rows", "percent", "%"):
            self.refuse((*keys, "unit"), f"the unit {unit} is refused: rows or percent")
        share = unit != "rows"
        for word, operator in mapping.OPERATORS.items():
            if word in given:
                values = given[word] if isinstance(given[word], list) else [given[word]]
                if not all(
                    isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each)
                    for each in values
                ):
                    self.refuse((*keys, word), f"{word}: {given[word]} is no number")
                    return Bound()
                if values != sorted(values):
                    self.refuse((*keys, word), f"{word}: the smaller number comes first")
                scaled = tuple(each / 100 if share else each for each in values)
                return Bound(cast("Operator", operator), scaled, share)
        return Bound()

    def _relationship(self, given: Mapping[str, Any], keys: Keys, table: str) -> Iterator[Rule]:
        ours = given["from"] if isinstance(given["from"], list) else [given["from"]]
        theirs = given["to"] if isinstance(given["to"], list) else [given["to"]]
        if any("/" in str(each) for each in (*ours, *theirs)):
            self.refuse((*keys, "to"), "references by id are refused", "write table.column")
            return
        here = [str(each).rpartition(".") for each in ours] if table else [("", ".", str(ours[0]).removeprefix("."))]
        there = [str(each).rpartition(".") for each in theirs]
        others = {each[0] for each in there}
        if len(here) != len(there) or len(others) != 1 or "" in others:
            self.refuse(keys, "a relationship goes from columns of this table to as many of one other")
            return
        if table and {each[0] for each in here} != {table}:
            self.refuse((*keys, "from"), f"a relationship of {table} goes from columns of {table}")
        used, other = tuple(each[2] for each in here), others.pop()
        to = tuple(each[2] for each in there)
        asks = f"{', '.join(used)} stands in {other} ({', '.join(to)})"
        yield Rule(f"{'+'.join(used)}.relationship", asks, self.line(keys), Reference(used, other, to), columns=used)

    def _ages(self, value: Mapping[str, Any], tables: Sequence[Table]) -> Iterator[tuple[str, Rule]]:
        for index, given in enumerate(value.get("slaProperties") or ()):
            keys = ("slaProperties", index)
            self._refuse_terms("Service levels", given, keys)
            word = str(given["property"])
            if word in mapping.SERVICE:
                continue
            if word not in mapping.AGES:
                known = ", ".join((*mapping.AGES, *mapping.SERVICE))
                self.refuse((*keys, "property"), f"the service level {word} is refused; known are {known}")
                continue
            table, _, column = str(given.get("element", "")).rpartition(".")
            named = table or (tables[0].name if len(tables) == 1 else "")
            found = next((each for each in tables if each.name == named), None)
            moment = found.column(column) if found else None
            unit, most = str(given.get("unit", "")), given["value"]
            if moment is None or moment.type not in ("timestamp", "date"):
                self.refuse((*keys, "element"), f"{word}: element {given.get('element')} is no column of moments")
            elif unit not in mapping.UNITS or not isinstance(most, int | float) or isinstance(most, bool) or most <= 0:
                self.refuse(keys, f"{word}: {most} {unit} is no age; use s, min, h or d")
            else:
                asks = f"the newest {column} is at most {most} {unit} old"
                bound = Bound("<=", (most * mapping.UNITS[unit],))
                yield named, Rule(f"{column}.{word}", asks, self.line(keys), Freshness(column), bound, (column,))

    def _rule(
        self, name: str, asks: str, keys: Keys, expectation: str, arguments: Mapping[str, Any],
        columns: tuple[str, ...] = (), bound: Bound | None = None,
    ) -> Rule:  # fmt: skip
        return Rule(name, asks, self.line(keys), Expectation(expectation, arguments), bound or Bound(), columns)

    def _said(self, given: Mapping[str, Any], otherwise: str) -> str:
        described = str(given.get("description", "")).strip()
        return f"{described} ({otherwise})" if described and described != otherwise else otherwise


@functools.cache
def _validator() -> Any:
    try:
        import jsonschema
    except ImportError as error:
        raise NotMeasured(f"contracts can't be read: {error}", remedy=EXTRA.format("data")) from None
    return jsonschema.Draft201909Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _dotted(keys: Keys) -> str:
    return ".".join(map(str, keys))


def _words(given: Mapping[str, Any], of: str) -> str:
    """The name of a quality rule."""
    word = given.get("name") or given.get("id") or given.get("metric") or given.get("type", "quality")
    return f"{of}.{word}" if of != "table" else str(word)


def _custom(given: Mapping[str, Any], name: str) -> Any:
    return next((each["value"] for each in given.get("customProperties") or () if each["property"] == name), None)


def _filled(sql: str, column: str | None) -> str:
    for word in ("table", "object"):
        sql = sql.replace(f"${{{word}}}", '"table"')
    for word in ("column", "property"):
        sql = sql.replace(f"${{{word}}}", '"' + (column or "").replace('"', '""') + '"' if column else f"${{{word}}}")
    return sql


def _bounded(bound: Bound) -> str:
    words = {"==": "=", "!=": "≠", ">=": "≥", "<=": "≤", "between": "between", "not between": "not between"}
    numbers = " and ".join(f"{each:.4%}" if bound.share else f"{each:,}" for each in bound.values)
    return f"{words.get(bound.operator, bound.operator)} {numbers}"


def _above(low: Any, high: Any) -> bool:
    try:
        return low is not None and high is not None and bool(low > high)
    except TypeError:
        return False
