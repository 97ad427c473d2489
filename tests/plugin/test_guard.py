"""No route by which a gate that did not pass ends green: each is closed, in one process and over two workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugin.conftest import Repository

FAILS, PASSES = "assert ledger.disputed <= 0.1", "assert ledger.settled >= 0.9"


def test_a_gate_that_passes_is_green(repository: Repository, workers: tuple[str, ...]) -> None:
    repository.gate(PASSES)
    assert repository.run(*workers).ret == 0
    assert repository.outcomes() == {"ledger/settled": "PASS", "ledger/limit[settled]": "PASS"}
    assert repository.verdict() == 0


# Each body, and what its gate must end as. None of them may end as a passed test.
BODIES = [
    (FAILS, "FAIL"),
    ("assert ledger.pending >= 0.5", "INCONCLUSIVE"),
    ("assert ledger.void >= 0.1", "ERROR"),
    ("assert ledger.absent >= 0.1", "ERROR"),
    ("ledger.disputed <= 0.1", "FAIL"),
    ("assert ledger.disputed <= 0.1 or True", "FAIL"),
    ("assert ledger.disputed <= 0.1 or ledger.settled >= 0.9", "FAIL"),
    ("assert not (ledger.disputed <= 0.1)", "FAIL"),
    (f"try:\n        {FAILS}\n    except AssertionError:\n        pass", "FAIL"),
    ("pass", "ERROR"),
    ("ledger.settled", "ERROR"),
    ("assert ledger.settled.value > 0.9", "ERROR"),
    ("assert ledger.settled >= 0.9; assert 1 == 2", "FAIL"),
    ("assert ledger.settled >= 0.9; raise OSError('disk')", "ERROR"),
    ("import dataclasses; assert dataclasses.replace(ledger.settled, subjects=()) >= 0.9", "ERROR"),
    ("pytest.skip('later')", "ERROR"),
    ("assert ledger.settled >= 0.9; pytest.skip('later')", "ERROR"),
    ("pytest.xfail('known')", "ERROR"),
    ("import threading; t = threading.Thread(target=lambda: ledger.disputed <= 0.1); t.start(); t.join()", "FAIL"),
]


def test_what_a_body_makes_of_its_checks_does_not_count(repository: Repository, workers: tuple[str, ...]) -> None:
    gates = [f"def test_{number}(ledger):\n    {body}\n" for number, (body, _) in enumerate(BODIES)]
    repository.write("gates/test_ledger.py", "import pytest\n" + "\n".join(gates))
    repository.run(*workers).assert_outcomes(passed=1, failed=len(BODIES))
    outcomes = repository.outcomes()
    assert [outcomes[f"ledger/{number}"] for number in range(len(BODIES))] == [outcome for _, outcome in BODIES]
    assert repository.verdict() == 1


# What may stand before a gate, its parameters, its body, and what it must end as.
HEADS = [
    ("@pytest.mark.skip(reason='later')", "ledger", PASSES, "ERROR"),
    ("@pytest.mark.skipif(True, reason='later')", "ledger", PASSES, "ERROR"),
    ("@pytest.mark.xfail(reason='known')", "ledger", FAILS, "FAIL"),
    ("@pytest.mark.xfail(reason='known')", "ledger", PASSES, "ERROR"),
    ("@pytest.mark.xfail(reason='known', strict=True)", "ledger", PASSES, "ERROR"),
    ("@pytest.mark.xfail(reason='known', run=False)", "ledger", PASSES, "ERROR"),
    ("@pytest.mark.xfail", "ledger", FAILS, "FAIL"),
    ("@pytest.mark.parametrize('x', [])", "ledger, x", PASSES, "ERROR"),
    ("", "ledger, broken", PASSES, "ERROR"),
    ("", "ledger, broken_late", PASSES, "ERROR"),
    ("", "ledger, absent", PASSES, "ERROR"),
]
FIXTURES = """
import pytest

@pytest.fixture
def broken():
    raise OSError("no ledger")

@pytest.fixture
def broken_late():
    yield
    raise OSError("late")
