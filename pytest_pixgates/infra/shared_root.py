"""Validates many stacks for the price of one: a generated root that calls each of them as a child module.

Terraform loads a provider's schema (some 600 MB for AWS) for every root that it validates, which is nearly all of the
time. Here it does so once for all stacks that lock the same providers. Only what means the same in a child module as in
a root takes part; a stack with an error is left to be judged by itself, so that it gets Terraform's own diagnostics.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_pixgates.infra import hcl

LOCK = ".terraform.lock.hcl"
_STACKS = "stacks"
# Of these a child module's mean the same as a root's.
_KINDS = frozenset({"terraform", "provider", "variable", "locals", "output", "resource", "data", "module", "moved"})
# What Terraform checks of a root only: that no output tells a sensitive value. And what only a caller can give.
_ROOT_ONLY = re.compile(r"\b(?:sensitive|ephemeral|configuration_aliases|provider_meta)\b")

Validate = Callable[[Path], Mapping[str, Any] | None]


def groups(stacks: Mapping[Path, hcl.Stack]) -> list[list[Path]]:
    """The stacks that may share a root, by what they lock; each group has at least two."""
    found: dict[str, list[Path]] = {}
    for folder, stack in stacks.items():
        if _means_the_same(stack):
            lock = folder / LOCK
            digest = hashlib.sha256(lock.read_bytes()).hexdigest() if lock.exists() else ""
            found.setdefault(digest, []).append(folder)
    return [folders for folders in found.values() if len(folders) > 1]


def validate(
    stacks: Mapping[Path, hcl.Stack], root: Path, scratch: Path, run: Validate
) -> dict[Path, list[dict[str, Any]]]:
    """The diagnostics of each stack that has no error, their file names relative to `root`.

    `run` gives what `terraform validate -json` says of a folder, None if it could not. Stacks that are not in the
    result must be judged by themselves.
    """
    remaining = dict(stacks)
    for attempt in range(len(stacks)):
        if len(remaining) < 2:
            break
        folder = scratch / str(attempt)
        _write(remaining, root, folder)
        if (report := run(folder)) is None:
            break
        diagnostics = [dict(each) for each in report["diagnostics"]]
        wrong = {path for each in diagnostics if each["severity"] == "error" for path in _owners(each, remaining, root)}
        if report["valid"] is True:
            return {path: list(_of(diagnostics, stack, root)) for path, stack in remaining.items()}
        if not wrong:  # an error of nobody's: of the root itself, which nothing here can explain
            break
        remaining = {path: stack for path, stack in remaining.items() if path not in wrong}
    return {}


def _means_the_same(stack: hcl.Stack) -> bool:
    return (
        not stack.problems
        and not stack.external
        and not any(
            _ROOT_ONLY.search(source.text) or {block.kind for block in source.blocks} - _KINDS
            for source in stack.sources
            if source.path.suffix == ".tf"
        )
    )


def _write(stacks: Mapping[Path, hcl.Stack], root: Path, folder: Path) -> None:
    """Make the root in `folder`, with copies of all that its stacks can read, laid out as in the repository."""
    calls, variables = dict[str, dict[str, str]](), dict[str, dict[str, str]]()
    for judged in dict.fromkeys(judged for stack in stacks.values() for judged in stack.judged):
        _copy(judged, folder / _STACKS / judged.relative_to(root))
    for number, (path, stack) in enumerate(stacks.items()):
        for source in stack.own:
            copy = folder / _STACKS / source.path.relative_to(root)
            copy.write_text(hcl.without(source.text, "terraform", ("backend", "cloud")), encoding="utf-8")
        required = [name for name, default in _variables(stack) if not default]
        calls[f"s{number}"] = {
            "source": f"./{_STACKS}/{path.relative_to(root).as_posix()}",
            **{name: f"${{var.s{number}_{name}}}" for name in required},
        }
        variables |= {f"s{number}_{name}": {"type": "any"} for name in required}
    (folder / "main.tf.json").write_text(json.dumps({"module": calls, "variable": variables}), encoding="utf-8")
    if (lock := next(iter(stacks)) / LOCK).exists():
        shutil.copyfile(lock, folder / LOCK)


def _copy(source: Path, target: Path) -> None:
    if source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    else:
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".terraform", ".git"))


def _variables(stack: hcl.Stack) -> Iterator[tuple[str, bool]]:
    for source in stack.own:
        for block in source.blocks:
            if block.kind == "variable" and block.labels:
                yield block.labels[0], "default" in block.attributes


def _owners(diagnostic: Mapping[str, Any], stacks: Mapping[Path, hcl.Stack], root: Path) -> list[Path]:
    path = _place(diagnostic, root)
    return [each for each, stack in stacks.items() if path is not None and path.parent in stack.folders]


def _of(diagnostics: Iterable[dict[str, Any]], stack: hcl.Stack, root: Path) -> Iterator[dict[str, Any]]:
    """Those that stand in a file of the stack or of a module that it reaches, as Terraform would place them there."""
    for each in diagnostics:
        if (path := _place(each, root)) is not None and path.parent in stack.folders:
            yield {**each, "range": {**each["range"], "filename": str(path)}}


def _place(diagnostic: Mapping[str, Any], root: Path) -> Path | None:
    """The file of the repository that the diagnostic is about."""
    name = str((diagnostic.get("range") or {}).get("filename", ""))
    return root / name.removeprefix(f"{_STACKS}/") if name.startswith(f"{_STACKS}/") else None
