"""Why something could not be measured or read, with what to do about it."""

from __future__ import annotations

EXTRA = "pip install 'pytest-pixgates[{}]'"
"""What installs the libraries that a family needs."""


class PixgatesError(Exception):
    """Base of all errors that this package raises on purpose.

    `remedy` says what to do next; it is part of the text.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{message}\n  fix: {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy


class UsageError(PixgatesError):
    """The arguments, or the variables that stand for them, can't be used as given."""


class PolicyError(PixgatesError):
    """The policy or a waiver file can't be used as written: a usage error, pytest's exit code 4."""


class NotMeasured(PixgatesError):  # noqa: N818 - it names a state of a gate, which becomes its ERROR
    """A gate could not measure what it judges; the gate's outcome is ERROR, never PASS."""


class ToolError(NotMeasured):
    """An external tool is missing, unsupported, crashed, timed out or said something unreadable."""


class ToolMissing(ToolError):  # noqa: N818 - as NotMeasured
    """The tool is not there, or what was named as the tool can't be run."""


class ToolVersionUnsupported(ToolError):  # noqa: N818 - as NotMeasured
    """The tool's version is outside of the range that this package was tried with."""


class ToolTimeout(ToolError):  # noqa: N818 - as NotMeasured
    """The tool was ended because it ran longer than its limit."""


class ToolOutputTooLarge(ToolError):  # noqa: N818 - as NotMeasured
    """The tool was ended because it printed more than its limit; cut output could hide findings."""
