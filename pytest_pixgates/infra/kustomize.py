"""What a kustomize overlay is made of, and which of its files declares an object that it renders.

A finding in a rendered manifest helps nobody; it must name the file and line that somebody wrote.
"""

from __future__ import annotations

import hashlib
import os.path
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pixgates.core import documents, sources
from pytest_pixgates.core.documents import Document
from pytest_pixgates.core.errors import ToolError
from pytest_pixgates.core.process import run
from pytest_pixgates.core.scan import Problem
from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.tools import Tool

FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_TREES = ("resources", "bases", "components")
_YAML = ("patchesStrategicMerge", "transformers", "generators", "validators", "configurations", "crds")
_WITH_PATH = ("patches", "patchesJson6902", "replacements")
_GENERATORS = ("configMapGenerator", "secretGenerator")


@dataclass(frozen=True, slots=True)
class Overlay:
    """An overlay with everything in the repository that it reaches; `folders` starts with the overlay itself."""

    folder: Path
    folders: tuple[Path, ...]
    texts: tuple[tuple[str, str], ...]
    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]

    def where(self, kind: str, name: str, keys: Sequence[object] = ()) -> tuple[str, int]:
        """The file and line that declare `keys` of the rendered object, else what holds most of them, else its start.

        `documents` are in order of precedence, so what is set counts in a patch, and what is missing in the resource.
        """
        declaring = self._declaring(kind, name)
        for document in declaring:
            if keys and (line := document.line_of(keys)):
                return document.path, line
        held = ((each.path, each.line_of(part)) for part in _shorter(keys) for each in reversed(declaring))
        if declaring:
            return next((place for place in held if place[1]), (declaring[-1].path, declaring[-1].line))
        return self._generator(name)

    def _declaring(self, kind: str, name: str) -> list[Document]:
        # A prefix, a suffix or a hash may have been added: the longest name inside the rendered one is meant.
        named = [each for each in self.documents if each.kind == kind and each.name and each.name in name]
        longest = max((len(each.name) for each in named), default=0)
        return [each for each in named if len(each.name) == longest]

    def _generator(self, name: str) -> tuple[str, int]:
        for document in self.documents:
            for key in _GENERATORS:
                entries = document.value.get(key) if isinstance(document.value, dict) else None
                for index, entry in enumerate(entries if isinstance(entries, list) else ()):
                    if isinstance(entry, dict) and str(entry.get("name", "\0")) in name:
                        return document.path, document.line_of((key, index))
        return self.texts[0][0] if self.texts else "", 0


def is_overlay(folder: Path) -> bool:
    """Whether kustomize would take `folder`."""
    return any((folder / name).is_file() for name in FILES)


def load(folder: Path, root: Path) -> Overlay:
    """Read the overlay at `folder`. What is wrong with its sources is in `problems`."""
    reader = _Reader(root)
    reader.tree(folder)
    return Overlay(
        folder, tuple(reader.folders), tuple(reader.texts.items()), tuple(reader.documents), tuple(reader.problems)
    )


def render(tool: Tool, folder: Path, *, timeout: float = 600.0) -> str:
    """The manifest that `kubectl kustomize` makes of `folder`. Raises ToolError."""
    done = run(command(tool, folder), cwd=folder, timeout=timeout)
    if done.returncode != 0:
        raise ToolError(f"kubectl kustomize ended with {done.returncode}: {done.tail()}", remedy="mend the overlay")
    return done.stdout


def command(tool: Tool, folder: Path) -> tuple[Path | str, ...]:
    return (tool.path, "kustomize", folder.absolute())


def parse(rendered: str, label: str) -> tuple[Document, ...]:
    """The objects of a rendered manifest, at least one. Raises Unreadable for anything else than objects."""
    found = documents.parse(rendered, label)
    if not found:
        raise Unreadable("renders no object", label, remedy="list its resources in the kustomization")
    for each in found:
        if not each.is_object or not each.name:
            raise Unreadable("renders something without apiVersion, kind or metadata.name", label, each.line)
        if each.kind == "List" or (each.kind.endswith("List") and "items" in each.value):
            raise Unreadable(f"renders a {each.kind}, whose items no schema looks into", label, each.line)
    return found


def subject(rendered: str, label: str) -> Subject:
    return Subject(label, hashlib.sha256(rendered.encode()).hexdigest(), "content")


