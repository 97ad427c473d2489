"""The highest rate that still meets the limit: a bounded search, each probe judged by the same rule as any run.

A probe that fails and one that passes are both claims, so each takes its part of alpha: however the search goes, it
says PASS at a rate that does not meet the limit at most alpha of the time.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from pytest_pixgates.core import decode, files, quantity
from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.latency import load, service
from pytest_pixgates.latency.policy import Capacity, LatencyPolicy, Stage, percentile
from pytest_pixgates.latency.results import View

_NEAR = 1.05
"""A pass and a fail as near as this need no further probe."""
_FILE = "found.json"


@dataclass(frozen=True, slots=True)
class Probe:
    """One rate that was tried, how that came out, and on how many requests."""

    rate: float
    outcome: Outcome
    told: str
    n: int


@dataclass(frozen=True, slots=True)
class Found:
    """All probes, in the order in which they were made."""

    probes: tuple[Probe, ...]

    @property
    def passed(self) -> float:
        """The highest rate that passed; 0 if none did."""
        return max((each.rate for each in self.probes if each.outcome is Outcome.PASS), default=0.0)

    @property
    def failed(self) -> float:
        """The lowest rate above it that failed; infinite if none did."""
        above = (each.rate for each in self.probes if each.outcome is Outcome.FAIL and each.rate > self.passed)
        return min(above, default=math.inf)


def search(settings: LatencyPolicy, folder: Path, root: Path, alpha: float, locust: Path | None) -> Found:
    """Probe rates, the asked one first, the service fresh for each. Raises NotMeasured."""
    wanted = _wanted(settings)
    folder.mkdir(parents=True, exist_ok=True)
    probes: list[Probe] = []
    rate, low, high = quantity.parse(wanted.base), wanted.low, wanted.high
    while len(probes) < wanted.probes and low <= rate <= high:
        probes.append(_probe(settings, rate, folder, root, alpha / wanted.probes, locust, len(probes)))
        if probes[-1].outcome is Outcome.PASS:
            low = rate
        else:
            high = rate
        if high / low < _NEAR:
            break
        rate = math.sqrt(low * high)
    return Found(tuple(probes))


def _probe(
    settings: LatencyPolicy, rate: float, folder: Path, root: Path, alpha: float, locust: Path | None, number: int
) -> Probe:
    wanted, share = _wanted(settings), percentile(_wanted(settings).percentile)
    assert share is not None  # the policy said so
    stage = Stage(rate=rate, duration=wanted.duration)
    log = folder.with_name(f"{folder.name}.log")
    with service.running(settings, root, log, settings.allowed_targets) as place:
        run = load.drive(
            settings, {f"{rate:g}/s": stage}, [place], folder / str(number), root,
            seed=settings.seed + number, configured=locust,
        )  # fmt: skip
    view = View(run, 0, None, alpha, quantity.seconds(settings.covers_stalls))
    verdict = view.percentile(share) <= wanted.slow
    if verdict.outcome is Outcome.ERROR:
        raise NotMeasured(f"at {rate:g}/s: {verdict.reason}", remedy=verdict.needs)
    return Probe(rate, verdict.outcome, verdict.reason or verdict.measured, len(view.rows))


def measurement(folder: Path, settings: LatencyPolicy, subjects: tuple[Subject, ...]) -> Measurement:
    """The capacity, between the highest rate that passed and the lowest that failed. Raises NotMeasured."""
    wanted = _wanted(settings)
    try:
        found = decode.decode(Found, json.loads((folder / _FILE).read_bytes()))
    except (OSError, ValueError) as error:
        raise NotMeasured(f"{folder} holds no search: {error}") from None
    records = Subject(f"latency/{folder.name}", files.sha256(folder / _FILE), "content")
    tried = ", ".join(f"{each.rate:g}/s {each.outcome.value}" for each in found.probes)
    undecided = next((each for each in reversed(found.probes) if each.outcome is Outcome.INCONCLUSIVE), None)
    why = f"; at {undecided.rate:g}/s {undecided.told}" if undecided else ""
    return Measurement(
        f"capacity ({wanted.percentile} <= {wanted.slow})",
        found.passed,
        found.passed,
        found.failed,
        sum(each.n for each in found.probes),
        "/s",
        subjects=(*subjects, records),
        counted=f"requests ({tried})",
        needs=lambda _: f"more probes, or a longer duration of each{why}",
    )


def write(found: Found, folder: Path) -> None:
    files.write_atomically(folder / _FILE, json.dumps(decode.encode(found), indent=1))


def _wanted(settings: LatencyPolicy) -> Capacity:
    assert settings.capacity is not None
    return settings.capacity
