"""A real registry of MLflow's, in SQLite, with versions of small models."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ml_pipeline.registration import store
from ml_pipeline.registry import CANDIDATE, NAME
from pytest_pixgates.core import files
from tests.promotion.world import Model

DATABASE = "mlflow.db"


class Registry:
    """A copy, in `folder`, of the `empty` database."""

    def __init__(self, folder: Path, empty: Path) -> None:
        shutil.copy(empty, folder / DATABASE)
        self.folder, self.uri = folder, f"sqlite:///{folder / DATABASE}"
        self.client: Any = store.connect(self.uri, create=True)
        self.experiment = store.experiment(self.client, self.uri, "small", None)
        store.ensure_model(self.client, NAME)

    def register(self, model: Model) -> str:
        """The version, which is the candidate."""
        run = self.client.create_run(self.experiment).info.run_id
        self.client.log_artifacts(run, str(model.folder), "model")
        tags = {f"sha256.{path.name}": files.sha256(path) for path in model.folder.iterdir()}
        version = self.client.create_model_version(NAME, f"runs:/{run}/model", run, tags=tags).version
        self.client.set_registered_model_alias(NAME, CANDIDATE, version)
        return str(version)

    def aliases(self) -> dict[str, str]:
        found = self.client.get_registered_model(NAME).aliases
        return {name: str(version) for name, version in found.items() if name != CANDIDATE}
