"""The registry: which model is which, by digests, so that the one that is served is the one that was judged.

A version holds the model's files and their digests as tags. Whoever fetches it gets those very files or an error. The
alias `candidate` is the version registered last, `champion` the one that is served.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_pipeline import evaluate, folders
from ml_pipeline.registration import store
from ml_pipeline.registration.store import DEFAULT, RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from ml_pipeline.registration.figures import Figures
    from ml_pipeline.registration.inputs import Evaluation, Model

NAME = "pix-fraud"
CANDIDATE, CHAMPION = "candidate", "champion"
CONTRACTS = Path("gates/contracts")
_SHA256, _ARTIFACTS = "sha256.", "model"  # the tags' prefix, and the run's folder with the files
_URI = re.compile(r"models:/(?P<name>[^/@]+)(@(?P<alias>[\w-]+)|/(?P<version>\d+))")


@dataclass(frozen=True)
class Registered:
    """A version of the model; `new` if it was not there before."""

    name: str
    version: str
    new: bool


@dataclass(frozen=True)
class Comparison:
    """Candidate and champion on the same rows, each at its own threshold; without a champion the rest is None."""

    candidate: Figures
    champion: Figures | None
    discordant: int | None
    discordant_frauds: int | None


def register(
    model: Path,
    evaluation: Path,
    tracking_uri: str = DEFAULT,
    artifacts: str | None = None,
    contracts: Path = CONTRACTS,
) -> Registered:
    """Register a model with its evaluation, and let `candidate` point to it; the same files again change nothing.

    Raises ValueError or FileNotFoundError if model and evaluation don't belong together, and RegistryError.
    """
    from ml_pipeline.registration import inputs, origin

    judged = inputs.read_evaluation(evaluation)
    with tempfile.TemporaryDirectory(prefix="pixgates-") as name:
        stage = Path(name) / _ARTIFACTS
        stage.mkdir()
        read = inputs.read_model(model)
        for file in (*evaluate.MODEL_FILES, inputs.REFERENCE):
            if (model / file).is_file():
                shutil.copy(model / file, stage / file)
        read = inputs.read_model(stage)  # from here on the copy, which nobody changes meanwhile
        inputs.check_digests(read, judged)
        kept = {"evaluation": judged.digest} | _digests(stage)
        agreed = {f"contract.{each}": digest for each, digest in origin.contracts(contracts).items()}
        client = store.connect(tracking_uri, create=True)
        with store.asked(tracking_uri):
            found = _found(client, read.name, kept)
            if found:
                _finish(client, found)
                return Registered(read.name, str(found.version), new=False)
            inputs.check_scores(read, judged)
            experiment = store.experiment(client, tracking_uri, NAME, artifacts)
            version = _publish(client, experiment, Path(name), read, judged, kept | agreed)
    return Registered(read.name, version, new=True)


def fetch(uri: str, tracking_uri: str, into: Path) -> Path:
    """Bring the files of `models:/NAME@ALIAS` or `models:/NAME/VERSION` into a new folder, which appears whole or not.

    Raises RegistryError if there is no such version, or a file is not the one that was registered; FileExistsError if
    `into` holds anything.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise FileExistsError(f"{into} is not empty; name a new folder")
    client = store.connect(tracking_uri)
    with store.asked(tracking_uri):
        version = _resolve(client, uri, tracking_uri)
    expected = {key.removeprefix(_SHA256): tag for key, tag in version.tags.items() if key.startswith(_SHA256)}
    if not expected or version.source != f"runs:/{version.run_id}/{_ARTIFACTS}":
        raise RegistryError(f"{uri} was not registered by this pipeline: it has no digests")
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{into.name}.", dir=into.parent) as name:
        with store.asked(tracking_uri), _read(uri):
            folder = Path(client.download_artifacts(version.run_id, _ARTIFACTS, name))
        found = _digests(folder)
        for file in sorted(expected.keys() | {key.removeprefix(_SHA256) for key in found}):
            if expected.get(file) != found.get(_SHA256 + file):
                raise RegistryError(
                    f"{uri} is not what was registered: {file} {_difference(expected.get(file), found, file)}; "
                    "do not use it, register the model again"
                )
        folder.replace(into)
    return into


