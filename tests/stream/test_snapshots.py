"""A snapshot is whole or not there, the right one is found, and none that may be needed is removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_pipeline.streaming.snapshots import Snapshots


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    return Snapshots(tmp_path / "state", "transactions")


def save(snapshots: Snapshots, first: int, second: int) -> None:
    snapshots.save({0: first, 1: second}, {0: 5, 1: 6}, f"state at {first} {second}".encode())


def test_what_was_saved_is_found_again_the_newest_first(snapshots: Snapshots) -> None:
    save(snapshots, 1, 2)
    save(snapshots, 10, 20)
    newest, older = snapshots.all()
    assert (newest.positions, newest.latest, newest.state()) == ({0: 10, 1: 20}, {0: 5, 1: 6}, b"state at 10 20")
    assert older.state() == b"state at 1 2"


def test_the_state_may_hold_line_breaks(snapshots: Snapshots) -> None:
    snapshots.save({0: 1}, {0: 1}, b"\n\n1\n")
    assert snapshots.all()[0].state() == b"\n\n1\n"


@pytest.mark.parametrize(
    ("committed", "before"),
    [({0: 10, 1: 20}, True), ({0: 10}, True), ({0: 9, 1: 20}, False), ({0: 10, 1: 19}, False), ({}, True)],
)
def test_a_snapshot_lies_before_what_is_committed_or_not(
    snapshots: Snapshots, committed: dict[int, int], before: bool
) -> None:
    save(snapshots, 10, 20)
    assert snapshots.all()[0].is_before(committed) is before


def test_the_newest_that_all_have_reached_and_newer_ones_are_kept(snapshots: Snapshots) -> None:
    for position in (1, 2, 3, 4):
        save(snapshots, position, position)
    assert snapshots.prune({0: 3, 1: 9}) == 1
    assert [each.positions[0] for each in snapshots.all()] == [4, 3]
    assert snapshots.prune({0: 0, 1: 0}) == 2
    assert len(snapshots.all()) == 2


def test_one_that_is_damaged_is_refused(snapshots: Snapshots) -> None:
    save(snapshots, 1, 1)
    (path,) = snapshots.folder.glob("*.snapshot")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is damaged; remove it"):
        snapshots.all()[0].state()


@pytest.mark.parametrize("content", [b"", b"{}\n", b"[]\nx", b'{"schema_version": 1, "topic": "other"}\n', b"\xff\n"])
def test_what_is_no_snapshot_of_the_topic_is_refused(snapshots: Snapshots, content: bytes) -> None:
    (snapshots.folder / "1.snapshot").write_bytes(content)
    with pytest.raises(ValueError, match="is no snapshot of 'transactions'"):
        snapshots.all()


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".tmp-abc").write_bytes(b"half")
    assert Snapshots(tmp_path, "transactions").all() == []
    assert not (tmp_path / ".tmp-abc").exists()


def test_a_folder_is_for_one_process_alone(snapshots: Snapshots) -> None:
    with pytest.raises(ValueError, match="is used by another process"):
        Snapshots(snapshots.folder, "transactions")
    snapshots.close()
    Snapshots(snapshots.folder, "transactions")
