"""Waivers are judged too: one that has expired, or that excuses nothing any more, is itself a finding."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import pytest_pixgates
from pytest_pixgates.core import files, policy
from pytest_pixgates.core.policy import Policy, Waiver
from pytest_pixgates.core.record import Check, Record
from pytest_pixgates.core.scan import Finding, Scan, ToolUse
from pytest_pixgates.core.verdict import Outcome


def judge(reviewed: Policy, ran: Mapping[str, Sequence[Record]], partial: bool) -> Iterator[Record]:  # noqa: FBT001
    """A record for each family in `ran` (its records) that has waivers.

    Whether a waiver is used can be told only if the family ran whole and every gate of it measured.
    """
    for family, records in ran.items():
        waivers = reviewed.waivers.get(family, ())
        if not waivers:
            continue
        used = {finding.waiver for each in records for finding in each.findings}
        whole = not partial and all(each.outcome is not Outcome.ERROR for each in records)
        yield _record(reviewed, family, waivers, used if whole else {waiver.id for waiver in waivers})


def _record(reviewed: Policy, family: str, waivers: tuple[Waiver, ...], used: set[str]) -> Record:
    path = reviewed.folder / policy.WAIVERS
    name = path.relative_to(reviewed.root).as_posix()
    text, digest = path.read_text(encoding="utf-8"), files.sha256(path)
    findings = []
    for index, waiver in enumerate(waivers):
        problem = _problem(waiver, used)
        if problem:
            rule, message, fix = problem
            line = policy.line_of(text, f"{family}[{index}]")
            findings.append(Finding(rule, message, name, line, resource=waiver.id, fix=fix))
    scan = Scan(
        "waivers",
        f"{name} [{family}]",
        scanned={"waivers": len(waivers)},
        findings=tuple(findings),
        tools=(ToolUse("pixgates", pytest_pixgates.__version__, digest),),
    )
    verdict = scan.verdict
    gate, node = f"{family}/waivers", f"{name}::{family}"
    return Record(gate, family, node, verdict.outcome, verdict.reason, (Check(verdict, scan),), started=time.time())


def _problem(waiver: Waiver, used: set[str]) -> tuple[str, str, str] | None:
    if waiver.expired:
        message = f"waiver {waiver.id} of {waiver.owner} expired on {waiver.expires}"
        return "waiver-expired", message, "mend the finding, or have the waiver reviewed again"
    if waiver.id not in used:
        return "waiver-unused", f"waiver {waiver.id} excuses nothing", "remove it"
    return None
