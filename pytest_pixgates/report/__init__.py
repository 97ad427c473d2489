"""Reports of a run. Each format is a pure function of the run's records, so it can be made again at any time."""

from __future__ import annotations

from pathlib import Path

from pytest_pixgates.core import files, record
from pytest_pixgates.core.record import Run


def write(run: Run, folder: Path) -> list[Path]:
    """Write records.json, summary.md and results.sarif into `folder` and return their paths. Raises OSError.

    The records come last: they close the run, so a run whose reports could not be written never counts as closed.
    """
    from pytest_pixgates.report import markdown, sarif

    reports = {"summary.md": markdown.render(run), "results.sarif": sarif.dumps(run)}
    for name, text in reports.items():
        files.write_atomically(folder / name, text)
    return [record.save(run, folder), *(folder / name for name in reports)]
