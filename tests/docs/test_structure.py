"""The translation of the README is faithful in what can be held: parts, code, links. Decisions are listed."""

from __future__ import annotations

import re
from collections import Counter

from tests.docs.markdown import ROOT, blocks, links, spans, tokens

ORIGINAL, TRANSLATION = "README.md", "README.pt-BR.md"
SHAPE = (
    "heading_open",
    "bullet_list_open",
    "ordered_list_open",
    "list_item_open",
    "paragraph_open",
    "table_open",
    "tr_open",
)


def test_the_translation_has_the_parts_of_the_original() -> None:
    own, theirs = (
        [(each.type, each.tag) for each in tokens(page) if each.type in SHAPE] for page in (ORIGINAL, TRANSLATION)
    )
    assert theirs == own, (
        f"{TRANSLATION}: give it the headings, paragraphs, lists and tables of {ORIGINAL}, in its order"
    )


def test_the_translation_has_the_code_of_the_original() -> None:
    own, theirs = (
        [(each.language, each.file, each.run, each.code, each.why, each.text) for each in blocks(page)]
        for page in (ORIGINAL, TRANSLATION)
    )
    assert theirs == own, f"{TRANSLATION}: copy the blocks of code from {ORIGINAL}"


def test_the_translation_links_to_what_the_original_links_to() -> None:
    own, theirs = (
        Counter(target for _, target in links(page) if target not in (ORIGINAL, TRANSLATION))
        for page in (ORIGINAL, TRANSLATION)
    )
    assert theirs == own, f"{TRANSLATION}: differs in {sorted((own - theirs) + (theirs - own))}"
    assert next(target for _, target in links(ORIGINAL)) == TRANSLATION
    assert next(target for _, target in links(TRANSLATION)) == ORIGINAL


def test_the_translation_names_the_code_that_the_original_names() -> None:
    own, theirs = (Counter(text for _, text in spans(page)) for page in (ORIGINAL, TRANSLATION))
    assert theirs == own, f"{TRANSLATION}: differs in {sorted((own - theirs) + (theirs - own))}"


def test_every_decision_is_listed_under_its_own_title() -> None:
    listed = (ROOT / "docs" / "decisions" / "README.md").read_text()
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        number, title = re.match(r"# (\d+)\. (.*)", path.read_text()).groups()  # type: ignore[union-attr]
        assert int(path.name[:4]) == int(number), path.name
        line = f"{number}. [{title}]({path.name})"
        assert line in listed, f"docs/decisions/README.md: write {line}"


def test_no_two_decisions_have_a_number() -> None:
    numbers = Counter(path.name[:4] for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert not [number for number, count in numbers.items() if count > 1], numbers


def test_every_rule_that_the_code_leans_on_is_on_the_page_of_compliance() -> None:
    page = (ROOT / "docs" / "compliance.md").read_text()
    told = set(re.findall(r"^\| Resolução BCB (\d+/\d{4}) \|", page, re.MULTILINE))
    assert told == {"103/2021", "142/2021", "147/2021", "403/2024", "493/2025"}
    for path in (*ROOT.glob("ml_pipeline/**/*.py"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("gates/**/*.yaml")):
        named = set(re.findall(r"Res(?:\.|olução) BCB (\d+/\d{4})", path.read_text()))
        assert named <= told, f"{path.relative_to(ROOT)}: docs/compliance.md says nothing of {named - told}"
    assert "LGPD (Lei 13.709/2018), art. 20" in page
    assert "No rule sets a latency, a recall or a false positive rate" in page
