"""A change fails only for what it adds: known findings are green, and the change itself can't make more known."""

from __future__ import annotations

import datetime
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pytest_pixgates.core import baseline, tolerance
from pytest_pixgates.core.baseline import Entry
from pytest_pixgates.core.scan import Finding, Scan
from tests.git import Git
from tests.plugin.conftest import Repository

# What an outsider's family does with what its tool found.
HEAD = """
import json
from pytest_pixgates import Finding, Problem, Scan, ToolUse


def _books(ledger):
    told = json.loads((ledger.context.root / "found.json").read_text())
    findings = (ledger.context.policy.waive("ledger", Finding(*each)) for each in told["findings"])
    scan = Scan("books", "ledger.json", scanned={"rows": 1}, findings=tuple(findings),
                problems=tuple(map(Problem, told["problems"])), tools=(ToolUse("books", "1.0", "ab"),),
                subjects=(ledger.context.subject("found.json"),))
    return ledger.context.known(scan)
"""
TODAY = tolerance.today()
DAY = datetime.timedelta(days=1)
OLD, NEW = ("R1", "odd", "ledger.json", 3), ("R1", "odder", "ledger.json", 9)


class Clone:
    """A repository whose gate finds what found.json says, and whose main has been merged with OLD in the baseline."""

    def __init__(self, repository: Repository) -> None:
        self.repository, self.path = repository, repository.path
        repository.gate("assert _books(ledger)", HEAD)
        self.found(OLD)
        self.git = Git(self.path)

    def found(self, *findings: tuple[str, str, str, int], problems: tuple[str, ...] = ()) -> None:
        self.repository.write("found.json", json.dumps({"findings": findings, "problems": problems}))

    def know(self, *findings: tuple[str, str, str, int], **changes: Any) -> None:
        """Write the baseline, as `pixgates baseline` would."""
        rest = {"count": 1, "since": TODAY - 30 * DAY, "expires": TODAY + 30 * DAY, **changes}
        entries = [Entry.of(Finding(*each), Scan("books", "ledger.json"), "ledger", "", **rest) for each in findings]
        self.repository.write("gates/baseline.json", baseline.dumps(entries))

    def baseline(self, *arguments: str) -> pytest.RunResult:
        return self.repository.pytester.run(sys.executable, "-m", "pytest_pixgates", "baseline", *arguments)

    def states(self) -> list[str]:
        return [
            finding["state"]
            for record in self.repository.records()["records"]
            for check in record["checks"]
            for finding in (check["scan"] or {"findings": []})["findings"]
            if finding["path"] == "ledger.json"
        ]


@pytest.fixture
def clone(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Clone:
    for name in ("PIXGATES_TARGET", "GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "CHANGE_TARGET"):
        monkeypatch.delenv(name, raising=False)
    return Clone(repository)


@pytest.fixture
def merged(clone: Clone) -> Clone:
    clone.know(OLD)
    clone.git.merged()
    return clone


def test_adopting_shrinking_and_merging_one_change_after_another(clone: Clone) -> None:
    repository = clone.repository
    clone.git.merged()
    assert repository.run().ret == 1
    assert clone.baseline("--check").ret == 1
    assert not (clone.path / "gates/baseline.json").exists()
    result = clone.baseline()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["+ R1 at ledger.json (odd) [[]books ledger.json]: 1, until *", "*1 finding known*"])
    assert repository.verdict() == 1  # those records are of another baseline
    result = repository.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*baseline-uncommitted*"])
    clone.git.commit()
    result = repository.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["not blocking: 1 known*", "pixgates: PASS (3 gates, *, 1 known finding)"])
    assert repository.verdict() == 0
    clone.git.merged()
    assert clone.baseline("--check").ret == 0

    clone.found()
    assert repository.run().ret == 1
    assert clone.baseline().ret == 0
    assert json.loads((clone.path / "gates/baseline.json").read_text())["entries"] == []
    assert repository.run().ret == 0
    clone.found(OLD)
    assert repository.run().ret == 1
    clone.git("restore", "gates/baseline.json")
    clone.found(OLD, NEW)
    assert repository.run().ret == 1
    assert clone.baseline("--check").ret == 0  # what is new is never added
    result = clone.baseline("--expires", str(TODAY))
    assert result.ret == 4
    (clone.path / "gates/baseline.json").unlink()
    assert repository.run().ret == 1
    result = clone.baseline()
    assert result.ret == 1
    result.stderr.fnmatch_lines(["*is gone, and there was one at *", "*git checkout *"])


def test_a_known_finding_is_green_wherever_it_moves(merged: Clone, workers: tuple[str, ...]) -> None:
    merged.found((*OLD[:3], 99))
    result = merged.repository.run(*workers)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*PASS (3 gates, *, 1 known finding)"])
    assert merged.states() == ["known"]
    assert merged.repository.outcomes()["ledger/baseline"] == "PASS"
    assert merged.repository.verdict() == 0
    assert "## Known by the baseline" in (merged.path / ".pixgates/summary.md").read_text()
    assert json.loads((merged.path / ".pixgates/results.sarif").read_text())["runs"][0]["results"] == []


