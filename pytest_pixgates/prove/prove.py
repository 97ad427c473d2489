"""The whole round: worlds are prepared and must be green, then each case is tried by itself in a copy of one.

Cases run beside each other, each worker in copies of its own; what needs the machine to itself runs after all others.
"""

from __future__ import annotations

import dataclasses
import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_pixgates.core import decode, process
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.process import mask
from pytest_pixgates.prove import gates, judge, operations, place
from pytest_pixgates.prove.catalogue import Case, Catalogue, Defect, Variation, World
from pytest_pixgates.prove.gates import Answer, Runner, Seen
from pytest_pixgates.prove.judge import Status
from pytest_pixgates.prove.matrix import Matrix, Row
from pytest_pixgates.prove.operations import NotApplied, Where

TIMEOUT = 900.0
"""Seconds for one run of gates."""
_UNKNOWN = 12.0  # seconds that a case is taken to need before any was seen

Told = Callable[[str], None]


@dataclass
class Settings:
    """How a round runs: in `work`, with `jobs` workers, telling `tell` how far it is; `known` are earlier seconds."""

    work: Path
    jobs: int = 2
    cache: bool = True
    tell: Told = print
    known: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Ready:
    """A world that is prepared: where it is copied from, its gates by id, what each judged, and which are not green."""

    world: World
    name: str
    master: place.Master
    nodes: Mapping[str, str]
    seen: Seen
    red: Mapping[str, str] = field(default_factory=dict)

    def matching(self, pattern: str) -> list[str]:
        """The gates of the baseline that `pattern` names."""
        return sorted(gate for gate in self.seen.outcomes if _names(pattern, gate))


def prove(reviewed: Policy, catalogue: Catalogue, cases: Sequence[Case], settings: Settings) -> Matrix:
    """Try `cases` on the repository of the policy."""
    round_ = _Round(reviewed, catalogue, settings)
    started = time.time()
    by_world: dict[str, list[Case]] = {}
    for case in cases:
        by_world.setdefault(case.world, []).append(case)
    rows = [*round_.all(by_world)]
    order = {case.name: at for at, case in enumerate(cases)}
    rows.sort(key=lambda row: order[row.name])
    return Matrix(tuple(rows), started, time.time() - started, problems=tuple(round_.problems))


class _Round:
    """What the workers of a round share."""

    def __init__(self, reviewed: Policy, catalogue: Catalogue, settings: Settings) -> None:
        self.policy, self.catalogue, self.settings = reviewed, catalogue, settings
        self.config = reviewed.path.relative_to(reviewed.root).as_posix()
        self.problems: list[str] = []
        self._lock = threading.Lock()
        self._progress = _Progress(settings)

    def all(self, by_world: Mapping[str, Sequence[Case]]) -> Iterator[Row]:
        self._progress.expect([case for cases in by_world.values() for case in cases])
        quiet = {name: cases for name, cases in by_world.items() if not self.catalogue.worlds[name].alone}
        loud = {name: cases for name, cases in by_world.items() if self.catalogue.worlds[name].alone}
        yield from self._stage(quiet, self.settings.jobs)
        yield from self._stage(loud, 1)

    def _stage(self, by_world: Mapping[str, Sequence[Case]], jobs: int) -> Iterator[Row]:
        """Prepare the worlds beside each other, then try all of their cases."""
        if not by_world:
            return
        waiting: queue.SimpleQueue[tuple[Ready, Case]] = queue.SimpleQueue()
        rows: list[Row] = []

        def work(number: int) -> None:
            worker = _Worker(self, self.settings.work / f"worker-{number}-of-{min(by_world) or 'main'}")
            while True:
                try:
                    ready, case = waiting.get_nowait()
                except queue.Empty:
                    break
                row = worker.try_(ready, case)
                with self._lock:
                    rows.append(row)
                    self._progress.done(row)
            try:
                worker.verify()
            except (PixgatesError, OSError) as error:
                with self._lock:
                    self.problems.append(_words(error))

        with process.pool(jobs) as executor:
            for (_, cases), (ready, failed) in zip(
                by_world.items(), executor.map(lambda each: self._prepared(*each), by_world.items()), strict=True
            ):
                if ready is None:
                    for row in failed:
                        rows.append(row)
                        self._progress.done(row)
                    continue
                for case in cases:
                    waiting.put((ready, case))
            for each in [executor.submit(work, number) for number in range(jobs)]:
                each.result()
        yield from rows

    def _prepared(self, name: str, cases: Sequence[Case]) -> tuple[Ready | None, list[Row]]:
        """The world `name`, ready and green for `cases`; else an error for each of them."""
        label = name or "the repository"
        self.settings.tell(f"preparing {label}")
        try:
            return self._ready(name, cases), []
        except (PixgatesError, OSError) as error:
            problem = f"the baseline of {label} is not green: {mask(_words(error))}"
            with self._lock:
                self.problems.append(problem)
            return None, [
                row_of(case, Status.ERROR, "its baseline is not green, so it was not tried") for case in cases
            ]

    def _ready(self, name: str, cases: Sequence[Case]) -> Ready:
        world = self.catalogue.worlds[name]
        home = self.settings.work / (name or "main")
        home.mkdir(parents=True)
        master = place.master(self.policy.root, home / "master", world.without)
        runner = self.runner(home)
        where = self.where(master.root, home, runner)
        operations.apply(world.changes, where)
        master.settle()
        copy = place.Copy(master, home / "baseline")
        began = time.monotonic()
        nodes, seen, red = self._baseline(copy, dataclasses.replace(where, root=copy.root), cases, world, runner)
        count, label = len(nodes.keys() & seen.outcomes.keys()) + len(seen.answers), name or "the repository"
        self.settings.tell(f"{label}: {count - len(red)} of {count} gates are green ({time.monotonic() - began:.0f} s)")
        with self._lock:
            self.problems += [f"the baseline of {label} is not green: {gate}: {mask(why)}" for gate, why in red.items()]
        return Ready(world, name, master, nodes, seen, red)

    def _baseline(
        self, copy: place.Copy, where: Where, cases: Sequence[Case], world: World, runner: Runner
    ) -> tuple[Mapping[str, str], Seen, dict[str, str]]:
        """Every gate with its node, what those that `cases` ask say untouched, and why some of them are not green.

        Raises PixgatesError if they say nothing.
        """
        # First, for a run of gates takes away the records of the one before.
        answers = self.answers(world, where, runner, world.asks)
        copy.restore()
        nodes = runner.nodes(copy.root)
        wanted = _wanted(cases, nodes, world)
        cache = world.cache and self.settings.cache
        seen = runner.run(copy.root, [nodes[gate] for gate in wanted], cache=cache) if wanted else Seen()
        copy.restore()
        if trouble := judge.unsound(seen):
            raise PixgatesError(trouble)
        seen = dataclasses.replace(seen, answers=answers)
        red = judge.red(seen, [*wanted, *answers])
        if seen.exit_code and not red:
            raise PixgatesError(f"pytest ended with {seen.exit_code}: {seen.said}")
        return nodes, seen, red

    def runner(self, scratch: Path) -> Runner:
        scratch.mkdir(parents=True, exist_ok=True)
        return Runner(scratch, self.config, TIMEOUT)

    def where(self, root: Path, home: Path, runner: Runner) -> Where:
        """`home` is where a world keeps what is no part of the repository, such as a key (`@{world}`)."""
        names = {"world": str(home), "config": self.config}
        return Where(root, names, self.policy.sections, env=runner.environment())

    def answers(self, world: World, where: Where, runner: Runner, names: Iterable[str]) -> dict[str, Answer]:
        """The answers to those of `names` that are questions of the world."""
        return {name: runner.ask(where, world.asks[name].command) for name in names if name in world.asks}


