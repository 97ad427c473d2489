"""Each rule of consistency, on its own two examples: one must fail and one must pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates.infra.consistency import docs, world
from pytest_pixgates.infra.consistency.rule import Rule
from pytest_pixgates.infra.consistency.rules import RULES

by_name = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


@by_name
def test_the_failing_example_gives_the_rule_at_a_line_and_names_the_other_side(rule: Rule[Any]) -> None:
    found = list(rule.check(world.of_text(rule.failing)))
    assert [each.rule for each in found] == [rule.name]
    assert found[0].line > 0
    assert found[0].fix
    assert found[0].resource
    assert "example.yaml" in found[0].message


@by_name
def test_the_passing_example_is_looked_at_and_gives_nothing(rule: Rule[Any]) -> None:
    passing = world.of_text(rule.passing)
    assert list(rule.subjects(passing))
    assert list(rule.check(passing)) == []


def test_names_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_the_page_of_the_rules_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "consistency.md"
    assert page.read_text() == docs.text(), "run `python -m pytest_pixgates.infra.consistency.docs`"
