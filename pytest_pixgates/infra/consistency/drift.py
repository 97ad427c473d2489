"""Overlays of several environments: they render the same objects, and differ in the fields that the policy allows."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from pytest_pixgates.core.documents import Document
from pytest_pixgates.core.scan import Finding
from pytest_pixgates.infra.consistency.rule import AnyRule, Files
from pytest_pixgates.infra.consistency.sets import Sources
from pytest_pixgates.infra.consistency.world import World

Keys = tuple[object, ...]
Field = tuple[Keys, Any]
_MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: fraud-dev}
spec:
  replicas: 2
  template:
    spec:
      containers:
        - name: web
          readinessProbe: {periodSeconds: 5}
"""
_PROD = _MANIFEST.replace("dev", "prod").replace("replicas: 2", "replicas: 6")
_GENERATED = re.compile(r"-[0-9a-z]{10}$")


@dataclass(frozen=True, eq=False)
class Side:
    """One overlay's objects by what they are called in every environment, and their fields."""

    name: str
    world: World

    def objects(self) -> dict[str, Document]:
        found: dict[str, Document] = {}
        for each in self.world.objects:
            name = f"{each.kind}/{self.plain(each.name)}"
            twin = name in found  # the same name in another namespace
            found[f"{name} in {each.value['metadata'].get('namespace')}" if twin else name] = each
        return found

    def fields(self, document: Document) -> dict[str, Field]:
        """Each field by its dotted name, with the keys that lead to it and its value."""
        return {dotted: (keys, value) for dotted, keys, value in _fields(document.value)}

    def plain(self, value: Any) -> Any:
        """`value` without what the environment's own name and the hash of a generated object make of it."""
        if not isinstance(value, str):
            return value
        if value in self._generated:
            value = _GENERATED.sub("", value)
        return re.sub(rf"(?<![a-z0-9]){re.escape(self.name)}(?![a-z0-9])", "<environment>", value)

    @property
    def _generated(self) -> set[str]:
        return {each.name for each in self.world.objects if each.kind in ("ConfigMap", "Secret")}

    def where(self, document: Document, keys: Keys = (), value: Any = None) -> tuple[str, int]:
        """Where the field is written; in an inline patch, which names no object, by its text."""
        place = self.world.overlay.where(document.kind, document.name, keys)
        lines = {
            (path, number): line
            for path, text in self.world.overlay.texts
            for number, line in enumerate(text.splitlines(), start=1)
        }
        if isinstance(value, str) and len(value) > 5 and value not in lines.get(place, ""):
            return next((other for other, line in lines.items() if value in line), place)
        return place


@dataclass(frozen=True, eq=False)
class Drifting:
    """One overlay beside that of the last environment, and the patterns of fields that may differ."""

    here: Side
    there: Side
    allowed: tuple[str, ...]

    def may(self, field: str) -> bool:
        return any(fnmatch.fnmatchcase(field, pattern) for pattern in self.allowed)


class Drift(AnyRule[Sources, Drifting]):
    name = "k8s-drift"
    summary = "The overlays of all environments differ in the fields that the policy allows, and in no other."
    why = "A probe that was relaxed in dev alone makes dev a test of something else than prod."
    fix = 'move it to the base, or allow the field in `drift` ("Deployment/*.spec.replicas")'
    passing: ClassVar[Files] = {"k8s/dev/manifest.yaml": _MANIFEST, "k8s/prod/manifest.yaml": _PROD}
    failing: ClassVar[Files] = {
        **passing,
        "k8s/prod/manifest.yaml": _PROD.replace("periodSeconds: 5", "periodSeconds: 60"),
    }

    def subjects(self, world: Sources) -> Iterable[Drifting]:
        for environment in world.environments[:-1]:
            last = world.environments[-1]
            for here, there in zip(environment.overlays, last.overlays, strict=False):
                yield Drifting(Side(environment.name, here), Side(last.name, there), world.drift)

    def judge(self, subject: Drifting) -> Iterator[Finding]:
        mine, theirs = subject.here.objects(), subject.there.objects()
        for name in sorted({*mine, *theirs}):
            here, there = mine.get(name), theirs.get(name)
            if here is not None and there is not None:
                yield from self._fields(subject, name, here, there)
            elif not subject.may(name):
                side, document = (subject.here, here) if here else (subject.there, there)
                other = subject.there if here else subject.here
                if document is not None:
                    message = f"{name} is rendered for {side.name}, not by {other.world.overlay.texts[0][0]}:1"
                    yield self.at(*side.where(document), message, name)

    def _fields(self, subject: Drifting, name: str, here: Document, there: Document) -> Iterator[Finding]:
        mine, theirs = subject.here.fields(here), subject.there.fields(there)
        for field in sorted({*mine, *theirs}):
            one, other = mine.get(field), theirs.get(field)
            same = one and other and subject.here.plain(one[1]) == subject.there.plain(other[1])
            if same or subject.may(f"{name}.{field}"):
                continue
            keys = (one or theirs[field])[0]
            path, line = subject.here.where(here, *(one or (keys,)))
            elsewhere, at = subject.there.where(there, *(other or (keys,)))
            said, differently = (repr(each[1]) if each else "not set" for each in (one, other))
            message = f"{name}: {field} is {said} for {subject.here.name}, {differently} at {elsewhere}:{at}"
            yield self.at(path, line, message, f"{subject.here.name}: {name}.{field}")


def _fields(value: Any, keys: Keys = (), dotted: str = "") -> Iterator[tuple[str, Keys, Any]]:
    if isinstance(value, dict) and value:
        entries: Iterable[tuple[object, Any]] = value.items()
    elif isinstance(value, list) and value:
        named = len({each["name"] for each in value if _named(each)}) == len(value)
        entries = ((("name", each["name"]) if named else index, each) for index, each in enumerate(value))
    else:
        yield dotted, keys, value
        return
    for key, child in entries:
        name = key[1] if isinstance(key, tuple) else key
        yield from _fields(child, (*keys, key), f"{dotted}.{name}" if dotted else str(name))


def _named(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str)
