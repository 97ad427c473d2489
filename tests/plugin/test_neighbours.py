"""Other plugins beside ours: none of them turns a gate green, none of them breaks."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Repository

FAILS, PASSES = "assert ledger.disputed <= 0.1", "assert ledger.settled >= 0.9"


def test_a_rerun_does_not_turn_a_gate_green(repository: Repository, workers: tuple[str, ...]) -> None:
    lucky = "import pathlib; p = pathlib.Path('ran'); first = not p.exists(); p.touch()\n    "
    repository.gate(f"{lucky}{FAILS}" + " if first else ledger.settled >= 0.9")
    assert repository.run("--reruns", "2", *workers).ret == 1
    record = next(each for each in repository.records()["records"] if each["gate"] == "ledger/settled")
    assert record["outcome"] == "FAIL"
    assert record["attempts"] == 3
    assert repository.verdict() == 1


def test_reruns_leave_a_passing_gate_alone(repository: Repository, workers: tuple[str, ...]) -> None:
    repository.gate(PASSES)
    assert repository.run("--reruns", "2", *workers).ret == 0
    assert repository.verdict() == 0


@pytest.mark.parametrize("seed", ["1", "2"])
def test_a_random_order_changes_nothing(repository: Repository, workers: tuple[str, ...], seed: str) -> None:
    repository.write("pytest.ini", "[pytest]\ntestpaths = gates\n")
    repository.gate(PASSES)
    assert repository.run(f"--randomly-seed={seed}", *workers).ret == 0
    assert repository.verdict() == 0


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_a_timeout_is_red(repository: Repository, method: str) -> None:
    repository.gate("import threading; threading.Event().wait(30)")
    assert repository.run("--timeout=0.5", f"--timeout-method={method}").ret != 0
    assert repository.verdict() in (1, 2)


def test_coverage_does_not_disturb(repository: Repository, workers: tuple[str, ...]) -> None:
    repository.gate(PASSES)
    assert repository.run("--cov=gates", *workers).ret == 0
    assert repository.verdict() == 0


def test_a_fixture_of_the_same_name_by_somebody_else_is_no_gate(
    repository: Repository, workers: tuple[str, ...]
) -> None:
    repository.write("other/conftest.py", "import pytest\n@pytest.fixture\ndef infra():\n    return 'mine'\n")
    repository.write("other/test_mine.py", "def test_mine(infra):\n    assert infra == 'mine'\n")
    repository.gate(PASSES)
    assert repository.run("gates", "other", *workers).ret == 0
    assert set(repository.outcomes()) == {"ledger/limit[settled]", "ledger/settled"}


def test_an_override_that_uses_our_fixture_is_still_a_gate(repository: Repository, workers: tuple[str, ...]) -> None:
    repository.gate("pass", "@pytest.fixture\ndef ledger(ledger):\n    return ledger\n")
    assert repository.run("-m", "ledger", *workers).ret == 1
    assert repository.outcomes()["ledger/settled"] == "ERROR"


@pytest.mark.parametrize("value", ["report.user_properties.clear()", "report.user_properties.append(('x', 'y'))"])
def test_a_plugin_that_edits_user_properties_loses_no_record(
    repository: Repository, workers: tuple[str, ...], value: str
) -> None:
    hook = "import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_logreport(report):\n"
    repository.write("editor.py", f"{hook}    {value}\n")
    repository.gate(FAILS)
    assert repository.run("-p", "editor", *workers).ret == 1
    assert repository.outcomes() == {"ledger/settled": "FAIL", "ledger/limit[settled]": "PASS"}


def test_a_property_that_can_not_cross_from_a_worker_is_not_green(repository: Repository) -> None:
    body = f"import pathlib; request.node.user_properties.append(('p', pathlib.Path('x')))\n    {PASSES}"
    repository.gate(body, parameters="request, ledger")
    assert repository.run("-n", "2").ret != 0
    assert repository.verdict() != 0


def test_a_unittest_case_can_be_a_gate(repository: Repository, workers: tuple[str, ...]) -> None:
    repository.write(
        "gates/test_ledger.py",
        "import unittest, pytest\n"
        "class TestLedger(unittest.TestCase):\n"
        "    @pytest.fixture(autouse=True)\n"
        "    def _give(self, ledger):\n        self.ledger = ledger\n"
        "    def test_passes(self):\n        assert self.ledger.settled >= 0.9\n"
        "    def test_fails(self):\n        self.assertTrue(self.ledger.disputed <= 0.1)\n",
    )
    assert repository.run(*workers).ret == 1
    outcomes = repository.outcomes()
    assert outcomes["ledger/TestLedger.test_passes"] == "PASS"
    assert outcomes["ledger/TestLedger.test_fails"] == "FAIL"
