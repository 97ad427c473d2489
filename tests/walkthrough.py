"""Walks through an example as an outsider does: a fresh environment, the built wheel, the commands of its README."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_pixgates.core.errors import NotMeasured

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
NAMES = tuple(sorted(path.parent.name for path in EXAMPLES.glob("*/README.md")))
LONGEST = 600  # seconds of one command
_BLOCK = re.compile(r"<!-- run(?:: (?P<code>\d+))? -->\n```console\n(?P<text>.*?)```", re.DOTALL)
# What this process was started with must not reach the outsider; what tells where registries are must.
_DROPPED = ("PYTEST", "PIXGATES_RUN_ID", "PIXGATES_REPORT", "COV_", "VIRTUAL_ENV", "UV_", "PYTHONPATH", "CI", "GITHUB_")


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a README, how it must end, and lines that it must print."""

    text: str
    code: int
    shown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """A command that was run; `cpu` are its processor seconds."""

    command: Command
    code: int
    output: str
    seconds: float
    cpu: float = 0.0

    @property
    def missing(self) -> list[str]:
        """Lines that the README shows and that were not printed, whatever their times and versions."""
        printed = _stable(self.output)
        return [line for line in self.command.shown if _stable(line) not in printed]

    def problem(self) -> str:
        """What is not as the README says, or ""."""
        if self.code == self.command.code and not self.missing:
            return ""
        said = f"$ {self.command.text}\n{self.output}\nexit code {self.code}, the README says {self.command.code}"
        return f"{said}; not printed: {self.missing}"


def _stable(text: str) -> str:
    text = re.sub(r"\d+(\.\d+)? (min|s)\b( \d+ s\b)?", "T", text)
    return re.sub(r"[ \t]+", " ", text).strip()


def commands(example: str) -> list[Command]:
    """The commands of the example's README, in order."""
    found = []
    for block in _BLOCK.finditer((EXAMPLES / example / "README.md").read_text()):
        sessions = re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]
        for number, session in enumerate(sessions, start=1):
            text, _, shown = session.partition("\n")
            code = int(block["code"] or 0) if number == len(sessions) else 0
            found.append(Command(text, code, tuple(filter(None, map(str.strip, shown.splitlines())))))
    return found


def build(folder: Path) -> Path:
    """The wheel of this repository, built into `folder`. Raises NotMeasured."""
    command = [uv(), "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=LONGEST)
    if done.returncode != 0:
        raise NotMeasured(f"the wheel can't be built: {done.stderr.strip()}")
    return next(folder.glob("*.whl"))


def uv() -> str:
    """The uv of this environment. Raises NotMeasured."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        raise NotMeasured("uv is not there", remedy="make tools")
    return found


def constraints(file: Path) -> Path:
    """The versions of this repository's lock file, so that what is installed is known and at hand."""
    command = [
        uv(),
        "export",
        "--quiet",
        "--frozen",
        "--all-extras",
        "--no-hashes",
        "--no-emit-project",
        "--all-groups",
    ]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=LONGEST)
    file.write_text("".join(line for line in done.stdout.splitlines(keepends=True) if not line.startswith("-e")))
    return file


def outsider(folder: Path, wheel: Path, pinned: Path | None = None) -> dict[str, str]:
    """The environment variables of somebody with a fresh virtual environment in `folder`, whose pip knows the wheel.

    With `pinned` pip is uv, which takes from its cache what this repository's lock file names; else it is pip itself.
    """
    venv = folder / "venv"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
    if pinned is None:
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, timeout=LONGEST)
        kept |= {"PIP_FIND_LINKS": str(wheel.parent), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    else:
        subprocess.run([uv(), "venv", "--quiet", "--python", sys.executable, str(venv)], check=True, timeout=LONGEST)
        pip = venv / "bin" / "pip"
        pip.write_text(f'#!/bin/sh\nexec {uv()} pip "$@"\n')
        pip.chmod(0o755)
        kept |= {"UV_FIND_LINKS": str(wheel.parent), "UV_CONSTRAINT": str(pinned)}
    path = f"{venv / 'bin'}:{_path_without_this_environment()}"
    return kept | {
        "PATH": path,
        "VIRTUAL_ENV": str(venv),
        "COLUMNS": "100",
        "PIXGATES_CACHE_DIR": str(folder / "cache"),
    }


def _path_without_this_environment() -> str:
    mine = Path(sys.executable).parent
    return os.pathsep.join(each for each in os.environ["PATH"].split(os.pathsep) if Path(each) != mine)


def clone(example: str, folder: Path) -> Path:
    """A copy of the example, as git would have cloned it."""
    there = shutil.copytree(
        EXAMPLES / example, folder / example, ignore=shutil.ignore_patterns("gates.toml.*", ".terraform")
    )
    subprocess.run(["git", "init", "--quiet", "."], cwd=there, check=True)
    return there


def walk(example: str, folder: Path, environment: Mapping[str, str]) -> Iterator[Done]:
    """Run the commands in a copy of the example, until one does not do what the README says."""
    there = clone(example, folder)
    for command in commands(example):
        began, used = time.monotonic(), _processor_seconds()
        done = subprocess.run(
            ["bash", "-c", command.text], cwd=there, env=dict(environment), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LONGEST,
        )  # fmt: skip
        ended = Done(command, done.returncode, done.stdout, time.monotonic() - began, _processor_seconds() - used)
        yield ended
        if ended.problem():
            return


def _processor_seconds() -> float:
    """Of all processes that were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
