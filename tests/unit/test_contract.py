"""A contract is read whole or refused by name and line."""

# ruff: noqa: E501 - the tables below read best with a line for each case

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates.data_contract import contract
from pytest_pixgates.data_contract.contract import ContractError
from pytest_pixgates.data_contract.rules import Bound, Contract, Expectation, Freshness, Query, Reference, Rule

HEAD = """\
apiVersion: v3.1.0
kind: DataContract
id: payments
version: 1.0.0
status: active
schema:
  - name: payments
    properties:
"""
ID = """\
      - name: id
        logicalType: integer
        classification: public
        description: The number.
"""
# Where lines of a test's own begin.
COLUMN, TABLE = HEAD + ID, HEAD + ID + "    quality:\n"


def parse(text: str) -> Contract:
    return contract.parse(text, "c.yaml")


def rules(text: str) -> dict[str, Rule]:
    return {rule.name: rule for rule in parse(text).tables[0].rules}


def refused(text: str) -> list[str]:
    with pytest.raises(ContractError) as caught:
        parse(text)
    return [f"{each.line}: {each.message}" for each in caught.value.problems]


def column(kind: str, *lines: str) -> str:
    """A contract with the column `x` of a type, whose further lines begin in line 17."""
    head = ["- name: x", f"  logicalType: {kind}", "  classification: public", "  description: Something."]
    return COLUMN + "".join(f"      {line}\n" for line in (*head, *(f"  {line}" for line in lines)))


def test_a_small_contract_becomes_rules_with_lines() -> None:
    found = rules(column("string", "required: true", "logicalTypeOptions:", "  minLength: 2", "  pattern: ^a.c$"))
    assert list(found) == ["columns", "id.exists", "id.logicalType", "x.exists", "x.logicalType", "x.required",
                           "x.minLength", "x.pattern"]  # fmt: skip
    assert [found[name].line for name in ("columns", "x.exists", "x.required", "x.minLength", "x.pattern")] == [
        8,
        13,
        17,
        19,
        20,
    ]
    assert found["x.minLength"].check == Expectation(
        "expect_column_value_lengths_to_be_between", {"column": "x", "min_value": 2}
    )
    assert found["x.minLength"].asks == "x has at least 2 characters"


@pytest.mark.parametrize(
    ("kind", "lines", "expectation", "arguments"),
    [
        ("integer", ["logicalTypeOptions: {minimum: 1}"], "between", {"min_value": 1, "strict_min": False}),
        ("integer", ["logicalTypeOptions: {exclusiveMaximum: 9}"], "between", {"max_value": 9, "strict_max": True}),
        ("number", ["logicalTypeOptions: {multipleOf: 0.5}"], "multiple_of", {"factor": 0.5}),
        ("number", [], "finite", {}),
        ("date", ['logicalTypeOptions: {minimum: "2026-01-31"}'], "between", {"min_value": "2026-01-31", "strict_min": False}),
        ("time", ['logicalTypeOptions: {maximum: "18:00:00"}'], "between", {"max_value": "18:00:00", "strict_max": False}),
        ("timestamp", [], "of_logical_type", {"logical_type": "timestamp", "timezone": True}),
        ("timestamp", ["logicalTypeOptions: {timezone: false}"], "of_logical_type", {"logical_type": "timestamp", "timezone": False}),
        ("integer", ["logicalTypeOptions: {format: i32}"], "of_logical_type", {"logical_type": "integer", "format": "i32"}),
        ("array", ["logicalTypeOptions: {maxItems: 3}"], "items_to_be_between", {"max_value": 3}),
        ("array", ["logicalTypeOptions: {uniqueItems: true}"], "items_to_be_unique", {}),
        ("string", ["logicalTypeOptions: {pattern: '\\d'}"], "match_regex", {"regex": "[0-9]"}),
        ("string", ["logicalTypeOptions: {format: uuid}"], "match_regex", {"regex": contract.mapping.FORMATS["uuid"]}),
        ("string", ["unique: true"], "to_be_unique", {}),
        ("string", ["primaryKey: true"], "not_be_null", {}),
        ("string", ["primaryKey: true"], "to_be_unique", {}),
        ("string", ["quality: [{metric: nullValues, mustBe: 0}]"], "not_be_null", {}),
        ("string", ["quality: [{metric: missingValues, arguments: {missingValues: [null, '']}, mustBe: 0}]"], "not_be_missing", {"missing_values": [None, ""]}),
        ("string", ["quality: [{metric: invalidValues, arguments: {validValues: [a, b]}, mustBe: 0}]"], "in_set", {"value_set": ["a", "b"]}),
        ("string", ["quality: [{metric: invalidValues, arguments: {pattern: '^a$'}, mustBe: 0}]"], "match_regex", {"regex": "^a$"}),
        ("string", ["quality: [{metric: duplicateValues, mustBe: 0}]"], "to_be_unique", {}),
        ("string", ["quality: [{type: custom, engine: great-expectations, implementation: {type: expect_column_values_to_be_in_set, kwargs: {column: x, value_set: [a]}}}]"], "in_set", {"value_set": ["a"]}),
    ],
)  # fmt: skip
def test_each_word_becomes_its_expectation(
    kind: str, lines: list[str], expectation: str, arguments: dict[str, Any]
) -> None:
    found = [rule.check for rule in rules(column(kind, *lines)).values() if rule.columns == ("x",)]
    checks = [each for each in found if isinstance(each, Expectation) and expectation in each.type]
    assert {"column": "x", **arguments} in [dict(each.arguments) for each in checks], found