def promote(name: str, version: str, alias: str, tracking_uri: str = DEFAULT) -> None:
    """Let an alias point to a version. Raises RegistryError if there is no such version."""
    client = store.connect(tracking_uri)
    with store.asked(tracking_uri):
        client.set_registered_model_alias(name, alias, version)


def compare(evaluation: Path, tracking_uri: str = DEFAULT, name: str = NAME) -> Comparison:
    """Candidate against champion on the test set of an evaluation.

    Raises RegistryError if there is no candidate or either can't be read, ValueError if the test set lacks features.
    """
    from ml_pipeline.registration import figures, inputs

    rows = inputs.read_evaluation(evaluation).test_set
    fraud = rows["is_fraud"].to_numpy()
    client = store.connect(tracking_uri)
    with store.asked(tracking_uri):
        champion = store.version_of(client, name, CHAMPION)
    with tempfile.TemporaryDirectory(prefix="pixgates-") as place:
        decided, measured = [], []
        for alias in (CANDIDATE, CHAMPION) if champion else (CANDIDATE,):
            model = inputs.read_model(fetch(f"models:/{name}@{alias}", tracking_uri, Path(place) / alias))
            score = model.score(rows)
            decided.append(score >= model.threshold)
            measured.append(figures.measure(score, fraud, model.threshold))
    if not champion:
        return Comparison(measured[0], None, None, None)
    apart = decided[0] != decided[1]
    return Comparison(measured[0], measured[1], int(apart.sum()), int((apart & fraud).sum()))


def _found(client: MlflowClient, name: str, kept: dict[str, str]) -> ModelVersion | None:
    """The version with these digests; what registering itself adds, such as the card, does not count."""
    for version in client.search_model_versions(f"name='{name}'"):
        if all(version.tags.get(key) == digest for key, digest in kept.items()):
            return version
    return None


def _publish(
    client: MlflowClient, experiment: str, stage: Path, model: Model, judged: Evaluation, tags: dict[str, str]
) -> str:
    """Log a run and register its version; it carries its tags from the start, so that it is never seen without."""
    from ml_pipeline.registration import figures, origin

    commit, environment = origin.commit(), origin.environment()
    score, fraud = judged.scores["score"].to_numpy(), judged.scores["is_fraud"].to_numpy()
    found = figures.measure(score, fraud, model.threshold)
    _write_artifacts(stage, model, judged, commit, environment)
    tags = tags | _digests(model.folder) | {"git_commit": commit.sha, "git_dirty": str(commit.dirty).lower()}
    tags |= {f"data.{key}": str(value) for key, value in model.described.get("data", {}).items()}
    tags |= {"test_set": judged.described["test_set"], "scores": judged.described["scores"]}
    run = client.create_run(experiment, tags=tags).info.run_id
    try:
        store.log(client, run, _parameters(model), found.metrics())
        client.log_artifacts(run, str(stage))
        client.log_artifacts(run, str(judged.folder), "evaluation")
        store.ensure_model(client, model.name)
        version = client.create_model_version(model.name, f"runs:/{run}/{_ARTIFACTS}", run, tags=tags)
        _finish(client, version)
    except BaseException:
        client.set_terminated(run, "FAILED")
        raise
    return str(version.version)


def _finish(client: MlflowClient, version: ModelVersion) -> None:
    """Point `candidate` to a version and end its run, unless that is done: an earlier attempt may have been killed."""
    if client.get_run(version.run_id).info.status != "FINISHED":
        client.set_registered_model_alias(version.name, CANDIDATE, version.version)
        client.set_terminated(version.run_id)


def _write_artifacts(stage: Path, model: Model, judged: Evaluation, commit: Any, environment: dict[str, str]) -> None:
    """Put the card and the signature beside the model, and plots and environment beside its folder."""
    from ml_pipeline.registration import card, plots

    (model.folder / "model_card.md").write_text(card.write(model, judged, commit, environment), encoding="utf-8")
    _write_signature(model)
    plots.draw(judged.scores, model.threshold, stage / "plots")
    (stage / "environment.json").write_text(json.dumps(environment, indent=2) + "\n")


def _write_signature(model: Model) -> None:
    """MLflow's own description of the model, from which `mlflow.onnx` loads it.

    It says nothing of the skops file: MLflow would open that one by a list of types that stands in this description.
    """
    import onnx
    from mlflow.models import Model as Described
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    columns = Schema([ColSpec(DataType.float, name) for name in model.features])
    described = Described(signature=ModelSignature(inputs=columns))
    providers = ["CPUExecutionProvider"]
    described.add_flavor("onnx", onnx_version=onnx.__version__, data="model.onnx", providers=providers)
    described.save(str(model.folder / "MLmodel"))


