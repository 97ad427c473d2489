"""Earlier runs on the page: how they came out, what slides, and each measurement over time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.history import slide
from pytest_pixgates.history.entry import Entry
from pytest_pixgates.report import spark
from pytest_pixgates.report.element import Html, el, joined
from pytest_pixgates.report.text import counted, cut
from pytest_pixgates.report.told import limit_of, number
from pytest_pixgates.report.widgets import TEXT, mark, row, table

_MOST_SERIES, _MOST_RUNS, _MOST_SLIDES = 60, 50, 20


def render(entries: Sequence[Entry]) -> Html:
    """At least two runs, oldest first, of which the last is the one that the page is about."""
    every = slide.series(entries)
    found = slide.slides(every)
    return joined(_runs(entries), _slides(found), _trends(entries, every, found))


def _runs(entries: Sequence[Entry]) -> Html:
    kept = entries[-_MOST_RUNS:]
    counts = Counter(each.outcome for each in kept)
    words = ", ".join(f"{counts[each]} {each.value}" for each in Outcome if counts[each])
    marks = el("p", [mark(each.outcome, "") for each in kept], class_="runs", aria_hidden="true")
    return joined(el("p", f"The last {counted(len(kept), 'run')}, the newest to the right: {words}."), marks)


def _slides(found: Sequence[slide.Slide]) -> Html | None:
    if not found:
        return None
    return el(
        "ul",
        [el("li", el("b", "A slow slide. "), cut(str(each), TEXT)) for each in found[:_MOST_SLIDES]],
        class_="slides",
    )


def _trends(entries: Sequence[Entry], every: Sequence[slide.Series], found: Sequence[slide.Slide]) -> Html | None:
    sliding = {each.series.key for each in found}
    now = [each for each in every if each.points[-1][0] == entries[-1].started]
    now.sort(key=lambda each: (each.key not in sliding, _closeness(each)))
    rows = [_trend(each) for each in now[:_MOST_SERIES]]
    if not rows:
        return None
    left = len(now) - len(rows)
    rest = el("p", f"And {left} more; `pixgates history` shows them.", class_="quiet") if left else None
    return joined(table(("measurement", "over the runs", "first", "now", "limit"), rows), rest)


def _closeness(each: slide.Series) -> float:
    """The room that is left, against the size of the limit."""
    return each.last.room / (abs(each.limit) or 1.0)


def _trend(each: slide.Series) -> Html:
    first, last = each.points[0][1], each.last
    name = joined(el("span", cut(each.name, 80)), " ", el("small", cut(each.gate, 80), class_="line"))
    return row(
        ("measurement", name),
        ("over the runs", joined(spark.line(each), el("span", f"{len(each.points)} runs", class_="aside"))),
        ("first", number(first.value, first.unit)),
        ("now", number(last.value, last.unit)),
        ("limit", limit_of(last)),
    )
