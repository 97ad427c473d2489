"""What every rule of consistency has: a name, why it matters, how to mend it, and two examples that prove it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar, Generic, TypeVar

from pytest_pixgates.core.scan import Finding
from pytest_pixgates.infra.consistency.world import Part, World

Subject = TypeVar("Subject")


class Rule(ABC, Generic[Subject]):
    """One rule. `passing` and `failing` are manifests that keep and break it; the tests run both."""

    name: ClassVar[str]
    summary: ClassVar[str]
    why: ClassVar[str]
    fix: ClassVar[str]
    passing: ClassVar[str]
    failing: ClassVar[str]

    @abstractmethod
    def subjects(self, world: World) -> Iterable[Subject]:
        """What the rule looks at. Raises Unreadable."""

    @abstractmethod
    def judge(self, subject: Subject) -> Iterator[Finding]:
        """What is wrong with one of them. Raises Unreadable."""

    def check(self, world: World) -> Iterator[Finding]:
        """Everything that is wrong. Raises Unreadable."""
        for subject in self.subjects(world):
            yield from self.judge(subject)

    def finding(self, part: Part, message: str, fix: str = "") -> Finding:
        """A finding at the line of `part`."""
        return Finding(self.name, f"{part.label}: {message}", *part.place, resource=part.label, fix=fix or self.fix)
