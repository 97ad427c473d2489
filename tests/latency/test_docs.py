"""docs/latency.md: its policy is one and declares the gates that it names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from pytest_pixgates.core import decode
from pytest_pixgates.latency.family import Latency
from pytest_pixgates.latency.policy import LatencyPolicy

TEXT = (Path(__file__).parents[2] / "docs" / "latency.md").read_text()


def test_the_policy_is_one_and_declares_the_gates_that_are_named() -> None:
    written = "\n".join(re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL))
    policy = decode.decode(LatencyPolicy, tomllib.loads(written)["latency"], "latency")
    names = {gate.name for gate in Latency().gates(policy, Path())}
    assert {"limit[steady/score/p99]", "limit[peak/model/p50]", "previous", "capacity"} <= names
    assert len(names) == 2 * (3 + 4) + 2
