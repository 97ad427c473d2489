"""A number with its uncertainty. Comparing it with a limit gives a Verdict, not a bool.

The rule is the project's promise: at the limit itself a gate says PASS at most `alpha` of the time, so a limit
is compared with the end of the interval that is on the wrong side of it, never with the point estimate.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from pytest_pixgates.core import quantity, recording
from pytest_pixgates.core.quantity import Number
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Figure, Outcome, Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """`value` measured on `n` observations, with one-sided bounds `lower` and `upper`, each at 1 - alpha.

    `sample` stands for the rows it was measured on; two measurements compare only if theirs are equal, through
    `difference`, which gives the paired interval of "this minus that". `needs` says, for a limit that the data does
    not decide, how much more data would. `subjects` are the files that it is about, without which a gate can't pass:
    `pixgates verdict` hashes them again. `counted` says what `n` counts ("positives"). An exact count or size has
    `lower == value == upper`.
    """

    name: str
    value: float
    lower: float
    upper: float
    n: int
    unit: str = ""
    sample: object = ""
    subjects: tuple[Subject, ...] = ()
    needs: Callable[[float], str] | None = dataclasses.field(default=None, repr=False)
    difference: Callable[[Measurement, Measurement], Measurement] | None = dataclasses.field(default=None, repr=False)
    minus: tuple[Measurement, float] | None = dataclasses.field(default=None, repr=False)
    counted: str = ""

    __array_ufunc__ = None  # keeps NumPy from comparing elementwise, which would hide the verdict

    @classmethod
    def exact(
        cls, name: str, value: float, *, n: int = 1, unit: str = "", subjects: tuple[Subject, ...] = ()
    ) -> Measurement:
        """A measurement without uncertainty, such as a count or a size."""
        return cls(name, value, value, value, n, unit, subjects=subjects)

    def __ge__(self, limit: Number | Measurement) -> Verdict:
        return self._judge(">=", limit)

    def __gt__(self, limit: Number | Measurement) -> Verdict:
        return self._judge(">", limit)

    def __le__(self, limit: Number | Measurement) -> Verdict:
        return self._judge("<=", limit)

    def __lt__(self, limit: Number | Measurement) -> Verdict:
        return self._judge("<", limit)

    def __sub__(self, margin: float) -> Measurement:
        """This less a margin, as the right side of a comparison: `new >= old - 0.01`."""
        if not isinstance(margin, int | float) or isinstance(margin, bool):
            return NotImplemented
        base, before = self.minus or (self, 0.0)
        return dataclasses.replace(
            self,
            name=f"{base.name} {'+' if before + margin < 0 else '-'} {abs(before + margin):g}",
            value=self.value - margin,
            lower=self.lower - margin,
            upper=self.upper - margin,
            minus=(base, before + margin),
        )

    def __add__(self, margin: float) -> Measurement:
        if not isinstance(margin, int | float) or isinstance(margin, bool):
            return NotImplemented
        return self - (-margin)

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError(f"a measurement has an interval: compare {self.name} with >= or <=, or use .value")

    __ne__ = __eq__
    __hash__ = object.__hash__

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self.name} is a measurement: compare it with a limit, such as {self.name} >= 0.8")

    def __float__(self) -> NoReturn:
        raise TypeError(f"float() would drop the interval of {self.name}: use .value")

    @property
    def is_exact(self) -> bool:
        return self.lower == self.value == self.upper

    def __str__(self) -> str:
        number = quantity.shown(self.value, self.unit)
        if self.is_exact:
            return f"{self.name} {number}, {self._counted}"
        bounds = f"[{quantity.shown(self.lower)}, {quantity.shown(self.upper)}]"
        return f"{self.name} {number} {bounds}, {self._counted}"

    @property
    def _counted(self) -> str:
        return f"n = {self.n}" + (f" {self.counted}" if self.counted else "")

    def _judge(self, operator: str, limit: Number | Measurement) -> Verdict:
        if isinstance(limit, Measurement):
            verdict = _against_measurement(self, operator, limit)
            subjects = tuple(dict.fromkeys((*self.subjects, *limit.subjects)))
        else:
            verdict, subjects = _against_limit(self, operator, limit), self.subjects
        verdict = dataclasses.replace(verdict, subjects=subjects)
        recording.note(verdict)
        return verdict


def _against_limit(measured: Measurement, operator: str, limit: Number) -> Verdict:
    check = f"{measured.name} {operator} {limit}"
    try:
        bound = quantity.parse(limit, unit=measured.unit)
    except (ValueError, TypeError) as error:
        return Verdict(Outcome.ERROR, check, str(measured), reason=f"the limit can't be read: {error}")
    broken = _not_usable(measured)
    if broken:
        return Verdict(Outcome.ERROR, check, str(measured), reason=broken)
    figures = (_figure(measured, operator, bound),)
    outcome = figures[0].outcome
    if outcome is Outcome.PASS:
        return Verdict(outcome, check, str(measured), figures=figures)
    if outcome is Outcome.FAIL:
        beyond = "" if measured.is_exact else "the whole interval is beyond the limit; "
        reason = f"{beyond}off by {abs(measured.value - bound):.4g}{measured.unit}"
        return Verdict(outcome, check, str(measured), reason, figures=figures)
    needs = measured.needs(bound) if measured.needs else "more data, for a narrower interval"
    reason = "the interval holds the limit, so the data does not decide"
    return Verdict(outcome, check, str(measured), reason, needs, figures=figures)


def _figure(measured: Measurement, operator: str, limit: float) -> Figure:
    lower, upper = (bound if math.isfinite(bound) else None for bound in (measured.lower, measured.upper))
    return Figure(measured.name, measured.value, lower, upper, operator, limit, measured.n, measured.unit)


def _not_usable(measured: Measurement) -> str:
    """Why `measured` is no evidence at all, or ""."""
    numbers = (measured.value, measured.lower, measured.upper)
    if any(math.isnan(number) for number in numbers) or math.isinf(measured.value):
        return "it is not a number (NaN or infinite), so nothing was measured"
    if not measured.n >= 1:
        return "there were no observations"
    if not measured.lower <= measured.value <= measured.upper:
        return "its interval does not hold its value"
    return ""


def _against_measurement(left: Measurement, operator: str, right: Measurement) -> Verdict:
    """Judge own - base >= given - margin on the paired interval, where left is own - given and right base - margin."""
    own, given = left.minus or (left, 0.0)
    base, margin = right.minus or (right, 0.0)
    check, measured = f"{left.name} {operator} {right.name}", f"{left}; {right}"
    difference = left.difference
    if not left.sample or left.sample != base.sample:
        reason = "they were not measured on the same rows, so they can't be compared"
        return Verdict(Outcome.ERROR, check, measured, reason=reason)
    if difference is None:
        return Verdict(Outcome.ERROR, check, measured, reason=f"{left.name} has no paired interval")
    paired = _against_limit(difference(own, base), operator, given - margin)
    return dataclasses.replace(paired, check=check, measured=f"{measured}; {paired.measured}")
