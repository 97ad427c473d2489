from __future__ import annotations

from pathlib import Path

import pytest

from tests.evidence.pipeline import Pipeline


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A pipeline that no test changes."""
    return Pipeline(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """A pipeline of one's own."""
    return Pipeline(tmp_path / "repository")
