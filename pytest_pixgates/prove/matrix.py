"""What a whole round showed: a row for each defect and variation, a column for each gate; survivors first.

Pure functions from the result: the same rows as JSON, for a terminal, and as a table of HTML without script or network.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_pixgates.core import decode
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.prove.judge import Status

SCHEMA = 1
PASSED, FOUND, NOT_JUDGED, NOTHING = 0, 1, 3, 5  # 4 is a usage error, as everywhere


@dataclass(frozen=True, slots=True)
class Row:
    """One try. `gates` holds the outcome of each gate that was run, `changed` the digests of files before and after."""

    name: str
    kind: str
    area: str
    why: str
    asked: tuple[str, ...]
    expected: str
    status: Status
    said: str = ""
    seconds: float = 0.0
    world: str = ""
    file: str = ""
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Matrix:
    """All tries of a round. `selection` says what was left out; `problems` kept something from being tried at all."""

    rows: tuple[Row, ...]
    started: float = 0.0
    seconds: float = 0.0
    commit: str = ""
    selection: str = "all"
    problems: tuple[str, ...] = ()
    schema: int = SCHEMA

    @property
    def tried(self) -> tuple[Row, ...]:
        """The rows that count: what does not fit this repository does not."""
        return tuple(row for row in self.rows if row.status is not Status.UNFIT)

    @property
    def exit_code(self) -> int:
        """0 only if something was tried, every defect was caught, and every variation stayed green."""
        if any(row.status.bad for row in self.tried):
            return FOUND
        if self.problems or any(not row.status.good for row in self.tried):
            return NOT_JUDGED
        return PASSED if self.tried else NOTHING

    @property
    def verdict(self) -> Outcome:
        return {PASSED: Outcome.PASS, FOUND: Outcome.FAIL}.get(self.exit_code, Outcome.ERROR)

    @property
    def ordered(self) -> tuple[Row, ...]:
        """The worst first, then by area and name."""
        rank = {status: at for at, status in enumerate(Status)}
        return tuple(sorted(self.rows, key=lambda row: (rank[row.status], row.kind, row.area, row.name)))

    @property
    def gates(self) -> tuple[str, ...]:
        """Every gate and question that was run."""
        return tuple(sorted({gate for row in self.tried for gate in row.gates}))

    def count(self, status: Status) -> int:
        return sum(row.status is status for row in self.rows)


def dumps(matrix: Matrix) -> str:
    data = {"verdict": matrix.verdict.value, "exit_code": matrix.exit_code, **decode.encode(matrix)}
    return json.dumps({**data, "rows": [decode.encode(row) for row in matrix.ordered]}, indent=1) + "\n"


def loads(text: str | bytes) -> Matrix:
    """Read what `dumps` wrote. Raises PixgatesError."""
    try:
        data = decode.strict_json(text)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise PixgatesError(f"this is no matrix of schema {SCHEMA}", remedy="run pixgates prove again")
        return decode.decode(Matrix, {key: data[key] for key in data if key not in ("verdict", "exit_code")})
    except (ValueError, RecursionError) as error:
        raise PixgatesError(f"this is no matrix: {error}", remedy="run pixgates prove again") from None


# For a terminal

_COLORS = {Outcome.PASS: "32", Outcome.INCONCLUSIVE: "33", Outcome.ERROR: "35", Outcome.FAIL: "31"}


def lines(
    matrix: Matrix,
    *,
    duration: Callable[[float], str],
    plain: Callable[[str], str],
    color: bool = False,
    wide: bool = False,
) -> Iterator[str]:
    """What a person reads: everything that is not good with its reason, then a line for each area, then the verdict.

    With `wide` each row that is good is named, too. `plain` makes text of others safe to print.
    """

    def paint(outcome: Outcome, text: str) -> str:
        return f"\x1b[1;{_COLORS[outcome]}m{text}\x1b[0m" if color else text

    for problem in matrix.problems:
        yield f"{paint(Outcome.ERROR, 'error')}: {plain(problem)}"
    for row in matrix.ordered:
        if not row.status.good and row.status is not Status.UNFIT:
            yield paint(Outcome.FAIL if row.status.bad else Outcome.ERROR, row.status.value) + f" {row.area}/{row.name}"
            yield f"    {', '.join(row.asked)} must say {plain(row.expected)}"
            yield f"    {plain(row.said)}"
            yield f"    why: {plain(row.why)}"
        elif wide:
            yield f"{row.status.value} {row.area}/{row.name} by {', '.join(row.asked)}: {plain(row.said)}"
    yield from _by_area(matrix)
    yield f"pixgates prove: {paint(matrix.verdict, matrix.verdict.value)} ({_told(matrix)}, {duration(matrix.seconds)})"
    if matrix.selection != "all":
        yield f"tried: {plain(matrix.selection)}"


def _told(matrix: Matrix) -> str:
    caught, defects = matrix.count(Status.CAUGHT), sum(row.kind == "defect" for row in matrix.tried)
    green, variations = matrix.count(Status.GREEN), sum(row.kind == "variation" for row in matrix.tried)
    told = f"{caught} of {defects} defects caught, {green} of {variations} variations green"
    return told + (f", {matrix.count(Status.UNFIT)} do not fit" if matrix.count(Status.UNFIT) else "")


def _by_area(matrix: Matrix) -> Iterator[str]:
    areas = list(dict.fromkeys(row.area for row in sorted(matrix.tried, key=lambda row: row.area)))
    width = max(map(len, areas), default=0)
    for area in areas:
        rows = [row for row in matrix.tried if row.area == area]
        parts = [f"{sum(row.status is status for row in rows)} {status.value}" for status in Status]
        yield f"{area:<{width}}  " + ", ".join(part for part in parts if not part.startswith("0 "))


# As HTML

_STYLE = """
.prove{overflow-x:auto;font:14px/1.4 system-ui,sans-serif}
.prove table{border-collapse:collapse}
.prove th,.prove td{border:1px solid #8888;padding:.25em .5em;text-align:left;vertical-align:top}
.prove thead th{vertical-align:bottom}
.prove thead .gate span{writing-mode:vertical-rl;white-space:nowrap}
.prove .cell{text-align:center}
.prove .bad{background:#b3261e;color:#fff}
.prove .odd{background:#6d3fa0;color:#fff}
.prove .good{background:#1b6e3c;color:#fff}
"""
_MARKS = {"FAIL": "F", "ERROR": "E", "INCONCLUSIVE": "?", "PASS": "·"}


def table(matrix: Matrix) -> str:
    """The matrix as one HTML element with its style, to be put into a page: no script, nothing from elsewhere."""
    gates = matrix.gates
    head = "".join(f'<th scope="col" class="gate"><span>{html.escape(gate)}</span></th>' for gate in gates)
    body = "".join(_html_row(row, gates) for row in matrix.ordered if row.status is not Status.UNFIT)
    key = "F failed, E not measured, ? undecided, · passed; the gate that is there for a defect is in bold."
    return (
        f'<style>{_STYLE}</style><div class="prove" role="region" aria-label="Defects and gates" tabindex="0"><table>'
        f"<caption>{key}</caption>"
        f'<thead><tr><th scope="col">result</th><th scope="col">tried</th><th scope="col">why it matters</th>{head}'
        f"</tr></thead><tbody>{body}</tbody></table></div>"
    )


def page(matrix: Matrix, summary: Sequence[str]) -> str:
    """The matrix as a page of its own, below the lines of `summary`."""
    told = html.escape("\n".join(summary))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title>pixgates prove: '
        f"{matrix.verdict.value}</title><style>:root{{color-scheme:light dark}}body{{margin:1em;"
        "font:16px/1.5 system-ui,sans-serif}pre{white-space:pre-wrap;overflow-wrap:anywhere}</style></head><body>"
        f"<h1>pixgates prove: {matrix.verdict.value}</h1><pre>{told}</pre>{table(matrix)}</body></html>\n"
    )


def _html_row(row: Row, gates: Sequence[str]) -> str:
    kind = "bad" if row.status.bad else "good" if row.status.good else "odd"
    cells = "".join(_html_cell(row, gate) for gate in gates)
    name, said, why = (html.escape(text) for text in (f"{row.area}/{row.name}", row.said, row.why))
    return (
        f'<tr><td class="{kind}">{row.status.value}</td><th scope="row">{name}<br><small>{said}</small></th>'
        f"<td>{why}</td>{cells}</tr>"
    )


def _html_cell(row: Row, gate: str) -> str:
    outcome = row.gates.get(gate, "")
    mark = _MARKS.get(outcome, "")
    shown = f"<b>{mark}</b>" if gate in row.asked else mark
    title = f' title="{html.escape(gate)}: {outcome}"' if mark else ""
    return f'<td class="cell"{title}>{shown}</td>'
