"""Beside locust's own pytest plugin, which owns the fixtures `session` and `fastsession` and the option --host.

A tox environment of its own, since importing locust patches the standard library for all tests of a process.
"""

from __future__ import annotations

import importlib.metadata

from tests.plugin.conftest import Repository
from tests.plugin.conftest import repository as repository

PASSES = "assert ledger.settled >= 0.9"


def test_locusts_plugin_is_really_there() -> None:
    entries = importlib.metadata.entry_points(group="pytest11")
    assert any("locust" in entry.value for entry in entries)


def test_gates_pass_and_fail_beside_locust(repository: Repository) -> None:
    repository.gate(PASSES)
    assert repository.run("--host", "http://127.0.0.1:1").ret == 0
    assert repository.verdict() == 0
    repository.gate("assert ledger.disputed <= 0.1")
    assert repository.run().ret == 1
    assert repository.verdict() == 1
