"""What a repository holds that gates could judge, told from its files alone: no tool runs, nothing is imported."""

from __future__ import annotations

import ast
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_pixgates.core.errors import UsageError

TABLES = (".parquet", ".csv", ".ndjson", ".jsonl", ".arrow", ".feather", ".ipc")
MOST_FILES = 50_000
# Never what goes out: made by tools, brought from elsewhere, or there to be wrong. Hidden folders aren't looked into.
SKIPPED = frozenset(
    {"__pycache__", "build", "dist", "fixtures", "gates", "node_modules", "site-packages", "test", "testdata", "tests"}
)
HEALTH = ("/readyz", "/ready", "/healthz", "/health", "/livez", "/live", "/ping", "/status")

_SOURCE = re.compile(r'^\s*source\s*=\s*"(\.\.?/[^"]*)"', re.MULTILINE)
_RESOURCE = re.compile(r"^\s*-\s+[\"']?([\w./-]+)[\"']?\s*$", re.MULTILINE)
_OBJECT = re.compile(r"\A(?=[\s\S]*^apiVersion:)(?=[\s\S]*^kind:)(?=[\s\S]*^metadata:)", re.MULTILINE)
_KUSTOMIZATIONS = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
_PART = re.compile(r"part[-_]?\d+.*|\d+")
_FRAMEWORKS = ("FastAPI", "Starlette", "Litestar", "Quart", "Flask")
_VERBS = ("get", "post", "put", "route")


@dataclass(frozen=True, slots=True)
class Service:
    """An application in `file`: the command that starts it, the path that says when it is ready, and its other routes,
    each a method and a path.
    """

    file: str
    start: tuple[str, ...]
    ready: str
    routes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Paths relative to the repository. `modules` are folders of Terraform that others call; `locked` are folders with
    a lock file. `tables` are files and folders of rows.
    """

    roots: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    locked: frozenset[str] = frozenset()
    overlays: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()
    charts: tuple[str, ...] = ()
    dockerfiles: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    service: Service | None = None


def look(root: Path) -> Found:
    """What is in `root`. Raises UsageError for more files than can be a repository."""
    files = tuple(_walked(root))
    roots, modules = _terraform(root, files)
    overlays, manifests, charts = _kubernetes(root, files)
    return Found(
        roots=roots,
        modules=modules,
        locked=frozenset(_folder(name) for name in _walked(root, hidden=".terraform.lock.hcl")),
        overlays=overlays,
        manifests=manifests,
        charts=charts,
        dockerfiles=tuple(filter(_is_dockerfile, files)),
        tables=tuple(_tables(files)),
        service=_service(root, files),
    )


def _walked(root: Path, hidden: str = "") -> Iterator[str]:
    """Regular files in order, without hidden ones; or only those called `hidden`."""
    count = 0
    for folder, below, names in os.walk(root):
        here = Path(folder)
        if "pyvenv.cfg" in names:
            below.clear()
            continue
        below[:] = sorted(each for each in below if each[0] != "." and each not in SKIPPED)
        count += len(names)
        if count > MOST_FILES:
            raise UsageError(
                f"{root} holds more than {MOST_FILES:,} files",
                remedy="name the folder of the repository: pixgates init DIR",
            )
        for name in sorted(names):
            path = here / name
            wanted = name == hidden if hidden else name[0] != "."
            if wanted and path.is_file() and not path.is_symlink() and _is_text(name):
                yield path.relative_to(root).as_posix()


def _is_text(name: str) -> bool:
    """Whether a policy, which is UTF-8, can name it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return name.isprintable()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.stat().st_size < 2**20 else ""
    except OSError:  # what can't be read is for its gate to say
        return ""


def _folder(name: str) -> str:
    return posixpath.dirname(name) or "."


def _joined(folder: str, relative: str) -> str:
    return posixpath.normpath(posixpath.join(folder, relative))


