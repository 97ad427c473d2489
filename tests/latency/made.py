"""Runs of load made up from numbers, to try what is said of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_pixgates.core.scan import ToolUse
from pytest_pixgates.latency import load
from pytest_pixgates.latency.load import Header, Run, Summary
from pytest_pixgates.latency.policy import Stage
from pytest_pixgates.latency.results import View

MS = 1_000_000


def run(
    taken: Any,
    *,
    rate: float = 100.0,
    late: Any = 0,
    outcome: Any = 0,
    status: Any = 200,
    lost: int = 0,
    **summary: Any,
) -> Run:
    """One stage of evenly spaced requests that took `taken` (ms from when they were due) and were sent `late` (ms)."""
    taken = np.asarray(taken, float)
    n = len(taken)
    due = (np.arange(n) / rate * 1e9).astype(np.int64)
    arrivals = np.zeros(n, load._ARRIVALS)
    arrivals["due"], arrivals["judged"], arrivals["request"] = due, 1, np.arange(n)
    rows = np.zeros(n, load._DTYPE)
    rows["index"], rows["intended"], rows["outcome"], rows["status"] = np.arange(n), due, outcome, status
    rows["sent"], rows["done"] = due + np.asarray(late) * MS, due + (taken * MS).astype(np.int64)
    rows["first"] = rows["done"]
    told: dict[str, Any] = {
        "scheduled": n, "sent": n, "recorded": n, "overflow": 0, "most": 3, "cpu_seconds": 1.0,
        "wall_seconds": n / rate, "errors": {},
    }  # fmt: skip
    header = Header(
        {"steady": Stage(rate=rate, duration=f"{n / rate}s")}, ((0.0, n / rate),), ("score",), ("http://127.0.0.1",),
        10.0, 400, ToolUse("locust", "2.47.0", "0" * 64),
    )  # fmt: skip
    return Run(header, arrivals, rows[: n - lost], (Summary(**{**told, **summary}),))


def view(taken: Any, *, covers: float = 0.1, **how: Any) -> View:
    return View(run(taken, **how), 0, 0, 0.05, covers)
