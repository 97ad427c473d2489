"""What a family of gates is: the one thing to write to add `infra`, `latency` or your own.

A family gets its marker, fixture, policy section, recording and reports from being returned by the
`pytest_pixgates_families` hook; nothing else knows it by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_pixgates.core.subject import Subject

if TYPE_CHECKING:
    from pytest_pixgates.core.policy import Policy
    from pytest_pixgates.core.scan import Scan
    from pytest_pixgates.core.verdict import Verdict

OTHERS = "others.lock"


def _silent(_: str) -> AbstractContextManager[None]:
    return nullcontext()


def _nothing_known(scan: Scan, never: Collection[str] = ()) -> Scan:
    del never
    return scan


@dataclass(frozen=True)
class Context:
    """What a family's fixture works with.

    `settings` is the family's section of the policy. `scratch` is a folder shared by all processes of this run.
    `progress(text)` is a context manager that shows what a slow tool does while it runs. `expected()` are the ids
    (family/name) of the gates that this run is going to judge, so that work for several can be done at once.
    `reports` is the folder of the run's reports, where a family may leave files for people in a folder of its name.
    `known(scan, never=rules)` gives a scan, once waivers are applied to it, with what the baseline knows marked so.
    """

    policy: Policy
    settings: Any
    scratch: Path
    use_cache: bool = True
    progress: Callable[[str], AbstractContextManager[None]] = _silent
    expected: Callable[[], frozenset[str]] = frozenset
    known: Callable[..., Scan] = _nothing_known
    reports: Path | None = None

    @property
    def others(self) -> Path:
        """The lock (see `alone`) that the items of other families share while they run."""
        return self.scratch / OTHERS

    @property
    def root(self) -> Path:
        """The repository: all paths in the policy are relative to it."""
        return self.policy.root

    def subject(self, path: str | Path) -> Subject:
        """The file or folder at `path` as what a measurement is about. Raises OSError, ValueError outside the root."""
        return Subject.of(Path(path), self.root)


@dataclass(frozen=True)
class About:
    """A gate in words, for `pixgates explain`: what it `checks`, and how it comes to its `verdict`.

    `keys` are the further keys of the section that it goes by. `docs` is where more is written.
    """

    checks: str
    verdict: str
    keys: tuple[str, ...] = ()
    docs: str = ""


@dataclass(frozen=True)
class Gate:
    """A gate that the policy declares: `run` gets the family's fixture. `key` is its key in the section.

    `markers` are those of the family's further markers that select it. `about` explains it.
    """

    name: str
    run: Callable[[Any], Scan | Verdict]
    key: str = ""
    markers: tuple[str, ...] = ()
    about: About | None = None


class Family(ABC):
    """A family of gates. `summary` is one line for `pytest --markers` and `--fixtures`.

    `markers` are further markers inside the family, each with a line of help. `private` says that what its gates work
    on may not be shown: of a failure then only what this package says is told, no values and no other words.
    `alone` says that they need the machine to themselves: they run last, and while one holds `Context.others` alone,
    nothing else of the run runs.
    """

    name: str
    summary: str
    markers: Mapping[str, str] = {}
    private: bool = False
    alone: bool = False

    @abstractmethod
    def settings(self) -> type:
        """The frozen dataclass of the policy section; its fields are the section's keys. Called only when needed."""

    @abstractmethod
    def fixture(self, context: Context) -> object:
        """What a test that asks for the family's fixture receives. Called once per process."""

    def gates(self, settings: Any, root: Path) -> Iterable[Gate]:
        """The gates that the section declares with no Python at all."""
        del settings, root
        return ()