def _terraform(root: Path, files: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Folders that are applied, and those that others call."""
    called, folders = set[str](), dict[str, None]()
    for name in files:
        if name.endswith(".tf"):
            folders[_folder(name)] = None
            called |= {_joined(_folder(name), each) for each in _SOURCE.findall(_text(root / name))}
    return tuple(each for each in folders if each not in called), tuple(each for each in folders if each in called)


def _kubernetes(root: Path, files: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Overlays that nothing else is built on, folders of plain manifests beside them, and Helm charts."""
    built = {_folder(name): _text(root / name) for name in files if posixpath.basename(name) in _KUSTOMIZATIONS}
    used = {_joined(folder, each) for folder, text in built.items() for each in _RESOURCE.findall(text)}
    parts = {folder for folder, text in built.items() if re.search(r"^kind:\s*Component\s*$", text, re.MULTILINE)}
    charts = tuple(_folder(name) for name in files if posixpath.basename(name) == "Chart.yaml")
    plain = dict[str, None]()
    for name in files:
        inside = {_folder(name), *(each.as_posix() for each in PurePosixPath(name).parents)}
        others = name in used or not inside.isdisjoint({*built, *charts, *used})
        if name.endswith((".yaml", ".yml")) and not others and _OBJECT.match(_text(root / name)):
            plain[_folder(name)] = None
    return tuple(each for each in built if each not in used | parts), tuple(plain), charts


def _is_dockerfile(name: str) -> bool:
    base = posixpath.basename(name)
    return (
        base == "Dockerfile"
        or base.endswith(".Dockerfile")
        or (base.startswith("Dockerfile.") and not base.endswith(".dockerignore"))
    )


def _tables(files: Iterable[str]) -> Iterator[str]:
    """Files of rows; those that are parts of one table are told by the folder that holds them."""
    seen = set[str]()
    for name in files:
        if PurePosixPath(name).suffix in TABLES:
            folder, stem = _folder(name), PurePosixPath(name).stem
            table = name
            if _PART.fullmatch(stem) and folder != ".":
                table = folder
            while "=" in posixpath.basename(folder):  # date=2026-08-01
                table = folder = _folder(folder)
            if table not in seen:
                seen.add(table)
                yield table


def _service(root: Path, files: Iterable[str]) -> Service | None:
    """The first application of a web framework, nearest to the top."""
    for name in sorted((each for each in files if each.endswith(".py")), key=lambda each: (each.count("/"), each)):
        text = _text(root / name)
        if any(f"{each}(" in text for each in _FRAMEWORKS) and (tree := _parsed(text)):
            for variable, framework in _applications(tree):
                routes = tuple(dict.fromkeys(_routes(tree)))
                ready = next((path for _, path in routes if path in HEALTH), "")
                others = tuple(each for each in routes if each[1] not in HEALTH)
                return Service(name, tuple(_start(name, variable, framework)), ready, others)
    return None


def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _applications(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Each variable of the module that is an application, and its framework."""
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if isinstance(node, ast.Assign | ast.AnnAssign) and (framework := _called(node.value)) in _FRAMEWORKS:
            yield from ((target.id, framework) for target in targets if isinstance(target, ast.Name))


def _called(node: ast.expr | None) -> str:
    """The last part of the name that `node` calls."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _routes(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Method and path of each route without parameters."""
    for node in ast.walk(tree):
        called = _called(node) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and node.args and called in ("Route", *_VERBS):
            path = getattr(node.args[0], "value", None)
            if isinstance(path, str) and path.startswith("/") and not re.search(r"[{<]", path):
                listed = next((ast.unparse(each.value) for each in node.keywords if each.arg == "methods"), "")
                yield ("POST" if called in ("post", "put") or "POST" in listed.upper() else "GET"), path


def _start(name: str, variable: str, framework: str) -> Iterator[str]:
    source, module = ("src", name.removeprefix("src/")) if name.startswith("src/") else ("", name)
    dotted = module.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    yield from ("{python}", "-m")
    if framework == "Flask":
        path = f"{source}/{dotted}" if source else dotted
        yield from ("flask", "--app", f"{path}:{variable}", "run", "--port", "{port}")
    else:
        yield from ("uvicorn", f"{dotted}:{variable}", "--host", "127.0.0.1", "--port", "{port}")
        yield from ("--app-dir", source) if source else ()
