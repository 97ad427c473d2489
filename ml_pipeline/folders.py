"""Folders that a step writes: whole or not at all, and known again by the digests of what went into them."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replaced(out: Path, manifest: str) -> Iterator[Path]:
    """A new folder that takes the place of `out` at the end, if nothing failed.

    `manifest` is the file by which an earlier result is known. Raises FileExistsError if anything else is in `out`.
    """
    if out.is_dir() and any(out.iterdir()) and not (out / manifest).is_file():
        raise FileExistsError(f"{out} holds other files (no {manifest}); name a new folder, or empty this one")
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file; name a folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as name:
        new, old = Path(name) / "new", Path(name) / "old"
        new.mkdir()
        yield new
        if out.exists():
            out.rename(old)
        new.rename(out)
        shutil.rmtree(old, ignore_errors=True)


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_up_to_date(out: Path, found: Mapping[str, Any], inputs: Mapping[str, Any], files: Mapping[str, Any]) -> bool:
    """Whether `found`, the manifest in `out`, is of these `inputs`, and `out` holds `files`, each with its digest."""
    same = bool(files) and {name: found.get(name) for name in inputs} == inputs
    return same and all((out / name).is_file() and digest(out / name) == files[name] for name in files)


def digest_of_all(folder: Path, pattern: str = "**/*.parquet") -> str:
    """The sha256 of the names and the contents of the files in a folder."""
    whole = hashlib.sha256()
    for path in sorted(folder.glob(pattern)):
        whole.update(f"{path.relative_to(folder).as_posix()}\0{digest(path)}\n".encode())
    return whole.hexdigest()


def write(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(data)
    new.replace(path)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """What a step wrote, or nothing if it is not there or is not whole."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
