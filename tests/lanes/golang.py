"""Builds programs from Go modules that go.sum pins, and keeps them below the tool directory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_pixgates.core import files, process, tools
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.install import install
from pytest_pixgates.core.process import installer_environment

Go = Callable[..., str]


def built(name: str, modules: Path, build: Callable[[Go, Path], None]) -> Path:
    """The folder that `build` fills with what it makes of `modules`, checked at each use. Raises PixgatesError.

    `build` gets a Go (its words, `cwd`, `timeout`; gives what it prints) and the folder.
    """
    # Named by what it is built from: another version, or another of its modules, is another folder.
    home = tools.tool_directory() / "lanes" / f"{name}-{files.tree_sha256(modules)[:16]}"
    with files.locked(home.with_name(f".{home.name}.lock"), timeout=3600, remedy="set PIXGATES_TOOL_DIR"):
        if not _whole(home):
            _build(home, build)
    return home / "built"


def _whole(home: Path) -> bool:
    seal = home / "sha256"
    return seal.is_file() and files.tree_sha256(home / "built") == seal.read_text()


def _build(home: Path, build: Callable[[Go, Path], None]) -> None:
    shutil.rmtree(home, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{home.name}.") as name:
        made = Path(name)
        (made / "built").mkdir()
        build(_go(), made / "built")
        (made / "sha256").write_text(files.tree_sha256(made / "built"))
        made.chmod(0o755)
        made.rename(home)
        made.mkdir()  # for the temporary folder to remove


def _go() -> Go:
    program = install("go").tool.path
    env = {"GOTOOLCHAIN": "local", **installer_environment(), "GOWORK": "off", "CGO_ENABLED": "0"}
    env["GOFLAGS"] = "-mod=readonly"  # what go.sum does not list is refused

    def go(words: Sequence[str | Path], *, cwd: Path, timeout: float) -> str:
        done = process.run([program, *words], cwd=cwd, timeout=timeout, env=env)
        if done.returncode != 0:
            raise PixgatesError(f"`go {words[0]}` in {cwd.name} ended with {done.returncode}:\n{done.tail(8)}")
        return done.stdout

    return go
