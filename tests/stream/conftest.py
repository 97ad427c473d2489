"""One small world for the tests that need no broker."""

from __future__ import annotations

import pytest

from tests.stream import made


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> made.World:
    return made.world(tmp_path_factory.mktemp("stream"), rows=4_000)
