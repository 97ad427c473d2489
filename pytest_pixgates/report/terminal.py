"""The few lines at the end of a run: what each family is worth, what to fix first, and the verdict as the last line."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TextIO

from pytest_pixgates.core.record import Record, Run
from pytest_pixgates.core.scan import State
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.report.text import counted, cut, duration, plain
from pytest_pixgates.report.worklist import Item, excused, worklist

FIRST = 5
_COLORS = {Outcome.PASS: "32", Outcome.INCONCLUSIVE: "33", Outcome.ERROR: "35", Outcome.FAIL: "31"}

Paint = Callable[[Outcome, str], str]


def use_color(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to colour what goes to `stream`: NO_COLOR, then FORCE_COLOR, then whether it is a capable terminal."""
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return environ.get("TERM") != "dumb" and stream.isatty()


def summary(run: Run, *, color: bool, width: int) -> list[str]:
    """The lines to print, none longer than `width` but for a file and line, which are never cut."""

    def paint(outcome: Outcome, text: str) -> str:
        return f"\x1b[1;{_COLORS[outcome]}m{text}\x1b[0m" if color else text

    lines = [_family(name, run, paint) for name in _families(run)]
    if run.partial:
        lines.append(cut(f"PARTIAL, not evidence: {plain('; '.join(run.partial))}", width))
    lines += _fix_first(worklist(run), paint, width)
    counts = {state.value: len(excused(run, state)) for state in (State.WAIVED, State.KNOWN, State.OFF)}
    if said := ", ".join(f"{count} {name}" for name, count in counts.items() if count):
        lines.append(f"not blocking: {said}, listed with reasons in summary.md")
    if absent := dict.fromkeys(each for record in run.records for scan in record.scans for each in scan.absent):
        lines.append(cut(f"not present: {', '.join(map(plain, absent))}", width))
    return [*lines, _last(run, paint)]


def _families(run: Run) -> list[str]:
    return list(dict.fromkeys([*run.families, *(record.family for record in run.records)]))


def _family(name: str, run: Run, paint: Paint) -> str:
    records = [record for record in run.records if record.family == name]
    missing = [node for node in run.missing if run.expected[node].partition("/")[0] == name]
    outcome = Outcome.worst([*(record.outcome for record in records), *[Outcome.ERROR] * bool(missing)])
    passed = sum(record.outcome is Outcome.PASS for record in records)
    cached = sum(any(check.cached for check in record.checks) for record in records)
    gates = f"{passed}/{len(records) + len(missing)} gates passed"
    rest = f"{gates:<20} {duration(sum(record.seconds for record in records))}" + (f", {cached} cached" * bool(cached))
    return f"{plain(name):<14} {paint(outcome, f'{outcome.value:<12}')} {rest}"


def _fix_first(items: list[Item], paint: Paint, width: int) -> list[str]:
    if not items:
        return []
    left_out = len(items) - FIRST
    head = "fix first" + (f" ({FIRST} of {len(items)}, all in summary.md and results.sarif)" if left_out > 0 else "")
    return [cut(f"{head}:", width), *(line for item in items[:FIRST] for line in _item(item, paint, width))]


def _item(item: Item, paint: Paint, width: int) -> list[str]:
    found, word = item.finding, item.outcome.value
    where = f"    {plain(found.where)}: "
    what = plain(found.message)
    lines = [
        f"  {paint(item.outcome, word)} " + cut(f"{plain(item.gate)}  {plain(found.rule)}", width - len(word) - 3),
        where + cut(what, max(width - len(where), 1)),
    ]
    return lines + _wrapped(f"fix: {plain(found.fix)}", width) * bool(found.fix)


def _wrapped(text: str, width: int) -> list[str]:
    """`text` on three lines at most: a command that is cut can't be run."""
    wrapper = textwrap.TextWrapper(max(width - 6, 14), max_lines=3, placeholder="…", break_on_hyphens=False)
    first, *rest = wrapper.wrap(text)
    return [f"    {first}", *(f"      {line}" for line in rest)]


def _last(run: Run, paint: Paint) -> str:
    took = duration(run.ended - run.started if run.status == "closed" else sum(each.seconds for each in run.records))
    gates = counted(len(run.records), "gate")
    if run.green:
        known = len(excused(run, State.KNOWN))
        also = f", {counted(known, 'known finding')}" if known else ""
        return f"pixgates: {paint(Outcome.PASS, 'PASS')} ({gates}, {took}{also})"
    if run.outcome:
        return f"pixgates: {paint(Outcome.INCONCLUSIVE, 'PARTIAL')} (not evidence): {gates} passed, {took}"
    tally = _tally(run.records, len(run.missing))
    partial = "; PARTIAL (not evidence)" if run.partial else ""
    return f"pixgates: {paint(run.outcome, run.outcome.value)} ({tally}, {took}){partial}"


def _tally(records: tuple[Record, ...], missing: int) -> str:
    counts = Counter(record.outcome for record in records)
    parts = [f"{counts[outcome]} {outcome.value}" for outcome in reversed(Outcome) if counts[outcome]]
    parts += [f"{missing} without a record"] * bool(missing)
    return f"{counted(len(records) + missing, 'gate')}: " + (", ".join(parts) or "nothing measured")
