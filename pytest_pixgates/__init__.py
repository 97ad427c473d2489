"""Quality gates as pytest items: a green gate is evidence.

The names here are the public ones; everything else may change. They are loaded when first used, because every
pytest run of whoever installed the package imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_pixgates.core.errors import NotMeasured, PixgatesError, PolicyError, ToolError
    from pytest_pixgates.core.family import Context, Family, Gate
    from pytest_pixgates.core.limit import Limit
    from pytest_pixgates.core.measurement import Measurement
    from pytest_pixgates.core.record import Record, Run
    from pytest_pixgates.core.scan import Finding, Problem, Scan, Severity, ToolUse
    from pytest_pixgates.core.subject import Subject
    from pytest_pixgates.core.verdict import Outcome, Verdict, any_of

__version__ = "0.1.0"

__all__ = [
    "Context",
    "Family",
    "Finding",
    "Gate",
    "Limit",
    "Measurement",
    "NotMeasured",
    "Outcome",
    "PixgatesError",
    "PolicyError",
    "Problem",
    "Record",
    "Run",
    "Scan",
    "Severity",
    "Subject",
    "ToolError",
    "ToolUse",
    "Verdict",
    "any_of",
]

_MODULES = {
    "errors": ("NotMeasured", "PixgatesError", "PolicyError", "ToolError"),
    "family": ("Context", "Family", "Gate"),
    "limit": ("Limit",),
    "measurement": ("Measurement",),
    "record": ("Record", "Run"),
    "scan": ("Finding", "Problem", "Scan", "Severity", "ToolUse"),
    "subject": ("Subject",),
    "verdict": ("Outcome", "Verdict", "any_of"),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            import importlib

            return getattr(importlib.import_module(f"{__name__}.core.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
