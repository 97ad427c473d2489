"""Pictures that families left for people in the folder of their name beside the records, such as latency's curves."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from pytest_pixgates.core import files
from pytest_pixgates.core.record import Run

_MOST, _MOST_BYTES = 12, 400_000


def pictures(run: Run, folder: Path, shown: Collection[str]) -> dict[str, tuple[tuple[str, str], ...]]:
    """The SVG of each family in `shown` that was written during `run`, by name: an older one is of another run."""
    families = [each for each in dict.fromkeys(record.family for record in run.records) if each in shown]
    folders = {family: folder / family for family in families if family.isidentifier()}
    found = {family: tuple(_fresh(each, run.started))[:_MOST] for family, each in folders.items()}
    return {family: each for family, each in found.items() if each}


def _fresh(folder: Path, since: float) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.glob("**/*.svg")):
        try:
            with files.regular(path) as (file, status):
                if status.st_mtime >= since and status.st_size <= _MOST_BYTES:
                    yield path.stem, file.read(_MOST_BYTES).decode("utf-8")
        except (OSError, UnicodeDecodeError):
            continue  # a picture the less: what was measured stands in the records