class _Worker:
    """Tries one case after the other, in copies that are its own."""

    def __init__(self, shared: _Round, home: Path) -> None:
        self._shared, self._home = shared, home
        self._copies: dict[str, place.Copy] = {}

    def try_(self, ready: Ready, case: Case) -> Row:
        began = time.monotonic()
        try:
            copy = self._copy(ready)
            row = self._tried(ready, case, copy)
            copy.restore()
        except (PixgatesError, OSError) as error:
            self._copies.pop(ready.name, None)  # whatever it is now, nothing more is tried in it
            row = row_of(case, Status.ERROR, mask(_words(error)))
        return dataclasses.replace(row, seconds=time.monotonic() - began)

    def verify(self) -> None:
        """Raises PixgatesError if a copy is not what it was before the first try."""
        for copy in self._copies.values():
            copy.verify()

    def _copy(self, ready: Ready) -> place.Copy:
        if ready.name not in self._copies:
            root = self._home / f"{ready.name or 'main'}-{time.monotonic_ns():x}"
            root.parent.mkdir(parents=True, exist_ok=True)
            self._copies[ready.name] = place.Copy(ready.master, root)
        return self._copies[ready.name]

    def _tried(self, ready: Ready, case: Case, copy: place.Copy) -> Row:
        """The first of the gates that a generic case may be tried at, and fits, decides; any other has one."""
        why = ""
        for gate in _gates_for(case, ready):
            if red := [name for name in _at_gate(case, gate) if name in ready.red]:
                return row_of(case, Status.ERROR, f"its baseline is not green: {red[0]} is {ready.red[red[0]]}")
            try:
                changed, where = self._changed(ready, case, gate, copy)
            except NotApplied as error:
                copy.restore()
                why = f"{gate}: {error.message}" if case.generic else error.message
                continue
            return self._judged(ready, case, gate, changed, where)
        why = why or f"no gate is called {case.asked[0]}; {decode.hint(case.asked[0], ready.seen.outcomes)}"
        return row_of(
            case, Status.UNFIT if case.generic else Status.ERROR, why if case.generic else f"not applied: {why}"
        )

    def _changed(
        self, ready: Ready, case: Case, gate: str, copy: place.Copy
    ) -> tuple[dict[str, tuple[str, str]], Where]:
        """What the case changed, proven, when it is tried at `gate`. Raises NotApplied."""
        runner = self._shared.runner(self._home)
        where = self._shared.where(copy.root, self._shared.settings.work / (ready.name or "main"), runner)
        record = ready.seen.record(gate)
        target = gate.partition("[")[2].removesuffix("]")
        where = dataclasses.replace(
            where,
            names={**where.names, "target": target},
            judged=gates.judged_files(record, copy.root) if record else (),
        )
        _fits(case, gate, where)
        return place.proven(copy, operations.apply(case.changes, where)), where

    def _judged(self, ready: Ready, case: Case, gate: str, changed: Mapping[str, tuple[str, str]], where: Where) -> Row:
        wanted = _affected(case, gate, ready, changed)
        runner, world = self._shared.runner(self._home), ready.world
        cache = world.cache and self._shared.settings.cache
        nodes = [ready.nodes[each] for each in wanted if each in ready.nodes]
        answers = self._shared.answers(world, where, runner, wanted)
        seen = runner.run(where.root, nodes, cache=cache) if nodes else Seen()
        seen = dataclasses.replace(seen, answers=answers)
        if isinstance(case, Defect):
            stated = dataclasses.replace(case, says=where.filled(case.says))
            status, said = judge.defect(stated, case.gate if "*" not in case.gate else gate, seen)
        else:
            status, said = judge.variation(_at(case, gate), seen)
        row = row_of(case, status, mask(" ".join(said.split())[:600]))
        asked = tuple(gate if "*" in each else each for each in row.asked)
        return dataclasses.replace(row, asked=asked, changed=changed, gates=seen.outcomes)


