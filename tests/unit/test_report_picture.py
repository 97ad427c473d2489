"""A picture says what the record says, in shapes and in words, whatever is in the record."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_pixgates import report
from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.record import Record
from pytest_pixgates.core.verdict import Figure, Outcome, Verdict
from pytest_pixgates.report import picture
from pytest_pixgates.report.scale import Scale
from pytest_pixgates.report.text import plain
from tests.unit.example_runs import CLEAN, RED, record, run, texts

GATE = "model_gate/limit[recall]"
RECALL = Measurement("recall", 0.85, 0.802, 0.89, 200)

any_number = st.floats() | st.floats(-2, 2) | st.sampled_from([0.0, -0.0, 5e-324, 1.7e308, -1.7e308, 0.8])
bounds = st.none() | any_number
operators = st.sampled_from([">=", ">", "<=", "<"]) | st.sampled_from(["", "=="])
figures = st.builds(Figure, texts, any_number, bounds, bounds, operators, any_number, st.integers(), texts)
verdicts = st.builds(
    Verdict, st.sampled_from(Outcome), texts, reason=texts, figures=st.lists(figures, max_size=20).map(tuple)
)
records = st.builds(
    lambda gate, outcome, reason, checks: record(*checks, gate=gate, outcome=outcome, reason=reason),
    texts | st.text(max_size=200),
    st.sampled_from(Outcome),
    texts | st.text(max_size=500),
    st.lists(verdicts, min_size=1, max_size=3),
)


def drawn(*checks: Verdict, gate: str = GATE, **changes: Any) -> ET.Element:
    return parsed(record(*checks, gate=gate, **changes))


def parsed(example: Record) -> ET.Element:
    return ET.fromstring(picture.render(example))


def elements(svg: ET.Element, name: str, class_: str = "") -> list[ET.Element]:
    found = [each for each in svg.iter() if each.tag.rpartition("}")[2] == name]
    return [each for each in found if class_ in each.get("class", "").split() or not class_]


def written(svg: ET.Element) -> list[str]:
    return [each.text or "" for each in elements(svg, "text")]


def words(svg: ET.Element) -> str:
    return elements(svg, "desc")[0].text or ""


def sliced(*values: float, limit: float = 0.75) -> Verdict:
    made = [
        Measurement(f"recall of {at}", each, each - 0.05, each + 0.05, 100) >= limit for at, each in enumerate(values)
    ]
    worst = Outcome.worst(each.outcome for each in made)
    return Verdict(worst, f"recall >= {limit}", figures=tuple(figure for each in made for figure in each.figures))


# Any record


@settings(max_examples=150, deadline=None)
@given(records)
def test_any_record_gives_a_well_formed_picture_whose_marks_are_all_inside(example: Record) -> None:
    svg = parsed(example)
    width, height = (float(number) for number in svg.get("viewBox", "").split()[2:])
    for x, y in (corner for each in svg.iter() for corner in corners(each)):
        assert 0 <= x <= width
        assert 0 <= y <= height


@settings(max_examples=150, deadline=None)
@given(records)
def test_no_attribute_holds_what_is_no_number(example: Record) -> None:
    for each in parsed(example).iter():
        for name, value in each.attrib.items():
            if name not in ("id", "aria-labelledby", "aria-describedby"):
                assert not re.search(r"nan|inf|e[+-]?\d", value), (
                    name,
                    value,
                )


@settings(max_examples=80, deadline=None)
@given(records)
def test_no_line_of_text_is_longer_than_the_picture_is_wide(example: Record) -> None:
    assert max((len(line) for line in written(parsed(example))), default=0) <= 48
    assert len(picture.render(example)) < 60_000


HOSTILE = [
    "</text><script>alert(1)</script>",
    "\"'><image href='http://127.0.0.1/x'/>",
    "]]> &amp; &#0; <!-- --> <?xml?> <!DOCTYPE x>",
    "\x00\x1b[31mred\x1b[0m \ud800 \ufffe\uffff \u202eevil",
    "}</style><style>*{display:none}",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_shown_as_text(text: str) -> None:
    figure = Figure(text, 0.5, 0.4, 0.6, ">=", 0.3, 7, unit=text)
    verdict = Verdict(Outcome.FAIL, text, reason=text, figures=(figure,))
    svg = drawn(verdict, gate=f"model_gate/{text}")
    assert {each.tag.rpartition("}")[2] for each in svg.iter()} <= {
        *("svg", "title", "desc", "style", "rect", "g", "line", "circle", "polygon", "text")
    }
    assert elements(svg, "title")[0].text == re.sub("[\ufffe\uffff]", "\ufffd", plain(f"FAIL: model_gate/{text}"))
    assert len(elements(svg, "style")) == 1


def test_a_picture_needs_nothing_from_elsewhere() -> None:
    text = picture.render(record(RECALL >= 0.8, gate=GATE))
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"url\(|@import|@font-face|href|<script", text)


def test_its_rules_touch_nothing_else_on_a_page() -> None:
    style = elements(drawn(RECALL >= 0.8), "style")[0].text or ""
    selectors = [
        part.strip("}") for part in re.findall(r"[^{}]*\{", style.replace("@media (prefers-color-scheme:dark){", ""))
    ]
    assert all(selector.startswith(".pixgates-picture") for selector in selectors)
    keys = [picture.file_name(record(RECALL >= 0.8, gate=GATE, node=node)) for node in ("a", "b")]
    assert len(set(keys)) == 2, "ids of two pictures on a page would be the same"


# What it says


def test_a_passing_picture_says_so_in_words_and_shape() -> None:
    svg = drawn(RECALL >= 0.8)
    assert elements(svg, "title")[0].text == "PASS: model_gate/limit[recall]"
    assert words(svg) == "recall 0.85, [0.802, 0.89], n = 200, limit at least 0.8: within the limit."
    assert {"PASS", "recall", "0.85", "[0.802, 0.89], n = 200", "within the limit", "limit: at least 0.8"} <= {
        *written(svg)
    }
    assert len(elements(svg, "circle", "mark")) == 2, "one in the head, one on the interval"


def test_a_failing_picture_says_so_and_why() -> None:
    svg = drawn(RECALL >= "90%")
    assert elements(svg, "title")[0].text == "FAIL: model_gate/limit[recall]"
    assert words(svg) == (
        "the whole interval is beyond the limit; off by 0.05. "
        "recall 0.85, [0.802, 0.89], n = 200, limit at least 0.9: beyond the limit."
    )
    assert {"FAIL", "beyond the limit"} <= {*written(svg)}
    assert not elements(svg, "circle")
    assert len(elements(svg, "line", "cross")) == 4


def test_an_undecided_picture_is_of_a_third_shape() -> None:
    svg = drawn(RECALL >= 0.82)
    assert {"INCONCLUSIVE", "across the limit"} <= {*written(svg)}
    assert len(elements(svg, "polygon", "hollow")) == 2
    assert not elements(svg, "circle") + elements(svg, "line", "cross")


def test_it_is_an_image_with_a_name_and_a_description() -> None:
    svg = drawn(RECALL >= 0.8)
    assert svg.get("role") == "img"
    ids = {each.get("id"): each.tag.rpartition("}")[2] for each in svg.iter() if each.get("id")}
    assert [ids[svg.get(name)] for name in ("aria-labelledby", "aria-describedby")] == ["title", "desc"]


def test_what_the_gate_knows_beyond_the_interval_is_in_the_head() -> None:
    few = dataclasses.replace(RECALL >= 0.8, outcome=Outcome.INCONCLUSIVE, reason="too few to judge")
    svg = drawn(few)
    assert {"INCONCLUSIVE", "too few to judge", "within the limit"} <= {*written(svg)}


@pytest.mark.parametrize(("operator", "side"), [(">=", "left"), (">", "left"), ("<=", "right"), ("<", "right")])
def test_the_side_that_is_not_allowed_is_shaded(operator: str, side: str) -> None:
    svg = drawn(Verdict(Outcome.PASS, "", figures=(Figure("x", 0.5, 0.4, 0.6, operator, 0.5, 9),)))
    shade, line = elements(svg, "rect", "off")[0], elements(svg, "line", "limit")[-1]
    left, at = float(shade.get("x", "")), float(line.get("x1", ""))
    right = left + float(shade.get("width", ""))
    assert at == pytest.approx(right if side == "left" else left)
    assert right - left > 10


def test_the_marks_stand_in_the_order_of_the_numbers() -> None:
    svg = drawn(Verdict(Outcome.PASS, "", figures=(Figure("x", 0.85, 0.81, 0.89, ">=", 0.8, 9),)))
    limit = float(elements(svg, "line", "limit")[-1].get("x1", ""))
    low, high = sorted(float(each.get("x1", "")) for each in elements(svg, "line", "stop"))
    value = float(elements(svg, "circle", "mark")[-1].get("cx", ""))
    assert limit < low < value < high


# Several numbers


def test_of_many_the_worst_come_first_and_the_rest_is_counted() -> None:
    values = [0.95, 0.9, 0.6, 0.76, *[0.85] * 16, 0.5]
    svg = drawn(sliced(*values))
    names = [text for text in written(svg) if text.startswith("recall of ")]
    assert len(names) == picture.MOST_ROWS
    assert names[:3] == ["recall of 20", "recall of 2", "recall of 3"]
    assert "and 9 more, at worst within the limit" in written(svg)
    assert words(svg).endswith("and 9 more, at worst within the limit.")
    assert "more" not in words(drawn(sliced(*values[: picture.MOST_ROWS])))


def test_groups_share_a_scale_and_other_limits_have_their_own() -> None:
    alarms = Measurement("alarms", 12.0, 9.0, 15.0, 50) <= 20
    svg = drawn(sliced(0.8, 0.9), alarms)
    told = [text for text in written(svg) if text.startswith("limit: ")]
    assert sorted(told) == ["limit: at least 0.75", "limit: at most 20"]
    assert len({line.get("x1") for line in elements(svg, "line", "limit")[1:3]}) == 1


def test_two_limits_of_one_number_are_one_row() -> None:
    both = tuple(Figure("N/S", 1.1, 0.9, 1.3, operator, limit, 500) for operator, limit in ((">=", 0.5), ("<=", 2.0)))
    svg = drawn(Verdict(Outcome.PASS, "fair", figures=both))
    assert written(svg).count("N/S") == 1
    assert "limit: at least 0.5 and at most 2" in written(svg)
    assert len(elements(svg, "rect", "off")) == 2
    broken = (both[0], dataclasses.replace(both[1], limit=0.8))
    assert "beyond the limit" in written(drawn(Verdict(Outcome.FAIL, "fair", figures=broken)))


# What has no end, or was not measured


def test_an_interval_without_an_end_has_an_arrow_there() -> None:
    svg = drawn(Measurement("roc_auc", 0.97, -math.inf, 0.99, 120) >= 0.95)
    assert len(elements(svg, "polygon", "fill")) == len(elements(svg, "line", "stop")) == 1
    assert "[no bound, 0.99], n = 120" in written(svg)
    assert not elements(drawn(RECALL >= 0.8), "polygon", "fill")


def test_one_very_wide_interval_does_not_hide_the_others() -> None:
    figures = tuple(Figure(f"{at}", 1.0, 0.8, 1.2, "<=", 1.5, 9) for at in range(4))
    svg = drawn(Verdict(Outcome.PASS, "", figures=(*figures, Figure("wide", 1.1, 0.5, 1e9, "<=", 1.5, 2))))
    stops = [float(each.get("x1", "")) for each in elements(svg, "line", "stop")]
    assert max(stops) - min(stops) > 30
    assert len(elements(svg, "polygon", "fill")) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_drawn_as_not_measured(value: float) -> None:
    svg = drawn(Verdict(Outcome.ERROR, "x", figures=(Figure("x", value, 0.1, 0.2, ">=", 0.1, 9),)))
    assert {"ERROR", "x", "not measured"} <= {*written(svg)}
    assert len(elements(svg, "line", "nothing")) == 1
    assert not elements(svg, "line", "bar")


def test_a_check_that_could_not_measure_stands_beside_one_that_could() -> None:
    error = Measurement("brier", math.nan, math.nan, math.nan, 0) <= 0.1
    svg = drawn(RECALL >= 0.8, error)
    assert {"ERROR", "brier <= 0.1", "not measured", "recall", "within the limit"} <= {*written(svg)}


def test_a_gate_that_compares_no_numbers_has_no_picture() -> None:
    assert not picture.rows(record(CLEAN))
    assert not picture.rows(record(dataclasses.replace(CLEAN, scanned={})))
    assert not picture.rows(record(Verdict(Outcome.PASS, "there is no champion yet"), gate=GATE))
    assert picture.rows(record(RECALL >= 0.8, gate=GATE))


# Scale and colours


@pytest.mark.parametrize(("low", "value", "high"), [(0.0, 0.0, 0.0001), (0.999, 1.0, 1.0), (0.2, 0.5, 0.8)])
def test_a_scale_of_rates_stays_between_0_and_1(low: float, value: float, high: float) -> None:
    scale = Scale.of([Figure("x", value, low, high, "<=", 0.5, 9)], 0, 100)
    assert 0 <= scale.low < scale.high <= 1
    beyond = Scale.of([Figure("x", -value - 1, low, high, "<=", 1.5, 9)], 0, 100)
    assert beyond.low < -1
    assert beyond.high > 1.5


@settings(deadline=None)
@given(figures.filter(lambda each: each.outcome is not Outcome.ERROR))
def test_a_scale_keeps_the_order_and_holds_value_and_limit(figure: Figure) -> None:
    scale = Scale.of([figure], 10, 20)
    assert scale.low <= min(figure.value, figure.limit) <= max(figure.value, figure.limit) <= scale.high
    assert (scale.x(figure.value) < scale.x(figure.limit)) <= (figure.value < figure.limit)
    ticks = scale.ticks()
    assert len(ticks) <= 5
    assert all(scale.low <= tick <= scale.high for tick in ticks)


def test_ticks_are_round() -> None:
    assert Scale(0.7432, 0.8912, 0, 1).ticks() == pytest.approx([0.75, 0.8, 0.85])
    assert Scale(0.0, 0.0011, 0, 1).ticks() == pytest.approx([0, 0.0005, 0.001])
    assert Scale(-1e308, 1.7e308, 0, 1).ticks() == []


def contrast(one: str, other: str) -> float:
    """WCAG 2's, of two colours."""

    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("at", [0, 1], ids=["light", "dark"])
