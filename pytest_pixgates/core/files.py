"""Files written whole or not at all, and digests of what was judged."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Made by the tools that judge, so never part of what they judge.
_MADE_BY_TOOLS = frozenset({".terraform", "__pycache__", ".git", ".pixgates"})


def write_atomically(path: Path, text: str) -> None:
    """Put `text` at `path` so that a reader sees the old file or the new one, never half. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def walk(root: Path) -> Iterator[Path]:
    """Every file and symlink under `root` in a fixed order, links not followed; `root` itself if it is a file."""
    if root.is_file() or root.is_symlink():
        yield root
        return
    for folder, names, files in os.walk(root):
        links = [name for name in names if Path(folder, name).is_symlink()]
        names[:] = sorted(name for name in names if name not in _MADE_BY_TOOLS and name not in links)
        yield from (Path(folder, name) for name in sorted(files + links))


def tree_sha256(root: Path) -> str:
    """The digest of a file or folder: names, executable bits, contents, and where links point.

    Raises FileNotFoundError if `root` does not exist.
    """
    if not root.exists():
        raise FileNotFoundError(root)
    digest = hashlib.sha256()
    for path in walk(root):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            entry = f"link {path.readlink()}"
        elif path.is_file():
            entry = f"{'x' if os.access(path, os.X_OK) else '-'} {sha256(path)}"
        else:
            continue  # a socket or a device holds nothing to judge
        digest.update(f"{name}\0{entry}\0".encode())
    return digest.hexdigest()
