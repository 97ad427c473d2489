"""Imports point one way: core <- families <- the pytest side; core <- report; cli may use all."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "pytest_pixgates"
FAMILIES = {"data_contract", "infra", "latency", "model_gate"}
PYTEST_SIDE = {"plugin", "hookspecs", "fixtures", "recorder", "session", "census", "items", "scope", "explain"}

# What each part may import of the others; every part may import itself.
MAY_IMPORT = {
    "core": set(),
    **{family: {"core"} for family in FAMILIES},
    "history": {"core"},
    "report": {"core", "history"},
    "evidence": {"core"},
    "prove": {"core"},
    "start": {"core", *FAMILIES},
    "cli": {"core", "history", "report", "evidence", "prove", "start", "plugin", "items", *FAMILIES},
    **{module: {"core", "history", "report", *FAMILIES, *PYTEST_SIDE} for module in PYTEST_SIDE},
    "__main__": {"cli"},
    "__init__": {"core", "evidence", "model_gate"},
}


def modules() -> list[Path]:
    return sorted((ROOT / PACKAGE).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything that `path` imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(name: str) -> str:
    return name.removeprefix(f"{PACKAGE}.").split(".")[0]


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    own = part(path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."))
    parts = {entry.stem if entry.suffix == ".py" else entry.name for entry in (ROOT / PACKAGE).iterdir()}
    used = {part(name) for name in imports(path) if name.startswith(f"{PACKAGE}.")} & parts
    assert used <= MAY_IMPORT[own] | {own}


KNOW_NO_PYTEST = {"core", "history", "report", "evidence", "prove", *FAMILIES}


@pytest.mark.parametrize("path", [path for path in modules() if part(path.parent.name) in KNOW_NO_PYTEST])
def test_only_the_pytest_side_knows_pytest(path: Path) -> None:
    assert "pytest" not in {name.split(".")[0] for name in imports(path)}


def loaded_by(statement: str) -> set[str]:
    """Top-level names outside the standard library that `statement` brings into a fresh interpreter."""
    code = f"import sys; {statement}; import json; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = {name.split(".")[0] for name in json.loads(run.stdout)}
    return {name for name in names if name not in sys.stdlib_module_names and not name.startswith("_")}


@pytest.mark.parametrize(
    "module",
    ["plugin", "session", "cli.main", "infra.family", "data_contract.family", "model_gate.family", "latency.family"],
)
def test_importing_adds_nothing_but_the_standard_library_to_pytest(module: str) -> None:
    added = loaded_by(f"import pytest, {PACKAGE}.{module}") - loaded_by("import pytest")
    assert added == {PACKAGE}


def test_core_needs_no_pytest() -> None:
    names = [path.stem for path in (ROOT / PACKAGE / "core").glob("*.py") if path.stem != "__init__"]
    assert loaded_by("import " + ", ".join(f"{PACKAGE}.core.{name}" for name in names)) == {PACKAGE}


def test_an_unused_plugin_loads_no_part_that_only_gates_need(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("import sys\ndef test_x():\n    print('LOADED', sorted(sys.modules))\n")
    command = [sys.executable, "-m", "pytest", "-s", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    loaded = next(line for line in run.stdout.splitlines() if "LOADED" in line)
    for name in ("session", "recorder", "core.record", "core.policy", "core.process", "report"):
        assert f"'{PACKAGE}.{name}'" not in loaded
