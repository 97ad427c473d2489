"""The process: starts, reloads on SIGHUP, and on SIGTERM ends without losing a request.

Draining: /readyz says so, nothing new is accepted, and each connection that is open is answered once more and told to
close. Only then, or when the time is up, uvicorn ends. With `fd` the listening socket belongs to whoever started the
process and outlives it, so that what waits to be accepted goes to the next process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from ml_pipeline.serving import app, contract, keys, model
from ml_pipeline.serving.app import Service
from ml_pipeline.serving.log import Log
from ml_pipeline.serving.metrics import Metrics
from ml_pipeline.serving.queue import Queue
from ml_pipeline.serving.scoring import Scoring
from ml_pipeline.serving.stores import Memory, Redis, Store

SAVE_EVERY = 60.0  # seconds between snapshots
TRY_EVERY = 5.0  # seconds until a model that could not be loaded at start is tried again
IDLE = 5  # seconds after which a connection without a request is closed
IN_ORDER, AT_ONCE = 1, 16  # payments at once: state in memory is never waited for
KEY = "hash.key"
BACKLOG = 1024  # connections that wait to be accepted


@dataclass(frozen=True)
class Settings:
    """What the command line says. Times in seconds."""

    model: str
    model_sha256: str | None
    promoted: str | None
    state: str
    forget: bool
    hash_key: Path | None
    contracts: Path
    host: str
    port: int
    fd: int | None
    queue: int
    wait: float
    ahead: float
    drain: float
    log_level: str


class Server(uvicorn.Server):
    """uvicorn, whose signals are handled here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Process:
    """A service that runs until it is told to end."""

    def __init__(self, settings: Settings) -> None:
        """Raises OSError or ValueError with what to change."""
        self.settings, self.log, metrics = settings, Log(settings.log_level), Metrics()
        request = contract.read(settings.contracts / "transactions.odcs.yaml")
        answer = contract.read(settings.contracts / "processed_transactions.odcs.yaml")
        store, key = opened(settings.state, settings.hash_key)
        if isinstance(store, Memory) and store.broken:
            self.log.write("ERROR", "state", title="the snapshot is broken; it was set aside", path=str(store.broken))
        scoring = Scoring(request, store, key, metrics, settings.ahead)
        self.queue = Queue(settings.queue, settings.wait)
        self.service = Service(scoring, self.queue, request, answer, metrics, self.log)
        self.socket = _listening(settings)
        self.server: Server
        self._loading = asyncio.Lock()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; a second one ends at once."""
        store = self.service.scoring.store
        self.queue.start(IN_ORDER if isinstance(store, Memory) else AT_ONCE)
        await self.load()
        config = uvicorn.Config(
            app.application(self.service), http="httptools", ws="none", lifespan="off", log_config=None,
            backlog=BACKLOG, access_log=False, server_header=False, timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self.server = Server(config)
        loop = asyncio.get_running_loop()
        others = [loop.create_task(self._save_now_and_then()), loop.create_task(self._try_again())]
        loop.add_signal_handler(signal.SIGHUP, lambda: others.append(loop.create_task(self.load())))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, others)
        # What lives as long as the process is never looked at again; what a request leaves is freed without a search.
        gc.collect()
        gc.freeze()
        host, port = self.socket.getsockname()[:2]
        self.log.write("INFO", "listening", host=host, port=port, pid=os.getpid())
        await self.server.serve(sockets=[self.socket])
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.queue.stop()
        await self._save()
        await store.close()
        self.log.write("INFO", "ended")

    async def load(self) -> None:
        """Take the model that is promoted now, if it is what it must be; else keep the one that is there."""
        async with self._loading:
            service, settings = self.service, self.settings
            promoted = settings.promoted or model.record_beside(settings.model)
            try:
                made = await asyncio.to_thread(model.load, settings.model, promoted, settings.model_sha256)
            except (OSError, ValueError) as error:
                service.refused_model = str(error)
                service.metrics.swaps.labels("refused").inc()
                kept = service.scoring.model.version if service.scoring.model else "rules"
                self.log.write("ERROR", "model", result="refused", reason=str(error), kept=kept)
                return
            service.scoring.model, service.refused_model = made, None
            service.metrics.swaps.labels("loaded").inc()
            service.metrics.show_model(made.version, made.sha256["model.onnx"])
            self.log.write("INFO", "model", result="loaded", version=made.version, sha256=dict(made.sha256))

    async def _try_again(self) -> None:
        while self.service.scoring.model is None:
            await asyncio.sleep(TRY_EVERY)
            if self.service.scoring.model is None:
                await self.load()

    async def _save_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY)
            try:
                await self._save()
            except OSError as error:
                self.log.write("ERROR", "state", title="no snapshot could be written", reason=str(error))

    async def _save(self) -> None:
        if not self.settings.forget:
            await self.service.scoring.store.save()

    def _end(self, others: list[asyncio.Task[None]]) -> None:
        if self.service.draining:
            self.server.should_exit = True
            return
        self.service.draining = True
        self.log.write("INFO", "draining", connections=len(self.server.server_state.connections))
        others.append(asyncio.get_running_loop().create_task(self._drain()))

    async def _drain(self) -> None:
        for each in self.server.servers:
            each.close()
        until = time.monotonic() + self.settings.drain
        while self.server.server_state.connections and time.monotonic() < until:
            await asyncio.sleep(0.02)
        self.server.should_exit = True


def opened(state: str, hash_key: Path | None) -> tuple[Store, bytes]:
    """The store of a folder or a URL, and the key of the hashes in it. Raises OSError or ValueError."""
    if "://" in state:
        if hash_key is None:
            raise ValueError("state that several processes share needs the key of its hashes: --hash-key FILE")
        return Redis(state), keys.read(hash_key)
    folder = Path(state)
    key = keys.read(hash_key) if hash_key else keys.made(folder / KEY)
    return Memory(folder, key), key


def _listening(settings: Settings) -> socket.socket:
    if settings.fd is not None:
        return socket.socket(fileno=settings.fd)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((settings.host, settings.port))
    made.listen(BACKLOG)
    return made


def serve(settings: Settings) -> None:
    """Run the service. Raises OSError or ValueError with what to change before it listens."""
    import uvloop

    process = Process(settings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(process.run())
