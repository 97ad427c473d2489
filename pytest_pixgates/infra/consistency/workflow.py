"""Workflows: the markers that their commands select tests by."""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_pixgates.core import documents, sources
from pytest_pixgates.core.documents import Document
from pytest_pixgates.core.scan import Finding
from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.infra.consistency.configuration import Place
from pytest_pixgates.infra.consistency.rule import AnyRule, Files

if TYPE_CHECKING:
    from pytest_pixgates.infra.consistency.sets import Sources

CONFIGURATIONS = ("pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
BUILT_IN = frozenset({"filterwarnings", "parametrize", "skip", "skipif", "usefixtures", "xfail", "tryfirst", "trylast"})
_PYTEST = re.compile(r"(?:^|[\s/;&|(])(?:pytest|py\.test)(?=\s|$)(?P<rest>[^\n;&|]*)", re.MULTILINE)
_OPTION = re.compile(r"(?:^|\s)-m(?:\s+|=)?(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<plain>[^\s\"']+))")
_WORDS = re.compile(r"[A-Za-z_]\w*")

_WORKFLOW = """\
on: [push]
jobs:
  gates:
    runs-on: ubuntu-latest
    steps:
      - run: pytest -m infra
"""
_INI = """\
[pytest]
markers =
    infra: infrastructure as code
"""
_PASSING = {".github/workflows/gates.yml": _WORKFLOW, "pytest.ini": _INI}


@dataclass(frozen=True, eq=False)
class Selection:
    """A marker that a command of a workflow selects tests by; `declared` is where markers are declared."""

    marker: str
    place: Place
    command: str
    declared: str


def selections(text: str, label: str, declared: str) -> tuple[Selection, ...]:
    """Every marker that a workflow selects by. Raises Unreadable for an expression that only a run knows."""
    found = documents.parse(text, label)
    jobs = found[0].value.get("jobs") if len(found) == 1 and isinstance(found[0].value, dict) else None
    if not isinstance(jobs, dict) or not jobs:
        raise Unreadable("is a workflow without jobs", label, remedy="write them, or take it out of workflows")
    lines = text.splitlines()
    return tuple(
        Selection(word, Place(label, _line(lines, start, expression)), f"-m {expression}", declared)
        for job, start, command in _commands(found[0], jobs)
        for expression in _expressions(command, job, label, start)
        for word in dict.fromkeys(_WORDS.findall(expression))
        if word not in ("and", "or", "not", "True", "False")
    )


def _commands(document: Document, jobs: dict[str, Any]) -> Iterator[tuple[Any, int, str]]:
    for name, job in jobs.items():
        steps = job.get("steps") if isinstance(job, dict) else None
        for index, step in enumerate(steps if isinstance(steps, list) else ()):
            if isinstance(step, dict) and isinstance(step.get("run"), str):
                yield job, document.line_of(("jobs", name, "steps", index, "run")), step["run"].replace("\\\n", " ")


def _expressions(command: str, job: Any, label: str, line: int) -> Iterator[str]:
    for call in _PYTEST.finditer(command):
        for option in _OPTION.finditer(call["rest"]):
            expression = option["double"] or option["single"] or option["plain"] or ""
            yield from _expanded(expression, job, label, line)


def _expanded(expression: str, job: Any, label: str, line: int) -> Iterator[str]:
    """The expression, once for each value of the matrix that it names."""
    match = re.search(r"\$\{\{\s*matrix\.([\w-]+)\s*\}\}", expression)
    values = ((job.get("strategy") or {}).get("matrix") or {}).get(match[1]) if match else None
    if match and isinstance(values, list) and all(isinstance(each, str) for each in values):
        for each in values:
            yield from _expanded(expression.replace(match[0], each), job, label, line)
    elif "$" in expression:
        fix = "write the marker out, or take it from a matrix of plain names"
        raise Unreadable(f"the markers of `-m {expression}` are known only when it runs", label, line, remedy=fix)
    else:
        yield expression


def _line(lines: list[str], start: int, expression: str) -> int:
    return next((number for number in range(start, len(lines) + 1) if expression in lines[number - 1]), start)


def markers(root: Path) -> tuple[frozenset[str], str]:
    """The markers that pytest's configuration in `root` declares, and where. Raises Unreadable."""
    found, declared = set(BUILT_IN), ""
    for name in CONFIGURATIONS:
        path = root / name
        if path.is_file() and (names := _markers(sources.read(path, root), name)):
            found |= names
            declared = declared or f"{name}:{_first(sources.read(path, root))}"
    conftest = root / "conftest.py"
    if conftest.is_file():
        text = sources.read(conftest, root)
        found |= set(re.findall(r"addinivalue_line\(\s*[\"']markers[\"'],\s*[\"'](\w+)", text))
    return frozenset(found), declared


def _markers(text: str, name: str) -> set[str]:
    try:
        if name.endswith(".toml"):
            table = tomllib.loads(text).get("tool", {}).get("pytest", {})
            lines = table.get("ini_options", {}).get("markers", []) or table.get("markers", [])
            lines = lines.splitlines() if isinstance(lines, str) else lines
        else:
            parser = configparser.ConfigParser(interpolation=None, strict=True)
            parser.read_string(text)
            section = "tool:pytest" if name == "setup.cfg" else "pytest"
            lines = parser.get(section, "markers", fallback="").splitlines()
    except (tomllib.TOMLDecodeError, configparser.Error) as error:
        raise Unreadable(f"can't be read: {error}".partition("\n")[0], name) from None
    return {match[0] for line in lines if (match := _WORDS.match(str(line).strip()))}


def _first(text: str) -> int:
    return next((number for number, line in enumerate(text.splitlines(), 1) if line.startswith("markers")), 1)


class Marker(AnyRule["Sources", tuple[Selection, frozenset[str]]]):
    name = "workflow-marker"
    summary = "Each marker that a workflow selects tests by exists."
    why = "A misspelt marker selects nothing; that step gates nothing, or is red for a reason that nobody finds."
    fix = 'correct the name, declare the marker, or list it as external ("Marker/name")'
    passing = _PASSING
    failing: ClassVar[Files] = {**_PASSING, ".github/workflows/gates.yml": _WORKFLOW.replace("-m infra", "-m infar")}

    def subjects(self, world: Sources) -> Iterable[tuple[Selection, frozenset[str]]]:
        known = world.markers
        return ((each, known) for each in world.selections if f"Marker/{each.marker}" not in world.external)

    def judge(self, subject: tuple[Selection, frozenset[str]]) -> Iterator[Finding]:
        selection, known = subject
        if selection.marker not in known:
            near = get_close_matches(selection.marker, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            where = selection.declared or "no configuration of pytest"
            message = f"`{selection.command}` names the marker {selection.marker}, which {where} does not declare{hint}"
            yield self.at(selection.place.path, selection.place.line, message, selection.marker)
