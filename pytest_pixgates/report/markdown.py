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
from pytest_pixgates.history import remember
from pytest_pixgates.report import told
from pytest_pixgates.report.beside import NOTHING, Beside
from pytest_pixgates.report.text import counted, cut, duration, plain
from pytest_pixgates.report.worklist import Item, excused, worklist

FILE_NAME = "summary.md"
# GitHub takes 65,536 bytes in a comment; what the parts may use adds up to less than 60,000.
_TABLE_BYTES, _FIX_BYTES, _LIST_BYTES = 22_000, 10_000, 5_000
_ROWS, _LINES = 15, 5  # so that the whole of it is one screen
_CELL = 160

T = TypeVar("T")


def render(run: Run, beside: Beside = NOTHING) -> str:
    """`run` as Markdown, under 60 KB whatever it holds."""
    items = worklist(run)
    sliding = [str(each) for each in remember.slides(run, beside.entries)]
    parts = [
        f"# pixgates: {_verdict(run)}",
        _about(run),
        *_section("PARTIAL, not evidence", run.partial, _bullet),
        *_section("Fix first", items, _item, _FIX_BYTES),
        *_gates(run, beside),
        *_section("Slow slides", sliding, _bullet),
        *_section("Expected, but left no record", run.missing, _bullet),
        *_section("Waived", excused(run, State.WAIVED), _excused),
        *_section("Known by the baseline", excused(run, State.KNOWN), _excused),
        *_section("Switched off by the policy", excused(run, State.OFF), _excused),
        _where(beside),
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


def _gates(run: Run, beside: Beside) -> list[str]:
    """The table: what is not PASS, then what changed against the target, then what is measured against a limit."""
    if not run.records:
        return []
    target = beside.target
    records = sorted(run.records, key=lambda each: _rank(each, beside))
    rows, left_out = _fitting(records, lambda each: _row(each, beside), _ROWS, _TABLE_BYTES)
    branch = _cell(target.branch) if target else "main"
    table = "\n".join([f"| | gate | measured | limit | against {branch} |", "|---|---|---|---|---|", *rows])
    notes = []
    if left_out:
        worst = records[len(rows)].outcome.value
        how = "all of them PASS" if worst == "PASS" else f"the worst of them {worst}"
        notes.append(f"… and {counted(left_out, 'more gate')}, {how}; all are in report.html.")
    if target is None or target.entry is None:
        notes.append(f"Against {branch}: {_cell(target.problem if target else 'no earlier run is known')}.")
    return [table, *notes]


def _rank(record: Record, beside: Beside) -> tuple[int, bool, bool, str]:
    same = told.against(record, beside.target) in ("", "same")
    return -record.outcome.rank, same, not any(check.verdict.figures for check in record.checks), record.gate


def _row(record: Record, beside: Beside) -> str:
    told_of = (record.gate, told.measured(record), told.limit(record), told.against(record, beside.target))
    return f"| {record.outcome.value} | {' | '.join(map(_cell, told_of))} |"


def _where(beside: Beside) -> str:
    """Where the rest is; a link only to what is plainly an address of the web."""
    files = "report.html, for people, and records.json hold all of it"
    if re.fullmatch(r"https://[\w./~:-]+", beside.url, re.ASCII):
        return f"[The full report]({beside.url}): {files}."
    return f"The full report: {files}, beside this file."


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
