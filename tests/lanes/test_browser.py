"""The lane `browser`: the page for people in a real browser, without a network. `make browser`.

With PIXGATES_SCREENSHOTS=docs it also writes the pictures that the documentation shows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_pixgates.report import html
from pytest_pixgates.report.beside import Beside
from tests import pages
from tests.lanes.chromium import browser
from tests.lanes.conftest import needed_by
from tests.unit import hostile_runs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OPEN_ALL = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
WIDTH = "document.documentElement.scrollWidth"
SHOWN = (
    "[...document.querySelectorAll('details.gate:not([hidden])')].map((each) => each.querySelector('.id').textContent)"
)

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with needed_by("browser"), browser() as started:
        yield started


@pytest.fixture
def opened(chromium: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a page, and holds at the end that it complained of nothing and asked the network for nothing."""
    complaints: list[str] = []
    contexts = []

    def open_(text: str, *, width: int = 1440, quiet: bool = True, **settings: Any) -> Page:
        path = tmp_path / f"{len(contexts)}.html"
        path.write_text(text, encoding="utf-8")
        context = chromium.new_context(viewport={"width": width, "height": 900}, **settings)
        contexts.append(context)
        page = context.new_page()
        if quiet:
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: complaints.append(dialog.message))
            asked = {path.as_uri()}
            page.on(
                "request",
                lambda each: (
                    each.url.split("#")[0] in asked or each.url.startswith("data:") or complaints.append(each.url)
                ),
            )
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("judged") / "repository"
    now = pages.repository(root)
    return html.render(now, pages.beside(now, root))


def judged_by_axe(page: Page) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"runOnly": RULES}).response["violations"]
    return [f"{each['id']}: {node['html'][:160]}: {node['failureSummary']}" for each in found for node in each["nodes"]]


def test_it_shows_the_verdict_first(opened: Open, example: str) -> None:
    page = opened(example)
    assert page.title() == "pixgates: FAIL, 4 of 19 gates did not pass"
    assert page.locator("h1").inner_text() == "FAIL"
    assert page.locator("h2").all_inner_texts()[:2] == ["Fix first", "Gates"]
    assert page.locator("h1").bounding_box()["y"] < 200  # type: ignore[index]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_it_meets_wcag_aa(opened: Open, example: str, scheme: str, width: int) -> None:
    page = opened(example, width=width, color_scheme=scheme)
    page.evaluate(OPEN_ALL)
    assert judged_by_axe(page) == []


def test_what_can_not_be_read_would_be_found(opened: Open, example: str) -> None:
    page = opened(example)
    page.evaluate("document.querySelector('.said').style.color = '#bbb'")
    assert any(each.startswith("color-contrast") for each in judged_by_axe(page))


@pytest.mark.parametrize("width", [320, 360, 768, 1440])
def test_nothing_is_wider_than_the_window(opened: Open, example: str, width: int) -> None:
    page = opened(example, width=width)
    page.evaluate(OPEN_ALL)
    assert page.evaluate(WIDTH) == width


def test_filters_show_what_fits_and_say_how_many(opened: Open, example: str) -> None:
    page = opened(example)
    said = page.locator("#shown")
    assert said.inner_text() == "19 gates"
    page.select_option("[name=family]", "latency")
    assert page.evaluate(SHOWN) == ["limit[steady/score/errors]", "limit[steady/score/p95]", "limit[steady/score/p99]"]
    assert said.inner_text() == "3 of 19 gates"
    page.select_option("[name=outcome]", "ERROR")
    assert page.evaluate(SHOWN) == ["limit[steady/score/errors]"]
    page.select_option("[name=family]", "")
    page.select_option("[name=outcome]", "")
    page.fill("[name=text]", "ckv_aws_16")
    assert page.evaluate(SHOWN) == ["checkov[iac/prod]"]
    page.fill("[name=text]", "nothing has this in it")
    assert page.evaluate(SHOWN) == []
    assert page.locator("section.family:visible").count() == 0
    page.get_by_role("button", name="Clear").click()
    assert len(page.evaluate(SHOWN)) == 19


