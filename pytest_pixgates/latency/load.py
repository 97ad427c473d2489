"""One run of load: the schedule and the requests written for the driver, the driver run, its records read back.

The folder of a run holds all that a verdict or a picture is made from.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_pixgates.core import decode, files, process, quantity, tools
from pytest_pixgates.core.errors import NotMeasured, ToolError
from pytest_pixgates.core.scan import ToolUse
from pytest_pixgates.latency import plan
from pytest_pixgates.latency.plan import ARRIVAL, SECOND, Plan
from pytest_pixgates.latency.policy import Endpoint, Expect, LatencyPolicy, Stage
from pytest_pixgates.latency.service import Target, free_port

OUTCOMES = ("ok", "wrong status", "wrong body", "no answer", "timeout", "failed task")
OK, WRONG_STATUS, WRONG_BODY, NO_ANSWER, TIMEOUT, FAILED_TASK = range(len(OUTCOMES))
RECORD = "<IBhqqqq"
_DTYPE = np.dtype(
    {
        "names": ["index", "outcome", "status", "intended", "sent", "first", "done"],
        "formats": ["<u4", "u1", "<i2", "<i8", "<i8", "<i8", "<i8"],
        "offsets": [0, 4, 5, 7, 15, 23, 31],
        "itemsize": 39,
    }
)
_ARRIVALS = np.dtype(
    [("due", "<i8"), ("judged", "u1"), ("stage", "u1"), ("target", "u1"), ("endpoint", "u1"), ("request", "<u4")]
)
_LOAD, _RUN = "load.json", "run.json"
# So much is not the schedule: locust's own start, connecting workers, the end.
_AROUND = 90.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What a sending process said of itself: counts, the most requests at a time, its CPU and wall time (seconds)."""

    scheduled: int
    sent: int
    recorded: int
    overflow: int
    most: int
    cpu_seconds: float
    wall_seconds: float
    errors: dict[str, int]


@dataclass(frozen=True, slots=True)
class Header:
    """What a run was: its stages by name, endpoints, targets, settings, the driver, and the moment (epoch seconds)."""

    stages: dict[str, Stage]
    windows: tuple[tuple[float, float], ...]
    endpoints: tuple[str, ...]
    targets: tuple[str, ...]
    timeout: float
    connections: int
    driver: ToolUse


@dataclass(frozen=True)
class Run:
    """Everything that was recorded. `rows` are the requests in the order of the schedule, times in ns since the start.

    `arrivals` is the whole schedule; a row's `index` is its place there.
    """

    header: Header
    arrivals: NDArray[Any]
    rows: NDArray[Any]
    summaries: tuple[Summary, ...]

    @classmethod
    def read(cls, folder: Path) -> Run:
        """The run in `folder`. Raises NotMeasured for what is not one, or not whole."""
        try:
            header = decode.decode(Header, json.loads((folder / _RUN).read_bytes()))
            arrivals = np.frombuffer((folder / "arrivals.bin").read_bytes(), _ARRIVALS)
            parts = sorted(folder.glob("records-*.bin"))
            rows = np.concatenate([np.frombuffer(part.read_bytes(), _DTYPE) for part in parts])
            told = [json.loads(path.read_bytes()) for path in sorted(folder.glob("summary-*.json"))]
            summaries = tuple(decode.decode(Summary, each) for each in told)
        except (OSError, ValueError) as error:
            raise NotMeasured(f"{folder} holds no whole run of load: {error}") from None
        rows = rows[np.argsort(rows["index"], kind="stable")]
        if len(np.unique(rows["index"])) != len(rows) or (len(rows) and rows["index"][-1] >= len(arrivals)):
            raise NotMeasured(f"{folder}: requests were recorded twice, or were not scheduled")
        return cls(header, arrivals, rows, summaries)

    @property
    def digest(self) -> str:
        """The digest of the schedule and the records."""
        return hashlib.sha256(self.arrivals.tobytes() + self.rows.tobytes()).hexdigest()


def drive(
    policy: LatencyPolicy,
    stages: dict[str, Stage],
    targets: Sequence[Target],
    folder: Path,
    root: Path,
    *,
    seed: int,
    blocks: float = 0.0,
    configured: Path | None = None,
) -> Run:
    """Send `stages` to `targets` (two: in alternating `blocks` of seconds) and keep all of it in `folder`.

    `configured` is the policy's own locust. Raises NotMeasured.
    """
    locust = tools.find(tools.LOCUST, configured=configured)
    endpoints = {name: (each, requests(each, root)) for name, each in policy.endpoints.items()}
    weights = [each.weight for each in policy.endpoints.values()] or [1.0]
    made = plan.plan(tuple(stages.values()), weights, seed, blocks=blocks)
    if not made.arrivals:
        raise NotMeasured("no request would be sent", remedy="raise `rate` or `duration` of the stage in [latency]")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _write(policy, made, endpoints, targets, folder, root, seed)
    argv = _locust(locust, policy, made, folder)
    header = Header(
        stages, tuple((begin / SECOND, end / SECOND) for begin, end in made.windows), policy.names,
        tuple(each.url for each in targets), quantity.seconds(policy.timeout), policy.connections,
        ToolUse(locust.name, locust.version, locust.sha256, argv),
    )  # fmt: skip
    files.write_atomically(folder / _RUN, json.dumps(decode.encode(header)))
    return Run.read(folder)


