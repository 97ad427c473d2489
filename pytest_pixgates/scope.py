"""What a run of gates was meant to judge, and what made it judge less.

`-m` with names of families selects families, which is how CI splits its jobs. Whatever else narrows a run makes it
PARTIAL: fit for a developer's eyes, not as evidence.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

COLLECTED_BY = ("python_files", "python_classes", "python_functions", "collect_imported_tests")


def families_in_scope(expression: str, families: Iterable[str]) -> frozenset[str] | None:
    """The families that `-m expression` selects ("infra or latency"), all without one, None if it selects otherwise."""
    names = frozenset(families)
    if not expression.strip():
        return names
    selected = frozenset(re.split(r"\s+or\s+", expression.strip().strip("()").strip()))
    return selected if selected <= names else None


def reach(config: pytest.Config, folder: Path) -> str:
    """How much of `folder` the arguments take in: "all", "some" or "none"."""
    best = "none"
    for argument in config.args:
        path, _, inside = argument.partition("::")
        target = (config.invocation_params.dir / path).resolve()
        if not inside and (target == folder.resolve() or target in folder.resolve().parents):
            return "all"
        if folder.resolve() in (target, *target.parents):
            best = "some"
    return best


def lists_only(config: pytest.Config) -> bool:
    """Whether this run only lists or sets up, so that no gate can have run."""
    return any(config.getoption(name, default=False) for name in ("collectonly", "setuponly", "setupplan"))


def narrowing_options(config: pytest.Config) -> list[str]:
    """Options that may leave out gates before they become items, where counting items can't see it."""
    options = {
        "--collect-only": "collectonly",
        "--setup-only": "setuponly",
        "--setup-plan": "setupplan",
        "--last-failed": "lf",
        "--stepwise": "stepwise",
    }
    given = [option for option, name in options.items() if config.getoption(name, default=False)]
    overridden = [each.partition("=")[0] for each in config.getoption("override_ini", default=None) or ()]
    return given + [f"--override-ini {name}" for name in COLLECTED_BY if name in overridden]


def python_gates(config: pytest.Config, folder: Path, families: Iterable[str]) -> dict[Path, list[str]]:
    """The Python files in `folder` that hold gates, each with the tests in it that ask for a family's fixture.

    Read from their source, for what pytest collects depends on settings and hooks that may leave a gate out.
    """
    patterns = config.getini("python_files")
    found = {}
    for path in sorted(folder.rglob("*.py")):
        if path.name in ("conftest.py", "__init__.py") or "__pycache__" in path.parts:
            continue
        tests = list(_tests_asking_for(path, frozenset(families)))
        if tests or any(fnmatch(path.name, pattern) for pattern in patterns):
            found[path] = tests
    return found


def _tests_asking_for(path: Path, families: frozenset[str]) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # collecting it fails too, and says why
    scopes = [("", tree.body), *((f"{each.name}.", each.body) for each in tree.body if isinstance(each, ast.ClassDef))]
    for prefix, body in scopes:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_fixture(node):
                arguments = {each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
                if arguments & families and not node.name.startswith("_"):
                    yield prefix + node.name


def _is_fixture(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any("fixture" in ast.unparse(decorator) for decorator in function.decorator_list)
