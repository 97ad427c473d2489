"""Sends each request when it is due, whatever became of those before. Runs inside locust, in locust's environment.

The schedule, the requests and the formats are files that the gate wrote; here a request is only sent, timed and
written down. `locust -f driver.py` reads the folder from PIXGATES_LOAD. Of W workers each takes every W-th arrival;
a worker writes its records and its summary before it says that it is done, and the master ends the run only after all
have, so nothing that was sent is lost.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import json
import os
import random
import resource
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent  # type: ignore[import-not-found,import-untyped,unused-ignore]
from gevent.event import AsyncResult  # type: ignore[import-not-found,import-untyped,unused-ignore]
from geventhttpclient.response import HTTPResponse  # type: ignore[import-not-found,import-untyped,unused-ignore]
from locust import User, events, task  # type: ignore[import-not-found,import-untyped,unused-ignore]
from locust.runners import LocalRunner, MasterRunner  # type: ignore[import-not-found,import-untyped,unused-ignore]
from locust.util.load_locustfile import load_locustfile  # type: ignore[import-not-found,import-untyped,unused-ignore]

FOLDER = Path(os.environ["PIXGATES_LOAD"])
LOAD: dict[str, Any] = json.loads((FOLDER / "load.json").read_bytes())
OK, STATUS, BODY, CONNECTION, TIMEOUT, TASK = range(6)
RECORD = struct.Struct(LOAD["record"])
clock = time.monotonic_ns


class Refused(Exception):  # noqa: N818 - an answer to the task, as a connection is refused
    """A task asked for a host that the policy does not allow."""


def refuse_strangers(event: str, arguments: tuple[Any, ...]) -> None:
    """Whatever a user's task does, a connection goes only where the policy allows."""
    if event != "socket.connect":
        return
    address = arguments[1]
    if isinstance(address, tuple) and address[0] not in LOAD["addresses"]:
        raise Refused(f"{address[0]} is not this machine, nor named in allowed_targets")


sys.addaudithook(refuse_strangers)


# ---- one connection, with the moment of the first byte, and without a retry that would hide a dropped one


class Connection:
    """One request at a time to `target`; kept open between them where the service does."""

    def __init__(self, target: dict[str, Any]) -> None:
        self._target = target
        self._socket: Any = None

    def send(self, row: list[int], endpoint: dict[str, Any], number: int) -> None:
        """Send the request and put first byte, done, outcome and status into `row`."""
        requests = endpoint["wire"][self._target["index"]]
        method, data = requests[number % len(requests)]
        response = HTTPResponse(method)
        try:
            stream = self._opened()
            stream.sendall(data)
            while not response.message_complete or response.get_code() < 200:
                received = stream.recv(65536)
                if not row[3]:
                    row[3] = clock()
                response.feed(received)
                if not received:
                    break
            row[4] = clock()
        except BaseException:
            self.close()
            raise
        row[6] = response.get_code()
        whole = response.message_complete
        if response.should_close():
            self.close()
        row[5] = check(endpoint["expect"], row[6], bytes(response._body_buffer)) if whole else CONNECTION

    def _opened(self) -> Any:
        if self._socket is not None and not self._closed_by_the_service():
            return self._socket
        self.close()
        stream = socket.create_connection((self._target["address"], self._target["port"]))
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._target["tls"]:
            stream = ssl.create_default_context().wrap_socket(stream, server_hostname=self._target["host"])
        self._socket = stream
        return stream

    def _closed_by_the_service(self) -> bool:
        """Whether an idle connection has ended meanwhile, which is no failure of a request."""
        if self._target["tls"]:
            return False
        try:
            self._socket._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True  # the end, or an answer that nobody asked for

    def close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
            self._socket = None


def check(expect: dict[str, Any], status: int, body: bytes) -> int:
    """Whether an answer is what the policy expects."""
    if status not in expect["status"] if expect["status"] else not 200 <= status < 300:
        return STATUS
    if expect["body_has"] and expect["body_has"].encode() not in body:
        return BODY
    if expect["json"] or expect["json_has"]:
        try:
            told = json.loads(body)
            right = all(key in told for key in expect["json_has"])
            right = right and all(told[key] == value for key, value in expect["json"].items())
        except (ValueError, KeyError, TypeError, IndexError):
            right = False
        return OK if right else BODY
    return OK


