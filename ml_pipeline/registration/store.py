"""MLflow, asked with a deadline and without telemetry, and with errors that say what to do.

MLflow is a database (SQLite, PostgreSQL) or a server. By itself it asks a server that is down for minutes, and one that
is slow for a quarter of an hour.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

DEFAULT = "sqlite:///ml_pipeline/registry/mlflow.db"
BOUNDS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds for each answer
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "PGCONNECT_TIMEOUT": "10",
}
_SECRET = re.compile(r"(?<=://)[^/@\s]*@")


class RegistryError(OSError):
    """The registry can't be asked, or does not hold what it should."""


def shown(uri: str) -> str:
    """A URL without its user and password."""
    return _SECRET.sub("", uri)


def prepare() -> None:
    """What must be set before MLflow is imported. Deadlines that the environment already has stay."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    for name, value in BOUNDS.items():
        os.environ.setdefault(name, value)


def connect(uri: str, *, create: bool = False) -> MlflowClient:
    """A client for a registry; a new one in SQLite is made only on `create`.

    Raises RegistryError if the database can't be reached, ValueError if it is no URL of a database or of a server.
    """
    prepare()
    import logging

    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme not in {"sqlite", "postgresql", "http", "https"}:
        raise ValueError(f"the registry {shown(uri)!r} is no URL of sqlite, postgresql, http or https")
    if scheme == "sqlite" and not create and not sqlite_file(uri).is_file():
        raise RegistryError(f"there is no registry at {shown(uri)}; run `python -m ml_pipeline register` first")
    from mlflow import MlflowClient
    from mlflow.telemetry import set_telemetry_client

    set_telemetry_client()  # which ends it, if somebody imported MLflow before
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with asked(uri):
        if scheme in {"sqlite", "postgresql"}:
            _knock(uri)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def sqlite_file(uri: str) -> Path:
    """Where a database of SQLite is. Raises ValueError if it is in memory only."""
    from sqlalchemy.engine import make_url

    name = make_url(uri).database
    if not name or name == ":memory:":
        raise ValueError(f"the registry {uri!r} names no file; give sqlite:///FOLDER/mlflow.db")
    return Path(name)


@contextmanager
def asked(uri: str) -> Iterator[None]:
    """Turns what MLflow, the database or the network raise into RegistryError, without passwords."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, RequestException) as error:
        reason = shown(str(error).replace(uri, shown(uri))).strip().partition("\n")[0][:300]
        raise RegistryError(
            f"the registry {shown(uri)} can't be asked ({type(error).__name__}: {reason}); check that it is up and "
            "MLFLOW_TRACKING_URI, or give it more time by MLFLOW_HTTP_REQUEST_TIMEOUT (seconds)"
        ) from None  # the cause may hold the password


def version_of(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """The version that an alias points to; None if the model or the alias does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        aliases = client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return client.get_model_version(name, aliases[alias]) if alias in aliases else None


def experiment(client: MlflowClient, uri: str, name: str, artifacts: str | None) -> str:
    """The id of the experiment, made if need be, whose artifacts lie in `artifacts`, which can't be changed later.

    By default they lie beside a database of SQLite, and where a server puts them. Raises ValueError otherwise.
    """
    found = client.get_experiment_by_name(name)
    if found is not None:
        if artifacts is not None and found.artifact_location.rstrip("/") != artifacts.rstrip("/"):
            place = shown(found.artifact_location)
            raise ValueError(f"{shown(uri)} keeps the artifacts of {name} in {place}, not in {shown(artifacts)}")
        return str(found.experiment_id)
    if artifacts is None and uri.startswith("postgresql"):
        raise ValueError("a registry in PostgreSQL needs a place for artifacts: --artifacts URL")
    if artifacts is None and uri.startswith("sqlite"):
        artifacts = (sqlite_file(uri).parent / "artifacts").resolve().as_uri()
    return str(client.create_experiment(name, artifact_location=artifacts))


def ensure_model(client: MlflowClient, name: str) -> None:
    """Make a registered model that has no version yet, unless it is there."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def log(client: MlflowClient, run: str, parameters: dict[str, Any], metrics: dict[str, float]) -> None:
    """Log all at once."""
    import time

    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    client.log_batch(
        run,
        metrics=[Metric(name, value, now, 0) for name, value in metrics.items()],
        params=[Param(name, str(value)) for name, value in parameters.items()],
    )


def _knock(uri: str) -> None:
    """Ask a database once: MLflow itself asks a broken one ten times within two minutes."""
    import sqlalchemy

    if uri.startswith("sqlite"):
        sqlite_file(uri).parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(uri)
    try:
        sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()
