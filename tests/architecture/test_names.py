"""What `make test` does not run still names only what is there: lanes and benchmarks, where a rename shows up last."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("pytest_pixgates", "ml_pipeline", "iac", "tests", "docs", "benchmarks")
FILES = sorted(path for folder in ("tests/lanes", "benchmarks") for path in (ROOT / folder).rglob("*.py"))


def missing(source: str) -> Iterator[str]:
    """Names that a file takes from our modules, and which these don't have."""
    tree = ast.parse(source)
    modules = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or (node.module or "").split(".")[0] not in OURS:
            continue
        for alias in node.names:
            try:
                modules[alias.asname or alias.name] = importlib.import_module(f"{node.module}.{alias.name}")
            except ModuleNotFoundError:
                if not hasattr(importlib.import_module(str(node.module)), alias.name):
                    yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            module = modules[node.value.id]
            if not hasattr(module, node.attr):
                yield f"{module.__name__}.{node.attr}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_lane_or_benchmark_names_only_what_our_modules_have(path: Path) -> None:
    assert list(missing(path.read_text())) == []


def test_a_name_that_is_gone_is_found() -> None:
    imports = "from tests.lanes.kafka import brokers\nfrom tests.lanes.conftest import gone\n"
    assert list(missing(imports + "brokers.client()")) == ["tests.lanes.conftest.gone"]
    assert list(missing(imports + "brokers.lost()")) == ["tests.lanes.conftest.gone", "tests.lanes.kafka.brokers.lost"]
