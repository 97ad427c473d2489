"""What people write as a number means exactly that number, and nothing else is taken for one."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pixgates.core import quantity

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
whole = st.integers(0, 10**6)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("50ms", "s", 0.05),
        ("50 ms", "ms", 50.0),
        ("0.1%", "", 0.001),
        ("5%", "share", 0.05),
        ("5%", "%", 5.0),
        ("24h", "s", 86400.0),
        ("30m", "h", 0.5),
        ("-1e-3", "", -0.001),
        (" 2MiB ", "bytes", 2.0**21),
        ("1GiB", "MiB", 1024.0),
        ("7", "ms", 7.0),
        (7, "ms", 7.0),
        (0.25, "", 0.25),
    ],
)
def test_a_number_is_what_it_says(text: str | float, unit: str, value: float) -> None:
    assert quantity.parse(text, unit=unit) == value


@given(whole)
def test_shares_and_milliseconds_are_the_nearest_floats(number: int) -> None:
    assert quantity.parse(f"{number}%") == number / 100
    assert quantity.parse(f"{number}ms", unit="s") == number / 1000
    assert quantity.parse(f"{number}us", unit="s") == number / 10**6


@given(whole, st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)))
def test_units_of_time_convert(number: int, written: str, unit: str) -> None:
    assert quantity.parse(f"{number}{written}", unit=unit) == pytest.approx(number * UNITS[written] / UNITS[unit])


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_written_float_is_read_back(number: float) -> None:
    assert quantity.parse(number) == number
    assert quantity.parse(repr(number)) == number


@given(st.text() | st.floats() | st.integers() | st.booleans(), st.sampled_from(["", "s", "%", "bytes"]))
def test_whatever_is_given_the_result_is_finite_or_a_value_error(text: str | float, unit: str) -> None:
    with contextlib.suppress(ValueError):
        assert math.isfinite(quantity.parse(text, unit=unit))


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("", ""),
        ("ms", "s"),
        ("fast", "s"),
        ("50 parsecs", "s"),
        ("50MS", "s"),
        ("1,5", ""),
        ("1_000", ""),
        ("0x10", ""),
        ("nan", ""),
        ("inf", ""),
        ("٣", ""),
        ("1e400", ""),
        ("1e308d", "s"),
        ("50ms", ""),
        ("50ms", "bytes"),
        ("0.1%", "s"),
        ("1s", "share"),
        (math.nan, ""),
        (math.inf, ""),
        (10**400, ""),
        (True, ""),
    ],
)
def test_what_is_no_number_of_the_unit_is_refused(text: str | float, unit: str) -> None:
    with pytest.raises(ValueError):
        quantity.parse(text, unit=unit)


def test_a_duration_is_positive() -> None:
    assert quantity.seconds("90m") == 5400.0
    assert quantity.seconds("1e-3s") == 0.001
    for text in ("0s", "-5m", "10%"):
        with pytest.raises(ValueError):
            quantity.seconds(text)
