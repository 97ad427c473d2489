"""`pytest -m latency` as its user runs it: one load for all limits, alone on the machine, and what it leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_pixgates.core.record import load
from pytest_pixgates.latency.load import Run
from tests.lanes.latency.conftest import SERVICE, Repository, policy
from tests.lanes.latency.test_controls import judged

QUICK = "covers_stalls = '10ms'"

OTHERS = """
import json, os, time
from pytest_pixgates import Family, Gate, Measurement
from dataclasses import dataclass

@dataclass(frozen=True)
class Settings:
    gates: int = 0

class Busy:
    def __init__(self, context):
        self.subjects = (context.subject("gates"),)

    def work(self, number):
        began = time.time()
        time.sleep(1.0)
        with open("busy.ndjson", "a") as file:
            file.write(json.dumps([began, time.time()]) + "\\n")
        return Measurement.exact("work", number, subjects=self.subjects) <= 100

class Ledger(Family):
    name = "ledger"
    summary = "Another family."

    def settings(self):
        return Settings

    def fixture(self, context):
        return Busy(context)

    def gates(self, settings, root):
        for number in range(settings.gates):
            yield Gate(f"work[{number}]", lambda gates, number=number: gates.work(number))

def pytest_pixgates_families():
    return [Ledger()]
"""


@pytest.mark.parametrize("workers", [(), ("-n", "3")], ids=["alone", "-n 3"])
def test_one_load_answers_all_limits_last_and_while_nothing_else_runs(
    repository: Repository, workers: tuple[str, ...]
) -> None:
    limits = 'p50 = "1s"\np95 = "2s"\nerrors = "5%"\navailability = "95%"'
    repository.policy(policy(duration="2s", limits=limits, more=QUICK) + "\n[ledger]\ngates = 4\n")
    repository.write("busy.py", OTHERS)
    repository.write("conftest.py", "pytest_plugins = ['busy']\n")
    found = repository.outcomes(*workers)
    assert {name: outcome for name, outcome in found.items() if name.startswith("work")} == {
        f"work[{number}]": "PASS" for number in range(4)
    }
    assert len(found) == 8
    loads = list(repository.path.glob(".pixgates/latency/*/run.json"))
    assert len(loads) == 1
    began, ended = loads[0].with_name("load.json").stat().st_mtime, loads[0].stat().st_mtime
    busy = [json.loads(line) for line in (repository.path / "busy.ndjson").read_text().splitlines()]
    assert len(busy) == 4
    assert all(end <= began for _, end in busy), (began, ended, busy)


def test_the_run_leaves_its_records_a_picture_and_a_histogram(repository: Repository) -> None:
    repository.policy(policy(duration="2s", more=QUICK))
    repository.run()
    folder = repository.path / ".pixgates" / "latency" / "run"
    assert (folder / "steady-score.svg").read_text().startswith("<svg")
    assert "p95 limit 250 ms" in (folder / "steady-score.svg").read_text()
    from hdrh.histogram import HdrHistogram

    run = Run.read(folder)
    judged_rows = run.rows[run.arrivals["judged"][run.rows["index"]] == 1]
    histogram = HdrHistogram.decode((folder / "steady-score.hdr").read_text().strip())
    assert histogram.get_total_count() == len(judged_rows)
    exact = ((judged_rows["done"] - judged_rows["intended"]) / 1e3).max()
    assert histogram.get_max_value() == pytest.approx(exact, rel=0.002)


def test_a_pass_names_what_was_judged_and_pins_the_records(repository: Repository) -> None:
    repository.write("service/app.py", "# the service\n")
    repository.policy(policy(limits='p50 = "1s"', duration="2s", more=QUICK + "\nsubjects = ['service']"))
    assert judged(repository, (repository.path / "gates/gates.toml").read_text(), "p50") == "PASS"
    (record,) = load(repository.path / ".pixgates" / "records.json").records
    subjects = {each.name: each for each in record.checks[0].subjects}
    assert set(subjects) == {"service", "requests.ndjson", "gates/gates.toml", "latency/run"}
    assert subjects["latency/run"].sha256 == Run.read(repository.path / ".pixgates/latency/run").digest
    verdict = [sys.executable, "-m", "pytest_pixgates", "verdict"]
    assert subprocess.run(verdict, cwd=repository.path, check=False).returncode == 0
    repository.write("service/app.py", "# another service\n")
    assert subprocess.run(verdict, cwd=repository.path, check=False).returncode != 0


def test_gates_in_python_read_like_a_specification(repository: Repository) -> None:
    repository.policy(policy(duration="2s", limits="", more=QUICK))
    repository.write(
        "gates/test_latency.py",
        """
def test_half(latency):
    assert latency.p50 <= "1s"

def test_errors(latency):
    assert latency.view("steady", "score").errors <= "10%"

def test_too_much_to_ask(latency):
    assert latency.p95 <= "1us"

def test_no_such_stage(latency):
    assert latency.view("peak").p95 <= "1s"
