"""`pixgates explain`: what a gate checks, how it comes to its verdict, and which limits of the policy it goes by.

The gates are those that pytest collects, so that those in Python and those of a third party's family are explained too.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import importlib.util
import inspect
import io
import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_pixgates.cli.arguments import add_config, add_report_dir, policy_file, report_dir
from pytest_pixgates.core import decode, policy, record
from pytest_pixgates.core.errors import PolicyError, UsageError
from pytest_pixgates.core.policy import General, Policy
from pytest_pixgates.core.record import Record, RecordError
from pytest_pixgates.report.text import counted, plain

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers

_WIDTH, _INDENT = 100, 10
_IN_PYTHON = (
    "Each comparison and scan in its body counts as a check, whether or not it is asserted; the worst is its verdict. "
    "A gate that recorded none, was skipped or was rerun until it passed is not PASS."
)
_NOT_TOLD = "Its family does not say. Only PASS is green, and only if something was measured."


@dataclass(frozen=True, slots=True)
class Explained:
    """A gate as it is told: its id, where it stands, and lines under headings."""

    gate: str
    where: str
    told: tuple[tuple[str, str], ...]


def add_parser(subparsers: Subparsers) -> None:
    """Register `explain`."""
    parser = subparsers.add_parser(
        "explain",
        help="say what a gate checks, how it comes to its verdict, and where its limits are",
        epilog="exit code: 0 done, 4 asked wrongly, such as for a gate that is not there",
    )
    parser.add_argument("gate", nargs="?", metavar="GATE", help="its id or a part of it (default: list all)")
    add_config(parser)
    add_report_dir(parser)
    parser.set_defaults(run=run_explain)


def run_explain(args: argparse.Namespace) -> int:
    """Explain one gate, or list those that fit. Raises UsageError, PolicyError."""
    reviewed = policy.load(policy_file(args))
    gates = {each.gate: each for each in _collected(reviewed)}
    if not gates:
        raise PolicyError(f"{reviewed.path} declares no gate", remedy="pixgates init proposes some")
    found = _asked(args.gate, gates)
    if len(found) > 1:
        width = max(len(each.gate) for each in found)
        sys.stdout.writelines(f"{plain(each.gate):<{width}}  {plain(each.where)}\n" for each in found)
        return 0
    only = found[0]
    sys.stdout.write(f"{plain(only.gate)}\n")
    for heading, text in (*only.told, *_last(only.gate, report_dir(args, reviewed))):
        _write(heading, text)
    return 0


def _asked(named: str | None, gates: Mapping[str, Explained]) -> list[Explained]:
    """The gate that is named, by id or name, else all whose id holds it. Raises UsageError that names the nearest."""
    if named is None:
        return list(gates.values())
    for fits in (
        lambda gate: gate == named,
        lambda gate: gate.partition("/")[2] == named,
        lambda gate: named.removeprefix("test_") in gate,
    ):
        if found := [each for gate, each in gates.items() if named and fits(gate)]:
            return found
    # A name, a kind ("checkov") or what stands in brackets ("recall") is easier to remember than an id.
    words = {word for gate in gates for word in (gate, gate.partition("/")[2], *re.split(r"[/\[\]]", gate)) if word}
    nearest = difflib.get_close_matches(named, sorted(words), n=1)
    said = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise UsageError(f"no gate is called {named!r}{said}", remedy="pixgates explain lists all")


def _write(heading: str, text: str) -> None:
    for line in text.splitlines() or [""]:
        indent = " " * (len(line) - len(line.lstrip()))
        for part in textwrap.wrap(line.strip(), _WIDTH - _INDENT - len(indent), break_on_hyphens=False) or [""]:
            sys.stdout.write(f"  {heading:<{_INDENT}}{indent}{plain(part)}\n")
            heading = ""


# What pytest knows of the gates


def _collected(reviewed: Policy) -> list[Explained]:
    """Every gate of the policy's folder. Raises PolicyError with what pytest said if it can't collect them."""
    import pytest

    class Collector:
        found: tuple[Explained, ...] = ()

        @pytest.hookimpl(trylast=True)
        def pytest_configure(self, config: pytest.Config) -> None:
            if guard := config.pluginmanager.getplugin("pixgates-session"):
                guard.explains = True

        @pytest.hookimpl(trylast=True)
        def pytest_collection_finish(self, session: pytest.Session) -> None:
            guard: Any = session.config.pluginmanager.getplugin("pixgates-session")
            expected = guard.census.expected if guard else {}
            self.found = tuple(
                _explained(item, expected[item.nodeid], guard) for item in session.items if item.nodeid in expected
            )

    collector = Collector()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        arguments = [
            "--collect-only",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:randomly",
            "-m",
            "",
            "-k",
            "",
            "--color=no",
        ]
        arguments += ["-n0"] if importlib.util.find_spec("xdist") else []
        arguments += [f"--pixgates-config={reviewed.path}", f"--rootdir={reviewed.root}", str(reviewed.folder)]
        code = pytest.main(arguments, plugins=[collector])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        told = "\n".join(said.getvalue().strip().splitlines()[-15:])
        raise PolicyError(f"pytest can't collect the gates of {reviewed.folder}:\n{told}", remedy="mend that")
    return list(collector.found)


def _explained(item: Any, gate: str, guard: Any) -> Explained:
    from pytest_pixgates.items import DeclaredGate

    path, line, _ = item.reportinfo()
    where = f"{_relative(Path(path), guard.policy.root)}:{(line or 0) + 1}"
    if isinstance(item, DeclaredGate):
        return Explained(gate, where, tuple(_declared(item, where, guard)))
    return Explained(gate, where, tuple(_in_python(item, where, guard)))


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


# What a gate of the policy goes by


def _declared(item: Any, where: str, guard: Any) -> Iterator[tuple[str, str]]:
    family, gate, reviewed = item.parent.family, item.gate, guard.policy
    about = gate.about
    yield "checks", about.checks if about else family.summary
    yield "verdict", about.verdict if about else _NOT_TOLD
    table = reviewed.sections.get(family.name, {})
    key = gate.key or family.name
    shown = f" = {_toml(_at(table, gate.key))}" if gate.key and _at(table, gate.key) is not None else ""
    yield "declared", f"{where}: {key}{shown}"
    keys = about.keys if about else ()
    limits = [_limit(each, family.name, reviewed, guard.settings[family.name]) for each in keys if each != gate.key]
    yield "goes by", "\n".join([*filter(None, limits), _alpha(reviewed)])
    yield from _required(f"{family.name}/{gate.name}", family.name, reviewed)
    if about and about.docs:
        yield "more", about.docs


def _limit(key: str, family: str, reviewed: Policy, settings: Any) -> str:
    """A key of the section with its value, and where that comes from."""
    table = reviewed.sections.get(family, {})
    if key in table:
        several = isinstance(table[key], list) and any(isinstance(each, Mapping) for each in table[key])
        line = reviewed.line(f"{family}.{key}[0]" if several else f"{family}.{key}")
        shown = counted(len(table[key]), "table") if several else _toml(table[key])
        return f"{key} = {shown}  ({_relative(reviewed.path, reviewed.root)}:{line})"
    value = decode.encode(getattr(settings, key, None))
    return f"{key} = {_toml(value)}  (the default)" if value not in (None, "", [], {}) else ""


def _alpha(reviewed: Policy) -> str:
    line = reviewed.line("pixgates.alpha")
    written = reviewed.general.alpha != General().alpha or "alpha" in reviewed.text.splitlines()[line - 1]
    source = f"{_relative(reviewed.path, reviewed.root)}:{line}" if written else "the default"
    return f"alpha = {reviewed.general.alpha:g}  ({source})"


def _required(gate: str, family: str, reviewed: Policy) -> Iterator[tuple[str, str]]:
    names = [name for name, each in reviewed.environments.items() if {gate, family} & set(each.requires)]
    if names:
        yield "required", f"for {', '.join(names)}"


def _at(table: Any, key: str) -> Any:
    """The value at the dotted `key`; the names on the way may hold dots themselves."""
    if not key:
        return table
    if isinstance(table, list):
        index, _, rest = key.removeprefix("[").partition("]")
        return _at(table[int(index)], rest.removeprefix(".")) if index.isdigit() and int(index) < len(table) else None
    if not isinstance(table, Mapping):
        return None
    for name in sorted(table, key=len, reverse=True):
        rest = key.removeprefix(name)
        if key.startswith(name) and (not rest or rest[0] in ".["):
            return _at(table[name], rest.removeprefix("."))
    return None


def _toml(value: Any) -> str:
    """`value` as a policy writes it, in one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False, default=str)


