"""Writes docs/consistency.md from the rules: `python -m pytest_pixgates.infra.consistency.docs [file]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pytest_pixgates.core import files
from pytest_pixgates.infra.consistency.rule import Rule
from pytest_pixgates.infra.consistency.rules import RULES

_INTRODUCTION = """\
# Consistency

Defects that span files, which neither a scanner of single objects nor the API server's dry run finds. The rules judge
what an overlay **renders**, and name the lines of the sources. Each finding stands at one side and names the other.

Objects that are made elsewhere, such as a Secret by an operator, are listed as `external` ("Secret/scoring-kafka").
Each example below runs in the tests: the first must pass, the second must fail. They hold only what the rule needs.

This file is written by `python -m pytest_pixgates.infra.consistency.docs`.
"""


def text() -> str:
    """The whole page."""
    table = "\n".join(f"| [`{rule.name}`](#{rule.name}) | {rule.summary} |" for rule in RULES)
    return "\n".join([_INTRODUCTION, f"| Rule | Holds |\n|---|---|\n{table}\n", *map(_section, RULES)])


def _section(rule: Rule[Any]) -> str:
    return (
        f"## {rule.name}\n\n{rule.summary}\n\n- Why: {rule.why}\n- Fix: {rule.fix}\n\n"
        f"Passes:\n\n```yaml\n{rule.passing}```\n\nFails with:\n\n```diff\n{_changes(rule)}\n```\n"
    )


def _changes(rule: Rule[Any]) -> str:
    from difflib import unified_diff

    before, after = rule.passing.splitlines(), rule.failing.splitlines()
    return "\n".join(list(unified_diff(before, after, lineterm="", n=1))[2:])


if __name__ == "__main__":
    named = sys.argv[1] if sys.argv[1:] else "docs/consistency.md"
    files.write_atomically(Path(named), text())
