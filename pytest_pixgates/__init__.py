"""Quality gates as pytest items: a green gate is evidence.

The names here are the public ones; everything else may change. They are loaded when first used, because every
pytest run of whoever installed the package imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_pixgates.core.errors import NotMeasured, PixgatesError, PolicyError, ToolError
    from pytest_pixgates.core.family import About, Context, Family, Gate
    from pytest_pixgates.core.limit import Limit
    from pytest_pixgates.core.measurement import Measurement
    from pytest_pixgates.core.record import Record, Run
    from pytest_pixgates.core.scan import Finding, Problem, Scan, Severity, ToolUse
    from pytest_pixgates.core.subject import Subject
    from pytest_pixgates.core.verdict import Outcome, Verdict, any_of
    from pytest_pixgates.evidence.approval import Approval, verify_approval
    from pytest_pixgates.evidence.ledger import LedgerError, NonceLedger
    from pytest_pixgates.evidence.verify import verify_evidence
    from pytest_pixgates.model_gate.scores import Scores

__version__ = "0.1.0"

__all__ = [
    "About",
    "Approval",
    "Context",
    "Family",
    "Finding",
    "Gate",
    "LedgerError",
    "Limit",
    "Measurement",
    "NonceLedger",
    "NotMeasured",
    "Outcome",
    "PixgatesError",
    "PolicyError",
    "Problem",
    "Record",
    "Run",
    "Scan",
    "Scores",
    "Severity",
    "Subject",
    "ToolError",
    "ToolUse",
    "Verdict",
    "any_of",
    "verify_approval",
    "verify_evidence",
]

_MODULES = {
    "core.errors": ("NotMeasured", "PixgatesError", "PolicyError", "ToolError"),
    "core.family": ("About", "Context", "Family", "Gate"),
    "core.limit": ("Limit",),
    "core.measurement": ("Measurement",),
    "core.record": ("Record", "Run"),
    "core.scan": ("Finding", "Problem", "Scan", "Severity", "ToolUse"),
    "core.subject": ("Subject",),
    "core.verdict": ("Outcome", "Verdict", "any_of"),
    "evidence.approval": ("Approval", "verify_approval"),
    "evidence.ledger": ("LedgerError", "NonceLedger"),
    "evidence.verify": ("verify_evidence",),
    "model_gate.scores": ("Scores",),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            import importlib

            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
