"""Looks at the service's own figures, and calls `rollback` when the error budget burns; or only says so, by policy.

A payment was served badly if it got an error of the server, rules decided in place of the model, or it took too long.
The budget is what the objective allows. It burns if the share of bad ones is so many times what is allowed, both over
the whole window and over its last quarter: one blip that is over is no reason to go back, nor is a slow leak.
Drift of the data is only told: an older model knows no more of it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ml_pipeline import deploy
from ml_pipeline.ledger import steps
from ml_pipeline.ledger.steps import Refused

if TYPE_CHECKING:
    from ml_pipeline.deploy import Place

BURNT = 1
SECONDS = 5.0  # for one answer of the service
SILENCES = 3  # answers in a row that did not come
ENDPOINTS = frozenset({"/score", "/score/batch"})
_LINE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Budget:
    """`objective` is the share that must be served well, `window` in seconds, `least` the payments to judge by."""

    objective: float = 0.999
    window: float = 300.0
    burn: float = 10.0
    least: int = 50
    slow: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.objective < 1 or self.window <= 0 or self.burn < 1 or self.least < 1 or self.slow <= 0:
            raise ValueError("--objective must lie between 0 and 1, --burn and --least be at least 1, times above 0")

    @property
    def allowed(self) -> float:
        """The share of bad ones from which on the budget burns."""
        return min((1 - self.objective) * self.burn, 1.0)


@dataclass(frozen=True)
class Seen:
    """Payments since the process began, and how many of them were served badly."""

    at: float
    total: float
    bad: float


def counted(text: str, at: float, slow: float) -> Seen:
    """What `/metrics` says. Raises ValueError if it has no bucket of `slow` seconds."""
    answers = errors = rules = quick = timed = 0.0
    bounds = set()
    for name, labels, value in _samples(text):
        if labels.get("endpoint") in ENDPOINTS:
            status = labels.get("status", "")
            if name == "scoring_requests_total" and not status.startswith("4"):
                answers += value
                errors += value if status.startswith("5") else 0
            elif name == "scoring_request_seconds_count":
                timed += value
            elif name == "scoring_request_seconds_bucket":
                bounds.add(labels["le"])
                quick += value if labels["le"] != "+Inf" and float(labels["le"]) == slow else 0
        elif name == "scoring_decisions_total" and labels.get("model_version", "").startswith("rules-"):
            rules += value
    if bounds and not any(each != "+Inf" and float(each) == slow for each in bounds):
        raise ValueError(f"the service has no bucket of {slow:g} s; choose one of {', '.join(sorted(bounds))}")
    return Seen(at, answers, min(answers, errors + rules + timed - quick))


def burnt(seen: Iterable[Seen], budget: Budget) -> str:
    """Why the budget burns; "" if it does not, or too little is known."""
    known = list(seen)
    if len(known) < 2:
        return ""
    recent = [each for each in known if each.at >= known[-1].at - budget.window / 4]
    shares = []
    for first in (known[0], recent[0] if len(recent) > 1 else known[-2]):
        total, bad = known[-1].total - first.total, known[-1].bad - first.bad
        if total <= 0 or bad / total < budget.allowed:
            return ""
        shares.append((total, bad))
    total, bad = shares[0]
    if total < budget.least:
        return ""
    return f"{bad:.0f} of {total:.0f} payments were served badly, and {budget.allowed:.2%} may be"


class Watch:
    """What was seen within the window. A process that starts anew counts from 0, so what was before is dropped."""

    def __init__(self, budget: Budget, url: str) -> None:
        self.budget, self.url, self.silences = budget, url, 0
        self.seen: deque[Seen] = deque()

    def look(self, now: float) -> str:
        """Ask once. Returns why the budget burns, or "". Raises ValueError as `counted`."""
        try:
            text = _get(self.url)
        except (OSError, http.client.HTTPException) as error:
            self.silences += 1
            said = f"the service did not answer {self.silences} times in a row ({type(error).__name__})"
            return said if self.silences >= SILENCES else ""
        self.silences = 0
        found = counted(text, now, self.budget.slow)
        if self.seen and (found.total < self.seen[-1].total or found.bad < self.seen[-1].bad):
            self.seen.clear()
        self.seen.append(found)
        while len(self.seen) > 1 and self.seen[1].at <= now - self.budget.window:
            self.seen.popleft()
        return burnt(self.seen, self.budget)


def drifted(records: Path) -> list[str]:
    """What the drift gate of a run found. Raises ValueError or OSError if there is no such record."""
    run = json.loads(records.read_bytes())
    found = [each for each in run["records"] if str(each["gate"]).startswith("model_gate/drift")]
    if not found:
        raise ValueError(f"{records} has no record of the drift gate; run `pytest -m model_gate`")
    return [f"{each['gate']} is {each['outcome']}: {each['reason']}" for each in found if each["outcome"] != "PASS"]


def watch(place: Place, look: Watch, every: float, until: float | None, *, only_alert: bool) -> str:
    """Look every so many seconds, until the budget burns or the time is up. Returns why it burns, or "".

    Raises Refused if the rollback is refused or fails.
    """
    from ml_pipeline.rollback import rollback

    while until is None or time.monotonic() < until:
        why = look.look(time.monotonic())
        if why:
            print(f"ALERT {place.environment}: the error budget burns: {why}", file=sys.stderr, flush=True)
            live = place.history().live
            if live and live.is_rollback:
                raise Refused(f"{live} is a rollback already, so nothing is changed: have somebody look")
            if not only_alert:
                rollback(place, f"error budget: {why}")
            return why
        time.sleep(every)
    return ""


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            yield match["name"], dict(_LABEL.findall(match["labels"] or "")), float(match["value"])


def _get(url: str) -> str:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=SECONDS)
    try:
        connection.request("GET", parts.path or "/metrics", headers={"connection": "close"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise ConnectionError(f"status {answer.status}")
        return answer.read().decode()
    finally:
        connection.close()


def add_arguments(parsers: Any) -> None:
    """The subcommand `watch`."""
    parser = parsers.add_parser("watch", help="roll back when the error budget burns", description=__doc__)
    parser.set_defaults(run=run, step="watch")
    deploy.add_place(parser)
    parser.add_argument("--url", help="the service's figures (http://HOST:PORT/metrics)")
    parser.add_argument("--objective", type=float, default=Budget.objective, help="share served well (%(default)s)")
    parser.add_argument("--window", type=float, default=Budget.window, help="seconds that are looked at (%(default)s)")
    parser.add_argument("--burn", type=float, default=Budget.burn, help="times what is allowed (%(default)s)")
    parser.add_argument("--least", type=int, default=Budget.least, help="payments to judge by (%(default)s)")
    parser.add_argument("--slow", type=float, default=Budget.slow, help="seconds that are too long (%(default)s)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks (%(default)s)")
    parser.add_argument("--seconds", type=float, help="end after so long, if nothing happens")
    parser.add_argument("--records", type=Path, help="records.json of a run with the drift gate")
    parser.add_argument("--on-burn", choices=("rollback", "alert"), default="rollback", help="(%(default)s)")


def run(arguments: argparse.Namespace) -> None:
    """Watch as the arguments ask. Exit code 1 if the budget burnt. Raises ValueError, OSError."""
    from ml_pipeline.ledger import glass

    with steps.exits():
        place = deploy.place_of(arguments)
        glass.warn(place.ledger, place.policy)
        budget = Budget(arguments.objective, arguments.window, arguments.burn, arguments.least, arguments.slow)
        for each in drifted(arguments.records) if arguments.records else []:
            print(f"ALERT {place.environment}: {each}; judge and train again", file=sys.stderr, flush=True)
        if arguments.target != "local" and not arguments.url:
            raise ValueError(f"--target {arguments.target} needs --url, where the service's figures are")
        look = Watch(budget, arguments.url or f"http://{arguments.host}:{arguments.port}/metrics")
        until = None if arguments.seconds is None else time.monotonic() + arguments.seconds
        if watch(place, look, arguments.every, until, only_alert=arguments.on_burn == "alert"):
            sys.exit(BURNT)
