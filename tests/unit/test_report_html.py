"""The page says the verdict first, lets no text become markup, stays small, and shows no more than may be shown."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings

from pytest_pixgates.core.record import Run
from pytest_pixgates.core.scan import State
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.history.target import Target
from pytest_pixgates.report import html
from pytest_pixgates.report.beside import NOTHING, Beside
from pytest_pixgates.report.element import el, joined
from pytest_pixgates.report.widgets import mark
from tests import pages
from tests.unit import hostile_runs
from tests.unit.example_runs import FINDING, GREEN, NOW, RED, record, run, runs, scan

PARTIAL = dataclasses.replace(GREEN, partial=("-k a",))
Attributes = list[tuple[str, str | None]]


class Reader(HTMLParser):
    """What a page holds, as a browser would come to see it, and that each element is closed where it should be."""

    VOID = ("meta", "input", "img", "rect", "line", "circle", "polygon", "polyline", "path")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Attributes) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, names)
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Attributes) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.fixture
def example(tmp_path: Path) -> tuple[Run, Beside]:
    now = pages.repository(tmp_path / "repository")
    return now, pages.beside(now, tmp_path / "repository")


@pytest.mark.parametrize(
    ("example", "title"),
    [
        (GREEN, "pixgates: PASS, its one gate passed"),
        (RED, "pixgates: FAIL, 1 of 1 gate did not pass"),
        (dataclasses.replace(GREEN, status="running"), "pixgates: ERROR, the run has not ended, so it is no evidence"),
        (dataclasses.replace(RED, partial=("-k a",)), "pixgates: FAIL, 1 of 1 gate did not pass"),
        (PARTIAL, "pixgates: PARTIAL, 1 gate passed, but only a part ran: not evidence"),
        (run(), "pixgates: ERROR, 0 of 0 gates did not pass"),
    ],
)  # fmt: skip
def test_the_title_says_the_verdict(example: Run, title: str) -> None:
    assert f"<title>{title}</title>" in html.render(example)


def test_nothing_is_asked_of_a_network(example: tuple[Run, Beside]) -> None:
    page = Reader(html.render(*example))
    loading = [
        value
        for _, each in page.elements
        for name, value in each.items()
        if name in ("src", "data", "srcset", "poster")
    ]
    assert loading
    assert all(str(each).startswith("data:image/svg+xml;base64,") for each in loading)
    assert not page.all("link")
    assert "url(" not in html.render(*example)
    assert "@import" not in html.render(*example)


def test_the_policy_in_the_page_allows_exactly_its_own_script_and_style(example: tuple[Run, Beside]) -> None:
    text = html.render(*example)
    (allowed,) = (each["content"] for each in Reader(text).all("meta") if each.get("http-equiv"))
    assert allowed is not None
    for tag in ("script", "style"):
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(bodies) == 1
        digest = base64.b64encode(hashlib.sha256(bodies[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in allowed
    assert "default-src 'none'" in allowed
    assert "unsafe" not in allowed


def test_no_element_has_a_style_or_a_handler_of_its_own(example: tuple[Run, Beside]) -> None:
    for text in (html.render(*example), html.render(hostile_runs.RUN, hostile_runs.BESIDE)):
        names = {name for _, attributes in Reader(text).elements for name in attributes}
        assert not [name for name in names if name == "style" or name.startswith("on")]


def test_hostile_text_is_only_text() -> None:
    text = html.render(hostile_runs.RUN, hostile_runs.BESIDE)
    page = Reader(text)
    assert len(page.all("script")) == 1
    assert all(str(each["src"]).startswith("data:image/svg+xml;base64,") for each in page.all("img"))
    assert all(str(each["href"]).startswith(("#", "https://")) for each in page.all("a"))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "window.planted=1" in page.said, "the text itself is shown"
    text.encode()


@settings(max_examples=40, deadline=None)
@given(runs)
def test_any_run_gives_a_page_that_is_whole(example: Run) -> None:
    page = Reader(html.render(example, dataclasses.replace(hostile_runs.BESIDE, problem="")))
    assert len(page.all("h1")) == 1
    ids = [each["id"] for _, each in page.elements if "id" in each]
    assert len(set(ids)) == len(ids) or len({each.node for each in example.records}) < len(example.records)


def test_ten_thousand_findings_are_grouped_and_what_is_left_out_is_said() -> None:
    text = html.render(hostile_runs.many(10_000))
    assert len(text) < 1_500_000
    page = Reader(text)
    listed = sum(each.get("class") == "finding" for each in page.all("div"))
    assert listed == html.MOST_FINDINGS
    assert "And 9980 more; all are in records.json, and what blocks in results.sarif." in page.said
    assert "50 findings" in page.said
    assert "And 45 more of this rule" in page.said


def test_thousands_of_gates_stay_a_page() -> None:
    gates = [record(scan(FINDING), gate=f"infra/checkov[{at}]", node=f"node-{at}") for at in range(3000)]
    text = html.render(run(*gates))
    assert len(text) < 3_000_000
    assert "And 2400 more gates, the worst of them FAIL" in Reader(text).said


def test_each_part_is_there(example: tuple[Run, Beside]) -> None:
    page = Reader(html.render(*example))
    said = page.said
    assert "4 of 19 gates did not pass" in said
    assert "storage_encrypted = false" in said
    assert "set storage_encrypted = true" in said
    assert "0.8072 [0.778, 0.834], n = 718" in said
    assert "limit ≥ 0.75 · main 0.7" in said
    assert "A slow slide. model_gate/limit[recall]: recall is 0.8072 and loses about" in said
    assert "The last 25 runs, the newest to the right: 22 PASS, 3 FAIL." in said
    assert "great-expectations" in said
    assert "W-7: platform, until 2027-01-27" in said
    assert len([each for each in page.all("svg") if each.get("class") == "pixgates-picture"]) == 8
    assert len(page.all("img")) == 1


@pytest.mark.parametrize(
    ("excuse", "left"),
    [
        ("team, until 2027-01-16: later", "1"),
        ("team, until 2027-01-15: later", "0"),
        ("team, until 2027-01-14: later", "expired"),
        ("until 2030-01-01 says the name, until 2027-01-14: later", "expired"),
        ("no day", "not said"),
        ("until 2027-99-99", "not said"),
    ],
)
def test_the_days_that_are_left_are_counted_from_the_end_of_the_run(excuse: str, left: str) -> None:
    assert NOW == 1_800_000_000  # 2027-01-15
    waived = dataclasses.replace(FINDING, state=State.WAIVED, waiver="W-1", excuse=excuse)
    text = html.render(run(record(scan(waived))))
    assert f'<td data-label="days left">{left}</td>' in text


def test_an_excerpt_stands_only_where_it_was_given(example: tuple[Run, Beside]) -> None:
    now, beside = example
    assert "storage_encrypted = false" not in html.render(now, dataclasses.replace(beside, excerpts={}))


def test_without_a_target_it_says_so() -> None:
    said = Reader(html.render(GREEN, Beside(target=Target("main", problem="no run of main is known here")))).said
    assert "Nothing is held against main: no run of main is known here." in said
    assert "There is no earlier run to compare with yet." in said
    assert "can't be used" in Reader(html.render(GREEN, Beside(problem="the history x can't be used: y"))).said


def test_it_is_the_same_each_time(example: tuple[Run, Beside]) -> None:
    assert html.render(*example) == html.render(*example)
    assert html.render(GREEN) == html.render(GREEN, NOTHING)


# Elements


@pytest.mark.parametrize("text", ["<b>", "a & b", "'\"", "</p><script>", "&lt;"])
def test_text_in_an_element_and_in_an_attribute_stays_text(text: str) -> None:
    page = Reader(el("p", text, title=text))
    assert page.elements == [("p", {"title": text})]
    assert page.texts == [text]


def test_spaces_between_words_of_neighbours_are_kept() -> None:
    assert joined("a ", el("b", "c"), " d") == "a <b>c</b> d"


def test_an_element_or_an_attribute_of_another_name_is_refused() -> None:
    for name in ("a b", "<", "script>"):
        with pytest.raises(AssertionError):
            el(name)
    with pytest.raises(AssertionError):
        el("p", **{"x y": "1"})


def test_each_verdict_has_a_shape_of_its_own() -> None:
    shapes = {mark(each, "").partition("<svg")[2] for each in Outcome}
    assert len(shapes) == len(Outcome)
