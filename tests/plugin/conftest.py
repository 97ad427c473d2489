"""A repository with a family of gates that a third party wrote, to try the plugin on without any external tool."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

# As an outsider would write it: public names only.
LEDGER = """
from dataclasses import dataclass, field
from collections.abc import Mapping
import json
import sys

from pytest_pixgates import Family, Gate, Limit, Measurement


@dataclass(frozen=True)
class LedgerPolicy:
    limits: Mapping[str, Limit] = field(default_factory=dict)


class LedgerGates:
    def __init__(self, context):
        self.context = context

    def __getattr__(self, name):
        path = self.context.root / "ledger.json"
        with self.context.progress(f"reading {name}"):
            value, lower, upper, n = json.loads(path.read_text())[name]
        return Measurement(name, value, lower, upper, n, subjects=(self.context.subject(path),))


class Ledger(Family):
    name = "ledger"
    summary = "Balances of the settlement ledger."
    markers = {"nightly_ledger": "ledger gates that only the night run takes."}

    def settings(self):
        return LedgerPolicy

    def fixture(self, context):
        return LedgerGates(context)

    def gates(self, settings, root):
        for name, limit in settings.limits.items():
            yield Gate(f"limit[{name}]", lambda gates, n=name, l=limit: l.judge(getattr(gates, n)), f"limits.{name}")


def pytest_pixgates_families():
    return [Ledger()]
"""

POLICY = """
[environments.prod]
requires = ["ledger"]

[ledger.limits]
settled = { at_least = 0.9 }
"""

# settled is certainly above 0.9, disputed certainly above 0.1, pending undecided at 0.5, and void is not a number.
MEASURED = {
    "settled": [0.99, 0.98, 1.0, 1000],
    "disputed": [0.3, 0.28, 0.32, 1000],
    "pending": [0.5, 0.4, 0.6, 30],
    "void": [0.5, 0.4, 0.6, 0],
}


class Repository:
    """A repository on disk with gates, and pytest and `pixgates verdict` run on it as subprocesses."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester, self.path = pytester, pytester.path
        for name in ("PIXGATES_RUN_ID", "PIXGATES_REPORT_DIR", "PYTEST_ADDOPTS"):
            monkeypatch.delenv(name, raising=False)
        self.write("pytest_ledger.py", LEDGER)
        self.write("conftest.py", 'pytest_plugins = ["pytest_ledger"]\n')
        self.write("gates/gates.toml", POLICY)
        self.write("pytest.ini", "[pytest]\ntestpaths = gates\naddopts = -p no:randomly\n")
        self.write("ledger.json", json.dumps(MEASURED))

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def gate(self, body: str, head: str = "", name: str = "test_settled", parameters: str = "ledger") -> None:
        """Write gates/test_ledger.py with one gate of this body."""
        self.write("gates/test_ledger.py", f"import pytest\n{head}\ndef {name}({parameters}):\n    {body}\n")

    def run(self, *arguments: str) -> pytest.RunResult:
        return self.pytester.runpytest_subprocess(*arguments)

    def verdict(self, *arguments: str) -> int:
        """The exit code of `pixgates verdict`; its output is shown."""
        return int(self.pytester.run(sys.executable, "-m", "pytest_pixgates", "verdict", *arguments).ret)

    def records(self) -> Any:
        return json.loads((self.path / ".pixgates" / "records.json").read_text())

    def outcomes(self) -> dict[str, str]:
        return {record["gate"]: record["outcome"] for record in self.records()["records"]}


@pytest.fixture
def repository(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Repository:
    return Repository(pytester, monkeypatch)


@pytest.fixture(params=[(), ("-n", "2")], ids=["alone", "-n 2"])
def workers(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Arguments that run gates in this process, and over two workers."""
    return tuple(request.param)
