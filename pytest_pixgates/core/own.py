"""Records that no test makes: of what is reviewed beside the policy, judged once the gates of a family have run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest_pixgates
from pytest_pixgates.core import files
from pytest_pixgates.core.record import Check, Record
from pytest_pixgates.core.scan import Finding, Problem, Scan, ToolUse
from pytest_pixgates.core.subject import Subject


def record(
    name: str,
    family: str,
    subject: Subject,
    scanned: Mapping[str, int],
    findings: Iterable[Finding],
    problems: Iterable[Problem] = (),
    argv: tuple[str, ...] = (),
) -> Record:
    """The record of the gate `family`/`name`, which this package itself judged."""
    scan = Scan(
        name,
        f"{subject.name} [{family}]",
        scanned=scanned,
        findings=tuple(findings),
        problems=tuple(problems),
        tools=(ToolUse("pixgates", pytest_pixgates.__version__, _sha256(), argv),),
        subjects=(subject,),
    )
    verdict = scan.verdict
    gate, node = f"{family}/{name}", f"{subject.name}::{family}"
    return Record(gate, family, node, verdict.outcome, verdict.reason, (Check(verdict, scan),), started=time.time())


def _sha256() -> str:
    return files.tree_sha256(Path(pytest_pixgates.__file__).parent)
