"""The one question before anything goes out: is there fresh, complete evidence that every gate passed for exactly
what is here now?

Nothing that a record concludes is believed if it can be worked out again: outcomes come from the checks, digests
from the files. Every reason to refuse is told, not only the first.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_pixgates.core import quantity
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.known import Known
from pytest_pixgates.core.policy import DEFAULT_MAX_AGE, Policy
from pytest_pixgates.core.record import Record, Run
from pytest_pixgates.core.scan import Finding, State
from pytest_pixgates.core.subject import KINDS
from pytest_pixgates.core.verdict import Outcome

CLOCK_TOLERANCE = 120.0  # seconds that two machines' clocks may differ


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason why a run is no evidence. `rule` names its kind, `fix` says what to do next."""

    rule: str
    where: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.fix}"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, at `now` (seconds since the epoch).

    `families` must be covered; all that the policy has a section for if empty. `max_age`, in seconds, can only
    shorten what an environment allows.
    """

    now: float
    run_id: str = ""
    families: tuple[str, ...] = ()
    max_age: float | None = None


def judge(run: Run, policy: Policy, question: Question) -> list[Refusal]:
    """Every reason why `run` does not show that all gates passed for what is on disk now; none if it does.

    It is judged for the environment that `policy` was loaded for, if for one.
    """
    return [
        *_not_whole(run, question),
        *_not_passed(run),
        *_not_covered(run, policy, question),
        *_not_for_what_is_here(run, policy),
        *_not_fresh(run, policy, question),
        *_not_known(run, policy, question),
    ]


def _not_whole(run: Run, question: Question) -> Iterator[Refusal]:
    again = "run the gates again"
    if run.status != "closed":
        yield Refusal("not-closed", run.id, "the run never closed", "see how it ended, then run the gates again")
    if question.run_id and run.id != question.run_id:
        fix = "run the gates in this pipeline, or ask for that run"
        yield Refusal("other-run", run.id, f"these are not the records of run {question.run_id}", fix)
    for reason in run.partial:
        yield Refusal("partial", run.id, f"only a part ran: {reason}", "run the gates without narrowing them")
    for node in run.missing:
        yield Refusal("missing-gate", node, f"{run.expected[node]} was expected and left no record", again)
    if not run.records:
        yield Refusal("no-gates", run.id, "no gate ran, so nothing was measured", again)


def _not_passed(run: Run) -> Iterator[Refusal]:
    for record in run.records:
        fix = "see its findings, mend them and run the gates again"
        if not record.outcome:
            what = f"{record.outcome.value}: {record.reason or 'no reason was recorded'}"
            yield Refusal("not-passed", record.gate, what, fix)
        elif contradiction := _contradiction(record, run):
            yield Refusal("contradicted", record.gate, f"recorded as PASS, but {contradiction}", "run the gates again")


def _contradiction(record: Record, run: Run) -> str:
    """What in `record`, which says PASS, speaks against it, or ""."""
    if not record.checks:
        return "it holds no check"
    for check in record.checks:
        outcomes = [check.verdict.outcome, *([] if check.scan is None else [check.scan.outcome])]
        if not Outcome.worst(outcomes):
            return f"its check {check.verdict.check!r} is {Outcome.worst(outcomes).value}"
        if not check.subjects:
            return f"its check {check.verdict.check!r} names no subject"
    if not record.gate.startswith(f"{record.family}/"):
        return f"it is not a gate of the family {record.family}"
    if run.expected.get(record.node, record.gate) != record.gate:
        return f"{record.node} is {run.expected[record.node]}"
    return ""


def _not_covered(run: Run, policy: Policy, question: Question) -> Iterator[Refusal]:
    measured = {record.family for record in run.records}
    for family in question.families or sorted(policy.sections):
        if family not in run.families:
            what = f"the run did not include {family}"
            yield Refusal("family-missing", run.id, what, f"run all families, or ask only for --family {_names(run)}")
        elif family not in measured:
            yield Refusal(
                "family-missing", run.id, f"no gate of {family} ran", f"write a gate of {family}, then run it"
            )
    if policy.environment:
        yield from _not_for_environment(run, policy)


def _not_for_environment(run: Run, policy: Policy) -> Iterator[Refusal]:
    name = policy.environment
    if run.environment != name:
        what = f"judged for {run.environment or 'no environment'}, not for {name}"
        yield Refusal("other-environment", run.id, what, f"run the gates with --pixgates-env {name}")
    for required in policy.environments[name].requires:
        if not any(required in (record.family, record.gate) for record in run.records):
            what = f"{required} is required for {name} and did not run"
            yield Refusal("required-missing", run.id, what, "run it, or correct `requires` in the policy")


def _not_for_what_is_here(run: Run, policy: Policy) -> Iterator[Refusal]:
    again = "run the gates on what is here now"
    try:
        changed = policy.sha256 != run.policy_sha256
    except OSError as error:
        yield Refusal("policy-changed", str(policy.folder), f"can't be read: {error.strerror}", "make it readable")
    else:
        if changed:
            yield Refusal("policy-changed", str(policy.folder), "the gates or their policy changed since", again)
    subjects = {subject for record in run.records for subject in record.subjects}
    for subject in sorted(subjects, key=lambda each: (each.name, each.kind, each.sha256)):
        if subject.kind not in KINDS:
            fix = "use a version that knows it"
            yield Refusal("subject-unknown", subject.name, f"a subject of unknown kind {subject.kind!r}", fix)
            continue
        if problem := subject.changed(policy.root):
            yield Refusal("subject-changed", subject.name, problem, again)


def _not_fresh(run: Run, policy: Policy, question: Question) -> Iterator[Refusal]:
    again, now = "run the gates again", question.now
    if max(run.started, run.ended) > now + CLOCK_TOLERANCE:
        yield Refusal(
            "from-future", run.id, "it lies in the future", "set this machine's clock, or run the gates again"
        )
    elif run.status == "closed" and run.ended < run.started:
        yield Refusal("from-future", run.id, "it ended before it started", again)
    allowed, age = _max_age(policy, question), now - run.started
    if age > allowed:
        what = f"it is {age / 3600:.1f} h old, and at most {allowed / 3600:.4g} h are allowed"
        yield Refusal("too-old", run.id, what, again)
    today = _day(now)
    for record in run.records:
        for finding in record.findings:
            if finding.state is State.WAIVED and (problem := _not_waived(policy, finding, today)):
                yield Refusal(
                    "waiver", f"{record.gate} {finding.where}", problem, "mend it or renew the waiver, then run"
                )


def _not_waived(policy: Policy, finding: Finding, today: datetime.date) -> str:
    """Why the policy does not excuse `finding` today, or ""."""
    waivers = [waiver for each in policy.waivers.values() for waiver in each if waiver.id == finding.waiver]
    if not any(waiver.covers(finding) for waiver in waivers):
        return f"{finding.rule} is recorded as waived, but no waiver {finding.waiver!r} covers it"
    if any(waiver.expires < today for waiver in waivers):
        return f"the waiver {finding.waiver!r} expired since"
    return ""


def _not_known(run: Run, policy: Policy, question: Question) -> Iterator[Refusal]:
    known = Known(dataclasses.replace(policy, environment=run.environment))
    for record in run.records:
        try:
            for problem in known.unknown(record, _day(question.now)):
                yield Refusal("baseline", record.gate, problem, "mend it, then run the gates again")
        except PixgatesError as error:
            yield Refusal("baseline", record.gate, f"what is known can't be told: {error.message}", error.remedy)


def _day(seconds: float) -> datetime.date:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date()


def _max_age(policy: Policy, question: Question) -> float:
    """The shorter of what was asked for and what the environment allows."""
    asked = [] if question.max_age is None else [question.max_age]
    of_environment = [policy.environments[policy.environment].max_age] if policy.environment else []
    return min([*asked, *map(quantity.seconds, of_environment)], default=quantity.seconds(DEFAULT_MAX_AGE))


def _names(run: Run) -> str:
    return " --family ".join(run.families) or "NAME"
