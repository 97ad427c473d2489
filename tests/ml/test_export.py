"""What serves is what was trained, and no file can make the one who opens it run code."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from ml_pipeline import export
from tests.ml.conftest import Trained, trained


@pytest.fixture
def onnx(model: Trained, tmp_path: Path) -> Path:
    export.write_onnx(model.estimator, tmp_path / "model.onnx", model.features)
    return tmp_path / "model.onnx"


@pytest.fixture
def skops(model: Trained, tmp_path: Path) -> Path:
    export.write_skops(model.estimator, tmp_path / "model.skops")
    return tmp_path / "model.skops"


# ONNX


def test_onnx_scores_and_decides_as_the_estimator(model: Trained, onnx: Path) -> None:
    assert len(model.matrix) == 20_000
    assert export.check_onnx(model.estimator, onnx, model.matrix, model.threshold) <= 1e-5
    decided = export.score_onnx(onnx, model.matrix) >= model.threshold
    assert 100 < decided.sum() < 10_000  # both decisions occur


def test_onnx_equals_a_pipeline_and_a_bare_model(model: Trained, tmp_path: Path) -> None:
    boosted = model.estimator.estimator.estimator
    for estimator in (boosted, make_pipeline(model.estimator)):
        export.write_onnx(estimator, tmp_path / "model.onnx", model.features)
        assert export.check_onnx(estimator, tmp_path / "model.onnx", model.matrix, model.threshold) <= 1e-5


def test_writing_leaves_the_estimator_as_it_was(model: Trained, onnx: Path) -> None:
    assert type(model.estimator.calibrated_classifiers_[0].estimator).__name__ == "FrozenEstimator"


def test_another_model_is_not_the_estimator(weaker: Trained, onnx: Path) -> None:
    with pytest.raises(ValueError, match=r"is not the estimator: row \d+ scores .* of 20000 rows differ"):
        export.check_onnx(weaker.estimator, onnx, weaker.matrix, weaker.threshold)


def test_isotonic_calibration_which_onnx_can_not_express_is_noticed(tmp_path: Path) -> None:
    isotonic = trained(60, "isotonic")
    export.write_onnx(isotonic.estimator, tmp_path / "model.onnx", isotonic.features)
    with pytest.raises(ValueError, match="calibrate by a sigmoid"):
        export.check_onnx(isotonic.estimator, tmp_path / "model.onnx", isotonic.matrix, isotonic.threshold)


def test_a_threshold_on_a_score_is_noticed(model: Trained, onnx: Path) -> None:
    served, learnt = export.score_onnx(onnx, model.matrix), model.estimator.predict_proba(model.matrix)[:, 1]
    row = int(np.flatnonzero(served < learnt)[0])
    with pytest.raises(ValueError, match="put the threshold between two scores"):
        export.check_onnx(model.estimator, onnx, model.matrix[row : row + 1], float(learnt[row]))


def test_no_rows_prove_nothing(model: Trained, onnx: Path) -> None:
    with pytest.raises(ValueError, match="on no rows"):
        export.check_onnx(model.estimator, onnx, model.matrix[:0], model.threshold)


def test_a_row_scores_alike_alone_and_among_others(model: Trained, onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score = export.Scorer(onnx)
    together = score(model.matrix)
    assert [score(model.matrix[row : row + 1])[0] for row in range(300)] == together[:300].tolist()
    monkeypatch.setattr(export, "BATCH", 777)
    assert np.array_equal(score(model.matrix), together)
    assert together.dtype == np.float64


def test_the_file_names_its_features_and_gives_only_probabilities(model: Trained, onnx: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx.read_bytes())
    assert [(each.name, each.type, each.shape[1]) for each in session.get_inputs()] == [
        ("features", "tensor(float)", 12)
    ]
    assert [each.name for each in session.get_outputs()] == ["probabilities"]
    assert export.Scorer(onnx).features == model.features


def test_the_same_estimator_gives_the_same_bytes(model: Trained, onnx: Path, skops: Path, tmp_path: Path) -> None:
    export.write_onnx(model.estimator, tmp_path / "again.onnx", model.features)
    export.write_skops(export.read_skops(skops), tmp_path / "again.skops")
    assert (tmp_path / "again.onnx").read_bytes() == onnx.read_bytes()
    assert (tmp_path / "again.skops").read_bytes() == skops.read_bytes()


@pytest.mark.parametrize("change", [lambda m: m.astype(np.float64), lambda m: m[:, 1:], lambda m: m[0]])
def test_a_matrix_of_another_type_or_shape_is_refused(model: Trained, onnx: Path, change: Any) -> None:
    with pytest.raises(ValueError, match=r"scores float32 \[n, 12\], not float"):
        export.score_onnx(onnx, change(model.matrix))


@pytest.mark.parametrize("content", [b"", b"no model", None])
def test_what_is_no_onnx_model_is_refused(onnx: Path, content: bytes | None) -> None:
    onnx.write_bytes(onnx.read_bytes()[:-5000] if content is None else content)
    with pytest.raises(ValueError, match=r"is no ONNX model that can be run|does not name its features"):
        export.Scorer(onnx)


def test_a_model_that_does_not_name_its_features_is_refused(model: Trained, onnx: Path) -> None:
    import onnx as library

    nameless = library.load(onnx)
    del nameless.metadata_props[:]
    library.save(nameless, onnx)
    with pytest.raises(ValueError, match="does not name its features"):
        export.score_onnx(onnx, model.matrix)


@pytest.mark.parametrize(
    ("features", "said"),
    [(("a", "b"), "12 features, and 2 names"), (("a",) * 12, r"occur twice: a")],
)
def test_names_that_do_not_fit_are_refused(
    model: Trained, tmp_path: Path, features: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        export.write_onnx(model.estimator, tmp_path / "model.onnx", features)
    assert not list(tmp_path.iterdir())


def test_what_onnx_can_not_express_is_refused(model: Trained, tmp_path: Path) -> None:
    estimator = make_pipeline(FunctionTransformer(np.nan_to_num), LogisticRegression()).fit(model.matrix, model.fraud)
    with pytest.raises(ValueError, match="can't be written as ONNX"):
        export.write_onnx(estimator, tmp_path / "model.onnx", model.features)
    with pytest.raises(ValueError, match="no fitted classifier"):
        export.write_onnx(LogisticRegression(), tmp_path / "model.onnx", model.features)


# skops


def test_skops_keeps_the_estimator(model: Trained, skops: Path) -> None:
    kept = export.read_skops(skops).predict_proba(model.matrix)
    assert np.array_equal(kept, model.estimator.predict_proba(model.matrix))


def forged(path: Path, **changes: str) -> None:
    """Change texts in the schema of a file of skops."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = files["schema.json"].decode()
    for old, new in changes.items():
        assert old in schema
        schema = schema.replace(old, new)
    files["schema.json"] = schema.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def test_an_estimator_that_runs_a_command_is_refused_by_name(skops: Path) -> None:
    from skops.io import dump

    dump(FunctionTransformer(os.system), skops)
    with pytest.raises(ValueError, match=r"is refused, for it holds .*posix\.system"):
        export.read_skops(skops)


