"""A first contract from data: what holds of these rows, for people to decide whether it should.

Every column's description is left empty, without which a contract is refused: what a machine guessed from a few rows
must not become a promise unread. Values stand in it only for columns by which nobody can be known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pytest_pixgates.data_contract.rules import Table
from pytest_pixgates.data_contract.tables import open_path

FORMS = {
    "EndToEndId": r"^E[0-9A-Z]{8}[0-9]{12}[A-Za-z0-9]{11}$",
    "CPF": r"^[0-9]{11}$",
    "CPF or CNPJ": r"^([0-9]{11}|[0-9A-Z]{12}[0-9]{2})$",
    "phone": r"^\+[1-9][0-9]{7,14}$",
    "e-mail": r"^[^@ \t\n\r]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$",
    "UUID": r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "ISPB": r"^[0-9A-Z]{8}$",
    "txid": r"^[A-Za-z0-9]{26,35}$",
    "hexadecimal": r"^[0-9a-f]{16,64}$",
}
KINDS = {
    "integer": r"^-?(0|[1-9][0-9]*)$",
    "number": r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$",
    "date": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
    "timestamp": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:?[0-9]{2})$",
    "boolean": r"^(true|false)$",
}
"""How values of other types are written in CSV, where all are texts."""
PERSONAL = ("CPF", "CPF or CNPJ", "phone", "e-mail")
_RESTRICTED = re.compile(
    r"cpf|cnpj|tax|mail|phone|fone|celular|pix_?key|payee_key$|chave|name$|nome|document|address", re.IGNORECASE
)
_CONFIDENTIAL = re.compile(r"(^|_)id$|account|amount|valor|balance|device|txid|limit|birth|age", re.IGNORECASE)
FEW = 12  # different values of a column that may be a list of choices
ENOUGH = 100  # rows, to take what holds of them for a rule


@dataclass(frozen=True)
class Seen:
    """What was seen of a column."""

    name: str
    dtype: Any
    rows: int
    nulls: int
    different: int
    low: Any
    high: Any
    form: str
    choices: tuple[str, ...]
    written: str = ""  # the type as which its texts are written

    @property
    def kind(self) -> str:
        """ODCS' logicalType."""
        dtype = self.dtype
        if self.written:
            return self.written
        if dtype.is_integer():
            return "integer"
        if dtype.is_numeric():
            return "number"
        kinds = {pl.Boolean: "boolean", pl.Date: "date", pl.Datetime: "timestamp", pl.Time: "time", pl.List: "array",
                 pl.Array: "array", pl.Struct: "object"}  # fmt: skip
        return kinds.get(dtype.base_type(), "string")

    @property
    def is_key(self) -> bool:
        return (
            self.rows >= ENOUGH
            and not self.nulls
            and self.different == self.rows
            and self.kind in ("string", "integer")
        )

    @property
    def classification(self) -> tuple[str, str]:
        """A guess, and why."""
        if self.form in PERSONAL or _RESTRICTED.search(self.name):
            return "restricted", f"looks like {self.form}" if self.form in PERSONAL else "by its name"
        if self.form in FORMS or _CONFIDENTIAL.search(self.name) or self.is_key:
            return "confidential", f"looks like {self.form}" if self.form else "by its name, or because it is a key"
        return "internal", "nothing speaks for more"


def suggest(pattern: str, root: Path, name: str) -> str:
    """The YAML of a contract for the data at `pattern`, a path as the policy takes it. Raises Unusable."""
    opened = open_path(pattern, Table(name, 1, (), ()), root)
    frame: pl.LazyFrame = opened.rows.frame.to_native()  # type: ignore[union-attr]  # files are read as frames
    columns = list(_seen(frame, texts=any(path.suffix == ".csv" for path in opened.files)))
    keys = [each.name for each in columns if each.is_key]
    return "\n".join([*_head(name, columns[0].rows if columns else 0), *(_lines(columns, keys[:1]))]) + "\n"


