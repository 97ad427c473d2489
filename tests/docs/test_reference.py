"""The reference is what the code says: written by `make docs`, and committed as it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from docs import generate
from docs.generate import UndocumentedError
from pytest_pixgates import plugin
from pytest_pixgates.core.limit import Limit
from pytest_pixgates.data_contract import mapping
from tests.docs.markdown import ROOT


@pytest.mark.parametrize("name", generate.PAGES)
def test_the_page_is_as_the_code_says(name: str) -> None:
    assert (ROOT / name).read_text() == generate.PAGES[name](), (
        f"{name} is not current: run `make docs`, and commit what it wrote"
    )


@dataclass(frozen=True)
class Inner:
    share: float = 0.5
    """A share."""


@dataclass(frozen=True)
class Section:
    """`[made_up]`: what it is for."""

    name: str
    """A name."""
    kinds: tuple[Literal["a", "b"], ...] = ("a",)
    """Some kinds
    of it.
    """
    limits: dict[str, Limit | str] = field(default_factory=dict)
    """Limits."""
    inner: Inner = field(default_factory=Inner)
    """More."""
    each: dict[str, Inner] = field(default_factory=dict)
    """Many."""


@dataclass(frozen=True)
class Silent(Section):
    quiet: bool = False


def test_a_key_is_set_out_with_type_default_and_meaning() -> None:
    text = generate.section("[made_up]", Section)
    assert "## `[made_up]`\n\nWhat it is for.\n" in text
    assert "| `name` | text | required | A name. |\n" in text
    assert '| `kinds` | list of `"a"` or `"b"` | `["a"]` | Some kinds of it. |\n' in text
    assert "| `limits` | table of limits or texts | `{}` | Limits. |\n" in text


def test_every_section_that_no_family_owns_is_set_out() -> None:
    page = generate.policy_page()
    for name in set(plugin._TAKEN) - {"request"}:
        assert f"## `[{name}" in page, f"docs/generate.py: policy_page() says nothing of [{name}]"


def test_sections_within_a_section_are_found() -> None:
    assert [name for name, _ in generate.sections("[made_up]", Section)] == [
        "[made_up]",
        "[made_up.inner]",
        "[made_up.each.NAME]",
    ]


def test_a_key_without_a_meaning_stops_the_generator_with_its_place() -> None:
    with pytest.raises(UndocumentedError, match=r"Silent\.quiet says nowhere what it means"):
        generate.keys(Silent)


def test_a_variable_without_a_meaning_stops_the_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = {name: meaning for name, meaning in generate.VARIABLES.items() if name != "PIXGATES_LOOKS"}
    monkeypatch.setattr(generate, "VARIABLES", fewer)
    with pytest.raises(UndocumentedError, match="PIXGATES_LOOKS means nothing"):
        generate.variables()


def test_a_command_without_help_stops_the_generator() -> None:
    import argparse

    parser = argparse.ArgumentParser(prog="x")
    parser.add_argument("--quiet", action="store_true")
    with pytest.raises(UndocumentedError, match="`--quiet` has no help"):
        generate.one_command(parser, "does something", 2)


def test_bounds_come_from_the_simulations_themselves() -> None:
    found = {each.test.rpartition("::")[2]: each.bounds for each in generate.simulations()}
    assert found["test_a_rate_over_clusters_passes_at_its_limit_as_promised"] == ("5.8 %",)
    assert found["test_at_the_limit_stalls_at_random_times_seldom_pass"] == ("5.7 %",)
    assert len(found) >= 15


def test_a_page_without_the_mark_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("# Page\n")
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    with pytest.raises(UndocumentedError, match=r"page\.md has no line"):
        generate.introduction("page.md")


def test_the_standard_s_words_are_all_set_out() -> None:
    page = mapping.page()
    assert all(f"| `{word}` |" in page for terms in mapping.TERMS.values() for word in terms)


def test_every_command_says_how_it_ends() -> None:
    """A page with a section and no exit codes is a command whose `add_parser` has no epilog."""
    sections = generate.commands_page().partition("## Variables")[0].split("\n## ")[1:]
    for section in sections:
        for part in section.split("\n### ")[1 if "\n### " in section else 0 :]:
            assert "Exit code" in part, part.partition("\n")[0]
