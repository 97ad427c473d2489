"""Scores held against what came of them, as a picture: in each bin of the score the share of frauds, with its interval.

A pure function of the counts behind the calibration error: the same rows give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pytest_pixgates.model_gate import intervals
from pytest_pixgates.model_gate.columns import WEIGHT
from pytest_pixgates.model_gate.intervals import Clustered
from pytest_pixgates.model_gate.scores import Scores

WIDTH, HEIGHT = 560, 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 24, 58, 56
_INK, _FAINT, _MARK, _EVEN = "#1f2933", "#d5dae0", "#2364aa", "#7a4b00"


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of like scores: their mean score, the share of frauds with its interval, and their weight (each row's 1)."""

    score: float
    share: float
    lower: float
    upper: float
    rows: float


def bins(scores: Scores) -> list[Bin]:
    """The bins that hold rows, by their score. Each end of an interval is at 1 - alpha."""
    _, sums, totals = scores.data.binned
    of_bins, scored = (np.add(*np.split(each, 2, axis=-1)) for each in (totals, sums))
    found = []
    for at, score in enumerate(scored):
        hits, sizes = totals[:, at], of_bins[:, at]
        rows = float(sizes.sum())
        if not rows:
            continue
        if scores.data.dependent:
            made = Clustered(hits[sizes > 0], sizes[sizes > 0])
            most = len(made.sizes) if WEIGHT in scores.columns else rows  # observations
            lower, upper = made.bounds(scores.alpha, most)
        else:
            lower, upper = intervals.clopper_pearson(float(hits.sum()), rows, scores.alpha)
        found.append(Bin(float(score / rows), float(hits.sum() / rows), lower, upper, rows))
    return sorted(found, key=lambda each: each.score)


def render(scores: Scores) -> str:
    """The bins as SVG, on two scales of tens, for most scores of rare fraud are near 0."""
    found = bins(scores)
    positive = [number for each in found for number in (each.score, each.share) if number > 0]
    low = min(10.0 ** math.floor(math.log10(max(min(positive, default=0.1), 1e-7))), 0.1)
    parts = [*_frame(low, scores.size), *(mark for each in found for mark in _marks(each, low))]
    return "\n".join(parts) + "\n</svg>\n"


def _frame(low: float, rows: int) -> Iterator[str]:
    title = f"calibration: {rows:,} rows by their score"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="{_INK}" role="img" aria-label="{title}">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>\n'
        f'<text x="{_LEFT}" y="24" font-size="16" font-weight="600">{title}</text>\n'
        f'<text x="{_LEFT}" y="43">share of frauds in each bin; on the dashed line scores are as they say</text>'
    )
    for power in range(round(math.log10(low)), 1):
        at, label = 10.0**power, f"{10.0**power:g}"
        yield f'<path d="M{_x(at, low):.1f} {_TOP}V{HEIGHT - _BOTTOM}" stroke="{_FAINT}"/>'
        yield f'<path d="M{_LEFT} {_y(at, low):.1f}H{WIDTH - _RIGHT}" stroke="{_FAINT}"/>'
        yield f'<text x="{_x(at, low):.1f}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle">{label}</text>'
        yield f'<text x="{_LEFT - 8}" y="{_y(at, low) + 4:.1f}" text-anchor="end">{label}</text>'
    diagonal = f"M{_LEFT} {HEIGHT - _BOTTOM}L{WIDTH - _RIGHT} {_TOP}"
    yield f'<path d="{diagonal}" stroke="{_EVEN}" stroke-dasharray="6 4" fill="none"/>'
    yield f'<text x="{(WIDTH + _LEFT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">mean score</text>'


def _marks(each: Bin, low: float) -> Iterator[str]:
    """The share with its interval; a share of 0 is drawn hollow, at the lower end of the scale."""
    x, fill = _x(each.score, low), _MARK if each.share > 0 else "#ffffff"
    ends = f"M{x:.1f} {_y(each.lower, low):.1f}V{_y(each.upper, low):.1f}"
    yield f'<path d="{ends}" stroke="{_MARK}" stroke-width="2"/>'
    yield f'<circle cx="{x:.1f}" cy="{_y(each.share, low):.1f}" r="4" fill="{fill}" stroke="{_MARK}" stroke-width="2"/>'


def _x(number: float, low: float) -> float:
    return _LEFT + _along(number, low) * (WIDTH - _RIGHT - _LEFT)


def _y(number: float, low: float) -> float:
    return HEIGHT - _BOTTOM - _along(number, low) * (HEIGHT - _BOTTOM - _TOP)


def _along(number: float, low: float) -> float:
    """Where between `low` and 1, on a scale of tens."""
    return 1 - math.log10(min(max(number, low), 1.0)) / math.log10(low)
