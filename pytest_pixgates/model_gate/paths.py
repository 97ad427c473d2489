"""Which files hold the rows: found alike by what reads them and by what names them as judged."""

from __future__ import annotations

import glob
from pathlib import Path


def files(pattern: str, root: Path) -> list[Path]:
    """The file that `pattern`, relative to `root`, names, those below a folder, or those that a glob matches; in order.

    Below a folder what begins with _ or a dot is left out, as Spark and others write it beside the rows; all else is
    named, whether it can be read or not.
    """
    path = root / pattern
    if path.is_dir():
        return sorted(each for each in path.rglob("*") if _counts(each, path))
    if path.is_file():
        return [path]
    return sorted(Path(each) for each in glob.glob(str(path), recursive=True) if Path(each).is_file())  # noqa: PTH207 - a pattern may be absolute


def _counts(path: Path, folder: Path) -> bool:
    hidden = any(part[0] in "._" for part in path.relative_to(folder).parts)
    return not hidden and (path.is_symlink() or not path.is_dir())
