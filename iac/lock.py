"""Who holds the lock of a state, and whether that is a run that was killed.

A run that is killed leaves its lock. Nobody can tell a dead holder from a slow one by the lock alone, so each run keeps
a note on its machine, where all runs of its user find it: its process, and how long it was seen. Only what such notes
prove is taken for dead: a run is gone that was not waiting for the lock, and there is no other that may have it.
"""

from __future__ import annotations

import contextlib
import datetime
import getpass
import json
import re
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pytest_pixgates.core import files

GONE = -1
_SLACK = datetime.timedelta(seconds=2)
_FIELD = re.compile(r"^\W*(ID|Path|Operation|Who|Created):[ \t]+(\S.*?)\s*$", re.MULTILINE)
_THERE = re.compile(r"already locked:[\s│]+ID=(\S+)")  # lines are wrapped


@dataclass(frozen=True)
class Lock:
    """A lock as terraform tells of it; `created` is None if its form is unknown."""

    id: str
    who: str
    operation: str = ""
    created: datetime.datetime | None = None

    @classmethod
    def told(cls, text: str) -> Lock | None:
        """The lock that a command could not get, by what it said."""
        if "Error acquiring the state lock" not in text:
            return None
        said = dict(_FIELD.findall(text))
        there = _THERE.search(text)
        if there and there[1] != said.get("ID"):  # over HTTP terraform tells of the lock that it did not get
            return cls(there[1], "")
        if "ID" not in said:
            return None
        return cls(said["ID"], said.get("Who", ""), said.get("Operation", ""), _time(said.get("Created", "")))

    def __str__(self) -> str:
        age = f", {_span(_now() - self.created)} old" if self.created else ""
        return f"lock {self.id}, held by {self.who or 'somebody'} ({self.operation or 'unknown operation'}{age})"


@dataclass(frozen=True)
class Run:
    """A process of terraform: enough to know it again, and to know that it is not there any more.

    `stack` is whose state it works on; `at_once` whether it takes the lock or ends, and doesn't wait beside a holder.
    """

    stack: str
    at_once: bool
    who: str
    boot: str
    space: str
    pid: int
    ticks: int
    began: str

    @classmethod
    def of(cls, pid: int, stack: str, *, at_once: bool) -> Run:
        """A process that runs here now."""
        return cls(stack, at_once, _who(), _boot(), _space(), pid, ticks(pid), _now().isoformat())

    @property
    def dead(self) -> bool:
        """Whether it can't be running any more, as far as this machine can tell."""
        return self._here and ticks(self.pid) != self.ticks

    @property
    def alive(self) -> bool:
        """Whether it runs, as far as this machine can tell."""
        return self._here and ticks(self.pid) == self.ticks

    @property
    def _here(self) -> bool:
        return (self.who, self.boot, self.space) == (_who(), _boot(), _space())


def left_by_the_dead(lock: Lock, stack: str) -> bool:
    """Whether a run of this stack was killed that must have had the lock, and nobody else may have it."""
    if lock.created is None:
        return False
    proved = False
    for note in _notes():
        with contextlib.suppress(FileNotFoundError):  # that run has ended well meanwhile
            seen = datetime.datetime.fromtimestamp(note.stat().st_mtime, datetime.UTC)
            of_its_time = lock.created <= seen + _SLACK
            if (run := _read(note)) is None:
                if of_its_time:
                    return False
            elif run.who == lock.who and lock.created >= datetime.datetime.fromisoformat(run.began) - _SLACK:
                if run.alive or (of_its_time and not run.dead):
                    return False
                proved |= of_its_time and run.at_once and run.stack == stack
    return proved


def forget_the_dead(stack: str) -> None:
    """Remove the notes of runs of this stack that left no lock, or none any more."""
    for note in _notes():
        with contextlib.suppress(OSError):
            if (run := _read(note)) and run.stack == stack and run.dead:
                note.unlink()


def notes() -> Path:
    """The folder of the notes, which is made if there is none. Raises OSError."""
    from platformdirs import user_state_path

    folder = user_state_path("pixgates") / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def noted(run: Run) -> Iterator[Path]:
    """Keep a note of a process of terraform as long as it is waited for; to be touched while it is seen."""
    note = notes() / f"{run.pid}-{run.ticks}.json"
    files.write_atomically(note, json.dumps(asdict(run)))
    yield note
    note.unlink(missing_ok=True)  # not after an exception: then nobody saw how it ended


def _notes() -> list[Path]:
    return sorted(notes().glob("*.json"))


def _read(note: Path) -> Run | None:
    """The run; None if it is no note of one. Raises OSError."""
    try:
        run = Run(**json.loads(note.read_text()))
        return run if datetime.datetime.fromisoformat(run.began).tzinfo else None
    except (ValueError, TypeError):
        return None


def _time(text: str) -> datetime.datetime | None:
    """As Go writes it: "2026-11-29 10:46:03.123456789 +0000 UTC"."""
    found = re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d{1,6})?\d* ([+-]\d{4})", text)
    return datetime.datetime.fromisoformat(f"{found[1]}{found[2] or ''}{found[3]}") if found else None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _span(age: datetime.timedelta) -> str:
    seconds = max(int(age.total_seconds()), 0)
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size or size == 1:
            return f"{seconds // size} {name}{'' if seconds // size == 1 else 's'}"
    raise AssertionError


def _who() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _space() -> str:
    """Process ids mean something only among processes of one namespace."""
    return str(Path("/proc/self/ns/pid").readlink())


def ticks(pid: int) -> int:
    """When the process began, in ticks since the machine did; GONE if there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return GONE
    return GONE if fields[0] == "Z" else int(fields[19])
