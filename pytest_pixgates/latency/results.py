"""What a run of load says: percentiles, errors and availability as measurements, judged by the rule of shares.

A latency counts from the moment when the request was due. A run that the load generator limited says nothing, and a
FAIL stands only if it stands without the generator's own lateness.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_pixgates.core import quantity, recording
from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.quantity import Number
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Figure, Outcome, Verdict
from pytest_pixgates.latency import load, policy, rule
from pytest_pixgates.latency.load import Run
from pytest_pixgates.latency.rule import Bools, Floats, Share

ACHIEVED, BUSY = 0.99, 0.60
"""A generator that sent less than this share in time, or used more than this share of a core, was the limit."""
_LATE, _CATCHING_UP = 1_000_000, 5_000_000  # nanoseconds


@dataclass(frozen=True, slots=True, eq=False)
class Loaded(Measurement):
    """A measurement under load, which its `rule` judges: the operator and the limit in, the verdict out."""

    rule: Callable[[Loaded, str, Number], Verdict] | None = None

    def _judge(self, operator: str, limit: Number | Measurement) -> Verdict:
        check = f"{self.name} {operator} {limit.name if isinstance(limit, Measurement) else limit}"
        if self.rule is None or isinstance(limit, Measurement):
            reason = "runs of load differ in more than the service: compare versions with latency.previous"
            verdict = Verdict(Outcome.ERROR, check, str(self), reason=reason)
        else:
            verdict = self.rule(self, operator, limit)
        verdict = dataclasses.replace(verdict, check=check, subjects=self.subjects)
        recording.note(verdict)
        return verdict


def problems(run: Run) -> tuple[str, ...]:
    """Why the load generator was the limit in `run`, so that it says nothing of the service."""
    found = []
    scheduled, sent = (sum(getattr(each, name) for each in run.summaries) for name in ("scheduled", "sent"))
    recorded, overflow = (sum(getattr(each, name) for each in run.summaries) for name in ("recorded", "overflow"))
    if scheduled != len(run.arrivals):
        found.append(f"of {len(run.arrivals)} requests only {scheduled} were given to a process that sends")
    if (unsent := scheduled - sent - overflow) > 0:
        found.append(f"{unsent} were never sent, for it gave up")
    if overflow:
        found.append(f"{overflow} were not sent, for {run.header.connections} were unanswered already (`connections`)")
    if not sent == recorded == len(run.rows):
        found.append(f"{sent} were sent and {len(run.rows)} recorded")
    busy = max((each.cpu_seconds / each.wall_seconds for each in run.summaries if each.wall_seconds), default=0.0)
    if busy > BUSY:
        found.append(f"it used {busy:.0%} of a core, more than {BUSY:.0%} (more `workers` share it)")
    achieved = min(_achieved(run, index) for index in range(len(run.header.windows)))
    if achieved < ACHIEVED:
        found.append(f"it sent {achieved:.1%} of what was due in time, less than {ACHIEVED:.0%}")
    return tuple(found)


def _achieved(run: Run, stage: int) -> float:
    """The share of a stage's requests that were sent by its end, and a hundredth of its length."""
    begin, end = (1e9 * each for each in run.header.windows[stage])
    due = (run.arrivals["stage"] == stage) & (run.arrivals["judged"] == 1)
    sent = run.rows["sent"][due[run.rows["index"]]]
    return float((sent <= end + 0.01 * (end - begin)).sum() / max(due.sum(), 1))