def on_the_wire(target: dict[str, Any], request: dict[str, Any]) -> tuple[str, bytes]:
    body = request["body"].encode()
    headers = {"Host": target["authority"], "User-Agent": "pixgates", **request["headers"]}
    if body or request["method"] in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = str(len(body))
    first = f"{request['method']} {request['path']} HTTP/1.1"
    lines = (first, *(f"{name}: {value}" for name, value in headers.items()), "", "")
    return request["method"], "\r\n".join(lines).encode() + body


# ---- a user's own tasks


class TaskUser:
    """One of the user's locust users; an arrival is one task of it, from when it was due to its end."""

    def __init__(self, environment: Any, kinds: list[Any]) -> None:
        weights = [kind.weight for kind in kinds]
        self._user: Any = random.choices(kinds, weights)[0](environment)  # noqa: S311 - not for secrets
        self._user.on_start()

    def send(self, row: list[int], endpoint: dict[str, Any], number: int) -> None:
        """Run one task; every request that it makes must succeed, and it must make one."""
        del endpoint, number
        here = gevent.getcurrent()
        here.pixgates_row, here.pixgates_requests = row, 0
        row[5] = OK
        draw = random.Random(LOAD["seed"] * 1_000_003 + row[0])  # noqa: S311 - not for secrets
        owner: Any = self._user
        chosen: Any = draw.choice(self._user.tasks)
        while inspect.isclass(chosen):  # a TaskSet
            owner = chosen(owner)  # type: ignore[call-arg, unused-ignore]
            chosen = draw.choice(owner.tasks)
        chosen(owner)
        row[4] = clock()
        if not here.pixgates_requests:
            row[5] = TASK

    def close(self) -> None:
        self._user.on_stop()


def note_request(exception: Any = None, response: Any = None, **_: Any) -> None:
    """What locust tells of a request that a task made."""
    here = gevent.getcurrent()
    row = getattr(here, "pixgates_row", None)
    if row is None:
        return
    here.pixgates_requests += 1
    status = getattr(response, "status_code", 0) or 0
    row[6] = max(row[6], status if isinstance(status, int) else 0)
    if exception is not None:
        row[5] = STATUS if status else CONNECTION


# ---- the schedule


