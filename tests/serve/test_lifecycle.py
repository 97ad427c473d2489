"""A service that starts, takes another model, is overloaded and ends: no request is lost, nothing unproven decides."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ml_pipeline.serving.queue import Queue
from ml_pipeline.serving.requests import Refused
from tests.serve.conftest import DEADLINE, ROOT, Answer, Bank, Redis, Start, asked, copied, flood, promote, until


def listening() -> socket.socket:
    """A socket as a supervisor keeps it."""
    made = socket.create_server(("127.0.0.1", 0), backlog=256)
    made.set_inheritable(True)
    return made


def under_load(port: int, bank: Bank, act: Callable[[], None]) -> tuple[list[str], list[Answer]]:
    """The ids of payments that are sent for as long as `act` does something, and all answers."""
    sent: list[str] = []
    acted = threading.Event()

    def payments() -> Iterator[dict[str, Any]]:
        while not acted.is_set():
            one = bank.payments[len(sent) % len(bank.payments)]
            sent.append(f"{one['end_to_end_id'][:-8]}{len(sent):08d}")
            yield {**one, "end_to_end_id": sent[-1]}

    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(asyncio.run, flood(port, payments(), connections=8))
        try:
            act()
        finally:
            acted.set()
        return sent, answers.result(DEADLINE * 3)


# Start


def test_the_process_loads_neither_tables_nor_training(bank: Bank, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom ml_pipeline import serve\nfrom ml_pipeline.serving import server\n"
        "server.model.load(sys.argv[1], sys.argv[2]); server.opened(sys.argv[3], None)\nprint(*sys.modules)"
    )
    command = [sys.executable, "-c", code, str(bank.model), str(bank.record), str(tmp_path)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    heavy = {
        "polars",
        "pandas",
        "pyarrow",
        "sklearn",
        "scipy",
        "mlflow",
        "skl2onnx",
        "onnx",
        "redis",
        "obstore",
        "pytest",
    }
    assert heavy & {name.split(".")[0] for name in loaded} == set()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--queue", "0"], "--queue"),
        (["--wait-ms", "nan"], "--wait-ms"),
        (["--ahead", "1e12"], "--ahead"),
        (["--log-level", "LOUD"], "LOUD"),
        (["--state", "redis://127.0.0.1:1"], "--hash-key FILE"),
        (["--contracts", "nowhere"], "nowhere"),
        (["--hash-key", "nowhere"], "nowhere"),
        (["--state", "@nowhere"], "nowhere can't be read"),
        (["--state", f"@{os.devnull}"], "is empty"),
        (["--host", "192.0.2.1"], "assign"),
    ],
)
def test_what_cannot_be_is_said_and_ends_with_2(tmp_path: Path, arguments: list[str], says: str) -> None:
    given = ["--state", str(tmp_path), "--port", "0", *arguments]
    for module in (["ml_pipeline", "serve"], ["ml_pipeline.serve"]):
        command = [sys.executable, "-m", *module, *given]
        run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=DEADLINE)
        assert (run.returncode, run.stdout) == (2, "")
        assert says in run.stderr
        assert "Traceback" not in run.stderr


def test_a_key_that_everyone_may_read_is_refused(tmp_path: Path, bank: Bank) -> None:
    key = tmp_path / "open.key"
    key.write_bytes(bank.key.read_bytes())
    key.chmod(0o644)
    command = [
        sys.executable,
        "-m",
        "ml_pipeline.serve",
        "--state",
        str(tmp_path),
        "--hash-key",
        str(key),
        "--port",
        "0",
    ]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=DEADLINE)
    assert run.returncode == 2
    assert "chmod 600" in run.stderr


def test_the_environment_says_what_the_deployment_sets(start: Start, bank: Bank, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ml_pipeline.serve", "--port", "0"]
    (tmp_path / "state.url").write_text(f"{tmp_path / 'state'}\n")
    environment = {
        "MODEL_URI": bank.model.as_uri(), "STATE_URL": f"@{tmp_path / 'state.url'}", "HASH_KEY_FILE": str(bank.key),
        "LOG_LEVEL": "INFO",
    }  # fmt: skip
    log = tmp_path / "environment.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, cwd=ROOT, env={**os.environ, **environment})
    try:
        until(lambda: "listening" in log.read_text(), "it does not listen")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [line["result"] for line in lines if line["event"] == "model"] == ["loaded"]
    finally:
        process.terminate()
        assert process.wait(DEADLINE) == 0


# The model


def test_without_a_model_it_is_not_ready_and_the_rules_decide(start: Start, bank: Bank, tmp_path: Path) -> None:
    server = start("--model", str(tmp_path / "nowhere"))
    assert server.ask("GET", "/livez").status == 200
    unready = server.ask("GET", "/readyz")
    assert unready.status == 503
    assert unready.json["reasons"][0].startswith("no model")
    made = server.ask("POST", "/score", bank.payments[0]).json
    assert (made["score"], made["model_version"]) == (None, "rules-1")
    copied(bank, tmp_path).joinpath("model").rename(tmp_path / "nowhere")
    server.said("model", result="loaded")  # by itself, as soon as it is there
    assert server.ask("GET", "/readyz").status == 200
    assert server.ask("POST", "/score", bank.payments[1]).json["score"] is not None


def test_another_model_is_taken_without_a_dropped_request(
    start: Start, bank: Bank, other_model: Path, tmp_path: Path
) -> None:
    folder = copied(bank, tmp_path)
    server = start("--model", str(folder / "model"))

    def swap() -> None:
        until(lambda: len(server.lines("decision")) > 100, "no payments")
        shutil.rmtree(folder / "model")
        shutil.copytree(other_model, folder / "model")
        promote(folder / "model", folder / "evaluation" / "evaluation.json")
        server.signal(signal.SIGHUP)
        until(lambda: len(server.lines("model")) > 1, "no second model")

    sent, made = under_load(server.port, bank, swap)
    assert {each.status for each in made} == {200}
    assert sorted(each.json["end_to_end_id"] for each in made) == sorted(sent)
    after = server.ask("POST", "/score", bank.payments[-1]).json
    versions = {each.json["model_version"] for each in made} | {after["model_version"]}
    assert [line["result"] for line in server.lines("model")] == ["loaded", "loaded"]
    assert versions == {line["version"] for line in server.lines("model")}
    assert after["model_version"] == server.lines("model")[1]["version"]


def test_a_model_that_was_not_promoted_is_refused_and_the_old_one_stays(
    start: Start, bank: Bank, other_model: Path, tmp_path: Path
) -> None:
    folder = copied(bank, tmp_path)
    server = start("--model", str(folder / "model"))
    before = server.ask("GET", "/model").json["model"]
    shutil.copy(other_model / "model.onnx", folder / "model" / "model.onnx")
    server.signal(signal.SIGHUP)
    refused = server.said("model", result="refused")
    assert refused["kept"] == before["version"]
    said = server.ask("GET", "/model").json
    assert said["model"] == before
    assert "was not promoted" in said["refused"]
    assert server.ask("GET", "/readyz").status == 200
    assert server.ask("POST", "/score", bank.payments[0]).json["model_version"] == before["version"]
    assert server.figures()['scoring_model_swaps_total{result="refused"}'] == 1


# The end


def test_a_rolling_restart_under_load_loses_no_request(start: Start, bank: Bank, redis: Redis) -> None:
    shared = listening()
    port = shared.getsockname()[1]
    running = [start("--state", redis.url, fd=shared.fileno())]

    def restart_thrice() -> None:
        for _ in range(3):
            old = running[-1]
            until(lambda server=old: len(server.lines("decision")) > 50, "no payments")
            running.append(start("--state", redis.url, fd=shared.fileno()))
            old.signal(signal.SIGTERM)
            assert old.ended() == 0

    with shared:
        sent, made = under_load(port, bank, restart_thrice)
    assert {each.status for each in made} == {200}
    assert sorted(each.json["end_to_end_id"] for each in made) == sorted(sent)
    assert sum(len(each.lines("decision")) for each in running) == len(sent)
    assert [len(each.lines("draining")) for each in running] == [1, 1, 1, 0]


def test_a_service_that_is_killed_loses_requests_and_that_is_seen(start: Start, bank: Bank) -> None:
    shared = listening()
    first = start(fd=shared.fileno())

    def kill() -> None:
        until(lambda: len(first.lines("decision")) > 50, "no payments")
        first.signal(signal.SIGKILL)
        first.ended()

    with shared, pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        under_load(shared.getsockname()[1], bank, kill)


def test_while_draining_it_says_so_answers_what_is_open_and_takes_nothing_new(start: Start, bank: Bank) -> None:
    from http.client import HTTPConnection

    server = start()
    kept = HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
    kept.request("GET", "/livez")
    kept.getresponse().read()
    server.signal(signal.SIGTERM)
    server.said("draining")
    kept.request("GET", "/readyz")
    made = kept.getresponse()
    assert (made.status, json.loads(made.read())["reasons"]) == (503, ["draining"])
    assert made.headers["connection"] == "close"
    assert server.ended() == 0
    with pytest.raises(ConnectionRefusedError):
        asked(server.port, "GET", "/livez")


def test_what_was_known_is_known_after_a_restart(start: Start, bank: Bank) -> None:
    first = start()
    sent = bank.payments[0]
    first.ask("POST", "/score", sent)
    first.signal(signal.SIGTERM)
    assert first.ended() == 0
    second = start()
    repeated = second.ask("POST", "/score", sent)
    assert repeated.status == 200
    assert second.lines("decision")[0]["repeated"]
    second.signal(signal.SIGINT)
    assert second.ended() == 0
    snapshot = second.log.parent / "state" / "accounts.snapshot"
    snapshot.write_bytes(snapshot.read_bytes()[:-1])
    third = start()
    assert third.said("state", level="ERROR")["path"].endswith(".broken")
    third.ask("POST", "/score", sent)
    assert "repeated" not in third.lines("decision")[0]


def test_state_that_cannot_be_reached_is_no_reason_to_fail_but_to_be_unready(
    start: Start, bank: Bank, redis: Redis
) -> None:
    server = start("--state", redis.url)
    assert server.ask("GET", "/readyz").status == 200
    redis.process.kill()
    redis.process.wait()
    assert server.ask("GET", "/readyz").status == 503
    assert server.ask("POST", "/score", bank.payments[0]).json["model_version"] == "rules-1"
    assert server.figures()['scoring_state_errors_total{what="read"}'] == 1
    assert server.ask("GET", "/livez").status == 200


def test_a_log_that_cannot_be_written_makes_it_unready(bank: Bank, tmp_path: Path) -> None:
    with listening() as shared, Path("/dev/full").open("wb") as full:
        command = [
            sys.executable, "-m", "ml_pipeline.serve", "--fd", str(shared.fileno()), "--model", str(bank.model),
            "--state", str(tmp_path),
        ]  # fmt: skip
        process = subprocess.Popen(command, stdout=full, cwd=ROOT, pass_fds=(shared.fileno(),))
        try:
            made = asked(shared.getsockname()[1], "GET", "/readyz")
            assert (made.status, made.json["reasons"]) == (503, ["the log can't be written"])
        finally:
            process.terminate()
            assert process.wait(DEADLINE) == 0


# Overload


def test_a_queue_refuses_what_is_too_much_at_once_and_what_waited_too_long() -> None:
    async def crowded() -> tuple[list[Any], int, list[int]]:
        queue, done, gate = Queue(limit=3, patience=30), [], asyncio.Event()

        async def ask(number: int) -> Any:
            async def work() -> int:
                await gate.wait()
                done.append(number)
                return number

            queue.reserve(1)
            try:
                return await queue.done(work)
            finally:
                queue.free(1)

        queue.start(1)
        asking = [asyncio.ensure_future(ask(number)) for number in range(10)]
        await asyncio.sleep(0)
        asking[1].cancel()  # whoever asked is gone
        await asyncio.sleep(0)
        queue.patience = -1  # from now on everybody is too late
        asking.append(asyncio.ensure_future(ask(10)))
        await asyncio.sleep(0)
        gate.set()
        made = await asyncio.gather(*asking, return_exceptions=True)
        await queue.stop()
        return made, queue.rows, done

    made, rows, done = asyncio.run(crowded())
    assert (rows, done) == (0, [0, 2])
    refused = [(each.status, each.retry_after) for each in made if isinstance(each, Refused)]
    assert refused == [(503, 1)] * 8
    assert "waited" in made[10].title


def test_a_crowd_is_refused_with_a_time_to_come_back_and_the_others_are_answered(start: Start, bank: Bank) -> None:
    server = start("--queue", "40", "--wait-ms", "60000")
    too_many = server.ask("POST", "/score/batch", bank.payments[:41])
    assert (too_many.status, too_many.headers["retry-after"]) == (503, "1")
    made = asyncio.run(flood(server.port, bank.payments[:600], connections=120))
    statuses = [each.status for each in made]
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= 40
    assert all(each.headers["retry-after"] == "1" for each in made if each.status == 503)
    figures = server.figures()
    assert figures["scoring_queue_rows"] == 0
    assert figures['scoring_requests_total{endpoint="/score",status="200"}'] == statuses.count(200)
    assert server.ask("POST", "/score/batch", bank.payments[:40]).status == 200


def test_a_body_that_does_not_come_is_not_waited_for(start: Start) -> None:
    server = start()
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as slow:
        slow.sendall(
            b"POST /score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        )
        answered = slow.recv(4096)
    assert answered.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answered.lower()
