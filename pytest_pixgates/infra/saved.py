"""A plan that was saved: what `terraform plan -out` wrote into its stack, or `terraform show -json` of it.

Several tools judge one plan; all read it here, and as JSON that the real terraform made.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_pixgates.core import files, sources
from pytest_pixgates.core.errors import ToolError
from pytest_pixgates.core.process import run
from pytest_pixgates.core.scan import Problem, ToolUse
from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.core.tools import Tool
from pytest_pixgates.infra import hcl, invocation

LARGEST = 64 * 2**20
"""The largest plan in bytes."""

_HEAD = re.compile(rb'\s*\{\s*"format_version"\s*:\s*"[^"]*"\s*,\s*"terraform_version"')
_KEY = re.compile(r"\[(?:\"(?:[^\"\\]|\\.)*\"|\d+)\]")  # of one instance among several


def is_plan(path: Path) -> bool:
    """Whether the file looks like a saved plan, in either form. Raises OSError."""
    if not path.is_file():
        return False
    with files.regular(path) as (file, _):
        return bool(_HEAD.match(head := file.read(200))) or (head[:2] == b"PK" and path.suffix != ".zip")


def is_binary(path: Path) -> bool:
    """Whether terraform must show it first. Raises OSError."""
    with files.regular(path) as (file, _):
        return file.read(2) == b"PK"


@dataclass(frozen=True, slots=True)
class Saved:
    """A plan as JSON: `text` and what it holds, and the tool that showed it."""

    text: str
    data: dict[str, Any]
    used: tuple[ToolUse, ...] = ()


def read(file: Path, root: Path, find: Callable[[], Tool], timeout: float) -> Saved:
    """The plan in `file`; `find` gives terraform, for one that is not JSON yet. Raises NotMeasured, OSError."""
    label = sources.name(file, root)
    if not file.is_file():
        raise Unreadable("is not a file", label, remedy="save a plan there: terraform plan -out")
    if file.stat().st_size > LARGEST:
        raise Unreadable(f"has more than {LARGEST:,} bytes", label, remedy="plan less at once")
    content, used = file.read_bytes(), tuple[ToolUse, ...]()
    try:
        if content[:2] == b"PK":
            text, used = _shown(file, root, find(), timeout)
        else:
            text = content.decode()
        data = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        fix = "write it with `terraform show -json`, or name what `terraform plan -out` wrote"
        raise Unreadable("is no plan that can be read", label, remedy=fix) from None
    if not isinstance(data, dict):
        raise Unreadable("is JSON, but no plan", label, remedy="write it with `terraform show -json`")
    return Saved(text, data, used)


def resources(data: Mapping[str, Any]) -> int:
    """How many resources there will be. Raises Unreadable for what Terraform would not write."""
    try:
        return _managed(data["planned_values"].get("root_module", {}))
    except (KeyError, TypeError, AttributeError, RecursionError):
        raise Unreadable("says nothing of what is planned", "", remedy="plan again") from None


def _managed(module: Mapping[str, Any]) -> int:
    own = len([each for each in module.get("resources", ()) if each["mode"] == "managed"])
    return own + sum(map(_managed, module.get("child_modules", ())))


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _shown(file: Path, root: Path, tool: Tool, timeout: float) -> tuple[str, tuple[ToolUse, ...]]:
    argv = (tool.path, "show", "-json", "-no-color", file.name)
    env = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    done = run(argv, cwd=file.parent, timeout=timeout, env=env, max_output=LARGEST)
    if done.returncode:
        raise ToolError(f"terraform show failed: {done.tail(5)}", remedy="keep the plan in its initialised stack")
    return done.stdout, (invocation.used(tool, root, argv),)


@dataclass(frozen=True, slots=True)
class Declared:
    """What a plan was made from, which it holds itself: `digests` of its sources by name, and where in them each
    resource is declared. `problems` if that can't be read.
    """

    label: str
    places: Mapping[tuple[str, str], tuple[str, int]] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, file: Path, root: Path) -> Declared:
        """From a plan in the binary form; for any other nothing is known but the plan."""
        label = sources.name(file, root)
        try:
            return cls._held(file, label) if is_binary(file) else cls(label)
        except (OSError, ValueError, KeyError, TypeError, NotImplementedError, RuntimeError, zipfile.BadZipFile):
            problem = Problem("does not say what it was made from", label, fix="plan again, with Terraform 1.x")
            return cls(label, problems=(problem,))

    @classmethod
    def _held(cls, file: Path, label: str) -> Declared:
        places, digests = dict[tuple[str, str], tuple[str, int]](), dict[str, str]()
        with zipfile.ZipFile(file) as archive:
            modules = json.loads(_member(archive, "tfconfig/modules.json"))
            folders = {each["Key"]: posixpath.join(posixpath.dirname(label), each["Dir"]) for each in modules}
            for name in archive.namelist():
                key, _, source = name.removeprefix("tfconfig/m-").partition("/")
                if name.startswith("tfconfig/m-") and source.endswith((".tf", ".tf.json")):
                    where = posixpath.normpath(posixpath.join(folders[key], source))
                    content = _member(archive, name)
                    digests[where] = hashlib.sha256(content).hexdigest()
                    places |= _resources(key, where, content.decode()) if source.endswith(".tf") else {}
        if not digests:
            raise ValueError("no source")
        return cls(label, places, digests)

    def made_from(self, root: Path) -> tuple[Path, ...]:
        """All that terraform could read for it: whole folders, for values, templates and what git ignores count."""
        if not self.digests:
            return ()
        stack = hcl.load(root / posixpath.dirname(self.label), root)
        sources_of_it = (root / name for name in self.digests)
        return (*stack.judged, *(path for path in sources_of_it if path.parent not in stack.folders))

    def changed(self, root: Path) -> Iterator[Problem]:
        """The sources that are not here as they were when it was planned, so that nobody could review them here."""
        for where, digest in self.digests.items():
            path = root / where
            if not (sources.inside(path, root) and path.is_file() and files.sha256(path) == digest):
                yield Problem("is not what the plan was made from", where, fix=f"plan again: {self.label}")

    def place(self, address: str) -> tuple[str, int]:
        """File and line of the resource at `address`, such as `module.storage.aws_s3_bucket.this["data"]`."""
        parts = _KEY.sub("", address).split(".")
        module = list[str]()
        while len(parts) > 2 and parts[0] == "module":
            module, parts = [*module, parts[1]], parts[2:]
        return self.places.get((".".join(module), ".".join(parts[:2])), (self.label, 0))


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if (size := archive.getinfo(name).file_size) > sources.LARGEST:
        raise ValueError(f"{name} has {size:,} bytes")
    return archive.read(name)


def _resources(module: str, where: str, text: str) -> dict[tuple[str, str], tuple[str, int]]:
    try:
        blocks = hcl.parse(text, where)
    except Unreadable:
        return {}
    kinds = [each for each in blocks if each.kind == "resource" and len(each.labels) == 2]
    # What an override file says again is declared elsewhere.
    found = {} if where.endswith("override.tf") else {(module, ".".join(each.labels)): each.line for each in kinds}
    return {key: (where, line) for key, line in found.items()}
