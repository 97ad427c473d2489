"""Runs to report on and to judge: a green one that each test spoils in one way, and arbitrary ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from pytest_pixgates.core import files, policy
from pytest_pixgates.core.record import Check, Record, Run
from pytest_pixgates.core.scan import Finding, Problem, Scan, Severity, State, ToolUse
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome, Verdict

NOW = 1_800_000_000.0
TOOL = ToolUse("checkov", "3.3.30", "ab" * 32, ("checkov", "-d", "iac"))
RENDERED = Subject("rendered", "ef" * 32, "content")
CLEAN = Scan("checkov", "iac/prod", scanned={"files": 2}, tools=(TOOL,), subjects=(RENDERED,))
FINDING = Finding(
    "CKV_AWS_19", "bucket is not encrypted", "iac/prod/main.tf", 12, resource="aws_s3_bucket.a", fix="kms"
)
NODE = "gates/gates.toml::infra::checkov[iac/prod]"
POLICY = """\
[environments.dev]
requires = ["infra"]

[environments.prod]
requires = ["infra", "infra/checkov[iac/prod]"]
max_age = "4h"

[infra]
checkov = ["iac/*"]
"""


def scan(*findings: Finding, **changes: Any) -> Scan:
    return dataclasses.replace(CLEAN, findings=findings, **changes)


def record(*checks: Scan | Verdict, gate: str = "infra/checkov[iac/prod]", node: str = NODE, **changes: Any) -> Record:
    """A record as the plugin makes it of `checks`, whose worst is its outcome."""
    made = tuple(map(Check.of, checks))
    worst = max((check.verdict for check in made), key=lambda verdict: verdict.outcome.rank, default=None)
    outcome, reason = (worst.outcome, worst.reason) if worst is not None else (Outcome.ERROR, "it recorded no check")
    values = {"started": NOW, "seconds": 17.0, **changes}
    return Record(
        gate, gate.partition("/")[0], node, **{"outcome": outcome, "reason": reason, "checks": made, **values}
    )


def run(*records: Record, **changes: Any) -> Run:
    values: dict[str, Any] = {
        "id": "run-1",
        "status": "closed",
        "started": NOW,
        "ended": NOW + 34,
        "families": ("infra",),
        "policy": "gates/gates.toml",
        "policy_sha256": "cd" * 32,
        "expected": {each.node: each.gate for each in records},
        "versions": {"pytest-pixgates": "0.1.0"},
        "records": records,
    }
    return Run(**{**values, **changes})


GREEN = run(record(CLEAN))
RED = run(record(scan(FINDING)))


def repository(root: Path) -> tuple[policy.Policy, Run]:
    """A repository on disk, and the green run of what is in it."""
    for name, text in {"gates/gates.toml": POLICY, "iac/prod/main.tf": "# empty\n", "iac/one.tf": "# one\n"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    reviewed = policy.load(root / "gates" / "gates.toml")
    kinds = {"iac/prod": "tree", "iac/one.tf": "file"}
    subjects = [Subject(name, files.tree_sha256(root / name), kind) for name, kind in kinds.items()]
    judged = scan(subjects=(*subjects, RENDERED))
    return reviewed, run(record(judged), policy_sha256=reviewed.sha256)


# Arbitrary runs, with text as hostile as JSON allows, lone surrogates included.

texts = st.text(st.characters(), max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.dictionaries(texts, st.integers(0, 9), max_size=3)
lines = st.integers(0, 99)
outcomes = st.sampled_from(Outcome)
subjects = st.builds(Subject, texts, texts, st.sampled_from(["tree", "file", "content"]))
verdicts = st.builds(Verdict, outcomes, texts, texts, texts, texts, st.lists(subjects, max_size=2).map(tuple))
findings = st.builds(
    Finding,
    *(texts, texts, texts, lines, st.sampled_from(Severity), texts, texts, texts, st.sampled_from(State), texts, texts),
)
problems = st.builds(Problem, texts, texts, lines, texts)
tools = st.builds(ToolUse, texts, texts, texts, st.lists(texts, max_size=2).map(tuple))
scans = st.builds(
    Scan,
    texts,
    texts,
    counts,
    st.lists(findings, max_size=3).map(tuple),
    st.lists(problems, max_size=2).map(tuple),
    st.lists(tools, max_size=2).map(tuple),
    st.lists(subjects, max_size=2).map(tuple),
    st.booleans(),
    st.lists(texts, max_size=2).map(tuple),
)
checks = st.builds(Check, verdicts, st.none() | scans)
records = st.builds(
    Record,
    gate=texts,
    family=texts,
    node=texts,
    outcome=outcomes,
    reason=texts,
    checks=st.lists(checks, max_size=2).map(tuple),
    started=numbers,
    seconds=numbers,
    attempts=st.integers(1, 3),
)
runs = st.builds(
    Run,
    id=texts,
    status=st.sampled_from(["running", "closed"]),
    started=numbers,
    families=st.lists(texts, max_size=2).map(tuple),
    policy=texts,
    policy_sha256=texts,
    environment=texts,
    ended=numbers,
    partial=st.lists(texts, max_size=2).map(tuple),
    expected=st.dictionaries(texts, texts, max_size=2),
    versions=st.dictionaries(texts, texts, max_size=2),
    records=st.lists(records, max_size=2).map(tuple),
)
