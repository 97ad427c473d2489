"""Holds the stable port of a service that is replaced while it works: python -m ml_pipeline.targets.keeper FOLDER PORT

Passes each connection on to the process that is active when it comes, and starts, watches and ends those processes.
It listens for them too: they inherit their sockets, so that what comes while one starts again waits instead of
failing. Asked over a socket in FOLDER, by lines of JSON; only who may enter FOLDER can. It knows nothing of
releases, and keeps nothing: after its end the ledger says what to run. Nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONTROL, LOCK = "control", "keeper.lock"
BACKLOG = 1024
DRAIN = 30.0  # seconds that a process may take to end
AGAIN = 0.5  # seconds between the end of an active process and its next start
HOME = Path.cwd()  # of the processes, for the keeper itself moves into its folder
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


@dataclass
class Service:
    """A process and the socket that it inherits."""

    generation: int
    argv: list[str]
    log: str
    listening: socket.socket
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    @property
    def port(self) -> int:
        return int(self.listening.getsockname()[1])

    def start(self) -> None:
        """Start the process; it dies with this one."""
        argv = [word.replace("{fd}", str(self.listening.fileno())) for word in self.argv]
        with Path(self.log).open("ab") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[self.listening.fileno()],
                preexec_fn=_die_with_parent, start_new_session=True, cwd=HOME,
            )  # fmt: skip
        self.starts += 1

    def said(self) -> dict[str, Any]:
        code = self.process.poll() if self.process else None
        pid = self.process.pid if self.process else None
        return {"port": self.port, "pid": pid, "ended": code, "starts": self.starts}


@dataclass
class Keeper:
    """The processes by generation, and which of them is active."""

    services: dict[int, Service] = field(default_factory=dict)
    active: int | None = None
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def do(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer a request."""
        what, generation = asked["do"], asked.get("generation")
        if what == "start":
            self._start(int(asked["generation"]), asked["argv"], asked["log"])
        elif what == "switch":
            if generation not in self.services:
                raise ValueError(f"generation {generation} was not started")
            self.active = generation
        elif what == "retire":
            for each in [each for each in self.services.values() if each.generation != generation]:
                self.later(self._end(each))
        elif what != "status":
            raise ValueError(f"{what!r} can't be asked for")
        services = {str(number): each.said() for number, each in self.services.items()}
        return {"active": self.active, "services": services, "pid": os.getpid()}

    def _start(self, generation: int, argv: list[str], log: str) -> None:
        """Start a generation, unless it runs or is about to run again."""
        known = self.services.get(generation)
        if known and known.process and (known.process.poll() is None or generation == self.active):
            return
        if known:
            known.listening.close()
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(BACKLOG)
        self.services[generation] = made = Service(generation, argv, log, listening)
        made.start()

    async def watch(self) -> None:
        """Start the active process again if it ended by itself."""
        while True:
            await asyncio.sleep(AGAIN)
            one = self.services.get(self.active) if self.active is not None else None
            if one and one.process and one.process.poll() is not None:
                one.start()

    async def end(self) -> None:
        """End all processes, also those that are leaving."""
        for each in list(self.services.values()):
            self.later(self._end(each))
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _end(self, one: Service) -> None:
        """Let a process end what it is at. It is forgotten at once, so that another of its generation may start."""
        del self.services[one.generation]
        if self.active == one.generation:
            self.active = None
        process = one.process
        if process is not None and process.poll() is None:
            process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN):
                    while process.poll() is None:
                        await asyncio.sleep(0.02)
            process.kill()
            process.wait()
        one.listening.close()

    def later(self, work: Any) -> None:
        """Do it while others are answered."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class Side(asyncio.Protocol):
    """One end of a connection that is passed on: what comes goes to the other end, and no faster than that can take."""

    def __init__(self, made: Callable[[Side], None] | None = None) -> None:
        self.made, self.other = made, self
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if self.made:
            self.transport.pause_reading()
            self.made(self)

    def join(self, other: Side) -> None:
        """Pass on between the two from now on."""
        self.other, other.other = other, self
        if self.transport.is_closing():
            other.transport.close()
        else:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self.other.transport.write(data)

    def eof_received(self) -> bool:
        if self.other.transport.can_write_eof() and not self.other.transport.is_closing():
            self.other.transport.write_eof()
        return True  # the other direction stays open

    def connection_lost(self, _: Exception | None) -> None:
        if self.other is not self:
            self.other.transport.close()

    def pause_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.other.transport.is_closing():
            self.other.transport.resume_reading()


async def keep(folder: Path, listening: socket.socket, control: socket.socket) -> None:
    """Pass on until a signal ends it."""
    keeper, loop, ended = Keeper(), asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)

    async def connect(client: Side) -> None:
        one = keeper.services.get(keeper.active) if keeper.active is not None else None
        try:
            if one is None:
                raise ConnectionRefusedError
            _, upstream = await loop.create_connection(Side, "127.0.0.1", one.port)
        except OSError:
            client.transport.abort()
            return
        client.join(upstream)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):
            asked = json.loads(await reader.readline())
            try:
                said = await keeper.do(asked)
            except (KeyError, ValueError, OSError) as error:
                said = {"error": str(error)}
            writer.write(json.dumps(said).encode() + b"\n")
            await writer.drain()
        writer.close()

    server = await loop.create_server(lambda: Side(lambda side: keeper.later(connect(side))), sock=listening,
                                      backlog=BACKLOG)  # fmt: skip
    asking = await asyncio.start_unix_server(answer, sock=control)
    watching = loop.create_task(keeper.watch())
    await ended.wait()
    watching.cancel()
    server.close()
    await keeper.end()
    asking.close()
    (folder / CONTROL).unlink(missing_ok=True)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGTERM)


def main(folder: Path, host: str, port: int) -> int:
    """Run a keeper, unless there is one in the folder."""
    lock = (folder / LOCK).open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"{folder} has a keeper already", file=sys.stderr)
        return 1
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio's no-delay is for this alone
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    os.chdir(folder)  # for the path of a Unix socket has at most 107 bytes
    Path(CONTROL).unlink(missing_ok=True)
    control = socket.socket(socket.AF_UNIX)
    control.bind(CONTROL)
    asyncio.run(keep(folder, listening, control))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2], int(sys.argv[3])))
    except OSError as failed:
        print(f"the keeper can't run: {failed}", file=sys.stderr)
        sys.exit(2)
