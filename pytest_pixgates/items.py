"""Gates that the policy declares are pytest items of the policy file itself: no Python needed, and `-k`, xdist and
JUnit see each one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from pytest_pixgates.core import process
from pytest_pixgates.core.family import Family, Gate
from pytest_pixgates.core.scan import Scan
from pytest_pixgates.core.verdict import Verdict

Declared = Callable[[], Iterable[tuple[Family, Iterable[Gate]]]]


class GateNotPassed(AssertionError):  # noqa: N818 - the outcome, not a fault
    """A declared gate whose verdict is not PASS."""

    def __init__(self, result: Scan | Verdict) -> None:
        super().__init__(process.mask("\n".join(result.lines())))


class PolicyFile(pytest.File):
    """gates.toml as a file of gates."""

    declared: Declared
    provide: Callable[[Family, pytest.Item], Any]
    line_of: Callable[[str], int]

    def collect(self) -> Iterator[PolicySection]:
        for family, gates in self.declared():
            section: PolicySection = PolicySection.from_parent(self, name=family.name)
            section.family, section.gates = family, tuple(gates)
            if section.gates:
                yield section


class PolicySection(pytest.Collector):
    """One family's section of the policy."""

    family: Family
    gates: tuple[Gate, ...]
    parent: PolicyFile

    def collect(self) -> Iterator[DeclaredGate]:
        for gate in self.gates:
            item: DeclaredGate = DeclaredGate.from_parent(self, name=gate.name)
            item.gate = gate
            for marker in (self.family.name, *gate.markers):
                item.add_marker(marker)
            yield item


class DeclaredGate(pytest.Item):
    """One gate that the policy declares."""

    gate: Gate
    parent: PolicySection

    def runtest(self) -> None:
        family = self.parent.family
        result = self.gate.run(self.parent.parent.provide(family, self))
        if not result:
            raise GateNotPassed(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        del style
        if isinstance(excinfo.value, GateNotPassed):
            return str(excinfo.value)
        place = excinfo.traceback[-1]
        return f"it raised {excinfo.exconly(tryshort=True)}\n  at {place.path}:{place.lineno + 1}"

    def reportinfo(self) -> tuple[Any, int | None, str]:
        key = f"{self.parent.family.name}.{self.gate.key}"
        return self.path, self.parent.parent.line_of(key) - 1, f"{self.parent.family.name}/{self.name}"
