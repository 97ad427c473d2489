"""Reports of a run. Each format is a pure function of the run's records and of what is told beside them, so it can be
made again at any time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pixgates.core import files, record
from pytest_pixgates.core.record import Run

if TYPE_CHECKING:
    from pytest_pixgates.report.beside import Beside


def write(run: Run, folder: Path, beside: Beside | None = None) -> list[Path]:
    """Write the records and the reports into `folder` and return their paths. Raises OSError.

    The records come last: they close the run, so a run whose reports could not be written never counts as closed.
    """
    written = write_reports(run, folder, beside)
    return [record.save(run, folder), *written]


def write_reports(run: Run, folder: Path, beside: Beside | None = None) -> list[Path]:
    """The same without the records: report.html, summary.md, results.sarif and pictures/. Raises OSError."""
    from pytest_pixgates.report import html, markdown, picture, sarif
    from pytest_pixgates.report.beside import NOTHING

    known = beside or NOTHING
    reports = {
        html.FILE_NAME: html.render(run, known),
        markdown.FILE_NAME: markdown.render(run, known),
        "results.sarif": sarif.dumps(run),
    }
    for name, text in reports.items():
        files.write_atomically(folder / name, text)
    drawn = picture.write(run, folder / picture.FOLDER)
    return [*(folder / name for name in reports), *drawn]
