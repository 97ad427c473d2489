from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from ml_pipeline.registration import store
from tests.promotion.registry import DATABASE, Registry
from tests.promotion.world import Model, World, write_model


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world of one's own; what it runs is ended."""
    made = World(tmp_path)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The database of a registry, which takes long to make: once for all processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "registry"
    with FileLock(f"{folder}.lock"):
        if not (folder / "done").exists():
            store.connect(f"sqlite:///{folder / DATABASE}", create=True).search_registered_models()
            (folder / "done").touch()
    return folder / DATABASE


@pytest.fixture
def registry(tmp_path: Path, empty: Path) -> Registry:
    return Registry(tmp_path, empty)


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return write_model(tmp_path_factory.mktemp("good"), 1.0)


@pytest.fixture(scope="session")
def better(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return write_model(tmp_path_factory.mktemp("better"), 2.0)


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that the service can load, and that scores no payment."""
    return write_model(tmp_path_factory.mktemp("broken"), 3.0, fails_above=0.5)


@pytest.fixture(scope="session")
def degrading(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that proves itself on a small payment, and fails on large ones."""
    return write_model(tmp_path_factory.mktemp("degrading"), 4.0, fails_above=8.0)
