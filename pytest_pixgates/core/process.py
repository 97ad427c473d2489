"""Runs external programs so that nothing outlives, floods or leaks through a gate.

A hung scanner, an orphaned plugin process, output cut in silence or a token in an error message
would each make a gate's answer worthless; this is the one place that starts programs.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO
from urllib.parse import quote

from pytest_pixgates.core.errors import ToolError, ToolMissing, ToolOutputTooLarge, ToolTimeout

# Names that a tool inherits. Anything else stays out, so that
# a gate's answer does not hang on a stray TF_*, CKV_* or PYTHON* of the machine it runs on.
_INHERITED = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_\w+|TMPDIR|TZ|LD_LIBRARY_PATH|XDG_\w+"
    r"|SSL_CERT_(FILE|DIR)|\w+_CA_BUNDLE|(https?|no|all)_proxy|(HTTPS?|NO|ALL)_PROXY"
)
_INSTALLER = re.compile(r"PIP_\w+|GO\w*|CGO_\w+|GIT_SSL_CAINFO|NIX_SSL_CERT_FILE")
# These would send an installation elsewhere, or build for another machine.
_NOT_INSTALLER = frozenset(
    {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "GOBIN", "GOOS", "GOARCH", "GOROOT", "GOWORK"}
)

_ending = threading.Event()
_TERM_GRACE = 2.0  # seconds between TERM and KILL
_DRAIN = 0.5  # seconds that a left-behind child may keep the pipes open after the program has ended
_TAIL_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class Completed:
    """How one program ended. `stdout` and `stderr` are as printed: mask them before you show them."""

    returncode: int
    stdout: str
    stderr: str

    def tail(self, n_lines: int = 20) -> str:
        """The last lines of stderr, or of stdout when stderr is empty; secrets are masked."""
        return _tail(self.stderr if self.stderr.strip() else self.stdout, n_lines)


class _TooLarge(Exception):  # noqa: N818 - internal signal
    pass


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path,
    timeout: float,
    env: Mapping[str, str] | None = None,
    max_output: int = 64 * 2**20,
) -> Completed:
    """Run a program to its end and return what it said, whatever its return code.

    `timeout` is in seconds, `max_output` in bytes per stream. `env` is added to a small inherited part of the
    environment. The program's whole process group is ended with it, also on an exception here.
    Raises ToolMissing, ToolTimeout, ToolOutputTooLarge, or ToolError for a `cwd` that is not a folder.
    """
    command = tuple(os.fspath(part) for part in argv)
    streams = (bytearray(), bytearray())
    deadline = time.monotonic() + timeout
    with contextlib.ExitStack() as stack:
        with _interrupts_held():
            process = _start(command, cwd, {**inherited_environment(), **(env or {})})
            stack.enter_context(_ended_with_its_group(process))
        try:
            _collect(process, streams, deadline, max_output)
        except TimeoutError:
            raise ToolTimeout(_ended_early(command, f"ran longer than {timeout:g} s", streams)) from None
        except _TooLarge as name:
            text = f"printed more than {max_output:,} bytes to {name}"
            raise ToolOutputTooLarge(_ended_early(command, text, streams)) from None
    out, err = (bytes(stream).decode("utf-8", errors="replace") for stream in streams)
    return Completed(process.returncode, out, err)


class Background:
    """A program that runs beside what this process does."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def ended(self) -> int | None:
        """Its return code; None while it runs."""
        if not _has_exited(self._process):
            return None
        status = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return status.si_status if status is not None else None


