"""The steps at a run's end: what was before it, and keeping it. Whatever goes wrong is told, and raises nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_pixgates.core import environ
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.record import Run
from pytest_pixgates.history import slide, store, target
from pytest_pixgates.history.entry import Entry, complete
from pytest_pixgates.history.target import Target


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of the runs before: `problem` says why that is nothing."""

    entries: tuple[Entry, ...]
    target: Target
    problem: str = ""


def past(run: Run, policy: Policy, reports: Path, place: str = "", against: str = "") -> Past:
    """The runs before `run`, and the one of the target branch among them, or that in the records `against`."""
    before, problem = tuple[Entry, ...](), ""
    try:
        entries = store.at(place or environ.history(), reports).read(store.SHOWN)
        before = tuple(each for each in entries if each.started < run.started)
    except Exception as error:
        problem = _told(error)
    return Past(before, target.find(run, policy, before, against or environ.against()), problem)


def keep(run: Run, policy: Policy, reports: Path) -> str:
    """Keep `run` if it is closed and complete; why it could not be kept, or ""."""
    if not complete(run):
        return ""
    try:
        branch, commit = target.here(policy.root)
        store.at(environ.history(), reports).append(Entry.of(run, branch=branch, commit=commit))
    except Exception as error:
        return _told(error)
    return ""


def _told(error: Exception) -> str:
    """What is wrong, whatever it is: an error of the history that nobody foresaw must not lose the run's records."""
    return error.message if isinstance(error, PixgatesError) else f"{type(error).__name__}: {error}"


def slides(run: Run, entries: tuple[Entry, ...]) -> list[slide.Slide]:
    """What slides, with `run` as the last; nothing for a run that says too little."""
    if not complete(run):
        return []
    same = [each for each in entries if each.environment == run.environment]
    return slide.slides(slide.series([*same, Entry.of(run)]))
