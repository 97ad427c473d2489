"""From one gate item to its record: what its checks said, whatever its body made of them.

The body isn't trusted. A gate that recorded no check is an ERROR, one whose check was worse than PASS is red even
if the assertion was swallowed, and skip, xfail and a lucky rerun never make it green.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import pytest

from pytest_pixgates.core import process, record
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.scan import Scan
from pytest_pixgates.core.verdict import Outcome, Verdict
from pytest_pixgates.items import GateNotPassed

# The attribute of a report that carries the record. Not `user_properties`, which any plugin may edit.
ATTRIBUTE = "pixgates_record"


class ItemRecorder:
    """The sink of one gate item's checks, over all attempts that something may make at it."""

    def __init__(self, gate: str, family: str, node: str, *, private: bool = False) -> None:
        self.gate, self.family, self.node, self.private = gate, family, node, private
        self._earlier: list[Outcome] = []
        self._trouble: Verdict | None = None
        self._started = time.time()
        self._reset()

    def _reset(self) -> None:
        self._checks: list[object] = []
        self._trouble = None
        self._phases: set[str] = set()

    def note(self, check: object) -> None:
        if not any(check is known for known in self._checks):
            self._checks.append(check)

    def replace(self, checks: Sequence[object], combined: object) -> None:
        self._checks = [known for known in self._checks if not any(known is check for check in checks)]
        self.note(combined)

    def begin(self) -> None:
        """A new attempt starts; one before it counts on."""
        if self._phases:
            self._earlier.append(self.outcome)
        else:
            self._started = time.time()
        self._reset()

    @property
    def outcome(self) -> Outcome:
        """The worst of all attempts."""
        own = [_outcome_of(check) for check in self._checks]
        trouble = [] if self._trouble is None else [self._trouble.outcome]
        return Outcome.worst([*(own or [Outcome.ERROR]), *trouble, *self._earlier])

    def judge(self, report: pytest.TestReport, excinfo: pytest.ExceptionInfo[BaseException] | None) -> None:
        """Correct `report`, which pytest made of one phase, so that it is green only for PASS."""
        self._phases.add(report.when)
        raised = excinfo.value if excinfo else None
        if self._trouble is None:
            self._trouble = self._trouble_in(report, raised)
        if self.private and report.failed and excinfo is not None:
            self._withhold(report, excinfo)
        if _excused(report) or (report.when == "call" and report.passed and not self.outcome):
            _fail(report, self.reason)
        if report.when != "teardown" and report.failed:
            self._explain(report)
        if report.when == "teardown":
            self._attach(report)

    @property
    def reason(self) -> str:
        """Why the gate is not PASS, or ""."""
        if self.outcome is Outcome.PASS:
            return ""
        if self._trouble is not None and self._trouble.outcome is self.outcome:
            return self._trouble.reason
        for check in self._checks:
            if _outcome_of(check) is self.outcome:
                return _worth(check).reason
        if self.outcome in self._earlier:
            return f"an earlier attempt was {self.outcome.value}; running it again doesn't turn a gate green"
        return "it recorded no check, so nothing was measured"

    def record(self) -> record.Record:
        made = record.Record(
            gate=self.gate,
            family=self.family,
            node=self.node,
            outcome=self.outcome,
            reason=self.reason,
            checks=tuple(map(_check, self._checks)),
            started=self._started,
            seconds=time.time() - self._started,
            attempts=len(self._earlier) + 1,
        )
        return record.masked(made)

    def _trouble_in(self, report: pytest.TestReport, raised: BaseException | None) -> Verdict | None:
        """What went wrong in a phase besides the checks."""
        if _excused(report):
            how = "skipped" if getattr(report, "wasxfail", None) is None else "xfail"
            return self._error(f"{how}: a gate that does not run, or may fail, is not PASS")
        if not report.failed:
            return None
        text = process.mask(self._words(raised)).strip().partition("\n")[0][:500]
        if report.when != "call":
            return self._error(f"{report.when} failed: {text}")
        if isinstance(raised, AssertionError | pytest.fail.Exception):
            all_passed = bool(self._checks) and all(_outcome_of(check) for check in self._checks)
            return Verdict(Outcome.FAIL, self.gate, reason=text) if all_passed else None
        return self._error(f"it raised {text}")

    def _words(self, raised: BaseException | None) -> str:
        """What an exception says; of a private gate only if the words are this package's own."""
        name = type(raised).__name__
        if self.private and not isinstance(raised, PixgatesError):
            return f"{name}; its words are withheld, for they may hold data"
        return f"{name}: {raised}"

    def _withhold(self, report: pytest.TestReport, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Say where it failed and what this package found, without the values that pytest shows of an expression."""
        if isinstance(excinfo.value, GateNotPassed):
            return
        bad = [check for check in self._checks if not _outcome_of(check)]
        checked = isinstance(excinfo.value, AssertionError) and bad
        safe = AssertionError("\n".join(self._lines()) if checked else self._words(excinfo.value))
        told = pytest.ExceptionInfo.from_exception(safe.with_traceback(excinfo.tb))
        report.longrepr = told.getrepr(style="short", showlocals=False, funcargs=False, chain=False)

    def _error(self, reason: str) -> Verdict:
        return Verdict(Outcome.ERROR, self.gate, reason=reason)

    def _explain(self, report: pytest.TestReport) -> None:
        """Add why the gate is red, unless the failure text says it already."""
        lines = self._lines()
        if lines[0] not in report.longreprtext:
            report.sections.append(("pixgates", process.mask("\n".join(lines))))

    def _lines(self) -> list[str]:
        bad = [check for check in self._checks if not _outcome_of(check)]
        lines = [line for check in bad for line in (check if isinstance(check, Scan) else _worth(check)).lines()]
        return lines or [f"{self.outcome.value}: {self.gate}", f"  because: {self.reason}"]

    def _attach(self, report: pytest.TestReport) -> None:
        finished = self.record()
        setattr(report, ATTRIBUTE, record.dump_record(finished))
        # For JUnit, which writes the properties of the teardown report.
        report.user_properties.append(("pixgates.gate", self.gate))
        report.user_properties.append(("pixgates.verdict", self.outcome.value))


def _worth(check: object) -> Verdict:
    """What `check` says, as far as a gate may lean on it."""
    if not isinstance(check, Verdict | Scan):
        return Verdict(Outcome.ERROR, str(check), reason=f"{type(check).__name__} is not a verdict")
    verdict = check.verdict if isinstance(check, Scan) else check
    if verdict.outcome and not check.subjects:
        reason = "it names no subject, so a change to what was measured would go unseen"
        needs = "tell the measurement what it is about: subjects=(context.subject(path),), or those of the scan"
        return dataclasses.replace(verdict, outcome=Outcome.ERROR, reason=reason, needs=needs)
    return verdict


def _outcome_of(check: object) -> Outcome:
    return _worth(check).outcome


def _check(check: object) -> record.Check:
    return record.Check(_worth(check), check if isinstance(check, Scan) else None)


def _excused(report: pytest.TestReport) -> bool:
    return report.skipped or getattr(report, "wasxfail", None) is not None


def _fail(report: pytest.TestReport, reason: str) -> None:
    report.outcome = "failed"
    report.longrepr = f"pixgates: {reason}"
    vars(report).pop("wasxfail", None)