def _parameters(model: Model) -> dict[str, Any]:
    keys = ("threshold", "false_positive_budget", "label", "label_window_days", "seed")
    found = {key: model.described[key] for key in keys if key in model.described}
    found |= {f"rows.{key}": value for key, value in model.described.get("rows", {}).items()}
    return found | {"features": len(model.features)} | model.described.get("parameters", {})


def _digests(folder: Path) -> dict[str, str]:
    """The digests of a folder's files as tags."""
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    return {f"{_SHA256}{path.relative_to(folder).as_posix()}": folders.digest(path) for path in files}


def _difference(expected: str | None, found: dict[str, str], file: str) -> str:
    if expected is None:
        return "was not there"
    return "has another digest" if _SHA256 + file in found else "is missing"


def _resolve(client: MlflowClient, uri: str, tracking_uri: str) -> ModelVersion:
    """The version that a URI means. Raises ValueError, or RegistryError if there is none."""
    from mlflow.exceptions import MlflowException

    match = _URI.fullmatch(uri)
    if not match:
        raise ValueError(f"{uri!r} is neither models:/NAME@ALIAS nor models:/NAME/VERSION")
    name, alias = match["name"], match["alias"]
    try:
        version = store.version_of(client, name, alias) if alias else client.get_model_version(name, match["version"])
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        version = None
    if version is None:
        raise RegistryError(
            f"{uri} is not in the registry {store.shown(tracking_uri)}; register a model, or set the alias"
        )
    return version


@contextmanager
def _read(uri: str) -> Iterator[None]:
    """Names the version whose files can't be had."""
    try:
        yield
    except OSError as error:
        raise RegistryError(f"the files of {uri} can't be read ({type(error).__name__}: {error})") from error


def add_arguments(steps: Any) -> None:
    """The subcommands `register` and `compare`."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT
    said = f"database or server; by default MLFLOW_TRACKING_URI, else {DEFAULT}"
    parser = steps.add_parser("register", help="put the model into the registry", description=register.__doc__)
    parser.set_defaults(run=run_register, step="register")
    parser.add_argument("--model", type=Path, default=Path("ml_pipeline/model"), help="folder of `train`")
    parser.add_argument("--evaluation", type=Path, default=Path("ml_pipeline/evaluation"), help="folder of `evaluate`")
    parser.add_argument("--contracts", type=Path, default=CONTRACTS, help="folder of the contracts")
    parser.add_argument("--tracking-uri", default=uri, help=said)
    parser.add_argument("--artifacts", help="URL of the artifact store, if the registry is new and not in SQLite")
    parser = steps.add_parser("compare", help="candidate against champion", description=compare.__doc__)
    parser.set_defaults(run=run_compare, step="compare")
    parser.add_argument("--evaluation", type=Path, default=Path("ml_pipeline/evaluation"), help="folder of `evaluate`")
    parser.add_argument("--tracking-uri", default=uri, help=said)


def run_register(arguments: argparse.Namespace) -> None:
    """Register what the arguments name, and say which version it is."""
    made = register(
        arguments.model, arguments.evaluation, arguments.tracking_uri, arguments.artifacts, arguments.contracts
    )
    if made.new:
        print(f"{made.name} version {made.version} is registered, and is now the {CANDIDATE}")
    else:
        print(f"up to date: {made.name} version {made.version} has these very files; nothing was changed")


def run_compare(arguments: argparse.Namespace) -> None:
    """Print both models' figures, and how many decisions differ."""
    found = compare(arguments.evaluation, arguments.tracking_uri)
    print(f"{found.candidate.rows:,} payments, {found.candidate.frauds:,} frauds; 90 % intervals")
    for alias, figures in ((CANDIDATE, found.candidate), (CHAMPION, found.champion)):
        if figures is None:
            print(f"{alias}: there is none yet")
            continue
        rates = f"recall {figures.recall}, false positive rate {figures.false_positive_rate}"
        print(f"{alias}: {rates}, average precision {figures.average_precision:.4f}")
    if found.discordant is not None:
        print(f"{found.discordant:,} decisions differ, {found.discordant_frauds:,} of them on fraud")
