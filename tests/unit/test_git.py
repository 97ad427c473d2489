"""A file as it was where a branch left its target; where git can't tell, that is said and never guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pixgates.core import git
from pytest_pixgates.core.errors import NotMeasured
from tests.git import Git

TARGET = "origin/HEAD"


@pytest.fixture
def repository(tmp_path: Path) -> Git:
    made = Git(tmp_path / "made")
    (made.path / "gates").mkdir()
    (made.path / "gates/one.json").write_text("one\n")
    made.merged()
    return made


def clone(repository: Git, path: Path, depth: int) -> Path:
    repository("clone", "--quiet", f"--depth={depth}", "--no-single-branch", f"file://{repository.path}", str(path))
    return path


def test_the_default_target_is_the_remote_s_own_branch_or_else_its_main(tmp_path: Path) -> None:
    repository = Git(tmp_path / "r")
    first = repository.commit()
    assert git.default_target(repository.path) == "origin/HEAD"
    repository("update-ref", "refs/remotes/origin/master", first)
    assert git.default_target(repository.path) == "origin/master"
    repository("update-ref", "refs/remotes/origin/main", first)
    assert git.default_target(repository.path) == "origin/main"
    repository.merged()
    assert git.default_target(repository.path) == "origin/HEAD"
    assert git.has_remotes(repository.path)


def test_the_merge_base_is_where_the_branch_left_and_not_where_the_target_is_now(repository: Git) -> None:
    left = repository("rev-parse", "HEAD")
    repository("checkout", "--quiet", "-b", "change")
    (repository.path / "gates/one.json").write_text("ours\n")
    repository.commit()
    repository("checkout", "--quiet", "main")
    (repository.path / "gates/one.json").write_text("theirs\n")
    repository.merged()
    repository("checkout", "--quiet", "change")
    folder = repository.path / "gates"
    assert git.merge_base(folder, TARGET) == left
    assert git.file_at(folder, left, "one.json") == "one\n"
    assert git.file_at(folder, "HEAD", "one.json") == "ours\n"
    assert git.file_at(folder, left, "two.json") is None


def test_a_folder_that_was_not_there_had_no_file(repository: Git) -> None:
    (repository.path / "checks").mkdir()
    assert git.file_at(repository.path / "checks", "HEAD", "one.json") is None


def test_without_a_repository_a_target_or_a_common_history_nothing_is_guessed(repository: Git, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(NotMeasured, match="not a git repository"):
        git.merge_base(tmp_path / "plain", TARGET)
    for target in ("origin/gone", "--all", ""):
        with pytest.raises(NotMeasured, match="git knows no commit") as caught:
            git.merge_base(repository.path, target)
        assert "fetch-depth: 0" in caught.value.remedy
        assert "PIXGATES_TARGET" in caught.value.remedy
    repository("checkout", "--quiet", "--orphan", "stranger")
    (repository.path / "new").touch()
    repository.commit()
    with pytest.raises(NotMeasured, match="no common history"):
        git.merge_base(repository.path, TARGET)


def test_a_repository_without_commits_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match="no commit 'HEAD'"):
        git.merge_base(Git(tmp_path / "new").path, TARGET)


def test_without_git_it_says_to_install_it(repository: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(NotMeasured, match="git") as caught:
        git.merge_base(repository.path, TARGET)
    assert "install git" in caught.value.remedy


def test_a_shallow_clone_is_believed_only_where_one_side_holds_the_other(repository: Git, tmp_path: Path) -> None:
    for _ in range(5):
        repository.merged()
    head = repository("rev-parse", "HEAD")
    repository("checkout", "--quiet", "-b", "change", "HEAD~2")
    (repository.path / "new").touch()
    repository.commit()
    repository("checkout", "--quiet", "main")
    cut = clone(repository, tmp_path / "cut", depth=1)
    assert git.merge_base(cut, "origin/main") == head  # HEAD itself
    with pytest.raises(NotMeasured, match="shallow") as caught:
        git.merge_base(cut, "origin/change")
    assert "--unshallow" in caught.value.remedy
    # Enough to find a common commit, and still no proof that none is nearer.
    deeper = clone(repository, tmp_path / "deeper", depth=3)
    with pytest.raises(NotMeasured, match="shallow"):
        git.merge_base(deeper, "origin/change")
    whole = clone(repository, tmp_path / "whole", depth=99)
    assert git.merge_base(whole, "origin/change") == repository("rev-parse", "main~2")


def test_the_past_can_not_be_replaced_from_within_the_clone(
    repository: Git, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = repository("rev-parse", "HEAD")
    (repository.path / "gates/one.json").write_text("more\n")
    repository("replace", base, repository.commit())
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))  # as inside a hook
    folder = repository.path / "gates"
    assert git.file_at(folder, git.merge_base(folder, base), "one.json") == "one\n"
