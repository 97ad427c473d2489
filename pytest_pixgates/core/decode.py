"""Plain data (from TOML or JSON) into frozen dataclasses and back, refusing what does not fit.

One reader for the policy, what is reviewed beside it, and the records: the dataclass is the schema, so an unknown
key, a wrong type or a missing value is an error that names the key and the nearest valid one.
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import enum
import functools
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class DecodeError(ValueError):
    """The data does not fit; `key` is the dotted path of what is wrong."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key or 'document'}: {problem}")
        self.key = key
        self.problem = problem


def decode(kind: type[T], data: object, key: str = "") -> T:
    """`data` as an instance of `kind`. Raises DecodeError."""
    return typing.cast(T, _decode(kind, data, key))


def encode(value: object) -> Any:
    """The JSON form of `value`: the inverse of `decode` for the types that it knows."""
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): encode(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value


def strict_json(text: str | bytes) -> Any:
    """The data in JSON `text`. Raises ValueError, also for a key that stands twice and for a number that is none."""
    return json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse_constant)


def _unique(pairs: typing.Iterable[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} stands twice")
        result[key] = value
    return result


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large for a number")
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def unknown_key(key: str, valid: typing.Iterable[str], where: str = "") -> DecodeError:
    """The error for `key`, naming the nearest of `valid`."""
    return DecodeError(f"{where}.{key}" if where else key, f"unknown key; {hint(key, valid)}")


def hint(name: str, valid: typing.Iterable[str]) -> str:
    """What to write instead of `name`: the nearest of `valid`, or all of them."""
    names = sorted(valid)
    nearest = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else f"valid: {', '.join(names) or 'none'}"


def _decode(kind: Any, data: object, key: str) -> object:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(arguments, data, key)
    if origin is typing.Literal:
        return _one_of(arguments, data, key)
    if origin in (tuple, list):
        items = _expect(list, data, key)
        return origin(_decode(arguments[0], item, f"{key}[{index}]") for index, item in enumerate(items))
    if origin is not None and issubclass(origin, Mapping):
        table = _expect(dict, data, key)
        return {name: _decode(arguments[1], item, f"{key}.{name}" if key else name) for name, item in table.items()}
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, data, key)
    return _decode_scalar(kind, data, key)


def _decode_scalar(kind: Any, data: object, key: str) -> object:
    if kind in (Any, object):
        return data
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(_one_of([member.value for member in kind], data, key))
    if kind is datetime.date and isinstance(data, str):
        try:
            return datetime.date.fromisoformat(data)
        except ValueError as error:
            raise DecodeError(key, str(error)) from None
    if kind is float and type(data) is int:
        try:
            return float(data)
        except OverflowError:
            raise DecodeError(key, "is too large for a number") from None
    if kind is float and type(data) is float and not math.isfinite(data):
        raise DecodeError(key, f"{data} is not a finite number")
    return _expect(kind, data, key)


def _decode_union(kinds: tuple[Any, ...], data: object, key: str) -> object:
    if data is None and type(None) in kinds:
        return None
    if type(data) in kinds:
        return _decode(type(data), data, key)
    errors = []
    others = [kind for kind in kinds if kind is not type(None)]
    for kind in others:
        try:
            return _decode(kind, data, key)
        except DecodeError as error:
            errors.append(error)
    # The alternative that got furthest into the data is the one that was meant.
    furthest = max(errors, key=lambda error: len(error.key))
    if furthest.key == key and all(error.problem.startswith("expected ") for error in errors):
        raise DecodeError(key, f"expected {' or '.join(map(_name, others))}, got {_name(type(data))}")
    raise furthest


def _decode_dataclass(kind: Any, data: object, key: str) -> object:
    table = _expect(dict, data, key)
    hints = _hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for name in table:
        if name not in fields:
            raise unknown_key(str(name), fields, key)
    values = {}
    for name, field in fields.items():
        if name in table:
            values[name] = _decode(hints[name], table[name], f"{key}.{name}" if key else name)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise DecodeError(f"{key}.{name}" if key else name, "is required")
    try:
        return kind(**values)
    except DecodeError:
        raise
    except ValueError as error:  # the dataclass' own __post_init__ found an impossible value
        raise DecodeError(key, str(error)) from None


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _expect(kind: type[T], data: object, key: str) -> T:
    if type(data) is not kind:
        raise DecodeError(key, f"expected {_name(kind)}, got {_name(type(data))}")
    return data


def _one_of(choices: typing.Iterable[object], data: object, key: str) -> object:
    valid = list(choices)
    if data not in valid:
        raise DecodeError(key, f"{data!r} is not one of {', '.join(map(repr, valid))}")
    return data


def _name(kind: Any) -> str:
    kind = dict if dataclasses.is_dataclass(kind) else typing.get_origin(kind) or kind
    names: dict[Any, str] = {dict: "a table", Mapping: "a table", list: "a list", tuple: "a list", str: "a string"}
    names |= {int: "a whole number", float: "a number"}
    return names.get(kind, f"a {kind.__name__}")
