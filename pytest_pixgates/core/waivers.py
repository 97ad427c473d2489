"""Waivers are judged too: one that has expired, or that excuses nothing any more, is itself a finding."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence

from pytest_pixgates.core import own, policy
from pytest_pixgates.core.policy import Policy, Waiver
from pytest_pixgates.core.record import Record
from pytest_pixgates.core.scan import Finding, State
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome

_WHY_NOT = {
    State.OPEN: "is not put to waivers by its family",
    State.OFF: "is switched off by the policy",
    State.MINOR: "does not block without it",
    State.KNOWN: "is known by the baseline already",
}


def judge(reviewed: Policy, ran: Mapping[str, Sequence[Record]], partial: bool) -> Iterator[Record]:  # noqa: FBT001
    """A record for each family in `ran` (its records) that has waivers.

    Whether a waiver is used can be told only if the family ran whole and every gate of it measured.
    """
    for family, records in ran.items():
        waivers = reviewed.waivers.get(family, ())
        if not waivers:
            continue
        found = [finding for each in records for finding in each.findings]
        whole = not partial and all(each.outcome is not Outcome.ERROR for each in records)
        yield _record(reviewed, family, waivers, found if whole else None)


def _record(reviewed: Policy, family: str, waivers: tuple[Waiver, ...], found: list[Finding] | None) -> Record:
    path = reviewed.folder / policy.WAIVERS
    subject = Subject.of(path, reviewed.root)
    text = path.read_text(encoding="utf-8")
    findings = []
    for index, waiver in enumerate(waivers):
        if problem := _problem(waiver, found):
            rule, message, fix = problem
            line = policy.line_of(text, f"{family}[{index}]")
            findings.append(Finding(rule, message, subject.name, line, resource=waiver.id, fix=fix))
    return own.record("waivers", family, subject, {"waivers": len(waivers)}, findings)


def _problem(waiver: Waiver, found: list[Finding] | None) -> tuple[str, str, str] | None:
    """Rule, message and fix; `found` is None if it can't be told what was used."""
    if waiver.expired:
        message = f"waiver {waiver.id} of {waiver.owner} expired on {waiver.expires}"
        return "waiver-expired", message, "mend the finding, or have the waiver reviewed again"
    if found is None or any(finding.waiver == waiver.id for finding in found):
        return None
    message = f"waiver {waiver.id} excuses nothing"
    if hint := _nearest(waiver, found):
        return "waiver-unused", f"{message}; nearest: {hint}", "correct it, or remove it"
    return "waiver-unused", message, "remove it"


def _nearest(waiver: Waiver, found: list[Finding]) -> str:
    """The finding that the waiver may have meant, and why it does not excuse that; "" if none is near."""
    given = 2 + bool(waiver.resource)
    near = [(finding, differing) for finding in found if len(differing := _differing(waiver, finding)) < given]
    if not near:
        return ""
    finding, differing = min(near, key=lambda each: (len(each[1]), -_likeness(waiver, each[0]), each[0].where))
    what = f"{finding.rule} at {finding.where}" + (f" ({finding.resource})" if finding.resource else "")
    if differing:
        return f"{what} differs in {' and '.join(differing)}"
    return f"{what} {_WHY_NOT.get(finding.state) or f'is excused by {finding.waiver} already'}"


def _differing(waiver: Waiver, finding: Finding) -> list[str]:
    matching = {
        "rule": finding.rule == waiver.rule,
        "path": policy.matches(finding.path, waiver.path),
        "resource": waiver.resource in ("", finding.resource),
    }
    return [name for name, matches in matching.items() if not matches]


def _likeness(waiver: Waiver, finding: Finding) -> float:
    wanted, there = ((each.rule, each.path, each.resource) for each in (waiver, finding))
    return difflib.SequenceMatcher(None, " ".join(wanted), " ".join(there)).ratio()