""",
    )
    found = repository.outcomes()
    assert (found["too_much_to_ask"], found["no_such_stage"]) == ("FAIL", "ERROR")
    assert (found["half"], found["errors"]) == ("PASS", "PASS")
    assert "slower than 1us" in repository.text
    assert "there are steady" in repository.text


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (("{port}\", \"healthy", "{port}\", \"nothing"), "ended with 1 before it was ready"),
        (("requests.ndjson", "missing.ndjson"), "missing.ndjson"),
        (('ready = "/ready"', 'url = "http://192.0.2.7:{port}"'), "not this machine"),
        (('path = "/score"\n', ""), "requests.ndjson:1"),
    ],
    ids=["does not start", "no requests", "another machine", "lines that are no requests"],
)  # fmt: skip
def test_what_keeps_the_load_from_being_sent_is_an_error_of_every_limit(
    repository: Repository, spoil: tuple[str, str], told: str
) -> None:
    repository.policy(policy(limits='p50 = "1s"\np95 = "2s"').replace(*spoil))
    assert set(repository.outcomes().values()) == {"ERROR"}
    assert told in repository.text


def test_a_missing_driver_is_an_error_that_names_the_command(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIXGATES_LOCUST", str(tmp_path / "nothing"))
    repository.policy(policy())
    assert set(repository.outcomes().values()) == {"ERROR"}
    assert "pixgates tools install locust" in repository.text


def test_a_test_that_asks_for_the_fixture_only_while_it_runs_does_not_wait_for_itself(repository: Repository) -> None:
    repository.policy(policy(duration="2s", limits='p50 = "1s"', more=QUICK))
    repository.write(
        "gates/test_late.py",
        "def test_late(request, latency):\n    assert request.getfixturevalue('latency').p50 <= '1s'\n",
    )
    repository.write(
        "tests/test_other.py",
        "def test_x(request):\n    assert request.getfixturevalue('latency').p50 <= '1s'\n",
    )
    found = repository.outcomes("gates", "tests", "-p", "no:randomly")
    assert set(found.values()) == {"PASS"}
    assert len(found) == 3


def test_who_judges_infrastructure_pays_nothing_for_load(repository: Repository) -> None:
    repository.policy(policy() + "[infra]\n")
    repository.write(
        "gates/test_infra.py",
        """
import sys
from pytest_pixgates import Measurement

def test_one(infra):
    print("LOADED", sorted({name.partition(".")[0] for name in sys.modules}))
    assert Measurement.exact("ones", 1, subjects=(infra.subject("gates"),)) <= 1
""",
    )
    repository.run("-m", "infra", "-s", "-q", "-p", "no:randomly", "-p", "no:xdist", "gates")
    loaded = next(line for line in repository.text.splitlines() if "LOADED" in line)
    for name in ("numpy", "scipy", "hdrh", "locust", "gevent"):
        assert f"'{name}'" not in loaded
    assert not (repository.path / ".pixgates" / "latency").exists()


def previous(defect: str, *, margin: str = "5%") -> str:
    return f"""
[latency.previous]
start = ["{{python}}", "{SERVICE}", "{{port}}", "{defect}"]
ready = "/ready"
slow = "200ms"
margin = "{margin}"
"""


def test_a_version_that_is_slower_than_the_previous_one_fails_beside_it(repository: Repository) -> None:
    """One in ten drops, so counts as slow, in one of the two."""
    load = {"rate": 200, "duration": "6s", "limits": "", "more": QUICK}
    for new, old, outcome in (("drops", "healthy", "FAIL"), ("drops", "drops", "PASS")):
        margin = "9%" if new == old else "2%"
        repository.policy(policy(new, **load) + previous(old, margin=margin))
        for _ in range(4):
            found = repository.outcomes()["previous"]
            if found != "INCONCLUSIVE":
                break
        assert found == outcome, (new, old, repository.text)


def test_a_version_that_does_not_start_is_an_error(repository: Repository) -> None:
    repository.policy(policy(limits="") + previous("nothing"))
    assert repository.outcomes() == {"previous": "ERROR"}
    assert "before it was ready" in repository.text


def test_the_capacity_is_found_between_a_rate_that_passes_and_one_that_fails(repository: Repository) -> None:
    """The service does 150 requests a second, one after the other."""
    capacity = """
[latency.capacity]
at_least = {}
percentile = "p90"
slow = "400ms"
low = 20
high = 900
probes = 4
duration = "3s"
"""
    base = policy("capped:150", limits="", more=QUICK)
    for asked, outcome in ((60, "PASS"), (600, "FAIL")):
        repository.policy(base + capacity.format(asked))
        for _ in range(3):
            found = repository.outcomes()["capacity"]
            if found != "INCONCLUSIVE":
                break
        assert found == outcome, repository.text
        figure = repository.figure("capacity")
        assert figure.value <= 150 * 1.2
        assert figure.upper is None or figure.upper >= 150 * 0.8
