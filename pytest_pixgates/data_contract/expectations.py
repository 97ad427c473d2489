"""What contracts ask and Great Expectations has no expectation for: names and arguments.

How rows are counted is for `engine` to say, and for `databases`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from great_expectations.expectations.expectation import ColumnMapExpectation


class ExpectColumnValuesToBeOfLogicalType(ColumnMapExpectation):
    """Every value is of ODCS' `logical_type` (and of `format`, such as i32)."""

    logical_type: str
    format: str | None = None
    timezone: bool | None = None

    map_metric: ClassVar[str] = "column_values.of_logical_type"
    success_keys: ClassVar[tuple[str, ...]] = ("logical_type", "format", "timezone", "mostly")


class ExpectColumnValuesToBeFinite(ColumnMapExpectation):
    """No value is NaN or infinite."""

    map_metric: ClassVar[str] = "column_values.finite"
    success_keys: ClassVar[tuple[str, ...]] = ("mostly",)


class ExpectColumnValuesToBeMultipleOf(ColumnMapExpectation):
    """Every value is a whole number of times `factor`, to within a billionth of it."""

    factor: float

    map_metric: ClassVar[str] = "column_values.multiple_of"
    success_keys: ClassVar[tuple[str, ...]] = ("factor", "mostly")


class ExpectColumnValuesToNotBeMissing(ColumnMapExpectation):
    """No value is one of `missing_values`, among which None stands for null."""

    missing_values: list[Any]

    map_metric: ClassVar[str] = "column_values.not_missing"
    success_keys: ClassVar[tuple[str, ...]] = ("missing_values", "mostly")


class ExpectColumnValueItemsToBeBetween(ColumnMapExpectation):
    """Every list has from `min_value` to `max_value` items."""

    min_value: int | None = None
    max_value: int | None = None

    map_metric: ClassVar[str] = "column_values.items.between"
    success_keys: ClassVar[tuple[str, ...]] = ("min_value", "max_value", "mostly")


class ExpectColumnValueItemsToBeUnique(ColumnMapExpectation):
    """No list holds an item twice."""

    map_metric: ClassVar[str] = "column_values.items.unique"
    success_keys: ClassVar[tuple[str, ...]] = ("mostly",)


COLUMN = ("batch_id", "table", "column", "row_condition", "condition_parser")
VALUES = {
    "column_values.of_logical_type": ("logical_type", "format", "timezone"),
    "column_values.finite": (),
    "column_values.multiple_of": ("factor",),
    "column_values.not_missing": ("missing_values",),
    "column_values.items.between": ("min_value", "max_value"),
    "column_values.items.unique": (),
}
"""The arguments of each metric above."""
