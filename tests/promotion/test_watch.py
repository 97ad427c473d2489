"""A service that gets worse is noticed by its own figures, and taken back if the policy says so."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

import pytest

from ml_pipeline.deploy import deploy
from ml_pipeline.ledger.history import Fate
from ml_pipeline.targets.proof import payment
from ml_pipeline.watch import Budget, Seen, Watch, burnt, counted, drifted
from tests.promotion.test_deploy import fates
from tests.promotion.world import Model, World

WORDS = ("--window", "60", "--every", "0.05", "--least", "20", "--burn", "1", "--objective", "0.9", "--slow", "1")


def pay(port: int, cents: int, count: int) -> set[str]:
    """By what so many payments are decided."""
    connection, found = http.client.HTTPConnection("127.0.0.1", port, timeout=60), set()
    for _ in range(count):
        body = json.dumps(payment() | {"amount_cents": cents})
        connection.request("POST", "/score", body, {"content-type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        found.add(answer.get("model_version", "none"))
    connection.close()
    return found


def burning(world: World, on_burn: str) -> tuple[int, str]:
    """What `watch` ends with, while large payments come."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "ml_pipeline", *world.command("watch", *WORDS), "--on-burn", on_burn]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watching:
        while watching.poll() is None:
            try:
                pay(world.port, 500_000, 10)
            except (OSError, http.client.HTTPException):  # the process that is left ends its connections
                continue
        said = watching.communicate()
    return watching.returncode, said[1]


def test_a_service_that_degrades_is_rolled_back_or_only_told_of(world: World, good: Model, degrading: Model) -> None:
    for model in (good, degrading):
        world.promote(model)
        deploy(world.place())
    assert pay(world.port, 100, 5) == {f"pix-fraud-{degrading.sha256[:12]}"}, "small payments go well"
    assert pay(world.port, 500_000, 5) == {"rules-1"}, "large ones do not"

    code, said = burning(world, "alert")
    assert code == 1, said
    assert "ALERT dev: the error budget burns" in said
    assert fates(world) == [Fate.REPLACED, Fate.LIVE], "it only told"

    code, said = burning(world, "rollback")
    assert code == 1, said
    assert fates(world) == [Fate.REPLACED, Fate.LEFT, Fate.LIVE]
    assert world.history().generations[-1].entry.why.startswith("error budget: ")
    assert pay(world.port, 500_000, 5) == {f"pix-fraud-{good.sha256[:12]}"}


def test_a_good_service_is_left_alone(world: World, good: Model, better: Model) -> None:
    for model in (good, better):
        world.promote(model)
        deploy(world.place())
    watch = Watch(Budget(objective=0.9, least=20, slow=1.0, burn=1.0), f"http://127.0.0.1:{world.port}/metrics")
    for now in range(5):
        assert watch.look(now) == ""
        pay(world.port, 500_000, 10)
    assert watch.seen[-1].total - watch.seen[0].total >= 40


def test_a_service_that_is_silent_burns_the_budget_but_one_silence_does_not(world: World) -> None:
    watch = Watch(Budget(), f"http://127.0.0.1:{world.port}/metrics")
    assert watch.look(0) == ""
    assert watch.look(1) == ""
    assert "did not answer 3 times in a row" in watch.look(2)


BUDGET = Budget(objective=0.99, window=60, burn=5, least=20)  # 5 % burns


@pytest.mark.parametrize(
    ("seen", "burns"),
    [
        ([(0, 0, 0), (30, 500, 50), (60, 1000, 100)], True),
        ([(0, 0, 0), (30, 500, 20), (60, 1000, 40)], False),
        ([(0, 0, 0), (30, 500, 100), (50, 900, 100), (60, 1000, 100)], False),  # it is over
        ([(0, 0, 0), (50, 980, 0), (60, 1000, 20)], False),  # it has just begun
        ([(0, 0, 0), (60, 10, 10)], False),  # too few to tell
        ([(0, 0, 0), (60, 0, 0)], False),
        ([(0, 0, 0)], False),
        ([], False),
    ],
)
def test_the_budget_burns_only_over_the_whole_window_and_now(seen: list[tuple[int, int, int]], burns: bool) -> None:
    assert bool(burnt([Seen(*each) for each in seen], BUDGET)) is burns


def test_clients_mistakes_are_no_fault_of_the_service_and_slow_answers_are() -> None:
    text = """\
# HELP scoring_requests_total x
scoring_requests_total{endpoint="/score",status="200"} 80.0
scoring_requests_total{endpoint="/score",status="422"} 50.0
scoring_requests_total{endpoint="/score",status="503"} 5.0
scoring_requests_total{endpoint="/metrics",status="500"} 9.0
scoring_decisions_total{decision="review",model_version="rules-1"} 3.0
scoring_request_seconds_bucket{endpoint="/score",le="0.1"} 133.0
scoring_request_seconds_bucket{endpoint="/score",le="+Inf"} 135.0
scoring_request_seconds_count{endpoint="/score"} 135.0
"""
    assert counted(text, 0, 0.1) == Seen(0, 85, 10)
    with pytest.raises(ValueError, match=r"no bucket of 0\.2 s"):
        counted(text, 0, 0.2)


def test_drift_is_told_and_a_run_without_its_gate_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "records.json"

    def write(*records: dict[str, str]) -> None:
        path.write_text(json.dumps({"records": records}))

    write({"gate": "model_gate/drift", "outcome": "FAIL", "reason": "amount_log moved"})
    assert drifted(path) == ["model_gate/drift is FAIL: amount_log moved"]
    write({"gate": "model_gate/drift", "outcome": "PASS", "reason": ""})
    assert drifted(path) == []
    write({"gate": "model_gate/recall", "outcome": "PASS", "reason": ""})
    with pytest.raises(ValueError, match="no record of the drift gate"):
        drifted(path)
