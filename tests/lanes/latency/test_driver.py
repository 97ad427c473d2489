"""The driver against real services: nothing waits, nothing is lost, nothing goes where it may not."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_pixgates.core.errors import NotMeasured, ToolError
from pytest_pixgates.core.tools import LOCUST, Tool, find
from pytest_pixgates.latency import load, service
from pytest_pixgates.latency.load import Run
from pytest_pixgates.latency.policy import Endpoint, Expect, LatencyPolicy, Stage
from pytest_pixgates.latency.results import View, problems
from tests.lanes.latency.conftest import SERVICE

ROOT = Path(__file__).parents[3]


def settings(defect: str = "healthy", *, rate: float = 100, duration: str = "2s", **more: Any) -> LatencyPolicy:
    given: dict[str, Any] = {
        "start": ("{python}", str(SERVICE), "{port}", defect),
        "ready": "/ready",
        "endpoints": {"score": Endpoint(path="/score", expect=Expect(json_has=("score",)))},
        "stages": {"steady": Stage(rate=rate, duration=duration, warm_up="0.5s")},
        "timeout": "2s",
        **more,
    }
    if "locustfile" in more:
        del given["endpoints"]
    return LatencyPolicy(**given)


def driven(policy: LatencyPolicy, folder: Path, root: Path = ROOT) -> Run:
    folder.mkdir(exist_ok=True)
    with service.running(policy, root, folder / "service.log") as place:
        return load.drive(policy, dict(policy.stages), [place], folder / "run", root, seed=1)


def test_every_request_is_recorded_with_its_moments_in_order(tmp_path: Path) -> None:
    run = driven(settings(), tmp_path)
    assert len(run.rows) == len(run.arrivals) == sum(each.recorded for each in run.summaries)
    rows = run.rows
    assert (rows["outcome"] == load.OK).all()
    assert (rows["status"] == 200).all()
    assert (rows["intended"] == run.arrivals["due"]).all()
    for before, after in (("intended", "sent"), ("sent", "first"), ("first", "done")):
        assert (rows[before] <= rows[after]).all()
    assert run.header.driver.version == "2.47.0"
    assert run.header.driver.sha256


def test_requests_go_out_when_due_although_none_is_answered_yet(tmp_path: Path) -> None:
    """Each answer takes 1.5 s. A closed loop with so many users would wait for them."""
    run = driven(settings("delayed:1.5", rate=50, connections=200), tmp_path)
    late = np.median(run.rows["sent"] - run.rows["intended"]) / 1e9
    assert late < 0.5
    assert run.summaries[0].most > 50
    assert np.median(run.rows["done"] - run.rows["intended"]) / 1e9 >= 1.5


def test_more_unanswered_requests_than_connections_is_said_and_decides_nothing(tmp_path: Path) -> None:
    policy = settings("delayed:1.5", rate=50, connections=10)
    run = driven(policy, tmp_path)
    assert run.summaries[0].most == 10
    assert any("`connections`" in each for each in problems(run))


@pytest.mark.parametrize(
    ("defect", "outcome", "status"),
    [
        ("error_body", load.WRONG_BODY, 200),
        ("failing", load.WRONG_STATUS, 503),
        ("drops", load.NO_ANSWER, 0),
        ("silent", load.TIMEOUT, 0),
    ],
)
def test_what_became_of_a_request_is_told_apart(tmp_path: Path, defect: str, outcome: int, status: int) -> None:
    run = driven(settings(defect, timeout="1s"), tmp_path)
    wrong = run.rows["outcome"] != load.OK
    assert set(run.rows["outcome"][wrong]) == {outcome}
    assert set(run.rows["status"][wrong]) == {status}
    assert wrong.sum() == len(run.rows) // 10  # one in ten, and no hidden second try


def test_workers_share_the_schedule_and_lose_nothing_at_the_end(tmp_path: Path) -> None:
    run = driven(settings("delayed:0.3", rate=120, workers=3), tmp_path)
    assert [each.scheduled for each in run.summaries] == [
        len(range(worker, len(run.arrivals), 3)) for worker in range(3)
    ]
    assert all(each.scheduled == each.sent == each.recorded for each in run.summaries)
    assert len(run.rows) == len(run.arrivals)
    assert not any("recorded" in each for each in problems(run))
    assert (run.rows["outcome"] == load.OK).all()


LOCUSTFILE = """
from locust import FastHttpUser, HttpUser, TaskSet, events, tag, task

STARTED = []

class Buyer(FastHttpUser):
    def on_start(self):
        STARTED.append(self)

    @task(3)
    def pay(self):
        self.client.post("/score", json={"amount": 1})

    @task
    class Nested(TaskSet):
        @task
        def check(self):
            with self.client.get("/score", catch_response=True) as answer:
                if "score" not in answer.json():
                    answer.failure("no score")

class Old(HttpUser):
    @task
    def pay(self):
        self.client.post("/score", json={"amount": 1})
        self.client.post("/score", json={"amount": 2})
