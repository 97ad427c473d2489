"""Links between documents lead somewhere: to a file, and to a heading in it; so do the names of tests."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.markdown import OTHERS, PAGES, ROOT, anchors, links, spans


def broken(page: str, target: str) -> str:
    """Why a link of `page` leads nowhere, or ""; those to other hosts are not followed."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return ""
    path = ROOT / PurePosixPath(page).parent / unquote(parts.path) if parts.path else ROOT / page
    if not path.exists():
        return "there is no such file"
    name = path.resolve().relative_to(ROOT.resolve()).as_posix()
    if parts.fragment and path.suffix == ".md" and parts.fragment not in anchors(name):
        return f"{name} has no such heading; it has {', '.join(sorted(anchors(name)))}"
    return ""


@pytest.mark.parametrize("page", [*PAGES, *OTHERS])
def test_links_lead_to_a_file_and_a_heading(page: str) -> None:
    wrong = [f"{page}:{line}: {target}: {why}" for line, target in links(page) if (why := broken(page, target))]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES)
def test_a_test_that_is_named_exists(page: str) -> None:
    for line, text in spans(page):
        if match := re.match(r"(tests/[\w/.-]+\.py)(?:::(\w+))?", text):
            path = ROOT / match[1]
            assert path.is_file(), f"{page}:{line}: there is no {match[1]}"
            found = not match[2] or re.search(rf"def {match[2]}\b", path.read_text())
            assert found, f"{page}:{line}: {match[1]} has no {match[2]}"


def test_each_page_is_reached_from_the_entry_page() -> None:
    reached, todo = set[str](), ["docs/README.md"]
    while todo:
        here = todo.pop()
        if here in reached or not here.startswith("docs/"):
            continue
        reached.add(here)
        for _, target in links(here):
            path = (ROOT / PurePosixPath(here).parent / urlsplit(target).path).resolve()
            if path.suffix == ".md" and path.is_file() and path.is_relative_to(ROOT.resolve()):
                todo.append(path.relative_to(ROOT.resolve()).as_posix())
    lost = sorted({page for page in PAGES if page.startswith("docs/")} - reached)
    assert not lost, f"no page leads to {', '.join(lost)}: link it from docs/README.md"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("policy.md", ""),
        ("policy.md#baseline", ""),
        ("https://example.invalid/x", ""),
        ("#all-keys", "no such heading"),
        ("policy.md#no-such", "no such heading"),
        ("no-such.md", "no such file"),
    ],
)
def test_a_broken_link_is_told_from_a_good_one(target: str, why: str) -> None:
    assert why in (told := broken("docs/evidence.md", target))
    assert bool(told) == bool(why)
