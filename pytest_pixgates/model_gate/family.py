"""The `model_gate` family: a trained model, judged on a labelled test set before it may serve."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_pixgates.core.family import Context, Family, Gate

if TYPE_CHECKING:
    from pytest_pixgates.core.scan import Scan
    from pytest_pixgates.core.verdict import Verdict
    from pytest_pixgates.model_gate.gates import ModelGates
    from pytest_pixgates.model_gate.policy import ModelGatePolicy

FAIRNESS = "fairness"


class ModelGate(Family):
    """Limits with intervals, groups, champion, drift, and whether the artifact is the one that was judged."""

    name = "model_gate"
    summary = "a model by its labelled test set: limits with intervals, groups, champion, drift"
    markers = {FAIRNESS: "gates of model_gate that compare groups of customers"}  # noqa: RUF012 - as in Family

    def settings(self) -> type:
        from pytest_pixgates.model_gate.policy import ModelGatePolicy

        return ModelGatePolicy

    def fixture(self, context: Context) -> ModelGates:
        from pytest_pixgates.model_gate.gates import ModelGates

        return ModelGates(context)

    def gates(self, settings: ModelGatePolicy, root: Path) -> Iterator[Gate]:
        """One gate per limit, per limit and slice, per limit and champion, per comparison of groups; and the rest."""
        from pytest_pixgates.model_gate.about import ABOUT

        del root
        for name, limit in settings.limits.items():
            key = f"limits.{name}"
            yield Gate(f"limit[{name}]", partial(_call, "limit", name), key, about=ABOUT["limit"])
            for by in limit.slices:
                run = partial(_call, "sliced", name, by)
                yield Gate(f"slices[{name}/{by}]", run, f"{key}.slices", about=ABOUT["slices"])
            if limit.vs_champion is not None:
                run = partial(_call, "against_champion", name)
                yield Gate(f"champion[{name}]", run, f"{key}.vs_champion", about=ABOUT["champion"])
        for at, rule in enumerate(settings.fair):
            for columns in rule.compared:
                name = f"fairness[{rule.metric}/{'x'.join(columns)}]"
                run = partial(_call, "fair", at, columns)
                yield Gate(name, run, "fairness", (FAIRNESS,), ABOUT["fairness"])
        if settings.drift:
            yield Gate("drift", partial(_call, "drift"), "drift", about=ABOUT["drift"])
        if settings.artifact:
            yield Gate("artifact", partial(_call, "artifact"), "artifact", about=ABOUT["artifact"])
        if settings.limits:
            yield Gate("test_set", partial(_call, "test_set"), "scores", about=ABOUT["test_set"])


def _call(method: str, *arguments: Any) -> Any:
    """What a gate runs: a method of the fixture, which comes last."""
    *given, gates = arguments
    found: Scan | Verdict = getattr(gates, method)(*given)
    return found
