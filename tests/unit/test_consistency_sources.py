"""Each rule on several sources, on its own two examples: one must fail and one must pass."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates.infra.consistency.example import of_files
from pytest_pixgates.infra.consistency.rule import AnyRule
from pytest_pixgates.infra.consistency.rules import RULES, SOURCES
from pytest_pixgates.infra.consistency.sets import Sources

by_name = pytest.mark.parametrize("rule", SOURCES, ids=lambda rule: rule.name)


def world(example: Any, folder: Path) -> Sources:
    assert isinstance(example, dict)
    return of_files(example, folder.resolve())


@by_name
def test_the_failing_example_gives_the_rule_at_a_line_and_names_the_other_side(
    rule: AnyRule[Sources, Any], tmp_path: Path
) -> None:
    found = list(rule.check(world(rule.failing, tmp_path)))
    assert {each.rule for each in found} == {rule.name}
    assert len(found) == 1, found
    assert (tmp_path / found[0].path).is_file()
    assert found[0].line > 0
    assert found[0].fix
    assert found[0].resource
    assert re.search(r"[\w./-]+:\d+", found[0].message), found[0].message


@by_name
def test_the_passing_example_is_looked_at_and_gives_nothing(rule: AnyRule[Sources, Any], tmp_path: Path) -> None:
    passing = world(rule.passing, tmp_path)
    assert list(rule.subjects(passing))
    assert list(rule.check(passing)) == []


def test_names_are_unique() -> None:
    names = [rule.name for rule in (*RULES, *SOURCES)]
    assert len(set(names)) == len(names)
