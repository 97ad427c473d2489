"""A release comes to its target whole and proved, or the last one that worked goes on; nobody who pays notices."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ml_pipeline.deploy import deploy
from ml_pipeline.ledger.chain import LedgerError
from ml_pipeline.ledger.history import Fate
from ml_pipeline.ledger.steps import Refused
from ml_pipeline.rollback import rollback
from ml_pipeline.targets import Unfit
from ml_pipeline.targets.proof import payment
from tests.promotion.kill import killed
from tests.promotion.world import Model, World, lived, write_model

STEPS = ("begin", "prepare", "start", "switch", "confirm", "live", "retire", "aliases")


def state(world: World) -> tuple[object, ...]:
    """What a refusal must not change: the target's files, what it runs, and the ledger."""
    stored = {path: path.read_bytes() for path in Path(world.ledger.url).rglob("*") if path.is_file()}
    target = world.target()
    names = sorted(path.name for path in target.folder.glob("0*")) if target.folder.exists() else []
    return stored, names, target.running()


def fates(world: World) -> list[Fate]:
    return [each.fate for each in world.history().generations]


def policy_changed(world: World) -> None:
    world.policy.write_text(world.policy.read_text() + "# another one\n")


def key_revoked(world: World) -> None:
    text = world.policy.read_text().replace("[[evidence.keys]]\n", "[[evidence.keys]]\nrevoked = 2026-01-01\n", 1)
    world.policy.write_text(text)


def artifact_changed(world: World) -> None:
    digest = world.history().generations[-1].release.files["model.onnx"]
    (Path(world.ledger.url) / "artifacts" / "sha256" / digest).write_bytes(b"other weights")


def artifact_gone(world: World) -> None:
    digest = world.history().generations[-1].release.files["model.json"]
    (Path(world.ledger.url) / "artifacts" / "sha256" / digest).unlink()


def evidence_gone(world: World) -> None:
    digest = world.history().generations[-1].entry.evidence[0].sha256
    (Path(world.ledger.url) / "artifacts" / "sha256" / digest).unlink()


SPOILT = {
    "other-policy": policy_changed, "key-revoked": key_revoked, "is not what it was": artifact_changed,
    "lacks what it should hold": artifact_gone, "lacks": evidence_gone,
}  # fmt: skip


def test_what_was_spoilt_since_the_promotion_is_refused_and_changes_nothing(
    world: World, good: Model, better: Model
) -> None:
    world.promote(good)
    deploy(world.place())
    world.promote(better)
    for says, spoil in SPOILT.items():
        with restored(world):
            spoil(world)
            before = state(world)
            with pytest.raises(Refused, match=f"{says}(.|\n)*nothing was changed"):
                deploy(world.place())
            assert state(world) == before
    assert deploy(world.place()).release.model == better.sha256


@contextmanager
def restored(world: World) -> Iterator[None]:
    """The ledger and the policy are afterwards as they were before."""
    kept = world.root / "kept"
    for each in (Path(world.ledger.url), world.policy.parent):
        shutil.copytree(each, kept / each.name)
    yield
    for each in (Path(world.ledger.url), world.policy.parent):
        shutil.rmtree(each)
        shutil.copytree(kept / each.name, each)
    shutil.rmtree(kept)


def test_a_broken_chain_stops_the_command_and_nothing_runs(world: World, good: Model) -> None:
    world.promote(good)
    path = Path(world.ledger.url) / "dev" / "00000001.json"
    path.write_text(path.read_text().replace("pix-fraud", "pix-fraus"))
    done = world.run("deploy")
    assert done.returncode == 2, done.stderr
    assert "entry 1 of dev" in done.stderr
    assert world.target().running() is None


def test_nothing_that_was_not_promoted_is_deployed(world: World) -> None:
    done = world.run("deploy")
    assert done.returncode == 1, done.stderr
    assert "nothing is promoted to dev" in done.stderr


def test_a_port_that_is_taken_is_said_and_nothing_is_live(world: World, good: Model) -> None:
    world.promote(good)
    taken = socket.create_server(("127.0.0.1", world.port))
    with taken, pytest.raises(Refused, match="nothing worked before it"):
        deploy(world.place())
    (failed,) = world.history().generations
    assert "Address already in use" in failed.why


def test_a_chain_that_a_promotion_stands_on_is_looked_at_too(world: World, good: Model) -> None:
    lived(world, good)
    world.promote(good, "staging")
    path = Path(world.ledger.url) / "dev" / "00000001.json"
    path.write_text(path.read_text().replace("pix-fraud", "pix-fraus"))
    with pytest.raises(LedgerError, match="entry 1 of dev was changed"):
        deploy(world.place("staging"))
    assert world.target("staging").running() is None


