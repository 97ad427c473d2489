"""The summary fits a comment, says the verdict first, and lets no tool write into the page."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.record import Record, Run
from pytest_pixgates.core.scan import State
from pytest_pixgates.core.verdict import Outcome, Verdict
from pytest_pixgates.history.entry import Entry
from pytest_pixgates.history.target import Target
from pytest_pixgates.report.beside import Beside
from pytest_pixgates.report.markdown import escape, render
from tests.unit.example_runs import FINDING, GREEN, NOW, RED, record, run, runs, scan


def test_the_verdict_comes_first() -> None:
    assert render(GREEN).splitlines()[0] == "# pixgates: PASS"
    assert render(RED).splitlines()[0] == "# pixgates: FAIL"
    assert render(dataclasses.replace(GREEN, status="running")).splitlines()[0] == "# pixgates: ERROR"
    assert render(dataclasses.replace(GREEN, partial=("-k a",))).splitlines()[0] == "# pixgates: PARTIAL (not evidence)"
    assert render(dataclasses.replace(RED, partial=("-k a",))).splitlines()[0] == "# pixgates: FAIL"


def test_a_green_run_is_a_table_and_nothing_to_fix() -> None:
    text = render(GREEN)
    assert "| PASS | infra/checkov\\[iac/prod\\] | 2 files | no finding |  |" in text
    assert "## " not in text


def test_a_red_run_says_what_to_fix() -> None:
    text = render(RED)
    assert "## Fix first" in text
    assert "1. **FAIL** iac/prod/main.tf:12: CKV\\_AWS\\_19: bucket is not encrypted" in text
    assert "<br>Fix: kms" in text


def test_partial_missing_waived_and_known_are_shown() -> None:
    waived = dataclasses.replace(FINDING, state=State.WAIVED, waiver="W-1", excuse="platform, until 2026-12-01")
    off = dataclasses.replace(FINDING, state=State.OFF, excuse="data stays here by design")
    known = dataclasses.replace(FINDING, state=State.KNOWN, excuse="known since 2026-01-01, until 2026-03-01")
    example = run(
        record(scan(waived, off, known)), partial=("-k recall",), expected={"gates/test_x.py::test_y": "infra/y"}
    )
    text = render(example)
    for title in ("## PARTIAL, not evidence\n\n- -k recall", "## Expected, but left no record", "## Waived"):
        assert title in text
    assert "is not encrypted (W-1, platform, until 2026-12-01)" in text
    assert "## Switched off by the policy" in text
    assert "is not encrypted (data stays here by design)" in text
    assert "## Known by the baseline" in text
    assert "is not encrypted (known since 2026-01-01, until 2026-03-01)" in text


def test_the_worst_gates_stand_first_and_say_why() -> None:
    bad = record(Verdict(Outcome.FAIL, "recall >= 0.8", "recall 0.7", "beyond"), gate="model_gate/recall", node="m")
    rows = [line for line in render(run(*GREEN.records, bad)).splitlines() if line.startswith("| ")]
    assert rows[1] == "| FAIL | model\\_gate/recall | recall 0.7 |  |  |"
    assert "PASS" in rows[2]


def measured(value: float, name: str = "recall", limit: float = 0.7) -> Record:
    gate = f"model_gate/limit[{name}]"
    return record(Measurement(name, value, value - 0.02, value + 0.02, 500) >= limit, gate=gate, node=gate)


def test_the_table_says_measured_limit_and_how_it_was_on_the_target() -> None:
    before = Entry.of(run(measured(0.8, "recall"), measured(0.8, "same"), measured(0.71, "was"), *RED.records))
    now = run(
        measured(0.82, "recall"), measured(0.8, "same"), measured(0.8, "was"), measured(0.9, "new"), *GREEN.records
    )
    text = render(now, Beside(target=Target("release/1", before)))
    assert "| | gate | measured | limit | against release/1 |" in text
    rows = [line for line in text.splitlines() if line.startswith("| PASS")]
    assert rows == [
        "| PASS | model\\_gate/limit\\[new\\] | 0.9 \\[0.88, 0.92\\], n = 500 | ≥ 0.7 | new |",
        "| PASS | model\\_gate/limit\\[recall\\] | 0.82 \\[0.8, 0.84\\], n = 500 | ≥ 0.7 | 0.8 \\(0.02 better\\) |",
        "| PASS | model\\_gate/limit\\[was\\] | 0.8 \\[0.78, 0.82\\], n = 500 | ≥ 0.7 | 0.71 \\(0.09 better\\), "
        "was INCONCLUSIVE |",
        "| PASS | infra/checkov\\[iac/prod\\] | 2 files | no finding | was FAIL |",
        "| PASS | model\\_gate/limit\\[same\\] | 0.8 \\[0.78, 0.82\\], n = 500 | ≥ 0.7 | same |",
    ]


def test_where_no_run_of_the_target_is_known_it_says_so() -> None:
    assert "Against main: no earlier run is known." in render(GREEN)
    said = render(GREEN, Beside(target=Target("main", problem="no run of main is known here")))
    assert "Against main: no run of main is known here." in said


def test_a_slow_slide_is_told() -> None:
    before = [
        dataclasses.replace(Entry.of(run(measured(0.9 - 0.01 * at))), run=str(at), started=NOW - 99 + at)
        for at in range(11)
    ]
    assert "## Slow slides\n\n- model\\_gate/limit\\[recall\\]: recall is 0.79" in render(
        run(measured(0.79)), Beside(entries=tuple(before))
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://ci.example.org/run/1", "[The full report](https://ci.example.org/run/1): report.html"),
        ("", "The full report: report.html"),
        ("javascript:alert(1)", "The full report: report.html"),
        ("https://x/)[evil](https://y", "The full report: report.html"),
        ("https://x/\n# y", "The full report: report.html"),
    ],
)
def test_it_says_where_the_full_report_is(url: str, said: str) -> None:
    assert render(GREEN, Beside(url=url)).splitlines()[-1].startswith(said)


def test_it_is_one_screen() -> None:
    many = [measured(0.8, f"m{at}") for at in range(100)] + [
        record(scan(FINDING), gate=f"infra/{at}", node=str(at)) for at in range(50)
    ]
    assert len(render(run(*many)).splitlines()) < 40


@pytest.mark.parametrize("text", ["x", "@#\\<&|*_`[](){}~$!" * 20, "é" * 300, "🟥" * 300])
@pytest.mark.parametrize("count", [1, 7, 3000])
def test_it_is_bounded_and_says_what_it_leaves_out(text: str, count: int) -> None:
    finding = dataclasses.replace(FINDING, message=text, rule=text, path=text, fix=text)
    waived = dataclasses.replace(finding, state=State.WAIVED, waiver=text, excuse=text)
    off = dataclasses.replace(finding, state=State.OFF, excuse=text)
    known = dataclasses.replace(finding, state=State.KNOWN, excuse=text)
    gates = [
        record(scan(finding, waived, off, known), gate=f"infra/{number}{text}", node=f"{text}{number}")
        for number in range(count)
    ]
    expected = {f"lost{number}{text}": f"infra/lost{number}" for number in range(count)}
    example = run(*gates, expected=expected, partial=(text,) * count, environment=text, id=text)
    rendered = render(example)
    assert len(rendered.encode()) < 60_000
    assert (" more" in rendered) is (count > 1)


@given(runs)
def test_any_run_can_be_rendered(example: Run) -> None:
    rendered = render(example)
    assert rendered.startswith("# pixgates: ")
    assert len(rendered.encode()) < 60_000


@pytest.mark.parametrize(
    ("hostile", "literal"),
    [
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert\\(1\\)&gt;"),
        ("a | b", "a \\| b"),
        ("[x](javascript:y)", "\\[x\\]\\(javascript:y\\)"),
        ("`rm -rf`", "\\`rm -rf\\`"),
        ("line\n# heading", "line \\#<!-- --> heading"),
        ("@owner", "@<!-- -->owner"),
        ("https://evil.example", "https:\\//evil.example"),
        ("www.evil.example", "www\\.evil.example"),
        ("\\| a", "\\\\\\| a"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("plain text, 5 %", "plain text, 5 %"),
    ],
)
def test_markup_in_tool_text_stays_text(hostile: str, literal: str) -> None:
    assert escape(hostile) == literal


@given(st.text())
def test_a_cell_never_breaks_out_of_its_row(text: str) -> None:
    escaped = escape(text).replace("<!-- -->", "")
    assert "\n" not in escaped
    assert "<" not in escaped
    assert "|" not in escaped.replace("\\\\", "").replace("\\|", "")
