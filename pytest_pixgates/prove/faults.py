"""A proxy before a service that the latency gate starts: it makes every request wait, or drops some of them.

`python -m pytest_pixgates.prove.faults --delay 2 --port 8080 -- COMMAND`: the command runs with another port wherever
it named 8080, and ends with the proxy.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

_CHUNK = 2**16


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until the command ends or this is told to; the command's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="where to listen, on loopback")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that each piece of a request waits")
    parser.add_argument("--drop", type=float, default=0.0, help="the share of pieces at which the connection is closed")
    parser.add_argument("command", nargs="+", help="what serves behind it")
    args = parser.parse_args(argv)
    return asyncio.run(_serve(args))


async def _serve(args: argparse.Namespace) -> int:
    behind = _free_port()
    # The command is the policy's own, which the gate would have started itself.
    service = subprocess.Popen([part.replace(str(args.port), str(behind)) for part in args.command])
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    dice = random.Random(0)  # noqa: S311 - the same faults in every run

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            answers, asks = await asyncio.open_connection("127.0.0.1", behind)
            back = asyncio.ensure_future(_copy(answers, writer))
            while chunk := await reader.read(_CHUNK):
                await asyncio.sleep(args.delay)
                if dice.random() < args.drop and not chunk.startswith(b"GET "):
                    break
                asks.write(chunk)
                await asks.drain()
            asks.close()
            back.cancel()
        writer.close()

    server = await asyncio.start_server(passed_on, "127.0.0.1", args.port)
    async with server:
        while service.poll() is None and not told.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), 0.1)
    service.terminate()
    return service.wait()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        writer.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
