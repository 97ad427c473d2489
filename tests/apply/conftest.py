"""Worlds to apply in. terraform that is missing fails the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apply.world import Served, states


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Served]:
    with states() as each:
        yield Served(tmp_path / "repository", states=each)


@pytest.fixture(scope="module")
def vouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A plan with evidence for it, not applied; whoever spoils it mends it."""
    with states() as each:
        world = Served(tmp_path_factory.mktemp("vouched") / "repository", states=each)
        world.vouched()
        yield world