def know_more(clone: Clone) -> None:
    clone.know(OLD, NEW)
    clone.git.commit()


def expire(clone: Clone) -> None:
    clone.know(OLD, since=TODAY - 50 * DAY, expires=TODAY - DAY)
    clone.git.merged()


CHANGES: dict[str, tuple[Callable[[Clone], object], str, str]] = {
    "a second finding": (lambda clone: clone.found(OLD, NEW), "ledger/settled", "FAIL"),
    "the same once more": (lambda clone: clone.found(OLD, OLD), "ledger/settled", "FAIL"),
    "in another file": (lambda clone: clone.found(("R1", "odd", "b.json", 3)), "ledger/settled", "FAIL"),
    "not measured": (lambda clone: clone.found(OLD, problems=("it crashed",)), "ledger/settled", "ERROR"),
    "nothing any more": (lambda clone: clone.found(), "ledger/baseline", "FAIL"),
    "a baseline that grew": (know_more, "ledger/baseline", "FAIL"),
    "an entry that expired": (expire, "ledger/baseline", "FAIL"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_change_adds_is_red(merged: Clone, workers: tuple[str, ...], change: str) -> None:
    make, gate, outcome = CHANGES[change]
    make(merged)
    assert merged.repository.run(*workers).ret == 1
    assert merged.repository.outcomes()[gate] == outcome
    assert merged.repository.verdict() == 1


def test_a_finding_that_only_the_grown_baseline_knows_is_red(merged: Clone, workers: tuple[str, ...]) -> None:
    merged.found(OLD, NEW)
    know_more(merged)
    result = merged.repository.run(*workers)
    assert result.ret == 1
    assert merged.states() == ["known", "open"]
    result.stdout.fnmatch_lines(["*baseline-grew*", "*gates/baseline.json:*"])


@pytest.mark.parametrize("lost", ["shallow", "no target", "no repository"])
def test_without_the_history_it_is_an_error_that_says_how_to_have_it(
    merged: Clone, workers: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory, lost: str
) -> None:
    if lost == "shallow":
        merged.git("checkout", "--quiet", "-b", "change")
        for name in "abc":
            merged.repository.write(name, "")
            merged.git.commit()
        merged.git("fetch", "--quiet", "--depth=2", f"file://{merged.path}", "change")
    elif lost == "no target":
        merged.git("update-ref", "-d", "refs/remotes/origin/main")
    else:
        (merged.path / ".git").rename(tmp_path_factory.mktemp("gone") / "git")
    result = merged.repository.run(*workers)
    assert result.ret == 1
    assert set(merged.repository.outcomes().values()) == {"PASS", "ERROR"}
    assert merged.repository.outcomes()["ledger/baseline"] == "ERROR"
    assert merged.repository.outcomes()["ledger/settled"] == "ERROR"
    result.stdout.fnmatch_lines(["*can't be told*", "*fetch-depth: 0*", "*PIXGATES_TARGET*"])
    assert merged.repository.verdict() == 1


def test_tests_beside_the_gates_need_no_history(merged: Clone) -> None:
    merged.git("update-ref", "-d", "refs/remotes/origin/main")
    merged.repository.write("tests/test_plain.py", "def test_plain(): pass\n")
    assert merged.repository.run("tests").ret == 0


def test_the_verdict_looks_up_again_what_is_known(merged: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    merged.found(OLD, NEW)
    know_more(merged)
    monkeypatch.setenv("PIXGATES_TARGET", "HEAD")  # as if nothing had changed
    assert merged.repository.run().ret == 0
    assert merged.repository.verdict() == 0
    monkeypatch.delenv("PIXGATES_TARGET")
    assert merged.repository.verdict() == 1
    monkeypatch.setenv("PIXGATES_TARGET", " ")
    assert merged.repository.verdict() == 1
    assert merged.repository.run().ret == 1


def test_a_narrowed_run_does_not_judge_what_is_stale(merged: Clone) -> None:
    merged.found()
    assert merged.repository.run("-k", "test_settled").ret == 0
    assert merged.baseline().ret == 1


def test_a_baseline_that_was_edited_is_a_usage_error(merged: Clone) -> None:
    path = merged.path / "gates/baseline.json"
    path.write_text(path.read_text().replace('"R1"', '"R2"'))
    result = merged.repository.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*gates/baseline.json: R2 at ledger.json: *does not fit its fingerprint*"])
    assert merged.repository.verdict() == 4
    assert merged.baseline().ret == 4


def test_what_is_waived_needs_no_entry(merged: Clone) -> None:
    waiver = f'id = "W1"\nrule = "R1"\npath = "ledger.json"\nowner = "o"\nreason = "r"\nexpires = {TODAY + DAY}\n'
    merged.repository.write("gates/waivers.toml", f"[[ledger]]\n{waiver}")
    assert merged.repository.run().ret == 1
    assert merged.states() == ["waived"]
    assert merged.baseline().ret == 0
    assert merged.repository.run().ret == 0
