"""What becomes of each word of ODCS v3.1: mapped to a check, informative, or refused by name.

Everything that the standard knows stands in TERMS, which a test holds against its JSON schema; so nothing in a contract
is passed over in silence. `python -m pytest_pixgates.data_contract.mapping` writes docs/contract-mapping.md from it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from pytest_pixgates.core import files


class Fate(Enum):
    """What becomes of a term."""

    MAPPED = "mapped"
    INFORMATIVE = "informative"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Term:
    """`to` says which check it becomes, or why it becomes none."""

    fate: Fate
    to: str


def _mapped(to: str) -> Term:
    return Term(Fate.MAPPED, to)


def _told(why: str) -> Term:
    return Term(Fate.INFORMATIVE, why)


def _refused(why: str) -> Term:
    return Term(Fate.REFUSED, why)


PEOPLE = _told("says something to people that data can't break")
ELEMENT = {
    "id": _told("names the element for references"),
    "name": _mapped("the name of the table or column"),
    "physicalType": _told("a store's own name of the type; what is judged is logicalType, in every store"),
    "description": _mapped("must be there for every column"),
    "businessName": _mapped("must name one field only (gate `vocabulary`)"),
    "authoritativeDefinitions": PEOPLE,
    "tags": PEOPLE,
    "customProperties": _mapped(
        "`additionalColumns: true` allows columns that the contract doesn't name; others: people"
    ),
}
_RANGE = {
    "minimum": _mapped("`expect_column_values_to_be_between`, the end included"),
    "maximum": _mapped("`expect_column_values_to_be_between`, the end included"),
    "exclusiveMinimum": _mapped("`expect_column_values_to_be_between`, the end left out"),
    "exclusiveMaximum": _mapped("`expect_column_values_to_be_between`, the end left out"),
}
_MULTIPLE = _mapped("`expect_column_values_to_be_multiple_of` (ours)")
_ISO = _mapped(
    "ISO 8601 is what is read (`yyyy-MM-dd`, `HH:mm:ss`, `yyyy-MM-dd'T'HH:mm:ssXXX`); other formats are refused"
)
_ZONED = {
    "timezone": _mapped("the type has a time zone; it must unless this is `false`"),
    "defaultTimezone": _told("which zone is meant where none is written; no moment is changed by it"),
}
_WIDTH = _mapped("the type is no wider; without it any width will do")

TERMS: dict[str, dict[str, Term]] = {
    "Contract": {
        "apiVersion": _mapped("must be v3.1.0"),
        "kind": _mapped("must be DataContract"),
        "id": _mapped("must not change"),
        "version": _mapped("must grow as the change demands (gate `changes`)"),
        "status": PEOPLE,
        "schema": _mapped("the tables"),
        "slaProperties": _mapped("see Service levels"),
        "slaDefaultElement": _refused("deprecated since 3.1; name the element of each service level"),
        "name": PEOPLE,
        "tenant": PEOPLE,
        "tags": PEOPLE,
        "servers": _told("the policy says where the data is"),
        "dataProduct": PEOPLE,
        "description": PEOPLE,
        "domain": PEOPLE,
        "support": PEOPLE,
        "price": PEOPLE,
        "team": PEOPLE,
        "roles": PEOPLE,
        "authoritativeDefinitions": PEOPLE,
        "customProperties": PEOPLE,
        "contractCreatedTs": PEOPLE,
    },
    "Table": ELEMENT
    | {
        "description": PEOPLE,
        "logicalType": _mapped("a table is an object"),
        "physicalName": _told("the policy says where the data is"),
        "dataGranularityDescription": PEOPLE,
        "properties": _mapped("`expect_table_columns_to_match_set`: these columns and no others"),
        "relationships": _mapped("see Relationships"),
        "quality": _mapped("see Quality"),
    },
    "Column": ELEMENT
    | {
        "logicalType": _mapped("`expect_column_values_to_be_of_logical_type` (ours); of a number also "
                               "`expect_column_values_to_be_finite` (ours): NaN and ±inf are invalid"),
        "logicalTypeOptions": _mapped("see the options of each type"),
        "required": _mapped("`expect_column_values_to_not_be_null`"),
        "unique": _mapped("`expect_column_values_to_be_unique`, over all partitions"),
        "primaryKey": _mapped("unique, or `expect_compound_columns_to_be_unique`, and required"),
        "primaryKeyPosition": _mapped("the order of the key's columns"),
        "classification": _mapped("public, internal, confidential or restricted; only public values are shown"),
        "relationships": _mapped("see Relationships"),
        "quality": _mapped("see Quality"),
        "properties": _mapped("fields of a structure, judged as columns under their path (`payer.account_id`)"),
        "items": _mapped("their logicalType; anything more about items is refused"),
        "physicalName": _told("the contract's name is the one that is judged"),
        "partitioned": _told("how it is stored; that every day has a partition is judged by itself"),
        "partitionKeyPosition": _told("how it is stored"),
        "encryptedName": _told("names another column, which is judged by its own rules"),
        "transformSourceObjects": PEOPLE,
        "transformLogic": PEOPLE,
        "transformDescription": PEOPLE,
        "examples": PEOPLE,
        "criticalDataElement": PEOPLE,
    },
    "Options of string": {
        "minLength": _mapped("`expect_column_value_lengths_to_be_between`, in characters"),
        "maxLength": _mapped("`expect_column_value_lengths_to_be_between`, in characters"),
        "pattern": _mapped("`expect_column_values_to_match_regex`, as ECMA-262 means it: anywhere in the value unless "
                           "anchored; look-around, back-references and \\b are refused"),
        "format": _mapped("a regular expression for email, uuid, uri, hostname and ipv4; other formats are refused"),
    },
    "Options of integer": {**_RANGE, "multipleOf": _MULTIPLE, "format": _WIDTH},
    "Options of number": {**_RANGE, "multipleOf": _MULTIPLE, "format": _WIDTH},
    "Options of date": {**_RANGE, "format": _ISO},
    "Options of timestamp": {**_RANGE, **_ZONED, "format": _ISO},
    "Options of time": {
        **_RANGE,
        "format": _ISO,
        "timezone": _refused("a time of day has no zone without a date"),
        "defaultTimezone": _refused("a time of day has no zone without a date"),
    },
    "Options of object": {
        "required": _mapped("those fields are required"),
        "minProperties": _refused("a structure's fields are fixed by its type"),
        "maxProperties": _refused("a structure's fields are fixed by its type"),
    },
    "Options of array": {
        "minItems": _mapped("`expect_column_value_items_to_be_between` (ours)"),
        "maxItems": _mapped("`expect_column_value_items_to_be_between` (ours)"),
        "uniqueItems": _mapped("`expect_column_value_items_to_be_unique` (ours)"),
    },
    "Quality": {
        "type": _mapped("library, sql and custom are checks; text is for people, and named in every report"),
        "metric": _mapped("see Metrics"),
        "rule": _refused("deprecated since 3.1; write metric"),
        "arguments": _mapped("see Metrics"),
        "query": _mapped("run in DuckDB without files, network or extensions; `${table}`, `${object}`, `${column}` and "
                         "`${property}` are filled in"),
        "engine": _mapped("greatExpectations; others are refused"),
        "implementation": _mapped("`type` and `kwargs` of one of the expectations named on this page"),
        "unit": _mapped("rows or percent (of all rows); others are refused"),
        "name": _mapped("the rule's name"),
        "id": _mapped("the rule's name, if it has no other"),
        "description": _mapped("the rule's words"),
        "dimension": PEOPLE,
        "severity": _told("every broken rule blocks; tolerate one for a while by a waiver"),
        "businessImpact": PEOPLE,
        "method": PEOPLE,
        "schedule": _told("the pipeline says when it is judged"),
        "scheduler": _told("the pipeline says when it is judged"),
        "tags": PEOPLE,
        "authoritativeDefinitions": PEOPLE,
        "customProperties": PEOPLE,
    },
    "Metrics": {
        "nullValues": _mapped("`expect_column_values_to_not_be_null`"),
        "missingValues": _mapped("`expect_column_values_to_not_be_missing` (ours): one of `missingValues`, null "
                                 "only if listed among them"),
        "invalidValues": _mapped("`expect_column_values_to_be_in_set` by `validValues`, or "
                                 "`expect_column_values_to_match_regex` by `pattern`; null is not invalid"),
        "duplicateValues": _mapped("`expect_column_values_to_be_unique`; of a table `expect_compound_columns_to_be_` "
                                   "`unique` by `properties`. Counts every row whose value another row has too"),
        "rowCount": _mapped("`expect_table_row_count_to_be_between`"),
    },
    "Operators": {
        "mustBe": _mapped("="),
        "mustNotBe": _mapped("≠"),
        "mustBeGreaterThan": _mapped(">"),
        "mustBeGreaterOrEqualTo": _mapped("≥"),
        "mustBeLessThan": _mapped("<"),
        "mustBeLessOrEqualTo": _mapped("≤"),
        "mustBeBetween": _mapped("between, both ends left out"),
        "mustNotBeBetween": _mapped("not between, both ends left out"),
    },
    "Relationships": {
        "type": _mapped("foreignKey: every value stands in the other data set; null refers to nothing"),
        "from": _mapped("columns of this table (`transactions.payer_account_id`)"),
        "to": _mapped("columns of another data set (`accounts.account_id`), which the policy declares; references by "
                      "id (`schema/…`) are refused"),
        "customProperties": PEOPLE,
    },
    "Service levels": {
        "property": _mapped("latency and freshness: the age of the newest moment at the clock that the policy states. "
                            "generalAvailability, endOfSupport, endOfLife, retention, frequency, timeOfAvailability, "
                            "and availability are informative; others are refused"),
        "value": _mapped("the greatest age"),
        "unit": _mapped("s, min, h or d, or their names; others are refused"),
        "element": _mapped("the column of the moments"),
        "id": _mapped("the rule's name"),
        "valueExt": _refused("nothing says what it means"),
        "driver": PEOPLE,
        "description": PEOPLE,
        "schedule": _told("the pipeline says when it is judged"),
        "scheduler": _told("the pipeline says when it is judged"),
    },
}  # fmt: skip

OPERATORS = {
    "mustBe": "==",
    "mustNotBe": "!=",
    "mustBeGreaterThan": ">",
    "mustBeGreaterOrEqualTo": ">=",
    "mustBeLessThan": "<",
    "mustBeLessOrEqualTo": "<=",
    "mustBeBetween": "between",
    "mustNotBeBetween": "not between",
}
EXPECTATIONS = (
    "expect_column_to_exist",
    "expect_column_value_items_to_be_between",
    "expect_column_value_items_to_be_unique",
    "expect_column_value_lengths_to_be_between",
    "expect_column_values_to_be_between",
    "expect_column_values_to_be_finite",
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_be_multiple_of",
    "expect_column_values_to_be_of_logical_type",
    "expect_column_values_to_be_unique",
    "expect_column_values_to_match_regex",
    "expect_column_values_to_not_be_missing",
    "expect_column_values_to_not_be_null",
    "expect_compound_columns_to_be_unique",
    "expect_table_columns_to_match_set",
    "expect_table_row_count_to_be_between",
)
"""All that a contract can become."""

FORMATS = {
    "email": r"^[^@ \t\n\r]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$",
    "uuid": r"^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$",
    "uri": r"^[A-Za-z][A-Za-z0-9+.-]*:[^ \t\n\r]+$",
    "hostname": r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$",
    "ipv4": r"^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])$",
}
MOMENTS = {
    "date": ("yyyy-MM-dd",),
    "time": ("HH:mm:ss",),
    "timestamp": ("yyyy-MM-dd'T'HH:mm:ss", "yyyy-MM-dd'T'HH:mm:ssXXX", "yyyy-MM-dd HH:mm:ss"),
}
AGES = ("latency", "freshness")
SERVICE = (
    "generalAvailability",
    "endOfSupport",
    "endOfLife",
    "retention",
    "frequency",
    "timeOfAvailability",
    "availability",
)
UNITS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}


def refused(section: str, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The words of `given` that are refused, each with the reason."""
    for name in given:
        term = TERMS[section].get(name)
        if term is not None and term.fate is Fate.REFUSED:
            yield name, term.to


def page() -> str:
    """docs/contract-mapping.md."""
    head = (
        "# What becomes of a contract\n\n"
        "Every word of [ODCS v3.1](https://bitol-io.github.io/open-data-contract-standard/v3.1.0/) is **mapped** to a "
        "check, **informative** (data can't break it), or **refused** by name and line, which makes the gate an ERROR. "
        "A word that the standard doesn't know is refused too.\n\n"
        "This file is written by `python -m pytest_pixgates.data_contract.mapping`.\n"
    )
    return "\n".join([head, *(_table(name, terms) for name, terms in TERMS.items())])


def _table(name: str, terms: Mapping[str, Term]) -> str:
    rows = "\n".join(f"| `{word}` | {term.fate.value} | {term.to} |" for word, term in terms.items())
    return f"## {name}\n\n| Word | | Becomes, or why not |\n|---|---|---|\n{rows}\n"


if __name__ == "__main__":
    files.write_atomically(Path(sys.argv[1] if sys.argv[1:] else "docs/contract-mapping.md"), page())
