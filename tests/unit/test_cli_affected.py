"""`pixgates affected` names too many families rather than too few, and fails where it can't tell."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_pixgates.cli.main import main
from pytest_pixgates.core import affected, policy, record
from pytest_pixgates.core.errors import PolicyError
from pytest_pixgates.core.subject import Subject
from tests.git import Git
from tests.unit import example_runs

POLICY = """\
[affects]
"iac/**" = ["infra"]
"iac/shared/**" = ["scores"]
"src/*.py" = ["scores"]
"docs/**" = []
"*.md" = []

[infra]
[scores]
"""
ALL = ["infra", "scores"]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A clone on a branch of its own, with the policy on main."""
    made = Git(tmp_path / "clone")
    write(made, "gates/gates.toml", POLICY)
    write(made, "iac/main.tf", "# old\n")
    write(made, "docs/a.md", "old\n")
    write(made, ".gitignore", ".pixgates\n/data/\n")
    made.merged()
    made("switch", "--quiet", "--create", "change")
    monkeypatch.chdir(made.path)
    for name in ("PIXGATES_TARGET", "PIXGATES_REPORT_DIR", "GITHUB_BASE_REF", "CHANGE_TARGET"):
        monkeypatch.delenv(name, raising=False)
    return made


def write(git: Git, name: str, text: str) -> None:
    (git.path / name).parent.mkdir(parents=True, exist_ok=True)
    (git.path / name).write_text(text)


Asked = Callable[..., list[str]]


@pytest.fixture
def asked(capsys: pytest.CaptureFixture[str]) -> Asked:
    def ask(*arguments: str) -> list[str]:
        assert main(["affected", "--json", *arguments]) == 0
        return list(json.loads(capsys.readouterr().out))

    return ask


@pytest.mark.parametrize(
    ("name", "families"),
    [
        ("iac/main.tf", ["infra"]),
        ("iac/modules/key/main.tf", ["infra"]),
        ("iac/shared/a.json", ALL),
        ("src/a.py", ["scores"]),
        ("src/deep/a.py", ALL),
        ("docs/a.md", []),
        ("docs/deep/a.md", []),
        ("README.md", []),
        ("src/README.md", ALL),
        ("unknown", ALL),
        ("gates/gates.toml", ALL),
        ("gates/README.md", ALL),
        ("gates/contracts/a.yaml", ALL),
        ("iac", ["infra"]),
        ("a\nb.py", ALL),
    ],
)
def test_a_changed_file_affects_what_the_policy_says_and_unknown_ones_all(
    git: Git, asked: Asked, name: str, families: list[str]
) -> None:
    if name == "iac":
        git("rm", "-r", "--quiet", "iac")
    write(git, name, POLICY + "# changed\n" if name.endswith("toml") else "new\n")
    assert asked() == families  # not committed yet
    git.commit()
    assert asked() == families
    assert asked("--since", "main") == families


def test_several_changes_affect_what_each_does(git: Git, asked: Asked) -> None:
    write(git, "iac/main.tf", "# new\n")
    write(git, "src/a.py", "new\n")
    git.commit()
    assert asked() == ALL


def test_nothing_changed_affects_nothing(git: Git, asked: Asked) -> None:
    assert asked() == []
    assert asked("--all") == ALL


def test_what_the_target_got_meanwhile_is_not_a_change(git: Git, asked: Asked) -> None:
    git("switch", "--quiet", "main")
    write(git, "src/a.py", "new\n")
    git.merged()
    git("switch", "--quiet", "change")
    write(git, "iac/main.tf", "# new\n")
    git.commit()
    assert asked() == ["infra"]


def test_a_file_that_was_moved_away_counts_where_it_was(git: Git, asked: Asked) -> None:
    git("mv", "iac/main.tf", "docs/main.tf")
    git.commit()
    assert asked() == ["infra"]


def test_a_change_that_git_was_told_to_overlook_counts_once_it_is_committed(git: Git, asked: Asked) -> None:
    write(git, "iac/main.tf", "# new\n")
    git.commit()
    write(git, "iac/main.tf", "# old\n")
    git("update-index", "--assume-unchanged", "iac/main.tf")
    assert asked() == ["infra"]


