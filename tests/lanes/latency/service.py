"""A small HTTP service with one chosen defect, to see whether the gate finds it: `service.py PORT DEFECT`.

Standard library only, on loopback. Every defect is on the service's side of a real connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

STALL, EVERY = 0.3, 3.0
GOOD, BAD = b'{"score": 0.1, "decision": "approve"}', b'{"error": "no model"}'

Answer = Callable[[int], Awaitable[tuple[int, bytes] | None]]


async def healthy(number: int) -> tuple[int, bytes]:
    return 200, GOOD


async def error_body(number: int) -> tuple[int, bytes]:
    return 200, BAD if number % 10 == 0 else GOOD


async def failing(number: int) -> tuple[int, bytes]:
    return (503, BAD) if number % 10 == 0 else (200, GOOD)


async def failing_always(number: int) -> tuple[int, bytes]:
    return 503, BAD


async def drops(number: int) -> tuple[int, bytes] | None:
    return None if number % 10 == 0 else (200, GOOD)


async def silent(number: int) -> tuple[int, bytes]:
    if number % 10 == 0:
        await asyncio.sleep(3600)
    return 200, GOOD


def delayed(seconds: float, growth: float = 0.0) -> Answer:
    """Each answer takes so long; `growth` is the share that it gets longer by in a minute, from the first on."""
    began: list[float] = []

    async def answer(number: int) -> tuple[int, bytes]:
        now = asyncio.get_running_loop().time()
        began.append(now) if not began else None
        wanted = now + seconds * (1 + growth * (now - began[0]) / 60)
        await asyncio.sleep(wanted - asyncio.get_running_loop().time())
        return 200, GOOD

    return answer


def threads() -> Answer:
    """The model runs in one thread, another scores a batch without end, and both want the same core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pool = ThreadPoolExecutor(1)

    def model(steps: int = 5_000) -> int:
        return sum(at * at for at in range(steps))

    def batch() -> None:
        while True:
            model(100_000)

    threading.Thread(target=batch, daemon=True).start()

    async def answer(number: int) -> tuple[int, bytes]:
        await asyncio.get_running_loop().run_in_executor(pool, model)
        return 200, GOOD

    return answer


def capped(rate: float) -> Answer:
    """One request after the other, each taking 1/rate: beyond that rate the queue grows without end."""
    free_at = 0.0

    async def answer(number: int) -> tuple[int, bytes]:
        nonlocal free_at
        loop = asyncio.get_running_loop()
        free_at = max(free_at, loop.time()) + 1 / rate
        await asyncio.sleep(free_at - loop.time())
        return 200, GOOD

    return answer


async def stall() -> None:
    """All of the service stands still, for STALL seconds in every EVERY."""
    while True:
        now = time.monotonic()
        await asyncio.sleep(EVERY - now % EVERY)
        time.sleep(STALL)


def answers(defect: str) -> Answer:
    name, *numbers = defect.split(":")
    if name == "delayed":
        return delayed(*map(float, numbers))
    if name == "capped":
        return capped(*map(float, numbers))
    known: dict[str, Answer] = {
        "healthy": healthy, "stalls": healthy, "error_body": error_body, "failing": failing, "drops": drops,
        "silent": silent, "failing_always": failing_always,
    }  # fmt: skip
    return threads() if name == "threads" else known[name]


class Service:
    def __init__(self, answer: Answer) -> None:
        self.answer, self.number = answer, 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = [line.partition(":")[2] for line in head.splitlines() if line.lower().startswith("content-length:")]
        await reader.readexactly(int(length[0]) if length else 0)
        if head.startswith("GET /ready"):
            answer: tuple[int, bytes] | None = (200, b"{}")
        else:
            self.number += 1
            answer = await self.answer(self.number)
        if answer is None:
            return False
        status, body = answer
        writer.write(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()
        return True


async def main(port: int, defect: str) -> None:
    service = Service(answers(defect))
    server = await asyncio.start_server(service.connected, "127.0.0.1", port, backlog=1000)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
    if defect == "stalls":
        stalling = asyncio.ensure_future(stall())
        stalling.add_done_callback(lambda _: server.close())
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