def test_a_type_that_skops_trusts_and_we_do_not_is_refused_by_name(model: Trained, skops: Path) -> None:
    from skops.io import dump, get_untrusted_types

    estimator = LogisticRegression().fit(np.nan_to_num(model.matrix[:2000]), model.fraud[:2000])
    dump(estimator, skops)
    assert get_untrusted_types(file=skops) == []
    with pytest.raises(ValueError, match=r"is refused, for it holds sklearn\.linear_model\._logistic\.Logistic"):
        export.read_skops(skops)
    with pytest.raises(ValueError, match="add it to SKOPS_TYPES"):
        export.write_skops(estimator, skops)


@pytest.mark.parametrize("kind", ["FunctionNode", "MethodNode", "ConstructorFromReduceNode", "OperatorFuncNode"])
def test_a_trusted_type_in_a_node_of_another_kind_is_refused(skops: Path, kind: str) -> None:
    forged(skops, ObjectNode=kind)
    with pytest.raises(ValueError, match=r"is refused, for it holds sklearn\."):
        export.read_skops(skops)


def test_a_generator_that_is_a_command_is_refused(skops: Path) -> None:
    """The name of its kind stands in the file as plain text, which no list of types sees."""
    forged(skops, PCG64="system")
    with pytest.raises(ValueError, match=r"model\.skops (is refused|can't be opened)"):
        export.read_skops(skops)


def test_an_older_protocol_is_refused(skops: Path) -> None:
    forged(skops, **{'"protocol": 2': '"protocol": 0'})
    with pytest.raises(ValueError, match="protocol 0, not 2"):
        export.read_skops(skops)


class Poison:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return Path.touch, (self.canary,)


def test_a_pickle_is_refused_and_does_nothing(skops: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(pickle.dumps(Poison(canary)))
    assert canary.exists()  # it would
    canary.unlink()
    skops.write_bytes(pickle.dumps(Poison(canary)))
    with pytest.raises(ValueError, match="is no file of skops"):
        export.read_skops(skops)
    assert not canary.exists()


def test_a_pickle_inside_of_the_file_is_refused_and_does_nothing(skops: Path, tmp_path: Path) -> None:
    canary, data = tmp_path / "canary", io.BytesIO()
    np.save(data, np.array([Poison(canary)], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(skops) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(skops, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content if name == "schema.json" else data.getvalue())
    with pytest.raises(ValueError, match="can't be opened"):
        export.read_skops(skops)
    assert not canary.exists()


@pytest.mark.parametrize("schema", [b"", b"[]", b"{}", json.dumps({"protocol": 2, "__class__": "x"}).encode()])
def test_a_broken_file_is_refused(skops: Path, schema: bytes) -> None:
    with zipfile.ZipFile(skops, "w") as archive:
        archive.writestr("schema.json", schema)
    with pytest.raises(ValueError, match=r"is no file of skops|can't be opened"):
        export.read_skops(skops)
