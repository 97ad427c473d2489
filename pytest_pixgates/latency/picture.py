"""A run as a picture: what each moment's requests took, and the percentiles with their interval, against the limits.

A pure function of what was recorded: the same run gives the same bytes.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_pixgates.core import files, quantity
from pytest_pixgates.core.limit import Limit
from pytest_pixgates.latency import policy, rule
from pytest_pixgates.latency.results import View

WIDTH, HEIGHT = 960, 660
_LEFT, _RIGHT, _TOP, _PANEL, _GAP = 76, 150, 72, 230, 64
_BINS = 300
_INK, _FAINT, _DUE, _SENT, _LIMIT = "#1f2933", "#d5dae0", "#b3261e", "#2364aa", "#7a4b00"
_SHARES = (0.0, 0.5, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999)

Scale = Callable[[float], float]
Points = Sequence[tuple[float, float]]


def write(view: View, limits: Mapping[str, Limit], path: Path) -> None:
    """Put the picture of `view` at `path`. Raises OSError, NotMeasured."""
    files.write_atomically(path, render(view, limits))


def render(view: View, limits: Mapping[str, Limit]) -> str:
    """`view` as SVG, with those of its limits that are times. Raises NotMeasured."""
    times = {name: quantity.parse(limit.base, unit="s") for name, limit in limits.items() if policy.percentile(name)}
    sent = np.where(view.failed, view.taken, (view.rows["done"] - view.rows["sent"]) / 1e9)
    low = max(min(float(sent.min()), float(view.taken.min())), 1e-5)
    high = max(float(view.taken.max()), *times.values(), low * 10, 0.0) * 1.15
    parts = [_head(view), *_over_time(view, sent, times, low, high), *_curve(view, times, low, high)]
    return "\n".join(parts) + "\n</svg>\n"


def _head(view: View) -> str:
    title = html.escape(f"{view.label}: {len(view.rows):,} requests at {view.rate:.4g}/s over {view.seconds:g} s")
    failed = int(view.failed.sum())
    below = f"{failed:,} failed, drawn at the timeout. " if failed else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{_INK}" role="img" aria-label="{title}">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n'
        f'<text x="{_LEFT}" y="24" font-size="16" font-weight="600">{title}</text>\n'
        f'<text x="{_LEFT}" y="43">{below}Logarithmic scale of time.</text>'
    )


def _over_time(view: View, sent: Any, times: Mapping[str, float], low: float, high: float) -> list[str]:
    """The slowest request of each moment, counted from when it was due and from when it was sent."""
    begin, end = view.run.header.windows[view.stage_index]
    top, bottom = _TOP, _TOP + _PANEL
    y, x = _logarithmic(low, high, bottom, top), _linear(0, end - begin, _LEFT, WIDTH - _RIGHT)
    moments = view.rows["intended"] / 1e9 - begin
    step = (end - begin) / 5
    parts = [*_frame(top, bottom, y, low, high)]
    parts += [_tick(x(step * at), bottom, f"{step * at:.3g} s") for at in range(6)]
    for taken, colour, name in ((view.taken, _DUE, "from due"), (sent, _SENT, "from sent")):
        worst = _worst(moments, taken, end - begin)
        parts.append(_line([(x(at), y(value)) for at, value in worst], colour))
        parts.append(_text(WIDTH - _RIGHT + 8, y(worst[-1][1]) + (4 if name == "from due" else 18), name, colour))
    parts.append(_text(_LEFT, top - 4, "slowest request of each moment"))
    return parts + _limit_lines(times, y)


def _curve(view: View, times: Mapping[str, float], low: float, high: float) -> list[str]:
    """Time by percentile, on a scale of nines, with what the data leaves open."""
    top, bottom = _TOP + _PANEL + _GAP, _TOP + 2 * _PANEL + _GAP
    shares = [each for each in _SHARES if (1 - each) * len(view.rows) >= 1]
    nines = _linear(0, -math.log10(1 - shares[-1]) or 1.0, _LEFT, WIDTH - _RIGHT)
    y = _logarithmic(low, high, bottom, top)

    def x(share: float) -> float:
        return nines(-math.log10(1 - share))

    grid = [1 - 10 ** -(-math.log10(1 - shares[-1]) * at / 40) for at in range(41)]
    ends = [rule.percentile_bounds(view.taken, each, view.floor, view.alpha) for each in grid]
    upper = [(x(share), y(min(end, high))) for share, (_, end) in zip(grid, ends, strict=True)]
    lower = [(x(share), y(max(begin, low))) for share, (begin, _) in zip(grid, ends, strict=True)]
    values = [(x(share), y(rule.percentile(view.taken, share))) for share in grid]
    parts = [*_frame(top, bottom, y, low, high)]
    parts.append(f'<polygon points="{_joined([*upper, *reversed(lower)])}" fill="{_DUE}" fill-opacity="0.15"/>')
    parts.append(_line(values, _DUE))
    parts += [_tick(x(share), bottom, f"p{100 * share:g}") for share in shares]
    told = f"percentiles from due; the band is the interval, each end at {1 - view.alpha:g}"
    parts.append(_text(_LEFT, top - 4, told))
    return parts + _limit_lines(times, y)


def _worst(moments: Any, taken: Any, length: float) -> Points:
    """Each moment with requests, and the longest that one of them took."""
    bins = np.minimum((moments / length * _BINS).astype(int), _BINS - 1)
    most = np.zeros(_BINS)
    np.maximum.at(most, bins, taken)
    return [((at + 0.5) * length / _BINS, float(most[at])) for at in np.unique(bins)]


def _frame(top: float, bottom: float, y: Scale, low: float, high: float) -> list[str]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [10.0**decade for decade in decades if low <= 10.0**decade <= high]
    right = WIDTH - _RIGHT
    lines = [
        f'<path d="M{_LEFT} {y(each):.1f}H{right}" stroke="{_FAINT}"/>'
        f'<text x="{_LEFT - 8}" y="{y(each) + 4:.1f}" text-anchor="end">{_time(each)}</text>'
        for each in marks
    ]
    return [*lines, f'<path d="M{_LEFT} {top}V{bottom}H{right}" fill="none" stroke="{_INK}"/>']


def _limit_lines(times: Mapping[str, float], y: Scale) -> list[str]:
    return [
        f'<path d="M{_LEFT} {y(each):.1f}H{WIDTH - _RIGHT}" stroke="{_LIMIT}" stroke-dasharray="6 4"/>'
        + _text(WIDTH - _RIGHT + 8, y(each) - 5, f"{name} limit {_time(each)}", _LIMIT)
        for name, each in times.items()
    ]


def _line(points: Points, colour: str) -> str:
    return f'<polyline points="{_joined(points)}" fill="none" stroke="{colour}" stroke-width="1.3"/>'


def _joined(points: Points) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _text(x: float, y: float, text: str, colour: str = _INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}">{html.escape(text)}</text>'


def _tick(x: float, bottom: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{html.escape(text)}</text>'


def _linear(low: float, high: float, start: float, stop: float) -> Scale:
    return lambda value: start + (value - low) / (high - low) * (stop - start)


def _logarithmic(low: float, high: float, start: float, stop: float) -> Scale:
    scale = _linear(math.log10(low), math.log10(high), start, stop)
    return lambda value: scale(math.log10(min(max(value, low), high)))


def _time(seconds: float) -> str:
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= size:
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds * 1e6:.4g} µs"
