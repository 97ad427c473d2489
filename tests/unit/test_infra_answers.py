"""A tool is asked once, and an answer holds only as long as nothing that it hangs on has changed."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_pixgates.core.cache import Cache
from pytest_pixgates.core.scan import Problem, Scan, ToolUse
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.infra import answers
from pytest_pixgates.infra.answers import Answers, Question

KEY = b"k" * 32
TOOL = ToolUse("tflint", "0.64.0", "ab" * 32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "iac").mkdir(parents=True)
    (tmp_path / "root" / "iac" / "main.tf").write_text("a {}\n")
    return tmp_path / "root"


def ask(root: Path, key: object = "tool-1") -> Question:
    return Question("tflint", root / "iac", (key,))


def measure(root: Path, *extra: Subject) -> Scan:
    subjects = (Subject.of(Path("iac"), root), *extra)
    return Scan("tflint", "iac", {"files": 1}, tools=(TOOL,), subjects=subjects)


def runs(root: Path) -> tuple[Answers, Answers]:
    """Two runs, one after the other, on one cache."""
    cache = Cache(root.parent / "cache", KEY)
    first, second = root.parent / "run1", root.parent / "run2"
    return Answers(first, root, cache), Answers(second, root, cache)


def test_a_later_run_finds_the_answer_and_says_so(root: Path) -> None:
    first, second = runs(root)
    first.put(ask(root), measure(root))
    assert first.get(ask(root)) == measure(root)
    later = second.get(ask(root))
    assert later is not None
    assert later.cached
    assert later.findings == measure(root).findings
    assert second.get(ask(root)) == later


CHANGES: dict[str, Callable[[Path], object]] = {
    "an edit": lambda iac: (iac / "main.tf").write_text("b {}\n"),
    "a new file": lambda iac: (iac / "new.tf").touch(),
    "a rename": lambda iac: (iac / "main.tf").rename(iac / "other.tf"),
    "a removal": lambda iac: (iac / "main.tf").unlink(),
    "the executable bit": lambda iac: (iac / "main.tf").chmod(0o755),
    "a symlink in place of the file": lambda iac: (
        (iac / "main.tf").rename(iac.parent / "elsewhere.tf"),
        (iac / "main.tf").symlink_to("../elsewhere.tf"),
    ),
    "the folder itself": lambda iac: iac.rename(iac.parent / "moved"),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_changed_subject_is_measured_again(root: Path, how: str) -> None:
    first, second = runs(root)
    first.put(ask(root), measure(root))
    CHANGES[how](root / "iac")
    assert first.get(ask(root)) is None
    assert second.get(ask(root)) is None


def test_what_a_link_leads_to_counts_too(root: Path) -> None:
    (root / "shared.tf").write_text("c {}\n")
    (root / "iac" / "shared.tf").symlink_to("../shared.tf")
    _, second = runs(root)
    second.put(ask(root), measure(root))
    (root / "shared.tf").write_text("d {}\n")
    assert second.get(ask(root)) is None


def test_a_touched_file_is_not_a_changed_one(root: Path) -> None:
    first, second = runs(root)
    first.put(ask(root), measure(root))
    os.utime(root / "iac" / "main.tf", (1, 1))
    assert second.get(ask(root)) is not None


def test_a_configuration_above_that_was_absent_counts(root: Path) -> None:
    first, second = runs(root)
    first.put(ask(root), measure(root, Subject(".tflint.hcl", "", "absent")))
    assert second.get(ask(root)) is not None
    (root / ".tflint.hcl").touch()
    assert second.get(ask(root)) is None


def test_another_tool_setting_environment_or_code_is_another_question(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = runs(root)
    first.put(ask(root), measure(root))
    assert second.get(ask(root, "tool-2")) is None
    monkeypatch.setenv("LC_ALL", "pt_BR.UTF-8")
    assert second.get(ask(root)) is None
    monkeypatch.undo()
    monkeypatch.setattr(answers, "code", lambda *_: "other code")
    assert second.get(ask(root)) is None


def test_what_was_not_measured_is_not_kept_for_a_later_run(root: Path) -> None:
    first, second = runs(root)
    broken = Scan("tflint", "iac", problems=(Problem("timed out"),), subjects=measure(root).subjects)
    first.put(ask(root), broken)
    assert first.get(ask(root)) == broken
    assert second.get(ask(root)) is None
    unbound = Scan("tflint", "iac", {"files": 1}, tools=(TOOL,))
    first.put(ask(root), unbound)
    assert second.get(ask(root)) is None


@pytest.mark.parametrize("spoil", [lambda text: text[:-20], lambda text: text.replace("0.64.0", "0.65.0")])
def test_a_truncated_or_forged_entry_is_measured_again(root: Path, spoil: Callable[[str], str]) -> None:
    first, second = runs(root)
    first.put(ask(root), measure(root))
    (entry,) = (root.parent / "cache").glob("*.json")
    entry.write_text(spoil(entry.read_text()))
    assert second.get(ask(root)) is None


def test_without_a_cache_only_this_run_remembers(root: Path) -> None:
    alone = Answers(root.parent / "run", root, None)
    alone.put(ask(root), measure(root))
    assert alone.get(ask(root)) == measure(root)
    assert Answers(root.parent / "other", root, None).get(ask(root)) is None


def _measure_once(root: Path) -> None:
    own = Answers(root.parent / "run", root, None)
    with own.measuring():
        if own.get(ask(root)) is None:
            with (root.parent / "measured").open("a") as file:
                file.write("x")
            time.sleep(0.2)
            own.put(ask(root), measure(root))


def test_processes_that_ask_at_once_measure_once(root: Path) -> None:
    asked = [multiprocessing.get_context("fork").Process(target=_measure_once, args=(root,)) for _ in range(3)]
    for each in asked:
        each.start()
    for each in asked:
        each.join()
    assert [each.exitcode for each in asked] == [0, 0, 0]
    assert (root.parent / "measured").read_text() == "x"
