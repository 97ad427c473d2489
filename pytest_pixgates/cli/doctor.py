"""`pixgates doctor`: says what this machine lacks for the gates, and the command that mends each thing."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.process import run
from pytest_pixgates.core.tools import GO, JUDGES, ToolSpec, cache_directory, find, tool_directory

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_OLDEST_PYTHON = (3, 11)
_INFRA_MODULES = ("yaml", "kubernetes_validate", "tree_sitter", "tree_sitter_hcl")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report. Without `fix` the thing is there."""

    what: str
    detail: str
    fix: str = ""
    required: bool = True

    @property
    def state(self) -> str:
        """ok, missing, or optional for what is missing and may be."""
        if not self.fix:
            return "ok"
        return "missing" if self.required else "optional"


def add_parser(subparsers: Subparsers) -> None:
    """Register `doctor`."""
    doctor = subparsers.add_parser("doctor", help="say what this machine lacks, and how to mend it")
    doctor.set_defaults(run=run_doctor)


def run_doctor(args: argparse.Namespace) -> int:  # noqa: ARG001 - every command is called alike
    """Print every check. 0 if all that is required is there."""
    missing = 0
    for check in checks():
        missing += check.state == "missing"
        sys.stdout.write(f"{check.state:<8} {check.what:<22} {check.detail}\n")
        if check.fix:
            sys.stdout.write(f"{'':<8} fix: {check.fix}\n")
    sys.stdout.write(f"{missing} required missing\n" if missing else "everything required is there\n")
    return 1 if missing else 0


def checks() -> Iterator[Check]:
    """Each thing that the gates lean on, in the order in which one would mend it."""
    yield _python()
    yield _environments()
    yield _command("git", required=True)
    yield _command("make", required=True)
    yield from (_tool(spec, required=True) for spec in JUDGES)
    yield _tool(GO, required=False)
    yield from (_module(name) for name in _INFRA_MODULES)
    yield _writable("tool directory", tool_directory(), "PIXGATES_TOOL_DIR")
    yield _writable("cache directory", cache_directory(), "PIXGATES_CACHE_DIR")
    yield _terraform_mirror()


def _python() -> Check:
    wanted = ".".join(map(str, _OLDEST_PYTHON))
    fix = "" if sys.version_info >= _OLDEST_PYTHON else f"install Python {wanted} or newer"
    return Check("python", f"{platform.python_version()} ({sys.executable}), supported: >={wanted}", fix)


def _environments() -> Check:
    there = all(importlib.util.find_spec(module) for module in ("venv", "ensurepip"))
    return Check("venv", "makes the tools' own environments", "" if there else "apt install python3-venv")


def _command(name: str, *, required: bool) -> Check:
    path = shutil.which(name)
    if path is None:
        return Check(name, "not on PATH", f"apt install {name}, or your system's package of that name", required)
    try:
        done = run([path, "--version"], cwd=Path(path).parent, timeout=30)
    except PixgatesError as error:
        return Check(name, error.message, f"mend {path}", required)
    version = (done.stdout.splitlines() or ["?"])[0]
    return Check(name, f"{version} ({path})", "" if done.returncode == 0 else f"mend {path}", required)


def _tool(spec: ToolSpec, *, required: bool) -> Check:
    needed = f"supported: {spec.supported}" + ("" if required else "; only builds tflint")
    try:
        tool = find(spec)
    except PixgatesError as error:
        return Check(spec.name, f"{error.message}; {needed}", error.remedy or spec.install, required)
    return Check(spec.name, f"{tool.version} ({tool.path}), {needed}")


def _module(name: str) -> Check:
    fix = "" if importlib.util.find_spec(name) else "pip install 'pytest-pixgates[infra]'"
    return Check(f"module {name}", "for -m infra", fix)


def _writable(what: str, directory: Path, variable: str) -> Check:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return Check(what, str(directory))
    except OSError as error:
        return Check(what, f"{directory}: {error.strerror}", f"set {variable} to a folder that can be written")


def _terraform_mirror() -> Check:
    named = os.environ.get("PIXGATES_TF_MIRROR")
    if not named:
        return Check("terraform mirror", "PIXGATES_TF_MIRROR is not set: Terraform gets its providers as usual")
    fix = "" if Path(named).is_dir() else "set PIXGATES_TF_MIRROR to an existing folder, or unset it"
    return Check("terraform mirror", named, fix)
