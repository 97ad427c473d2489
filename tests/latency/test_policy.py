"""The section of the policy: what it takes, and what it refuses by name."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_pixgates.core import decode, limit
from pytest_pixgates.latency.family import Latency
from pytest_pixgates.latency.policy import LatencyPolicy, percentile

LEAST: dict[str, Any] = {
    "url": "http://127.0.0.1:8080",
    "endpoints": {"score": {"path": "/score"}},
    "stages": {"steady": {"rate": 100, "duration": "30s"}},
    "limits": {"p99": "50ms"},
}


def read(**changed: Any) -> LatencyPolicy:
    return decode.decode(LatencyPolicy, {**LEAST, **changed}, "latency")


def test_each_limit_of_each_stage_and_endpoint_is_a_gate_of_its_own() -> None:
    policy = read(
        endpoints={"score": {"path": "/score", "limits": {"p50": "5ms"}}, "model": {"path": "/model"}},
        stages={
            "steady": {"rate": 10, "duration": "30s"},
            "peak": {"rate": 90, "duration": "30s", "limits": {"errors": 0.01}},
        },
    )  # fmt: skip
    names = [gate.name for gate in Latency().gates(policy, None)]  # type: ignore[arg-type]
    assert names == [
        "limit[steady/score/p99]", "limit[steady/score/p50]", "limit[steady/model/p99]",
        "limit[peak/score/p99]", "limit[peak/score/errors]", "limit[peak/score/p50]",
        "limit[peak/model/p99]", "limit[peak/model/errors]",
    ]  # fmt: skip


def test_a_stricter_environment_has_its_own_limit() -> None:
    policy = read(limits={"p99": {"at_most": "50ms", "environments": {"prod": "30ms"}}, "availability": "99.9%"})
    strict = limit.resolved(policy, "prod", frozenset({"prod"}), "latency")
    assert strict.limits["p99"].base == "30ms"
    assert strict.limits["availability"].at_least == "99.9%"


def test_percentiles_by_name() -> None:
    assert [percentile(name) for name in ("p99", "p99.9", "p99_9", "p5", "p0", "p100", "q")] == pytest.approx(
        [0.99, 0.999, 0.999, 0.05, None, None, None]
    )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"limits": {"p99": "50"}}, "no unit"),
        ({"limits": {"p99": 0.05}}, "no unit"),
        ({"limits": {"p99": {"at_least": "50ms"}}}, "at_most is what"),
        ({"limits": {"availability": {"at_most": "99%"}}}, "at_least is what"),
        ({"limits": {"errors": 0}}, "between 0 % and 100 %"),
        ({"limits": {"errors": "50ms"}}, "not a number of no unit"),
        ({"limits": {"p990": "1s"}}, "there are p50"),
        ({"limits": {"p99": "10s"}}, "not below the timeout"),
        ({"stages": {"steady": {"rate": 0, "duration": "30s"}}}, "rate is 0"),
        ({"stages": {"steady": {"rate": 5, "duration": "0s"}}}, "not a positive duration"),
        ({"stages": {"steady": {"rate": 5, "duration": "9s", "arrivals": "regular"}}}, "'poisson', 'fixed'"),
        ({"endpoints": {"score": {}}}, "give a path"),
        ({"endpoints": {"score": {"path": "score"}}}, "must begin with /"),
        ({"endpoints": {"score": {"requests": "../r.ndjson"}}}, "inside the repository"),
        ({"url": "127.0.0.1:80"}, "is not like"),
        ({"url": "http://127.0.0.1:{port}"}, "give `start`"),
        ({"locustfile": "locustfile.py"}, "not both"),
        ({"connections": 0}, "connections is 0"),
        ({"covers_stalls": "0s"}, "not a positive duration"),
        ({"previous": {"url": "http://127.0.0.1:1"}}, "what is slow"),
        ({"previous": {"url": "http://127.0.0.1:1", "slow": "50ms", "stage": "x"}}, "no stage 'x'"),
        ({"previous": {"url": LEAST["url"], "slow": "50ms"}}, "compared with itself"),
        ({"capacity": {"at_least": 50}}, "what is slow"),
        ({"capacity": {"at_least": 5000, "slow": "50ms"}}, "can't find"),
        ({"capacity": {"at_most": 50, "slow": "50ms"}}, "give at_least"),
        ({"endpoint": {}}, "did you mean 'endpoints'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(decode.DecodeError, match=told):
        read(**changed)