class _Reader:
    """Follows an overlay through the repository, reading each file once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders, self.problems = list[Path](), list[Problem]()
        self.documents, self.texts = list[Document](), dict[str, str]()

    def tree(self, folder: Path) -> None:
        waiting = [folder]
        while waiting:
            folder = waiting.pop(0)
            if folder in self.folders:
                continue
            self.folders.append(folder)
            found = [folder / name for name in FILES if (folder / name).is_file()]
            if len(found) != 1 or not sources.inside(folder, self.root):
                why = "holds more than one kustomization" if found else "holds no kustomization.yaml"
                self.problems.append(Problem(why, sources.name(folder, self.root), fix="check the path"))
                continue
            for document in self._read(found[0]):
                waiting += self._follow(document, folder)

    def _follow(self, document: Document, folder: Path) -> Iterator[Path]:
        """Read the files that a kustomization names; yield the folders."""
        for keys, text in inline_patches(document.value):
            self._parse(text, f"{document.path}:{document.line_of(keys)} (inline patch)")
        patches_first = sorted(references(document.value), key=lambda reference: reference[0][0] in _TREES)
        for keys, named in patches_first:
            path, line = Path(os.path.normpath(folder / named)), document.line_of(keys)
            if "://" in named or named.startswith(("git@", "github.com/")):
                fix = "copy it into the repository, where it is reviewed"
                self.problems.append(Problem(f"{named} comes from the network", document.path, line, fix))
            elif not path.exists() or not sources.inside(path, self.root):
                message = f"{named} is not there, or not in the repository"
                self.problems.append(Problem(message, document.path, line, "correct the path"))
            elif path.is_dir():
                yield path
            elif keys[0] in _GENERATORS or keys[0] == "openapi":
                continue  # data of any form; its digest counts with its folder
            else:
                self._read(path)

    def _read(self, path: Path) -> tuple[Document, ...]:
        label = sources.name(path, self.root)
        if label in self.texts:
            return ()
        try:
            text = sources.read(path, self.root)
        except Unreadable as error:
            self.problems.append(error.problem)
            return ()
        found = self._parse(text, label)
        self.texts[label] = text
        self.documents += found
        if path.parent not in self.folders and not any(path.is_relative_to(known) for known in self.folders):
            self.folders.append(path)
        return found

    def _parse(self, text: str, label: str) -> tuple[Document, ...]:
        try:
            if found := documents.parse(text, label):
                return found
            raise Unreadable("is empty or holds only comments", label, remedy="remove it, and what refers to it")
        except Unreadable as error:
            self.problems.append(error.problem)
            return ()


def references(kustomization: Any) -> Iterator[tuple[tuple[object, ...], str]]:
    """Every path in a kustomization, with the keys that lead to it."""
    if not isinstance(kustomization, dict):
        return
    for key in (*_TREES, *_YAML):
        for index, entry in enumerate(_items(kustomization, key)):
            if isinstance(entry, str) and "\n" not in entry:
                yield (key, index), entry
    for key in _WITH_PATH:
        for index, entry in enumerate(_items(kustomization, key)):
            if isinstance(entry, dict) and isinstance(entry.get("path"), str):
                yield (key, index, "path"), entry["path"]
    for key in _GENERATORS:
        for index, entry in enumerate(_items(kustomization, key)):
            files = [*_items(entry, "files"), *_items(entry, "envs")] if isinstance(entry, dict) else []
            for file in files:
                yield (key, index), str(file).rpartition("=")[2]
    openapi = kustomization.get("openapi")
    if isinstance(openapi, dict) and isinstance(openapi.get("path"), str):
        yield ("openapi", "path"), openapi["path"]


def inline_patches(kustomization: Any) -> Iterator[tuple[tuple[object, ...], str]]:
    """Every patch that is written into a kustomization, with the keys that lead to it."""
    for key in ("patches", "patchesJson6902", "patchesStrategicMerge"):
        for index, entry in enumerate(_items(kustomization, key) if isinstance(kustomization, dict) else ()):
            text = entry.get("patch") if isinstance(entry, dict) else entry
            if isinstance(text, str) and ("\n" in text or isinstance(entry, dict)):
                yield (key, index), text


def _items(table: dict[str, Any], key: str) -> list[Any]:
    value = table.get(key)
    return value if isinstance(value, list) else []


def _shorter(keys: Sequence[object]) -> Iterator[Sequence[object]]:
    for length in range(len(keys), 0, -1):
        yield keys[:length]
