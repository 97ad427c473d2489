"""Each rule of consistency, on its own two examples: one must fail and one must pass."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_pixgates.infra.consistency import world
from pytest_pixgates.infra.consistency.rule import Rule
from pytest_pixgates.infra.consistency.rules import RULES
from pytest_pixgates.infra.consistency.scan import judged

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


@pytest.mark.parametrize("wrong", [None, "x", 7, True, [], [None], ["x"], [[]], {}, {"x": 1}, 1.5], ids=repr)
def test_no_shape_of_any_field_ends_in_an_exception(wrong: object) -> None:
    for rule in RULES:
        manifest = world.of_text(rule.passing)
        for index, each in enumerate(manifest.objects):
            for keys in _ways(each.value):
                value = copy.deepcopy(each.value)
                _set(value, keys, wrong)
                objects = list(manifest.objects)
                objects[index] = dataclasses.replace(each, value=value)
                problems = judged(dataclasses.replace(manifest, objects=tuple(objects)), [rule], "")[2]
                assert all("could not look" not in problem.message for problem in problems), (rule.name, keys, problems)


def _ways(value: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to each value below an object's own metadata and kind."""
    if keys:
        yield keys
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in entries:
        if keys or key not in ("apiVersion", "kind", "metadata"):
            yield from _ways(child, (*keys, key))


def _set(value: Any, keys: tuple[Any, ...], wrong: object) -> None:
    for key in keys[:-1]:
        value = value[key]
    value[keys[-1]] = wrong


def test_names_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
