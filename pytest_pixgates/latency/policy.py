"""The `[latency]` section of the policy: which service, which requests, when they are due, and what must hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal

from pytest_pixgates.core import quantity
from pytest_pixgates.core.limit import Limit
from pytest_pixgates.core.quantity import Number

PERCENTILE = re.compile(r"p(\d{1,2})(?:[._](\d+))?")
SHARES = ("errors", "availability")

Limits = Mapping[str, Limit | int | float | str]


def percentile(name: str) -> float | None:
    """The share that "p99" or "p99.9" names (0.99, 0.999), None for another name."""
    match = PERCENTILE.fullmatch(name)
    share = float(f"{match[1]}.{match[2] or 0}") / 100 if match else 0.0
    return share if 0 < share < 1 else None


def _limits(given: Limits) -> dict[str, Limit]:
    """Each limit in full: `p99 = "50ms"` means at most, `availability = "99.9%"` at least. Raises ValueError."""
    found = {}
    for name, value in given.items():
        if percentile(name) is None and name not in SHARES:
            raise ValueError(f"limits.{name}: there are p50, p95, p99, p99.9 and so on, errors, and availability")
        least = name == "availability"
        if not isinstance(value, Limit):
            value = Limit(at_least=value) if least else Limit(at_most=value)
        limit = found[name] = value
        if (limit.at_most is None) != least:
            raise ValueError(f"limits.{name}: {'at_least' if least else 'at_most'} is what can be judged")
        kind = "s" if percentile(name) else ""
        bound = quantity.parse(limit.base, unit=kind)
        if kind and not bound > 0:
            raise ValueError(f"limits.{name}: {limit.base!r} is no time")
        if kind and quantity.dimension(limit.base) != "time":
            raise ValueError(f'limits.{name}: {limit.base!r} has no unit; write it like "50ms"')
        if not kind and not 0 < bound < 1:
            raise ValueError(f"limits.{name}: {limit.base!r} must lie between 0 % and 100 %: a share of requests")
    return found


def _positive(value: float, name: str) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} is {value}; it must be more than 0")


@dataclass(frozen=True, slots=True)
class Expect:
    """What makes an answer right."""

    status: tuple[int, ...] = ()
    """The statuses; none given: any 2xx."""
    body_has: str = ""
    """A text in the body."""
    json_has: tuple[str, ...] = ()
    """Keys of the JSON."""
    json: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the JSON with their values."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`[latency.endpoints.NAME]`: one kind of request."""

    path: str = ""
    """Where it goes."""
    method: str = ""
    """By default POST if there is a body, else GET."""
    requests: str = ""
    """An NDJSON file: with `path`, each line is a body; without, each line is a request (`{"method": …, "path": …,
    "headers": {…}, "body": …}`).
    """
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of each request."""
    weight: float = 1.0
    """Its part of the arrivals."""
    expect: Expect = field(default_factory=Expect)
    """What makes an answer right: `status`, `body_has`, `json_has`, `json`."""
    limits: Limits = field(default_factory=dict)
    """Limits of its own, before those of the stage and the common ones."""

    def __post_init__(self) -> None:
        if not self.path and not self.requests:
            raise ValueError("give a path, or a file of requests")
        if self.path and not self.path.startswith("/"):
            raise ValueError(f"path {self.path!r} must begin with /")
        inside(self.requests)
        _positive(self.weight, "weight")
        object.__setattr__(self, "limits", _limits(self.limits))


@dataclass(frozen=True, slots=True)
class Stage:
    """`[latency.stages.NAME]`: a load."""

    rate: float
    """Requests a second, of all endpoints."""
    duration: str
    """How long it is judged."""
    arrivals: Literal["poisson", "fixed"] = "poisson"
    """At random moments, or evenly."""
    ramp: str = ""
    """Before that, up from nothing; not judged."""
    warm_up: str = "2s"
    """Then at the full rate; not judged."""
    limits: Limits = field(default_factory=dict)
    """Limits of its own."""

    def __post_init__(self) -> None:
        _positive(self.rate, "rate")
        quantity.seconds(self.duration)
        for each in (self.ramp, self.warm_up):
            if each and quantity.parse(each, unit="s") != 0:
                quantity.seconds(each)
        object.__setattr__(self, "limits", _limits(self.limits))

    @property
    def seconds(self) -> tuple[float, float, float]:
        """The lengths of its ramp, its warm-up, and the part that is judged."""
        ramp, warm = (quantity.parse(each, unit="s") if each else 0.0 for each in (self.ramp, self.warm_up))
        return ramp, warm, quantity.seconds(self.duration)


@dataclass(frozen=True, slots=True)
class Service:
    """A service under load: one that runs, or the command that starts it."""

    url: str = "http://127.0.0.1:{port}"
    """Where it is; `{port}` is a free port."""
    start: tuple[str, ...] = ()
    """The command that starts it; `{port}` is the port, `{python}` this Python."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables for the command."""
    ready: str = ""
    """The path that answers 2xx when it may be asked; without it a connection is enough."""
    ready_within: str = "30s"
    """How long it may take to be ready."""

    def __post_init__(self) -> None:
        if not re.match(r"https?://[^/]+$", self.url.rstrip("/")):
            raise ValueError(f"url {self.url!r} is not like http://127.0.0.1:8080")
        if "{port}" in self.url and not any("{port}" in each for each in self.start):
            raise ValueError("give `start`, with {port} in it, or the `url` of a service that runs")
        if self.ready and not self.ready.startswith("/"):
            raise ValueError(f"ready {self.ready!r} must be a path, such as /readyz")
        quantity.seconds(self.ready_within)


