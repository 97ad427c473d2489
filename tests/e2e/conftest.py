"""Models of each kind, trained once for all tests here, however many processes they run in."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from tests.e2e.pipeline import MODELS, WORLD, Project, register

SEED = 11
VERSIONS = {name: str(number) for number, name in enumerate(MODELS, 1)}


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Each model with its evaluation, and a registry that holds them all in the order of `MODELS`."""
    base = tmp_path_factory.getbasetemp()
    root = (base if worker_id == "master" else base.parent) / "e2e"
    with FileLock(f"{root}.lock"):
        if not (root / "done").exists():
            WORLD.simulate(root / "data", SEED)
            for name in MODELS:
                WORLD.train(root / "data", root / name, name, SEED)
                register(root / name, root / "registry")
            (root / "done").touch()
    return root


@pytest.fixture
def project(tmp_path: Path, made: Path) -> Project:
    """A repository with the reference model as candidate, and no champion yet."""
    found = Project(tmp_path / "project")
    found.take(made / "reference")
    found.registry_of(made)
    found.alias(candidate=VERSIONS["reference"])
    return found
