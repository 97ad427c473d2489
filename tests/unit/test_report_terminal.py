"""The last lines of a run say what it is worth and what to fix first, on any terminal and whatever tools print."""

from __future__ import annotations

import dataclasses
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_pixgates.core.record import Run
from pytest_pixgates.core.scan import Problem, State
from pytest_pixgates.core.verdict import Outcome, Verdict
from pytest_pixgates.report.terminal import summary, use_color
from pytest_pixgates.report.text import cut, duration, plain
from tests.unit.example_runs import CLEAN, FINDING, GREEN, RED, record, run, runs, scan

COLOR = re.compile(r"\x1b\[[0-9;]*m")


def shown(example: Run, width: int = 100) -> list[str]:
    return summary(example, color=False, width=width)


def test_a_green_run_is_two_lines() -> None:
    assert shown(GREEN) == [
        "infra          PASS         1/1 gates passed     17 s",
        "pixgates: PASS (1 gate, 34 s)",
    ]


def test_a_red_run_says_what_to_fix() -> None:
    assert shown(RED) == [
        "infra          FAIL         0/1 gates passed     17 s",
        "fix first:",
        "  FAIL infra/checkov[iac/prod]  CKV_AWS_19",
        "    iac/prod/main.tf:12: bucket is not encrypted",
        "    fix: kms",
        "pixgates: FAIL (1 gate: 1 FAIL, 34 s)",
    ]


def test_the_worst_comes_first_and_at_most_five() -> None:
    broken = scan(problems=(Problem("not parsed", "iac/b.tf", 3, "close the brace"),))
    undecided = Verdict(Outcome.INCONCLUSIVE, "recall >= 0.8", "recall 0.8", "undecided", "50 more")
    found = [dataclasses.replace(FINDING, line=line) for line in (30, 4)]
    example = run(
        record(undecided, gate="model_gate/recall", node="gates/test_model_gate.py::test_recall"),
        record(broken, gate="infra/b", node="b"),
        record(scan(*found), gate="infra/c", node="c"),
        families=("infra", "model_gate"),
    )
    lines = shown(example)
    heads = [line.split()[0] for line in lines if re.match(r"  (FAIL|ERROR|INC)", line)]
    assert heads == ["FAIL", "FAIL", "ERROR", "INCONCLUSIVE"]
    assert lines.index("    iac/prod/main.tf:4: bucket is not encrypted") < lines.index(
        "    iac/prod/main.tf:30: bucket is not encrypted"
    )
    assert "    gates/test_model_gate.py: recall >= 0.8; undecided; measured recall 0.8" in lines
    assert lines[-1] == "pixgates: FAIL (3 gates: 1 FAIL, 1 ERROR, 1 INCONCLUSIVE, 34 s)"
    many = run(record(scan(*(dataclasses.replace(FINDING, line=line) for line in range(1, 9)))))
    assert sum(line.startswith("  FAIL") for line in shown(many)) == 5
    assert "fix first (5 of 8, all in summary.md and results.sarif):" in shown(many)


def test_a_partial_run_says_so_and_never_ends_with_pass() -> None:
    partial = dataclasses.replace(GREEN, partial=("-k recall", "gates/test_x.py only"))
    assert "PARTIAL, not evidence: -k recall; gates/test_x.py only" in shown(partial)
    assert shown(partial)[-1] == "pixgates: PARTIAL (not evidence): 1 gate passed, 34 s"
    assert shown(dataclasses.replace(RED, partial=("-x",)))[-1].startswith("pixgates: FAIL")
    assert not any("PARTIAL" in line for line in shown(GREEN))


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (dataclasses.replace(GREEN, status="running"), "never closed"),
        (
            dataclasses.replace(GREEN, expected={**GREEN.expected, "t.py::lost": "infra/lost"}),
            "infra/lost was expected",
        ),
        (run(), "no gate ran"),
        (run(record()), "it recorded no check"),
        (run(record(scan(tools=()))), "no tool of known version"),
        (run(record(CLEAN, outcome=Outcome.ERROR, reason="teardown failed: OSError")), "teardown failed: OSError"),
    ],
)
def test_what_was_not_measured_is_an_error_with_its_reason(example: Run, words: str) -> None:
    assert any(words in line for line in shown(example))
    assert shown(example)[-1].startswith("pixgates: ERROR (")
    assert not any(words in line for line in shown(GREEN))


