"""A pattern means one thing, to every engine."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pixgates.data_contract import patterns

PARTS = [
    "a",
    "b",
    "\\d",
    "\\w",
    "\\s",
    "\\D",
    "\\W",
    ".",
    "[a-c]",
    "[^a]",
    "[\\d_]",
    "[.&~]",
    "(?:ab)",
    "\\.",
    "\\u00e9",
    "-",
]
TEXTS = st.text(st.sampled_from("abcé0٣_ .-\n\r\t&~\u2028\\"), max_size=6)
PATTERNS = st.builds(
    lambda start, parts, end: start + "".join(part + times for part, times in parts) + end,
    st.sampled_from(["", "^"]),
    st.lists(
        st.tuples(st.sampled_from(PARTS), st.sampled_from(["", "*", "+", "?", "{1,2}", "+?"])), min_size=1, max_size=4
    ),
    st.sampled_from(["", "$"]),
)


@given(PATTERNS, st.lists(TEXTS, min_size=1, max_size=5))
def test_rust_and_python_agree_on_what_matches(pattern: str, texts: list[str]) -> None:
    regex = patterns.portable(pattern)
    in_python = [re.search(patterns.with_end(regex, r"\Z"), text) is not None for text in texts]
    assert pl.Series(texts).str.contains(regex).to_list() == in_python


@given(PATTERNS)
def test_a_portable_pattern_stays_as_it_is(pattern: str) -> None:
    once = patterns.portable(pattern)
    assert re.compile(once)


@pytest.mark.parametrize(
    ("pattern", "matches", "differs"),
    [
        (r"^\d$", "7", "٣"),  # digits are ASCII's
        (r"^\w$", "a", "é"),
        (r"^a$", "a", "a\n"),  # the end is the end
        (r"^.$", "é", "\n"),
        (r"^[\w.]+$", "a.b", "a-b"),
        (r"^\u00e9$", "é", "e"),
    ],
)
def test_classes_and_ends_are_those_of_ecma(pattern: str, matches: str, differs: str) -> None:
    found = pl.Series([matches, differs]).str.contains(patterns.portable(pattern))
    assert found.to_list() == [True, False]


@pytest.mark.parametrize(
    "pattern", ["(?=a)", "(?<n>a)", r"(a)\1", r"\bx", "a++", "a*+", "[", "(", "[]a]", r"[\D]", r"\p{L}", "a{2}+"]
)
def test_what_engines_read_differently_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"engines|regular expression"):
        patterns.portable(pattern)