def _words(error: PixgatesError | OSError) -> str:
    return error.message if isinstance(error, PixgatesError) else f"{error.filename or 'a copy'}: {error.strerror}"


def row_of(case: Case, status: Status, said: str) -> Row:
    expected = case.expected if isinstance(case, Defect) else "PASS"
    asked = (case.gate,) if isinstance(case, Defect) else case.asked
    return Row(
        case.name, case.kind, case.area, case.why, asked, expected, status, said, world=case.world, file=case.file
    )


def _at(case: Case, gate: str) -> Variation:
    assert isinstance(case, Variation)
    return dataclasses.replace(case, gates=tuple(_at_gate(case, gate)))


def _at_gate(case: Case, gate: str) -> list[str]:
    """The gates that a case asks when it is tried at `gate`."""
    return [gate if "*" in each else each for each in case.asked]


def _fits(case: Case, gate: str, where: Where) -> None:
    """Raise NotApplied for what a generic case needs and is not here."""
    for need in case.fits:
        kind, _, rest = need.partition(":")
        if kind == "judged":
            where.found(need)
        elif kind == "policy":
            where.stated(rest)
        elif kind == "gate" and not re.search(rest, gate):
            raise NotApplied(f"it is no gate like {rest}")


def _wanted(cases: Sequence[Case], nodes: Mapping[str, str], world: World) -> list[str]:
    """The gates that `cases` ask, by id, as far as they are there."""
    wanted: dict[str, None] = {}
    for case in cases:
        for name in case.asked:
            if name not in world.asks:
                wanted |= dict.fromkeys(gate for gate in nodes if _names(name, gate))
    return list(wanted)


def _names(pattern: str, gate: str) -> bool:
    """Whether `pattern`, in which `*` stands for any text, names a gate."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), gate) is not None


def _gates_for(case: Case, ready: Ready) -> list[str]:
    """Where a case may be tried: its gate; for a pattern every gate of the baseline that it names."""
    first = case.asked[0]
    if "*" in first:
        return ready.matching(first)
    return [first] if first in ready.seen.outcomes or first in ready.world.asks else []


def _affected(case: Case, gate: str, ready: Ready, changed: Mapping[str, tuple[str, str]]) -> list[str]:
    """The gates to run: those asked, and unless the case is narrow all of the baseline that judged a changed file."""
    asked = _at_gate(case, gate)
    if case.narrow or ready.seen.run is None:
        return asked
    return list(dict.fromkeys([*asked, *gates.judging(ready.seen.run, changed)]))


class _Progress:
    """Says after each try how far the round is, and how long it will take."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._left: dict[str, float] = {}
        self._count = self._total = 0

    def expect(self, cases: Sequence[Case]) -> None:
        known = self._settings.known
        usual = sorted(known.values())[len(known) // 2] if known else _UNKNOWN
        self._left = {case.name: known.get(case.name, usual) for case in cases}
        self._total = len(cases)
        self._settings.tell(f"{self._total} to try, {self._settings.jobs} at a time; about {self._remaining()}")

    def done(self, row: Row) -> None:
        self._left.pop(row.name, None)
        self._count += 1
        self._settings.tell(
            f"[{self._count}/{self._total}] {row.status.value:<8} {row.area}/{row.name} ({row.seconds:.1f} s)"
            + (f"; about {self._remaining()} left" if self._left else "")
        )

    def _remaining(self) -> str:
        seconds = sum(self._left.values()) / self._settings.jobs
        return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