@dataclass(frozen=True)
class View:
    """Some of a run's requests, those of `stage` and of `endpoint` (None: of all of them)."""

    run: Run
    stage_index: int
    endpoint_index: int | None
    alpha: float
    covers: float
    subjects: tuple[Subject, ...] = ()
    target: int | None = None

    def __getattr__(self, name: str) -> Any:
        share = policy.percentile(name)
        if share is None:
            raise AttributeError(f"{name}: there are p50, p95, p99, p99_9 and so on, errors, and availability")
        return self.percentile(share)

    def figure(self, name: str) -> Measurement:
        """The figure that a limit of the policy is called after."""
        found: Measurement = getattr(self, name)
        return found

    # Which requests

    @cached_property
    def mine(self) -> Bools:
        """Of all that were scheduled, the judged ones of this view."""
        arrivals = self.run.arrivals
        chosen = (arrivals["judged"] == 1) & (arrivals["stage"] == self.stage_index)
        if self.endpoint_index is not None:
            chosen &= arrivals["endpoint"] == self.endpoint_index
        if self.target is not None:
            chosen &= arrivals["target"] == self.target
        return np.asarray(chosen)

    @cached_property
    def rows(self) -> NDArray[Any]:
        """What was recorded of them, in the order of the schedule. Raises NotMeasured if that is nothing."""
        found: NDArray[Any] = self.run.rows[self.mine[self.run.rows["index"]]]
        if not len(found):
            raise NotMeasured(f"{self.label}: no request was due", remedy="raise `rate` or `duration` of the stage")
        return found

    @property
    def label(self) -> str:
        stage = list(self.run.header.stages)[self.stage_index]
        return stage if self.endpoint_index is None else f"{stage}/{self.run.header.endpoints[self.endpoint_index]}"

    @property
    def seconds(self) -> float:
        begin, end = self.run.header.windows[self.stage_index]
        return end - begin

    @property
    def rate(self) -> float:
        """Requests a second, as scheduled."""
        return float(self.mine.sum()) / self.seconds

    @property
    def floor(self) -> float:
        """How many requests a stall hits that must be covered."""
        return max(1.0, self.rate * self.covers)

    # How long they took

    @cached_property
    def failed(self) -> Bools:
        return np.asarray(self.rows["outcome"] != load.OK)

    @cached_property
    def unavailable(self) -> Bools:
        """Those without any answer but that of a broken server; a wrong answer is one."""
        none = np.isin(self.rows["outcome"], (load.NO_ANSWER, load.TIMEOUT, load.FAILED_TASK))
        return np.asarray(none | (self.rows["status"] >= 500))

    @cached_property
    def taken(self) -> Floats:
        """Seconds from when each was due to its end; one that failed took the timeout at least."""
        return self._with_failures((self.rows["done"] - self.rows["intended"]) / 1e9)

    @cached_property
    def without_lateness(self) -> Floats:
        """The same, counted from when each was sent to when it could first have been received.

        While the generator was late with a request, whichever it was, it received none either.
        """
        late = self.run.rows[self.run.rows["sent"] - self.run.rows["intended"] > _LATE]
        done = _without(late["intended"], late["sent"] + _CATCHING_UP, self.rows["done"])
        return self._with_failures(np.maximum(done - self.rows["sent"], 0) / 1e9)

    def _with_failures(self, taken: Any) -> Floats:
        return np.asarray(np.where(self.failed, np.maximum(taken, self.run.header.timeout), taken), float)

    # Figures

    def percentile(self, share: float) -> Measurement:
        """The time (seconds) that at most 1 - `share` of the requests exceed."""
        lower, upper = rule.percentile_bounds(self.taken, share, self.floor, self.alpha)
        value = rule.percentile(self.taken, share)
        name = f"{self.label} p{share * 100:g}"

        def judge(measured: Loaded, operator: str, limit: Number) -> Verdict:
            try:
                bound = quantity.parse(limit, unit="s")
            except ValueError as error:
                return _error(measured, f"the limit can't be read: {error}")
            if operator not in ("<=", "<"):
                return _error(measured, "a percentile of latency is judged from above: <=")
            if not 0 < bound < self.run.header.timeout:
                return _error(measured, f"{limit} is not below the timeout of {self.run.header.timeout:g} s")
            beyond = np.greater if operator == "<=" else np.greater_equal
            slow, still_slow = (beyond(each, bound) for each in (self.taken, self.without_lateness))
            return self._decide(measured, operator, bound, 1 - share, slow, still_slow, f"slower than {limit}")

        return self._measurement(name, value, lower, upper, "s", judge)

    @property
    def errors(self) -> Measurement:
        """The share of requests that were not answered as expected."""
        return self._share("errors", self.failed, "failed", at_least=False)

    @property
    def availability(self) -> Measurement:
        """The share of requests that got an answer, if not the right one."""
        return self._share("availability", self.unavailable, "unanswered", at_least=True)

    def _share(self, name: str, hit: Bools, what: str, *, at_least: bool) -> Measurement:
        found = Share.of(hit, self.floor, self.alpha)
        value, lower, upper = found.value, found.lower, found.upper
        if at_least:
            value, lower, upper = 1 - value, 1 - upper, 1 - lower

        def judge(measured: Loaded, operator: str, limit: Number) -> Verdict:
            try:
                bound = quantity.parse(limit)
            except ValueError as error:
                return _error(measured, f"the limit can't be read: {error}")
            if operator not in ((">=", ">") if at_least else ("<=", "<")) or not 0 < bound < 1:
                return _error(measured, "it is a share between 0 and 1, errors at most, availability at least")
            return self._decide(measured, operator, bound, 1 - bound if at_least else bound, hit, hit, what)

        return self._measurement(f"{self.label} {name}", value, lower, upper, "", judge)

    def _measurement(
        self, name: str, value: float, lower: float, upper: float, unit: str, judge: Callable[..., Verdict]
    ) -> Measurement:
        return Loaded(
            name, value, lower, upper, len(self.rows), unit, counted="requests", subjects=self.subjects, rule=judge
        )

    # The verdict

    def _decide(
        self, measured: Loaded, operator: str, bound: float, allowed: float, hit: Bools, surely: Bools, what: str
    ) -> Verdict:
        """At most a share `allowed` of the requests may be `hit`; `surely` are those whatever the generator did."""
        share = Share.of(hit, self.floor, self.alpha)
        told = (
            f"{measured}; {share.hits} {what}, counted by {share.spread:.3g}: {share.lower:.3%} to {share.upper:.3%}, "
            f"of {self.rate:.4g}/s over {self.seconds:g} s; covers stalls of up to {self.covers:g} s"
        )
        outcome, reason, needs = self._outcome(share, allowed, surely)
        figure = _figure(measured, operator, bound, share, allowed)
        return Verdict(outcome, "", told, reason, needs, figures=(figure,))

    def _outcome(self, share: Share, allowed: float, surely: Bools) -> tuple[Outcome, str, str]:
        if limiting := problems(self.run):
            return Outcome.INCONCLUSIVE, "the load generator was the limit: " + "; ".join(limiting), "a quieter machine"
        needed = rule.least(allowed, self.alpha) * self.floor / self.rate
        if self.seconds < needed - 1e-9 and share.n / self.floor < rule.least(allowed, self.alpha):
            told = (
                f"{self.seconds:g} s are too short to say that at most {allowed:.3g} are, stalls of {self.covers:g} s"
            )
            return Outcome.INCONCLUSIVE, f"{told} included", f"a duration of {_seconds(needed)}"
        if share.upper <= allowed:
            return Outcome.PASS, "", ""
        if share.lower > allowed:
            if Share.of(surely, self.floor, self.alpha).lower > allowed:
                return Outcome.FAIL, f"{share.value:.3%} are, and at most {allowed:.3%} may be", ""
            late = np.quantile((self.rows["sent"] - self.rows["intended"]) / 1e9, 0.99)
            told = f"requests were sent late (1 in 100 by {late:.3g} s or more), which by itself could be why"
            return Outcome.INCONCLUSIVE, told, "a quieter machine"
        factor = share.longer(allowed, self.alpha)
        needs = "a longer run, or a service further from the limit"
        if math.isfinite(factor):
            needs = f"a duration of about {_seconds(factor * self.seconds)}, at the same shares"
        return Outcome.INCONCLUSIVE, "the interval holds the limit, so the data does not decide", needs