"""


def test_a_gate_that_did_not_run_cleanly_is_red(repository: Repository, workers: tuple[str, ...]) -> None:
    gates = [
        f"{head}\ndef test_{number}({parameters}):\n    {body}\n"
        for number, (head, parameters, body, _) in enumerate(HEADS)
    ]
    repository.write("gates/test_ledger.py", FIXTURES + "\n".join(gates))
    result = repository.run(*workers)
    counts = result.parseoutcomes()
    assert result.ret == 1
    assert (counts.get("skipped", 0), counts.get("xfailed", 0), counts.get("xpassed", 0)) == (0, 0, 0)
    assert counts["passed"] == 2  # the policy's own gate, and the body before the late teardown error
    outcomes = {gate.partition("[")[0]: outcome for gate, outcome in repository.outcomes().items()}
    assert [outcomes[f"ledger/{number}"] for number in range(len(HEADS))] == [outcome for *_, outcome in HEADS]
    assert repository.verdict() == 1


@pytest.mark.parametrize("module", ["pytest.skip('all', allow_module_level=True)", "pytest.importorskip('absent_x')"])
def test_a_module_of_gates_that_skips_itself_is_an_error(
    repository: Repository, workers: tuple[str, ...], module: str
) -> None:
    repository.write("gates/test_ledger.py", f"import pytest\n{module}\ndef test_x(ledger):\n    {PASSES}\n")
    assert repository.run(*workers).ret != 0
    assert repository.records()["partial"] == []
    assert repository.verdict() == 1


def test_a_module_of_gates_that_does_not_import_is_red(repository: Repository, workers: tuple[str, ...]) -> None:
    repository.write("gates/test_ledger.py", "import absent_x\n")
    assert repository.run(*workers).ret != 0
    assert repository.verdict() == 1


@pytest.mark.parametrize("options", [("--assert=plain",), ("-p", "no:assertion")])
def test_without_assertion_rewriting_a_failing_check_is_red(repository: Repository, options: tuple[str, ...]) -> None:
    repository.gate("ledger.disputed <= 0.1")
    result = repository.run(*options)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*FAIL: disputed <= 0.1*"])


@pytest.mark.parametrize("body", [FAILS, "v = ledger.disputed <= 0.1\n    assert v"])
def test_python_without_assertions_still_goes_red(repository: Repository, body: str) -> None:
    repository.gate(body)
    result = repository.pytester.run(sys.executable, "-O", "-m", "pytest", "--assert=plain")
    assert result.ret == 1
    assert repository.verdict() == 1


@pytest.mark.parametrize(
    "options",
    [
        ("-k", "limit"),
        ("--deselect", "gates/test_ledger.py::test_settled"),
        ("gates/test_ledger.py",),
        ("gates/gates.toml",),
        ("gates/gates.toml::ledger::limit[settled]",),
        ("--ignore", "gates/test_ledger.py"),
        ("--ignore", "gates/gates.toml"),
        ("--ignore-glob", "*ledger*"),
        ("--collect-only",),
        ("--setup-only",),
        ("--setup-plan",),
        ("-m", "ledger and not slow", "--strict-markers"),
    ],
)
def test_any_narrowing_but_by_family_makes_the_run_partial(repository: Repository, options: tuple[str, ...]) -> None:
    repository.write("pytest.ini", "[pytest]\ntestpaths = gates\nmarkers =\n    slow: slow\n")
    repository.gate(PASSES)
    result = repository.run(*options)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*PARTIAL*"])
    assert repository.records()["partial"]
    assert repository.verdict() == 1


@pytest.mark.parametrize("given", ["argument", "environment"])
@pytest.mark.parametrize(
    "override",
    ["python_files=check_*.py", "python_classes=Check", "python_functions=check_*", "collect_imported_tests=false"],
)
def test_a_setting_of_what_is_a_test_makes_the_run_partial_if_it_is_overridden(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, override: str, given: str
) -> None:
    repository.write("gates/conftest.py", "import pytest\n\n@pytest.fixture\ndef books(ledger):\n    return ledger\n")
    low = "assert books.settled >= 0.999"
    repository.write("gates/helper.py", f"def test_imported(books):\n    {low}\n")
    repository.write(
        "gates/test_more.py",
        f"from helper import test_imported\n\ndef test_low(books):\n    {low}\n\n"
        f"class TestLow:\n    def test_method(self, books):\n        {low}\n",
    )
    assert repository.run().ret == 1
    if given == "environment":
        monkeypatch.setenv("PYTEST_ADDOPTS", f"-o {override}")
    repository.run(*([f"--override-ini={override}"] if given == "argument" else []))
    assert f"--override-ini {override.partition('=')[0]}" in repository.records()["partial"]
    assert repository.verdict() == 1


def test_a_setting_of_anything_else_may_be_overridden(repository: Repository) -> None:
    repository.gate(PASSES)
    assert repository.run("-o", "junit_family=xunit1").ret == 0
    assert repository.records()["partial"] == []
    assert repository.verdict() == 0


def test_last_failed_makes_the_run_partial(repository: Repository, workers: tuple[str, ...]) -> None:
    repository.gate(FAILS)
    assert repository.run(*workers).ret == 1
    repository.gate(PASSES)
    assert repository.run("--lf", *workers).ret == 0
    assert repository.verdict() == 1


def test_selecting_a_whole_family_is_complete(repository: Repository, workers: tuple[str, ...]) -> None:
    repository.gate(PASSES)
    assert repository.run("-m", "ledger", *workers).ret == 0
    assert repository.records()["partial"] == []
    assert repository.verdict() == 0


@pytest.mark.parametrize("option", ["-x", "--maxfail=1"])
def test_gates_after_an_early_stop_are_errors(repository: Repository, workers: tuple[str, ...], option: str) -> None:
    tests = [f"def test_{name}(ledger):\n    {FAILS}\n" for name in "abcdefgh"]
    repository.write("gates/test_ledger.py", "\n".join(tests))
    assert repository.run(option, *workers).ret != 0
    assert "ERROR" in repository.outcomes().values()
    assert len(repository.outcomes()) == 9
    assert repository.verdict() == 1


@pytest.mark.parametrize("code", ["pytest.exit('done', returncode=0)", "raise KeyboardInterrupt"])
def test_leaving_early_is_red_whatever_the_code(repository: Repository, workers: tuple[str, ...], code: str) -> None:
    repository.gate(code)
    assert repository.run(*workers).ret != 0
    assert repository.verdict() in (1, 2)


@pytest.mark.parametrize("death", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_process_that_dies_leaves_a_run_that_never_closed(repository: Repository, death: str) -> None:
    repository.gate(PASSES)
    assert repository.run().ret == 0
    assert repository.verdict() == 0
    repository.gate(death, "import os, signal")
    repository.run()
    assert repository.records()["status"] == "running"
    assert repository.verdict() == 2


@pytest.mark.parametrize("death", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
@pytest.mark.parametrize("restart", [(), ("--max-worker-restart=0",)], ids=["restarted", "not restarted"])
def test_a_worker_that_crashes_is_an_error(repository: Repository, death: str, restart: tuple[str, ...]) -> None:
    repository.gate(death, "import os, signal")
    assert repository.run("-n", "2", *restart).ret != 0
    assert repository.outcomes()["ledger/settled"] == "ERROR"
    assert repository.verdict() == 1


def test_a_killed_controller_is_seen_by_verdict(repository: Repository) -> None:
    repository.gate("import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PIXGATES")}
    command = [sys.executable, "-m", "pytest", "-n", "1"]
    subprocess.run(command, cwd=repository.path, env=environment, capture_output=True, timeout=60)
    assert repository.verdict() == 2


def test_an_interrupt_from_the_keyboard_is_red(repository: Repository) -> None:
    # A shell in the background makes its children ignore the signal.
    heed = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    repository.gate(f"import os, signal; {heed}; os.kill(os.getpid(), signal.SIGINT)")
    assert repository.run().ret == 2
    assert repository.verdict() in (1, 2)


@pytest.mark.parametrize("payload", ["'not json'", "'{}'", "'[1]'", "12", "'{\"gate\": NaN}'"])
def test_a_record_that_can_not_be_read_is_an_error(
    repository: Repository, workers: tuple[str, ...], payload: str
) -> None:
    spoiler = f"""
