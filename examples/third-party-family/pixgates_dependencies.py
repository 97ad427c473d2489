"""A family of gates on what a Python project depends on: all of it pinned, and not too much of it.

Everything that it needs of pytest-pixgates are its public names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytest_pixgates import About, Context, Family, Finding, Gate, Limit, Measurement, Problem, Scan, ToolUse

VERSION = "1.0.0"
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True)
class DependenciesPolicy:
    """The section `[dependencies]`: `files` are lists of requirements, `limits` may bound how many there are."""

    files: tuple[str, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.limits) - {"count"}):
            raise ValueError(f"limits: {unknown[0]!r} is no figure; there is count")


class DependenciesGates:
    """What `def test_x(dependencies)` receives."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def pinned(self, file: str) -> Scan:
        """Every requirement in `file` names one version."""
        try:
            requirements = list(self._requirements(file))
        except OSError as error:
            return Scan("pinned", file, problems=(Problem(f"can't be read: {error.strerror}", file),))
        findings = [
            Finding("not-pinned", f"{name} names no version", file, line, resource=name, fix=f"{name}==VERSION")
            for line, name, rest in requirements
            if not rest.startswith("==")
        ]
        code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
        policy = self._context.policy
        return self._context.known(
            Scan(
                "pinned",
                file,
                scanned={"requirements": len(requirements)},
                findings=tuple(policy.waive("dependencies", each) for each in findings),
                tools=(ToolUse("pixgates-dependencies", VERSION, code),),
                subjects=(self._context.subject(file),),
            )
        )

    def count(self) -> Measurement:
        """How many requirements all files name."""
        files = self._context.settings.files
        number = sum(len(list(self._requirements(each))) for each in files)
        return Measurement.exact("count", number, n=number, subjects=tuple(map(self._context.subject, files)))

    def _requirements(self, file: str) -> Iterator[tuple[int, str, str]]:
        """Line, name and the rest of each requirement. Raises OSError."""
        text = (self._context.root / file).read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), start=1):
            if named := _NAME.match(line.partition("#")[0]):
                yield number, named[1], line[named.end() :].strip()


class Dependencies(Family):
    """Requirements that are pinned, and few."""

    name = "dependencies"
    summary = "what a Python project depends on: pinned, and not too much"

    def settings(self) -> type:
        return DependenciesPolicy

    def fixture(self, context: Context) -> DependenciesGates:
        return DependenciesGates(context)

    def gates(self, settings: DependenciesPolicy, root: Path) -> Iterator[Gate]:
        """One gate per file, and one per limit."""
        pinned = About("Every requirement in the file names one version.", "FAIL for each that does not.")
        for index, file in enumerate(settings.files):
            yield Gate(f"pinned[{file}]", lambda gates, at=file: gates.pinned(at), f"files[{index}]", about=pinned)
        few = About("How many requirements all files name.", "PASS if the count is within the limit.", ("files",))
        for name, limit in settings.limits.items():
            yield Gate(f"limit[{name}]", lambda gates, at=limit: at.judge(gates.count()), f"limits.{name}", about=few)


def pytest_pixgates_families() -> list[Family]:
    return [Dependencies()]
