"""A fixture for each family, made from what the family says of itself.

They are function-scoped so that asking for one, also through `request.getfixturevalue`, always makes the asking
test a gate; what they return is made once per process.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from pytest_pixgates.core.family import Family

_OURS = "pixgates_family"


def fixtures_of(families: dict[str, Family], provide: Callable[[Family, pytest.Item], object]) -> ModuleType:
    """A plugin that holds one fixture per family; `provide` makes what the test receives."""
    module = ModuleType("pixgates_fixtures")  # pytest finds fixtures on modules and classes, not on any object
    for name, family in families.items():
        setattr(module, name, _fixture(family, provide))
    return module


def _fixture(family: Family, provide: Callable[[Family, pytest.Item], object]) -> Any:
    def function(request: pytest.FixtureRequest) -> object:
        return provide(family, request.node)

    function.__name__ = function.__qualname__ = family.name
    function.__doc__ = (
        f"{family.summary} A test that asks for it is a gate: it must record a check, and only PASS passes."
    )
    setattr(function, _OURS, family.name)
    return pytest.fixture(name=family.name)(function)


def families_of(item: pytest.Item) -> set[str]:
    """The families whose own fixture `item` uses; a fixture of the same name that somebody else defined is not one."""
    info = getattr(item, "_fixtureinfo", None)
    definitions = getattr(info, "name2fixturedefs", {})
    used = (_family_behind(name, definitions.get(name, ())) for name in getattr(item, "fixturenames", ()))
    return {family for family in used if family}


def _family_behind(name: str, definitions: Any) -> str:
    """The family behind the fixture `name`: the last definition counts, and those above it only if it asks for them."""
    for definition in reversed(definitions):
        if family := getattr(definition.func, _OURS, ""):
            return str(family)
        if name not in definition.argnames:
            break
    return ""