@dataclass(frozen=True, slots=True)
class Previous(Service):
    """`[latency.previous]`: the version that serves now, beside the new one, in blocks that alternate."""

    slow: str = ""
    """From when a request is slow, such as `"50ms"`."""
    margin: Number = "0.5%"
    """How much larger the share of slow requests may be."""
    block: str = "0.5s"
    """The length of a block."""
    stage: str = ""
    """The load; by default the first stage."""

    def __post_init__(self) -> None:
        Service.__post_init__(self)
        if not self.slow:
            raise ValueError('say what is slow, such as "50ms"')
        quantity.seconds(self.slow)
        quantity.seconds(self.block)
        if not 0 < quantity.parse(self.margin) < 1:
            raise ValueError(f"margin {self.margin!r} must lie between 0 % and 100 %")


@dataclass(frozen=True, slots=True)
class Capacity(Limit):
    """`[latency.capacity]`: the highest rate (requests a second) that still meets a limit, and what it must be."""

    percentile: str = "p99"
    """The percentile that must not be slow."""
    slow: str = ""
    """From when it is slow, such as `"50ms"`."""
    low: float = 10.0
    """The lowest rate that is searched."""
    high: float = 1000.0
    """The highest."""
    probes: int = 6
    """The most runs that it may take."""
    duration: str = "60s"
    """The length of one."""

    def __post_init__(self) -> None:
        Limit.__post_init__(self)
        if self.at_least is None:
            raise ValueError("give at_least: a capacity is not judged from above")
        if not self.slow:
            raise ValueError('say what is slow, such as "50ms"')
        quantity.seconds(self.slow)
        quantity.seconds(self.duration)
        if percentile(self.percentile) is None:
            raise ValueError(f"{self.percentile!r} is no percentile, such as p99")
        if not 0 < self.low < self.high:
            raise ValueError(f"low is {self.low} and high {self.high}: give 0 < low < high")
        if not self.low <= quantity.parse(self.base) <= self.high:
            raise ValueError(f"at_least is {self.base}, which the search from {self.low:g} to {self.high:g} can't find")
        if not 1 <= self.probes <= 20:
            raise ValueError(f"probes is {self.probes}; it must be 1 to 20")


