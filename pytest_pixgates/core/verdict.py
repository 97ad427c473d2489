"""What a gate may say. Only PASS is green, and nothing measured is never PASS."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_pixgates.core import recording
from pytest_pixgates.core.subject import Subject

if TYPE_CHECKING:
    from pytest_pixgates.core.scan import Scan


class Outcome(enum.Enum):
    """PASS < INCONCLUSIVE < ERROR < FAIL; truthy only for PASS."""

    PASS = "PASS"  # noqa: S105 - not a password
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"
    FAIL = "FAIL"

    @property
    def rank(self) -> int:
        return _RANK[self]

    def __bool__(self) -> bool:
        return self is Outcome.PASS

    @staticmethod
    def worst(outcomes: Iterable[Outcome]) -> Outcome:
        """The worst of `outcomes`; ERROR if there are none, for then nothing was measured."""
        return max(outcomes, key=lambda outcome: outcome.rank, default=Outcome.ERROR)


_RANK = {outcome: rank for rank, outcome in enumerate(Outcome)}


@dataclass(frozen=True, slots=True)
class Figure:
    """What a check compared: a measured `value` between its bounds (None: unbounded), against `limit`.

    `operator` is that of the comparison (">=", ">", "<=", "<"), `n` how many were counted.
    """

    name: str
    value: float
    lower: float | None
    upper: float | None
    operator: str
    limit: float
    n: int
    unit: str = ""

    @property
    def interval(self) -> tuple[float, float]:
        """The bounds, infinite where there is none."""
        lower = self.lower if self.lower is not None and math.isfinite(self.lower) else -math.inf
        upper = self.upper if self.upper is not None and math.isfinite(self.upper) else math.inf
        return lower, upper

    @property
    def end(self) -> float:
        """The end of the interval that is the nearer to the wrong side of the limit."""
        lower, upper = self.interval
        return lower if self.operator in (">=", ">") else upper

    @property
    def room(self) -> float:
        """How far that end is on the right side of the limit; below 0 on the wrong one."""
        return self.end - self.limit if self.operator in (">=", ">") else self.limit - self.end

    @property
    def outcome(self) -> Outcome:
        """What the interval by itself says of the limit; ERROR for what is no number, or no comparison."""
        if not (math.isfinite(self.value) and math.isfinite(self.limit)):
            return Outcome.ERROR
        lower, upper = self.interval
        holds = {  # (certainly holds, may hold)
            ">=": (lower >= self.limit, upper >= self.limit),
            ">": (lower > self.limit, upper > self.limit),
            "<=": (upper <= self.limit, lower <= self.limit),
            "<": (upper < self.limit, lower < self.limit),
        }
        if self.operator not in holds:
            return Outcome.ERROR
        certainly, maybe = holds[self.operator]
        return Outcome.PASS if certainly else Outcome.INCONCLUSIVE if maybe else Outcome.FAIL


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check. Truthy only for PASS; asking for its truth records it on the running gate.

    `check` is what was asked ("recall >= 0.8"), `measured` what was found and on how much, `reason` why it is not
    PASS, `needs` what would change it, `subjects` what was judged. `cached` if it was kept from an earlier run, on the
    same subjects. `figures` are the numbers behind it, for a picture.
    """

    outcome: Outcome
    check: str
    measured: str = ""
    reason: str = ""
    needs: str = ""
    subjects: tuple[Subject, ...] = ()
    cached: bool = False
    figures: tuple[Figure, ...] = ()

    def __bool__(self) -> bool:
        recording.note(self)
        return bool(self.outcome)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The failure text: one line for each thing that a reader needs, the outcome first."""
        measured = self.measured + " (cached)" * self.cached
        labelled = (("measured", measured), ("because", self.reason), ("needs", self.needs))
        head = f"{self.outcome.value}: {self.check}"
        return [head, *(f"  {label}: {text}" for label, text in labelled if text)]


def any_of(*checks: Verdict | Scan) -> Verdict:
    """One check that passes if any of `checks` does.

    `a or b` records both sides, so it goes red when either is; this replaces them by their disjunction.
    Raises ValueError without verdicts, for an empty choice measures nothing.
    """
    if not checks:
        raise ValueError("any_of() needs at least one verdict")
    verdicts = [check if isinstance(check, Verdict) else check.verdict for check in checks]
    best = min(verdicts, key=lambda verdict: verdict.outcome.rank)
    combined = Verdict(
        best.outcome,
        check="any of: " + "; ".join(verdict.check for verdict in verdicts),
        measured="; ".join(verdict.measured for verdict in verdicts if verdict.measured),
        reason="" if best.outcome else "; ".join(verdict.reason for verdict in verdicts if verdict.reason),
        needs=best.needs,
        subjects=tuple(dict.fromkeys(subject for check in checks for subject in check.subjects)),
        figures=tuple(figure for verdict in verdicts for figure in verdict.figures),
    )
    recording.replace(checks, combined)
    return combined
