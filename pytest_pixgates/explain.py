"""Failure texts for plain `assert`: a comparison with a measurement is explained by its verdict."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from pytest_pixgates.core import recording
from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.verdict import Verdict

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}


def comparison(op: str, left: object, right: object) -> list[str] | None:
    """The verdict of `left op right` as lines, or None if neither is a measurement."""
    if op not in _OPERATORS or not (isinstance(left, Measurement) or isinstance(right, Measurement)):
        return None
    sink = recording.use(None)  # judged again for its text only
    try:
        verdict = _OPERATORS[op](left, right)
    finally:
        recording.use(sink)
    return verdict.lines() if isinstance(verdict, Verdict) else None
