"""ODCS' logical types, and which types of a table hold them."""

from __future__ import annotations

from typing import Any

import narwhals as nw

_INTEGERS = {
    "i8": (nw.Int8,),
    "i16": (nw.Int8, nw.Int16, nw.UInt8),
    "i32": (nw.Int8, nw.Int16, nw.Int32, nw.UInt8, nw.UInt16),
    "i64": (nw.Int8, nw.Int16, nw.Int32, nw.Int64, nw.UInt8, nw.UInt16, nw.UInt32),
    "u8": (nw.UInt8,),
    "u16": (nw.UInt8, nw.UInt16),
    "u32": (nw.UInt8, nw.UInt16, nw.UInt32),
    "u64": (nw.UInt8, nw.UInt16, nw.UInt32, nw.UInt64),
}


def fits(dtype: Any, logical_type: str, width: str | None = None, timezone: bool | None = None) -> bool:  # noqa: FBT001
    """Whether every value of `dtype` is of the logical type.

    `width` is an integer's format, such as i32; `timezone` says whether timestamps have one.
    """
    if isinstance(dtype, nw.Unknown):
        return False
    if logical_type == "integer":
        return dtype.is_integer() and (width not in _INTEGERS or isinstance(dtype, _INTEGERS[width]))
    if logical_type == "number":
        return bool(dtype.is_numeric()) and (width != "f32" or isinstance(dtype, nw.Float32))
    if logical_type == "timestamp":
        return isinstance(dtype, nw.Datetime) and (timezone is None or (dtype.time_zone is not None) == timezone)
    kinds: dict[str, tuple[Any, ...]] = {
        "string": (nw.String, nw.Categorical, nw.Enum),
        "boolean": (nw.Boolean,),
        "date": (nw.Date,),
        "time": (nw.Time,),
        "array": (nw.List, nw.Array),
        "object": (nw.Struct,),
    }
    return isinstance(dtype, kinds[logical_type])
