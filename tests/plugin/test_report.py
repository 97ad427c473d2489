"""A third party's findings are shown with their code, by the run and by `pixgates report`, unless it is private."""

from __future__ import annotations

import sys

import pytest

from tests.plugin.conftest import LEDGER, Repository

HEAD = """
from pytest_pixgates import Finding, Scan, ToolUse


def _books(ledger):
    return Scan("books", "books", scanned={"rows": 1}, tools=(ToolUse("books", "1.0", "ab"),),
                findings=(Finding("R1", "odd", PATH, LINE),), subjects=(ledger.context.subject("books"),))
"""
BOOKS = "a: ODD-ROW\npassword: |\n  CANARY\nb: EVEN-ROW\n"


@pytest.fixture(params=["pytest", "pixgates report"])
def page(request: pytest.FixtureRequest, repository: Repository) -> Page:
    return Page(repository, again=request.param == "pixgates report")


class Page:
    """The page of a run whose one finding lies at a path and a line."""

    def __init__(self, repository: Repository, *, again: bool) -> None:
        self.repository, self.again = repository, again
        repository.write("books/rows.yaml", BOOKS)

    def of(self, path: str, line: int, *arguments: str) -> str:
        self.repository.gate("assert _books(ledger)", HEAD.replace("PATH", repr(path)).replace("LINE", str(line)))
        assert self.repository.run(*arguments).ret == 1
        written = self.repository.path / ".pixgates" / "report.html"
        if self.again:
            written.unlink()
            assert self.repository.pytester.run(sys.executable, "-m", "pytest_pixgates", "report").ret == 0
        assert "R1" in written.read_text()
        return written.read_text()


def test_the_code_of_a_third_partys_finding_is_shown_with_its_secrets_masked(
    page: Page, workers: tuple[str, ...]
) -> None:
    text = page.of("books/rows.yaml", 4, *workers)
    assert "EVEN-ROW" in text
    assert "CANARY" not in text


@pytest.mark.parametrize("path", ["elsewhere.yaml", "books/../elsewhere.yaml", "../outside.yaml", "/etc/passwd"])
def test_of_a_file_that_it_did_not_judge_or_that_lies_outside_none_is(page: Page, path: str) -> None:
    for name in ("elsewhere.yaml", "../outside.yaml"):
        page.repository.write(name, BOOKS)
    text = page.of(path, 1)
    assert "ODD-ROW" not in text
    assert "root:" not in text


def test_of_a_private_family_none_is(page: Page) -> None:
    page.repository.write("pytest_ledger.py", LEDGER.replace('name = "ledger"', 'name = "ledger"\n    private = True'))
    text = page.of("books/rows.yaml", 1)
    assert "ODD-ROW" not in text