def test_a_link_to_a_gate_that_a_filter_hides_shows_it(opened: Open, example: str) -> None:
    page = opened(example)
    page.select_option("[name=family]", "latency")
    page.locator("#fix a", has_text="infra/checkov[iac/prod]").first.click()
    assert page.locator("details.gate", has_text="checkov[iac/prod]").first.is_visible()


def test_the_keyboard_reaches_and_opens_everything(opened: Open, example: str) -> None:
    page = opened(example)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(150):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.outerHTML.slice(0, 400)"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") in ("solid", "auto")
        if page.evaluate("document.activeElement.parentElement?.dataset.outcome") == "PASS":
            break
    for part in ('href="#gates"', 'name="family"', 'name="outcome"', 'name="text"', 'type="reset"', 'class="excerpt"'):
        assert any(part in each for each in reached), part
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open")


def test_what_is_printed_hides_nothing(opened: Open, example: str) -> None:
    page = opened(example, java_script_enabled=False)
    page.emulate_media(media="print")
    assert not page.locator("#filters").is_visible()
    closed = page.locator("details.gate:not([open]) .facts-of").first
    assert closed.is_visible()
    assert page.pdf().startswith(b"%PDF")


def test_without_a_script_it_says_the_same(opened: Open, example: str) -> None:
    page = opened(example, java_script_enabled=False)
    assert not page.locator("#filters").is_visible()
    assert page.locator("details.gate").count() == 19
    page.locator("details.gate:not([open]) summary").first.click()
    assert page.locator("details.gate[open]").count() == 5


@pytest.mark.parametrize("width", [360, 1440])
def test_text_from_tools_stays_text(opened: Open, width: int) -> None:
    page = opened(html.render(hostile_runs.RUN, hostile_runs.BESIDE), width=width)
    page.evaluate(OPEN_ALL)
    assert page.evaluate("window.planted") is None
    assert page.locator("img:not([src^='data:image/svg+xml;base64,']), iframe, object, embed, base").count() == 0
    assert page.locator("script").count() == 1
    assert all(
        each.startswith(("#", "https://"))
        for each in page.evaluate("[...document.links].map((each) => each.getAttribute('href'))")
    )
    assert page.evaluate(WIDTH) == width
    assert judged_by_axe(page) == []


@pytest.mark.parametrize(
    "planted",
    [
        "<script>window.planted = 1</script>",
        "<img src=x onerror='window.planted = 1'>",
        "<a id=trap href='javascript:window.planted=1'>x</a>",
        "<style>h1 { display: none }</style>",
    ],
)
def test_even_markup_that_got_in_could_do_nothing(opened: Open, example: str, planted: str) -> None:
    said: list[str] = []
    page = opened(example, quiet=False)
    page.on("console", lambda message: said.append(message.text))
    path = Path(page.url.removeprefix("file://"))
    path.write_text(example.replace("<main>", f"<main>{planted}"))
    page.reload()
    if "id=trap" in planted:
        page.locator("#trap").click()
    assert page.evaluate("window.planted") is None
    assert page.locator("h1").is_visible()
    assert any("Content Security Policy" in each for each in said), said


def test_ten_thousand_findings_stay_a_page(opened: Open) -> None:
    page = opened(html.render(hostile_runs.many(10_000), Beside()), width=360)
    assert page.evaluate("document.querySelectorAll('*').length") < 30_000
    assert page.evaluate(WIDTH) == 360
    page.fill("[name=text]", "checkov[7]")
    assert page.locator("#shown").inner_text() == "1 of 20 gates"
    assert "more" in page.locator("#fix").inner_text()


@pytest.mark.parametrize(("width", "height"), [(360, 740), (768, 1024), (1440, 900)])
def test_screenshots(opened: Open, example: str, width: int, height: int, tmp_path: Path) -> None:
    folder = Path(os.environ.get("PIXGATES_SCREENSHOTS") or tmp_path)
    page = opened(example, width=width)
    page.set_viewport_size({"width": width, "height": height})
    path = folder / f"report-{width}.png"
    page.screenshot(path=path)
    assert path.stat().st_size < 300_000
