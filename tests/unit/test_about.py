"""What gates say of themselves is whole and true: each has words, each key that it names is one, each page is there."""

from __future__ import annotations

import dataclasses
import importlib
import re
from pathlib import Path

import pytest

from pytest_pixgates.core import policy
from pytest_pixgates.plugin import pytest_pixgates_families

ROOT = Path(__file__).parents[2]
FAMILIES = {family.name: family for family in pytest_pixgates_families()}


def anchors(page: str) -> set[str]:
    """The headings of a page as GitHub names them."""
    found = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in found}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_gate_of_a_family_is_explained(name: str) -> None:
    reviewed = policy.load(ROOT / "gates" / "gates.toml")
    family = FAMILIES[name]
    gates = list(family.gates(reviewed.settings(name, family.settings()), ROOT))
    assert gates
    assert not [gate.name for gate in gates if gate.about is None]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_keys_and_pages_that_an_explanation_names_are_there(name: str) -> None:
    keys = {field.name for field in dataclasses.fields(FAMILIES[name].settings())}
    for kind, about in importlib.import_module(f"pytest_pixgates.{name}.about").ABOUT.items():
        assert set(about.keys) <= keys, kind
        page, _, anchor = about.docs.partition("#")
        assert (ROOT / page).is_file(), kind
        assert not anchor or anchor in anchors(page), f"{kind}: {about.docs}"
