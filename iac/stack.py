"""A Terraform stack as it is planned and applied: terraform in its folder, a plan in a file, a state behind a lock."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iac import lock
from iac.lock import Lock
from ml_pipeline.ledger.steps import Refused
from pytest_pixgates.core import environ, process, tools
from pytest_pixgates.infra import terraform

STALE = "Saved plan is stale"
CLEAN, FAILED, CHANGES = 0, 1, 2
_SEEN = 0.2  # seconds
# Variables that make terraform plan less, or elsewhere, or with other providers than it says; how fast is harmless.
_BENDS = re.compile(r"TF_CLI_ARGS.*|TF_WORKSPACE|TF_REATTACH_PROVIDERS")
_HARMLESS = re.compile(r"-parallelism=\d+")


class Locked(Refused):
    """Somebody holds the state's lock."""

    def __init__(self, held: Lock) -> None:
        super().__init__(str(held))
        self.held = held


@dataclass(frozen=True)
class Version:
    """Which state: all its versions have one lineage, each later one a higher serial."""

    lineage: str
    serial: int

    @classmethod
    def of(cls, text: str | bytes) -> Version:
        """Of a state as terraform keeps it; of none yet if there is no text. Raises ValueError."""
        if not text.strip():
            return cls("", 0)
        try:
            state = json.loads(text)
            return cls(str(state["lineage"]), int(state["serial"]))
        except (KeyError, TypeError):
            raise ValueError("what terraform gave as a state is none") from None

    def __str__(self) -> str:
        return f"state {self.lineage[:8]}, serial {self.serial}" if self.lineage else "no state yet"


@dataclass(frozen=True)
class Plan:
    """The bytes of a saved plan, read once: what is verified is what is applied."""

    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def state(self) -> Version:
        """What it was made for. Raises Refused if it is no plan."""
        try:
            with zipfile.ZipFile(io.BytesIO(self.content)) as archive:
                return Version.of(archive.read("tfstate"))
        except (zipfile.BadZipFile, KeyError, ValueError, NotImplementedError, RuntimeError):
            raise Refused("the file is no plan of terraform; plan again: --plan") from None


