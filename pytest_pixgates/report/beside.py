"""What reports show beside the records: code around findings, earlier runs, pictures that families left.

Nothing of it changes what the records say; without it the reports are only poorer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytest_pixgates.core import environ
from pytest_pixgates.core.record import Run
from pytest_pixgates.history.entry import Entry
from pytest_pixgates.history.remember import Past
from pytest_pixgates.history.target import Target
from pytest_pixgates.report.proof import Proof

Excerpt = tuple[tuple[int, str], ...]
"""Numbered lines of a file."""


@dataclass(frozen=True, slots=True)
class Beside:
    """`excerpts` by family, path and line; `entries` of earlier runs, oldest first; `problem` why there are none.

    `pictures` are SVG documents by family, each with its name; `proof` is what
    `pixgates prove` showed last. `url` is where people find the files of this run.
    """

    excerpts: Mapping[tuple[str, str, int], Excerpt] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    problem: str = ""
    target: Target | None = None
    pictures: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    proof: Proof | None = None
    url: str = ""


NOTHING = Beside()


def gathered(run: Run, root: Path, reports: Path, past: Past) -> Beside:
    """What there is for `run` in `root` and `reports`; of the families that may be shown alone, code and pictures."""
    from pytest_pixgates.report import excerpt, left, proof

    return Beside(
        excerpts=excerpt.of(run, root, run.shown),
        entries=past.entries,
        problem=past.problem,
        target=past.target,
        pictures=left.pictures(run, reports, run.shown),
        proof=proof.read(reports, root),
        url=environ.report_url(),
    )
