"""Writes docs/consistency.md from the rules: `python -m pytest_pixgates.infra.consistency.docs [file]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_pixgates.core import files
from pytest_pixgates.infra.consistency.rule import AnyRule, Files
from pytest_pixgates.infra.consistency.rules import ROOT, RULES, SOURCES, TOGETHER

_INTRODUCTION = """\
# Consistency

Defects that span files, which neither a scanner of single objects nor the API server's dry run finds. The rules judge
what an overlay **renders**, and name the lines of the sources. Each finding stands at one side and names the other.

`[infra.consistency]` of the [policy](policy.md) says what is judged. What is made elsewhere, such as a Secret by an
operator, is listed there as `external` ("Secret/scoring-kafka"); a rule is switched off for a path, with a reason, by
`[[infra.rules]]`. Values of Terraform are followed by name to the resource that makes them, not evaluated.
Each example below runs in the tests: the first must pass, the second must fail. They hold only what the rule needs.

This file is written by `python -m pytest_pixgates.infra.consistency.docs`.
"""


_GATES = {
    "environments": "All environments: `@environments`",
    "environment": "One environment: `@NAME`",
    "topics": "Topics: `@topics`",
    "images": "Images: `@images`",
    "workflows": "Workflows: `@workflows`",
}


def text() -> str:
    """The whole page."""
    groups: list[tuple[str, Sequence[AnyRule[Any, Any]]]] = [("Each overlay", RULES), ("Each Terraform root", ROOT)]
    groups += [(_GATES[name], rules) for name, rules in TOGETHER.items()]
    tables = (f"{title}\n\n| Rule | Holds |\n|---|---|\n{_rows(rules)}\n" for title, rules in groups)
    every: tuple[AnyRule[Any, Any], ...] = (*RULES, *SOURCES)
    return "\n".join([_INTRODUCTION, *tables, *map(_section, every)])


def _rows(rules: Sequence[AnyRule[Any, Any]]) -> str:
    return "\n".join(f"| [`{rule.name}`](#{rule.name}) | {rule.summary} |" for rule in rules)


def _section(rule: AnyRule[Any, Any]) -> str:
    passing, failing = _files(rule.passing), _files(rule.failing)
    written = "\n".join(f"{_named(name)}```{_language(name)}\n{text}```\n" for name, text in passing.items())
    changed = (
        f"{_named(name)}```diff\n{_changes(passing.get(name, ''), text)}\n```\n"
        for name, text in failing.items()
        if text != passing.get(name)
    )
    return (
        f"## {rule.name}\n\n{rule.summary}\n\n- Why: {rule.why}\n- Fix: {rule.fix}\n\n"
        f"Passes:\n\n{written}\nFails with:\n\n" + "\n".join(changed)
    )


def _files(example: str | Files) -> Files:
    return {"": example} if isinstance(example, str) else example


def _named(name: str) -> str:
    return f"`{name}`\n\n" if name else ""


def _language(name: str) -> str:
    known = {"": "yaml", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".ini": "ini"}
    return "dockerfile" if name.endswith("Dockerfile") else known.get(Path(name).suffix, "hcl")


def _changes(before: str, after: str) -> str:
    from difflib import unified_diff

    return "\n".join(list(unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1))[2:])


if __name__ == "__main__":
    named = sys.argv[1] if sys.argv[1:] else "docs/consistency.md"
    files.write_atomically(Path(named), text())
