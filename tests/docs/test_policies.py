"""A policy that a page shows is one: every TOML block is read as `gates/gates.toml` would be."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path

import pytest

from docs.generate import families
from pytest_pixgates import plugin
from pytest_pixgates.core import policy
from pytest_pixgates.core.errors import PolicyError
from tests.docs.markdown import PAGES, Block, blocks

FAMILIES = {family.name: family for family in families()}
SECTIONS = [*FAMILIES, *plugin._TAKEN]


def policies(page: str) -> list[Block]:
    """TOML with a section of the policy, or one that is nearly called so, unless it is said to be another file's."""
    shown = [block for block in blocks(page) if block.language == "toml" and block.file in ("", "gates/gates.toml")]
    return [block for block in shown if any(get_close_matches(name, SECTIONS) for name in tomllib.loads(block.text))]


def refused(text: str, folder: Path) -> str:
    """Why `text` is no policy, or ""."""
    path = folder / "gates" / "gates.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    try:
        read = policy.load(path)
        for name, family in FAMILIES.items():
            if name in read.sections:
                list(family.gates(read.settings(name, family.settings()), folder))
    except PolicyError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("page", [page for page in PAGES if policies(page)])
def test_every_policy_that_is_shown_is_read(page: str, tmp_path: Path) -> None:
    """A block may go on where those before it ended, as `[latency.previous]` does."""
    texts: list[str] = []
    for block in policies(page):
        texts.append(block.text)
        tried = [refused("\n".join(texts[begin:]), tmp_path) for begin in reversed(range(len(texts)))]
        assert "" in tried, f"{page}:{block.line}: {tried[0]}"


@pytest.mark.parametrize("text", ['[infra]\nterafrom = ["x"]\n', "[latency]\ntimeout = 3\n", "[pixgates\n"])
def test_what_is_no_policy_is_refused(text: str, tmp_path: Path) -> None:
    assert refused(text, tmp_path)
