"""Kubernetes manifests: what an overlay renders, held against the schemas of each version that it is to run on.

A validator accepts two equal keys, an empty file and a `List` full of nonsense; those end here before it is asked.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pixgates.core import sources
from pytest_pixgates.core.documents import Document
from pytest_pixgates.core.errors import EXTRA, NotMeasured
from pytest_pixgates.core.scan import Finding, Problem, Scan, ToolUse
from pytest_pixgates.core.tools import Tool
from pytest_pixgates.infra import invocation, kustomize

NAME = "kubernetes"


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """`kubectl kustomize` and the schemas of `versions`. `timeout` is in seconds."""

    tool: Tool
    root: Path
    versions: tuple[str, ...]
    timeout: float = 600.0

    def scan(self, folder: Path, expect: Sequence[str] = ()) -> Scan:
        """Judge what `folder` renders; it must hold the objects (Kind/name) of `expect`. Raises NotMeasured."""
        target, overlay = sources.name(folder, self.root), kustomize.load(folder, self.root)
        subjects = sources.trees(overlay.folders, self.root)
        if overlay.problems:
            return Scan(NAME, target, problems=overlay.problems, subjects=subjects)
        rendered = kustomize.render(self.tool, folder, timeout=self.timeout)
        label = f"{target} (rendered)"
        try:
            objects = kustomize.parse(rendered, label)
        except sources.Unreadable as error:
            return Scan(NAME, target, problems=(error.problem,), subjects=subjects)
        findings, problems = validate(objects, self.versions, overlay)
        return Scan(
            NAME,
            target,
            scanned={"files": len(overlay.texts), "objects": len(objects)},
            findings=(*findings, *missing(objects, expect, overlay)),
            problems=problems,
            tools=(self._kubectl(folder), ToolUse.library("kubernetes-validate", "strict", *self.versions)),
            subjects=(*subjects, kustomize.subject(rendered, label)),
        )

    def _kubectl(self, folder: Path) -> ToolUse:
        return invocation.used(self.tool, self.root, kustomize.command(self.tool, folder))


def validate(
    objects: Sequence[Document], versions: Sequence[str], overlay: kustomize.Overlay
) -> tuple[tuple[Finding, ...], tuple[Problem, ...]]:
    """Hold each object against the strict schema of each version."""
    _refuse_unknown(versions)
    library, broken, problems = _library(), dict[tuple[str, ...], list[str]](), dict[str, Problem]()
    places = dict[tuple[str, ...], tuple[str, int]]()
    for each in objects:
        for version in versions:
            try:
                library.validate(each.value, version, strict=True)
            except library.ValidationError as error:
                message, keys = explain(error, secret=each.kind == "Secret")
                key = (each.label, message)
                broken.setdefault(key, []).append(version)
                places[key] = overlay.where(each.kind, each.name, keys)
            except Exception as error:  # whatever the library trips over, the object was not judged
                path, line = overlay.where(each.kind, each.name)
                problem = _unjudged(each, version, error, path, line)
                problems.setdefault(problem.message, problem)
    findings = tuple(
        Finding(
            "kubernetes-schema",
            f"{message} (Kubernetes {', '.join(broken[label, message])})",
            *places[label, message],
            resource=label,
            fix="correct the field; the API server would refuse or drop it",
        )
        for label, message in broken
    )
    return findings, tuple(problems.values())


def explain(error: Any, *, secret: bool = False) -> tuple[str, tuple[object, ...]]:
    """A validation error as text, and the keys of the value that it is about; the value of a secret is not told."""
    keys, message = tuple(error.absolute_path), str(error.message)
    unknown = re.match(r"Additional properties are not allowed \((.*) (?:was|were) unexpected\)", message)
    if not unknown and secret:
        return f"{_dotted(keys)}: does not fit the schema (its value is not shown)", keys
    if not unknown:
        return f"{_dotted(keys)}: {message[:300]}", keys
    names = re.findall(r"'([^']+)'", unknown[1])
    nearest = difflib.get_close_matches(names[0], _properties(error.schema), n=1) if names else []
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return f"{_dotted(keys)}: unknown field {', '.join(map(repr, names))}{hint}", (*keys, *names[:1])


def missing(objects: Sequence[Document], expect: Sequence[str], overlay: kustomize.Overlay) -> Iterator[Finding]:
    """A finding for each object of `expect` that was not rendered."""
    labels = {each.label for each in objects}
    path = overlay.texts[0][0]
    for label in expect:
        if label not in labels:
            kind = label.partition("/")[0]
            near = ", ".join(sorted(each for each in labels if each.startswith(f"{kind}/"))) or f"no {kind}"
            fix = "add it, or correct kubernetes_expect in the policy"
            yield Finding("kubernetes-expect", f"does not render {label}; it has {near}", path, resource=label, fix=fix)


def _unjudged(each: Document, version: str, error: Exception, path: str, line: int) -> Problem:
    if type(error).__name__ == "SchemaNotFoundError":
        api = each.value.get("apiVersion")
        message = f"{each.label}: Kubernetes {version} has no schema of {each.kind} in {api}"
        return Problem(message, path, line, "correct apiVersion or kind; custom resources can't be judged here")
    text = "" if each.kind == "Secret" else getattr(error, "message", None) or str(error)
    said = text or type(error).__name__
    return Problem(f"{each.label}: not judged for Kubernetes {version}: {said}", path, line)


def _refuse_unknown(versions: Sequence[str]) -> None:
    # The library would take the nearest older one without a word.
    library = _library()
    known = [library.utils.major_minor(each) for each in library.utils.all_versions()]
    if unknown := [each for each in versions if each not in known]:
        raise NotMeasured(
            f"no schemas of Kubernetes {', '.join(unknown)} here",
            remedy=f"in kubernetes_versions, name some of {known[0]} to {known[-1]}, or update kubernetes-validate",
        )


def _library() -> Any:
    try:
        import kubernetes_validate  # type: ignore[import-untyped]
    except ImportError as error:
        raise NotMeasured(f"Kubernetes objects can't be judged: {error}", remedy=EXTRA.format("infra")) from None
    return kubernetes_validate


def _properties(schema: Any) -> list[str]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return list(properties) if isinstance(properties, dict) else []


def _dotted(keys: Sequence[object]) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return text.lstrip(".") or "object"
