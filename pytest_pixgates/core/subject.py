"""What a check judged, by name and digest, so that a second process can tell whether it is still the same."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pytest_pixgates.core import files

KINDS = ("tree", "file", "absent", "content")


@dataclass(frozen=True, slots=True)
class Subject:
    """What was judged: a `tree` or `file` at `name` (relative path), that nothing is there (`absent`), or generated
    `content` under that name.
    """

    name: str
    sha256: str
    kind: str = "tree"

    @classmethod
    def of(cls, path: Path, root: Path) -> Subject:
        """The file or folder at `path` as it is now. Raises OSError, ValueError if it lies outside `root`."""
        name = Path(os.path.normpath(root / path)).relative_to(os.path.normpath(root)).as_posix()
        return cls(name, files.tree_sha256(root / path), "tree" if (root / path).is_dir() else "file")

    def changed(self, root: Path) -> str:
        """Why it isn't any more what it was, or "". Generated content is as the subjects that it comes from."""
        path = root / self.name
        if self.kind == "content":
            return ""
        if self.kind == "absent":
            return "it was not there when it was judged" if os.path.lexists(path) else ""
        try:
            return "" if files.tree_sha256(path) == self.sha256 else "it changed since it was judged"
        except FileNotFoundError:
            return "it vanished since it was judged"
        except (OSError, ValueError) as error:
            return f"it can't be read any more: {error}"
