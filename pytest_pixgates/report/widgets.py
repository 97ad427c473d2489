"""Parts that sections of the page share: a verdict with its shape, a fix, a table."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_pixgates.core.scan import Finding
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.report.element import Html, el
from pytest_pixgates.report.text import cut

TEXT, SHORT = 600, 160
"""The most characters of a sentence, and of a name."""
_SHAPES = {
    Outcome.PASS: '<circle cx="6" cy="6" r="5.5" fill="currentColor"/>',
    Outcome.INCONCLUSIVE: '<path class="open" stroke-width="2" d="M6 .8 11.2 6 6 11.2 .8 6Z"/>',
    Outcome.ERROR: '<path d="M6 .5 11.7 11H.3Z" fill="currentColor"/>',
    Outcome.FAIL: '<path class="open" stroke-width="2.6" d="M1.2 1.2 10.8 10.8M10.8 1.2 1.2 10.8"/>',
}
_ALL = "all are in records.json, and what blocks in results.sarif"


def mark(outcome: Outcome, word: str) -> Html:
    """The word with its shape, which can be told apart in grey as well."""
    shape = Html(f'<svg viewBox="0 0 12 12" aria-hidden="true">{_SHAPES[outcome]}</svg>')
    return el("span", shape, word, class_=f"verdict {outcome.value.lower()}")


def fix(text: str) -> Html | None:
    return el("p", el("b", "Fix"), " ", cut(text, TEXT), class_="fix") if text else None


def more(found: Finding) -> Html | None:
    """A link to what the rule is about, if that is an address of the web."""
    uri = found.help_uri
    if not (uri.startswith("https://") and uri.isascii() and uri.isprintable() and len(uri) < 500):
        return None
    return el("span", " ", el("a", "about this rule", href=uri, rel="noopener noreferrer"))


def left_out(count: int, what: str = "") -> Html | None:
    """How much of a list is not on the page, and where it is."""
    told = " ".join(filter(None, (f"And {count} more", what)))
    return el("p", f"{told}; {_ALL}.", class_="quiet") if count > 0 else None


def table(heads: Sequence[str], rows: Sequence[Html]) -> Html:
    head = el("thead", el("tr", [el("th", each, scope="col") for each in heads]))
    table = el("table", head, el("tbody", list(rows)), class_="stacked")
    # Who has no mouse scrolls it by the keys.
    return el("div", table, class_="scroll", tabindex="0", role="group", aria_label=f"Table: {heads[0]}")


def row(first: tuple[str, str], *cells: tuple[str, str]) -> Html:
    return el("tr", el("th", first[1], scope="row"), [el("td", cell, data_label=label) for label, cell in cells])
