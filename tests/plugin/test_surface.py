"""What users see of the plugin: markers, fixtures, failure texts, the summary, JUnit, and what it leaves on disk."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.plugin.conftest import Repository

PASSES = "assert ledger.settled >= 0.9"


def test_markers_name_each_family_with_its_help(repository: Repository) -> None:
    result = repository.run("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.infra: infrastructure as code*"])
    result.stdout.fnmatch_lines(["@pytest.mark.ledger: Balances of the settlement ledger."])
    result.stdout.fnmatch_lines(["@pytest.mark.nightly_ledger: ledger gates that only the night run takes."])


def test_fixtures_name_each_family_with_its_help(repository: Repository) -> None:
    result = repository.run("--fixtures")
    result.stdout.fnmatch_lines(["ledger -- *", "*Balances of the settlement ledger.*must record a check*"])


def test_the_fixture_gives_the_marker(repository: Repository, workers: tuple[str, ...]) -> None:
    repository.gate(PASSES)
    repository.write("gates/test_plain.py", "def test_plain(): pass\n")
    result = repository.run("-m", "ledger", *workers)
    result.assert_outcomes(passed=2, deselected=0 if workers else 1)


def test_without_a_policy_the_plugin_is_inert(repository: Repository, workers: tuple[str, ...]) -> None:
    (repository.path / "gates" / "gates.toml").unlink()
    repository.write("gates/test_plain.py", "def test_plain(): pass\n")
    result = repository.run(*workers)
    assert result.ret == 0
    assert "pixgates:" not in result.stdout.str()
    assert not (repository.path / ".pixgates").exists()


def test_without_a_policy_a_gate_is_an_error_that_says_what_to_write(repository: Repository) -> None:
    (repository.path / "gates" / "gates.toml").unlink()
    repository.gate(PASSES)
    result = repository.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*gates.toml: there is no policy, so ledger can't judge*"])


def test_tests_elsewhere_leave_the_records_of_the_gates_alone(repository: Repository) -> None:
    repository.gate(PASSES)
    assert repository.run().ret == 0
    repository.write("tests/test_plain.py", "def test_plain(): pass\n")
    assert repository.run("tests").ret == 0
    assert repository.verdict() == 0


def test_a_failed_comparison_says_measured_limit_and_distance(repository: Repository) -> None:
    repository.gate("assert ledger.disputed <= 0.1")
    result = repository.run()
    result.stdout.fnmatch_lines(
        ["E *FAIL: disputed <= 0.1", "E *measured: disputed 0.3 [[]0.28, 0.32[]], n = 1000", "E *because: *off by 0.2"]
    )


def test_an_undecided_comparison_says_what_would_decide_it(repository: Repository) -> None:
    repository.gate("assert 0.5 <= ledger.pending")
    repository.run().stdout.fnmatch_lines(["E *INCONCLUSIVE: pending >= 0.5", "E *needs: more data*"])


def test_a_message_of_ones_own_does_not_hide_the_explanation(repository: Repository) -> None:
    repository.gate("verdict = ledger.disputed <= 0.1\n    assert verdict, 'too many'")
    repository.run().stdout.fnmatch_lines(["*- pixgates -*", "FAIL: disputed <= 0.1", "*off by 0.2"])


def test_a_declared_gate_fails_at_its_line_of_the_policy(repository: Repository) -> None:
    repository.write(
        "gates/gates.toml", "[ledger.limits]\nsettled = { at_least = 0.9 }\ndisputed = { at_most = 0.1 }\n"
    )
    result = repository.run("--junitxml=junit.xml", "-o", "junit_family=xunit1")
    assert result.ret == 1
    cases = {case.get("name"): case for case in ET.parse(repository.path / "junit.xml").iter("testcase")}
    assert cases["limit[disputed]"].get("line") == "2"
    assert cases["limit[disputed]"].find("failure") is not None


def test_junit_carries_each_verdict(repository: Repository, workers: tuple[str, ...]) -> None:
    repository.gate("assert ledger.pending >= 0.5")
    repository.run("--junitxml=junit.xml", *workers)
    found = {
        case.get("name"): {each.get("name"): each.get("value") for each in case.iter("property")}
        for case in ET.parse(repository.path / "junit.xml").iter("testcase")
    }
    assert found["test_settled"] == {"pixgates.gate": "ledger/settled", "pixgates.verdict": "INCONCLUSIVE"}
    assert found["limit[settled]"]["pixgates.verdict"] == "PASS"


def test_a_run_leaves_its_reports_and_nothing_else(repository: Repository, workers: tuple[str, ...]) -> None:
    repository.gate(PASSES)
    assert repository.run(*workers).ret == 0
    names = {path.name for path in (repository.path / ".pixgates").iterdir()}
    written = {".gitignore", "history.db", "pictures", "records.json", "report.html", "results.sarif", "summary.md"}
    assert names == written
    pictures = sorted(path.name.rpartition("-")[0] for path in (repository.path / ".pixgates" / "pictures").iterdir())
    assert pictures == ["ledger-limit-settled", "ledger-settled"]


def test_an_environment_of_the_policy_is_judged_by_its_own_limit(repository: Repository) -> None:
    limit = "{ at_least = 0.9, environments = { prod = 0.985 } }"
    repository.write(
        "gates/gates.toml", f"[environments.prod]\nrequires = ['ledger']\n[ledger.limits]\nsettled = {limit}\n"
    )
    assert repository.run().ret == 0
    assert repository.verdict("--env", "prod") == 1
    assert repository.run("--pixgates-env", "prod").ret == 1
    assert repository.outcomes() == {"ledger/limit[settled]": "INCONCLUSIVE"}


def test_options_and_ini_keys_name_policy_and_reports(repository: Repository) -> None:
    repository.gate(PASSES)
    (repository.path / "gates").rename(repository.path / "checks")
    ini = "[pytest]\ntestpaths = checks\npixgates_config = checks/gates.toml\npixgates_report_dir = out\n"
    repository.write("pytest.ini", ini)
    assert repository.run().ret == 0
    assert json.loads((repository.path / "out" / "records.json").read_text())["policy"] == "checks/gates.toml"


def test_an_expired_waiver_and_an_unused_one_are_findings(repository: Repository) -> None:
    waiver = '[[ledger]]\nid = "W1"\nrule = "R1"\npath = "a.tf"\nowner = "o"\nreason = "r"\nexpires = {}\n'
    repository.gate(PASSES)
    repository.write("gates/waivers.toml", waiver.format("2020-01-01"))
    result = repository.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*gates/waivers.toml:1*W1*expired on 2020-01-01*"])
    soon = __import__("datetime").date.today() + __import__("datetime").timedelta(days=5)
    repository.write("gates/waivers.toml", waiver.format(soon))
    result = repository.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*gates/waivers.toml:1*W1 excuses nothing*"])
    assert repository.run("-k", "settled and not limit").ret == 0


WAIVED_GATE = """
    finding = ledger.context.policy.waive("ledger", Finding("R1", "odd", "ledger.json", 1))
    about = {"tools": (ToolUse("books", "1.0", "ab"),), "subjects": (ledger.context.subject("ledger.json"),)}
    assert Scan("books", "ledger.json", scanned={"rows": 1}, findings=(finding,), **about)
