"""Beside each plugin that people run pytest with: red is red, green is green, and no rerun is kept quiet.

One at a time, with all others shut out, and all at once; alone and over workers. Those that take over the whole output
(pytest-sugar, pytest-rich) are why this has an environment of its own.
"""

from __future__ import annotations

import importlib.metadata
import json

import pytest

from tests.plugin.conftest import Repository
from tests.plugin.conftest import repository as repository
from tests.plugin.conftest import workers as workers

FAILS, PASSES = "assert ledger.disputed <= 0.1", "assert ledger.settled >= 0.9"

# The distribution, its entry points, and the arguments that make it do something.
NEIGHBOURS: dict[str, tuple[str, ...]] = {
    "pytest-randomly": ("--randomly-seed", "1"),
    "pytest-rerunfailures": ("--reruns", "2"),
    "pytest-timeout": ("--timeout", "60"),
    "pytest-cov": ("--cov", "gates"),
    "pytest-sugar": ("--force-sugar",),
    "pytest-rich": ("--rich",),
}
# Both draw the whole screen, which only one plugin can.
EXCLUDES = {"pytest-sugar": "pytest-rich", "pytest-rich": "pytest-sugar"}


def loaded(name: str) -> tuple[str, ...]:
    """`-p` for each entry point of the distribution."""
    points = importlib.metadata.distribution(name).entry_points
    return tuple(part for point in points if point.group == "pytest11" for part in ("-p", point.name))


def only(repository: Repository, monkeypatch: pytest.MonkeyPatch, *names: str) -> tuple[str, ...]:
    """Arguments with which none but the named plugins, xdist and ours are there."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    repository.write("pytest.ini", "[pytest]\ntestpaths = gates\n")
    own = [part for each in ("pytest-pixgates", "pytest-xdist", *names) for part in loaded(each)]
    return (*own, *(part for each in names for part in NEIGHBOURS[each]))


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_red_is_red_and_green_is_green_beside(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...], name: str
) -> None:
    arguments = only(repository, monkeypatch, name)
    repository.gate(PASSES)
    assert repository.run(*arguments, *workers).ret == 0
    assert repository.outcomes() == {"ledger/settled": "PASS", "ledger/limit[settled]": "PASS"}
    assert repository.verdict() == 0
    repository.gate(FAILS)
    assert repository.run(*arguments, *workers).ret == 1
    assert repository.outcomes()["ledger/settled"] == "FAIL"
    assert repository.verdict() == 1


@pytest.mark.parametrize("screen", EXCLUDES)
def test_red_is_red_and_green_is_green_beside_all_at_once(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...], screen: str
) -> None:
    arguments = only(repository, monkeypatch, *(each for each in NEIGHBOURS if each != EXCLUDES[screen]))
    repository.gate(PASSES)
    assert repository.run(*arguments, *workers).ret == 0
    assert repository.verdict() == 0
    repository.gate(FAILS)
    assert repository.run(*arguments, *workers).ret == 1
    assert repository.verdict() == 1


@pytest.mark.parametrize("screen", ["", *EXCLUDES])
def test_a_rerun_turns_nothing_green_and_is_told(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...], screen: str
) -> None:
    arguments = only(repository, monkeypatch, "pytest-rerunfailures", *filter(None, [screen]))
    lucky = "import pathlib; p = pathlib.Path('ran'); first = not p.exists(); p.touch()\n    "
    repository.gate(f"{lucky}{FAILS}" + " if first else ledger.settled >= 0.9")
    assert repository.run(*arguments, *workers).ret == 1
    record = next(each for each in repository.records()["records"] if each["gate"] == "ledger/settled")
    assert (record["outcome"], record["attempts"]) == ("FAIL", 3)
    summary = json.dumps(repository.records()) + (repository.path / ".pixgates/summary.md").read_text()
    assert "attempt" in summary
    assert repository.verdict() == 1
