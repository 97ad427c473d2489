"""Finds the program behind a version manager's stand-in.

The digest of an asdf, mise, pyenv, tfenv or tenv stand-in says nothing about what really judged: it stays the
same when the tool behind it changes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from pytest_pixgates.core.errors import ToolMissing
from pytest_pixgates.core.process import run

_SCRIPT_HEAD = 4096  # bytes; stand-ins are a few lines
_MANAGER_SCRIPT = re.compile(r"exec\s+[\"']?(?P<manager>[^\s\"']*\b(?:asdf|pyenv|mise))[\"']?\s+exec\s")
_TFENV_SCRIPT = re.compile(r"\btfenv\b[\"']?\s+exec\s")
_MANAGER_VARIABLES = re.compile(r"(ASDF|MISE|RTX|PYENV|TFENV|TENV)_\w+")
_VERSION = re.compile(r"\d+\.\d+\.\d+\S*")
_TIMEOUT = 30.0


def script_head(path: Path) -> str:
    """The first lines of a script, or "" for a program that is not a script."""
    with path.open("rb") as file:
        head = file.read(_SCRIPT_HEAD)
    return head.decode("utf-8", errors="replace") if head.startswith(b"#!") else ""


def real_program(path: Path, executable: str) -> Path:
    """The program that `path` ends up running, with symbolic links and version managers resolved.

    Raises ToolMissing when a version manager has no version of it for the working folder.
    """
    for _ in range(3):  # a stand-in may lead to another one, e.g. mise to a pyenv environment
        link, path = path, path.resolve()
        behind = _behind(link, path, executable)
        if behind is None:
            return path
        path = behind
    raise ToolMissing(f"{path}: version managers that point at each other", remedy="name the program itself")


def _behind(link: Path, path: Path, executable: str) -> Path | None:
    head = script_head(path)
    if match := _MANAGER_SCRIPT.search(head):
        return _which(match["manager"], executable)
    if _TFENV_SCRIPT.search(head):
        return _of_tfenv(path)
    if path.name == "mise" and link.name != "mise":  # its stand-ins are links to itself
        return _which(str(path), executable)
    tenv = path.with_name("tenv")
    if not head and path.name == "terraform" and tenv.is_file():
        return _of_tenv(tenv)
    return None


def _which(manager: str, executable: str) -> Path:
    return _existing(Path(_said(manager, "which", executable)), manager)


def _of_tfenv(stand_in: Path) -> Path:
    tfenv = stand_in.with_name("tfenv")
    root = os.environ.get("TFENV_CONFIG_DIR") or os.environ.get("TFENV_ROOT") or stand_in.parent.parent
    version = _said(str(tfenv), "version-name")
    return _existing(Path(root, "versions", version, "terraform"), "tfenv")


def _of_tenv(tenv: Path) -> Path:
    root = os.environ.get("TENV_ROOT") or Path.home() / ".tenv"
    said = _said(str(tenv), "tf", "detect")
    version = _VERSION.search(said)
    if version is None:
        raise ToolMissing(f"tenv does not say which Terraform it would run: {said!r}", remedy="tenv tf install")
    return _existing(Path(root, "Terraform", version[0], "terraform"), "tenv")


def _said(manager: str, *arguments: str) -> str:
    # The working folder and the manager's own variables choose the version, as they do in a shell.
    own = {name: value for name, value in os.environ.items() if _MANAGER_VARIABLES.fullmatch(name)}
    done = run([manager, *arguments], cwd=Path.cwd(), timeout=_TIMEOUT, env=own)
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        name = " ".join((Path(manager).name, *arguments))
        raise ToolMissing(f"`{name}` in {Path.cwd()} names no program:\n{done.tail()}")
    return lines[-1].strip()


def _existing(path: Path, manager: str) -> Path:
    if path.is_file() and os.access(path, os.X_OK):
        return path
    raise ToolMissing(f"{Path(manager).name} points at {path}, which can't be run", remedy="install that version")
