"""A digest changes with everything that a tool would judge, and a file is written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_pixgates.core import files
from pytest_pixgates.core.errors import PixgatesError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "modules").mkdir(parents=True)
    (root / "main.tf").write_text("a")
    (root / "modules" / "x.tf").write_text("b")
    (tmp_path / "shared.tf").write_text("shared")
    (root / "link.tf").symlink_to("../shared.tf")
    (root / "folder").symlink_to("modules")
    return root


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "main.tf").write_text("A"),
    "name": lambda root: (root / "main.tf").rename(root / "mine.tf"),
    "folder": lambda root: (root / "modules").rename(root / "module"),
    "new file": lambda root: (root / "new.tf").write_text(""),
    "gone": lambda root: (root / "modules" / "x.tf").unlink(),
    "executable": lambda root: (root / "main.tf").chmod(0o755),
    "a link instead": lambda root: ((root / "main.tf").unlink(), (root / "main.tf").symlink_to("modules/x.tf")),
    "what a link points to": lambda root: (root.parent / "shared.tf").write_text("other"),
    "a link to the same content": lambda root: (
        (root / "main.tf").rename(root / ".." / "main.tf"),
        (root / "main.tf").symlink_to("../main.tf"),
    ),
    "where a link to a folder points": lambda root: (
        (root / "folder").unlink(),
        (root / "folder").symlink_to("."),
    ),
    "a dangling link": lambda root: (root.parent / "shared.tf").unlink(),
    "a name that is not UTF-8": lambda root: Path(os.fsdecode(os.fsencode(root) + b"/\xff.tf")).write_text(""),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_changes_the_digest(tree: Path, change: str) -> None:
    before = files.tree_sha256(tree)
    CHANGES[change](tree)
    assert files.tree_sha256(tree) != before


def test_what_tools_leave_behind_and_where_the_tree_lies_do_not_count(tree: Path) -> None:
    before = files.tree_sha256(tree)
    for name in (".terraform", "__pycache__", ".git", ".pixgates"):
        (tree / "modules" / name).mkdir()
        (tree / "modules" / name / "file").write_text("x")
    os.utime(tree / "main.tf", (0, 0))
    assert files.tree_sha256(tree.rename(tree.with_name("moved"))) == before


def test_a_link_to_what_is_judged_counts_by_what_it_points_to(tree: Path) -> None:
    for name in ("tree", "shared.tf"):
        link = tree.parent / f"link to {name}"
        link.symlink_to(name)
        assert files.tree_sha256(link) == files.tree_sha256(tree.parent / name)
    before = files.tree_sha256(tree.parent / "link to tree")
    (tree / "main.tf").write_text("changed behind the link")
    assert files.tree_sha256(tree.parent / "link to tree") != before


def test_what_is_not_there_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.tree_sha256(tmp_path / "absent")
    (tmp_path / "dangling").symlink_to("absent")
    with pytest.raises(FileNotFoundError):
        files.tree_sha256(tmp_path / "dangling")


def test_a_folder_that_can_not_be_read_does_not_look_empty(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("modules"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        files.tree_sha256(tree)


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = tmp_path / "new" / "records.json"
    files.write_atomically(target, "one")
    files.write_atomically(target, "two")
    assert target.read_text() == "two"
    assert list(target.parent.iterdir()) == [target]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "records.json"
    files.write_atomically(target, "old")
    with pytest.raises(UnicodeEncodeError):
        files.write_atomically(target, "new \udcff")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_no_file_is_not_waited_for(tree: Path) -> None:
    before = files.tree_sha256(tree)
    os.mkfifo(tree / "pipe")
    assert files.tree_sha256(tree) == before


def test_a_lock_is_had_by_one_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "new" / ".lock"
    with (
        files.locked(lock, timeout=60, remedy=""),
        pytest.raises(PixgatesError, match="another process has held"),
        files.locked(lock, timeout=0.01, remedy=""),
    ):
        raise AssertionError("two have it")
    with files.locked(lock, timeout=60, remedy=""):
        assert lock.parent.is_dir()


def test_a_lock_in_a_folder_that_can_not_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lock = tmp_path / "file" / "folder" / ".lock"
    with (
        pytest.raises(PixgatesError, match="can't be used: Not a directory") as caught,
        files.locked(lock, timeout=1, remedy="set it elsewhere"),
    ):
        raise AssertionError("it was had")
    assert caught.value.remedy == "set it elsewhere"
