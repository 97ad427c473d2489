"""docs/model-gate.md: its policy declares the gates that it names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from pytest_pixgates.core import decode
from pytest_pixgates.model_gate.family import ModelGate
from pytest_pixgates.model_gate.policy import ModelGatePolicy

DOC = Path(__file__).parents[2] / "docs" / "model-gate.md"


def test_the_policy_is_one_and_declares_the_gates_that_are_named() -> None:
    text = re.search(r"```toml\n(.*?)```", DOC.read_text(), re.DOTALL)
    assert text
    table = tomllib.loads(text[1])["model_gate"]
    policy = decode.decode(ModelGatePolicy, table, "model_gate")
    names = {gate.name for gate in ModelGate().gates(policy, DOC)}
    named = {"limit[recall]", "slices[recall/region]", "champion[recall]", "fairness[false_positive_rate/region]"}
    assert named | {"drift", "test_set"} <= names
