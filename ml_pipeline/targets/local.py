"""The service as a process on this machine, behind a port that stays while processes change.

A release gets a folder with the files of its digests and a process of its own. It must prove itself there, where
nobody else sends requests, before the keeper passes any on to it. Why so: docs/decisions/0012.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_pipeline import folders
from ml_pipeline.targets import SERVED, Unfit, Unit, alone, keeper
from ml_pipeline.targets.proof import ask, prove

ROOT = Path("ml_pipeline/deployments/local")
READY = 30.0  # seconds that a process may take until it is ready
POLL = 0.02


@dataclass(frozen=True)
class Local:
    """The target in `folder`, reached at `host` and `port`. `options` are for `python -m ml_pipeline.serve`."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8080
    options: tuple[str, ...] = ()

    @classmethod
    def of(cls, environment: str, options: Any) -> Local:
        """As the command line has it."""
        folder = (options.folder / environment).resolve()
        said = ["--state", options.state or str(folder / "state"), "--contracts", str(options.contracts.resolve())]
        if options.hash_key:
            said += ["--hash-key", str(options.hash_key.resolve())]
        return cls(folder, options.host, options.port, tuple(said))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)  # whoever can enter it can tell the keeper what to run
        with alone(self.folder):
            yield

    def changes(self, _: Unit) -> list[str]:
        return []  # a process has nothing that could be changed behind our back

    def caveat(self) -> str:
        return ""

    def running(self) -> int | None:
        said = self._ask({"do": "status"}, must=False)
        if said is None or said["active"] is None:
            return None
        return int(said["active"])

    def prepare(self, unit: Unit) -> None:
        """Put the files of the release into its folder, each hashed as it is read."""
        folder = self._folder(unit)
        (folder / "model").mkdir(parents=True, exist_ok=True)
        for name in SERVED:
            if name not in unit.release.files:
                raise Unfit(f"the release has no {name}, which the service needs")
            folders.write(folder / "model" / name, unit.kept(unit.release.files[name]))
        record = {"model": {"sha256": {name: unit.release.files[name] for name in SERVED}}}
        folders.write(folder / "promoted.json", json.dumps(record, indent=1).encode())

    def start(self, unit: Unit) -> None:
        """Start it, wait until it is ready, and send it a payment."""
        self._keep()
        folder = self._folder(unit)
        argv = [
            sys.executable, "-m", "ml_pipeline.serve", "--fd", "{fd}", "--model", str(folder / "model"),
            "--promoted", str(folder / "promoted.json"), *self.options,
        ]  # fmt: skip
        wanted = {"do": "start", "generation": unit.generation, "argv": argv, "log": str(folder / "service.log")}
        service = self._ask(wanted)["services"][str(unit.generation)]
        self._until_ready(unit, service["port"])
        prove(unit, _url("127.0.0.1", service["port"]))

    def switch(self, unit: Unit) -> None:
        self._ask({"do": "switch", "generation": unit.generation})

    def confirm(self, unit: Unit) -> None:
        prove(unit, _url(self.host, self.port))

    def retire(self, unit: Unit | None) -> None:
        self._ask({"do": "retire", "generation": unit.generation if unit else None}, must=unit is not None)

    def stop(self) -> None:
        """End the keeper and what it runs."""
        said = self._ask({"do": "status"}, must=False)
        if said is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(said["pid"], 15)
            with (self.folder / keeper.LOCK).open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # which it holds until its end

    def status(self) -> dict[str, Any]:
        """What the keeper says: which generation is active, and of each its port and process. Raises Unfit."""
        said: dict[str, Any] = self._ask({"do": "status"})
        return said

    def _folder(self, unit: Unit) -> Path:
        return (self.folder / f"{unit.generation:06d}").resolve()

    def _keep(self) -> None:
        """Start a keeper unless one answers."""
        if self._ask({"do": "status"}, must=False) is not None:
            return
        command = [sys.executable, "-m", "ml_pipeline.targets.keeper", str(self.folder), self.host, str(self.port)]
        with (self.folder / "keeper.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + READY
        while time.monotonic() < until:
            if self._ask({"do": "status"}, must=False) is not None:
                return
            if process.poll() is not None:
                break
            time.sleep(POLL)
        process.kill()
        raise Unfit(f"the keeper of port {self.port} does not run: {_tail(self.folder / 'keeper.log')}")

    def _ask(self, question: Mapping[str, Any], *, must: bool = True) -> Any:
        """The keeper's answer; None if there is no keeper, unless there must be one."""
        try:
            handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            handle = None
        said = _asked(handle, question) if handle is not None else None
        if said is None and must:
            raise Unfit(f"the keeper of {self.folder} does not answer; see {self.folder / 'keeper.log'}")
        if said is not None and "error" in said:
            raise Unfit(said["error"])
        return said

    def _until_ready(self, unit: Unit, port: int) -> None:
        until, reasons = time.monotonic() + READY, "it does not answer"
        while time.monotonic() < until:
            service = self.status()["services"].get(str(unit.generation), {})
            if service.get("ended", 0) is not None:
                break
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                status, said = ask(_url("127.0.0.1", port), "GET", "/readyz")
                if status == 200:
                    return
                reasons = "; ".join(said.get("reasons", []))
                if "model" in reasons:
                    break  # its files don't change any more
            time.sleep(POLL)
        raise Unfit(
            f"generation {unit.generation} is not ready: {reasons}; {_tail(self._folder(unit) / 'service.log')}"
        )


def _asked(handle: int, question: Mapping[str, Any]) -> Any:
    """Over the socket in the folder that is open as `handle`: its own path may be too long for a socket."""
    try:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(READY)
            control.connect(f"/proc/self/fd/{handle}/{keeper.CONTROL}")
            control.sendall(json.dumps(question).encode() + b"\n")
            with control.makefile("rb") as answer:
                return json.loads(answer.readline() or b"null")
    except (FileNotFoundError, ConnectionError):
        return None
    finally:
        os.close(handle)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _tail(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[-600:].strip()
    except OSError:
        return "it said nothing"
