"""hadolint, as it is: what it passes over must end as an ERROR with its reason, or as a finding."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from pytest_pixgates.core import tools
from pytest_pixgates.core.scan import Scan, Severity, State
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.infra.policy import Rule
from tests.tools.conftest import Project

New = Callable[[Mapping[str, str | bytes]], Project]
GOOD = "FROM debian:12.11\nUSER 10001\n"
BAD = "FROM debian:12.11\nRUN cd /srv && \\\n    echo $unquoted\n"


def scan(new: New, text: str | bytes, beside: Mapping[str, str | bytes] | None = None) -> Scan:
    return new({"app/Dockerfile": text, **(beside or {})}).infra().hadolint("app/Dockerfile")


def test_a_good_image_passes(new_project: New) -> None:
    found = scan(new_project, GOOD)
    assert found, found.lines()
    assert found.scanned == {"files": 1, "instructions": 2}
    assert [(subject.name, subject.kind) for subject in found.subjects] == [("app/Dockerfile", "file")]
    assert "app/Dockerfile" in found.tools[0].argv
    assert "tmp" not in " ".join(found.tools[0].argv)


def test_a_finding_fails_at_its_line_in_shell_too(new_project: New) -> None:
    found = scan(new_project, BAD)
    assert found.outcome is Outcome.FAIL
    by_rule = {each.rule: each for each in found.findings}
    assert by_rule["DL3003"].where == "app/Dockerfile:2"
    assert by_rule["DL3003"].severity is Severity.WARNING
    assert by_rule["SC2086"].severity is Severity.NOTE
    assert by_rule["SC2086"].help_uri == "https://www.shellcheck.net/wiki/SC2086"


@pytest.mark.parametrize("name", [".hadolint.yaml", ".hadolint.yml", "app/.hadolint.yaml"])
def test_a_configuration_that_lies_around_has_no_say(new_project: New, name: str) -> None:
    found = scan(new_project, BAD, {name: "ignored: [DL3003, SC2086]\n"})
    assert {each.rule for each in found.findings} >= {"DL3003", "SC2086"}


def test_nor_has_one_at_home_or_in_the_environment(new_project: New, monkeypatch: pytest.MonkeyPatch) -> None:
    project = new_project({"app/Dockerfile": BAD, "home/.hadolint.yaml": "ignored: [DL3003]\n"})
    monkeypatch.setenv("PIXGATES_HADOLINT", str(tools.find(tools.HADOLINT).path))
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(project.root / "home"))
    monkeypatch.setenv("HADOLINT_IGNORE", "DL3003")
    monkeypatch.setenv("HADOLINT_NOFAIL", "1")
    assert "DL3003" in {each.rule for each in project.infra().hadolint("app/Dockerfile").findings}


@pytest.mark.parametrize(
    ("comment", "skipped"),
    [("# hadolint ignore=DL3003,SC2086", {"DL3003", "SC2086"}), ("# hadolint global ignore=DL3003", {"DL3003"})],
)
def test_an_ignore_comment_is_a_finding_and_hides_nothing(new_project: New, comment: str, skipped: set[str]) -> None:
    first, rest = BAD.split("\n", 1)
    found = scan(new_project, f"{comment}\n{BAD}" if "global" in comment else f"{first}\n{comment}\n{rest}")
    assert {each.resource for each in found.findings if each.rule == "inline-skip"} == skipped
    assert skipped <= {each.rule for each in found.findings}


def test_a_comment_that_turns_shellcheck_away_is_a_finding(new_project: New) -> None:
    found = scan(new_project, f"# hadolint shell=powershell\n{GOOD}")
    assert [(each.rule, each.resource, each.line) for each in found.findings] == [("inline-skip", "powershell", 1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "app/Dockerfile: has no FROM", id="empty"),
        pytest.param("# FROM debian:12\n\n", "app/Dockerfile: has no FROM", id="only comments"),
        pytest.param("RUN <<EOF\nFROM debian\nEOF\n", "app/Dockerfile: has no FROM", id="FROM in a here-document"),
        pytest.param(GOOD + "RUNX\n", "app/Dockerfile:3: hadolint could not parse it", id="no such instruction"),
        pytest.param(GOOD.encode() + b"RUN echo \xff\n", "app/Dockerfile:3: is not UTF-8", id="not UTF-8"),
    ],
)
def test_what_it_can_not_judge_is_an_error(new_project: New, text: str | bytes, said: str) -> None:
    found = scan(new_project, text)
    assert found.outcome is Outcome.ERROR, found.lines()
    assert said in str(found.problems[0])


def test_a_path_that_is_no_file_is_an_error(new_project: New) -> None:
    infra = new_project({"app/Dockerfile": GOOD}).infra()
    assert "is not a file" in str(infra.hadolint("app").problems[0])
    assert "matches nothing" in str(infra.hadolint("app/Containerfile").problems[0])


def test_a_rule_is_switched_off_by_the_policy(new_project: New) -> None:
    rules = tuple(Rule(rule, "as the vendor wrote it", ("app/*",)) for rule in ("DL3003", "SC2086"))
    found = new_project({"app/Dockerfile": BAD}).infra(rules=rules).hadolint("app/Dockerfile")
    assert found, found.lines()
    assert {each.state for each in found.findings} == {State.OFF}
