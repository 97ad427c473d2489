"""The service against `mlflow models serve` on the same payments, and what one payment costs in-process.

    python benchmarks/serve.py [--seconds 40] [--rate 500] [--peer-rate RATE]

Arrivals are fixed beforehand (an open loop) and latency counts from the intended time, so that a stall shows. What has
no answer some seconds after the last arrival counts as if it had come just then, which flatters whoever is late. The
generator runs beside the server on the same cores. MLflow runs in an environment of its own, made by uv, for it brings
forty packages of a server; it scores the same model from ready-made features, so it has less to do than the service.
Both run in alternating blocks of the same run. Needs `ml_pipeline/{data,model,evaluation}`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from ml_pipeline.rehearse import as_sent
from ml_pipeline.remember import remember
from pytest_pixgates.latency.service import free_port

ROOT = Path(__file__).parents[1]
DATA, MODEL, EVALUATION = (ROOT / "ml_pipeline" / name for name in ("data", "model", "evaluation"))
CONNECTIONS = 32
BLOCKS = 3
PATIENCE = 10.0  # seconds after the last arrival
BARS = {"p99": 10.0, "ratio": 0.1, "single": 0.2}  # milliseconds, share, milliseconds
PINS = ("mlflow==3.17.2", "onnx==1.19.1", "onnxruntime", "pandas", "numpy")


class Connection(asyncio.Protocol):
    """One kept-alive connection that has at most one request under way."""

    def __init__(self) -> None:
        self.done: asyncio.Future[int] | None = None
        self.received = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator or self.done is None:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) >= length:
            status, done = int(head[9:12]), self.done
            self.received, self.done = b"", None
            done.set_result(status)

    def connection_lost(self, _: Exception | None) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_result(0)

    async def ask(self, request: bytes) -> int:
        self.done = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.done


async def generate(port: int, requests: list[bytes], rate: float) -> tuple[list[float], dict[int, int]]:
    """Send at a fixed rate, whatever comes back. Returns milliseconds from the intended time, and answers by status.

    Status 0 has what was not answered in time.
    """
    loop = asyncio.get_running_loop()
    free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
    for _ in range(CONNECTIONS):
        _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        free.put_nowait(connection)
    took, statuses = [], {}

    async def one(request: bytes, intended: float) -> None:
        connection = await free.get()
        if connection.transport.is_closing():  # it was idle for too long
            _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
        status = await connection.ask(request)
        took.append((time.perf_counter() - intended) * 1000)
        statuses[status] = statuses.get(status, 0) + 1
        free.put_nowait(connection)

    began, tasks = time.perf_counter(), []
    for place, request in enumerate(requests):
        intended = began + place / rate
        wait = intended - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks.append(loop.create_task(one(request, intended)))
    _, late = await asyncio.wait(tasks, timeout=PATIENCE)
    for each in late:
        each.cancel()
    ended = time.perf_counter()
    took += [(ended - began - place / rate) * 1000 for place, task in enumerate(tasks) if task in late]
    while not free.empty():
        free.get_nowait().transport.close()
    return took, statuses | ({0: len(late)} if late else {})


def posted(path: str, body: Any) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def test_period() -> datetime:
    """When it begins."""
    import polars as pl

    table = pl.scan_parquet(EVALUATION / "test_set.parquet")
    begins: datetime = table.select(pl.col("initiated_at").min()).collect().item()
    return begins


def payments(count: int) -> list[dict[str, Any]]:
    """The first payments of the test period, in order."""
    return as_sent(DATA, test_period(), count)


@contextmanager
def running(command: list[str], port: int, probe: str, environment: dict[str, str] | None = None) -> Iterator[None]:
    """A server that answers its probe."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=ROOT, env=environment, start_new_session=True
        )  # fmt: skip
        try:
            began = time.monotonic()
            while not answers(f"http://127.0.0.1:{port}{probe}"):
                if process.poll() is not None or time.monotonic() - began > 120:
                    log.seek(0)
                    raise RuntimeError(f"{command[0]} did not start:\n{log.read().decode()[-2000:]}")
                time.sleep(0.05)
            yield
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(60)


def answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=1).status == 200
    except OSError:
        return False


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def environment_of_mlflow(folder: Path) -> Path:
    """A Python with MLflow's server, and the model as MLflow keeps it."""
    uv, python = ROOT / ".venv" / "bin" / "uv", folder / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder / "venv"], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", python, *PINS], check=True)
    save = (
        "import mlflow, onnx, sys; mlflow.onnx.save_model(onnx.load(sys.argv[1]), sys.argv[2], pip_requirements=[],"
        "onnx_execution_providers=['CPUExecutionProvider'],"
        "onnx_session_options={'intra_op_num_threads': 1, 'inter_op_num_threads': 1})"
    )
    subprocess.run(
        [python, "-c", save, MODEL / "model.onnx", folder / "kept"], check=True, capture_output=True,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )  # fmt: skip
    return python