@dataclass(frozen=True)
class Stack:
    """The stack in `folder`, for one environment.

    `backend` says where its state lies, as `-backend-config` takes it; `wait` is how many seconds for another's lock.
    """

    folder: Path
    environment: str
    backend: tuple[str, ...] = ()
    wait: int = 0

    @property
    def plan_file(self) -> Path:
        return self.folder / f"{self.environment}.tfplan"

    @property
    def name(self) -> str:
        """Whose state it is, on this machine: several may lie behind one folder."""
        return " ".join([str(self.folder.resolve()), self.environment, *self.backend])

    def init(self) -> None:
        """Raises Refused."""
        where = [f"-backend-config={each}" for each in self.backend]
        self._must("init", "-input=false", "-no-color", "-lockfile=readonly", "-reconfigure", *where)

    def plan(self) -> bool:
        """Plan to the file, which only its owner can read, for it holds the state. Returns whether there is work to do.

        Raises Refused.
        """
        self.plan_file.unlink(missing_ok=True)
        with _umask(0o077):
            code, said = self._run(*self._plan, f"-out={self.plan_file.name}")
        if code not in (CLEAN, CHANGES):
            self.plan_file.unlink(missing_ok=True)  # terraform saves one that broke off too
            raise _why("plan", code, said)
        return code == CHANGES

    def saved(self) -> Plan:
        """Raises Refused."""
        try:
            return Plan(self.plan_file.read_bytes())
        except OSError as error:
            raise Refused(f"{self.plan_file}: no plan ({error.strerror}); make one: --plan") from None

    def state(self) -> Version:
        """Which state there is now. Raises Refused."""
        code, said = self._run("state", "pull", quiet=True)
        if code:
            raise _why("state pull", code, said)
        return Version.of(said.out)

    def apply(self, plan: Plan) -> bool:
        """Apply exactly these bytes, from a file that nobody else can write. Returns whether they were not stale.

        Raises Refused.
        """
        with tempfile.TemporaryDirectory(prefix="pixgates-apply-") as folder:
            private = Path(folder) / "plan"
            private.write_bytes(plan.content)
            if hashlib.sha256(private.read_bytes()).hexdigest() != plan.sha256:
                raise Refused("the plan is not what was verified; nothing was applied")
            code, said = self._run("apply", "-input=false", "-no-color", self._lock, str(private))
        if code and STALE in said.err:
            return False
        if code:
            raise _why("apply", code, said)
        return True

    def settled(self) -> bool:
        """Whether planning again finds nothing to do. Raises Refused."""
        code, said = self._run(*self._plan)
        if code not in (CLEAN, CHANGES):
            raise _why("plan", code, said)
        return code == CLEAN

    def unlock(self, held: Lock) -> None:
        """Raises Refused."""
        self._must("force-unlock", "-force", held.id)

    @property
    def _lock(self) -> str:
        return f"-lock-timeout={self.wait}s"

    @property
    def _plan(self) -> tuple[str, ...]:
        return ("plan", "-input=false", "-no-color", "-detailed-exitcode", self._lock)

    def _must(self, *arguments: str) -> None:
        code, said = self._run(*arguments, quiet=True)
        if code:
            raise _why(arguments[0], code, said)

    def _run(self, *arguments: str, quiet: bool = False) -> tuple[int, Said]:
        """Run terraform to its end, its progress shown unless `quiet`.

        It writes to files: if we are killed it goes on to its end, where a pipe that nobody reads would kill it too.
        """
        tool, mirror = tools.find(tools.TERRAFORM), environ.terraform_mirror()
        with tempfile.TemporaryDirectory(prefix="pixgates-terraform-") as name:
            scratch = Path(name)
            settings = {**unbent(os.environ), **terraform.environment(scratch, Path(mirror) if mirror else None)}
            del settings["TF_DATA_DIR"]  # a plan is shown where its providers are: in the stack
            lock.notes()  # or nothing is started that nobody could note
            out, err = scratch / "out", scratch / "err"
            with out.open("wb") as stdout, err.open("wb") as stderr:
                started = subprocess.Popen(
                    [str(tool.path), *arguments], cwd=self.folder, env=settings,
                    stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True,
                )  # fmt: skip
            run = lock.Run.of(started.pid, self.name, at_once=self._lock in arguments and not self.wait)
            shown = 0
            with _interrupting(started), lock.noted(run) as note:
                while (code := _ended(started)) is None:
                    os.utime(note)
                    shown = shown if quiet else _show(out, shown)
            if not quiet:
                _show(out, shown)
            return code, Said(out.read_text(errors="replace"), err.read_text(errors="replace"))


def unbent(variables: Mapping[str, str]) -> dict[str, str]:
    """Without what would have terraform do something else than it is asked for: `-target` makes any drift green."""
    return {k: v for k, v in variables.items() if not _BENDS.fullmatch(k) or _HARMLESS.fullmatch(v.strip())}


@dataclass(frozen=True)
class Said:
    """What a command said."""

    out: str
    err: str


def _show(file: Path, shown: int) -> int:
    """Print the whole lines that came since. Returns how much of the file was shown."""
    with file.open("rb") as opened:
        opened.seek(shown)
        new = opened.read()
    new = new[: new.rfind(b"\n") + 1]
    if new:
        print(process.mask(new.decode(errors="replace")), end="", flush=True)
    return shown + len(new)


def _ended(started: subprocess.Popen[bytes]) -> int | None:
    try:
        return started.wait(_SEEN)
    except subprocess.TimeoutExpired:
        return None


def _why(command: str, code: int, said: Said) -> Refused:
    """Why a command failed: a lock, or what it said."""
    if held := Lock.told(said.err):
        return Locked(held)
    lines = [line.strip("│╷╵ \n") for line in process.mask(said.err or said.out).splitlines()]
    text = "\n".join(filter(None, lines))[-2000:]
    return Refused(f"terraform {command} failed (exit code {code}):\n{text}")


@contextlib.contextmanager
def _interrupting(started: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ctrl-C and TERM ask terraform to end, which it does when its state is safe; only then do we."""
    asked: list[int] = []

    def ask(number: int, _: Any) -> None:
        asked.append(number)
        print("asked terraform to end; waiting until its state is safe", file=sys.stderr, flush=True)
        with contextlib.suppress(ProcessLookupError):
            started.send_signal(signal.SIGINT)

    before: Sequence[Any] = ()
    if threading.current_thread() is threading.main_thread():
        before = [(number, signal.signal(number, ask)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    if asked:
        raise Refused("interrupted; look at what was done: --plan")


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