@dataclass(frozen=True, slots=True)
class LatencyPolicy(Service):
    """`[latency]`: which service, which requests, when they are due, and what must hold."""

    locustfile: str = ""
    """Your own tasks, in place of `endpoints`."""
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    """`[latency.endpoints.NAME]`, below."""
    stages: Mapping[str, Stage] = field(default_factory=dict)
    """`[latency.stages.NAME]`, below; each limit of each stage and endpoint is a gate `limit[STAGE/ENDPOINT/NAME]`."""
    limits: Limits = field(default_factory=dict)
    """`p50` … `p99.9`, `errors`, `availability`: a value, or a limit with `environments`."""
    previous: Previous | None = None
    """`[latency.previous]`, the gate `previous`."""
    capacity: Capacity | None = None
    """`[latency.capacity]`, the gate `capacity`."""
    subjects: tuple[str, ...] = ()
    """Paths that are judged through the service, such as its code and its model; by default the policy."""
    covers_stalls: str = "0.1s"
    """The longest stall that a PASS shall speak of."""
    timeout: str = "10s"
    """For one request; a limit must be below it."""
    connections: int = 400
    """The most unanswered requests at a time."""
    workers: int = 1
    """Processes that send, each every W-th request, under a locust master."""
    seed: int = 0
    """Of the schedule."""
    allowed_targets: tuple[str, ...] = ()
    """Hosts that are not this machine and may get load."""

    def __post_init__(self) -> None:
        if self.start or "{port}" not in self.url:
            Service.__post_init__(self)
        elif self.stages or self.endpoints or self.limits:
            raise ValueError("give `start`, with {port} in it, or the `url` of a service that runs")
        object.__setattr__(self, "limits", _limits(self.limits))
        for each in (self.locustfile, *self.subjects):
            inside(each)
        if self.locustfile and self.endpoints:
            raise ValueError("give locustfile or endpoints, not both")
        for name in ("covers_stalls", "timeout"):
            quantity.seconds(getattr(self, name))
        for name, most in (("connections", 100_000), ("workers", 64)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 to {most}")
        if max(len(self.endpoints), len(self.stages)) > 200:
            raise ValueError("more than 200 endpoints or stages")
        if self.previous and self.previous.stage not in ("", *self.stages):
            raise ValueError(f"previous.stage: there is no stage {self.previous.stage!r}")
        if self.previous and self.previous.url == self.url and "{port}" not in self.url:
            raise ValueError(f"previous.url: {self.url} is the new version, which would be compared with itself")
        self._refuse_above_timeout()

    def _refuse_above_timeout(self) -> None:
        """Raise ValueError for a time that no request could exceed before it is given up."""
        times = [(f"limits.{name}", limit.base) for _, _, limits in self.judged for name, limit in limits.items()]
        times += [("previous.slow", self.previous.slow)] if self.previous else []
        times += [("capacity.slow", self.capacity.slow)] if self.capacity else []
        for name, value in times:
            if quantity.dimension(value) == "time" and quantity.parse(value, unit="s") >= quantity.seconds(
                self.timeout
            ):
                raise ValueError(f"{name} is not below the timeout of {self.timeout}, so nothing could exceed it")

    @property
    def names(self) -> tuple[str, ...]:
        """The endpoints; a locustfile is one."""
        return tuple(self.endpoints) or ("tasks",)

    @property
    def judged(self) -> tuple[tuple[str, str, dict[str, Limit]], ...]:
        """Each stage and endpoint with its limits: those of the endpoint before those of the stage, then the common."""
        found = []
        for stage, plan in self.stages.items():
            for endpoint in self.names:
                own: Limits = self.endpoints[endpoint].limits if endpoint in self.endpoints else {}
                found.append((stage, endpoint, _limits({**self.limits, **plan.limits, **own})))
        return tuple(found)

    def key(self, stage: str, endpoint: str, name: str) -> str:
        """The key of the limit `name` as the policy writes it, for its line."""
        if endpoint in self.endpoints and name in self.endpoints[endpoint].limits:
            return f"endpoints.{endpoint}.limits.{name}"
        return f"stages.{stage}.limits.{name}" if name in self.stages[stage].limits else f"limits.{name}"


def inside(path: str) -> None:
    """Raise ValueError for a path that is not inside the repository."""
    if path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path!r} must be a path inside the repository")