@pytest.mark.parametrize(
    ("operator", "holds", "fails"),
    [
        ("mustBe: 5", [5], [4, 6]),
        ("mustNotBe: 5", [4, 6], [5]),
        ("mustBeGreaterThan: 5", [6], [5, 4]),
        ("mustBeGreaterOrEqualTo: 5", [5, 6], [4]),
        ("mustBeLessThan: 5", [4], [5, 6]),
        ("mustBeLessOrEqualTo: 5", [4, 5], [6]),
        ("mustBeBetween: [5, 7]", [6], [5, 7, 4, 8]),
        ("mustNotBeBetween: [5, 7]", [5, 7, 4, 8], [6]),
    ],
)
def test_each_operator_is_judged_as_the_standard_means_it(operator: str, holds: list[int], fails: list[int]) -> None:
    bound = rules(TABLE + f"      - {{name: rows, metric: rowCount, {operator}}}\n")["rows"].bound
    assert all(bound.holds(number) for number in holds)
    assert not any(bound.holds(number) for number in fails)


def test_percent_is_a_share_of_the_rows() -> None:
    found = rules(column("string", "quality:", "  - {name: a, metric: nullValues, mustBeLessThan: 5, unit: percent}",
                         "  - {name: b, metric: nullValues, mustBe: 0}"))  # fmt: skip
    assert found["x.a"].bound == Bound("<", (0.05,), share=True)
    assert found["x.b"].bound == Bound("==", (0,))


def test_keys_of_several_columns_are_unique_together_in_their_order() -> None:
    text = column("string", "primaryKey: true", "primaryKeyPosition: 2").replace(
        "description: The number.", "description: The number.\n        primaryKey: true\n        primaryKeyPosition: 1")  # fmt: skip
    found, table = rules(text), parse(text).tables[0]
    assert table.key == ("id", "x")
    assert found["primaryKey"].check == Expectation(
        "expect_compound_columns_to_be_unique", {"column_list": ["id", "x"]}
    )
    assert "x.unique" not in found
    assert {"id.required", "x.required"} <= found.keys()


def test_fields_of_structures_are_columns_under_their_path() -> None:
    text = column("object", "properties:", "  - {name: a, logicalType: string, classification: internal, description: d}",
                  "logicalTypeOptions: {required: [a]}")  # fmt: skip
    assert [each.name for each in parse(text).tables[0].columns] == ["id", "x", "x.a"]
    assert "x.a.required" in rules(text)


def test_relationships_queries_ages_and_words_for_people() -> None:
    text = (
        column("timestamp", "relationships: [{to: days.day}]").rstrip("\n")
        + """
    relationships:
      - {from: [payments.id, payments.x], to: [others.a, others.b]}
    quality:
      - {name: q, type: sql, query: 'select count(*) from ${table}', mustBeGreaterThan: 1}
      - {name: p, type: text, description: For people.}
slaProperties:
  - {property: freshness, element: payments.x, value: 2, unit: h}
  - {property: retention, value: 5, unit: y}
"""
    )
    found, table = rules(text), parse(text).tables[0]
    assert found["x.relationship"].check == Reference(("x",), "days", ("day",))
    assert found["id+x.relationship"].check == Reference(("id", "x"), "others", ("a", "b"))
    assert found["q"].check == Query('select count(*) from "table"')
    assert (found["x.freshness"].check, found["x.freshness"].bound) == (Freshness("x"), Bound("<=", (7200,)))
    assert table.told == ("p",)


