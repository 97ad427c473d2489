"""What is tried: defects and harmless variations as data, in TOML files that people read and add to.

Each names what it changes, the gate and rule that must catch it, and why that matters. `gates/defects/*.toml` are a
repository's own; those of this package fit any repository that has the gates which they name.
"""

from __future__ import annotations

import dataclasses
import random
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_pixgates.core import decode, policy
from pytest_pixgates.core.errors import UsageError
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.prove import operations

FOLDER = "defects"
"""The folder of a repository's own files, beside its policy."""
GENERIC = Path(__file__).parent / "generic"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Ask:
    """A question put to a command, green with exit code 0. If it prints JSON, that holds `refusals` with `rule`."""

    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class World:
    """A state of the repository to try things in: `changes` prepare it, `without` are paths that it leaves out.

    `asks` are questions beside the gates. `cache = false` measures everything again; `alone` needs the whole machine.
    """

    why: str = ""
    changes: tuple[Mapping[str, Any], ...] = ()
    without: tuple[str, ...] = ()
    asks: Mapping[str, Ask] = field(default_factory=dict)
    cache: bool = True
    alone: bool = False

    def __post_init__(self) -> None:
        operations.check(self.changes)


@dataclass(frozen=True, slots=True)
class Case:
    """What is tried: `changes` in `world`, near which other files (globs) call for it again (`near`).

    With `narrow` only the gates that it names are run, not whatever else judges what it changes. `fits` is what a case
    of this package needs: files that its gate judges ("judged:*.tf"), a word of the policy
    ("policy:model_gate.threshold"), or what the gate is called ("gate:p[0-9]", a regular expression).
    """

    name: str
    why: str
    changes: tuple[Mapping[str, Any], ...]
    area: str
    world: str = ""
    near: tuple[str, ...] = ()
    narrow: bool = False
    fits: tuple[str, ...] = ()
    file: str = ""
    generic: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r} must be of small letters, digits and hyphens")
        if not self.why.strip() or not self.area.strip():
            raise ValueError(f"{self.name}: say why it matters (why), and what it is about (area)")
        if not self.changes:
            raise ValueError(f"{self.name}: it changes nothing")
        operations.check(self.changes)

    @property
    def asked(self) -> tuple[str, ...]:
        """The gates, or questions of its world, that must answer."""
        raise NotImplementedError

    @property
    def kind(self) -> str:
        return "defect" if isinstance(self, Defect) else "variation"


@dataclass(frozen=True, slots=True)
class Defect(Case):
    """A change that must turn `gate` red for the right reason: with `outcome`, by `rule`, and saying `says`.

    `rule` is that of a finding or a refusal, or the check of a verdict ("recall >= 0.75"). `gate` may be a question of
    the world, whose `exit_code` can be stated. `run` are the gates to run where `gate` is none that can be selected.
    """

    gate: str = ""
    rule: str = ""
    says: str = ""
    outcome: Outcome = Outcome.FAIL
    run: tuple[str, ...] = ()
    exit_code: int | None = None

    def __post_init__(self) -> None:
        Case.__post_init__(self)
        if not self.gate:
            raise ValueError(f"{self.name}: name the gate that must catch it")
        if not self.rule and not self.says:
            raise ValueError(f"{self.name}: say by which rule it must be caught (rule), or with what words (says)")
        if self.outcome is Outcome.PASS:
            raise ValueError(f"{self.name}: a defect that passes is a variation")

    @property
    def asked(self) -> tuple[str, ...]:
        return self.run or (self.gate,)

    @property
    def expected(self) -> str:
        """What must be said, in words."""
        words = [self.outcome.value if self.exit_code is None else f"exit code {self.exit_code}", self.rule]
        return " ".join(filter(None, words)) + (f" ({self.says!r})" if self.says else "")