import pytest
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    if hasattr(report, "pixgates_record"):
        report.pixgates_record = {payload}
"""
    repository.write("spoiler.py", spoiler)
    repository.gate(PASSES)
    assert repository.run("-p", "spoiler", *workers).ret == 1
    assert set(repository.outcomes().values()) == {"ERROR"}


def test_a_lost_record_is_an_error(repository: Repository, workers: tuple[str, ...]) -> None:
    spoiler = "import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_logreport(report):\n"
    repository.write("spoiler.py", f"{spoiler}    vars(report).pop('pixgates_record', None)\n")
    repository.gate(PASSES)
    assert repository.run("-p", "spoiler", *workers).ret == 1
    assert set(repository.outcomes().values()) == {"ERROR"}


def test_a_report_directory_that_can_not_be_written_is_a_usage_error(repository: Repository) -> None:
    repository.gate(PASSES)
    blocked = repository.write("blocked", "a file, not a folder")
    result = repository.run("--pixgates-report-dir", str(blocked))
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*blocked*can't be written*"])


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("[ledgre]\n", "*gates.toml:1: ledgre: unknown key; did you mean 'ledger'?"),
        ("[ledger]\nlimit = 1\n", "*gates.toml:2: ledger.limit: unknown key; did you mean 'limits'?"),
        ("[ledger.limits]\nsettled = { at_least = 0.9, at_most = 1 }\n", "*gates.toml:2: *give one of at_least*"),
        ("[ledger.limits]\nsettled = { at_lest = 0.9 }\n", "*gates.toml:2: *did you mean 'at_least'?"),
        ("[pixgates]\nalpha = 1.5\n", "*gates.toml:1: *alpha must lie between*"),
        ("[ledger\n", "*gates.toml: not valid TOML*"),
    ],
)
def test_a_policy_that_does_not_fit_is_a_usage_error(
    repository: Repository, workers: tuple[str, ...], policy: str, says: str
) -> None:
    repository.write("gates/gates.toml", policy)
    repository.gate(PASSES)
    result = repository.run(*workers)
    assert result.ret == 4
    result.stderr.fnmatch_lines([says])


@pytest.mark.parametrize("option", ["--pixgates-config", "--pixgates-env"])
def test_naming_what_is_not_there_is_a_usage_error(repository: Repository, option: str) -> None:
    assert repository.run(option, "absent").ret == 4


def test_an_empty_folder_of_gates_is_not_green(repository: Repository, workers: tuple[str, ...]) -> None:
    (repository.path / "gates" / "gates.toml").unlink()
    assert repository.run(*workers).ret == 5
    assert repository.verdict() != 0


def test_a_file_of_gates_without_a_test_is_not_green(repository: Repository, workers: tuple[str, ...]) -> None:
    repository.gate(PASSES, name="tset_settled")
    assert repository.run(*workers).ret == 1
    assert repository.verdict() == 1


def test_a_policy_without_gates_is_not_green(repository: Repository, workers: tuple[str, ...]) -> None:
    repository.write("gates/gates.toml", "[ledger]\n")
    repository.write("gates/test_other.py", "def test_ordinary(): pass\n")
    assert repository.run(*workers).ret == 1
    assert repository.verdict() == 1


def test_a_family_in_the_policy_without_a_gate_is_not_green(repository: Repository) -> None:
    repository.write("gates/gates.toml", "[ledger]\n[infra]\n")
    repository.gate(PASSES)
    assert repository.run().ret == 1
    assert repository.verdict() == 1


def test_without_the_plugin_nothing_counts(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.gate(PASSES)
    assert repository.run("-p", "no:pixgates").ret != 0
    assert repository.verdict() == 5


def test_yesterdays_green_does_not_stand_in_for_the_run_that_was_asked(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.gate(PASSES)
    monkeypatch.setenv("PIXGATES_RUN_ID", "yesterday")
    assert repository.run().ret == 0
    assert repository.verdict() == 0
    monkeypatch.setenv("PIXGATES_RUN_ID", "today")
    repository.run("-p", "no:pixgates")
    assert repository.verdict() == 1


def test_two_gates_of_one_name_are_an_error(repository: Repository, workers: tuple[str, ...]) -> None:
    for folder in ("a", "b"):
        repository.write(f"gates/{folder}/__init__.py", "")
        repository.write(f"gates/{folder}/test_ledger.py", f"def test_x(ledger):\n    {PASSES}\n")
    assert repository.run(*workers).ret == 1
    assert repository.verdict() == 1


def test_a_gate_asked_for_at_run_time_is_judged_too(repository: Repository, workers: tuple[str, ...]) -> None:
    body = "l = request.getfixturevalue('ledger'); l.disputed <= 0.1"
    repository.gate(body, parameters="request")
    assert repository.run(*workers).ret == 1
    assert repository.outcomes()["ledger/settled"] == "FAIL"


def test_any_of_is_the_honest_way_to_accept_one_of_several_verdicts(repository: Repository) -> None:
    body = "assert any_of(ledger.disputed <= 0.1, ledger.settled >= 0.9)"
    repository.gate(body, "from pytest_pixgates import any_of")
    assert repository.run().ret == 0


def test_measured_data_that_changed_needs_a_new_run(repository: Repository, workers: tuple[str, ...]) -> None:
    repository.gate(PASSES)
    assert repository.run(*workers).ret == 0
    assert repository.verdict() == 0
    repository.write("ledger.json", (repository.path / "ledger.json").read_text() + "\n")
    assert repository.verdict() == 1


def test_a_changed_policy_needs_a_new_run(repository: Repository) -> None:
    repository.gate(PASSES)
    assert repository.run().ret == 0
    policy: Path = repository.path / "gates" / "gates.toml"
    policy.write_text(policy.read_text() + "\n# looser\n")
    assert repository.verdict() == 1
