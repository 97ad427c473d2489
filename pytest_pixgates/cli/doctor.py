"""`pixgates doctor`: says what this machine lacks for the gates, and the command that mends each thing."""

from __future__ import annotations

import argparse
import importlib.util
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_pixgates.cli import inputs
from pytest_pixgates.cli.arguments import add_config, policy_if_any
from pytest_pixgates.cli.inputs import Check
from pytest_pixgates.cli.needs import tools_of
from pytest_pixgates.core import environ
from pytest_pixgates.core.errors import PixgatesError, PolicyError
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.process import run
from pytest_pixgates.core.tools import (
    GO,
    JUDGES,
    ToolSpec,
    cache_directory,
    find,
    tool_directory,
)

if TYPE_CHECKING:
    from pytest_pixgates.cli.arguments import Subparsers
    from pytest_pixgates.infra.policy import InfraPolicy

_OLDEST_PYTHON = (3, 11)


def add_parser(subparsers: Subparsers) -> None:
    """Register `doctor`."""
    doctor = subparsers.add_parser(
        "doctor",
        help="say what this machine lacks, and how to mend it",
        epilog="exit code: 0 all that is needed is there, 1 something is missing, 4 asked wrongly",
    )
    add_config(doctor)
    doctor.set_defaults(run=run_doctor)


def run_doctor(args: argparse.Namespace) -> int:
    """Print every check. 0 if all that is required is there."""
    missing = 0
    for check in checks(args):
        missing += check.state == "missing"
        sys.stdout.write(f"{check.state:<8} {check.what:<22} {check.detail}\n")
        if check.fix:
            sys.stdout.write(f"{'':<8} fix: {check.fix}\n")
    sys.stdout.write(f"{missing} required missing\n" if missing else "everything required is there\n")
    return 1 if missing else 0


def checks(args: argparse.Namespace) -> Iterator[Check]:
    """Each thing that the gates lean on, in the order in which one would mend it."""
    yield _python()
    yield _environments()
    check, reviewed, infra = _policy(args)
    yield check
    with_baseline = reviewed is not None and reviewed.baseline is not None
    yield _command("git", "knows what the baseline was before a change" if with_baseline else "")
    yield _command("make")
    required = tools_of(reviewed, infra)
    for spec in JUDGES:
        yield _tool(spec, reviewed, required=spec in required)
    yield _tool(GO, reviewed, required=False, use="; only builds tflint")
    root = reviewed.root if reviewed else Path.cwd()
    if infra is not None:
        yield from inputs.infra(infra, root)
        yield _terraform_mirror(infra, root)
    if reviewed is not None:
        yield from _families(reviewed)
        yield from inputs.evidence(reviewed)
    yield _writable("tool directory", tool_directory(), "PIXGATES_TOOL_DIR")
    yield _writable("cache directory", cache_directory(), "PIXGATES_CACHE_DIR")


def _families(reviewed: Policy) -> Iterator[Check]:
    """What the other families of the policy need; a section that is odd is told as such."""
    from pytest_pixgates.data_contract.policy import DataContractPolicy
    from pytest_pixgates.latency.policy import LatencyPolicy
    from pytest_pixgates.model_gate.policy import ModelGatePolicy

    known: dict[str, tuple[type, Any]] = {
        "data_contract": (DataContractPolicy, inputs.data_contract),
        "model_gate": (ModelGatePolicy, inputs.model_gate),
        "latency": (LatencyPolicy, inputs.latency),
    }
    for name, (kind, needs) in known.items():
        if name in reviewed.sections:
            try:
                settings = reviewed.settings(name, kind)
            except PolicyError as error:
                yield Check(f"[{name}]", error.message, error.remedy or "correct it")
            else:
                yield from needs(settings, reviewed.root)


def _policy(args: argparse.Namespace) -> tuple[Check, Policy | None, InfraPolicy | None]:
    """The policy as far as it can be read, and what it says of `infra`; None if it has no such section."""
    from pytest_pixgates.infra.policy import InfraPolicy

    name = "policy"
    try:
        reviewed = policy_if_any(args)
        if reviewed is None:
            absent = f"no {environ.POLICY} here or above, so the tools of [infra] are looked for"
            return Check(name, absent), None, InfraPolicy()
        infra = reviewed.settings("infra", InfraPolicy) if "infra" in reviewed.sections else None
    except PolicyError as error:
        return Check(name, error.message, error.remedy or "correct it"), None, InfraPolicy()
    return Check(name, str(reviewed.path)), reviewed, infra


def _python() -> Check:
    wanted = ".".join(map(str, _OLDEST_PYTHON))
    fix = "" if sys.version_info >= _OLDEST_PYTHON else f"install Python {wanted} or newer"
    return Check("python", f"{platform.python_version()} ({sys.executable}), supported: >={wanted}", fix)


def _environments() -> Check:
    there = all(importlib.util.find_spec(module) for module in ("venv", "ensurepip"))
    return Check("venv", "makes the tools' own environments", "" if there else "apt install python3-venv")


def _command(name: str, needed: str = "") -> Check:
    path = shutil.which(name)
    if path is None:
        fix = f"apt install {name}, or your system's package of that name"
        return Check(name, f"not on PATH; {needed or 'no gate needs it'}", fix, required=bool(needed))
    try:
        done = run([path, "--version"], cwd=Path(path).parent, timeout=30)
    except PixgatesError as error:
        return Check(name, error.message, f"mend {path}", required=bool(needed))
    version = (done.stdout.splitlines() or ["?"])[0]
    return Check(name, f"{version} ({path})", "" if done.returncode == 0 else f"mend {path}", bool(needed))


def _tool(spec: ToolSpec, reviewed: Policy | None, *, required: bool, use: str = "") -> Check:
    needed = f"supported: {spec.supported}{use}"
    try:
        tool = find(spec, configured=reviewed.tool_path(spec.name) if reviewed else None)
    except PixgatesError as error:
        return Check(spec.name, f"{error.message}; {needed}", error.remedy or spec.install, required)
    return Check(spec.name, f"{tool.version} ({tool.path}), {needed}")


def _writable(what: str, directory: Path, variable: str) -> Check:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return Check(what, str(directory))
    except OSError as error:
        return Check(what, f"{directory}: {error.strerror}", f"set {variable} to a folder that can be written")


def _terraform_mirror(infra: InfraPolicy, root: Path) -> Check:
    from pytest_pixgates.infra.terraform import mirror_configuration

    what, mirror = "terraform mirror", infra.mirror(root)
    if mirror is None:
        return Check(what, f"{environ.TERRAFORM_MIRROR} is not set: Terraform gets its providers as usual")
    try:
        mirror_configuration(mirror)
    except PixgatesError as error:
        return Check(what, error.message, error.remedy)
    return Check(what, str(mirror))
