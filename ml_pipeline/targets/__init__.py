"""Where a release runs. `local` is a process on this machine; any other place has the same methods."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ml_pipeline.ledger.entries import Release

NAMES = ("local", "kubernetes")
SERVED = ("model.onnx", "model.json")  # what a service needs of a model


class Unfit(Exception):  # noqa: N818 - it is an answer
    """What was brought does not work, or can't be brought."""


@dataclass(frozen=True)
class Unit:
    """A generation to run: its release, and where its artifacts are to be had by their digests.

    `again` if it worked before, and comes back.
    """

    generation: int
    release: Release
    kept: Callable[[str], bytes]
    again: bool = False


class Target(Protocol):
    """A place that runs one generation. Any method may be repeated after a kill; what fails raises Unfit or OSError."""

    def held(self) -> AbstractContextManager[None]:
        """Nobody else changes the target meanwhile. Raises Unfit if somebody does."""

    def running(self) -> int | None:
        """The generation that gets the requests now."""

    def changes(self, unit: Unit) -> list[str]:
        """What it would change in what is there, for people; nothing if all is as it should be. Changes nothing."""

    def caveat(self) -> str:
        """What `confirm` can't find out here; "" if it finds out all. The ledger keeps it."""

    def prepare(self, unit: Unit) -> None:
        """Bring what it needs, and find out what can be found out without running it."""

    def start(self, unit: Unit) -> None:
        """Run it beside the one that gets the requests, and let it prove itself there."""

    def switch(self, unit: Unit) -> None:
        """Let it get the requests."""

    def confirm(self, unit: Unit) -> None:
        """Make sure that it is what answers now."""

    def retire(self, unit: Unit | None) -> None:
        """End all others, without losing what they are at; without a unit all."""


def named(name: str, environment: str, options: object) -> Target:
    """The target of a name. Raises ValueError."""
    if name == "local":
        from ml_pipeline.targets.local import Local

        return Local.of(environment, options)
    if name == "kubernetes":
        from ml_pipeline.targets.kubernetes import Kubernetes

        return Kubernetes.of(environment, options)
    raise ValueError(f"there is no target {name!r}, only {', '.join(NAMES)}")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else on this machine changes what `folder` is for. Raises Unfit if somebody does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "deploy.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Unfit(f"process {lock.read().strip()} changes {folder} at this moment; wait for it") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}")
        lock.flush()
        yield  # the kernel lets go of it, however this process ends


def add_kubectl(parser: Any) -> None:
    """The option that names the program."""
    parser.add_argument("--kubectl", help="the program ($PIXGATES_KUBECTL, else kubectl of PATH)")


def kubectl(named: str | None) -> Path:
    """The program of the option. Raises ValueError."""
    name = named or os.environ.get("PIXGATES_KUBECTL") or "kubectl"
    found = shutil.which(name)
    if found is None:
        remedy = "name it by --kubectl or $PIXGATES_KUBECTL; `pixgates tools list` says where it is"
        raise ValueError(f"{name} can't be run; {remedy}")
    return Path(found)
