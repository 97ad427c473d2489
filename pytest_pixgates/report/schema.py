"""The JSON Schema of records.json, generated from the dataclasses that write it, so that the two can't differ.

`python -m pytest_pixgates.report.schema` writes it anew.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_pixgates.core.record import SCHEMA, Run

FILE = Path(__file__).with_name("records.schema.json")
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}


def generate() -> dict[str, Any]:
    """The schema. A file that `core.record` wrote always holds every key, so every key is required."""
    definitions: dict[str, Any] = {}
    root = _schema(Run, definitions)
    definitions["Run"]["properties"]["schema"] = {"const": SCHEMA}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pytest-pixgates records",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def dumps() -> str:
    return json.dumps(generate(), indent=1) + "\n"


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(each, definitions) for each in arguments]}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    if dataclasses.is_dataclass(kind):
        return _dataclass(typing.cast(type, kind), definitions)
    if kind is type(None):
        return {"type": "null"}
    if issubclass(kind, enum.Enum):
        return {"enum": [member.value for member in kind]}
    return {"type": _SCALARS[kind]}


def _dataclass(kind: type, definitions: dict[str, Any]) -> dict[str, Any]:
    name = kind.__name__
    if name not in definitions:
        definitions[name] = {}  # known before its fields are looked at, should one refer back to it
        hints = typing.get_type_hints(kind)
        fields = [field.name for field in dataclasses.fields(kind)]
        definitions[name] = {
            "type": "object",
            "additionalProperties": False,
            "required": fields,
            "properties": {field: _schema(hints[field], definitions) for field in fields},
        }
    return {"$ref": f"#/$defs/{name}"}


if __name__ == "__main__":
    FILE.write_text(dumps(), encoding="utf-8")