def single(state: Path) -> tuple[float, float]:
    """Milliseconds of one payment in-process, medians: features and model; and all, with state read and kept."""
    from ml_pipeline.serving import contract, model
    from ml_pipeline.serving.metrics import Metrics
    from ml_pipeline.serving.requests import Reader
    from ml_pipeline.serving.scoring import Scoring
    from ml_pipeline.serving.server import opened

    made = contract.read(ROOT / "gates/contracts/transactions.odcs.yaml")
    reader, whole, part = Reader(made, 1), [], []

    class Timed(Scoring):
        def _decision(self, *known: Any) -> Any:
            began = time.perf_counter()
            decided = super()._decision(*known)
            part.append((time.perf_counter() - began) * 1000)
            return decided

    rows = [reader.one(json.dumps(each).encode()) for each in payments(5_000)]
    store, key = opened(str(state), None)
    scoring = Timed(made, store, key, Metrics(), 1e8)
    scoring.model = model.load(str(MODEL), str(EVALUATION / "evaluation.json"))

    async def answer() -> None:
        for row in rows:
            began = time.perf_counter()
            await scoring.answer(row)
            whole.append((time.perf_counter() - began) * 1000)

    asyncio.run(answer())
    return statistics.median(part), statistics.median(whole)


def compare(state: Path, seconds: float, rate: float, peer_rate: float) -> dict[str, dict[str, Any]]:
    """Both servers in alternating blocks."""
    import polars as pl

    count = int(seconds * rate)
    rows = payments(count)
    ours = [posted("/score", row) for row in rows]
    features = json.loads((MODEL / "model.json").read_text())["features"]
    matrix = (
        pl.read_parquet(EVALUATION / "test_set.parquet", columns=features).head(int(seconds * peer_rate)).to_numpy()
    )
    theirs = [posted("/invocations", {"inputs": {"features": [row.tolist()]}}) for row in matrix]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python, our_port, their_port = environment_of_mlflow(folder), free_port(), free_port()
        us = [
            sys.executable, "-m", "ml_pipeline", "serve", "--port", str(our_port), "--state", str(state),
            "--ahead", "1e8",
        ]  # fmt: skip
        them = [
            str(python), "-m", "mlflow", "models", "serve", "-m", str(folder / "kept"), "-p", str(their_port),
            "--env-manager", "local",
        ]  # fmt: skip
        path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"  # it starts uvicorn by name
        environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PATH": path}
        found: dict[str, dict[str, Any]] = {each: {"took": [], "statuses": {}} for each in ("ours", "mlflow")}
        with running(us, our_port, "/readyz"), running(them, their_port, "/ping", environment):
            for block in range(-1, BLOCKS):
                for each, port, requests, speed in (
                    ("ours", our_port, ours, rate), ("mlflow", their_port, theirs, peer_rate),
                ):  # fmt: skip
                    size = len(requests) // (BLOCKS + 1)  # the first block warms up
                    some = requests[(block + 1) * size : (block + 2) * size]
                    took, statuses = asyncio.run(generate(port, some, speed))
                    if block >= 0:
                        found[each]["took"] += took
                        for status, number in statuses.items():
                            found[each]["statuses"][status] = found[each]["statuses"].get(status, 0) + number
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40, help="of each server, the warm-up among them")
    parser.add_argument("--rate", type=float, default=500, help="requests a second")
    parser.add_argument("--peer-rate", type=float, help="of MLflow, if it can't stand the same")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        state = Path(name)
        remember(DATA, str(state), None, test_period())
        part, one = single(state)
        found = compare(state, arguments.seconds, arguments.rate, arguments.peer_rate or arguments.rate)
    for name, each in found.items():
        took, statuses = each["took"], each["statuses"]
        shown = ", ".join(f"{share:.1%} {quantile(took, share):.2f} ms" for share in (0.5, 0.9, 0.99, 0.999))
        print(f"{name:<8}{len(took):>7,} requests, statuses {statuses}: {shown}")
    p99 = quantile(found["ours"]["took"], 0.99)
    ratio = p99 / quantile(found["mlflow"]["took"], 0.99)
    print(f"p99 {p99:.2f} ms (bar {BARS['p99']:g}); ratio to MLflow's p99 {ratio:.4f} (bar {BARS['ratio']:g})")
    print(
        f"one payment in-process, median: features and model {part:.3f} ms (bar {BARS['single']:g}), all {one:.3f} ms"
    )
    fine = set(found["ours"]["statuses"]) == {200}
    return 0 if fine and p99 <= BARS["p99"] and ratio <= BARS["ratio"] and part <= BARS["single"] else 1


if __name__ == "__main__":
    sys.exit(main())
