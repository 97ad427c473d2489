"""The matrix is read as people and programs need it, and its exit code is 0 only if everything is well."""

from __future__ import annotations

import dataclasses
import html.parser

import pytest

from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.prove import matrix
from pytest_pixgates.prove.judge import Status
from pytest_pixgates.prove.matrix import Matrix, Row
from pytest_pixgates.report.text import duration, plain

CAUGHT = Row("lost", "defect", "ledger", "Money.", ("ledger/a",), "FAIL x", Status.CAUGHT, "x at y", 1.5,
             changed={"a": ("1", "2")}, gates={"ledger/a": "FAIL", "ledger/b": "PASS"})  # fmt: skip
GREEN = Row("spaces", "variation", "ledger", "Any.", ("ledger/a",), "PASS", Status.GREEN, gates={"ledger/a": "PASS"})


def row(status: Status, name: str = "odd") -> Row:
    return dataclasses.replace(CAUGHT if status is not Status.RED else GREEN, name=name, status=status)


@pytest.mark.parametrize(
    ("rows", "problems", "code"),
    [
        ((CAUGHT, GREEN), (), 0),
        ((CAUGHT, row(Status.UNFIT)), (), 0),
        ((CAUGHT, row(Status.SURVIVED)), (), 1),
        ((CAUGHT, row(Status.MISSED)), (), 1),
        ((CAUGHT, row(Status.RED)), (), 1),
        ((CAUGHT, row(Status.ERROR)), (), 3),
        ((row(Status.ERROR), row(Status.SURVIVED, "other")), ("problem",), 1),
        ((CAUGHT,), ("a copy is not as it was",), 3),
        ((), (), 5),
        ((row(Status.UNFIT),), (), 5),
    ],
)
def test_only_all_caught_and_all_green_is_0(rows: tuple[Row, ...], problems: tuple[str, ...], code: int) -> None:
    found = Matrix(rows, problems=problems)
    assert found.exit_code == code
    assert bool(found.verdict) == (code == 0)


def test_the_worst_stand_first_everywhere() -> None:
    found = Matrix((GREEN, CAUGHT, row(Status.ERROR, "e"), row(Status.SURVIVED, "s"), row(Status.MISSED, "m")))
    assert [each.name for each in found.ordered] == ["s", "m", "e", "lost", "spaces"]
    told = list(matrix.lines(found, duration=duration, plain=plain))
    assert told[0] == "survived ledger/s"
    assert told[-1] == "pixgates prove: FAIL (1 of 4 defects caught, 1 of 1 variations green, 0.0 s)"
    page = matrix.table(found)
    assert page.index("ledger/s<") < page.index("ledger/e<") < page.index("ledger/lost<")


def test_json_comes_back_as_it_was() -> None:
    found = Matrix((GREEN, CAUGHT), 1.0, 2.0, "abc", "2 of 9", ("problem",))
    again = matrix.loads(matrix.dumps(found))
    assert again == dataclasses.replace(found, rows=found.ordered)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "rows": 3}', "[" * 10_000])
def test_what_is_no_matrix_is_refused(text: str) -> None:
    with pytest.raises(PixgatesError):
        matrix.loads(text)


class Tags(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href") or "url(" in str(value)]


def test_the_page_is_one_file_and_what_others_wrote_is_only_text() -> None:
    hostile = dataclasses.replace(CAUGHT, said="<script>alert(1)</script>", why='"><img src=x>', name="x")
    found = Matrix((hostile,))
    page = matrix.page(found, list(matrix.lines(found, duration=duration, plain=plain)))
    parser = Tags()
    parser.feed(page)
    assert "script" not in parser.tags
    assert "img" not in parser.tags
    assert parser.links == []
    assert parser.tags.count("tr") == 2


def test_escape_codes_of_others_do_not_reach_the_terminal() -> None:
    found = Matrix((dataclasses.replace(row(Status.SURVIVED), said="\x1b[2Jgone"),))
    told = "\n".join(matrix.lines(found, duration=duration, plain=plain, color=True))
    assert "\x1b[2J" not in told
    assert "\x1b[1;31msurvived" in told
