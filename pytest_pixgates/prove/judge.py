"""What came of one try: the gate that is there for a defect must be red for the reason that was said, and nothing less.

A crash is not a catch: a gate that raised, lost its record or never ran says nothing about the defect.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator

from pytest_pixgates.core.record import Check, Record
from pytest_pixgates.core.scan import State
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.prove.catalogue import Defect, Variation
from pytest_pixgates.prove.gates import Answer, Seen

# How a gate's own trouble begins, in the words of the recorder: none of it is about what was judged.
_CRASHES = ("it raised ", "setup failed", "teardown failed", "no record arrived", "it recorded no check", "skipped:")
_TRACE = "Traceback (most recent call last)"


class Status(enum.Enum):
    """What one try showed. Only `caught` and `green` are good; `survived`, `missed` and `red` are findings.

    `missed` is a defect that turned the gate red for another reason; an `error` shows nothing; a generic defect `unfit`
    for this repository was not tried.
    """

    SURVIVED = "survived"
    MISSED = "missed"
    RED = "red"
    ERROR = "error"
    CAUGHT = "caught"
    GREEN = "green"
    UNFIT = "unfit"

    @property
    def good(self) -> bool:
        return self in (Status.CAUGHT, Status.GREEN)

    @property
    def bad(self) -> bool:
        return self in (Status.SURVIVED, Status.MISSED, Status.RED)


Judged = tuple[Status, str]


def defect(tried: Defect, gate: str, seen: Seen) -> Judged:
    """What `seen` shows of a defect that `gate`, a gate or a question, must catch."""
    if gate in seen.answers:
        return _refused(tried, seen.answers[gate])
    if trouble := unsound(seen):
        return Status.ERROR, trouble
    record = seen.record(gate)
    if record is None:
        return Status.ERROR, f"{gate} left no record"
    if crash := _crash(record):
        return Status.ERROR, f"a crash is not a catch: {crash}"
    if record.outcome is Outcome.PASS:
        return Status.SURVIVED, f"{gate} still passes"
    if seen.exit_code == 0:
        return Status.ERROR, f"{gate} is {record.outcome.value}, and yet pytest ended with 0"
    if record.outcome is not tried.outcome:
        status = Status.ERROR if record.outcome is Outcome.ERROR else Status.MISSED
        return status, f"{record.outcome.value} instead of {tried.expected}: {record.reason}"
    told = [words for check in record.checks for rule, words in _told(check, tried.outcome) if tried.rule in ("", rule)]
    for words in told:
        if tried.says in words:
            return Status.CAUGHT, words
    return Status.MISSED, f"{record.outcome.value} for another reason than {tried.expected}: {record.reason}"


def variation(tried: Variation, seen: Seen) -> Judged:
    """What `seen` shows of a harmless change."""
    for name in tried.gates:
        if name in seen.answers:
            if seen.answers[name].exit_code:
                return Status.RED, f"{name}: {_answered(seen.answers[name])}"
            continue
        if trouble := unsound(seen):
            return Status.ERROR, trouble
        record = seen.record(name)
        if record is None:
            return Status.ERROR, f"{name} left no record"
        if not record.outcome:
            status = Status.ERROR if _crash(record) else Status.RED
            return status, f"{name} is {record.outcome.value}: {record.reason}"
    if seen.exit_code:
        return Status.RED, f"pytest ended with {seen.exit_code}"
    return Status.GREEN, f"{', '.join(tried.gates[:3])} still pass"


def unsound(seen: Seen) -> str:
    """Why a run of gates shows nothing, or ""."""
    if seen.problem:
        return seen.problem
    if seen.exit_code not in (0, 1):
        return f"pytest ended with {seen.exit_code}: {_last(seen.said)}"
    if seen.run is not None and seen.run.status != "closed":
        return "the run of gates never closed"
    return ""


def red(seen: Seen, asked: Iterable[str]) -> dict[str, str]:
    """Which of the gates and questions `asked` are not green in a baseline, and why."""
    found = {}
    for name in asked:
        record = seen.record(name)
        if name in seen.answers:
            if seen.answers[name].exit_code:
                found[name] = _answered(seen.answers[name])
        elif record is None:
            found[name] = "it left no record"
        elif not record.outcome:
            found[name] = f"{record.outcome.value}: {record.reason}"
    return found


def _refused(tried: Defect, answer: Answer) -> Judged:
    if answer.exit_code == 0:
        return Status.SURVIVED, f"{tried.gate} still says yes"
    if _TRACE in answer.said:
        return Status.ERROR, f"a crash is not a catch: {_answered(answer)}"
    if tried.exit_code not in (None, answer.exit_code):
        return Status.MISSED, f"exit code {answer.exit_code} instead of {tried.expected}: {_answered(answer)}"
    if tried.rule and answer.rules is None:
        return Status.MISSED, f"no refusals instead of {tried.expected}: {_answered(answer)}"
    if tried.rule and tried.rule not in (answer.rules or ()):
        return Status.MISSED, f"refused for {', '.join(answer.rules or ()) or 'nothing'} instead of {tried.expected}"
    if tried.says not in answer.said:
        return Status.MISSED, f"not with the words of {tried.expected}: {_answered(answer)}"
    return Status.CAUGHT, next(
        (line for line in answer.said.splitlines() if tried.says and tried.says in line), tried.rule
    )


def _crash(record: Record) -> str:
    crashed = record.outcome is Outcome.ERROR and (not record.checks or record.reason.startswith(_CRASHES))
    return record.reason or "it recorded no check" if crashed else ""


def _told(check: Check, outcome: Outcome) -> Iterator[tuple[str, str]]:
    """The rule and the words of each reason why `check` has `outcome`."""
    verdict = check.verdict
    if verdict.outcome is outcome:
        yield verdict.check, "; ".join(filter(None, (verdict.check, verdict.measured, verdict.reason, verdict.needs)))
    if check.scan is None:
        return
    for judged in check.scan.rules:
        if judged.outcome is outcome:
            yield judged.rule, f"{judged.rule}: {judged.measured}"
    if outcome is Outcome.FAIL:
        for each in check.scan.findings:
            if each.state is State.OPEN:
                yield each.rule, f"{each.rule} at {each.where}: {each.message}"
    for problem in {Outcome.ERROR: check.scan.problems, Outcome.INCONCLUSIVE: check.scan.undecided}.get(outcome, ()):
        yield "", "; ".join(filter(None, (str(problem), problem.fix)))


def _answered(answer: Answer) -> str:
    return f"refused for {', '.join(answer.rules)}" if answer.rules else _last(answer.said)


def _last(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
