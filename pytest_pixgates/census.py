"""What a process collects of gates: which it will run, what narrowed them, and what only looks like a gate.

pytest leaves out what it can't collect, what settings hide and what is deselected without a word; here each of
those is counted against what stands in the folder of gates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from pytest_pixgates import fixtures, items, recorder, scope
from pytest_pixgates.core.family import Family
from pytest_pixgates.core.policy import Policy

RECORDER = pytest.StashKey[recorder.ItemRecorder]()


@dataclasses.dataclass
class Census:
    """What a process collected: each gate's node with its id, what narrowed it, and what is wrong with it."""

    expected: dict[str, str] = dataclasses.field(default_factory=dict)
    families: dict[str, str] = dataclasses.field(default_factory=dict)
    partial: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)

    def merge(self, other: Census) -> None:
        self.expected.update(other.expected)
        self.families.update(other.families)
        self.partial += [reason for reason in other.partial if reason not in self.partial]
        self.problems += [problem for problem in other.problems if problem not in self.problems]


class Collection:
    """The hooks of collecting, where there is a policy. `declares` tells whether the policy itself holds gates."""

    def __init__(
        self, config: pytest.Config, policy: Policy, families: Mapping[str, Family], declares: Callable[[], bool]
    ) -> None:
        self.config, self.policy, self.families, self.declares = config, policy, frozenset(families), declares
        self.private = frozenset(name for name, family in families.items() if family.private)
        self.census = Census()
        selected = scope.families_in_scope(config.getoption("markexpr", "") or "", self.families)
        self.scope = self.families if selected is None else selected
        self.reach = scope.reach(config, policy.folder)
        self._candidates: dict[str, frozenset[str]] = {}
        self._files: set[Path] = set()
        self._tests: set[tuple[Path, str]] = set()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        path = self.config.rootpath / report.nodeid.partition("::")[0]
        if not path.is_relative_to(self.policy.folder):
            return
        self._files.add(path)
        if not report.passed:
            how = "was skipped as a whole" if report.skipped else "could not be collected"
            self.census.problems.append(f"{report.nodeid} {how}, so its gates did not run")

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Note every gate, and every test among the gates that is none, before anything can deselect it."""
        marked = families_of(item)
        self._tests.add((item.path, _test_name(item)))
        if item.nodeid in self._candidates:
            self.census.problems.append(f"{item.nodeid} was collected twice, so one hides the other")
        if marked:
            self._candidates[item.nodeid] = marked
        elif item.path.is_relative_to(self.policy.folder):
            self.census.problems.append(f"{item.nodeid} is among the gates, but asks for no family's fixture")
        if len(marked) > 1:
            self.census.problems.append(f"{item.nodeid} is a gate of {len(marked)} families; write one for each")

    def finish(self, selected: list[pytest.Item]) -> None:
        """Note the gates that are left, and say why the others are gone."""
        for item in selected:
            if families := families_of(item):
                self.claim(item, families)
        self._find_narrowing()

    def claim(self, item: pytest.Item, families: frozenset[str]) -> None:
        family = sorted(families & self.scope or families)[0]
        gate = _gate_id(item, family)
        twin = next((node for node, known in self.census.expected.items() if known == gate), item.nodeid)
        if twin != item.nodeid:
            self.census.problems.append(f"two gates are called {gate}: {twin} and {item.nodeid}; rename one")
        self.census.expected[item.nodeid] = gate
        self.census.families[item.nodeid] = family
        item.stash[RECORDER] = recorder.ItemRecorder(gate, family, item.nodeid, private=bool(families & self.private))

    def _find_narrowing(self) -> None:
        expression = self.config.getoption("markexpr", "") or ""
        reasons = scope.narrowing_options(self.config)
        if scope.families_in_scope(expression, self.families) is None:
            reasons.append(f"-m {expression!r} selects otherwise than by family")
        if self.reach != "all":
            reasons.append(f"the arguments leave out gates of {self.policy.folder.name}/")
        else:
            written = scope.python_gates(self.config, self.policy.folder, self.families)
            gone = {path for path in written if path not in self._files}
            for path in sorted(written.keys() - gone):
                self.census.problems += self._unseen(path, written[path])
            reasons += [f"{path.name} was not collected" for path in sorted({*gone, *self._policy_if_uncollected()})]
        deselected = [
            node
            for node, marked in self._candidates.items()
            if marked & self.scope and node not in self.census.expected
        ]
        if deselected:
            reasons.append(f"{len(deselected)} gate(s) were deselected, first {deselected[0]}")
        self.census.partial += reasons

    def _unseen(self, path: Path, tests: list[str]) -> Iterator[str]:
        """What was written as a gate in `path` and did not become one."""
        if not any(known == path for known, _ in self._tests):
            yield f"{path.name} holds no test"
        for name in dict.fromkeys(tests):
            if tests.count(name) > 1:
                yield f"{path.name} defines {name} {tests.count(name)} times, so only the last one counts"
            elif (path, name) not in self._tests:
                yield f"{path.name}: {name} asks for a family's fixture, but was not collected as a test"

    def _policy_if_uncollected(self) -> set[Path]:
        return {self.policy.path} - self._files if self.declares() else set()


def families_of(item: pytest.Item) -> frozenset[str]:
    """The families that `item` is a gate of: by the policy, or by asking for their fixture."""
    if isinstance(item, items.DeclaredGate):
        return frozenset({item.parent.family.name})
    return frozenset(fixtures.families_of(item))


def _test_name(item: pytest.Item) -> str:
    """Class and function of a test, without its parameters."""
    return ".".join([*item.nodeid.split("::")[1:-1], getattr(item, "originalname", None) or item.name])


def _gate_id(item: pytest.Item, family: str) -> str:
    """family/name, with the module's name before it unless the module is the family's own test_<family>.py."""
    if isinstance(item, items.DeclaredGate):
        return f"{family}/{item.name}"
    name = item.nodeid.partition("::")[2].replace("::", ".").removeprefix("test_")
    stem = item.path.stem.removeprefix("test_")
    return f"{family}/{name}" if stem == family else f"{family}/{stem}.{name}"
