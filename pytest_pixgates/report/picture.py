"""What a gate measured against its limit, as a picture: an interval reads faster than three numbers in a row.

SVG for a file of its own and for inside of a page, in light and dark. Shapes and words say all that colours do, and
`<desc>` says the same as the picture to whoever can't see it. Text may come from anywhere, so it is made plain,
escaped, and cut to the width that there is.
"""

from __future__ import annotations

import hashlib
import html
import itertools
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_pixgates.core import files
from pytest_pixgates.core.quantity import shown
from pytest_pixgates.core.record import Record, Run
from pytest_pixgates.core.verdict import Figure, Outcome, Verdict
from pytest_pixgates.report.scale import Scale
from pytest_pixgates.report.text import cut, plain

FOLDER = "pictures"
_FILE_NAME = re.compile(r".*-[0-9a-f]{12}\.svg")  # what `file_name` makes, for whatever else lies there is not ours
MOST_ROWS = 12
_MOST_WORDS = 300  # of a sentence
WIDTH = 360
_MARGIN, _EDGE = 12, 24  # of text, and of marks, which need room for an arrow
_ROOM = WIDTH - 2 * _MARGIN
_ROW, _BAND = 66, 22
_LETTER, _CAPITAL, _BROAD = 7.2, 9.0, 14.5  # widths in the broadest of the fonts that may come

PALETTE = {  # light and dark: each colour on `ground` has at least the contrast of WCAG AA for text
    "ground": ("#ffffff", "#0d1117"),
    "ink": ("#1f2328", "#e6edf3"),
    "quiet": ("#57606a", "#9aa4af"),
    "frame": ("#d0d7de", "#30363d"),
    "pass": ("#116329", "#56d364"),
    "inconclusive": ("#7d4e00", "#e3b341"),
    "error": ("#6639ba", "#d2a8ff"),
    "fail": ("#b3121d", "#ff8e86"),
}
_WORDS = {
    Outcome.PASS: "within the limit",
    Outcome.INCONCLUSIVE: "across the limit",
    Outcome.ERROR: "not measured",
    Outcome.FAIL: "beyond the limit",
}
_LEAST = (">=", ">")
_OPERATORS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}


