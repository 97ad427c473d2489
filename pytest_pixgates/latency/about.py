"""The gates of `latency` in words."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_pixgates.core.family import About

_PAGE = "docs/latency.md"

ABOUT: Mapping[str, About] = {
    "limit": About(
        "One limit of one endpoint under one stage of load; a request counts from when it was due.",
        "PASS if the upper bound of the share of requests that are slower (or wrong) allows it, FAIL if the lower "
        "bound does not, else INCONCLUSIVE with the duration that would decide; also, whatever was measured, if the "
        "load generator was the limit. Bounds allow for stalls of up to `covers_stalls`.",
        ("covers_stalls", "stages", "timeout", "connections"),
        _PAGE,
    ),
    "previous": About(
        "The new version is not slower than the previous one, side by side under the same load.",
        "PASS if the upper bound of the difference in the share of slow requests is at most the margin.",
        ("previous",),
        f"{_PAGE}#against-the-previous-version",
    ),
    "capacity": About(
        "The highest rate at which the percentile still holds is at least what is asked.",
        "PASS if `at_least` holds in a run of its own, FAIL if it does not; each probe takes its part of alpha.",
        ("capacity",),
        f"{_PAGE}#capacity",
    ),
}