def _seen(frame: pl.LazyFrame, *, texts: bool) -> Iterator[Seen]:
    schema = frame.collect_schema()
    numbers: dict[str, pl.Expr] = {"rows": pl.len()}
    for index, (name, dtype) in enumerate(schema.items()):
        column = pl.col(name)
        numbers[f"{index} nulls"] = column.null_count()
        if not dtype.is_nested():
            numbers[f"{index} different"] = column.hash().n_unique() - column.is_null().any().cast(pl.UInt32)
        if dtype.is_numeric():
            numbers |= {f"{index} low": column.min(), f"{index} high": column.max()}
        if dtype == pl.String:
            numbers |= {f"{index} low": column.str.len_chars().min(), f"{index} high": column.str.len_chars().max()}
            forms = FORMS | (KINDS if texts else {})
            numbers |= {f"{index} {form}": column.str.contains(regex).all() for form, regex in forms.items()}
    row = frame.select(**numbers).collect(engine="streaming").row(0, named=True)
    for index, (name, dtype) in enumerate(schema.items()):
        nulls, different = int(row[f"{index} nulls"]), int(row.get(f"{index} different") or 0)
        written = next((kind for kind in KINDS if different and row.get(f"{index} {kind}")), "")
        form = next((form for form in FORMS if different and not written and row.get(f"{index} {form}")), "")
        listed = dtype == pl.String and not form and not written and 0 < different <= FEW and row["rows"] >= ENOUGH
        choices = frame.select(pl.col(name).drop_nulls().unique().sort()).collect()[name].to_list() if listed else ()
        low, high = (None, None) if written else (row.get(f"{index} low"), row.get(f"{index} high"))
        yield Seen(name, dtype, row["rows"], nulls, different, low, high, form, tuple(choices), written)


def _head(name: str, rows: int) -> list[str]:
    return [
        f"# Suggested from {rows:,} rows: review every line. It is refused until each column has a description.",
        "apiVersion: v3.1.0",
        "kind: DataContract",
        f"id: {name.replace('_', '-')}",
        f"name: {name}",
        "version: 0.1.0",
        "status: draft",
        "schema:",
        f"  - name: {name}",
        "    properties:",
    ]


def _lines(columns: list[Seen], key: list[str]) -> Iterator[str]:
    for column in columns:
        guess, why = column.classification
        yield f"      - name: {_text(column.name)}"
        yield f"        logicalType: {column.kind}"
        if column.name in key:
            yield "        primaryKey: true  # guessed: no value stands twice"
        elif not column.nulls:
            yield "        required: true  # guessed: no null was seen"
        if column.is_key and column.name not in key:
            yield "        unique: true  # guessed: no value stands twice"
        yield f"        classification: {guess}  # guessed: {why}"
        yield '        description: ""  # say what it means, and its unit'
        options = list(_options(column))
        yield from ["        logicalTypeOptions:", *(f"          {each}" for each in options)] if options else []
        if column.choices and guess == "internal":
            listed = ", ".join(_text(each) for each in column.choices)
            yield from ("        quality:", "          - metric: invalidValues", "            arguments:")
            yield f"              validValues: [{listed}]  # guessed: no other was seen"
            yield "            mustBe: 0"


def _options(column: Seen) -> Iterator[str]:
    if column.kind == "timestamp" and not column.written and column.dtype.time_zone is None:
        yield "timezone: false  # better: write moments with their zone"
    if column.form:
        yield f"pattern: {_text(FORMS[column.form])}  # guessed: {column.form}"
    elif column.kind == "string" and column.low is not None and not column.choices:
        yield f"minLength: {column.low}"
        yield f"maxLength: {column.high}"
    elif column.kind in ("integer", "number") and column.low is not None and column.low >= 0:
        yield "minimum: 0"


def _text(value: str) -> str:
    """A text in YAML, quoted so that nothing in it means more."""
    return (
        "'" + value.replace("'", "''") + "'"
        if not re.fullmatch(r"[A-Za-z_][A-Za-z_0-9]*", value) or value.lower() in _WORDS
        else value
    )


_WORDS: Mapping[str, None] = dict.fromkeys(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