# What a gate in Python goes by


def _in_python(item: Any, where: str, guard: Any) -> Iterator[tuple[str, str]]:
    del guard
    function = getattr(item, "obj", None)
    said = inspect.getdoc(function) if function else ""
    yield "checks", said or item.name.removeprefix("test_").partition("[")[0].replace("_", " ")
    yield "verdict", _IN_PYTHON
    yield "declared", where
    if limits := list(_comparisons(function, where.rpartition(":")[0])):
        yield "goes by", "\n".join(limits)


def _comparisons(function: Any, file: str) -> Iterator[str]:
    """Each assertion of the test, with its line."""
    try:
        lines, first = inspect.getsourcelines(function)
        source = textwrap.dedent("".join(lines))
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            segment = " ".join((ast.get_source_segment(source, node.test) or "").split())
            yield f"{segment}  ({file}:{first + node.lineno - 1})"


# What it said last


def _last(gate: str, folder: Path) -> Iterator[tuple[str, str]]:
    """The record of the last run, if one is there; it may be of other files or another policy."""
    try:
        run = record.load(folder / record.FILE_NAME)
    except RecordError:
        return
    found = next((each for each in run.records if each.gate == gate), None)
    if found is not None:
        yield "last run", "\n".join(_told(found))


def _told(found: Record) -> Iterator[str]:
    yield f"{found.outcome.value}{f': {found.reason}' if found.reason else ''}"
    for check in found.checks:
        if check.verdict.measured:
            yield f"{check.verdict.check}: {check.verdict.measured}"
