"""What counts as a catch: the gate that is there for it, red by the reason that was said. Nothing else does."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pytest_pixgates.core.record import Record
from pytest_pixgates.core.scan import Judged as JudgedRule
from pytest_pixgates.core.scan import Problem, State
from pytest_pixgates.core.verdict import Outcome, Verdict
from pytest_pixgates.prove import judge
from pytest_pixgates.prove.catalogue import Defect, Variation
from pytest_pixgates.prove.gates import Answer, Seen
from pytest_pixgates.prove.judge import Status
from tests.unit import example_runs
from tests.unit.example_runs import FINDING, scan

GATE = "infra/checkov"
CHANGES = ({"do": "write", "file": "a", "text": "b"},)


def defect(**changes: Any) -> Defect:
    values = {"name": "d", "why": "w", "changes": CHANGES, "area": "a", "gate": GATE, "rule": FINDING.rule, **changes}
    return Defect(**values)


def variation(*gates: str) -> Variation:
    return Variation("v", "w", CHANGES, "a", gates=gates or (GATE,))


def seen(*records: Record, exit_code: int = 1, **changes: Any) -> Seen:
    return Seen(exit_code, example_runs.run(*records, partial=("a part",)), **changes)


def record(check: Any, **changes: Any) -> Record:
    made = example_runs.record(check, gate=GATE, node="gates/gates.toml::infra")
    return dataclasses.replace(made, **changes)


FAILING = record(scan(FINDING))
PASSING = record(scan())
UNREAD = record(scan(problems=(Problem("main.tf does not parse", "main.tf"),)))
RECALL = record(Verdict(Outcome.FAIL, "recall >= 0.75", "0.6 [0.5, 0.7]", "the whole interval is beyond the limit"))
RAISED = record(Verdict(Outcome.PASS, "x"), outcome=Outcome.ERROR, reason="it raised KeyError: 'a'", checks=())


def test_the_expected_gate_red_by_the_expected_rule_is_a_catch() -> None:
    status, said = judge.defect(defect(), GATE, seen(FAILING))
    assert (status, FINDING.rule in said) == (Status.CAUGHT, True)
    assert judge.defect(defect(rule="recall >= 0.75", says="beyond the limit"), GATE, seen(RECALL))[0] is Status.CAUGHT
    unread = defect(rule="", says="main.tf", outcome=Outcome.ERROR)
    assert judge.defect(unread, GATE, seen(UNREAD))[0] is Status.CAUGHT


def test_a_rule_of_a_contract_counts_only_if_it_is_the_one_that_broke() -> None:
    broken = (JudgedRule("a.required", Outcome.FAIL, "3 rows"), JudgedRule("b.required", Outcome.PASS, "0 rows"))
    found = record(scan(dataclasses.replace(FINDING, rule="other"), rules=broken))
    assert judge.defect(defect(rule="a.required"), GATE, seen(found))[0] is Status.CAUGHT
    assert judge.defect(defect(rule="b.required"), GATE, seen(found))[0] is Status.MISSED


@pytest.mark.parametrize(
    ("found", "status", "said"),
    [
        (seen(PASSING, exit_code=0), Status.SURVIVED, "still passes"),
        (seen(FAILING, exit_code=0), Status.ERROR, "yet pytest ended with 0"),
        (seen(record(scan(dataclasses.replace(FINDING, rule="other")))), Status.MISSED, "another reason"),
        (seen(record(scan(dataclasses.replace(FINDING, state=State.WAIVED)))), Status.SURVIVED, "still passes"),
        (seen(RAISED), Status.ERROR, "a crash is not a catch"),
        (seen(record(scan(), outcome=Outcome.ERROR, reason="no record arrived: it did not run", checks=())),
         Status.ERROR, "a crash is not a catch"),
        (seen(UNREAD), Status.ERROR, "ERROR instead of FAIL"),
        (seen(), Status.ERROR, "left no record"),
        (seen(FAILING, exit_code=2), Status.ERROR, "pytest ended with 2"),
        (seen(FAILING, exit_code=3), Status.ERROR, "pytest ended with 3"),
        (Seen(1, None, problem="no records"), Status.ERROR, "no records"),
        (Seen(1, dataclasses.replace(example_runs.run(FAILING), status="running")), Status.ERROR, "never closed"),
    ],
)  # fmt: skip
def test_anything_else_is_none(found: Seen, status: Status, said: str) -> None:
    judged = judge.defect(defect(), GATE, found)
    assert (judged[0], said in judged[1]) == (status, True), judged


def test_undecided_is_a_catch_only_where_that_is_expected() -> None:
    unsure = record(Verdict(Outcome.INCONCLUSIVE, "recall >= 0.75", "", "too few to judge"))
    expected = defect(rule="", says="too few", outcome=Outcome.INCONCLUSIVE)
    assert judge.defect(expected, GATE, seen(unsure))[0] is Status.CAUGHT
    assert judge.defect(defect(), GATE, seen(unsure))[0] is Status.MISSED
    assert judge.defect(expected, GATE, seen(RECALL))[0] is Status.MISSED


@pytest.mark.parametrize(
    ("answer", "changes", "status"),
    [
        (Answer(1, "{…}", ("partial", "too-old")), {"rule": "too-old"}, Status.CAUGHT),
        (Answer(1, "{…}", ("partial",)), {"rule": "too-old"}, Status.MISSED),
        (Answer(0, "{…}", ()), {"rule": "too-old"}, Status.SURVIVED),
        (Answer(1, "refused", None), {"rule": "too-old"}, Status.MISSED),
        (Answer(4, "policy:3: unknown key", None), {"rule": "", "says": "unknown key", "exit_code": 4}, Status.CAUGHT),
        (Answer(1, "policy:3: unknown key", None), {"rule": "", "says": "unknown key", "exit_code": 4}, Status.MISSED),
        (Answer(4, "another", None), {"rule": "", "says": "unknown key", "exit_code": 4}, Status.MISSED),
        (Answer(1, "Traceback (most recent call last):\nunknown key", None), {"rule": "", "says": "unknown key"},
         Status.ERROR),
    ],
)  # fmt: skip
def test_a_question_catches_by_its_rule_its_code_and_its_words(
    answer: Answer, changes: dict[str, Any], status: Status
) -> None:
    asked = defect(gate="verdict", **changes)
    assert judge.defect(asked, "verdict", Seen(answers={"verdict": answer}))[0] is status


def test_a_variation_is_green_only_if_every_gate_passes() -> None:
    assert judge.variation(variation(), seen(PASSING, exit_code=0))[0] is Status.GREEN
    assert judge.variation(variation(), seen(FAILING))[0] is Status.RED
    assert judge.variation(variation(), seen(UNREAD))[0] is Status.RED
    assert judge.variation(variation(), seen(RAISED))[0] is Status.ERROR
    assert judge.variation(variation(), seen(PASSING, exit_code=1))[0] is Status.RED
    assert judge.variation(variation(GATE, "infra/other"), seen(PASSING, exit_code=0))[0] is Status.ERROR
    yes, no = Answer(0, "yes"), Answer(1, "no")
    assert judge.variation(variation("verdict"), Seen(answers={"verdict": yes}))[0] is Status.GREEN
    assert judge.variation(variation("verdict"), Seen(answers={"verdict": no}))[0] is Status.RED


def test_a_baseline_is_green_only_if_all_that_is_asked_is() -> None:
    assert judge.red(seen(PASSING, exit_code=0), [GATE]) == {}
    assert "FAIL" in judge.red(seen(FAILING), [GATE])[GATE]
    assert "left no record" in judge.red(seen(PASSING, exit_code=0), ["infra/other"])["infra/other"]
    assert "left no record" in judge.red(Seen(problem="no records"), [GATE])[GATE]
    assert judge.red(Seen(answers={"verdict": Answer(1, "no")}), ["verdict"]) == {"verdict": "no"}
    assert judge.red(Seen(answers={"verdict": Answer(0, "yes")}), ["verdict"]) == {}
