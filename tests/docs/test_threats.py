"""Each row of the threat model, and of the table of what is down, names a test. That it is there: test_links.py."""

from __future__ import annotations

import re

import pytest

from tests.docs.markdown import ROOT

TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
LEAST = {"threat-model.md": 20, "resilience.md": 10}


def rows(document: str) -> list[list[str]]:
    """The cells of each row of its tables, without heads."""
    lines = (ROOT / "docs" / document).read_text().splitlines()
    heads = {index - 1 for index, line in enumerate(lines) if re.fullmatch(r"\|( --- \|)+", line)}
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for index, line in enumerate(lines)
        if line.startswith("| ") and index not in heads and not line.startswith("| ---")
    ]


@pytest.mark.parametrize("document", LEAST)
def test_each_row_names_a_test_or_says_why_there_is_none(document: str) -> None:
    found = rows(document)
    assert len(found) >= LEAST[document]
    bare = [row[0] for row in found if not TEST.search(row[-1]) and not row[-1].startswith(("no test: ", "the same"))]
    assert bare == []


def test_the_threat_model_names_a_test_in_every_row() -> None:
    assert [row[0] for row in rows("threat-model.md") if len(row) != 3 or not TEST.search(row[2])] == []