def _figure(measured: Loaded, operator: str, bound: float, share: Share, allowed: float) -> Figure:
    """The numbers for a picture. The search for the interval's ends takes steps, so the decision has the last word."""
    lower, upper = measured.lower, measured.upper
    if measured.unit == "s":
        upper = min(upper, bound) if share.upper <= allowed else max(upper, np.nextafter(bound, math.inf))
        lower = max(lower, np.nextafter(bound, math.inf)) if share.lower > allowed else min(lower, bound)
    most = float(upper) if math.isfinite(upper) else None
    return Figure(measured.name, measured.value, float(lower), most, operator, bound, measured.n, measured.unit)


def _without(begins: Any, ends: Any, moments: Any) -> Any:
    """`moments`, those within the union of the intervals put to the begin of it."""
    if not len(begins):
        return moments
    order = np.argsort(begins, kind="stable")
    begins, ends = begins[order], np.maximum.accumulate(ends[order])
    first = np.concatenate(([True], begins[1:] > ends[:-1]))  # of those that overlap
    starts, stops = begins[first], ends[np.concatenate((first[1:], [True]))]
    at = np.maximum(np.searchsorted(starts, moments, side="right") - 1, 0)
    return np.where((starts[at] <= moments) & (moments <= stops[at]), starts[at], moments)


def _error(measured: Measurement, reason: str) -> Verdict:
    return Verdict(Outcome.ERROR, "", str(measured), reason=reason)


def _seconds(number: float) -> str:
    return f"{math.ceil(number - 1e-6)} s" if number < 600 else f"{math.ceil(number / 60 - 1e-6)} min"
