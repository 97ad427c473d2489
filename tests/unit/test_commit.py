"""What was judged is what a commit holds, or the files that are not are named."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_pixgates.cli.pre_push import pushed
from pytest_pixgates.core import commit
from pytest_pixgates.core.errors import NotMeasured, UsageError

SHA, NONE = "a" * 40, "0" * 40


def git(root: Path, *arguments: str) -> None:
    named = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    subprocess.run(["git", *named, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder inside of a repository, as a product among others."""
    git(tmp_path, "init", "-q")
    for name in ("iac/main.tf", "iac/modules/a.tf", "other/x.tf", "gates/gates.toml"):
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    (tmp_path / ".gitignore").write_text("*.auto.tfvars\n*.parquet\n.terraform\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "one")
    return tmp_path / "shop"


def differing(root: Path, *paths: str) -> list[str]:
    return sorted(commit.differing(root, "HEAD", paths or ("iac", "gates", "absent.tf")))


def test_a_clean_tree_is_what_head_holds(root: Path) -> None:
    assert differing(root) == []


CHANGES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "an edit": (lambda root: (root / "iac/main.tf").write_text("b"), ["iac/main.tf"]),
    "a removal": (lambda root: (root / "iac/main.tf").unlink(), ["iac/main.tf"]),
    "a rename": (
        lambda root: (root / "iac/main.tf").rename(root / "iac/new.tf"),
        ["iac/main.tf", "iac/new.tf"],
    ),
    "the executable bit": (lambda root: (root / "iac/main.tf").chmod(0o755), ["iac/main.tf"]),
    "a symlink": (
        lambda root: ((root / "iac/main.tf").unlink(), (root / "iac/main.tf").symlink_to("modules/a.tf")),
        ["iac/main.tf"],
    ),
    "an untracked file": (lambda root: (root / "iac/new file\n.tf").touch(), ["iac/new file\n.tf"]),
    "an ignored file": (lambda root: (root / "iac/x.auto.tfvars").touch(), ["iac/x.auto.tfvars"]),
    "a staged file": (
        lambda root: ((root / "iac/s.tf").touch(), git(root, "add", "iac/s.tf")),
        ["iac/s.tf"],
    ),
    "what was absent": (lambda root: (root / "absent.tf").touch(), ["absent.tf"]),
    "an edit that git is told to overlook": (
        lambda root: git(root, "update-index", "--assume-unchanged", "iac/main.tf"),
        ["iac/main.tf"],
    ),
    "an edit outside of the sparse checkout": (
        lambda root: git(root, "update-index", "--skip-worktree", "iac/main.tf"),
        ["iac/main.tf"],
    ),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_file_that_is_not_as_in_the_commit_is_named(root: Path, how: str) -> None:
    change, expected = CHANGES[how]
    change(root)
    assert differing(root) == expected


def test_what_no_gate_read_and_what_tools_leave_does_not_count(root: Path) -> None:
    (root / "other/x.tf").write_text("changed")
    (root / "iac/.terraform").mkdir()
    (root / "iac/.terraform/x").touch()
    assert differing(root) == []


def test_what_terraform_leaves_in_its_stack_does_not_count_but_its_values_do(root: Path) -> None:
    left = ("dev.tfplan", "terraform.tfstate", "terraform.tfstate.backup", "terraform.tfstate.1796.backup",
            ".terraform.tfstate.lock.info", "errored.tfstate")  # fmt: skip
    values = ("x.tfplan.auto.tfvars", "x.tfstate.auto.tfvars", "x.tfstate.tf")
    for name in (*left, *values):
        (root / "iac" / name).touch()
    assert len(differing(root)) == len(left) + len(values)  # nothing is ignored yet
    (root / ".gitignore").write_text("*.tfplan\n*.tfstate\n*.tfstate.*\n*.auto.tfvars\n")
    assert differing(root) == sorted(f"iac/{name}" for name in values)


def test_data_that_is_ignored_and_judged_by_name_was_never_meant_for_a_commit(root: Path) -> None:
    (root / "data.parquet").touch()
    assert differing(root, "data.parquet") == []
    (root / "data.csv").touch()
    assert differing(root, "data.csv") == ["data.csv"]


def test_a_later_commit_is_another_one(root: Path) -> None:
    (root / "iac/main.tf").write_text("b")
    git(root, "commit", "-qam", "two")
    assert differing(root) == []
    assert sorted(commit.differing(root, "HEAD~1", ["iac"])) == ["iac/main.tf"]


@pytest.mark.parametrize("revision", ["nowhere", "--all", SHA, ""])
def test_a_commit_that_is_not_there_is_not_taken_for_an_equal_one(root: Path, revision: str) -> None:
    with pytest.raises(NotMeasured, match="no commit"):
        list(commit.differing(root, revision, ["iac"]))


def test_outside_of_a_repository_nothing_is_claimed(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured):
        list(commit.differing(tmp_path, "HEAD", ["."]))


@pytest.mark.parametrize(
    ("environment", "told", "expected"),
    [
        ({"PRE_COMMIT_TO_REF": SHA}, "", [SHA]),
        ({}, f"refs/heads/a {SHA} refs/heads/a {NONE}\n", [SHA]),
        ({}, f"(delete) {NONE} refs/heads/a {SHA}\n", []),
        ({}, f"(delete) {NONE} refs/heads/a {SHA}\nrefs/heads/b {SHA} refs/heads/b {NONE}\n", [SHA]),
        ({}, "", ["HEAD"]),
    ],
)
def test_what_is_pushed_is_what_git_says(environment: dict[str, str], told: str, expected: list[str]) -> None:
    assert pushed(environment, io.StringIO(told)) == expected


def test_an_input_that_git_would_not_write_is_refused() -> None:
    with pytest.raises(UsageError):
        pushed({}, io.StringIO("yes\n"))