def write_histogram(taken: NDArray[np.float64], path: Path) -> None:
    """Seconds as an HDR histogram of microseconds, three digits, in the encoding that its tools read."""
    from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped, unused-ignore]

    histogram = HdrHistogram(1, 3_600_000_000, 3)
    values, counts = np.unique(np.maximum(np.rint(taken * 1e6), 1).astype(np.int64), return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        histogram.record_value(value, count)
    files.write_atomically(path, histogram.encode().decode() + "\n")


def requests(endpoint: Endpoint, root: Path) -> list[dict[str, Any]]:
    """The requests of `endpoint`, in order. Raises NotMeasured that names file and line."""
    if not endpoint.requests:
        return [_request(endpoint, {"path": endpoint.path})]
    path = root / endpoint.requests
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise NotMeasured(f"{endpoint.requests}: {error}", remedy="correct `requests` in [latency]") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            given = decode.strict_json(line)
            fits = {"path": endpoint.path, "body": line} if endpoint.path else given
            found.append(_request(endpoint, fits))
        except (ValueError, TypeError, KeyError) as error:
            raise NotMeasured(
                f"{endpoint.requests}:{number}: {error!r}", remedy="one JSON document a line: see docs/latency.md"
            ) from None
    if not found:
        raise NotMeasured(f"{endpoint.requests} holds no request")
    return found


def _request(endpoint: Endpoint, given: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(given, dict) or not {"path"} <= given.keys() <= {"path", "method", "headers", "body"}:
        raise ValueError("a request has path, and may have method, headers, body")
    body = given.get("body", "")
    text = body if isinstance(body, str) else json.dumps(body)
    method = given.get("method") or endpoint.method or ("POST" if text else "GET")
    headers = {**({"Content-Type": "application/json"} if text else {}), **endpoint.headers, **given.get("headers", {})}
    parts = (given["path"], method, *headers, *headers.values())
    if not all(isinstance(each, str) and each.isprintable() for each in parts) or not given["path"].startswith("/"):
        raise ValueError("path, method and headers must be text, and the path begin with /")
    return {"method": method, "path": given["path"], "headers": headers, "body": text}


def _write(
    policy: LatencyPolicy,
    made: Plan,
    endpoints: dict[str, tuple[Endpoint, list[dict[str, Any]]]],
    targets: Sequence[Target],
    folder: Path,
    root: Path,
    seed: int,
) -> None:
    """What the driver reads."""
    load = {
        "arrival": ARRIVAL.format,
        "record": RECORD,
        "seed": seed,
        "timeout": quantity.seconds(policy.timeout),
        "connections": policy.connections // policy.workers or 1,
        "ready_clients": 20,
        "workers": policy.workers,
        "locustfile": str(root / policy.locustfile) if policy.locustfile else "",
        "root": str(root),
        "addresses": sorted({"127.0.0.1", "::1", *(address for each in targets for address in each.addresses)}),
        "targets": [
            {
                "index": index, "url": each.url, "address": each.addresses[0], "host": each.host, "port": each.port,
                "tls": each.tls, "authority": each.authority,
            }
            for index, each in enumerate(targets)
        ],
        "endpoints": [
            {"expect": decode.encode(each.expect), "requests": given} for each, given in endpoints.values()
        ] or [{"expect": decode.encode(Expect()), "requests": []}],
    }  # fmt: skip
    (folder / "arrivals.bin").write_bytes(made.to_bytes())
    files.write_atomically(folder / _LOAD, json.dumps(load))


def _locust(locust: tools.Tool, policy: LatencyPolicy, made: Plan, folder: Path) -> tuple[str, ...]:
    """Run the driver to its end; what was run. Raises NotMeasured."""
    driver = Path(__file__).with_name("driver.py")
    common = (str(locust.path), "-f", str(driver), "--loglevel", "WARNING")
    local = (*common, "--headless", "--only-summary", "--users", str(policy.workers), "--spawn-rate", "1000")
    env = {
        "PIXGATES_LOAD": str(folder),
        "GEVENT_BACKEND": "select",  # the others count in milliseconds
        "HOME": str(folder),  # no ~/.locust.conf
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    timeout = made.arrivals[-1].due / SECOND + 2 * quantity.seconds(policy.timeout) + _AROUND
    if policy.workers == 1:
        done = process.run(local, cwd=folder, timeout=timeout, env=env)
        code, said = done.returncode, done.tail()
    else:
        code, said = _distributed(common, local, policy.workers, folder, timeout, env)
    missing = [each for each in range(policy.workers) if not (folder / f"summary-{each}.json").exists()]
    if code != 0 or missing:
        raise ToolError(f"locust did not finish the load (rc {code}):\n{said}", remedy=tools.LOCUST.install)
    return local


def _distributed(
    common: Sequence[str], local: Sequence[str], workers: int, folder: Path, timeout: float, env: dict[str, str]
) -> tuple[int, str]:
    """Workers beside a master that ends when all of them have written everything."""
    port = str(free_port())
    logs = [folder / f"worker-{number}.log" for number in range(workers)]
    with contextlib.ExitStack() as stack:
        for log in logs:
            argv = (*common, "--worker", "--master-host", "127.0.0.1", "--master-port", port)
            stack.enter_context(process.background(argv, cwd=folder, log=log, env=env))
        bind = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port)
        most = ("--expect-workers", str(workers), "--expect-workers-max-wait", str(round(_AROUND / 2)))
        done = process.run((*local, *bind, *most), cwd=folder, timeout=timeout, env=env)
    said = "\n".join((done.tail(), *(process.mask(log.read_text(errors="replace")[-1000:]) for log in logs)))
    return done.returncode, said.strip()
