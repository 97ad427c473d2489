"""What `pixgates prove` left is shown as it is; a file that is none is said, and breaks no report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates.history import target
from pytest_pixgates.report import html, proof
from pytest_pixgates.report.beside import Beside
from tests.git import Git
from tests.unit.example_runs import GREEN
from tests.unit.hostile_runs import TEXT
from tests.unit.test_report_html import Reader


def tried(name: str, status: str, kind: str = "defect", area: str = "latency") -> dict[str, Any]:
    row = {"name": name, "kind": kind, "area": area, "why": "it matters", "status": status, "said": "its gate passed"}
    return {**row, "asked": ["latency/p99"], "expected": "FAIL", "seconds": 3.0, "gates": {"latency/p99": "PASS"}}


def matrix(*rows: dict[str, Any]) -> dict[str, Any]:
    told = {"schema": 1, "verdict": "FAIL", "exit_code": 1, "problems": []}
    return {**told, "rows": list(rows), "started": 1.8e9, "seconds": 700.0, "commit": "ab" * 20, "selection": "all"}


def said(folder: Path) -> str:
    return Reader(html.render(GREEN, Beside(proof=proof.read(folder, folder)))).said


def test_survivors_come_first_and_areas_are_counted(tmp_path: Path) -> None:
    rows = [
        tried("slow", "caught"), tried("stalls", "survived"), tried("reformatted", "green", "variation"),
        tried("renamed", "red", "variation", "infra"), tried("no such file here", "unfit"),
    ]  # fmt: skip
    (tmp_path / "prove.json").write_text(json.dumps(matrix(*rows)))
    page = said(tmp_path)
    assert "1 of 2 defects caught, 1 of 2 harmless variations green, in 11 min 40 s (all; 2027-01-15" in page
    assert "survived: latency/stalls. its gate passed. it matters" in page
    assert page.index("latency/stalls") < page.index("defects caught variations green")
    assert "no such file here" not in page


@pytest.mark.parametrize(("code", "problems"), [(3, ["the baseline is red"]), (1, ["no such area"]), (3, []), (5, [])])
def test_a_round_that_proved_nothing_begins_with_that(tmp_path: Path, code: int, problems: list[str]) -> None:
    told = {**matrix(tried("slow", "caught")), "verdict": "ERROR", "exit_code": code, "problems": problems}
    (tmp_path / "prove.json").write_text(json.dumps(told))
    page = said(tmp_path)
    assert f"NOT JUDGED: the round ended with exit code {code}. Of what was tried, 1 of 1 defects caught" in page
    assert all(f"error: {each}" in page for each in problems)


@pytest.mark.parametrize("code", [0, 1])
def test_a_round_that_was_judged_does_not(tmp_path: Path, code: int) -> None:
    (tmp_path / "prove.json").write_text(json.dumps({**matrix(tried("slow", "caught")), "exit_code": code}))
    assert "NOT JUDGED" not in said(tmp_path)


def test_a_round_of_another_commit_says_so(tmp_path: Path) -> None:
    Git(tmp_path).commit()
    commit = target.here(tmp_path)[1]
    (tmp_path / "prove.json").write_text(json.dumps({**matrix(tried("slow", "caught")), "commit": commit}))
    assert "while the repository is at" not in said(tmp_path)
    (tmp_path / "prove.json").write_text(json.dumps(matrix(tried("slow", "caught"))))
    assert f"commit abababababab, while the repository is at {commit[:12]})" in said(tmp_path)


def test_without_one_the_page_has_no_such_part(tmp_path: Path) -> None:
    assert proof.read(tmp_path, tmp_path) is None
    assert "What the gates catch" not in said(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        json.dumps({"rows": []}),
        json.dumps(matrix({"name": 1})),
        json.dumps({**matrix(), "rows": 3}),
        json.dumps({**matrix(), "exit_code": "0"}),
        json.dumps({name: told for name, told in matrix().items() if name != "problems"}),
    ],
)
def test_what_is_none_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "prove.json").write_text(text)
    assert "prove.json can't be read" in said(tmp_path)


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    rows = [{**tried("x", "survived"), "name": TEXT, "area": TEXT, "why": TEXT, "said": TEXT} for _ in range(500)]
    (tmp_path / "prove.json").write_text(json.dumps({**matrix(*rows), "selection": TEXT, "commit": TEXT}))
    text = html.render(GREEN, Beside(proof=proof.read(tmp_path, tmp_path)))
    assert len(Reader(text).all("script")) == 1
    assert "And 460 more" in text
    assert len(text) < 300_000