@dataclass(frozen=True, slots=True)
class Row:
    """A number against its limits (`figures` differ in nothing else), or the name of what was not measured at all."""

    name: str
    figures: tuple[Figure, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """What the interval says. The gate may know more: that there is too little data, or another bound for many."""
        return Outcome.worst(figure.outcome for figure in self.figures)

    @property
    def margin(self) -> float:
        """How far the worse end of the interval is on the right side of its limit."""
        return min((each.room for each in self.figures if self._measured), default=0.0)

    @property
    def limits(self) -> str:
        told = (f"{_OPERATORS.get(each.operator, each.operator)} {_number(each.limit, each)}" for each in self.figures)
        return " and ".join(told)

    @property
    def panel(self) -> tuple[object, ...]:
        """Rows with the same share a scale."""
        return tuple((each.operator, each.limit, each.unit) for each in self.figures)

    @property
    def value(self) -> str:
        """The number with its unit; "" if it is none."""
        return _number(self.figures[0].value, self.figures[0]) if self.figures and self._measured else ""

    @property
    def _measured(self) -> bool:
        return self.outcome is not Outcome.ERROR

    @property
    def interval(self) -> str:
        if not self._measured:
            return ""
        figure = self.figures[0]
        exact = figure.lower == figure.value == figure.upper
        bounds = (shown(bound) if math.isfinite(bound) else "no bound" for bound in figure.interval)
        return f"n = {figure.n}" if exact else f"[{', '.join(bounds)}], n = {figure.n}"

    def __str__(self) -> str:
        """The row in words, as a sentence."""
        told = [
            f"{cut(self.name, 100)} {self.value}".strip(),
            self.interval,
            f"limit {self.limits}" * bool(self.figures),
        ]
        return f"{', '.join(filter(None, told))}: {_WORDS[self.outcome]}."


def rows(record: Record) -> list[Row]:
    """What there is to draw of `record`, worst first; nothing for a gate that compared no numbers."""
    verdicts = [check.verdict for check in record.checks if check.scan is None]
    found = [row for verdict in verdicts for row in _rows(verdict)]
    return sorted(found, key=lambda row: (-row.outcome.rank, row.margin))


def write(run: Run, folder: Path) -> list[Path]:
    """Put the picture of each gate that has one into `folder`, remove those of earlier runs, and return the paths.

    Raises OSError.
    """
    drawn = {file_name(record): render(record) for record in run.records if rows(record)}
    for name, text in drawn.items():
        files.write_atomically(folder / name, text)
    for path in folder.glob("*.svg"):
        if _FILE_NAME.fullmatch(path.name) and path.name not in drawn:
            path.unlink()
    return [folder / name for name in drawn]


def file_name(record: Record) -> str:
    """Of the picture: safe anywhere, and no other gate's."""
    digest = hashlib.sha256(f"{record.gate}\0{record.node}".encode(errors="surrogatepass")).hexdigest()[:12]
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", record.gate).strip("-")[:60] or "gate"
    return f"{slug}-{digest}.svg"


def render(record: Record) -> str:
    """`record` as an SVG document, whose size is bounded whatever the record holds."""
    return _drawn(record, *_header(record), alone=True)


def inline(record: Record) -> str:
    """The same without verdict and name, for inside of a page that says them and has `style` once."""
    return _drawn(record, [], 0.0, alone=False)


def _drawn(record: Record, parts: list[str], y: float, *, alone: bool) -> str:
    every = rows(record)
    kept = every[:MOST_ROWS]
    rest = _rest(every[MOST_ROWS:])
    for panel in _panels(kept):
        drawn, height = _panel(panel, y)
        parts, y = [*parts, *drawn], y + height
    if rest:
        y += 20
        parts.append(_text(rest, _MARGIN, y, "quiet"))
    return _document(record, parts, y + _MARGIN, [*map(str, kept), _sentence(rest)], alone=alone)


def _rows(verdict: Verdict) -> Iterator[Row]:
    if not verdict.figures and verdict.outcome is Outcome.ERROR:
        yield Row(verdict.check)
    same: dict[tuple[object, ...], list[Figure]] = {}
    for each in verdict.figures:
        same.setdefault((each.name, each.value, each.lower, each.upper, each.n, each.unit), []).append(each)
    yield from (Row(figures[0].name, tuple(figures)) for figures in same.values())


def _rest(left_out: Sequence[Row]) -> str:
    return f"and {len(left_out)} more, at worst {_WORDS[left_out[0].outcome]}" if left_out else ""


def _panels(kept: Iterable[Row]) -> list[list[Row]]:
    panels: dict[tuple[object, ...], list[Row]] = {}
    for row in kept:
        panels.setdefault(row.panel, []).append(row)
    return list(panels.values())


# Drawing


def _header(record: Record) -> tuple[list[str], float]:
    """The verdict, whose it is, and why; and where they end."""
    word, y = record.outcome.value, 28.0
    mark = _shape(record.outcome, _MARGIN + 6, y - 5, 6)
    parts = [_group(word.lower(), [mark, _text(word, _MARGIN + 18, y, "strong large")])]
    for text, most, class_ in ((record.gate, 2, "ink strong"), (record.reason, 3, "quiet")):
        for line in _wrapped(text, most, class_):
            y += 18
            parts.append(_text(line, _MARGIN, y, class_))
    return parts, y + 4


def _panel(panel: Sequence[Row], y: float) -> tuple[list[str], float]:
    """The elements of rows that share their limits, from `y` down, and their height."""
    measured = [row for row in panel if row.outcome is not Outcome.ERROR]
    scale = Scale.of([figure for row in measured for figure in row.figures], _EDGE, WIDTH - _EDGE) if measured else None
    parts, top = list[str](), y
    if panel[0].figures:
        y += 24
        key = _line(_MARGIN + 3, y - 11, _MARGIN + 3, y + 2, "limit")
        parts += [key, _text(f"limit: {panel[0].limits}", _MARGIN + 12, y, "ink")]
    for row in panel:
        parts += _row(row, scale, y)
        y += _ROW
    if scale is not None:
        parts += _axis(scale, y + 8)
        y += 28
    return parts, y - top


def _row(row: Row, scale: Scale | None, y: float) -> list[str]:
    strong, words = "ink strong end", f"{row.outcome.value.lower()} small end"
    value, told = _fitted(row.value, 130, strong), _WORDS[row.outcome]
    parts = [
        _text(row.name, _MARGIN, y + 20, "ink", _ROOM - _MARGIN - _wide(value, strong)),
        _text(value, WIDTH - _MARGIN, y + 20, strong),
        _text(row.interval, _MARGIN, y + 62, "quiet small", _ROOM - _MARGIN - _wide(told, words)),
        _text(told, WIDTH - _MARGIN, y + 62, words),
    ]
    if scale is None or row.outcome is Outcome.ERROR:
        return [*parts, _line(_EDGE, y + 38, WIDTH - _EDGE, y + 38, "nothing")]
    return [*parts, *_against(row, scale, y + 38)]


def _against(row: Row, scale: Scale, y: float) -> list[str]:
    """The interval and the number on it, and each limit with the side that is not allowed shaded."""
    figure, band = row.figures[0], _BAND / 2
    parts = []
    for each in row.figures:
        at = scale.x(each.limit)
        low, high = (scale.left, at) if each.operator in _LEAST else (at, scale.right)
        parts.append(_tag("rect", "off", x=low, y=y - band, width=high - low, height=_BAND))
        parts.append(_line(at, y - band, at, y + band, "limit"))
    lower, upper = figure.interval
    interval = [
        _line(scale.x(lower), y, scale.x(upper), y, "bar"),
        _end(scale.x(lower), y, -8, goes_on=not scale.holds(lower)),
        _end(scale.x(upper), y, 8, goes_on=not scale.holds(upper)),
    ]
    return [*parts, _group(row.outcome.value.lower(), [*interval, _shape(row.outcome, scale.x(figure.value), y, 5)])]


def _end(x: float, y: float, ahead: float, *, goes_on: bool) -> str:
    """Of an interval: an arrow where it goes on, else a stop."""
    if goes_on:
        return _tag("polygon", "fill", points=_points((x + ahead, y), (x, y - 5), (x, y + 5)))
    return _line(x, y - 5, x, y + 5, "stop")


def _axis(scale: Scale, y: float) -> list[str]:
    parts = [_line(scale.left, y, scale.right, y, "axis")]
    for number in scale.ticks():
        at, label, class_ = scale.x(number), shown(number), "quiet small middle"
        half = _wide(label, class_) / 2
        inside = min(max(at, half), WIDTH - half)
        parts += [_line(at, y, at, y + 4, "axis"), _text(label, inside, y + 16, class_)]
    return parts


def _shape(outcome: Outcome, x: float, y: float, size: float) -> str:
    """A disc, a diamond, a triangle or a cross: what is told apart in grey as well."""
    if outcome is Outcome.PASS:
        return _tag("circle", "mark", cx=x, cy=y, r=size)
    if outcome is Outcome.INCONCLUSIVE:
        corners = (x, y - size - 1), (x + size + 1, y), (x, y + size + 1), (x - size - 1, y)
        return _tag("polygon", "hollow", points=_points(*corners))
    if outcome is Outcome.ERROR:
        return _tag("polygon", "mark", points=_points((x, y - size), (x + size, y + size), (x - size, y + size)))
    arms = (
        _line(x - size, y - size, x + size, y + size, "cross"),
        _line(x - size, y + size, x + size, y - size, "cross"),
    )
    return "".join(arms)


# Elements


def _document(record: Record, parts: Sequence[str], height: float, told: Sequence[str], *, alone: bool) -> str:
    key = file_name(record).removesuffix(".svg")  # pages hold many pictures, each with ids of its own
    title = cut(f"{record.outcome.value}: {record.gate}", _MOST_WORDS)
    words = " ".join(cut(each, _MOST_WORDS) for each in (_sentence(record.reason), *told) if each)
    frame = _tag("rect", "ground", x=0.5, y=0.5, width=WIDTH - 1, height=height - 1, rx=6)
    size = f'viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="pixgates-picture" role="img" {size}'
            f' aria-labelledby="{key}-title" aria-describedby="{key}-desc">',
            f'<title id="{key}-title">{_escaped(title)}</title>',
            f'<desc id="{key}-desc">{_escaped(words)}</desc>',
            *([f"<style>{style()}</style>", frame] if alone else []),
            *parts,
            "</svg>\n",
        ]
    )