"""


def test_a_waived_finding_is_green_and_so_is_the_verdict_until_the_waiver_goes(repository: Repository) -> None:
    soon = __import__("datetime").date.today() + __import__("datetime").timedelta(days=5)
    waiver = f'id = "W1"\nrule = "R1"\npath = "ledger.json"\nowner = "o"\nreason = "r"\nexpires = {soon}\n'
    repository.gate(WAIVED_GATE, head="from pytest_pixgates import Finding, Scan, ToolUse")
    written = repository.write("gates/waivers.toml", f"[[ledger]]\n{waiver}")
    assert repository.run().ret == 0
    assert repository.outcomes()["ledger/waivers"] == "PASS"
    assert repository.verdict() == 0
    written.unlink()
    assert repository.verdict() == 1
    assert repository.run().ret == 1


@pytest.mark.parametrize(("variables", "colored"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colors_are_for_terminals_and_heed_no_color(
    repository: Repository, variables: dict[str, str], colored: bool
) -> None:
    repository.gate(PASSES)
    kept = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "PY_COLORS", "CI")
    }
    text = on_a_terminal([sys.executable, "-m", "pytest"], repository.path, kept | variables | {"TERM": "xterm"})
    assert "pixgates: " in text
    assert ("\x1b[" in text.partition("= pixgates =")[2]) is colored


def test_what_a_slow_tool_does_is_shown_on_a_terminal_only(repository: Repository) -> None:
    repository.gate(PASSES)
    text = on_a_terminal([sys.executable, "-m", "pytest"], repository.path, dict(os.environ) | {"TERM": "xterm"})
    assert "… reading settled" in text
    assert "reading settled" not in repository.run().stdout.str()


def on_a_terminal(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """What `command` writes when its output is a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        chunks = []
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
            if not chunk:
                break
            chunks.append(chunk)
        process.wait(timeout=60)
    os.close(ours)
    return b"".join(chunks).decode(errors="replace")
