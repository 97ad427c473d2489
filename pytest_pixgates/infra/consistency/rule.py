"""What every rule of consistency has: a name, why it matters, how to mend it, and two examples that prove it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Generic, TypeVar

from pytest_pixgates.core.scan import Finding
from pytest_pixgates.infra.consistency.world import Part, World

Seen = TypeVar("Seen")
Subject = TypeVar("Subject")
Files = Mapping[str, str]
"""Files by their paths; `example.py` says what each is taken for."""


class AnyRule(ABC, Generic[Seen, Subject]):
    """One rule on what was `Seen`. `passing` and `failing` are sources that keep and break it; the tests run both."""

    name: ClassVar[str]
    summary: ClassVar[str]
    why: ClassVar[str]
    fix: ClassVar[str]
    passing: ClassVar[str | Files]
    failing: ClassVar[str | Files]

    @abstractmethod
    def subjects(self, world: Seen) -> Iterable[Subject]:
        """What the rule looks at. Raises Unreadable."""

    @abstractmethod
    def judge(self, subject: Subject) -> Iterator[Finding]:
        """What is wrong with one of them. Raises Unreadable."""

    def check(self, world: Seen) -> Iterator[Finding]:
        """Everything that is wrong. Raises Unreadable."""
        for subject in self.subjects(world):
            yield from self.judge(subject)

    def at(self, path: str, line: int, message: str, resource: str = "") -> Finding:
        """A finding at a line of a source."""
        return Finding(self.name, message, path, line, resource=resource, fix=self.fix)


class Rule(AnyRule[World, Subject]):
    """One rule on what an overlay renders; its examples are manifests."""

    passing: ClassVar[str]
    failing: ClassVar[str]

    def finding(self, part: Part, message: str, fix: str = "") -> Finding:
        """A finding at the line of `part`."""
        return Finding(self.name, f"{part.label}: {message}", *part.place, resource=part.label, fix=fix or self.fix)
