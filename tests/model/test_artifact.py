"""What is registered against what was evaluated, with real files and a real MLflow registry in SQLite."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import socket
import zipfile
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.model_gate import artifact, registry


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "requirements.txt").write_text("onnxruntime==1.24\n")
    return folder


def evaluated(model: Path) -> artifact.Evaluation:
    told = {each.name: digest(each) for each in model.iterdir()}
    return artifact.Evaluation(1, artifact.Model("pix-fraud", told, ("a",), 0.5), "", "", "is_fraud")


def rules(model: Path, evaluation: artifact.Evaluation) -> set[str]:
    return {finding.rule for finding in artifact.differences(evaluation, model, "evaluation.json")}


def test_the_evaluated_files_are_accepted_and_any_other_is_told(model: Path) -> None:
    evaluation = evaluated(model)
    assert rules(model, evaluation) == set()
    (model / "requirements.txt").write_text("onnxruntime==1.25\n")
    assert rules(model, evaluation) == {"requirements-differ"}
    (model / "model.onnx").write_bytes(b"another graph")
    assert rules(model, evaluation) == {"requirements-differ", "artifact-differs"}
    (model / "model.onnx").unlink()
    assert rules(model, evaluation) == {"requirements-differ", "artifact-missing"}


def test_a_file_that_runs_code_is_told_and_never_opened(model: Path) -> None:
    evaluation = evaluated(model)

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, ("raise SystemExit('opened')",))

    (model / "model.pkl").write_bytes(pickle.dumps(Bomb()))
    assert rules(model, evaluation) == {"artifact-runs-code"}


@pytest.mark.parametrize(
    ("node", "forged"),
    [
        ({"__class__": "Pipeline", "__module__": "sklearn.pipeline", "__loader__": "ObjectNode"}, False),
        ({"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"}, True),
        ({"__class__": "dict", "__module__": "builtins", "content": [{"__class__": "eval", "__module__": "os"}]}, True),
        ({"__class__": "make_pipeline", "__module__": "sklearn.pipeline", "__loader__": "FunctionNode"}, True),
    ],
)  # fmt: skip
def test_a_forged_skops_file_is_told_by_our_own_list(model: Path, node: dict[str, object], forged: bool) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("schema.json", json.dumps(node | {"trusted": ["os.system"]}))
    (model / "model.skops").write_bytes(data.getvalue())
    assert rules(model, evaluated(model)) == ({"skops-forged"} if forged else set())


def test_what_is_no_skops_file_is_told(model: Path) -> None:
    (model / "model.skops").write_bytes(b"no zip")
    assert rules(model, evaluated(model)) == {"skops-unreadable"}


def test_a_manifest_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    for text in (None, "{", '{"schema_version": 1}', '{"schema_version": 1, "model": 3}'):
        if text is not None:
            path.write_text(text)
        with pytest.raises(NotMeasured, match=r"evaluation\.json"):
            artifact.read_evaluation(path, tmp_path)


def test_what_is_no_model_is_refused(model: Path) -> None:
    with pytest.raises(NotMeasured, match="no model that runs"):
        artifact.features_of(model / "model.onnx")


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose registry holds one version, of which `candidate` is the alias."""
    root = tmp_path_factory.mktemp("registry")
    files = root / "files"
    files.mkdir()
    (files / "model.onnx").write_bytes(b"graph")
    uri = f"sqlite:///{root}/mlflow.db"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.create_registered_model("pix-fraud")
    version = client.create_model_version("pix-fraud", source=files.as_uri(), tags={"digest": "1"})
    client.set_registered_model_alias("pix-fraud", "candidate", version.version)
    return root


SQLITE = "sqlite:///mlflow.db"


def test_a_version_is_found_by_alias_and_by_number(registered: Path, tmp_path: Path) -> None:
    found = registry.resolve("models:/pix-fraud@candidate", SQLITE, registered)
    assert found is not None
    assert (found.name, found.version, dict(found.tags)) == ("pix-fraud", "1", {"digest": "1"})
    assert registry.resolve("models:/pix-fraud/1", SQLITE, registered) is not None
    folder = registry.download(found, SQLITE, registered, tmp_path)
    assert (folder / "model.onnx").read_bytes() == b"graph"


def test_an_alias_that_is_not_set_is_none_and_an_unknown_model_an_error(registered: Path) -> None:
    assert registry.resolve("models:/pix-fraud@champion", SQLITE, registered) is None
    with pytest.raises(NotMeasured, match="can't be looked up"):
        registry.resolve("models:/other@champion", SQLITE, registered)


@pytest.mark.parametrize("uri", ["models:/pix-fraud", "runs:/1/model", "models:/a/b/c"])
def test_an_address_that_names_no_version_is_refused(registered: Path, uri: str) -> None:
    with pytest.raises(NotMeasured, match="not written like"):
        registry.resolve(uri, SQLITE, registered)


def test_a_registry_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match="is not there"):
        registry.resolve("models:/pix-fraud@candidate", SQLITE, tmp_path)
    assert not (tmp_path / "mlflow.db").exists()


def test_a_server_that_is_down_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NotMeasured, match="can't be looked up"):
        registry.resolve("models:/pix-fraud@candidate", f"http://127.0.0.1:{port}", tmp_path)


def test_a_secret_that_is_not_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match="MLFLOW_SECRET_URL is not set"):
        registry.resolve("models:/pix-fraud@candidate", "${MLFLOW_SECRET_URL}", tmp_path)