def test_a_change_outside_of_the_product_affects_all(git: Git, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    write(git, "shop/gates/gates.toml", POLICY)
    git("switch", "--quiet", "main")
    git.merged()
    git("switch", "--quiet", "--create", "later")
    monkeypatch.chdir(git.path / "shop")
    write(git, "shop/docs/a.md", "new\n")
    assert asked() == []
    write(git, "docs/a.md", "new\n")
    assert asked() == ALL


def test_without_a_table_all_are_affected(git: Git, asked: Asked) -> None:
    write(git, "gates/gates.toml", "[infra]\n[scores]\n")
    git("switch", "--quiet", "main")
    git.merged()
    git("switch", "--quiet", "--create", "later")
    write(git, "docs/a.md", "new\n")
    assert asked() == ALL


def test_where_git_can_not_tell_it_fails_and_prints_nothing(git: Git, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--since", "origin/nowhere"], ["--github", "families", "--since", "origin/nowhere"]):
        assert main(["affected", *arguments]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert "git knows no commit 'origin/nowhere'" in said.err


def test_a_shallow_clone_can_not_tell(git: Git, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(git, "iac/main.tf", "# new\n")
    git.commit()
    shallow = tmp_path / "shallow"
    git("clone", "--quiet", "--depth=1", "--no-single-branch", f"file://{git.path}", str(shallow))
    config = ["--config", str(shallow / "gates/gates.toml"), "--since", "origin/main"]
    assert main(["affected", *config]) == 1
    assert "shallow" in capsys.readouterr().err


def test_for_github_it_is_one_line_and_the_reasons_are_beside_it(git: Git, capsys: pytest.CaptureFixture[str]) -> None:
    write(git, "iac/main.tf", "# new\n")
    assert main(["affected", "--github", "families"]) == 0
    assert capsys.readouterr() == ('families=["infra"]\n', "infra: iac/main.tf\n")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('"iac/**" = ["infar"]', "did you mean 'infra'?"),
        ('"**" = []', "too wide"),
        ('"**/*.md" = []', "too wide"),
        ('"*" = []', "too wide"),
        ('"*/x" = []', "too wide"),
        ('"./a" = []', "relative"),
        ('"../a" = []', "relative"),
        ('"/a" = []', "relative"),
        ('"a/" = []', "relative"),
        ('"" = []', "relative"),
        ('"a" = "infra"', "list"),
    ],
)
def test_a_table_that_could_hide_everything_or_names_nothing_is_refused(git: Git, table: str, said: str) -> None:
    write(git, "gates/gates.toml", f"[affects]\n{table}\n\n[infra]\n")
    with pytest.raises(PolicyError, match="affects") as error:
        policy.load(git.path / "gates/gates.toml")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("name", "kind", "true"),
    [
        ("iac", "tree", True),
        ("iac/main.tf", "file", True),
        ("docs", "tree", False),
        ("docs/a.md", "file", False),
        ("docs/new.md", "absent", False),
        ("README.md", "absent", False),
        ("unknown", "absent", True),
        ("data/x", "file", True),
        ("docs/rendered", "content", True),
        ("gates", "tree", True),
    ],
)
def test_the_table_is_held_against_what_families_read(git: Git, name: str, kind: str, true: bool) -> None:
    write(git, "data/x", "made here\n")
    reviewed = policy.load(git.path / "gates/gates.toml")
    subject = Subject(name, "0" * 64, kind)
    made = example_runs.run(example_runs.record(example_runs.scan(subjects=(subject,))))
    assert (not list(affected.untrue(reviewed, made))) is true


def test_check_fails_for_a_table_that_is_not_true(git: Git, capsys: pytest.CaptureFixture[str]) -> None:
    for name, code in (("iac", 0), ("docs", 1)):
        subject = Subject(name, "0" * 64)
        made = example_runs.run(
            example_runs.record(example_runs.scan(subjects=(subject,))), started=time.time() - 9, ended=time.time()
        )
        record.save(made, git.path / ".pixgates")
        assert main(["affected", "--check"]) == code
    assert "infra reads docs/a.md" in capsys.readouterr().out
