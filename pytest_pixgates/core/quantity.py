"""Numbers with units as people write them in a policy: "50ms", "0.1%", "24h"."""

from __future__ import annotations

import math
import re

Number = int | float | str
"""As a policy writes it: bare, or with a unit."""

# Each unit's dimension and its size in the dimension's base unit (seconds, shares, bytes).
_UNITS: dict[str, tuple[str, float]] = {
    "": ("", 1.0),
    "%": ("share", 0.01),
    "us": ("time", 1e-6),
    "ms": ("time", 1e-3),
    "s": ("time", 1.0),
    "m": ("time", 60.0),
    "h": ("time", 3600.0),
    "d": ("time", 86400.0),
    "KiB": ("bytes", 2.0**10),
    "MiB": ("bytes", 2.0**20),
    "GiB": ("bytes", 2.0**30),
}
_NUMBER = re.compile(r"\s*([-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z%]*)\s*")


def parse(text: Number, *, unit: str = "") -> float:
    """`text` as a number of `unit`: parse("50ms", unit="s") is 0.05, parse("0.1%") is 0.001.

    A bare number is taken to be in `unit` already. Raises ValueError for what is no number, is not finite, or has
    a unit of another dimension.
    """
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is not a number")
    if isinstance(text, int | float):
        return _finite(text, text)
    match = _NUMBER.fullmatch(text)
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{text!r} is not a number with one of the units {', '.join(filter(None, _UNITS))}")
    number, written = float(match[1]), match[2]
    if not written:
        return _finite(number, text)
    dimension, size = _UNITS[written]
    own_dimension, own_size = _UNITS.get(unit, (unit, 1.0))
    if own_dimension != dimension and not (dimension == "share" and unit == ""):
        raise ValueError(f"{text!r} is not a number of {unit or 'no unit'}")
    # The exact decimal of what was written: 0.1 % must be 0.001, not 0.1 * 0.01 = 0.0010000000000000002.
    return _finite(number / (own_size / size) if own_size > size else number * (size / own_size), text)


def dimension(text: Number) -> str:
    """What kind of number `text` is: "time", "bytes", or "" for a bare number or a share. Raises ValueError."""
    match = _NUMBER.fullmatch(text) if isinstance(text, str) else None
    kind = _UNITS[match[2]][0] if match and match[2] in _UNITS else ""
    return "" if kind == "share" else kind


def seconds(text: Number) -> float:
    """A duration in seconds: seconds("24h") is 86400.0. Raises ValueError unless it is positive."""
    value = parse(text, unit="s")
    if value <= 0:
        raise ValueError(f"{text!r} is not a positive duration")
    return value


def shown(number: float, unit: str = "") -> str:
    """A measured number as every report writes it."""
    return f"{number:.6g}{unit}"


def _finite(number: float, text: object) -> float:
    try:
        finite = math.isfinite(number)
    except OverflowError:  # a whole number that no float can hold
        finite = False
    if not finite:
        raise ValueError(f"{text!r} is not a finite number")
    return float(number)