def test_dry_run_plans_and_changes_nothing(world: World, good: Model) -> None:
    world.promote(good)
    before = state(world)
    done = world.run("deploy", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would 4/8 switch" in done.stdout
    assert state(world) == before


def test_a_release_that_does_not_prove_itself_never_gets_a_request_and_the_last_good_one_goes_on(
    world: World, good: Model, broken: Model
) -> None:
    world.promote(good)
    deploy(world.place())
    world.promote(broken)
    with pytest.raises(Refused, match=r"generation 2 .* failed; generation 1 .* works as before"):
        deploy(world.place())
    assert fates(world) == [Fate.LIVE, Fate.FAILED]
    assert world.target().running() == 1
    assert "decided by rules-1" in world.history().generations[1].why
    with pytest.raises(Refused, match="out-of-order"):
        world.promote(broken, "staging")


def test_a_release_that_can_not_be_loaded_fails_and_without_a_last_good_one_nothing_runs(
    world: World, tmp_path: Path
) -> None:
    other = write_model(tmp_path / "other", 1.0)
    described = json.loads((other.folder / "model.json").read_text())
    (other.folder / "model.json").write_text(json.dumps(described | {"threshold": 7}))
    record = json.loads((other.evaluation / "evaluation.json").read_text())
    from pytest_pixgates.core import files

    record["model"]["sha256"]["model.json"] = files.sha256(other.folder / "model.json")
    (other.evaluation / "evaluation.json").write_text(json.dumps(record))
    world.promote(other)
    done = world.run("deploy")
    assert done.returncode == 1, done.stderr
    assert "threshold between 0 and 1" in done.stderr
    assert "nothing worked before it, so nothing runs" in done.stderr
    assert world.target().running() is None
    assert fates(world) == [Fate.FAILED]


def test_a_failure_after_the_switch_brings_the_last_good_one_back(
    world: World, good: Model, better: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.promote(good)
    deploy(world.place())
    world.promote(better)
    place = world.place()
    confirm = type(place.target).confirm

    def fail_once(target: object, unit: object) -> None:
        monkeypatch.setattr(type(place.target), "confirm", confirm)
        raise Unfit("it answers no more")

    monkeypatch.setattr(type(place.target), "confirm", fail_once)
    with pytest.raises(Refused, match=r"generation 1 .* works as before"):
        deploy(place)
    assert fates(world) == [Fate.LIVE, Fate.FAILED]
    assert place.target.running() == 1


def test_two_that_deploy_at_once_are_told_apart(world: World, good: Model) -> None:
    world.promote(good)
    with world.target().held():
        done = world.run("deploy")
    assert done.returncode == 1, done.stderr
    assert f"process {os.getpid()} changes" in done.stderr
    assert fates(world) == [Fate.PENDING]


def test_after_a_kill_before_any_step_the_next_run_ends_it(world: World, good: Model, better: Model) -> None:
    world.promote(good)
    deploy(world.place())
    for count, step in enumerate(STEPS, start=1):
        world.promote((better, good)[count % 2])
        assert killed(world.command("deploy"), step, world.repository) == -signal.SIGKILL
        between = world.history()
        served = world.target().running()
        assert served in (count, count + 1), f"killed before {step}, nothing serves"
        assert between.live, step
        made = deploy(world.place())
        assert made.number == count + 1, step
        assert fates(world) == [*[Fate.REPLACED] * count, Fate.LIVE], step
        assert world.target().running() == count + 1
        world.target().confirm(world.place().unit(made))


def test_after_a_kill_of_a_deployment_a_rollback_undoes_it(world: World, good: Model, better: Model) -> None:
    world.promote(good)
    deploy(world.place())
    world.promote(better)
    assert killed(world.command("deploy"), "live", world.repository) == -signal.SIGKILL
    assert world.target().running() == 2
    back = rollback(world.place(), "a test")
    assert back.entry.restores == 1
    assert fates(world) == [Fate.REPLACED, Fate.LEFT, Fate.LIVE]
    world.target().confirm(world.place().unit(back))


def test_a_rollback_leaves_what_really_runs_though_more_was_promoted(world: World, good: Model, better: Model) -> None:
    lived(world, better)
    world.promote(good)
    deploy(world.place())
    world.promote(better)
    assert killed(world.command("deploy"), "live", world.repository) == -signal.SIGKILL
    world.promote(good)
    assert rollback(world.place(), "a test").entry.restores == 2
    assert fates(world)[1:] == [Fate.REPLACED, Fate.SUPERSEDED, Fate.SUPERSEDED, Fate.LIVE]


def test_a_keeper_that_was_killed_comes_back_with_what_is_live(world: World, good: Model) -> None:
    world.promote(good)
    made = deploy(world.place())
    keeper = world.target().status()
    os.kill(keeper["pid"], signal.SIGKILL)
    wait_until(lambda: world.target().running() is None)
    wait_until(lambda: not Path(f"/proc/{keeper['services']['1']['pid']}").exists())
    assert deploy(world.place()).number == 1
    world.target().confirm(world.place().unit(made))
    assert fates(world) == [Fate.LIVE]


def test_a_service_that_dies_is_started_again_by_itself(world: World, good: Model) -> None:
    world.promote(good)
    made = deploy(world.place())
    os.kill(world.target().status()["services"]["1"]["pid"], signal.SIGKILL)
    world.target().confirm(world.place().unit(made))
    assert world.target().status()["services"]["1"]["starts"] == 2


def test_no_request_is_lost_while_releases_change(world: World, good: Model, better: Model) -> None:
    place = world.place(target=patient(world))
    world.promote(good)
    deploy(place)
    with load(world.port) as load_:
        load_.wait_for(50)
        world.promote(better)
        deploy(place)
        load_.wait_for(50)
        rollback(place, "a test")
        load_.wait_for(50)
    assert load_.failed == []
    assert load_.models == {better.sha256[:12], good.sha256[:12]}


def patient(world: World) -> object:
    """The target, whose payments wait longer: the tests beside this one take the cores."""
    import dataclasses

    target = world.target()
    return dataclasses.replace(target, options=(*target.options, "--wait-ms", "20000"))


class Load(threading.Thread):
    """Payments over some connections that are kept open, at a pace, until it is told to end."""

    def __init__(self, port: int, connections: int = 4) -> None:
        super().__init__(daemon=True)
        self.port, self.connections, self.ending = port, connections, threading.Event()
        self.answered, self.failed, self.models = 0, list[str](), set[str]()
        self.more = threading.Condition()

    def run(self) -> None:
        asyncio.run(self._all())

    async def _all(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self.connections)))

    async def _client(self) -> None:
        reader = writer = None
        while not self.ending.is_set():
            body = json.dumps(payment()).encode()
            head = f"POST /score HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
            head += "content-type: application/json\r\n\r\n"
            try:
                if reader is None or writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(head.encode() + body)
                async with asyncio.timeout(60):
                    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
                    length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                    content = json.loads(await reader.readexactly(length))
                self._note(answer, content)
                if b"connection: close" in answer:
                    writer.close()
                    reader = writer = None
            except (OSError, EOFError, ValueError) as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                reader = writer = None
            await asyncio.sleep(0.02)

    def _note(self, answer: bytes, content: dict[str, str]) -> None:
        if not answer.startswith(b"http/1.1 200"):
            self.failed.append(answer.decode())
        with self.more:
            self.answered += 1
            self.models.add(content.get("model_version", "").rpartition("-")[2])
            self.more.notify_all()

    def wait_for(self, count: int) -> None:
        """Until so many more are answered, or one failed."""
        with self.more:
            goal = self.answered + count
            assert self.more.wait_for(lambda: self.answered >= goal or bool(self.failed), 120)


