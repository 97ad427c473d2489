"""A model and its evaluation, read from their folders and believed only as far as their digests and scores agree.

Otherwise a model could be registered with the good figures of another one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_pipeline import evaluate, export, folders
from ml_pipeline.evaluate import DESCRIBED, MODEL_FILES

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

REFERENCE = "reference.parquet"
EVALUATION_FILES = (evaluate.MANIFEST, *(f"{name}.parquet" for name in evaluate.TABLES))
COMPARED_ROWS = 20_000  # by the estimator too
SAME_SCORE = 1e-6  # of the same model on other processors


@dataclass(frozen=True)
class Model:
    """A folder with a model: what `model.json` says, and the files."""

    folder: Path
    name: str
    features: tuple[str, ...]
    threshold: float
    described: dict[str, Any]

    def score(self, test_set: pl.DataFrame) -> NDArray[np.float64]:
        """The probabilities of fraud. Raises ValueError if the rows lack a feature, or have it as another type."""
        scorer = export.Scorer(self.folder / "model.onnx")
        if scorer.features != self.features:
            raise ValueError(f"{scorer.path} has other features than {self.folder / 'model.json'}; train again")
        return scorer(matrix(test_set, self.features))


@dataclass(frozen=True)
class Evaluation:
    """A folder with a test set and scores: what `evaluation.json` says, and the tables."""

    folder: Path
    digest: str
    test_set: pl.DataFrame
    scores: pl.DataFrame
    described: dict[str, Any]


def matrix(test_set: pl.DataFrame, features: tuple[str, ...]) -> NDArray[np.float32]:
    """The features as float32 [n, k]. Raises ValueError if one is missing, or of another type."""
    import polars as pl

    wrong = [name for name in features if test_set.schema.get(name) != pl.Float32]
    if wrong:
        raise ValueError(f"the test set has no float32 column {', '.join(wrong)}; run `python -m ml_pipeline evaluate`")
    return test_set.select(features).to_numpy()


def read_model(folder: Path) -> Model:
    """Raises FileNotFoundError, or ValueError with what is wrong in `model.json`."""
    _all_there(folder, MODEL_FILES, "train")
    described = _described(folder / "model.json")
    try:
        features, threshold = tuple(described["features"]), float(described["threshold"])
        name = str(described["name"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / 'model.json'} lacks name, features or threshold ({error}); train again") from None
    if not 0 < threshold < 1:
        raise ValueError(f"{folder / 'model.json'} has the threshold {threshold}; it must be between 0 and 1")
    return Model(folder, name, features, threshold, described)


def read_evaluation(folder: Path) -> Evaluation:
    """Raises FileNotFoundError, or ValueError if a table is not the one that was evaluated."""
    import polars as pl

    _all_there(folder, EVALUATION_FILES, "evaluate")
    described = _described(folder / evaluate.MANIFEST)
    for key in evaluate.TABLES:
        if described.get(key) != folders.digest(folder / f"{key}.parquet"):
            raise ValueError(f"{folder / key}.parquet is not the one in {folder / evaluate.MANIFEST}; evaluate again")
    test_set, scores = (pl.read_parquet(folder / f"{key}.parquet") for key in evaluate.TABLES)
    missing = [name for name in (*DESCRIBED, "score") if name not in scores.columns]
    if missing:
        raise ValueError(f"{folder / 'scores.parquet'} lacks {', '.join(missing)}; evaluate again")
    if not scores.select(DESCRIBED).equals(test_set.select(each for each in DESCRIBED if each in test_set.columns)):
        raise ValueError(f"{folder / 'scores.parquet'} has other rows than test_set.parquet; evaluate again")
    return Evaluation(folder, folders.digest(folder / evaluate.MANIFEST), test_set, scores, described)


def check_digests(model: Model, evaluation: Evaluation) -> None:
    """Raises ValueError unless the evaluation says that it is of these very files."""
    said = evaluation.described.get("model", {})
    for name in MODEL_FILES:
        if said.get("sha256", {}).get(name) != folders.digest(model.folder / name):
            raise ValueError(
                f"{evaluation.folder} is an evaluation of another {name}; run `python -m ml_pipeline evaluate`"
            )
    if tuple(said.get("features", ())) != model.features or said.get("threshold") != model.threshold:
        raise ValueError(f"{evaluation.folder} was made with other features or another threshold; evaluate again")


def check_scores(model: Model, evaluation: Evaluation) -> None:
    """Raises ValueError unless the model gives these scores, its files are one model, and opening them is safe."""
    import numpy as np

    scored = model.score(evaluation.test_set)
    apart = np.abs(scored - evaluation.scores["score"].to_numpy())
    if not (apart <= SAME_SCORE).all():
        count = int((~(apart <= SAME_SCORE)).sum())
        raise ValueError(
            f"{evaluation.folder / 'scores.parquet'} holds {count} scores of {len(scored)} that this model.onnx does "
            "not give; evaluate again"
        )
    estimator = export.read_skops(model.folder / "model.skops")
    some = matrix(evaluation.test_set[:COMPARED_ROWS], model.features)
    export.check_onnx(estimator, model.folder / "model.onnx", some, model.threshold)


def _all_there(folder: Path, names: tuple[str, ...], step: str) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder} has no {', '.join(missing)}; run `python -m ml_pipeline {step}` first")


def _described(path: Path) -> dict[str, Any]:
    content = folders.read_json(path)
    if content.get("schema_version") != 1:
        raise ValueError(f"{path} has no schema_version 1: it is damaged, or of another version of the pipeline")
    return content
