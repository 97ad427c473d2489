"""What people get wrong when they adopt the plugin or write a family: each is refused, with what to do about it."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import LEDGER, Repository

PASSES = "assert ledger.settled >= 0.9"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("return [Ledger()]", "return [Ledger(), Ledger()]", "*two families of gates are called ledger*"),
        ("return [Ledger()]", "return [Ledger]", "*pytest_pixgates_families returned*Ledger*no list of Family*"),
        ("return [Ledger()]", "return 'ledger'", "*returned 'ledger', which is no list of Family*"),
        ('name = "ledger"', 'name = "led ger"', "*Ledger: name = 'led ger'*give a free identifier*"),
        ('name = "ledger"', 'name = "tools"', "*Ledger: name = 'tools'*give a free identifier*"),
        ("        return LedgerPolicy\n", "        return LedgerPolicy()\n", "*Ledger.settings() gave*"),
        ("yield Gate(", "raise OSError('no ledger'); yield Gate(", "*Ledger.gates() failed: OSError('no ledger')*"),
    ],
)
def test_a_family_that_is_none_is_a_usage_error(repository: Repository, old: str, new: str, says: str) -> None:
    assert LEDGER.count(old) == 1
    repository.write("pytest_ledger.py", LEDGER.replace(old, new))
    repository.gate(PASSES)
    result = repository.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines([says])


def test_a_family_may_return_itself_alone(repository: Repository) -> None:
    repository.write("pytest_ledger.py", LEDGER.replace("return [Ledger()]", "return Ledger()"))
    repository.gate(PASSES)
    assert repository.run().ret == 0


@pytest.mark.parametrize("guard", ["pixgates-session", "pixgates-collection"])
def test_gates_without_their_guard_are_a_usage_error(repository: Repository, guard: str) -> None:
    repository.gate(PASSES)
    assert repository.run("-p", f"no:{guard}").ret == 4


@pytest.mark.parametrize("option", ["--pixgates-config=", "--pixgates-env=", "--pixgates-report-dir= "])
def test_an_empty_option_is_a_usage_error(repository: Repository, option: str) -> None:
    result = repository.run(option)
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*{option.partition('=')[0]} is empty*"])


def test_an_empty_run_id_is_a_usage_error(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXGATES_RUN_ID", "")
    result = repository.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*PIXGATES_RUN_ID is set but empty*"])


def test_a_policy_that_the_rootdir_hides_is_a_usage_error(repository: Repository) -> None:
    for name in ("pytest.ini", "conftest.py", "pytest_ledger.py", "ledger.json"):
        (repository.path / name).rename(repository.write(f"app/{name}", ""))
    (repository.path / "gates").rename(repository.path / "app" / "gates")
    repository.write("pytest.ini", "[pytest]\n")
    (repository.path / "app" / "pytest.ini").unlink()
    result = repository.run("app/gates", "-p", "no:cacheprovider")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*the rootdir is*but the policy is*app/gates/gates.toml", "*fix: run with --rootdir*"])
    assert repository.run("--rootdir", "app", "app/gates").ret == 0


def test_a_policy_that_is_a_broken_link_is_a_usage_error(repository: Repository) -> None:
    policy = repository.path / "gates" / "gates.toml"
    policy.unlink()
    policy.symlink_to("absent.toml")
    assert repository.run().ret == 4


@pytest.mark.parametrize(
    ("tests", "says"),
    [
        ("def test_plain(): pass", "*test_ledger.py::test_plain is among the gates, but asks for no family's fixture*"),
        ("@pytest.mark.ledger\ndef test_marked(): pass", "*test_marked is among the gates, but asks for no family's*"),
        ("def settled_test(ledger): pass", "*settled_test asks for a family's fixture, but was not collected*"),
        ("class Settled:\n    def test_x(self, ledger): pass", "*Settled.test_x asks for*but was not collected*"),
        (
            f"def test_x(ledger):\n    {PASSES}\ndef test_x(ledger):\n    {PASSES}",
            "*defines test_x 2 times, so only the last one counts*",
        ),
        (f"def test_x(ledger, infra):\n    {PASSES}", "*test_x is a gate of 2 families; write one for each*"),
    ],
)
def test_what_looks_like_a_gate_and_is_none_is_red(
    repository: Repository, workers: tuple[str, ...], tests: str, says: str
) -> None:
    repository.write("gates/test_ledger.py", f"import pytest\n{tests}\n")
    result = repository.run(*workers, "-rN")
    assert result.ret == 1
    assert "ERROR" in repository.outcomes().values()
    report = (repository.path / ".pixgates" / "summary.md").read_text().replace("\\", "")
    pytest.LineMatcher(report.splitlines()).fnmatch_lines([says])


def test_gates_of_a_family_that_the_policy_does_not_know_are_red(
    repository: Repository, workers: tuple[str, ...]
) -> None:
    repository.write("gates/gates.toml", "[pixgates]\n")
    repository.gate(PASSES)
    assert repository.run(*workers).ret == 1
    assert "there are gates of ledger, but no [ledger] in the policy" in str(repository.records())


def test_reports_that_go_elsewhere_leave_no_older_green_in_the_usual_place(repository: Repository) -> None:
    repository.gate(PASSES)
    assert repository.run().ret == 0
    assert repository.verdict() == 0
    assert repository.run("--pixgates-report-dir", "out").ret == 0
    assert repository.verdict() == 5
    assert repository.verdict("--report-dir", "out") == 0


def test_two_runs_into_one_folder_do_not_mix(repository: Repository) -> None:
    other = "import os, subprocess, sys; e = dict(os.environ, INNER='1')"
    inner = (
        "if 'INNER' not in os.environ: assert subprocess.run([sys.executable, '-m', 'pytest'], env=e).returncode == 0"
    )
    repository.gate(f"{other}\n    {inner}\n    {PASSES}")
    result = repository.run()
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*another run put its records here*"])
    assert repository.verdict() == 0  # that of the inner run, which is whole


def test_a_run_that_another_plugin_ends_red_is_red_in_its_records(repository: Repository) -> None:
    repository.gate(PASSES)
    spoiler = "import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_sessionfinish(session):\n"
    repository.write("spoiler.py", f"{spoiler}    session.exitstatus = 1\n")
    assert repository.run("-p", "spoiler").ret == 1
    assert repository.outcomes()["run/exit"] == "ERROR"
    assert repository.verdict() == 1