REFUSED = {
    "an unknown key": (column("string", "requierd: true"), "17: requierd: ODCS knows no such key here"),
    "an unknown option": (column("string", "logicalTypeOptions: {minlength: 1}"), "17: minlength: ODCS knows no such key here"),
    "an option of another type": (column("string", "logicalTypeOptions: {minimum: 1}"), "17: minimum: ODCS knows no such key here"),
    "no classification": (COLUMN.replace("        classification: public\n", ""), "9: id has no classification"),
    "another classification": (COLUMN.replace("public", "secret"), "11: id is classified as 'secret'"),
    "no description": (COLUMN.replace("        description: The number.\n", ""), "9: id has no description"),
    "no logical type": (COLUMN.replace("        logicalType: integer\n", ""), "9: id has no logicalType"),
    "a column twice": (COLUMN + ID, "7: id stands twice"),
    "no columns": (HEAD.replace("    properties:\n", "    properties: []\n"), "7: payments has no properties, so nothing would be judged"),
    "no schema": (HEAD.partition("schema:")[0] + "schema: []\n", "6: has no schema, so it asks nothing"),
    "another version": (COLUMN.replace("v3.1.0", "v2.2.2"), "1: apiVersion 'v2.2.2' is not v3.1.0, which is read here"),
    "no id": (COLUMN.replace("id: payments\n", ""), "1: 'id' is missing"),
    "an impossible range": (column("integer", "logicalTypeOptions: {minimum: 2, maximum: 1}"), "17: x: no value is both from 2 and to 1"),
    "impossible lengths": (column("string", "logicalTypeOptions: {minLength: 2, maxLength: 1}"), "17: x: the least is above the most"),
    "a pattern that is none": (column("string", "logicalTypeOptions: {pattern: '['}"), "17: x: the pattern is no regular expression: unterminated character set"),
    "look-ahead": (column("string", "logicalTypeOptions: {pattern: '(?=a)'}"), "17: x: the pattern (?= is not known to all engines; only (?: is"),
    "a back-reference": (column("string", r"logicalTypeOptions: {pattern: '(a)\1'}"), r"17: x: the pattern \1 is not known to all engines, or means different things to them"),
    "an unknown format": (column("string", "logicalTypeOptions: {format: ipv6}"), "17: format ipv6 is refused: no pattern is known for it"),
    "a format of moments": (column("date", "logicalTypeOptions: {format: dd/MM/yyyy}"), "17: format dd/MM/yyyy is refused: moments are read by ISO 8601"),
    "a limit that is no date": (column("date", "logicalTypeOptions: {minimum: soon}"), "17: x: soon is no date by ISO 8601"),
    "a limit without a zone": (column("timestamp", 'logicalTypeOptions: {minimum: "2026-01-01T00:00:00"}'), "17: x: 2026-01-01T00:00:00 has no time zone, unlike the column"),
    "rules on items": (column("array", "items: {logicalType: string, logicalTypeOptions: {minLength: 1}}"), "17: x: logicalTypeOptions of items is refused: items are not judged one by one"),
    "fields counted": (column("object", "logicalTypeOptions: {minProperties: 1}"), "17: minProperties is refused: a structure's fields are fixed by its type"),
    "a zone of the day": (column("time", "logicalTypeOptions: {timezone: true}"), "17: timezone is refused: a time of day has no zone without a date"),
    "a required field that is not there": (column("object", "logicalTypeOptions: {required: [a]}"), "8: x.a.required asks of x.a, which is no column of payments"),
    "another unit": (column("string", "quality: [{metric: nullValues, mustBe: 0, unit: bytes}]"), "17: the unit bytes is refused: rows or percent"),
    "a word as a limit": (column("string", "quality: [{metric: nullValues, mustBe: few}]"), "17: mustBe: few is no number"),
    "limits the wrong way round": (TABLE + "      - {metric: rowCount, mustBeBetween: [9, 1]}\n", "14: mustBeBetween: the smaller number comes first"),
    "a row count in percent": (TABLE + "      - {metric: rowCount, mustBe: 1, unit: percent}\n", "14: rowCount: a row count is compared with a number of rows"),
    "a row count without a limit": (TABLE + "      - {metric: rowCount}\n", "14: schema.0.quality.0 needs one operator, such as mustBe: 0"),
    "a rule without a column": (TABLE + "      - {metric: nullValues, mustBe: 0}\n", "14: nullValues is asked of no column"),
    "duplicates of nothing": (TABLE + "      - {metric: duplicateValues, mustBe: 0}\n", "14: duplicateValues: duplicateValues of a table needs arguments.properties"),
    "duplicates of a missing column": (TABLE + "      - {metric: duplicateValues, arguments: {properties: [id, y]}, mustBe: 0}\n", "8: duplicateValues asks of y, which is no column of payments"),
    "an argument too much": (column("string", "quality: [{metric: nullValues, arguments: {x: 1}, mustBe: 0}]"), "17: nullValues takes no argument x"),
    "invalid by nothing": (column("string", "quality: [{metric: invalidValues, mustBe: 0}]"), "17: invalidValues of x needs arguments.validValues, or pattern"),
    "missing by nothing": (column("string", "quality: [{metric: missingValues, mustBe: 0}]"), "17: missingValues of x needs arguments.missingValues"),
    "a deprecated rule": (column("string", "quality: [{metric: nullValues, rule: nullValues, mustBe: 0}]"), "17: rule is refused: deprecated since 3.1; write metric"),
    "SQL without a limit": (TABLE + "      - {name: q, type: sql, query: select 1, mustBe: 0}\n      - {name: r, type: sql, query: select 1}\n", "15: schema.0.quality.1 needs one operator, such as mustBe: 0"),
    "two operators": (TABLE + "      - {metric: rowCount, mustBe: 1, mustNotBe: 2}\n", "14: schema.0.quality.0 needs one operator, such as mustBe: 0"),
    "another engine": (TABLE + "      - {type: custom, engine: soda, implementation: x}\n", "14: the engine soda is refused: only greatExpectations is at hand"),
    "an unknown expectation": (TABLE + "      - {type: custom, engine: greatExpectations, implementation: {type: expect_magic}}\n", "14: the expectation expect_magic is refused: no engine here knows it"),
    "an expectation of no column": (TABLE + "      - {type: custom, engine: greatExpectations, implementation: {type: expect_column_values_to_not_be_null}}\n", "14: expect_column_values_to_not_be_null is asked of no column"),
    "mostly": (TABLE + "      - {type: custom, engine: greatExpectations, implementation: {type: expect_column_values_to_not_be_null, kwargs: {column: id, mostly: 0.9}}}\n", "14: mostly is refused: say it by an operator with unit: percent"),
    "two rules of one name": (TABLE + "      - {name: n, metric: rowCount, mustBe: 1}\n      - {name: n, metric: rowCount, mustBe: 2}\n", "15: two rules are called n"),
    "a reference by id": (column("string", "relationships: [{to: schema/other/properties/a}]"), "17: references by id are refused"),
    "an unknown service level": (COLUMN + "slaProperties: [{property: magic, value: 1}]\n", "13: the service level magic is refused; known are latency, freshness, generalAvailability, endOfSupport, endOfLife, retention, frequency, timeOfAvailability, availability"),
    "an age of no moment": (COLUMN + "slaProperties: [{property: latency, value: 1, unit: d, element: payments.id}]\n", "13: latency: element payments.id is no column of moments"),
    "an age in years": (column("timestamp") + "slaProperties: [{property: latency, value: 1, unit: y, element: payments.x}]\n", "17: latency: 1 y is no age; use s, min, h or d"),
    "an element for all": (COLUMN + "slaDefaultElement: payments.id\n", "13: slaDefaultElement is refused: deprecated since 3.1; name the element of each service level"),
    "two documents": (COLUMN + "---\n" + COLUMN, "0: is not one YAML document with a contract in it"),
    "a list": ("- 1\n", "0: is not one YAML document with a contract in it"),
    "a key twice": (COLUMN + "id: other\n", "13: the key 'id' stands twice, first in line 3; the last would win unseen"),
    "an alias into itself": (COLUMN + "tags: &a [*a]\n", "13: an alias leads back into itself"),
    "a billion laughs": ("a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"{n}: &{n} [{', '.join(['*' + chr(ord(n) - 1)] * 10)}]\n" for n in "bcdefghi"), "6: expands to more than 500,000 nodes"),
    "what is no YAML": ("a: [\n", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_judged_is_refused_by_name_and_line(name: str) -> None:
    text, said = REFUSED[name]
    found = refused(text)
    assert said in found if said else found


def test_an_unknown_key_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ContractError) as caught:
        parse(column("string", "requierd: true"))
    assert caught.value.problems[0].fix == "did you mean required?"


def test_all_that_is_wrong_is_said_at_once() -> None:
    text = column("string", "logicalTypeOptions: {format: ipv6}").replace("        description: The number.\n", "")
    assert len(refused(text.replace("classification: public", "classification: open"))) == 4


def test_a_contract_is_a_file_of_the_repository(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "c.yaml").write_text(COLUMN)
    (root / "c.yaml").write_text(COLUMN)
    assert contract.read(root / "c.yaml", root).path == "c.yaml"
    (root / "link.yaml").symlink_to(tmp_path / "c.yaml")
    for name, said in {
        "link.yaml": "leads out of the repository",
        "none.yaml": "does not exist",
        ".": "is not a file",
    }.items():
        with pytest.raises(ContractError, match=said):
            contract.read(root / name, root)
    (root / "latin.yaml").write_bytes(COLUMN.replace("number", "número").encode("latin-1"))
    with pytest.raises(ContractError, match="is not UTF-8"):
        contract.read(root / "latin.yaml", root)


def test_this_repository_s_contracts_are_whole() -> None:
    root = Path(__file__).parents[2]
    found = [contract.read(path, root) for path in sorted((root / "gates" / "contracts").glob("*.yaml"))]
    names = {
        "accounts",
        "labels",
        "processed_transactions",
        "scores",
        "training_set",
        "transactions",
        "transactions_aggregated",
    }
    assert {each.tables[0].name for each in found} == names
