"""What `pixgates prove` showed last, for the page: whether the gates catch the defects that they are there for.

Read from the file that it leaves beside the records, as plain data: no report leans on the code that injects defects.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pixgates.core import decode, files
from pytest_pixgates.history.target import here
from pytest_pixgates.report.element import Html, el, joined
from pytest_pixgates.report.text import cut, duration, moment
from pytest_pixgates.report.widgets import SHORT, TEXT, left_out, row, table

FILE_NAME = "prove.json"
_MOST_BYTES, _MOST = 8 * 2**20, 40
_GOOD, _UNFIT, _DEFECT = ("caught", "green"), "unfit", "defect"
_JUDGED = (0, 1)
"""The exit codes of a round that tried all it selected."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A defect that was put in, or a harmless variation, and what became of it."""

    name: str
    kind: str
    area: str
    why: str
    status: str
    said: str

    @property
    def good(self) -> bool:
        return self.status in _GOOD


@dataclass(frozen=True, slots=True)
class Proof:
    """All that was tried and fits the repository; or `problem`, why that can't be read.

    `problems` kept something from being tried. `here` is the commit that the repository is at, where that is known.
    """

    rows: tuple[Tried, ...] = ()
    started: float = 0.0
    seconds: float = 0.0
    commit: str = ""
    selection: str = ""
    exit_code: int = 0
    problems: tuple[str, ...] = ()
    here: str = ""
    problem: str = ""

    @property
    def judged(self) -> bool:
        return self.exit_code in _JUDGED and not self.problems


def read(folder: Path, root: Path) -> Proof | None:
    """The proof beside the records in `folder`, of what is in `root`; None if there is none."""
    try:
        with files.regular(folder / FILE_NAME) as (file, _):
            content = file.read(_MOST_BYTES + 1)
        return dataclasses.replace(_proof(decode.strict_json(content)), here=here(root)[1])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, TypeError, KeyError) as error:
        return Proof(problem=f"{FILE_NAME} can't be read: {error}; run `pixgates prove` again")


def _proof(data: Mapping[str, Any]) -> Proof:
    rows = [{name: each[name] for name in Tried.__slots__} for each in data["rows"]]
    tried = decode.decode(tuple[Tried, ...], [each for each in rows if each["status"] != _UNFIT])
    told = {name: data[name] for name in ("started", "seconds", "commit", "selection", "exit_code", "problems")}
    return decode.decode(Proof, {**told, "rows": decode.encode(tried)})


def render(proof: Proof) -> Html:
    """Survivors first, then a line for each area."""
    if proof.problem:
        return el("p", cut(proof.problem, TEXT), class_="note")
    bad = [each for each in proof.rows if not each.good]
    survivors = [
        el(
            "li",
            el("b", cut(f"{each.status}: {each.area}/{each.name}. ", SHORT)),
            cut(f"{each.said}. {each.why}", TEXT),
        )
        for each in bad[:_MOST]
    ]
    survivors += [el("li", el("b", "error: "), cut(each, TEXT)) for each in proof.problems[:_MOST]]
    listed = el("ul", survivors, class_="slides") if survivors else None
    hidden = len(bad) + len(proof.problems) - len(survivors)
    heads = ("area", "defects caught", "variations green")
    areas = [_area(area, proof) for area in sorted({each.area for each in proof.rows})[:_MOST]]
    return joined(el("p", _said(proof)), listed, left_out(hidden), table(heads, areas))


def _said(proof: Proof) -> str:
    caught, defects, green, variations = _counts(proof.rows)
    when = f"{moment(proof.started):%Y-%m-%d}" + f", commit {proof.commit[:12]}" * bool(proof.commit)
    told = f"{caught} of {defects} defects caught, {green} of {variations} harmless variations green"
    if not proof.judged:
        told = f"NOT JUDGED: the round ended with exit code {proof.exit_code}. Of what was tried, {told}"
    if proof.commit and proof.here and proof.commit != proof.here:
        when += f", while the repository is at {proof.here[:12]}"
    return f"{told}, in {duration(proof.seconds)} ({cut(proof.selection, SHORT)}; {when})."


def _area(area: str, proof: Proof) -> Html:
    caught, defects, green, variations = _counts(tuple(each for each in proof.rows if each.area == area))
    told = (("defects caught", f"{caught} of {defects}"), ("variations green", f"{green} of {variations}"))
    return row(("area", cut(area, SHORT)), *told)


def _counts(rows: tuple[Tried, ...]) -> tuple[int, int, int, int]:
    """Defects that were caught, and all; variations that stayed green, and all."""
    counts = Counter((each.kind == _DEFECT, each.good) for each in rows)
    caught, green = counts[True, True], counts[False, True]
    return caught, caught + counts[True, False], green, green + counts[False, False]
