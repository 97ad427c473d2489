"""Files written whole or not at all, by one process at a time, and digests of what was judged."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pytest_pixgates.core.errors import PixgatesError

# Made by the tools that judge, so never part of what they judge.
_MADE_BY_TOOLS = frozenset({".terraform", "__pycache__", ".git", ".pixgates", ".pytest_cache"})


def made_by_tools(path: Path) -> bool:
    """Whether `path` lies where tools leave things, which is never judged."""
    return not _MADE_BY_TOOLS.isdisjoint(path.parts)


def write_atomically(path: Path, text: str) -> None:
    """Put `text` at `path` so that a reader sees the old file or the new one, never half. Raises OSError."""
    with _written(path, text) as temporary:
        temporary.replace(path)


def write_new(path: Path, text: str) -> bool:
    """Put `text` at `path`, whole, unless something is there; says whether it did. Raises OSError."""
    with _written(path, text) as temporary:
        try:
            path.hardlink_to(temporary)  # unlike a rename it never takes the place of a file
        except FileExistsError:
            return False
        return True


@contextmanager
def _written(path: Path, text: str) -> Iterator[Path]:
    """`text` in a temporary file beside `path`, which is gone afterwards unless it was moved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, named = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(named)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp's 0600 would keep reports from whoever uploads them
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def regular(path: Path) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """The file at `path`, opened, and what it is: of what was opened, so that nothing can be put in its place.

    Raises OSError, also for what is no plain file: a pipe would keep its reader waiting.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "that is no plain file")
        file = os.fdopen(handle, "rb", closefd=False)
        yield file, status
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path, *, timeout: float, remedy: str) -> Iterator[None]:
    """Hold the lock at `path` (its folder is made), which one process has at a time. `timeout` is in seconds.

    Raises PixgatesError if it can't be had in that time, or with `remedy` if its folder can't be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=timeout)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise PixgatesError(f"another process has held {path} for {timeout:g} s", remedy="see what it does") from None
    except OSError as error:
        raise PixgatesError(f"the folder {path.parent} can't be used: {error.strerror}", remedy=remedy) from None
    try:
        yield
    finally:
        lock.release()


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def sha256(path: Path) -> str:
    """The digest of a file's content. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def walk(root: Path) -> Iterator[Path]:
    """Every file and symlink under `root` in a fixed order, links not followed; `root` itself if it is a file.

    Raises OSError for a folder that can't be read: what was not seen must not look empty.
    """
    if not root.is_dir():
        yield root
        return
    for folder, names, files in os.walk(root, onerror=_refuse):
        links = [name for name in names if Path(folder, name).is_symlink()]
        names[:] = sorted(name for name in names if name not in _MADE_BY_TOOLS and name not in links)
        yield from (Path(folder, name) for name in sorted(files + links))


def _refuse(error: OSError) -> None:
    raise error


def _behind(link: Path, seen: frozenset[Path]) -> str:
    """The digest of what a link points to; "" if that is nothing, or a folder that is being read already."""
    target = link.resolve()
    return tree_sha256(target, seen) if target.exists() and target not in seen else ""


def tree_sha256(root: Path, seen: frozenset[Path] = frozenset()) -> str:
    """The digest of a file (its content's), or of a folder: names, executable bits, contents, where links point.

    A link counts by what it points to as well, and `root` itself may be one; `seen` are folders being read already.
    Raises FileNotFoundError if `root` does not exist, OSError if something can't be read.
    """
    if not root.exists():
        raise FileNotFoundError(root)
    if root.is_file():
        return sha256(root)
    seen = seen | {root.resolve()}
    digest = hashlib.sha256()
    for path in walk(root):
        name = path.relative_to(root).as_posix()
        if path.is_symlink() and path != root:
            entry = f"link {path.readlink()} {_behind(path, seen)}"
        elif path.is_file():
            entry = f"{'x' if path.stat().st_mode & 0o100 else '-'} {sha256(path)}"
        else:
            continue  # a socket or a device holds nothing to judge
        digest.update(os.fsencode(f"{name}\0{entry}\0"))
    return digest.hexdigest()
