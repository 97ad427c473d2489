"""YAML as Kubernetes reads it, with lines, and without what parsers forgive.

Two equal keys, an empty file, an alias that expands without end: every tool at hand takes the last, passes, or hangs.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_pixgates.core.errors import EXTRA, NotMeasured
from pytest_pixgates.core.sources import Unreadable

DEEPEST = 100
LARGEST = 500_000
"""Limits of nesting, and of nodes once aliases are expanded."""


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its value, and the file and line where it starts."""

    path: str
    line: int
    value: Any
    node: Any = None

    @property
    def kind(self) -> str:
        return str(self.value.get("kind", "")) if isinstance(self.value, dict) else ""

    @property
    def name(self) -> str:
        metadata = self.value.get("metadata") if isinstance(self.value, dict) else None
        return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""

    @property
    def label(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def is_object(self) -> bool:
        """Whether it looks like a Kubernetes object."""
        return isinstance(self.value, dict) and "apiVersion" in self.value and "kind" in self.value

    def line_of(self, keys: Sequence[object]) -> int:
        """The line of the value at `keys`, or 0 if it is not in this document.

        In a list, a key is an index, or a pair such as ("name", "web") for the item that holds it.
        """
        node, line = self.node, self.line
        for key in keys:
            node, line = _child(node, key)
            if node is None:
                return 0
        return line


@functools.lru_cache(maxsize=512)  # several gates judge one file, and several overlays share a base
def parse(text: str, label: str) -> tuple[Document, ...]:
    """Every document of a YAML text that isn't null. Raises Unreadable with the line of the first defect."""
    yaml = _yaml()
    _refuse_depth(yaml, text, label)
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        try:
            return tuple(_documents(loader, label))
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise _unreadable(error, label) from None


def parse_json(text: str, label: str) -> tuple[Document, ...]:
    """The document of a JSON text. Raises Unreadable, also for two equal keys."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen = dict(pairs)
        if len(seen) != len(pairs):
            raise ValueError(f"two equal keys among {', '.join(sorted(seen))}")
        return seen

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 0)
        raise Unreadable(f"is not valid JSON: {error}", label, line, remedy="mend its syntax") from None
    if _depth(value) > DEEPEST:
        raise Unreadable(f"nests deeper than {DEEPEST} levels", label)
    return (Document(label, 1, value),)


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
        ]
    return depth


def _documents(loader: Any, label: str) -> Iterator[Document]:
    while loader.check_node():
        node = loader.get_node()
        _check(node, label)
        value = loader.construct_document(node)
        if value is not None:
            yield Document(label, node.start_mark.line + 1, value, node)


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise NotMeasured(f"YAML can't be read: {error}", remedy=EXTRA.format("infra")) from None
    return yaml


def _refuse_depth(yaml: Any, text: str, label: str) -> None:
    """Count on the flat stream of events, before anything recursive sees the text."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise Unreadable(f"nests deeper than {DEEPEST} levels", label, event.start_mark.line + 1)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _unreadable(error, label) from None


def _check(document: Any, label: str) -> None:
    """Refuse equal keys, aliases into themselves, and expansions beyond `LARGEST`."""
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        if id(node) in sizes:
            if sizes[id(node)] == 0:
                raise Unreadable("an alias leads back into itself", label, node.start_mark.line + 1)
            return sizes[id(node)]
        sizes[id(node)] = 0
        if node.id == "mapping":
            _refuse_equal_keys(node, label)
            children = [each for pair in node.value for each in pair]
        else:
            children = node.value if node.id == "sequence" else []
        sizes[id(node)] = 1 + sum(size(child) for child in children)
        if sizes[id(node)] > LARGEST:
            raise Unreadable(f"expands to more than {LARGEST:,} nodes", label, node.start_mark.line + 1)
        return sizes[id(node)]

    size(document)


def _refuse_equal_keys(node: Any, label: str) -> None:
    seen: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if key.id != "scalar":
            continue
        line, identity = key.start_mark.line + 1, (key.tag, key.value)
        if identity in seen:
            message = f"the key {key.value!r} stands twice, first in line {seen[identity]}; the last would win unseen"
            raise Unreadable(message, label, line, remedy="keep one of them")
        seen[identity] = line


def _child(node: Any, key: object) -> tuple[Any, int]:
    if node is not None and node.id == "mapping":
        for name, value in node.value:
            if name.value == key:
                return value, name.start_mark.line + 1
    if node is not None and node.id == "sequence" and isinstance(key, tuple):
        return next(((each, each.start_mark.line + 1) for each in node.value if _holds(each, *key)), (None, 0))
    if node is not None and node.id == "sequence" and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key].start_mark.line + 1
    return None, 0


def _holds(node: Any, field: str, value: object) -> bool:
    child = _child(node, field)[0]
    return child is not None and child.value == value


def _unreadable(error: Exception, label: str) -> Unreadable:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or str(error).partition("\n")[0] or type(error).__name__
    return Unreadable(f"is not valid YAML: {said}", label, mark.line + 1 if mark else 0, remedy="mend its syntax")
