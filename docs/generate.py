"""Writes the reference from the code: `make docs`. A test holds that what is committed is what this writes.

What a key, an option or a method means stands where it is declared, as its docstring or its help; here it is only set
out. What has none stops the generator with the place where one is to be written.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import datetime
import enum
import importlib
import inspect
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest_pixgates
from iac.apply import parser as apply_parser
from ml_pipeline.__main__ import parser as pipeline_parser
from pytest_pixgates import plugin
from pytest_pixgates.cli.main import parser as command_parser
from pytest_pixgates.core import files
from pytest_pixgates.core.family import Family
from pytest_pixgates.core.limit import Limit
from pytest_pixgates.core.policy import Environment, General, Waiver
from pytest_pixgates.core.tools import JUDGES
from pytest_pixgates.core.trust import Trust
from pytest_pixgates.data_contract import mapping
from pytest_pixgates.infra.consistency import docs as consistency

ROOT = Path(__file__).parents[1]
SIMULATIONS = "tests/statistics"
# What a fixture hands its attributes on to: see `__getattr__` there.
BEHIND = {"model_gate": "model_gate.scores.Scores", "latency": "latency.results.View"}

MARK = "<!-- written by `make docs` from here on -->"

VARIABLES = {
    "PIXGATES_RUN_ID": "ties `pixgates verdict` to this very run; set but empty is an error",
    "PIXGATES_REPORT_DIR": "where records and reports are",
    "PIXGATES_TARGET": "the revision that the change goes to, for the baseline and contracts; not empty",
    "PIXGATES_TF_MIRROR": "a folder of Terraform's providers, laid out `host/namespace/type/version/os_arch`",
    "PIXGATES_HISTORY": "where measurements of all runs are kept: a file, or `mlflow+` and MLflow's address",
    "PIXGATES_AGAINST": "the records that a run is compared with, if not the target's last in the history",
    "PIXGATES_REPORT_URL": "the page that `summary.md` links as the full report; on GitHub that of the run by itself",
    "PIXGATES_HMAC_KEY": "the key by which rows are shown as `hmac:…`; by default one of this machine's",
    "PIXGATES_LOOKS": "the file that counts the candidates judged on a test set; by default with the user's data",
    "PIXGATES_TOOL_DIR": "where `pixgates tools install` puts tools",
    "PIXGATES_CACHE_DIR": "where answers and versions of tools are kept",
    "PIXGATES_TERRAFORM_RELEASE": "where Terraform's releases are downloaded from",
    "PIXGATES_TFLINT_RELEASE": "where tflint's releases are downloaded from",
}
# Between processes of one run, or the beginning of a name that is made up.
INTERNAL = ("PIXGATES_LOAD", "PIXGATES_FAMILY_", "PIXGATES_ENVIRONMENT_", "PIXGATES_")


class UndocumentedError(Exception):
    """Something public says nowhere what it means; the message says where to write it."""


def introduction(page: str) -> str:
    """What people wrote at the head of the page, up to the mark. Raises UndocumentedError without one."""
    text = (ROOT / page).read_text()
    if MARK not in text:
        raise UndocumentedError(f"{page} has no line {MARK!r} below which it could be written")
    return text.partition(MARK)[0] + MARK + "\n"


def families() -> list[Family]:
    return plugin.pytest_pixgates_families()


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of Markdown; `|` in a cell is written so that it is one."""
    lines = [list(head), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    ruled = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |") for row in ruled)


# The policy


def policy_page() -> str:
    parts = [("[pixgates]", General), ("[environments.NAME]", Environment), *sections("[evidence]", Trust)]
    for family in families():
        parts += sections(f"[{family.name}]", family.settings())
    tools = ", ".join(f"`{spec.name}`" for spec in JUDGES)
    return "\n".join(
        [
            introduction("docs/reference/policy.md"),
            *(section(title, kind) for title, kind in parts),
            f"## `[tools]`\n\nA path per tool, relative to the repository: {tools}. Without it a tool is looked for\n"
            "in its variable (`PIXGATES_TERRAFORM` and so on), in the folder of `pixgates tools install`, on PATH.\n",
            "## `[affects]`\n\nFor a pattern of files (`*` within a part of a path, `**` any number of parts), the\n"
            "families whose verdict a change of them can alter. What no pattern names alters all, and so does the\n"
            "folder of the policy.\n",
            "## A limit\n\nWherever a limit stands, it may carry stricter values for environments: "
            "`{ at_least = 0.7, environments = { prod = 0.75 } }`.\n\n" + keys(Limit),
            "## `[[FAMILY]]` in `gates/waivers.toml`\n\n" + about(Waiver) + keys(Waiver),
        ]
    )


def sections(title: str, kind: type) -> Iterator[tuple[str, type]]:
    """The section `kind` and those inside it, by what stands in their brackets."""
    yield title, kind
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        inner = title.strip("[]") + f".{field.name}"
        for name, each in nested(inner, hints[field.name]):
            yield from sections(name, each)


def nested(inner: str, hint: Any) -> Iterator[tuple[str, type]]:
    """The dataclasses that a key of this type holds, but plain limits."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and hint is not Limit:
        yield f"[{inner}]", typing.cast(type, hint)
    elif origin is tuple and dataclasses.is_dataclass(arguments[0]):
        yield f"[[{inner}]]", typing.cast(type, arguments[0])
    elif isinstance(origin, type) and issubclass(origin, Mapping) and dataclasses.is_dataclass(arguments[1]):
        yield f"[{inner}.NAME]", typing.cast(type, arguments[1])
    elif origin in (typing.Union, types.UnionType):
        yield from list(nested(inner, next(each for each in arguments if each is not type(None))))[:1]


def section(title: str, kind: type) -> str:
    return f"## `{title}`\n\n{about(kind)}{keys(kind)}"


def about(kind: type) -> str:
    text = " ".join(summary(kind).split())
    told = re.sub(r"^`\[+[^`]*\]`(, a table or a list of tables)?[:.] ?", r"", text)
    return f"{told[:1].upper()}{told[1:]}\n\n" if told else ""


def keys(kind: type) -> str:
    hints, told = typing.get_type_hints(kind), attributes(kind)
    rows = [
        (f"`{each.name}`", typed(hints[each.name]), default(each), told[each.name])
        for each in dataclasses.fields(kind)
        if each.init
    ]
    return table(("key", "type", "default", ""), rows)


def attributes(kind: type) -> dict[str, str]:
    """What the docstring under each field says. Raises UndocumentedError."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__[:-1]):
        if not dataclasses.is_dataclass(each):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0]
        assert isinstance(body, ast.ClassDef)
        for at, node in enumerate(body.body):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                text = docstring(body.body[at + 1 : at + 2])
                if not text:
                    place = f"{each.__module__}.{each.__qualname__}.{node.target.id}"
                    raise UndocumentedError(f"{place} says nowhere what it means: write a docstring under the field")
                found[node.target.id] = " ".join(text.split())
    return found


