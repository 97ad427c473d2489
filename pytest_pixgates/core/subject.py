"""What a check judged, by name and digest, so that a second process can tell whether it is still the same."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pytest_pixgates.core import files


@dataclass(frozen=True, slots=True)
class Subject:
    """What was judged: a `tree` or `file` at `name` (relative path), or generated `content` under that name."""

    name: str
    sha256: str
    kind: str = "tree"

    @classmethod
    def of(cls, path: Path, root: Path) -> Subject:
        """The file or folder at `path` as it is now. Raises OSError, ValueError if it lies outside `root`."""
        name = Path(os.path.normpath(root / path)).relative_to(os.path.normpath(root)).as_posix()
        return cls(name, files.tree_sha256(root / path), "tree" if (root / path).is_dir() else "file")
