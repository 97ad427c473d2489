"""A gate in a few words, as every table tells it: what was measured, the limit, and how that was on the target."""

from __future__ import annotations

import math

from pytest_pixgates.core.record import Record
from pytest_pixgates.core.verdict import Figure
from pytest_pixgates.history.entry import Entry, Point
from pytest_pixgates.history.target import Target
from pytest_pixgates.report import picture
from pytest_pixgates.report.text import counted

_SIGNS = {">=": "≥", "<=": "≤"}


def number(value: float, unit: str = "") -> str:
    """A number as a table for people has it: short, and a time in a unit that fits it."""
    if unit == "s" and 0 < abs(value) < 1:
        value, unit = value * 1000, "ms"
    space = " " if unit and unit != "%" else ""
    return f"{value:.4g}{space}{unit.strip()}"


def measured(record: Record) -> str:
    """What was measured, at the check that decided."""
    row = _row(record)
    if row is not None:
        figure = row.figures[0]
        exact = figure.lower == figure.value == figure.upper
        ends = ", ".join(number(end, figure.unit) if math.isfinite(end) else "no bound" for end in figure.interval)
        return f"{number(figure.value, figure.unit)}{'' if exact else f' [{ends}]'}, n = {figure.n:,}"
    worst = max(record.checks, key=lambda each: each.verdict.outcome.rank, default=None)
    if worst is None or worst.scan is None:
        return worst.verdict.measured if worst is not None else "nothing"
    kinds = ", ".join(
        f"{count:,} {kind.removesuffix('s') if count == 1 else kind}" for kind, count in worst.scan.scanned.items()
    )
    blocking = sum(len(scan.blocking) for scan in record.scans)
    return f"{counted(blocking, 'finding')} in {kinds or 'nothing'}" if blocking else kinds or "nothing"


def limit(record: Record) -> str:
    """What it is held against."""
    row = _row(record)
    if row is not None:
        return " and ".join(map(limit_of, row.figures))
    return "no finding" if record.scans else ""


def limit_of(figure: Figure) -> str:
    """Such as "≥ 0.75"."""
    return f"{_SIGNS.get(figure.operator, figure.operator)} {number(figure.limit, figure.unit)}"


def against(record: Record, target: Target | None) -> str:
    """How it was in the last run of the target: "" if none is known."""
    if target is None or target.entry is None:
        return ""
    then = target.entry.gates.get(record.gate)
    if then is None:
        return "new"
    row = _row(record)
    told = _change(record.gate, row.figures[0], target.entry) if row is not None else ""
    return ", ".join(filter(None, (told, f"was {then.value}" if then is not record.outcome else ""))) or "same"


def _row(record: Record) -> picture.Row | None:
    """The number nearest to its limit, or furthest beyond it."""
    found = [row for row in picture.rows(record) if row.figures and row.value]
    return found[0] if found else None


def _change(gate: str, now: Figure, entry: Entry) -> str:
    key = Point(gate, now).key
    then = next((point.figure for point in entry.points if point.key == key), None)
    if then is None:
        return "not measured then"
    difference = now.value - then.value
    if not difference:
        return "same"
    better = (difference > 0) == (now.operator in (">=", ">"))
    change = number(float(f"{abs(difference):.2g}"), now.unit)
    return f"{number(then.value, then.unit)} ({change} {'better' if better else 'worse'})"