class Load:
    """This process' part of the schedule."""

    def __init__(self, environment: Any, worker: int) -> None:
        self._environment, self.worker = environment, worker
        arrival = struct.Struct(LOAD["arrival"])
        every = list(arrival.iter_unpack((FOLDER / "arrivals.bin").read_bytes()))
        self._mine = list(enumerate(every))[worker :: LOAD["workers"]]
        self._idle: list[list[Any]] = [[] for _ in LOAD["targets"]]
        self._active = 0
        self._sent = self._recorded = self._overflow = self._most = 0
        self._errors: dict[str, int] = {}
        self._kinds: list[Any] = []
        if LOAD["locustfile"]:
            self._kinds = list(load_locustfile(LOAD["locustfile"])[0].values())
            for kind in self._kinds:
                kind.host = LOAD["targets"][0]["url"]
        for endpoint in LOAD["endpoints"]:
            endpoint["wire"] = [[on_the_wire(to, each) for each in endpoint["requests"]] for to in LOAD["targets"]]
        for at in range(len(LOAD["targets"])):  # opening a connection is the service's time, making a user is ours
            self._idle[at] = [self._client(at) for _ in range(min(LOAD["ready_clients"], LOAD["connections"]))]

    def _client(self, target: int) -> Any:
        if self._kinds:
            return TaskUser(self._environment, self._kinds)
        return Connection(LOAD["targets"][target])

    def run(self, origin: int) -> None:
        """Send everything when due; ends when all is answered or given up."""
        gc.collect()
        gc.freeze()
        gc.disable()
        give_up = origin + (self._mine[-1][1][0] if self._mine else 0) + round((LOAD["timeout"] + 5) * 1e9)
        pending = set[Any]()
        with (FOLDER / f"records-{self.worker}.bin").open("wb", buffering=1 << 16) as file:
            used, began = time.process_time(), clock()
            for index, arrival in self._mine:
                due = origin + arrival[0]
                wait = due - clock()
                gevent.sleep(wait / 1e9 if wait > 0 else 0)
                if clock() > give_up:
                    break
                if self._active >= LOAD["connections"]:
                    self._overflow += 1
                    continue
                self._active += 1
                self._most = max(self._most, self._active)
                greenlet = gevent.spawn(self._one, index, due, arrival, origin, file.write)
                pending.add(greenlet)
                greenlet.rawlink(pending.discard)
            cpu, wall = time.process_time() - used, clock() - began
            gevent.joinall(list(pending), timeout=LOAD["timeout"] + 5)
        self._summarise(cpu, wall)

    def _one(self, index: int, due: int, arrival: tuple[int, ...], origin: int, write: Callable[[bytes], Any]) -> None:
        _, _, _, target, endpoint, number = arrival
        idle = self._idle[target]
        row = [index, due, 0, 0, 0, OK, 0]  # intended, sent, first byte, done, outcome, status
        client = None
        row[2] = clock()
        self._sent += 1
        try:
            with gevent.Timeout(LOAD["timeout"]):
                client = idle.pop() if idle else self._client(target)
                client.send(row, LOAD["endpoints"][endpoint], number)
        except gevent.Timeout:
            self._failed(row, TIMEOUT, f"no answer within {LOAD['timeout']:g} s")
        except (OSError, EOFError) as error:
            self._failed(row, CONNECTION, f"{type(error).__name__}: {error}")
        except Exception as error:  # a user's task may raise anything, and a parser too
            self._failed(row, TASK if self._kinds else CONNECTION, f"{type(error).__name__}: {error}")
        finally:
            self._active -= 1
        if client is not None:
            idle.append(client)
        first = row[3] - origin if row[3] else -1
        write(RECORD.pack(index, row[5], row[6], due - origin, row[2] - origin, first, row[4] - origin))
        self._recorded += 1

    def _failed(self, row: list[int], outcome: int, why: str) -> None:
        row[4], row[5] = clock(), outcome
        if why in self._errors or len(self._errors) < 20:
            self._errors[why] = self._errors.get(why, 0) + 1

    def _summarise(self, cpu: float, wall: int) -> None:
        told = {
            "scheduled": len(self._mine), "sent": self._sent, "recorded": self._recorded, "overflow": self._overflow,
            "most": self._most, "cpu_seconds": cpu, "wall_seconds": wall / 1e9, "errors": self._errors,
        }  # fmt: skip
        path = FOLDER / f"summary-{self.worker}.json"
        path.with_suffix(".part").write_text(json.dumps(told))
        path.with_suffix(".part").replace(path)


class Arrivals(User):  # type: ignore[misc, unused-ignore]
    """What locust runs, once in each process that sends."""

    @task  # type: ignore[untyped-decorator, unused-ignore]
    def follow(self) -> None:
        runner = self.environment.runner
        if isinstance(runner, LocalRunner):
            load = Load(self.environment, 0)
            load.run(clock() + 200_000_000)
            runner.quit()
        else:
            load = Load(self.environment, runner.worker_index)
            runner.send_message("pixgates_ready", {})
            load.run(runner.pixgates_started.get())
            runner.send_message("pixgates_done", {})
        gevent.sleep(3600)  # until the run ends


@events.init.add_listener  # type: ignore[untyped-decorator, unused-ignore]
def listen(environment: Any, runner: Any, **_: Any) -> None:
    """Tie master and workers together: all start at one moment, and the end waits for every worker."""
    events.request.add_listener(note_request)
    environment.process_exit_code = 0  # a request that failed is a result, not a failure of the run
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if isinstance(runner, MasterRunner):
        ready, done = set[str](), set[str]()

        def one_ready(msg: Any, **_: Any) -> None:
            ready.add(msg.node_id)
            if len(ready) == LOAD["workers"]:  # one machine, so one monotonic clock
                runner.send_message("pixgates_start", {"origin": clock() + 500_000_000})

        def one_done(msg: Any, **_: Any) -> None:
            done.add(msg.node_id)
            if len(done) == LOAD["workers"]:
                runner.quit()

        runner.register_message("pixgates_ready", one_ready)
        runner.register_message("pixgates_done", one_done)
    elif not isinstance(runner, LocalRunner):
        started: AsyncResult = AsyncResult()
        runner.pixgates_started = started
        runner.register_message("pixgates_start", lambda msg, **_: started.set(msg.data["origin"]))