def style() -> str:
    """Every rule begins with our class, for a page's own rules are not ours to change."""
    light, dark = (";".join(f"--{name}:{pair[at]}" for name, pair in PALETTE.items()) for at in (0, 1))
    rules = {
        "": f"{light};color:var(--ink);font-family:system-ui,sans-serif;font-size:13px;max-width:100%;height:auto",
        " text": "fill:currentColor",
        " .ground": "fill:var(--ground);stroke:var(--frame)",
        " .strong": "font-weight:600",
        " .large": "font-size:15px",
        " .small": "font-size:12px",
        " .end": "text-anchor:end",
        " .middle": "text-anchor:middle",
        " .off": "fill:var(--quiet);fill-opacity:.16",
        " .limit": "stroke:var(--ink);stroke-width:2;stroke-dasharray:3 2",
        " .axis": "stroke:var(--quiet)",
        " .nothing": "stroke:var(--quiet);stroke-dasharray:1 5;stroke-width:2;stroke-linecap:round",
        " .bar": "stroke:currentColor;stroke-width:3",
        " .stop": "stroke:currentColor;stroke-width:2",
        " .fill": "fill:currentColor",
        " .mark": "fill:currentColor;stroke:var(--ground);stroke-width:1.5",
        " .hollow": "fill:var(--ground);stroke:currentColor;stroke-width:2.5",
        " .cross": "stroke:currentColor;stroke-width:3.5;stroke-linecap:round",
        **{f" .{name}": f"color:var(--{name})" for name in PALETTE if name not in ("ground", "frame")},
    }
    told = "".join(f".pixgates-picture{name}{{{rule}}}" for name, rule in rules.items())
    return f"{told}@media (prefers-color-scheme:dark){{.pixgates-picture{{{dark}}}}}"


