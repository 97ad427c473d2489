"""Reads the files that gates judge, strictly and on our own.

Most of the tools pass over a file that they can't read. Whatever is wrong with one ends here as an `Unreadable`
with its place, never as a smaller count.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_pixgates.core import files
from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.core.scan import Problem
from pytest_pixgates.core.subject import Subject

LARGEST = 2 * 2**20
"""The largest source in bytes; people write no larger ones."""


class Unreadable(NotMeasured):
    """A source that can't be read or parsed; `problem` says where."""

    def __init__(self, message: str, path: str, line: int = 0, *, remedy: str = "") -> None:
        self.problem = Problem(message, path, line, remedy)
        super().__init__(str(self.problem), remedy=remedy)


def name(path: Path, root: Path) -> str:
    """`path` relative to `root`, links inside it kept; only its last part if it lies elsewhere."""
    lexical = Path(os.path.normpath(path))
    for base in (Path(os.path.normpath(root)), root.resolve()):
        if lexical.is_relative_to(base):
            return lexical.relative_to(base).as_posix()
    return lexical.name


def inside(path: Path, root: Path) -> bool:
    """Whether `path`, links followed, lies in `root`."""
    return path.resolve().is_relative_to(root.resolve())


def read(path: Path, root: Path) -> str:
    """The text of a source. Raises Unreadable for one that is missing, huge, not UTF-8, or outside of `root`."""
    label = name(path, root)
    try:
        if not inside(path, root):
            raise Unreadable("leads out of the repository", label, remedy="keep every source inside it")
        if not path.is_file():
            why = "is not a file" if path.exists() else "does not exist"
            raise Unreadable(why, label)
        if (size := path.stat().st_size) > LARGEST:
            raise Unreadable(f"has {size:,} bytes; at most {LARGEST:,} are read", label, remedy="split it")
        data = path.read_bytes()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symlinks, before Python 3.13
        raise Unreadable(f"can't be read: {getattr(error, 'strerror', None) or error}", label) from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable("is not UTF-8", label, line, remedy="save it as UTF-8") from None


def visible(folder: Path) -> Iterator[Path]:
    """Every file under `folder`, without hidden and vendored ones, which the tools pass over too."""
    for path in files.walk(folder):
        parts = path.relative_to(folder).parts
        hidden = (part for part in parts if part == "node_modules" or (part.startswith(".") and part != ".github"))
        if not any(hidden) and not path.is_dir():
            yield path


def trees(paths: Iterable[Path], root: Path) -> tuple[Subject, ...]:
    """What was judged: the digest of each folder or file of `paths` that exists."""
    return tuple(
        Subject(name(path, root), files.tree_sha256(path), "tree" if path.is_dir() else "file")
        for path in dict.fromkeys(paths)
        if path.exists()
    )
