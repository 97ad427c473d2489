"""A table on which engines like to disagree, and a contract that asks everything that a contract can become."""

# ruff: noqa: E501 - a table reads best with a line for each row

from __future__ import annotations

import datetime

import polars as pl

UTC = datetime.UTC
NAN, INF = float("nan"), float("inf")

CONTRACT = r"""
apiVersion: v3.1.0
kind: DataContract
id: torture
version: 1.0.0
status: active
schema:
  - name: torture
    properties:
      - {name: id, logicalType: integer, primaryKey: true, classification: public, description: A key with doubles and a null.}
      - name: text
        logicalType: string
        required: true
        unique: true
        classification: public
        description: Empty, composed, decomposed, astral, with line breaks.
        logicalTypeOptions: {pattern: '^\w.*[a-zé]$', minLength: 1, maxLength: 5}
        quality:
          - {name: missing, metric: missingValues, arguments: {missingValues: [null, "", "n/a"]}, mustBe: 0}
          - {name: empty, metric: missingValues, arguments: {missingValues: [""]}, mustBe: 0}
          - {name: known, metric: invalidValues, arguments: {validValues: ["ab", "é", "😀a"]}, mustBe: 0}
          - {name: digits, metric: invalidValues, arguments: {pattern: '^\d+$'}, mustBe: 0}
      - name: amount
        logicalType: number
        classification: internal
        description: NaN, infinities, zero of either sign, limits.
        logicalTypeOptions: {minimum: 0, exclusiveMaximum: 10, multipleOf: 0.5}
      - name: least
        logicalType: integer
        classification: internal
        description: The limits of 64 bits.
        logicalTypeOptions: {exclusiveMinimum: 0, maximum: 9007199254740992, multipleOf: 5}
      - {name: flag, logicalType: boolean, required: true, classification: internal, description: Three-valued.}
      - name: at
        logicalType: timestamp
        required: true
        classification: internal
        description: At, just before and just after the limits.
        logicalTypeOptions: {minimum: "2026-01-01T00:00:00-03:00", exclusiveMaximum: "2026-02-01T00:00:00Z"}
      - name: day
        logicalType: date
        classification: internal
        description: At the limits.
        logicalTypeOptions: {minimum: "2026-01-01", maximum: "2026-01-31"}
      - {name: wrong, logicalType: string, classification: internal, description: A number where a text should be.}
      - {name: void, logicalType: string, required: true, classification: internal, description: Null throughout.}
    quality:
      - {name: pair, metric: duplicateValues, arguments: {properties: [text, amount]}, mustBe: 0}
      - {name: rows, metric: rowCount, mustBe: 9}
"""
LISTS = r"""
      - name: items
        logicalType: array
        classification: internal
        description: Null, empty, with a double.
        items: {logicalType: integer}
        logicalTypeOptions: {minItems: 1, maxItems: 2, uniqueItems: true}
"""
WITH_LISTS = CONTRACT.replace(
    "    quality:\n      - {name: pair", LISTS.lstrip("\n") + "    quality:\n      - {name: pair"
)


def _at(*parts: int) -> datetime.datetime:
    return datetime.datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type]  # always whole numbers of a moment


def table(*, lists: bool = True, nan: bool = True) -> pl.DataFrame:
    """Nine rows; without lists or without NaN for what has no such thing."""
    no = NAN if nan else None
    columns = {
        "id": [1, 2, 2, None, 5, 6, 7, 8, 9],
        "text": ["ab", "ab\n", "", "n/a", None, "é", "e\u0301", "😀a", "ab"],
        "amount": [1.0, no, INF, -INF, None, -0.0, 10.0, 9.75, 1.0],
        "least": [5, -(2**63), 2**63 - 1, 0, None, 10, 2**63 - 3, 1, -5],
        "flag": [True, False, None, True, False, None, True, True, True],
        "at": [_at(2026, 1, 1, 3), _at(2026, 1, 1, 2, 59, 59, 999999), _at(2026, 2, 1), _at(2026, 1, 31, 23, 59, 59, 999999),
               None, _at(1900, 1, 1), _at(2200, 1, 1), _at(2026, 1, 2), _at(2026, 1, 3)],
        "day": [datetime.date(2026, 1, 1), datetime.date(2025, 12, 31), datetime.date(2026, 2, 1), None,
                *[datetime.date(2026, 1, 31)] * 5],
        "wrong": [1, 2, None, 4, 5, 6, 7, 8, 9],
        "void": [None] * 9,
    }  # fmt: skip
    types = {"id": pl.Int64, "least": pl.Int64, "at": pl.Datetime("us", "UTC"), "void": pl.String}
    frame = pl.DataFrame(columns, schema_overrides=types)
    if lists:
        frame = frame.with_columns(items=pl.Series([[1], [1, 1], [], None, [1, 2, 3], [1, 2], [2], [3], [4]]))
    return frame


COUNTS = {
    "columns": 0,
    "id.logicalType": 0,
    "id.required": 1,
    "id.unique": 2,
    "text.logicalType": 0,
    "text.required": 1,
    "text.unique": 2,
    "text.pattern": 5,
    "text.minLength": 1,
    "text.maxLength": 0,
    "text.missing": 3,
    "text.empty": 1,
    "text.known": 4,
    "text.digits": 8,
    "amount.logicalType": 0,
    "amount.finite": 3,
    "amount.minimum": 1,
    "amount.exclusiveMaximum": 3,
    "amount.multipleOf": 4,
    "least.logicalType": 0,
    "least.exclusiveMinimum": 3,
    "least.maximum": 2,
    "least.multipleOf": 3,
    "flag.logicalType": 0,
    "flag.required": 2,
    "at.logicalType": 0,
    "at.required": 1,
    "at.minimum": 2,
    "at.exclusiveMaximum": 2,
    "day.logicalType": 0,
    "day.minimum": 1,
    "day.maximum": 1,
    "wrong.logicalType": 8,
    "void.logicalType": 0,
    "void.required": 9,
    "items.logicalType": 0,
    "items.minItems": 1,
    "items.maxItems": 1,
    "items.uniqueItems": 1,
    "pair": 2,
    "rows": 9,
}
"""What each rule counts, by hand."""
