"""A decision with its reasons, and how it is made again from its line in the log.

With a model the score decides: block at the threshold and above, else approve. Without one, rules decide, which are
named in the answer; a person reviews what they neither approve nor block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_pipeline.serving.model import Model

RULES = "rules-1"
NIGHT = (20, 6)  # o'clock in São Paulo, from which and until which the limit of Res. BCB 142/2021 holds
NIGHT_CENTS = 100_000
UNREGISTERED_CENTS = 20_000  # by Res. BCB 403/2024
NEW_PAYEE_CENTS = 100_000
LARGE_CENTS = 500_000


@dataclass(frozen=True)
class Decision:
    """What becomes of a payment, by what, and why."""

    score: float | None
    decision: str
    model_version: str
    reasons: tuple[str, ...]


def by_model(model: Model, row: NDArray[np.float32]) -> Decision:
    """What the model says. Only an alert has reasons. Raises ValueError if the model gives no probability."""
    score = model.score(row)
    if score < model.threshold:
        return Decision(score, "approve", model.version, ())
    return Decision(score, "block", model.version, model.reasons(row, score))


def by_rules(cents: int, features: Mapping[str, float]) -> Decision:
    """What the rules say without a model."""
    begins, ends = NIGHT
    night = features["hour"] >= begins or features["hour"] < ends
    new_payee = features["is_new_payee"] == 1
    blocking = {"unregistered_device_above_limit": not features["device_registered"] and cents > UNREGISTERED_CENTS}
    reviewed = {
        "night_above_limit": night and cents > NIGHT_CENTS,
        "new_payee_large": new_payee and cents > NEW_PAYEE_CENTS,
        "large": cents > LARGE_CENTS,
    }
    for decision, rules in (("block", blocking), ("review", reviewed)):
        reasons = tuple(name for name, holds in rules.items() if holds)
        if reasons:
            return Decision(None, decision, RULES, reasons)
    return Decision(None, "approve", RULES, ())


def again(line: Mapping[str, Any], model: Model | None) -> Decision:
    """The decision that a line of the log tells of, made again.

    Raises ValueError if `model` is not the one that decided.
    """
    if line["model_version"] == RULES:
        return by_rules(line["amount_cents"], line["features"])
    if model is None or line["model_sha256"] != model.sha256["model.onnx"]:
        raise ValueError(f"{line['model_version']} decided this; give that model")
    return by_model(model, np.array([line["features"][name] for name in model.features], np.float32))
