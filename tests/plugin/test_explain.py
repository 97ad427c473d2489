"""`pixgates explain`: what a gate checks and goes by, told of every gate that pytest collects."""

from __future__ import annotations

import sys
import textwrap

import pytest

from tests.plugin.conftest import Repository

POLICY = """\
[pixgates]
alpha = 0.1

[environments.prod]
requires = ["ledger", "model_gate"]

[ledger.limits]
settled = { at_least = 0.9, environments = { prod = 0.95 } }

[model_gate]
scores = "scores.csv"
threshold = 0.5

[model_gate.limits]
recall = { at_least = 0.8 }
precision = { at_least = 0.5 }

[data_contract.data.payments]
path = "payments.csv"
"""


def explain(repository: Repository, *arguments: str) -> pytest.RunResult:
    return repository.pytester.run(sys.executable, "-m", "pytest_pixgates", "explain", *arguments)


def said(done: pytest.RunResult) -> str:
    """Its output with each paragraph in one line."""
    return " ".join(done.stdout.str().split())


@pytest.fixture
def declared(repository: Repository) -> Repository:
    repository.write("gates/gates.toml", POLICY)
    return repository


def test_all_gates_are_listed_with_their_place(declared: Repository) -> None:
    declared.gate("assert ledger.settled >= 0.9")
    done = explain(declared)
    assert done.ret == 0
    lines = [line.split() for line in done.stdout.lines]
    assert lines[0] == ["ledger/limit[settled]", "gates/gates.toml:8"] or lines[-1][0] == "ledger/limit[settled]"
    assert {name for name, _ in lines} == {
        "data_contract/data[payments]", "data_contract/vocabulary",
        "data_contract/changes[gates/contracts/*.odcs.yaml]",
        "ledger/limit[settled]", "ledger/settled",
        "model_gate/limit[precision]", "model_gate/limit[recall]", "model_gate/test_set",
    }  # fmt: skip
    assert not (declared.path / ".pixgates").exists()  # asking leaves no trace in the records


def test_a_limit_is_told_with_its_value_and_line_and_what_else_counts(declared: Repository) -> None:
    done = explain(declared, "limit[recall]")
    assert done.ret == 0
    text = said(done)
    assert "gates/gates.toml:15: limits.recall = { at_least = 0.8 }" in text
    assert 'scores = "scores.csv" (gates/gates.toml:11)' in text
    assert 'label = "label" (the default)' in text
    assert "alpha = 0.1 (gates/gates.toml:2)" in text
    assert "PASS if the whole interval" in text
    assert "required for prod" in text
    assert "docs/model-gate.md" in text


def test_a_third_partys_gate_is_told_with_the_values_of_each_environment(declared: Repository) -> None:
    text = said(explain(declared, "settled"))
    assert "Balances of the settlement ledger." in text
    assert "limits.settled = { at_least = 0.9, environments = { prod = 0.95 } }" in text


def test_a_gate_in_python_is_told_by_its_words_and_assertions(declared: Repository) -> None:
    declared.gate('"""Nothing is in dispute."""\n    assert ledger.disputed <= 0.1', name="test_disputes")
    text = said(explain(declared, "test_disputes"))
    assert "checks Nothing is in dispute." in text
    assert "ledger.disputed <= 0.1 (gates/test_ledger.py:5)" in text


def test_what_the_last_run_said_is_told_too(repository: Repository) -> None:
    assert repository.run().ret == 0
    before = repository.records()
    assert "last run PASS" in said(explain(repository, "settled"))
    assert repository.records() == before  # looking is no run


@pytest.mark.parametrize(
    ("typed", "meant"), [("limit[recal]", "limit[recall]"), ("rcall", "recall"), ("vocabulray", "vocabulary")]
)
def test_a_name_that_is_mistyped_gets_the_nearest(declared: Repository, typed: str, meant: str) -> None:
    done = explain(declared, typed)
    assert done.ret == 4
    assert f"did you mean '{meant}'?" in done.stderr.str()


def test_what_settings_of_pytest_would_leave_out_or_hand_to_workers_is_told(declared: Repository) -> None:
    declared.write("pytest.ini", "[pytest]\naddopts = -n 2 -m ledger -k nothing\n")
    assert "model_gate/limit[recall]" in explain(declared).stdout.str()


@pytest.mark.parametrize(
    ("text", "code", "why"),
    [("[ledgr]\n", 4, "did you mean 'ledger'?"), ("[ledger]\n", 4, "declares no gate"), (None, 4, "No such file")],
    ids=["odd", "empty", "none"],
)
def test_a_policy_that_declares_nothing_is_said(repository: Repository, text: str | None, code: int, why: str) -> None:
    (repository.path / "gates/gates.toml").unlink() if text is None else repository.write("gates/gates.toml", text)
    done = explain(repository)
    assert done.ret == code
    assert why in done.stderr.str()


def test_a_module_of_gates_that_can_not_be_imported_is_said(declared: Repository) -> None:
    declared.write("gates/test_broken.py", textwrap.dedent("import no_such_module\n"))
    done = explain(declared)
    assert done.ret == 4
    assert "no_such_module" in done.stderr.str()
