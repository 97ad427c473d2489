"""The `latency` fixture: the service as the policy names it, under the load that the policy plans.

One run of load answers all limits, so it is made once for all processes of a run of gates. Whoever makes it has the
machine alone: no other load of any repository, and nothing else of this run.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pytest_pixgates.core import alone, files, quantity, recording, sources
from pytest_pixgates.core.errors import EXTRA, NotMeasured
from pytest_pixgates.core.family import Context
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome, Verdict
from pytest_pixgates.latency.policy import LatencyPolicy

if TYPE_CHECKING:
    from pytest_pixgates.core.measurement import Measurement
    from pytest_pixgates.latency.capacity import Found
    from pytest_pixgates.latency.results import View

FAMILY = "latency"
_WAIT = 4 * 3600  # seconds for others' load to end


class LatencyGates:
    """What `def test_x(latency)` receives: the figures of the run as attributes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings: LatencyPolicy = context.settings
        self._root = context.root.resolve()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.view(), name)

    def view(self, stage: str = "", endpoint: str = "") -> View:
        """The figures of one stage (which may be left out if there is one) and endpoint (else of all).

        Raises NotMeasured.
        """
        stages, names = list(self._settings.stages), list(self._settings.names)
        if not stage and len(stages) > 1:
            raise NotMeasured("which stage?", remedy=f'latency.view("{stages[0]}").p99; there are {", ".join(stages)}')
        for given, known in ((stage, stages), (endpoint, names)):
            if given not in ("", *known):
                raise NotMeasured(f"there is no {given!r}", remedy=f"there are {', '.join(known)}")
        of = names.index(endpoint) if endpoint else 0 if len(names) == 1 else None
        return self._views(self._folder, stages.index(stage) if stage else 0, of)

    # What the policy declares

    def limit(self, stage: str, endpoint: str, name: str) -> Verdict:
        """The limit `name` on one stage and endpoint."""
        limits = next(limits for at, of, limits in self._settings.judged if (at, of) == (stage, endpoint))
        try:
            return limits[name].judge(self.view(stage, endpoint).figure(name.replace(".", "_")))
        except NotMeasured as error:
            return self._unmeasured(f"{stage}/{endpoint} {name}", error)

    def against_previous(self) -> Verdict:
        """The share of slow requests is at most the margin more than the previous version's, side by side."""
        previous = self._settings.previous
        try:
            return self.slower_than_previous <= (previous.margin if previous else 0)
        except NotMeasured as error:
            return self._unmeasured("previous", error)

    def judge_capacity(self) -> Verdict:
        """The highest rate that still meets the limit is at least what the policy says."""
        try:
            assert self._settings.capacity is not None
            return self._settings.capacity.judge(self.capacity)
        except NotMeasured as error:
            return self._unmeasured("capacity", error)

    @property
    def slower_than_previous(self) -> Measurement:
        """By how much the share of slow requests is larger than the previous version's. Raises NotMeasured."""
        _library()
        from pytest_pixgates.latency import compare

        if self._settings.previous is None:
            raise NotMeasured("the policy names no previous version", remedy="declare [latency.previous]")
        return compare.difference(
            self._settings, self._once("previous", self._compare), self._context.policy.general.alpha, self._subject
        )

    @property
    def capacity(self) -> Measurement:
        """The highest rate (requests a second) that still meets the limit. Raises NotMeasured."""
        _library()
        from pytest_pixgates.latency import capacity

        if self._settings.capacity is None:
            raise NotMeasured("the policy declares no capacity", remedy="declare [latency.capacity]")
        return capacity.measurement(self._once("capacity", self._search), self._settings, self._subject)

    # How it is measured

    @cached_property
    def _folder(self) -> Path:
        return self._once("run", self._run)

    def _run(self, folder: Path) -> None:
        """The load of all stages, and what people look at afterwards."""
        from pytest_pixgates.latency import load, picture, service

        if not self._settings.stages:
            raise NotMeasured("the policy plans no load", remedy="declare [latency.stages.NAME] with rate and duration")
        log = folder.with_suffix(".log")
        with service.running(self._settings, self._root, log, self._settings.allowed_targets) as place:
            load.drive(
                self._settings, dict(self._settings.stages), [place], folder, self._root,
                seed=self._settings.seed, configured=self._locust,
            )  # fmt: skip
        for stage, endpoint, limits in self._settings.judged:
            at = list(self._settings.stages).index(stage), self._settings.names.index(endpoint)
            view = self._views(folder, *at)
            picture.write(view, limits, folder / f"{stage}-{endpoint}.svg")
            load.write_histogram(view.taken, folder / f"{stage}-{endpoint}.hdr")

    def _compare(self, folder: Path) -> None:
        from pytest_pixgates.latency import compare

        compare.run(self._settings, folder, self._root, self._locust)

    def _search(self, folder: Path) -> None:
        from pytest_pixgates.latency import capacity

        found: Found = capacity.search(
            self._settings, folder, self._root, self._context.policy.general.alpha, self._locust
        )
        capacity.write(found, folder)

    def _views(self, folder: Path, stage: int, endpoint: int | None) -> View:
        library = _library()
        run = library.Run.read(folder)
        from pytest_pixgates.latency.results import View

        records = Subject(f"latency/{folder.name}", run.digest, "content")
        return View(
            run, stage, endpoint, self._context.policy.general.alpha,
            quantity.seconds(self._settings.covers_stalls), (*self._subject, records),
        )  # fmt: skip

    def _once(self, name: str, measure: Any) -> Path:
        """The folder that `measure` filled, once for all processes of this run. Raises NotMeasured as it did."""
        _library()
        scratch = self._context.scratch / FAMILY
        folder = (self._context.reports or scratch) / FAMILY / name
        told = scratch / f"{name}.json"
        scratch.mkdir(parents=True, exist_ok=True)
        with files.locked(scratch / f"{name}.lock", timeout=_WAIT, remedy="run again"):
            if not told.exists():
                folder.parent.mkdir(parents=True, exist_ok=True)
                with self._machine_alone(), self._context.progress(f"load: {name}"), _in_one_piece():
                    answer = _attempt(measure, folder)
                files.write_atomically(told, json.dumps(answer))
            answer = json.loads(told.read_bytes())
        if answer:
            raise NotMeasured(answer[0], remedy=answer[1])
        return folder

    @contextlib.contextmanager
    def _machine_alone(self) -> Iterator[None]:
        machine = Path(tempfile.gettempdir(), "pixgates-latency.lock")
        with (
            self._context.progress("waiting until nothing else runs"),
            contextlib.ExitStack() as stack,
        ):
            stack.enter_context(alone.held(self._context.others, alone=True, timeout=_WAIT))
            stack.enter_context(alone.held(machine, alone=True, timeout=_WAIT))
            held = stack.pop_all()
        with held:
            yield

    @property
    def _locust(self) -> Path | None:
        return self._context.policy.tool_path("locust")

    @cached_property
    def _subject(self) -> tuple[Subject, ...]:
        """What is judged: the paths that the policy names, its requests, and the policy itself. Raises NotMeasured."""
        settings = self._settings
        given = [*settings.subjects, settings.locustfile, *(each.requests for each in settings.endpoints.values())]
        paths = [*filter(None, given), sources.name(self._context.policy.path, self._root)]
        try:
            return tuple(self._context.subject(each) for each in dict.fromkeys(paths))
        except (OSError, ValueError) as error:
            raise NotMeasured(f"a subject of [latency] can't be read: {error}", remedy="correct it") from None

    def _unmeasured(self, check: str, error: NotMeasured) -> Verdict:
        verdict = Verdict(Outcome.ERROR, check, reason=error.message, needs=error.remedy)
        recording.note(verdict)
        return verdict


def _attempt(measure: Any, folder: Path) -> list[str]:
    """Why nothing was measured and what to do, or nothing: as the other processes must hear it too."""
    try:
        measure(folder)
    except NotMeasured as error:
        return [error.message, error.remedy]
    except OSError as error:
        return [f"{error.filename or folder}: {error.strerror}", "see that the folder can be written"]
    return []


@contextlib.contextmanager
def _in_one_piece() -> Iterator[None]:
    """What is judged on the way is part of one check."""
    sink = recording.use(None)
    try:
        yield
    finally:
        recording.use(sink)


def _library() -> ModuleType:
    try:
        from pytest_pixgates.latency import load
    except ImportError as error:
        raise NotMeasured(f"load can't be judged: {error}", remedy=EXTRA.format("latency")) from None
    return load