@contextlib.contextmanager
def background(
    argv: Sequence[str | os.PathLike[str]], *, cwd: Path, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[Background]:
    """Run a program beside the block, and end it and its whole process group after it: TERM, then KILL.

    `log` gets what it prints; `env` as for `run`. Raises ToolMissing, or ToolError for a `cwd` that is no folder.
    """
    command = tuple(os.fspath(part) for part in argv)
    with contextlib.ExitStack() as stack:
        with _interrupts_held():
            output = stack.enter_context(log.open("wb"))
            process = _start(command, cwd, {**inherited_environment(), **(env or {})}, output)
            stack.enter_context(_ended_with_its_group(process))
        yield Background(process)
        _terminate(process)


@contextlib.contextmanager
def pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads to run programs in. If the block is left by an exception, Ctrl-C too, their programs are ended."""
    executor = ThreadPoolExecutor(workers)
    try:
        yield executor
    except BaseException:
        _ending.set()
        raise
    finally:
        executor.shutdown(cancel_futures=True)
        _ending.clear()


def cores() -> int:
    """How many programs may run at once to good use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def inherited_environment() -> dict[str, str]:
    """The part of this process's environment that every tool gets."""
    return {name: value for name, value in os.environ.items() if _INHERITED.fullmatch(name)}


def installer_environment() -> dict[str, str]:
    """What pip and go are configured with here (`PIP_*`, `GO*`), for the `env` of an installation."""
    names = (name for name in os.environ if _INSTALLER.fullmatch(name) and name not in _NOT_INSTALLER)
    return {name: os.environ[name] for name in names}


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while a program starts, for one in between would leave it with nobody to end it."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if held:
            handler(*held[0])


def _start(
    command: tuple[str, ...], cwd: Path, env: dict[str, str], output: IO[bytes] | None = None
) -> subprocess.Popen[bytes]:
    if not cwd.is_dir():
        raise ToolError(mask(f"cannot run {Path(command[0]).name} in {cwd}: it is not a folder"))
    try:
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.PIPE,
            stderr=subprocess.STDOUT if output else subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError:
        present = Path(cwd, command[0]).is_file() if os.sep in command[0] else False
        why = "the interpreter in its first line does not exist" if present else "there is no such program"
        raise ToolMissing(mask(f"cannot run {command[0]}: {why}")) from None
    except OSError as error:  # not executable, wrong architecture, arguments too long
        raise ToolMissing(mask(f"cannot run {command[0]}: {error.strerror}")) from None


def _collect(
    process: subprocess.Popen[bytes], streams: tuple[bytearray, bytearray], deadline: float, max_output: int
) -> None:
    """Read both pipes until the program has ended and they are empty."""
    if process.stdout is None or process.stderr is None:  # pragma: no cover - both were asked for
        raise AssertionError("no pipes")
    with selectors.DefaultSelector() as selector:
        for pipe, stream, name in zip((process.stdout, process.stderr), streams, ("stdout", "stderr"), strict=True):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_READ, (stream, name))
        exited_at: float | None = None
        while selector.get_map() or exited_at is None:
            # Both pipes closed nearly always means "about to exit": look again at once.
            for key, _ in selector.select(0.02 if selector.get_map() else 0.001):
                if not (chunk := os.read(key.fd, 2**16)):
                    selector.unregister(key.fileobj)
                stream, name = key.data
                stream += chunk
                if len(stream) > max_output:
                    raise _TooLarge(name)
            now = time.monotonic()
            if exited_at is None and _has_exited(process):
                exited_at = now
            if exited_at is not None and now > exited_at + _DRAIN:
                return
            if now > deadline:
                raise TimeoutError
            if _ending.is_set():
                raise ToolError("it was ended together with what asked for it")


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    # WNOWAIT leaves the ended leader unreaped: its id, which is the group's id, can't be given to a stranger
    # before the rest of the group has been killed.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@contextlib.contextmanager
def _ended_with_its_group(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        _terminate(process)
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _terminate(process: subprocess.Popen[bytes]) -> None:
    """Ask the group to end, and give its leader time to."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    give_up = time.monotonic() + _TERM_GRACE
    while not _has_exited(process) and time.monotonic() < give_up:
        time.sleep(0.01)


def _ended_early(command: tuple[str, ...], why: str, streams: Iterable[bytearray]) -> str:
    said = "\n".join(bytes(stream[-(2**18) :]).decode("utf-8", errors="replace") for stream in streams)
    tail = _tail(said, 20)
    return mask(f"{Path(command[0]).name} {why} and was ended") + (f"; it last said:\n{tail}" if tail else "")


def _tail(text: str, n_lines: int) -> str:
    # Mask before cutting: half a secret is no longer recognised. Only the end can be shown, so only it is masked.
    masked = mask(text[-(2**18) :]).strip()
    return "\n".join(masked.splitlines()[-n_lines:])[-_TAIL_CHARS:]


MASK = "***"
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL", re.IGNORECASE)
_SECRET_MIN_LENGTH = 6
# What stands in the group "secret" is masked; the whole match where there is no such group.
_SECRET_SHAPES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?"
        r"(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
        r"(?:AKIA|ASIA)[A-Z0-9]{16}",
        r"gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{8,}",
        r"eyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]*",
        r"://[^\s/:@]*:(?P<secret>[^\s/]+)@",
        r"(?i)authorization[\"']?\s*[:=]\s*(?P<secret>[^\r\n]+)",
        r"(?i)\bbearer\s+(?P<secret>[\w.~+/=-]{6,})",
    )
)


def mask(text: str) -> str:
    """`text` with secrets replaced: values of this environment's secret variables, and known token shapes."""
    return masker()(text)


def masker() -> Callable[[str], str]:
    """`mask` for many texts: the environment is read only once."""
    return partial(_masked, values=_secret_values())


def _masked(text: str, *, values: Set[str]) -> str:
    parts: list[str] = []
    kept_to = 0
    for begin, end in sorted(_secret_spans(text, values)):
        if end <= kept_to:
            continue
        if begin >= kept_to:
            parts += (text[kept_to:begin], MASK)
        kept_to = end
    return "".join((*parts, text[kept_to:]))


def _secret_spans(text: str, values: Set[str]) -> Iterator[tuple[int, int]]:
    # Found in the original text and then merged: masking one secret must not hide the edge of another.
    for value in values:
        begin = text.find(value)
        while begin >= 0:
            yield begin, begin + len(value)
            begin = text.find(value, begin + 1)
    for shape in _SECRET_SHAPES:
        group = "secret" if "secret" in shape.groupindex else 0
        yield from (match.span(group) for match in shape.finditer(text))


def _secret_values() -> set[str]:
    values = {value for name, value in os.environ.items() if _SECRET_NAME.search(name)}
    # Tools print the lines of a multi-line key indented, and values in URLs percent-encoded.
    values |= {line.strip() for value in values for line in value.splitlines() if len(line.strip()) >= 16}
    values |= {quote(value, safe="") for value in values}
    return {value for value in values if len(value) >= _SECRET_MIN_LENGTH}
