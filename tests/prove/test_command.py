"""`pixgates prove` on a repository whose family of gates a third party wrote: every way that a try can end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.git import Git
from tests.plugin.conftest import LEDGER, MEASURED
from tests.prove.test_catalogue import DEFECT, HEAD, VARIATION

POLICY = "[ledger.limits]\nsettled = { at_least = 0.9 }\nbalance = { at_least = 0.5 }\n"
GATE = "ledger/limit[settled]"
EVERYTHING = {**MEASURED, "balance": [0.9, 0.8, 1.0, 100]}


def case(kind: str, name: str, change: str, **values: str) -> str:
    """One case in TOML; `values` are TOML too."""
    given = {"why": '"It matters."', "changes": f"[{change}]", **values}
    if kind == "defects":
        given = {"gate": f'"{GATE}"', "rule": '"settled >= 0.9"', **given}
    rows = "".join(f"{key} = {value}\n" for key, value in given.items())
    return f'\n[[{kind}]]\nname = "{name}"\n{rows}'


LOWER = '{ do = "edit", file = "ledger.json", at = "settled", value = [0.1, 0.09, 0.11, 1000] }'


class Repository:
    """A repository with gates of its own, on which the command is run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git = Git(root)
        self.write("pytest_ledger.py", LEDGER)
        self.write("conftest.py", 'pytest_plugins = ["pytest_ledger"]\n')
        self.write("pytest.ini", "[pytest]\n")
        self.write("gates/gates.toml", POLICY)
        self.write("ledger.json", json.dumps(EVERYTHING))
        self.write(".gitignore", ".pixgates\n__pycache__\n")

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def defects(self, *cases: str, head: str = HEAD) -> None:
        self.write("gates/defects/ledger.toml", head + "".join(cases))
        self.git.commit()

    def prove(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PIXGATES", "COV"))}
        command = [sys.executable, "-m", "pytest_pixgates", "prove", "--jobs", "2", *arguments]
        return subprocess.run(command, cwd=self.root, env=kept, capture_output=True, text=True, timeout=300)

    def matrix(self) -> dict[str, Any]:
        return json.loads((self.root / ".pixgates" / "prove.json").read_text())

    def statuses(self) -> dict[str, str]:
        return {row["name"]: row["status"] for row in self.matrix()["rows"]}

    def row(self, name: str) -> dict[str, Any]:
        return next(row for row in self.matrix()["rows"] if row["name"] == name)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_caught_and_green_end_with_0_and_a_matrix_and_touch_nothing(repository: Repository) -> None:
    repository.defects(case("defects", "lost", LOWER), VARIATION)
    before = repository.git("status", "--porcelain")
    done = repository.prove("-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 defects caught, 1 of 1 variations green" in done.stdout
    assert "caught ledger/lost by ledger/limit[settled]" in done.stdout
    assert "caught   ledger/lost (" in done.stderr
    assert repository.git("status", "--porcelain") == before
    row = repository.row("lost")
    (digests,) = row["changed"].values()
    assert digests[0] != digests[1]
    assert row["gates"] == {GATE: "FAIL"}
    assert repository.matrix()["commit"] == repository.git("rev-parse", "HEAD")
    # What does not fit is said, and does not count.
    assert set(repository.statuses().values()) == {"caught", "green", "unfit"}
    assert "do not fit" in done.stdout
    page = (repository.root / ".pixgates" / "prove.html").read_text()
    assert "ledger/lost" in page
    assert "<script" not in page


def test_every_way_to_show_nothing_is_an_error_and_survivors_come_first(repository: Repository) -> None:
    repository.write("gates/test_more.py", "def test_more(ledger):\n    assert ledger.settled >= 0.5\n")
    repository.defects(
        case("defects", "caught", LOWER),
        case("defects", "survivor", '{ do = "edit", file = "ledger.json", at = "settled[0]", value = 0.985 }'),
        case("defects", "another-reason", LOWER, rule='"pending >= 0.9"'),
        case("defects", "crash", '{ do = "write", file = "ledger.json", text = "" }'),
        case("defects", "broken-family", '{ do = "append", file = "pytest_ledger.py", text = "raise SystemExit" }'),
        case("defects", "not-there", '{ do = "replace", file = "ledger.json", old = "lost", new = "x" }'),
        case("defects", "so-before", '{ do = "edit", file = "ledger.json", at = "settled[0]", value = 0.99 }'),
        case("defects", "beyond", '{ do = "run", command = ["touch", "a", "b"], changes = ["a"] }'),
        case("defects", "no-such-gate", LOWER, gate='"ledger/limit[settle]"'),
        case("variations", "red", LOWER, gates=f'["{GATE}"]'),
        case("variations", "green", '{ do = "append", file = "ledger.json", text = " " }', gates=f'["{GATE}"]'),
    )
    done = repository.prove("--no-generic")
    assert repository.statuses() == {
        "caught": "caught", "survivor": "survived", "another-reason": "missed", "crash": "error",
        "broken-family": "error", "not-there": "error", "so-before": "error", "beyond": "error",
        "no-such-gate": "error", "red": "red", "green": "green",
    }  # fmt: skip
    assert done.returncode == 1
    assert done.stdout.startswith("survived ledger/survivor\n"), done.stdout
    said = {name: repository.row(name)["said"] for name in repository.statuses()}
    assert "a crash is not a catch" in said["crash"]
    assert "not applied: ledger.json does not hold 'lost'" in said["not-there"]
    assert "was so before" in said["so-before"]
    assert "it also changed b" in said["beyond"]
    assert "did you mean 'ledger/limit[settled]'?" in said["no-such-gate"]
    assert "another reason" in said["another-reason"]
    # One that is only in error is not green either, and has a code of its own.
    assert repository.prove("--no-generic", "crash").returncode == 3


def test_a_gate_that_was_weakened_lets_its_defect_survive(repository: Repository) -> None:
    repository.defects(case("defects", "lost", LOWER, rule='"settled >= 0.9"'))
    assert repository.prove("--no-generic").returncode == 0
    # As somebody might "mend" a flaky gate: the limit is compared with something that never fails.
    weakened = LEDGER.replace("value, lower, upper, n = ", "value, lower, upper, n = 1, 1, 1, 9 #")
    repository.write("pytest_ledger.py", weakened)
    done = repository.prove("--no-generic")
    assert (done.returncode, repository.statuses()) == (1, {"lost": "survived"}), done.stdout
    repository.write("pytest_ledger.py", LEDGER)
    repository.write("gates/gates.toml", POLICY.replace("0.9", "0.05"))
    done = repository.prove("--no-generic")
    assert (done.returncode, repository.statuses()) == (1, {"lost": "survived"}), done.stdout


def test_a_baseline_that_is_red_is_an_error_and_nothing_is_tried(repository: Repository) -> None:
    repository.write("ledger.json", json.dumps({**EVERYTHING, "settled": [0.5, 0.4, 0.6, 100]}))
    repository.defects(case("defects", "lost", LOWER), VARIATION)
    done = repository.prove("--no-generic")
    assert done.returncode == 3
    assert f"the baseline of the repository is not green: {GATE}: FAIL" in done.stdout
    assert set(repository.statuses().values()) == {"error"}


def test_gates_that_judge_the_same_file_are_columns_of_the_matrix_unless_the_case_is_narrow(
    repository: Repository,
) -> None:
    both = '{ do = "edit", file = "ledger.json", at = "balance", value = [0.1, 0.0, 0.2, 50] }'
    wide = case("defects", "wide", both, gate='"ledger/limit[balance]"', rule='"balance >= 0.5"')
    narrow = case("defects", "narrow", LOWER, narrow="true")
    repository.defects(wide, narrow)
    done = repository.prove("--no-generic")
    assert done.returncode == 0, done.stdout
    assert repository.row("wide")["gates"] == {"ledger/limit[balance]": "FAIL", GATE: "PASS"}
    assert repository.row("narrow")["gates"] == {GATE: "FAIL"}


def test_worlds_are_prepared_and_their_questions_asked(repository: Repository) -> None:
    world = """
[worlds.small]
why = "One limit is enough."
alone = true
without = ["notes/**"]
changes = [{ do = "edit", file = "gates/gates.toml", at = "ledger.limits.balance", remove = true }]
asks.list = { command = ["@{python}", "-c", "import json; json.loads(open('ledger.json').read())['void']"] }
"""
    gone = '{ do = "edit", file = "ledger.json", at = "void", remove = true }'
    repository.write("notes/a", "left out")
    repository.defects(
        case("defects", "void-gone", gone, gate='"list"', says='"KeyError"', rule='""', world='"small"'),
        case("defects", "lost-in-small", LOWER, world='"small"'),
        case("variations", "note", '{ do = "write", file = "notes/a", text = "new" }', gates='["list"]',
             world='"small"'),
        head=HEAD + world,
    )  # fmt: skip
    done = repository.prove("--no-generic")
    # A traceback is a crash, whatever it says.
    assert repository.statuses() == {"void-gone": "error", "lost-in-small": "caught", "note": "green"}, done.stdout
    assert done.returncode == 3
    assert "a crash is not a catch" in repository.row("void-gone")["said"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--since", "HEAD"], 5, "nothing is selected"),
        (["--since", "nowhere"], 4, "git knows no commit 'nowhere'"),
        (["--sample", "0"], 4, "--sample must be at least 1"),
        (["--jobs", "0"], 4, "--jobs must be at least 1"),
        (["lst"], 4, "did you mean 'lost'?"),
        (["--seed", "x"], 4, "invalid int value"),
        (["--config", "gates/no.toml"], 4, "no.toml"),
    ],
)
def test_what_selects_nothing_or_is_asked_wrongly_is_never_green(
    repository: Repository, arguments: list[str], code: int, said: str
) -> None:
    repository.defects(DEFECT)
    done = repository.prove("--no-generic", *arguments)
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr


def test_without_any_defects_or_with_odd_ones_it_is_not_green(repository: Repository) -> None:
    repository.git.commit()
    assert repository.prove("--no-generic").returncode == 5
    repository.defects(DEFECT.replace("why", "wy"))
    done = repository.prove()
    assert done.returncode == 4
    assert "ledger.toml" in done.stderr


def test_since_selects_what_is_near_and_everything_if_the_policy_changed(repository: Repository) -> None:
    repository.write("other.json", "{}")
    other = case("defects", "other", '{ do = "edit", file = "other.json", at = "a", value = 1 }')
    repository.defects(DEFECT, other, head='area = "ledger"\n')
    repository.write("ledger.json", json.dumps(EVERYTHING, indent=1))
    listed = repository.prove("--no-generic", "--list", "--since", "HEAD")
    assert [line.split(":")[0] for line in listed.stdout.splitlines()] == ["defect    ledger/lost"]
    repository.git.commit()
    repository.write("gates/gates.toml", POLICY + "# reviewed\n")
    assert len(repository.prove("--no-generic", "--list", "--since", "HEAD").stdout.splitlines()) == 2


def test_json_is_one_document_and_says_the_verdict(repository: Repository) -> None:
    repository.defects(case("defects", "lost", LOWER))
    done = repository.prove("--no-generic", "--json", "--sample", "1", "--seed", "3")
    document = json.loads(done.stdout)
    assert (document["verdict"], document["exit_code"], done.returncode) == ("PASS", 0, 0)
    assert document["selection"] == "1 of 1: a sample of 1 with seed 3"


def test_history_and_ignored_data_come_with_the_copy(repository: Repository) -> None:
    repository.write(".gitignore", "/ledger.json\n.pixgates\n")
    asks = '\n[worlds.w]\nwhy = "x"\nasks.history = { command = ["git", "rev-parse", "refs/remotes/origin/main"] }\n'
    repository.defects(
        case("variations", "same-history", '{ do = "append", file = "ledger.json", text = " " }', world='"w"',
             gates=f'["history", "{GATE}"]'),
        head=HEAD + asks,
    )  # fmt: skip
    repository.git.merged()
    done = repository.prove("--no-generic")
    assert done.returncode == 0, done.stdout + done.stderr
