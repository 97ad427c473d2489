"""A model's version in MLflow, by alias: which one it is, and its files. Nothing of it is ever run or unpickled.

MLflow is asked with short patience: a registry that does not answer is an ERROR of the gate, not a hanging pipeline.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_pixgates.core import sources
from pytest_pixgates.core.errors import EXTRA, NotMeasured

_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")
_SHA256 = "sha256."  # of the tags that hold the digest of a file
_PATIENCE = {  # unless the environment says otherwise
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


@dataclass(frozen=True, slots=True)
class Version:
    """A registered version: `uri` is how it was asked for."""

    uri: str
    name: str
    version: str
    run: str
    tags: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"

    @property
    def sha256(self) -> Mapping[str, str]:
        """The digests of its files, as far as they were written down when it was registered."""
        return {key.removeprefix(_SHA256): value for key, value in self.tags if key.startswith(_SHA256)}


def is_uri(text: str) -> bool:
    return text.startswith("models:/")


def resolve(uri: str, tracking: str, root: Path) -> Version | None:
    """The version that `uri` (models:/name@alias or models:/name/1) stands for; None if its alias is not set.

    `tracking` is where MLflow keeps it (sqlite:///path relative to `root`, a server, a database). Raises NotMeasured.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise NotMeasured(f"{uri} is not written like models:/name@alias or models:/name/1")
    with _client(tracking, root) as (client, exception):
        try:
            if match["alias"]:
                model = client.get_registered_model(match["name"])
                if match["alias"] not in model.aliases:
                    return None
                found = client.get_model_version_by_alias(match["name"], match["alias"])
            else:
                found = client.get_model_version(match["name"], match["version"])
        except exception as error:
            raise NotMeasured(f"{uri} can't be looked up: {_told(error)}", remedy="register the model") from None
        tags = tuple(sorted((str(key), str(value)) for key, value in found.tags.items()))
        return Version(uri, str(found.name), str(found.version), str(found.run_id or ""), tags)


def download(version: Version, tracking: str, root: Path, into: Path) -> Path:
    """The folder with the files of `version`, below `into`. Raises NotMeasured."""
    with _client(tracking, root) as (client, exception):
        import mlflow.artifacts

        try:
            source = client.get_model_version_download_uri(version.name, version.version)
            found = mlflow.artifacts.download_artifacts(
                artifact_uri=source, dst_path=str(into), tracking_uri=address(tracking, root)
            )
        except (exception, OSError) as error:
            raise NotMeasured(f"the files of {version} can't be had: {_told(error)}") from None
        return Path(found)


def address(tracking: str, root: Path) -> str:
    """`tracking` with `${NAME}` from the environment, and SQLite's file below `root`. Raises NotMeasured."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise NotMeasured(f"{match[1]} is not set, which the registry's address needs", remedy=f"set {match[1]}")
        return os.environ[match[1]]

    uri = re.sub(r"\$\{(\w+)\}", value, tracking)
    if not uri:
        raise NotMeasured("the policy names no registry", remedy='set registry = "sqlite:///…" in [model_gate]')
    if urlsplit(uri).scheme != "sqlite":
        return uri
    path = root / uri.removeprefix("sqlite:///")
    if not path.is_file():  # MLflow would make a new one, in which nothing is registered
        raise NotMeasured(f"the registry {sources.name(path, root)} is not there", remedy="register the model")
    return f"sqlite:///{path}"


@contextmanager
def _client(tracking: str, root: Path) -> Iterator[tuple[Any, type[Exception]]]:
    uri = address(tracking, root)
    unset = [name for name in _PATIENCE if name not in os.environ]
    os.environ.update({name: _PATIENCE[name] for name in unset})
    try:
        try:
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise NotMeasured(f"MLflow is missing: {error}", remedy=EXTRA.format("model")) from None
        with warnings.catch_warnings():  # of what MLflow itself calls; whoever judges a model can't mend it
            warnings.simplefilter("ignore", DeprecationWarning)
            yield MlflowClient(tracking_uri=uri, registry_uri=uri), MlflowException
    finally:
        for name in unset:
            os.environ.pop(name, None)


def _told(error: BaseException) -> str:
    """The first line of what MLflow says, without addresses that may hold a password."""
    line = str(error).strip().partition("\n")[0][:300]
    return re.sub(r"://[^@/\s]+@", "://***@", line)