def _tag(name: str, class_: str, **attributes: float | str) -> str:
    told = "".join(f' {key}="{each if isinstance(each, str) else _at(each)}"' for key, each in attributes.items())
    return f'<{name} class="{class_}"{told}/>'


def _group(class_: str, parts: Iterable[str]) -> str:
    return f'<g class="{class_}">{"".join(parts)}</g>'


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    return _tag("line", class_, x1=x1, y1=y1, x2=x2, y2=y2)


def _points(*corners: tuple[float, float]) -> str:
    return " ".join(f"{_at(x)},{_at(y)}" for x, y in corners)


def _at(number: float) -> str:
    return f"{round(number, 1):g}"


# Text


def _text(text: str, x: float, y: float, class_: str, room: float = _ROOM) -> str:
    told = _fitted(text, room, class_)
    return f'<text class="{class_}" x="{_at(x)}" y="{_at(y)}">{_escaped(told)}</text>' if told else ""


def _fitted(text: str, room: float, class_: str) -> str:
    """`text` on one line, cut to `room`: no font is at hand, so letters are taken to be as broad as they may be."""
    bare = _clean(text[:_MOST_WORDS])
    return cut(bare, _fit(bare, room, class_))


def _wrapped(text: str, most: int, class_: str) -> Iterator[str]:
    """`text` on so many lines at most, broken after a space or a slash where that can be."""
    rest = _clean(text[:_MOST_WORDS])
    for left in range(most, 0, -1):
        fit = _fit(rest, _ROOM, class_)
        last = left == 1 or fit >= len(rest)
        fit = len(rest) if last else max(rest.rfind(mark, 0, fit) for mark in " /") + 1 or fit
        if rest:
            yield rest[:fit].rstrip()
        rest = rest[fit:]


def _fit(text: str, room: float, class_: str) -> int:
    """How many characters of `text` have room."""
    sizes = itertools.accumulate(_width(character) * _size(class_) for character in text)
    return sum(size <= room for size in sizes)


def _wide(text: str, class_: str) -> float:
    return sum(map(_width, text)) * _size(class_)


def _size(class_: str) -> float:
    return 1.1 if "strong" in class_ else 12 / 13 if "small" in class_ else 1.0


def _width(character: str) -> float:
    if character in "MWmw@%" or unicodedata.east_asian_width(character) in "WF" or character > "\u2fff":
        return _BROAD
    return _CAPITAL if character.isupper() else _LETTER


def _clean(text: str) -> str:
    return re.sub("[\ufffe\uffff]", "\ufffd", plain(text))  # what XML can't hold, beyond what is never printed


def _escaped(text: str) -> str:
    return html.escape(_clean(text))


def _number(number: float, figure: Figure) -> str:
    return shown(number, figure.unit)


def _sentence(text: str) -> str:
    return f"{text.rstrip('.')}." if text else ""