def test_every_colour_of_text_has_the_contrast_of_wcag_aa(at: int) -> None:
    ground = picture.PALETTE["ground"][at]
    for name in set(picture.PALETTE) - {"ground", "frame"}:
        assert contrast(picture.PALETTE[name][at], ground) >= 4.5, name
    assert contrast("#808080", ground) < 5.5, "or this would measure nothing"


# Files


def test_pictures_stand_beside_the_reports_and_those_of_the_last_run_are_gone(tmp_path: Path) -> None:
    judged = record(RECALL >= 0.8, gate=GATE)
    folder = tmp_path / picture.FOLDER
    written = report.write(run(judged), tmp_path)
    assert (
        [path for path in written if path.suffix == ".svg"]
        == [*folder.iterdir()]
        == [folder / picture.file_name(judged)]
    )
    assert (folder / picture.file_name(judged)).read_text() == picture.render(judged)
    (folder / "logo.svg").write_text("mine")
    other = record(RECALL >= 0.8, gate="model_gate/limit[precision]")
    report.write(run(other, RED.records[0]), tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == sorted(["logo.svg", picture.file_name(other)])
    report.write(RED, tmp_path)
    assert [path.name for path in folder.iterdir()] == ["logo.svg"]


@settings(deadline=None)
@given(st.text(st.characters()), st.text(st.characters()))
def test_a_file_name_is_safe_and_differs_by_gate(gate: str, other: str) -> None:
    names = [picture.file_name(record(RECALL >= 0.8, gate=each)) for each in (gate, other)]
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,90}\.svg", name) for name in names)
    assert (names[0] == names[1]) == (gate == other)


def test_the_same_record_gives_the_same_picture() -> None:
    judged = record(sliced(0.5, 0.9), gate=GATE)
    assert picture.render(judged) == picture.render(judged)


def corners(each: ET.Element) -> Iterator[tuple[float, float]]:
    """What must lie inside of the picture."""
    number = {name: float(value) for name, value in each.attrib.items() if re.fullmatch(r"-?[\d.]+", value)}
    match each.tag.rpartition("}")[2]:
        case "rect":
            yield from itertools.product(
                (number["x"], number["x"] + number["width"]), (number["y"], number["y"] + number["height"])
            )
        case "line":
            yield from ((number["x1"], number["y1"]), (number["x2"], number["y2"]))
        case "circle":
            yield from ((number["cx"] + sign * number["r"], number["cy"] + sign * number["r"]) for sign in (-1, 1))
        case "polygon":
            yield from (tuple(map(float, pair.split(","))) for pair in each.get("points", "").split())  # type: ignore[misc]
        case "text":
            yield number["x"], number["y"]