@dataclass(frozen=True, slots=True)
class Variation(Case):
    """A harmless change: all of `gates` must stay green."""

    gates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        Case.__post_init__(self)
        if not self.gates:
            raise ValueError(f"{self.name}: name the gates that must stay green")

    @property
    def asked(self) -> tuple[str, ...]:
        return self.gates


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All that can be tried, by the worlds that it needs; the world "" is the repository as it is."""

    cases: tuple[Case, ...]
    worlds: Mapping[str, World]

    def world(self, case: Case) -> World:
        return self.worlds[case.world]


def load(files: Iterable[Path]) -> Catalogue:
    """Read files of defects. Raises UsageError that names file, line and what is wrong."""
    cases: list[Case] = []
    replaced = set[str]()
    worlds: dict[str, World] = {"": World("the repository as it is")}
    for path in files:
        text, data = _read(path)
        try:
            found = _decoded(data, path)
            for name, world in found.worlds.items():
                if name in worlds:
                    raise decode.DecodeError(f"worlds.{name}", "another file defines a world of that name")
                worlds[name] = world
        except decode.DecodeError as error:
            raise UsageError(
                f"{path}:{policy.line_of(text, error.key)}: {error}",
                remedy="docs/prove.md says how defects are written",
            ) from None
        cases += found.cases
        replaced |= set(found.instead_of)
    _refuse_odd(cases, worlds)
    shipped = {case.name for case in cases if case.generic}
    if shipped and (unknown := sorted(replaced - shipped)):
        raise UsageError(f"instead_of: no generic case is called {unknown[0]!r}")
    return Catalogue(tuple(case for case in cases if case.name not in replaced), worlds)


def files(folder: Path, *, generic: bool) -> list[Path]:
    """The files of the repository whose policy lies in `folder`, after those of this package."""
    shipped = sorted(GENERIC.glob("*.toml")) if generic else []
    return [*shipped, *sorted((folder / FOLDER).glob("*.toml"))]


@dataclass(frozen=True, slots=True)
class _File:
    cases: tuple[Case, ...]
    worlds: Mapping[str, World]
    instead_of: tuple[str, ...]


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", remedy="name a file of defects") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}", remedy="correct it") from None


def _decoded(data: dict[str, Any], path: Path) -> _File:
    """What a file holds; its keys beside the lists are defaults of every case in it."""
    lists: dict[str, type[Case]] = {"defects": Defect, "variations": Variation}
    own = {"file": path.name, "generic": path.parent == GENERIC}
    shared = {key: value for key, value in data.items() if key not in (*lists, "worlds", "instead_of")}
    cases: list[Case] = []
    for key, kind in lists.items():
        names = {each.name for each in dataclasses.fields(kind)} - {"file", "generic"}
        for index, table in enumerate(_tables(data.get(key, []), key)):
            where = f"{key}[{index}]"
            for name in table:
                if name not in names:
                    raise decode.unknown_key(name, names, where)
            defaults = {name: value for name, value in shared.items() if name in names}
            cases.append(decode.decode(kind, {**defaults, **table, **own}, where))
    known = {each.name for kind in lists.values() for each in dataclasses.fields(kind)}
    for name in shared:
        if name not in known:
            raise decode.unknown_key(name, {*known, *lists, "worlds", "instead_of"})
    worlds = decode.decode(dict[str, World], data.get("worlds", {}), "worlds")
    return _File(tuple(cases), worlds, decode.decode(tuple[str, ...], data.get("instead_of", []), "instead_of"))


def _tables(data: object, key: str) -> list[dict[str, Any]]:
    if not isinstance(data, list) or not all(isinstance(each, dict) for each in data):
        raise decode.DecodeError(key, f"write [[{key}]]")
    return data


def _refuse_odd(cases: Sequence[Case], worlds: Mapping[str, World]) -> None:
    seen: dict[str, Case] = {}
    for case in cases:
        if case.name in seen:
            raise UsageError(f"{case.file}: {case.name} is in {seen[case.name].file} too", remedy="rename one")
        if case.world not in worlds:
            raise UsageError(
                f"{case.file}: {case.name}: there is no world {case.world!r}; {decode.hint(case.world, worlds)}"
            )
        seen[case.name] = case


# Selecting


def selected(
    catalogue: Catalogue, *, names: Sequence[str] = (), changed: Sequence[str] | None = None
) -> tuple[Case, ...]:
    """The cases called or about one of `names` (all without), near one of `changed` if given. Raises UsageError."""
    cases = catalogue.cases
    known = {each for case in cases for each in (case.name, case.area)}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no defect, variation or area is called {unknown[0]!r}; {decode.hint(unknown[0], known)}")
    if names:
        cases = tuple(case for case in cases if case.name in names or case.area in names)
    if changed is not None:
        cases = tuple(case for case in cases if is_near(case, catalogue.world(case), changed))
    return cases


def is_near(case: Case, world: World, changed: Iterable[str]) -> bool:
    """Whether one of the files that changed is one that the case changes or counts as near, or that defines it."""
    paths = [*case.near, *operations.named(case.changes), *operations.named(world.changes), f"**/{FOLDER}/{case.file}"]
    return any(policy.matches(name, pattern) for name in changed for pattern in paths)


def sampled(cases: Sequence[Case], count: int, seed: int) -> tuple[Case, ...]:
    """`count` of `cases`, drawn by `seed` and spread over the areas and both kinds, in their own order."""
    drawn = random.Random(seed)  # noqa: S311 - a sample that can be drawn again
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.kind, case.area), []).append(case)
    for group in groups.values():
        drawn.shuffle(group)
    order = list(groups.values())
    drawn.shuffle(order)
    taken = {case.name for case in _in_turns(order, count)}
    return tuple(case for case in cases if case.name in taken)


def _in_turns(groups: Sequence[list[Case]], count: int) -> Iterator[Case]:
    left = [list(group) for group in groups]
    while count > 0 and any(left):
        for group in left:
            if group and count > 0:
                count -= 1
                yield group.pop()
