"""Runs whose every text tries to be something else, and runs with very much in them."""

from __future__ import annotations

import dataclasses

from pytest_pixgates.core.record import Run
from pytest_pixgates.core.scan import Finding, Judged, Problem, State, ToolUse
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Figure, Outcome, Verdict
from pytest_pixgates.history.entry import Entry
from pytest_pixgates.history.target import Target
from pytest_pixgates.report.beside import Beside
from tests.unit import example_runs

TEXT = (
    "\"'></title></style></script><script>window.planted=1</script><img src=x onerror=window.planted=1>"
    "<svg onload=window.planted=1>\x1b[31m\x00\u202e\ud800&lt;\n]]>-->{{7*7}}javascript:window.planted=1" + "W" * 300
)
FAMILY = TEXT.replace("/", "\\")
_FOUND = Finding(TEXT, TEXT, TEXT, 3, resource=TEXT, fix=TEXT, help_uri="javascript:window.planted=1")
_EXCUSED = [dataclasses.replace(_FOUND, state=each, waiver=TEXT, excuse=f"{TEXT} until 2027-13-41") for each in State]
_LINKED = dataclasses.replace(
    _FOUND, rule="linked", help_uri="https://docs.example.org/\"onmouseover='window.planted=1'"
)


def _run() -> Run:
    problem = Problem(TEXT, TEXT, 1, TEXT)
    scan = example_runs.scan(
        _FOUND, _LINKED, *_EXCUSED,
        name=TEXT, target=TEXT, scanned={TEXT: 3}, problems=(problem,), undecided=(problem,),
        tools=(ToolUse(TEXT, TEXT, TEXT, (TEXT,)),), subjects=(Subject(TEXT, TEXT, TEXT),),
        rules=(Judged(TEXT, Outcome.FAIL, TEXT),),
    )  # fmt: skip
    figures = (Figure(TEXT, 0.5, 0.4, 0.6, ">=", 0.45, 3, TEXT), Figure(TEXT, 1.0, None, None, TEXT, 2.0, 3, TEXT))
    verdict = Verdict(Outcome.FAIL, TEXT, TEXT, TEXT, TEXT, figures=figures)
    gate = f"{FAMILY}/{TEXT}"
    records = [example_runs.record(each, gate=gate, node=f"{TEXT}{at}") for at, each in enumerate((scan, verdict))]
    return example_runs.run(
        *records, id=TEXT, families=(FAMILY,), policy=TEXT, policy_sha256=TEXT, environment=TEXT, partial=(TEXT,),
        versions={TEXT: TEXT}, expected={f"{TEXT}0": gate, TEXT: TEXT},
    )  # fmt: skip


RUN = _run()
_BEFORE = tuple(
    dataclasses.replace(
        Entry.of(RUN, branch=TEXT, commit=TEXT), run=f"{TEXT}{at}", started=RUN.started - 9 + at, outcome=Outcome.PASS
    )
    for at in range(9)
)
BESIDE = Beside(
    excerpts={(FAMILY, TEXT, 3): ((2, TEXT), (3, f"    {TEXT}"))},
    entries=_BEFORE,
    problem=TEXT,
    target=Target(TEXT, _BEFORE[-1], TEXT),
    pictures={
        TEXT: ((TEXT, f"<svg xmlns='http://www.w3.org/2000/svg' onload='window.planted=1'><text>{'x'}</text></svg>"),)
    },
    url='javascript:window.planted=1//"><script>window.planted=1</script>',
)


def many(count: int) -> Run:
    """So many findings, of ten rules in twenty gates."""
    records = []
    for gate in range(20):
        found = [
            Finding(
                f"rule-{at % 10}",
                f"finding {at} of gate {gate} " + "x" * 200,
                f"iac/{gate}/{at}.tf",
                at + 1,
                fix="mend it " * 20,
            )
            for at in range(count // 20)
        ]
        records.append(
            example_runs.record(example_runs.scan(*found), gate=f"infra/checkov[{gate}]", node=f"node-{gate}")
        )
    return example_runs.run(*records)
