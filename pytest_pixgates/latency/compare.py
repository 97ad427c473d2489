"""The new version beside the previous one: both run, and take turns under the same load in short blocks.

Whatever else the machine does hits both alike, so the difference of their shares of slow requests is known better than
each share: the interval of the difference is made from those of the two, less what they have in common.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from pytest_pixgates.core import quantity
from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.quantity import Number
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Figure, Outcome, Verdict
from pytest_pixgates.latency import load, service
from pytest_pixgates.latency.load import Run
from pytest_pixgates.latency.policy import LatencyPolicy, Previous
from pytest_pixgates.latency.results import Loaded, View, problems
from pytest_pixgates.latency.rule import Bools, Floats, Share

NEW, OLD = 0, 1
_PAIRS = 20
"""Fewer pairs of blocks do not show what the two have in common."""


def run(settings: LatencyPolicy, folder: Path, root: Path, locust: Path | None) -> None:
    """Both versions under the load of a stage, in turns. Raises NotMeasured."""
    previous = _previous(settings)
    name = previous.stage or next(iter(settings.stages), "")
    if not name:
        raise NotMeasured("the policy plans no load", remedy="declare [latency.stages.NAME] with rate and duration")
    logs = (folder.with_name(f"{folder.name}-{which}.log") for which in ("new", "old"))
    with (
        service.running(settings, root, next(logs), settings.allowed_targets) as new,
        service.running(previous, root, next(logs), settings.allowed_targets) as old,
    ):
        load.drive(
            settings, {name: settings.stages[name]}, [new, old], folder, root,
            seed=settings.seed, blocks=quantity.seconds(previous.block), configured=locust,
        )  # fmt: skip


def difference(settings: LatencyPolicy, folder: Path, alpha: float, subjects: tuple[Subject, ...]) -> Measurement:
    """By how much the new version's share of slow requests is larger. Raises NotMeasured."""
    previous, recorded = _previous(settings), Run.read(folder)
    subjects = (*subjects, Subject(f"latency/{folder.name}", recorded.digest, "content"))
    covers, slow = quantity.seconds(settings.covers_stalls), quantity.seconds(previous.slow)
    views = [View(recorded, 0, None, alpha, covers, target=each) for each in (NEW, OLD)]
    pairs = [_pairs(view, quantity.seconds(previous.block)) for view in views]
    floor = recorded.header.stages[next(iter(recorded.header.stages))].rate * covers

    def bounds(latencies: list[Floats]) -> tuple[float, float, float, list[Share]]:
        hits = [each > slow for each in latencies]
        shares = [Share.of(each, max(1.0, floor), alpha) for each in hits]
        return *interval(shares[NEW], shares[OLD], _in_common(hits, pairs)), shares

    value, lower, upper, shares = bounds([view.taken for view in views])

    def judge(measured: Loaded, operator: str, limit: Number) -> Verdict:
        margin = quantity.parse(limit)
        told = f"{measured}; {shares[NEW].hits} of {shares[NEW].n} against {shares[OLD].hits} of {shares[OLD].n}"
        figure = Figure(measured.name, value, lower, upper, operator, margin, measured.n)
        if operator != "<=":
            return Verdict(Outcome.ERROR, "", told, reason="it is judged from above: <=")
        surely = bounds([view.without_lateness for view in views])[1] > margin
        outcome, reason = _decided(recorded, lower, upper, margin, surely=surely)
        times = (upper - value) / (margin - value) if margin > value else math.inf
        needs = _needs(times, views[0].seconds) if outcome is Outcome.INCONCLUSIVE else ""
        return Verdict(outcome, "", told, reason, needs, figures=(figure,))

    name = f"share slower than {previous.slow}, less the previous version's"
    total = sum(len(view.rows) for view in views)
    return Loaded(name, value, lower, upper, total, counted="requests", subjects=subjects, rule=judge)


def interval(new: Share, old: Share, common: float) -> tuple[float, float, float]:
    """new - old with its bounds, from the bounds of both (Zou and Donner 2008); `common` is their correlation."""

    def width(left: float, right: float) -> float:
        return math.sqrt(max(left**2 + right**2 - 2 * common * left * right, 0.0))

    value = new.value - old.value
    lower = value - width(new.value - new.lower, old.upper - old.value)
    upper = value + width(new.upper - new.value, old.value - old.lower)
    return value, lower, upper


def correlation(new: Floats, old: Floats) -> float:
    """What the shares in pairs of blocks surely have in common: a lower bound of their correlation, not below 0."""
    if len(new) < _PAIRS or not (new.std() > 0 and old.std() > 0):
        return 0.0
    found = min(float(np.corrcoef(new, old)[0, 1]), 0.999)
    return max(0.0, math.tanh(math.atanh(found) - 1.645 / math.sqrt(len(new) - 3))) if found > 0 else 0.0


def _in_common(hits: list[Bools], pairs: list[Any]) -> float:
    count = 1 + max(int(each.max()) for each in pairs)
    sums = [np.bincount(at, hit.astype(float), count) for hit, at in zip(hits, pairs, strict=True)]
    sizes = [np.bincount(at, minlength=count) for at in pairs]
    both = (sizes[NEW] > 0) & (sizes[OLD] > 0)
    return correlation(*(total[both] / size[both] for total, size in zip(sums, sizes, strict=True)))


def _pairs(view: View, block: float) -> Any:
    """The pair of blocks of each request."""
    begin = view.run.header.windows[0][0]
    return ((view.rows["intended"] / 1e9 - begin) / (2 * block)).astype(int)


def _decided(recorded: Run, lower: float, upper: float, margin: float, *, surely: bool) -> tuple[Outcome, str]:
    if limiting := problems(recorded):
        return Outcome.INCONCLUSIVE, "the load generator was the limit: " + "; ".join(limiting)
    if upper <= margin:
        return Outcome.PASS, ""
    if lower > margin and surely:
        return Outcome.FAIL, "the whole interval is beyond the margin"
    if lower > margin:
        return Outcome.INCONCLUSIVE, "requests were sent late, which by itself could be why"
    return Outcome.INCONCLUSIVE, "the interval holds the margin, so the data does not decide"


def _needs(times: float, seconds: float) -> str:
    """What would make an interval that is so many times too wide narrow enough; it shrinks with the root of the run."""
    if times > 30:
        return "a longer run, or a wider margin"
    return f"a duration of about {math.ceil(times**2 * seconds)} s, at the same shares"


def _previous(settings: LatencyPolicy) -> Previous:
    assert settings.previous is not None
    return settings.previous