@contextmanager
def load(port: int) -> Iterator[Load]:
    made = Load(port)
    made.start()
    try:
        yield made
    finally:
        made.ending.set()
        made.join(120)


def wait_until(holds: Callable[[], bool]) -> None:
    import time

    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_keeper_passes_large_bodies_on_whole_and_no_faster_than_they_are_read(tmp_path: Path) -> None:
    """Through a keeper, whose service is an echo: what is sent comes back, though nobody reads for a while."""
    from ml_pipeline.targets.local import Local
    from pytest_pixgates.latency.service import free_port

    target = Local(tmp_path, port=free_port())
    echo = (
        "import socket, sys\nserver = socket.socket(fileno=int(sys.argv[1]))\none, _ = server.accept()\n"
        "while data := one.recv(65536):\n    one.sendall(data)\none.close()\n"
    )
    with target.held():
        target._keep()
    try:
        argv = [sys.executable, "-c", echo, "{fd}"]
        target._ask({"do": "start", "generation": 1, "argv": argv, "log": str(tmp_path / "log")})
        target._ask({"do": "switch", "generation": 1})
        assert asyncio.run(echoed(target.port, bytes(range(256)) * 40_000)) == bytes(range(256)) * 40_000
    finally:
        target.stop()


async def echoed(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        writer.write(sent)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    received = await reader.read()
    await sending
    writer.close()
    return received