def docstring(after: list[ast.stmt]) -> str:
    value = after[0].value if after and isinstance(after[0], ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", datetime.date: "date"}


def typed(hint: Any) -> str:
    """A type in a reader's words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in NAMES:
        return NAMES[hint]
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(typed(each) for each in arguments if each is not type(None)))
    if origin is typing.Literal:
        return " or ".join(f'`"{each}"`' for each in arguments)
    if origin is tuple:
        return f"list of {plural(typed(arguments[0]))}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        inner = typed(arguments[1])
        return "table" if inner in ("table", "anything") else f"table of {plural(inner)}"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return " or ".join(f'`"{each.value}"`' for each in hint)
    if hint is Limit:
        return "limit"
    return "table" if dataclasses.is_dataclass(hint) else "anything"


def plural(words: str) -> str:
    first, *others = words.split(" or ")
    if first.startswith("`"):
        return words
    several = {"text": "texts", "whole number": "whole numbers", "number": "numbers", "table": "tables"}
    if first.startswith("list of "):
        return " or ".join([first.replace("list", "lists", 1), *map(plural, others)])
    return " or ".join([several.get(first, f"{first}s"), *map(plural, others)])


def default(field: dataclasses.Field[Any]) -> str:
    made = field.default_factory
    value = made() if made is not dataclasses.MISSING else field.default
    if value is dataclasses.MISSING:
        return "required"
    if value in ("", None) or dataclasses.is_dataclass(value):
        return ""
    return f"`{toml(value)}`"


def toml(value: object) -> str:
    if isinstance(value, enum.Enum):
        return toml(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    return "{}" if isinstance(value, Mapping) else f"{value:g}"


# Fixtures, markers, names


def fixtures_page() -> str:
    markers = [(family.name, family.summary) for family in families()]
    markers += [pair for family in families() for pair in family.markers.items()]
    names = [(f"`{name}`", first_line(getattr(pytest_pixgates, name), name)) for name in pytest_pixgates.__all__]
    return "\n".join(
        [
            introduction("docs/reference/fixtures.md"),
            "## Markers\n",
            table(("marker", "gates of"), [(f"`{name}`", text) for name, text in markers]),
            *(fixture(family) for family in families()),
            "## Names of `pytest_pixgates`\n",
            table(("name", ""), names),
        ]
    )


def fixture(family: Family) -> str:
    module = importlib.import_module(f"pytest_pixgates.{family.name}.gates")
    kind = getattr(module, inspect.signature(type(family).fixture).return_annotation)
    parts = [f"## `{family.name}`\n", f"{sentence(family.summary)}\n", methods(family.name, kind)]
    if behind := BEHIND.get(family.name):
        place, _, name = behind.rpartition(".")
        other = getattr(importlib.import_module(f"pytest_pixgates.{place}"), name)
        parts += [
            f"Its attributes are also those of a `{name}`:\n",
            methods(family.name, other, ("Measurement", "Slices")),
        ]
    return "\n".join(parts)


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def methods(name: str, kind: type, giving: tuple[str, ...] = ()) -> str:
    """A row for each public member of `kind`, or for those that return one of `giving`."""
    rows = []
    for member, value in vars(kind).items():
        if member.startswith("_") and member != "__call__":
            continue
        function = getattr(value, "fget", None) or getattr(value, "func", None) or getattr(value, "__func__", value)
        if callable(function) and (not giving or inspect.signature(function).return_annotation in giving):
            called = "" if function is not value and not isinstance(value, classmethod) else arguments(function)
            shown = name if member == "__call__" else f"{name}.{member}"
            rows.append((f"`{shown}{called}`", first_line(function, f"{kind.__module__}.{kind.__qualname__}.{member}")))
    return table(("in Python", ""), rows)


def arguments(function: Callable[..., object]) -> str:
    signature = inspect.signature(function)
    kept = [
        each.replace(annotation=each.empty)
        for each in signature.parameters.values()
        if each.name not in ("self", "cls")
    ]
    return str(signature.replace(parameters=kept, return_annotation=signature.empty))


def summary(what: object) -> str:
    return (inspect.getdoc(what) or "").partition("\n\n")[0]


def first_line(what: object, name: str) -> str:
    """The first paragraph of the docstring. Raises UndocumentedError."""
    text = " ".join(summary(what).split())
    if not text:
        raise UndocumentedError(
            f"{name} says nowhere what it is: write its docstring, or call it _{name.rpartition('.')[2]}"
        )
    return text


# Commands


class Options:
    """Stands in for pytest's parser, to learn the plugin's options and ini keys."""

    def __init__(self) -> None:
        self.options: list[tuple[str, str]] = []
        self.keys: list[tuple[str, str]] = []

    def getgroup(self, *_: str) -> Options:
        return self

    def addoption(self, name: str, **given: Any) -> None:
        self.options.append((f"{name} {given.get('metavar', '')}".strip(), given["help"]))

    def addini(self, name: str, text: str, **_: Any) -> None:
        self.keys.append((name, text))


def commands_page() -> str:
    of_pytest = Options()
    plugin.pytest_addoption(typing.cast(Any, of_pytest))
    tools = [(f"`{spec.variable}`", f"the path of {spec.name}") for spec in JUDGES]
    return "\n".join(
        [
            introduction("docs/reference/cli.md"),
            table(("option of pytest", ""), [(f"`{name}`", text) for name, text in of_pytest.options]),
            table(("key of pytest's configuration", ""), [(f"`{name}`", text) for name, text in of_pytest.keys]),
            *commands(command_parser(), 2),
            "## Variables\n",
            table(("variable", ""), [*((f"`{name}`", text) for name, text in variables().items()), *tools]),
        ]
    )


def variables() -> dict[str, str]:
    """What each variable means. Raises UndocumentedError for one that the code names and nothing explains."""
    known = {*VARIABLES, *INTERNAL, *(spec.variable for spec in JUDGES)}
    for path in sorted((ROOT / "pytest_pixgates").rglob("*.py")):
        for name in re.findall(r"PIXGATES_[A-Z_]*", path.read_text()):
            if name not in known:
                raise UndocumentedError(f"{path.relative_to(ROOT)}: {name} means nothing: write it into VARIABLES here")
    return VARIABLES


def pipeline_page() -> str:
    applying = apply_parser()
    told = (applying.description or "").partition(".")[0]
    page = [introduction("docs/reference/pipeline.md"), *commands(pipeline_parser(), 2), one_command(applying, told, 2)]
    return "\n".join(page)


def commands(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    """A section for each command of `parser`, and for each of theirs."""
    chosen = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    for action in chosen:
        told = {each.dest: each.help or "" for each in action._choices_actions}
        for name, command in action.choices.items():
            yield one_command(command, told.get(name, ""), level)
            yield from commands(command, level + 1)


def one_command(command: argparse.ArgumentParser, told: str, level: int) -> str:
    if not told:
        raise UndocumentedError(f"`{command.prog}` says nowhere what it does: give add_parser its help")
    plain = [
        each for each in command._actions if not isinstance(each, argparse._HelpAction | argparse._SubParsersAction)
    ]
    words = [f"{'#' * level} `{command.prog}`\n", f"{sentence(told)}\n"]
    if plain:
        words.append(table(("argument", ""), [(named(each), helped(each, command)) for each in plain]))
    if command.epilog:
        words.append(f"{sentence(command.epilog)}\n")
    return "\n".join(words)


def named(action: argparse.Action) -> str:
    metavar = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    if action.choices is not None and not action.metavar:
        metavar = "{" + ",".join(map(str, action.choices)) + "}"
    if not action.option_strings:
        return f"`{metavar}`" + (" (may be left out)" if action.nargs in ("?", "*") else "")
    return f"`{', '.join(action.option_strings)}{f' {metavar}' if action.nargs != 0 else ''}`"


def helped(action: argparse.Action, command: argparse.ArgumentParser) -> str:
    """Its help, as the command itself shows it. Raises UndocumentedError."""
    if not action.help:
        raise UndocumentedError(f"`{command.prog}`: {named(action)} has no help")
    text = " ".join(command._get_formatter()._expand_help(action).split())
    needed = action.required and action.option_strings and "required" not in text and "needed" not in text
    return f"{text}{'; required' if needed else ''}"


# Verdicts


@dataclasses.dataclass(frozen=True)
class Simulation:
    """A test that measures how often the rule is wrong, and the bounds that it holds."""

    test: str
    says: str
    bounds: tuple[str, ...]


def simulations() -> Iterator[Simulation]:
    """Each test of `tests/statistics` that holds a share by `most`, with the share as it is written there."""
    for path in sorted((ROOT / SIMULATIONS).glob("test_*.py")):
        tree = ast.parse(path.read_text())
        constants = {
            node.targets[0].id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Constant)
        } | {"ALPHA": 0.05}
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                shares = [
                    argument.value if isinstance(argument, ast.Constant) else constants[ast.unparse(argument)]
                    for call in ast.walk(node)
                    if isinstance(call, ast.Call) and ast.unparse(call.func) == "most"
                    for argument in call.args[:1]
                ]
                if shares:
                    says = node.name.removeprefix("test_").replace("_", " ")
                    test = f"{path.relative_to(ROOT).as_posix()}::{node.name}"
                    yield Simulation(test, says, tuple(dict.fromkeys(f"{100 * share:g} %" for share in shares)))


def verdicts_page() -> str:
    rows = [(sentence(each.says), ", ".join(each.bounds), f"`{each.test}`") for each in simulations()]
    return f"{introduction('docs/reference/verdicts.md')}\n{table(('what holds', 'at most', 'test'), rows)}"


# The gates


def gates_page() -> str:
    """What `pixgates explain` says of each kind of gate."""
    return "\n".join([introduction("docs/reference/gates.md"), *(gates(family) for family in families())])


def gates(family: Family) -> str:
    told = importlib.import_module(f"pytest_pixgates.{family.name}.about").ABOUT
    rows = (
        (f"`{name}`", each.checks, each.verdict, ", ".join(f"`{key}`" for key in each.keys))
        for name, each in told.items()
    )
    return f"## {family.name}\n\n{table(('gate', 'checks', 'verdict', 'goes by'), rows)}"


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/policy.md": policy_page,
    "docs/reference/fixtures.md": fixtures_page,
    "docs/reference/cli.md": commands_page,
    "docs/reference/pipeline.md": pipeline_page,
    "docs/reference/verdicts.md": verdicts_page,
    "docs/reference/gates.md": gates_page,
    "docs/consistency.md": consistency.text,
    "docs/contract-mapping.md": mapping.page,
}
"""Every page that is written from code, by its path."""


def main() -> int:
    """Write every page that differs, and name it."""
    for name, page in PAGES.items():
        path, text = ROOT / name, page()
        if path.read_text() != text:
            files.write_atomically(path, text)
            print(f"{name}: written")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UndocumentedError as error:
        sys.exit(f"docs/generate.py: {error}")
