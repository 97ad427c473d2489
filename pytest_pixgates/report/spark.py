"""A measurement over its runs as a small line, with the limit and the side of it that is not allowed."""

from __future__ import annotations

from pytest_pixgates.history.slide import Series
from pytest_pixgates.report.element import Html
from pytest_pixgates.report.scale import Scale

WIDTH, HEIGHT, _EDGE, _MOST = 168, 44, 6, 50


def line(series: Series) -> Html:
    """An SVG for inside of a page; what it shows stands beside it in words, so readers aloud need none of it."""
    figures = [figure for _, figure in series.points[-_MOST:]]
    y = Scale.of(figures, HEIGHT - _EDGE, _EDGE)
    step = (WIDTH - 2 * _EDGE) / max(len(figures) - 1, 1)
    xs = [_EDGE + step * at for at in range(len(figures))]
    limit = y.x(series.limit)
    low, high = (limit, HEIGHT) if series.operator in (">=", ">") else (0.0, limit)
    ends = [*zip(xs, (y.x(each.interval[0]) for each in figures), strict=True)]
    ends += [*zip(reversed(xs), (y.x(each.interval[1]) for each in reversed(figures)), strict=True)]
    values = " ".join(f"{x:.1f},{y.x(each.value):.1f}" for x, each in zip(xs, figures, strict=True))
    last = y.x(figures[-1].value)
    return Html(
        f'<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" aria-hidden="true">'
        f'<rect class="off" x="0" y="{low:.1f}" width="{WIDTH}" height="{high - low:.1f}"/>'
        f'<line class="limit" x1="0" y1="{limit:.1f}" x2="{WIDTH}" y2="{limit:.1f}"/>'
        f'<polygon class="band" points="{" ".join(f"{x:.1f},{at:.1f}" for x, at in ends)}"/>'
        f'<polyline class="line" points="{values}"/>'
        f'<circle class="dot" cx="{xs[-1]:.1f}" cy="{last:.1f}" r="3"/></svg>'
    )