"""


def test_a_users_own_tasks_follow_our_schedule_and_clock(tmp_path: Path) -> None:
    (tmp_path / "locustfile.py").write_text(LOCUSTFILE)
    run = driven(settings(locustfile="locustfile.py"), tmp_path, tmp_path)
    assert len(run.rows) == len(run.arrivals)
    assert (run.rows["outcome"] == load.OK).all(), run.summaries[0].errors
    assert (run.rows["status"] == 200).all()
    assert (run.rows["done"] > run.rows["sent"]).all()
    broken = driven(settings("failing", locustfile="locustfile.py"), tmp_path, tmp_path)
    assert (broken.rows["outcome"] == load.WRONG_STATUS).any()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("self.client.get('http://192.0.2.7/')", "not this machine"),
        ("pass", ""),
        ("1 / 0", "ZeroDivisionError"),
    ],
    ids=["another host", "no request", "raises"],
)
def test_a_task_that_leaves_the_machine_sends_nothing_or_raises_is_an_error(
    tmp_path: Path, body: str, told: str
) -> None:
    (tmp_path / "locustfile.py").write_text(
        "from locust import FastHttpUser, task\n\nclass Any(FastHttpUser):\n"
        f"    @task\n    def one(self):\n        {body}\n"
    )
    run = driven(settings(locustfile="locustfile.py", rate=20, duration="1s"), tmp_path, tmp_path)
    assert (run.rows["outcome"] != load.OK).all()
    assert told in str(run.summaries[0].errors)


def test_a_locustfile_that_cannot_be_read_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "locustfile.py").write_text("import a_module_that_nobody_has\n")
    with pytest.raises(ToolError, match="a_module_that_nobody_has"):
        driven(settings(locustfile="locustfile.py"), tmp_path, tmp_path)


def test_load_goes_to_this_machine_or_to_who_is_named() -> None:
    assert service.target("http://127.0.0.1:80", ()).addresses == ("127.0.0.1",)
    assert "127.0.0.1" in service.target("http://localhost:80", ()).addresses
    for stranger in ("http://192.0.2.7:80", "http://10.0.0.1"):
        with pytest.raises(NotMeasured, match="not this machine"):
            service.target(stranger, ("example.com",))
    assert service.target("http://192.0.2.7:80", ("192.0.2.7",)).host == "192.0.2.7"


def test_a_service_that_does_not_start_or_get_ready_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match=r"ended with 1 before it was ready(?s:.*)KeyError"):
        driven(settings("no such defect"), tmp_path)
    with pytest.raises(NotMeasured, match=r"/unready was not ready within 1 s: it answers 503"):
        driven(settings("failing_always", ready="/unready", ready_within="1s"), tmp_path)


def test_the_service_is_gone_after_the_run(tmp_path: Path) -> None:
    policy = settings()
    with service.running(policy, ROOT, tmp_path / "service.log") as place:
        pass
    with pytest.raises(NotMeasured, match="was not ready"):
        service._wait(LatencyPolicy(url=place.url, ready_within="0.2s"), place, None, tmp_path / "service.log")


@contextlib.contextmanager
def starved(folder: Path, stopped: float = 0.15, every: float = 0.3) -> Iterator[None]:
    """Keeps the driver that works in `folder` from its core for half of the time, as a machine that is too busy."""
    over = threading.Event()

    def hold() -> None:
        while not over.wait(every - stopped):
            pids = list(_drivers(folder))
            for what in (signal.SIGSTOP, signal.SIGCONT):
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, what)
                if what == signal.SIGSTOP:
                    time.sleep(stopped)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _drivers(folder: Path) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"PIXGATES_LOAD={folder}".encode() in (process / "environ").read_bytes():
                yield int(process.name)


def test_a_generator_starved_of_its_core_fails_no_service(tmp_path: Path) -> None:
    """Half of the requests seem slow, for which the service can do nothing."""
    policy = settings(duration="7s")
    with starved(tmp_path / "run"):
        run = driven(policy, tmp_path)
    seen = View(run, 0, 0, 0.05, 0.1)
    assert np.quantile(seen.taken, 0.95) > 0.05
    assert seen.rows["sent"].max() > 0
    verdict = seen.p95 <= "30ms"
    assert verdict.outcome.value == "INCONCLUSIVE", verdict
    assert "sent late" in verdict.reason or "generator was the limit" in verdict.reason


def test_a_rate_that_the_generator_cannot_send_decides_nothing(tmp_path: Path) -> None:
    run = driven(settings(rate=15_000, duration="1s", timeout="5s"), tmp_path)
    assert problems(run)
    assert (View(run, 0, 0, 0.05, 0.001).p95 <= "4s").outcome.value == "INCONCLUSIVE"


def test_the_driver_is_the_tool_box_own_locust(locust: Tool) -> None:
    assert find(LOCUST, configured=locust.path) == locust
