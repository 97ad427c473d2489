"""Everything that ODCS knows is mapped, informative or refused; nothing is passed over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates.data_contract import mapping
from pytest_pixgates.data_contract.contract import SCHEMA
from pytest_pixgates.data_contract.mapping import Fate

STANDARD = json.loads(SCHEMA.read_text())
DEFINED = STANDARD["$defs"]


def words(*definitions: str) -> set[str]:
    """The properties of some definitions, and of those that they include."""
    found: set[str] = set()
    for name in definitions:
        found |= set(DEFINED[name].get("properties", {}))
        for part in [*DEFINED[name].get("allOf", ()), DEFINED[name]]:
            if "$ref" in part and part["$ref"].startswith("#/$defs/"):
                found |= words(part["$ref"].removeprefix("#/$defs/"))
    return found


def options() -> Iterator[tuple[str, set[str]]]:
    """The options of each logical type, and what else a column may say only of that type."""
    for each in DEFINED["SchemaBaseProperty"]["allOf"][1:]:
        kinds = [part["properties"]["logicalType"]["const"] for part in each["if"].get("anyOf", [each["if"]])]
        for kind in kinds:
            yield kind, set(each["then"]["properties"]["logicalTypeOptions"]["properties"])


def operators() -> set[str]:
    return {word for each in DEFINED["DataQualityOperators"]["oneOf"] for word in each["required"]}


EXPECTED: dict[str, set[str]] = {
    "Contract": set(STANDARD["properties"]),
    "Table": words("SchemaObject"),
    "Column": words("SchemaProperty", "SchemaItemProperty") | {"items"},
    **{f"Options of {kind}": known for kind, known in options()},
    "Quality": words("DataQuality", "DataQualityLibrary", "DataQualitySql", "DataQualityCustom"),
    "Metrics": set(DEFINED["DataQualityLibrary"]["properties"]["metric"]["enum"]),
    "Operators": operators(),
    "Relationships": words("RelationshipSchemaLevel", "RelationshipPropertyLevel"),
    "Service levels": words("ServiceLevelAgreementProperty"),
}


@pytest.mark.parametrize("section", EXPECTED)
def test_every_word_of_the_standard_is_in_the_table_and_no_other(section: str) -> None:
    assert set(mapping.TERMS[section]) == EXPECTED[section]


def test_every_section_and_every_logical_type_is_in_the_table() -> None:
    assert set(mapping.TERMS) == set(EXPECTED)
    kinds = set(DEFINED["SchemaBaseProperty"]["properties"]["logicalType"]["enum"])
    assert {f"Options of {kind}" for kind in kinds - {"boolean"}} == {name for name in EXPECTED if "Options" in name}


def test_every_term_says_what_it_becomes_or_why_not() -> None:
    assert all(term.to for terms in mapping.TERMS.values() for term in terms.values())


def test_the_page_is_what_the_code_says() -> None:
    page = Path(__file__).parents[2] / "docs" / "contract-mapping.md"
    assert page.read_text() == mapping.page(), "run `python -m pytest_pixgates.data_contract.mapping`"


def test_the_operators_are_those_of_the_standard() -> None:
    assert set(mapping.OPERATORS) == operators()


def test_each_expectation_that_a_contract_can_become_is_known_to_the_engine() -> None:
    from great_expectations.expectations.registry import get_expectation_impl

    from pytest_pixgates.data_contract import engine

    whole = {"expect_column_to_exist", "expect_table_columns_to_match_set", "expect_table_row_count_to_be_between"}
    unique = {"expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique"}
    assert set(mapping.EXPECTATIONS) == set(engine.METRICS) | whole | unique
    assert all(get_expectation_impl(name) for name in mapping.EXPECTATIONS)


def test_the_standard_s_words_in_the_page_name_only_expectations_that_there_are() -> None:
    import re

    named = {name for terms in mapping.TERMS.values() for term in terms.values()
             for name in re.findall(r"`(expect_\w+)`", term.to)}  # fmt: skip
    assert named - {"expect_compound_columns_to_be_"} <= set(mapping.EXPECTATIONS)


def test_refusals_are_found_by_section() -> None:
    given: dict[str, Any] = {"minProperties": 1, "required": ["a"]}
    assert [name for name, _ in mapping.refused("Options of object", given)] == ["minProperties"]
    refused = [name for name, term in mapping.TERMS["Contract"].items() if term.fate is Fate.REFUSED]
    assert refused == ["slaDefaultElement"]
