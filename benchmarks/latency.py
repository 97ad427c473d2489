"""What each load generator says of a service whose stalls are known, and what it costs.

    python benchmarks/latency.py [SECONDS]

The service stands still for 0.3 s in every 3 s. Who arrives at a random moment waits for it with probability 1/10, so
the true p99 is 0.27 s. Ours sends when a request is due; locust's users and wrk's connections wait for their answer
first. CPU is that of the generator's process, the difference of a long and a short run, so that no start-up counts.
Fails if ours is further than 5 % from the truth. wrk is Debian's; without it, its line says NOT RUN.
"""

from __future__ import annotations

import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pytest_pixgates.core import tools
from pytest_pixgates.latency import load, service
from pytest_pixgates.latency.policy import Endpoint, LatencyPolicy, Stage
from pytest_pixgates.latency.results import View, problems
from pytest_pixgates.latency.service import Target

ROOT = Path(__file__).parents[1]
RATE, USERS, SHORT = 100, 2, 6.0
TRUE = 0.9 * 0.3  # seconds
BAR = 0.05

STOCK = f"""
from locust import FastHttpUser, constant_throughput, task

class Stock(FastHttpUser):
    wait_time = constant_throughput({RATE / USERS})

    @task
    def score(self):
        self.client.post("/score", json={{"amount": 1}})
"""


@dataclass(frozen=True)
class Seen:
    """What a generator measured: p99 in seconds, requests, its CPU seconds, and what to know of it."""

    p99: float
    requests: int
    cpu: float = 0.0
    told: str = ""


Generator = Callable[[Target, float, Path], Seen]


def ours(place: Target, seconds: float, folder: Path) -> Seen:
    stage = Stage(rate=RATE, duration=f"{seconds}s", arrivals="fixed", warm_up="")
    policy = LatencyPolicy(
        url=place.url, endpoints={"score": Endpoint(path="/score", method="POST")}, stages={"steady": stage}
    )
    run = load.drive(policy, {"steady": stage}, [place], folder / "run", folder, seed=1)
    seen = View(run, 0, 0, 0.05, 0.1).p99
    return Seen(seen.value, len(run.rows), told="; ".join(problems(run)))


def locust(place: Target, seconds: float, folder: Path) -> Seen:
    (folder / "stock.py").write_text(STOCK)
    command = [
        str(tools.find(tools.LOCUST).path), "-f", "stock.py", "--headless", "-u", str(USERS), "-r", str(USERS),
        "-t", f"{seconds:g}s", "-H", place.url, "--json", "--loglevel", "ERROR",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    (told,) = json.loads(done.stdout)
    times = sorted(float(ms) for ms, count in told["response_times"].items() for _ in range(count))
    return Seen(times[int(0.99 * len(times))] / 1000, told["num_requests"])


def wrk(place: Target, seconds: float, folder: Path) -> Seen:
    del folder
    command = ["wrk", "-t1", f"-c{USERS}", f"-d{seconds:g}s", "--latency", f"{place.url}/score"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    tail, sent = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", said), re.search(r"(\d+) requests in", said)
    if tail is None or sent is None:
        raise RuntimeError(f"wrk says neither its p99 nor its requests:\n{said}")
    return Seen(float(tail[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[tail[2]], int(sent[1]))


@contextmanager
def stalling(folder: Path) -> Iterator[Target]:
    start = ("{python}", str(ROOT / "tests" / "lanes" / "latency" / "service.py"), "{port}", "stalls")
    with service.running(LatencyPolicy(start=start, ready="/ready"), ROOT, folder / "service.log") as place:
        yield place


def measured(generator: Generator, place: Target, seconds: float) -> Seen:
    """A run of so many seconds, with the CPU of its processes."""
    with tempfile.TemporaryDirectory() as name:
        before = _cpu()
        seen = generator(place, seconds, Path(name))
    return Seen(seen.p99, seen.requests, _cpu() - before, seen.told)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 30.0
    print(f"p99 over {seconds:g} s; true: {TRUE * 1000:.0f} ms (stalls of 0.3 s in every 3 s)")
    with tempfile.TemporaryDirectory() as name, stalling(Path(name)) as place:
        found = {}
        for title, generator in (
            (f"pytest-pixgates, {RATE}/s when due", ours),
            (f"locust, {USERS} users, {RATE}/s", locust),
            (f"wrk, {USERS} connections", wrk),
        ):
            if generator is wrk and shutil.which("wrk") is None:
                print(f"NOT RUN: {title}: wrk is not installed (on Debian: apt-get install wrk)")
                continue
            long, short = measured(generator, place, seconds), measured(generator, place, SHORT)
            cpu = (long.cpu - short.cpu) / (long.requests - short.requests) * 1000
            found[generator] = long
            print(
                f"{title:<36} p99 {long.p99 * 1000:7.1f} ms  {long.p99 / TRUE:6.1%} of the truth  "
                f"{long.requests:>7,} requests  {cpu:.3f} s CPU per 1,000  {long.told}"
            )
    near = abs(found[ours].p99 / TRUE - 1) <= BAR
    return 0 if near else 1


if __name__ == "__main__":
    sys.exit(main())
