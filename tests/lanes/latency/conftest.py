"""A small repository whose policy puts load on a small service: a real one, on loopback, with one chosen defect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_pixgates.core import tools
from pytest_pixgates.core.install import install
from pytest_pixgates.core.record import Record, Run, load
from pytest_pixgates.core.verdict import Figure
from tests.lanes.conftest import needed_by

SERVICE = Path(__file__).with_name("service.py")


@pytest.fixture(scope="session", autouse=True)
def locust() -> tools.Tool:
    """The driver's environment, brought if it isn't there."""
    with needed_by("latency"):
        return install("locust").tool


def policy(
    defect: str = "healthy", *, rate: float = 100, duration: str = "7s", limits: str = 'p95 = "250ms"', more: str = ""
) -> str:
    """A policy: p95 with the default claim needs 6 s."""
    return f"""
[latency]
start = ["{{python}}", "{SERVICE}", "{{port}}", "{defect}"]
ready = "/ready"
{more}
[latency.endpoints.score]
path = "/score"
requests = "requests.ndjson"
expect = {{ json_has = ["score"] }}

[latency.stages.steady]
rate = {rate}
duration = "{duration}"
warm_up = "1s"

[latency.limits]
{limits}
"""


class Repository:
    """Writes files, runs pytest as its user would, and reads the records."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester, self.path = pytester, pytester.path
        self.write("requests.ndjson", "\n".join(json.dumps({"amount": amount}) for amount in range(1, 20)))

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def policy(self, text: str) -> None:
        self.write("gates/gates.toml", text)

    def run(self, *arguments: str) -> Run:
        self.result = self.pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)
        self.text = self.result.stdout.str() + self.result.stderr.str()
        return load(self.path / ".pixgates" / "records.json")

    def outcomes(self, *arguments: str) -> dict[str, str]:
        """The outcome of each gate by name."""
        return {record.name: record.outcome.value for record in self.run(*arguments).records}

    def outcome(self, name: str) -> str:
        """The outcome of a gate of the last run."""
        return self._record(name).outcome.value

    def figure(self, name: str) -> Figure:
        """What a gate of the last run compared."""
        return self._record(name).checks[0].verdict.figures[0]

    def _record(self, name: str) -> Record:
        records = load(self.path / ".pixgates" / "records.json").records
        (record,) = (each for each in records if each.name == name)
        return record


@pytest.fixture
def repository(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, locust: tools.Tool) -> Repository:
    monkeypatch.setenv(tools.LOCUST.variable, str(locust.path))  # pytester has a HOME of its own
    for name in ("PIXGATES_RUN_ID", "PIXGATES_REPORT_DIR", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    return Repository(pytester)
