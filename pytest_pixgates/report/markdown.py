"""One screen for a pull request or a job's summary: the verdict first, then the gates, then what to fix.

Text from tools is escaped, for whoever can name a resource could otherwise write into the page; and bounded, for
a comment that is too long is refused as a whole.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from pytest_pixgates.core.record import Record, Run
from pytest_pixgates.core.scan import Finding, State
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.report.text import counted, cut, duration, plain
from pytest_pixgates.report.worklist import Item, excused, worklist

# GitHub takes 65,536 bytes in a comment; what the parts may use adds up to less than 60,000.
_TABLE_BYTES, _FIX_BYTES, _LIST_BYTES = 22_000, 10_000, 5_000
_ROWS, _LINES = 40, 10
_CELL = 160

T = TypeVar("T")


def render(run: Run) -> str:
    """`run` as Markdown, under 60 KB whatever it holds."""
    items = worklist(run)
    parts = [
        f"# pixgates: {_verdict(run)}",
        _about(run),
        *_section("PARTIAL, not evidence", run.partial, _bullet),
        *_gates(run),
        *_section("Fix first", items, _item, _FIX_BYTES),
        *_section("Expected, but left no record", run.missing, _bullet),
        *_section("Waived", excused(run, State.WAIVED), _excused),
        *_section("Known by the baseline", excused(run, State.KNOWN), _excused),
        *_section("Switched off by the policy", excused(run, State.OFF), _excused),
    ]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """`text` as literal Markdown: no markup, link, mention or HTML is left in it."""
    bare = html.escape(plain(text), quote=False)
    bare = re.sub(r"([\\`*_{}\[\]()#!|~$])", r"\\\1", bare)
    bare = bare.replace("://", r":\//").replace("www.", r"www\.")
    return re.sub(r"(@|\\#)", r"\1<!-- -->", bare)


def _verdict(run: Run) -> str:
    return "PARTIAL (not evidence)" if run.outcome and run.partial else run.outcome.value


def _about(run: Run) -> str:
    passed = sum(record.outcome is Outcome.PASS for record in run.records)
    facts = [f"{passed} of {counted(len(run.records) + len(run.missing), 'gate')} passed"]
    if run.status == "closed":
        facts.append(duration(run.ended - run.started))
    facts.append(f"families: {', '.join(run.families) or 'none'}")
    if run.environment:
        facts.append(f"environment: {run.environment}")
    facts.append(f"run {run.id}")
    return ", ".join(map(_cell, facts))


def _gates(run: Run) -> list[str]:
    records = sorted(run.records, key=lambda record: (-record.outcome.rank, record.gate))
    if not records:
        return []
    rows, left_out = _fitting(records, _row, _ROWS, _TABLE_BYTES)
    table = "\n".join(["| gate | outcome | measured | why |", "|---|---|---|---|", *rows])
    if not left_out:
        return [table]
    worst = records[len(rows)].outcome.value
    return [table, f"… and {counted(left_out, 'more gate')}, the worst of them {worst}; all are in records.json."]


def _row(record: Record) -> str:
    verdicts = [check.verdict for check in record.checks]
    worst = max(verdicts, key=lambda verdict: verdict.outcome.rank, default=None)
    measured = worst.measured if worst is not None else ""
    cells = (record.gate, record.outcome.value, measured, record.reason)
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _section(title: str, things: Sequence[T], line: Callable[[T], str], size: int = _LIST_BYTES) -> list[str]:
    if not things:
        return []
    kept, left_out = _fitting(things, line, _LINES, size)
    note = [f"… and {left_out} more; all are in records.json."] if left_out else []
    return [f"## {title}", "\n".join(kept), *note]


def _item(item: Item) -> str:
    found = item.finding
    text = f"1. **{item.outcome.value}** {_cell(found.where)}: {_cell(found.rule)}: {_cell(found.message)}"
    gate = f" (gate {_cell(item.gate)})"
    return text + gate + (f"<br>Fix: {_cell(found.fix)}" if found.fix else "")


def _excused(finding: Finding) -> str:
    waiver = f"{finding.waiver}, " if finding.waiver else ""
    return f"{_bullet(f'{finding.where}: {finding.rule}: {finding.message}')} ({_cell(waiver + finding.excuse)})"


def _bullet(text: str) -> str:
    return f"- {_cell(text)}"


def _cell(text: str) -> str:
    return escape(cut(plain(text), _CELL))


def _fitting(things: Sequence[T], line: Callable[[T], str], most: int, size: int) -> tuple[list[str], int]:
    """A line for each of `things` as far as they fit `most` and `size` bytes, and how many are left out."""
    kept = list[str]()
    for thing in things[:most]:
        text = line(thing)
        size -= len(text.encode()) + 1
        if size < 0:
            break
        kept.append(text)
    return kept, len(things) - len(kept)
