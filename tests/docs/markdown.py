"""What a page consists of, as GitHub shows it: blocks of code with what stands above them, headings, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")) if path.is_file()
)
OTHERS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("benchmarks", "examples", "iac")
    for path in ROOT.glob(f"{folder}/**/*.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
"""Pages beside what they are about, whose commands are for there."""
NOTE = re.compile(r"<!-- (?:(?P<run>run)(?:: (?P<code>\d+))?|file: (?P<file>\S+)|not run: (?P<why>.*\S)) -->\s*$")


@dataclass(frozen=True)
class Block:
    """A block of code. `note` is the comment right above it: run, file or not run.

    `code` is what the last command of a block that is run ends with.
    """

    page: str
    line: int
    language: str
    text: str
    run: bool = False
    file: str = ""
    why: str = ""
    code: int = 0


@cache
def tokens(page: str) -> tuple[Token, ...]:
    return tuple(MarkdownIt("commonmark").enable("table").parse((ROOT / page).read_text()))


def blocks(page: str) -> Iterator[Block]:
    """The page's blocks of code, fenced and indented, in their order."""
    before = None
    for token in tokens(page):
        if token.type in ("fence", "code_block"):
            note = NOTE.search(before.content) if before and before.type == "html_block" else None
            run, file, why, code = note.group("run", "file", "why", "code") if note else (None, None, None, None)
            assert token.map is not None
            line, language = token.map[0] + 1, token.info.strip()
            yield Block(page, line, language, token.content, bool(run), file or "", why or "", int(code or 0))
        before = token


def spans(page: str) -> Iterator[tuple[int, str]]:
    """The pieces of code within the text, each with its line."""
    for token in tokens(page):
        for child in token.children or ():
            if child.type == "code_inline":
                yield (token.map or [0])[0] + 1, child.content


def links(page: str) -> Iterator[tuple[int, str]]:
    """The targets of links and pictures, each with its line."""
    for token in tokens(page):
        for child in token.children or ():
            if target := child.attrGet("href") or child.attrGet("src"):
                yield (token.map or [0])[0] + 1, str(target)


@cache
def anchors(page: str) -> frozenset[str]:
    """The anchors that GitHub gives to the page's headings."""
    found: dict[str, int] = {}
    every = tokens(page)
    for opening, inline in pairwise(every):
        if opening.type == "heading_open":
            text = "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))
            slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
            count = found[slug] = found.get(slug, -1) + 1
            if count:
                found[f"{slug}-{count}"] = 0
    return frozenset(found)
