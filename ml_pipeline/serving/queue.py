"""A bounded queue before the scorer: what can't be answered in time is refused at once, not answered late."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from ml_pipeline.serving.requests import Refused

SLICE = 0.001  # seconds of work before arrivals get their turn
RETRY_AFTER = 1  # seconds


def overloaded(title: str = "too many payments wait; try again later") -> Refused:
    return Refused(503, title, retry_after=RETRY_AFTER)


class Queue:
    """Work that waits, at most `limit` payments and none longer than `patience` seconds."""

    def __init__(self, limit: int, patience: float) -> None:
        self.limit, self.patience, self.rows = limit, patience, 0
        self._jobs: deque[tuple[float, Callable[[], Awaitable[Any]], asyncio.Future[Any]]] = deque()
        self._arrived = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []

    def start(self, workers: int) -> None:
        """Begin to work: with one worker for work that never waits, with more for work that does."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(workers)]

    def reserve(self, rows: int) -> None:
        """Take room for so many payments, to be given back with `free`. Raises Refused."""
        if self.rows + rows > self.limit:
            raise overloaded()
        self.rows += rows

    def free(self, rows: int) -> None:
        self.rows -= rows

    async def done(self, work: Callable[[], Awaitable[Any]], *, patient: bool = False) -> Any:
        """What `work` returns, when its turn came. Raises Refused if it waited too long, unless it is `patient`."""
        future = asyncio.get_running_loop().create_future()
        self._jobs.append((float("inf") if patient else time.perf_counter() + self.patience, work, future))
        self._arrived.set()
        return await future

    async def _work(self) -> None:
        while True:
            if not self._jobs:
                self._arrived.clear()
                await self._arrived.wait()
            until = time.perf_counter() + SLICE
            while self._jobs and time.perf_counter() < until:
                await self._do(*self._jobs.popleft())
            await asyncio.sleep(0)

    async def _do(self, deadline: float, work: Callable[[], Awaitable[Any]], future: asyncio.Future[Any]) -> None:
        if future.done():  # whoever asked is gone
            return
        if time.perf_counter() > deadline:
            future.set_exception(overloaded("the payment waited too long; try again later"))
            return
        try:
            made = await work()
        except Exception as error:  # it is the asker's
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(made)

    async def stop(self) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