def test_what_was_not_there_to_judge_is_said_once() -> None:
    lines = shown(run(record(scan(absent=("k8s-secret", "k8s-ingress"))), record(scan(absent=("k8s-secret",)))))
    assert "not present: k8s-secret, k8s-ingress" in lines
    assert not [line for line in shown(GREEN) if "not present" in line]


def test_cached_and_waived_are_counted() -> None:
    waived = dataclasses.replace(FINDING, state=State.WAIVED, waiver="W-1")
    off = dataclasses.replace(FINDING, state=State.OFF, excuse="by design")
    lines = shown(run(record(scan(waived, off, off, cached=True))))
    assert lines[0].endswith("17 s, 1 cached")
    assert "not blocking: 1 waived, 2 off, listed with reasons in summary.md" in lines
    assert lines[-1] == "pixgates: PASS (1 gate, 34 s)"


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_long_texts_are_cut_but_never_the_place(width: int) -> None:
    long = dataclasses.replace(
        FINDING, message="x" * 500, fix="y" * 500, path="iac/a/long/way/down/main.tf", line=12345
    )
    lines = shown(run(record(scan(long))), width)
    (place,) = [line for line in lines if "main.tf" in line]
    assert "iac/a/long/way/down/main.tf:12345" in place
    assert place.endswith("…")
    assert all(len(line) <= width for line in lines[1:-1] if line is not place)


@given(runs, st.integers(10, 120))
def test_nothing_a_tool_says_reaches_the_terminal_as_a_command(example: Run, width: int) -> None:
    for line in shown(example, width):
        assert plain(line) == " ".join(line.split())
    for line in summary(example, color=True, width=width):
        assert COLOR.sub("", line).replace("\x1b", "") == COLOR.sub("", line)


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("\x1b[2J\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;https://evil\x1b\\link", "link"),
        ("a\rb\nc\td", "a b c d"),
        ("a\x00b\x7fc\x9bd", "a\ufffdb\ufffdc\ufffdd"),
        ("\u202etxt.exe", "\ufffdtxt.exe"),
        ("\udcff", "\ufffd"),
        ("Olá, ação — ok", "Olá, ação — ok"),
    ],
)
def test_escapes_and_controls_are_neutralised_and_letters_kept(text: str, bare: str) -> None:
    assert plain(text) == bare


def test_only_with_color_is_there_color_and_it_changes_no_text() -> None:
    for example in (GREEN, RED):
        colored = summary(example, color=True, width=80)
        assert any("\x1b[" in line for line in colored)
        assert [COLOR.sub("", line) for line in colored] == shown(example, 80)
        assert not any("\x1b" in line for line in shown(example, 80))


@pytest.mark.parametrize(
    ("tty", "environ", "color"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "0"}, False),
        (False, {"FORCE_COLOR": "1", "TERM": "dumb"}, True),
        (True, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_color_follows_the_conventions(tty: bool, environ: dict[str, str], color: bool) -> None:
    stream = io.StringIO()
    stream.isatty = lambda: tty  # type: ignore[method-assign]
    assert use_color(stream, environ) is color


def test_texts_are_cut_and_times_told_as_a_person_would() -> None:
    assert (cut("abc", 3), cut("abcd", 3), cut("abc", 0)) == ("abc", "ab…", "…")
    assert [duration(each) for each in (0.44, 9.94, 34, 312, -1)] == ["0.4 s", "9.9 s", "34 s", "5 min 12 s", "0.0 s"]
