"""What is remembered of a run: what each gate came to, and every number that it compared with a limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.record import Record, Run
from pytest_pixgates.core.verdict import Figure, Outcome


class HistoryError(PixgatesError):
    """The history can't be read or written; no verdict hangs on it."""


@dataclass(frozen=True, slots=True)
class Point:
    """A number that `gate` compared with a limit."""

    gate: str
    figure: Figure

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What is the same measurement from run to run, against a limit on the same side."""
        return (self.gate, self.figure.name, self.figure.unit, self.figure.operator)


@dataclass(frozen=True, slots=True)
class Entry:
    """A closed, complete run. `branch` is "" for a pull request and where git knows none."""

    run: str
    started: float
    ended: float
    outcome: Outcome
    environment: str = ""
    branch: str = ""
    commit: str = ""
    gates: Mapping[str, Outcome] = field(default_factory=dict)
    points: tuple[Point, ...] = ()

    @classmethod
    def of(cls, run: Run, *, branch: str = "", commit: str = "") -> Entry:
        gates: dict[str, Outcome] = {}
        for record in run.records:
            gates[record.gate] = Outcome.worst([record.outcome, gates.get(record.gate, Outcome.PASS)])
        points = tuple(point for record in run.records for point in _points(record))
        return cls(run.id, run.started, run.ended, run.outcome, run.environment, branch, commit, gates, points)


def complete(run: Run) -> bool:
    """Whether `run` may be remembered: it ended, all of it ran, and each gate left a record."""
    return run.status == "closed" and not run.partial and not run.missing and bool(run.records)


def figures(record: Record) -> list[Figure]:
    """Every number that `record` compared with a limit, and that is one."""
    made = (figure for check in record.checks for figure in check.verdict.figures)
    return [each for each in made if each.outcome is not Outcome.ERROR]


def _points(record: Record) -> Iterator[Point]:
    return (Point(record.gate, figure) for figure in figures(record))
