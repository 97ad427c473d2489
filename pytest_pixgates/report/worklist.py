"""What keeps a run from green, worst first: the one list that every format shows in its own way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_pixgates.core.record import Record, Run
from pytest_pixgates.core.scan import Finding, Scan, State
from pytest_pixgates.core.verdict import Outcome, Verdict

NOT_MEASURED = "pixgates/not-measured"
NOT_RUN = "pixgates/not-run"
NOT_CLOSED = "pixgates/not-closed"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to mend. A tool's finding as it is; anything else in the same shape, located at its gate's file."""

    outcome: Outcome
    gate: str
    finding: Finding


def worklist(run: Run) -> list[Item]:
    """Every item of `run` in a fixed order: FAIL, ERROR, INCONCLUSIVE; by severity, then by place."""
    return sorted([*_of_run(run), *(item for record in run.records for item in _of_record(record))], key=_order)


def excused(run: Run, state: State) -> list[Finding]:
    """The findings that do not block for the reason `state`."""
    return [each for record in run.records for each in record.findings if each.state is state]


def _order(item: Item) -> tuple[int, int, str, int, str, str, str]:
    found = item.finding
    return (-item.outcome.rank, -found.severity.rank, found.path, found.line, found.rule, item.gate, found.message)


def _of_run(run: Run) -> Iterator[Item]:
    if run.status != "closed":
        message = f"the run {run.id} never closed: it was ended from outside, or is still going"
        yield Item(Outcome.ERROR, "run", Finding(NOT_CLOSED, message, run.policy, fix="run the gates again"))
    elif not run.records:
        finding = Finding(NOT_RUN, "no gate ran, so nothing was measured", run.policy, fix="run the gates: pytest")
        yield Item(Outcome.ERROR, "run", finding)
    for node in run.missing:
        gate = run.expected[node]
        message = f"{gate} was expected and left no record"
        finding = Finding(NOT_RUN, message, _file(node), resource=gate, fix="run the gates again")
        yield Item(Outcome.ERROR, gate, finding)


def _of_record(record: Record) -> list[Item]:
    items = [
        item
        for check in record.checks
        for item in (_of_verdict(record, check.verdict) if check.scan is None else _of_scan(record, check.scan))
    ]
    if record.outcome.rank > _worst(items).rank:
        reason = record.reason or "it recorded no check, so nothing was measured"
        items.append(_at_gate(record, record.outcome, reason))
    return items


def _of_scan(record: Record, scan: Scan) -> Iterator[Item]:
    for finding in scan.blocking:
        yield Item(Outcome.FAIL, record.gate, finding)
    resource = f"{scan.name} {scan.target}"
    for problem in scan.problems:
        path = problem.path or _file(record.node)
        finding = Finding(NOT_MEASURED, problem.message, path, problem.line, resource=resource, fix=problem.fix)
        yield Item(Outcome.ERROR, record.gate, finding)
    if not scan.blocking and not scan.problems and not scan.outcome:
        yield _at_gate(record, scan.outcome, scan.verdict.reason, scan.verdict.needs)


def _of_verdict(record: Record, verdict: Verdict) -> Iterator[Item]:
    if not verdict.outcome:
        parts = (verdict.check, verdict.reason, verdict.measured and f"measured {verdict.measured}")
        yield _at_gate(record, verdict.outcome, "; ".join(filter(None, parts)), verdict.needs)


def _at_gate(record: Record, outcome: Outcome, message: str, fix: str = "") -> Item:
    rule = NOT_MEASURED if outcome is Outcome.ERROR else record.gate
    return Item(outcome, record.gate, Finding(rule, message, _file(record.node), resource=record.gate, fix=fix))


def _worst(items: Iterable[Item]) -> Outcome:
    return max((item.outcome for item in items), key=lambda outcome: outcome.rank, default=Outcome.PASS)


def _file(node: str) -> str:
    return node.partition("::")[0]
