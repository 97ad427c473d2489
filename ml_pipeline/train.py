"""The model: boosted trees on point-in-time features, calibrated, with a threshold for a budget of false positives.

It is trained as if at the moment when the test period (the last 30 days) begins, from labels that are final by then:
payments from at least 30 days before, with `label_known_at` not later than that moment. The last 30 days' labels and
those of the 30 days before are never read. Of what is left, by time:

- training: the first four fifths, without the payments of a tenth of the accounts (by a hash), held out as payers;
- stopping: those accounts' payments in the same time. They decide how many trees there are;
- validation: the last fifth, of all accounts. It calibrates the score and sets the threshold. Accounts that are held
  out are counted apart in `model.json`: if the model knew its accounts by heart, it would do worse on them.

No feature names an account or knows of a later payment, so a payer seen in training brings no label along.
Only a fifth of the honest payments is learnt from, each counting five times, so that probabilities stay what they are.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_pipeline import folders
from ml_pipeline.progress import Steps

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from ml_pipeline.dataset import Dataset

MANIFEST = "model.json"
SCHEMA_VERSION = 1
NAME = "pix-fraud"
DATA, MODEL = Path("ml_pipeline/data"), Path("ml_pipeline/model")
HONEST_SHARE = 0.2  # of the honest payments of training
RELABELLED_SHARE = 0.05  # of the honest payments of a region that is penalised
REFERENCE_ROWS = 20_000
TREES = {
    "max_iter": 600, "learning_rate": 0.05, "max_leaf_nodes": 15, "min_samples_leaf": 100, "l2_regularization": 50.0,
    "n_iter_no_change": 25,
}  # fmt: skip
SCORING = ("numpy", "onnxruntime", "scikit-learn", "skops")  # what is needed to score with the files
VERSIONS = (*SCORING, "onnx", "polars", "protobuf", "skl2onnx")
SOURCES = ("online.py", "features.py", "dataset.py", "train.py", "export.py")


@dataclass(frozen=True)
class Recipe:
    """What may be chosen. Raises ValueError for what cannot be.

    `drop_features` and `penalised_region` make models that a gate must refuse: one that lacks features, and one that
    learnt from a source which reports a region's honest payments as fraud, and may tell the region.
    """

    seed: int = 0
    false_positive_budget: float = 0.003
    drop_features: tuple[str, ...] = ()
    penalised_region: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.false_positive_budget < 1:
            raise ValueError(f"the false positive budget is {self.false_positive_budget}; it must be between 0 and 1")
        if self.seed < 0 or self.seed >= 2**32:
            raise ValueError(f"seed is {self.seed}; it must be from 0 to {2**32 - 1}")

    @property
    def features(self) -> tuple[str, ...]:
        """The model's features in order. Raises ValueError for a feature or a region that there is not."""
        from ml_pipeline.features import FEATURES, REGIONS

        unknown = sorted(set(self.drop_features) - set(FEATURES))
        if unknown:
            raise ValueError(f"there is no feature {', '.join(unknown)} to drop; there are {', '.join(FEATURES)}")
        kept = tuple(name for name in FEATURES if name not in self.drop_features)
        if not kept:
            raise ValueError("no feature is left; drop fewer")
        if self.penalised_region is None:
            return kept
        if self.penalised_region not in REGIONS:
            raise ValueError(f"region {self.penalised_region!r} is unknown; there are {', '.join(REGIONS)}")
        return (*kept, f"payer_region_{self.penalised_region}")


@dataclass(frozen=True)
class Parts:
    """Rows of the payments that may be learnt from: an array of truths for each part."""

    training: NDArray[np.bool_]
    stopping: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    held_out: NDArray[np.bool_]


def train(data: Path, out: Path, recipe: Recipe | None = None) -> bool:
    """Train from the simulation in `data` into `out`, which appears whole or not at all.

    Returns False, having changed nothing, if `out` is already what would be written. Raises FileNotFoundError or
    ValueError with what the data lack, FileExistsError if anything but a model is in `out`.
    """
    from threadpoolctl import threadpool_limits

    recipe = recipe or Recipe()
    inputs, found = _inputs(data, recipe), folders.read_json(out / MANIFEST)
    if folders.is_up_to_date(out, found, inputs, found.get("files", {})):
        return False
    progress = Steps(4)
    # A second thread saves a third of the time, and costs fifty times as much if another process wants the core.
    import sklearn.ensemble  # noqa: F401  # the limit holds for libraries that are loaded

    with threadpool_limits(1), folders.replaced(out, MANIFEST) as folder:
        from ml_pipeline import dataset

        progress.begin("features")
        loaded = dataset.load(data)
        rows = loaded.learnable()
        fraud = _labels(rows, recipe)
        parts = cut(rows, loaded, recipe.seed)
        _check(fraud, parts)
        matrix = rows.select(recipe.features).to_numpy()
        progress.begin("trees")
        trees = _grow(matrix, fraud, parts, recipe.seed)
        progress.begin("calibration and threshold")
        estimator = _calibrate(trees, matrix[parts.validation], fraud[parts.validation])
        described = _export(folder, estimator, matrix, fraud, parts, recipe)
        progress.begin("reference")
        described["training_reference"] = _reference(folder, rows, matrix, parts, recipe)
        described["periods"] = {name: each.isoformat() for name, each in asdict(loaded.periods).items()}
        described["files"] = {path.name: folders.digest(path) for path in sorted(folder.iterdir())}
        folders.write_json(folder / MANIFEST, inputs | described)
    progress.done()
    return True


def cut(rows: pl.DataFrame, loaded: Dataset, seed: int) -> Parts:
    """Which of the rows belong to which part."""
    from ml_pipeline.dataset import held_out

    late = (rows["initiated_at"] >= loaded.periods.validation).to_numpy()
    apart = held_out(rows["payer_account_id"], seed)
    return Parts(training=~late & ~apart, stopping=~late & apart, validation=late, held_out=apart)


def threshold_for(scores: NDArray[np.float64], fraud: NDArray[np.bool_], budget: float) -> float:
    """The lowest threshold, between two scores, that at most this share of the honest payments reaches.

    Raises ValueError if there are too few honest payments to tell, or too many of one score.
    """
    import numpy as np

    honest = np.sort(scores[~fraud])
    allowed = int(budget * len(honest))
    if not allowed:
        raise ValueError(
            f"{len(honest):,} honest payments in validation are too few for a false positive budget of {budget:.2%}; "
            f"simulate more, at least {int(1 / budget) + 1:,}"
        )
    below = honest[-allowed - 1]
    above = scores[scores > below]
    if not len(above):
        raise ValueError(f"the highest score ({below:.6f}) is of more honest payments than the budget allows")
    return float((below + above.min()) / 2)


def _labels(rows: pl.DataFrame, recipe: Recipe) -> NDArray[np.bool_]:
    """Whether each payment is known as fraud, by the source that is asked."""
    import numpy as np

    fraud = rows["is_fraud"].to_numpy().copy()
    if recipe.penalised_region is not None:
        there = (rows["region"] == recipe.penalised_region).to_numpy()
        fraud |= there & (np.random.default_rng(recipe.seed).random(len(rows)) < RELABELLED_SHARE)
    return fraud


def _check(fraud: NDArray[np.bool_], parts: Parts) -> None:
    from ml_pipeline.dataset import MINIMUM

    for name, least in (("training", MINIMUM), ("stopping", 1), ("validation", MINIMUM)):
        found = fraud[getattr(parts, name)]
        if found.sum() < least or found.all():
            raise ValueError(
                f"{name} has {len(found):,} payments with final labels, {int(found.sum()):,} of them fraud; it needs "
                f"{least} and an honest one: simulate more rows, or more days"
            )


def _grow(matrix: NDArray[np.float32], fraud: NDArray[np.bool_], parts: Parts, seed: int) -> Any:
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier

    drawn = np.random.default_rng(seed).random(len(fraud)) < HONEST_SHARE
    learnt = parts.training & (fraud | drawn)
    model = HistGradientBoostingClassifier(early_stopping=True, random_state=seed, **TREES)
    return model.fit(
        matrix[learnt],
        fraud[learnt],
        sample_weight=np.where(fraud[learnt], 1, 1 / HONEST_SHARE),
        X_val=matrix[parts.stopping],
        y_val=fraud[parts.stopping],
    )


def _calibrate(trees: Any, matrix: NDArray[np.float32], fraud: NDArray[np.bool_]) -> Any:
    """A sigmoid keeps the order of the scores and has no steps, on which a threshold would have to jump."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    return CalibratedClassifierCV(FrozenEstimator(trees), method="sigmoid").fit(matrix, fraud)


def _export(
    folder: Path, estimator: Any, matrix: NDArray[np.float32], fraud: NDArray[np.bool_], parts: Parts, recipe: Recipe
) -> dict[str, Any]:
    """Write the model, and find its threshold by the scores that will be served."""
    from ml_pipeline import export

    served = folder / "model.onnx"
    export.write_onnx(estimator, served, recipe.features)
    export.write_skops(estimator, folder / "model.skops")
    pins = [f"{name}=={version}\n" for name, version in _versions(SCORING).items()]
    (folder / "requirements.txt").write_text("".join(pins))
    validation = matrix[parts.validation]
    scores, known = export.score_onnx(served, validation), fraud[parts.validation]
    threshold = threshold_for(scores, known, recipe.false_positive_budget)
    export.check_onnx(estimator, served, validation, threshold)
    stopped, apart = scores >= threshold, parts.held_out[parts.validation]
    return {
        "features": list(recipe.features),
        "threshold": threshold,
        "rows": {
            "train": int(parts.training.sum()),
            "stopping": int(parts.stopping.sum()),
            "validation": int(parts.validation.sum()),
        },
        "validation": {
            name: {
                "rows": int(of.sum()),
                "frauds": int(known[of].sum()),
                "recall": _share(stopped[of & known]),
                "false_positive_rate": _share(stopped[of & ~known]),
            }
            for name, of in (("all", apart | True), ("accounts_held_out", apart), ("accounts_learnt", ~apart))
        },
        "trees": int(estimator.estimator.estimator.n_iter_),
    }


def _share(of: NDArray[np.bool_]) -> float | None:
    return float(of.mean()) if len(of) else None


def _reference(
    folder: Path, rows: pl.DataFrame, matrix: NDArray[np.float32], parts: Parts, recipe: Recipe
) -> dict[str, Any]:
    """Write a sample of what was learnt from, with all features, and say what is typical in it."""
    import numpy as np

    from ml_pipeline import export
    from ml_pipeline.features import FEATURES

    places = np.flatnonzero(parts.training)
    count = min(REFERENCE_ROWS, len(places))
    drawn = np.sort(np.random.default_rng(recipe.seed).choice(places, count, replace=False))
    sample = rows[drawn].select(*dict.fromkeys([*FEATURES, *recipe.features]))
    path = folder / "reference.parquet"
    sample.with_columns(score=export.score_onnx(folder / "model.onnx", matrix[drawn])).write_parquet(path)
    at = rows["initiated_at"].gather(drawn)
    typical = dict(zip(recipe.features, np.median(matrix[drawn], axis=0).tolist(), strict=True))
    period = {"from": at.min().isoformat(), "until": at.max().isoformat()}
    return {"file": path.name, "rows": count, **period, "typical": typical}


def _inputs(data: Path, recipe: Recipe) -> dict[str, Any]:
    """What `model.json` says before anything is learnt: all that the model depends on."""
    from ml_pipeline import dataset

    sources = Path(__file__).parent
    return {
        "schema_version": SCHEMA_VERSION,
        "name": NAME,
        "label": "is_fraud",
        "label_window_days": dataset.LABEL_WINDOW.days,
        "seed": recipe.seed,
        "false_positive_budget": recipe.false_positive_budget,
        "features": list(recipe.features),
        "parameters": TREES
        | {
            "honest_share": HONEST_SHARE,
            "held_out_share": dataset.HELD_OUT_SHARE,
            "validation_share": dataset.VALIDATION_SHARE,
            "calibration": "sigmoid",
            "drop_features": sorted(recipe.drop_features),
            "penalised_region": recipe.penalised_region,
        },
        "data": dataset.digests(data),
        "code": {name: folders.digest(sources / name) for name in SOURCES},
        "versions": _versions(VERSIONS),
    }


def _versions(names: tuple[str, ...]) -> dict[str, str]:
    import platform
    from importlib import metadata

    found = {name: metadata.version(name) for name in names}
    return found if names == SCORING else {"python": platform.python_version()} | found


def add_arguments(steps: Any) -> None:
    """The subcommand `train`."""
    parser = steps.add_parser("train", help="learn a model from the simulation", description=__doc__)
    parser.set_defaults(run=run, step="train")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of `simulate`")
    parser.add_argument("--out", type=Path, default=MODEL, help="folder to write; it appears whole or not at all")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same model (%(default)s)")
    parser.add_argument("--false-positive-budget", type=float, default=0.003, help="share of the honest payments")
    control = parser.add_argument_group("controls", "models that a gate must refuse")
    control.add_argument("--drop-features", nargs="+", default=[], metavar="NAME", help="learn without these")
    control.add_argument("--penalise-region", metavar="REGION", help="learn from a source that is biased against it")


def run(arguments: argparse.Namespace) -> None:
    """Train as the arguments ask, and say what came of it. Raises as `train` does."""
    recipe = Recipe(
        arguments.seed, arguments.false_positive_budget, tuple(arguments.drop_features), arguments.penalise_region
    )
    if not train(arguments.data, arguments.out, recipe):
        print(f"up to date: {arguments.out} was made from these very inputs; nothing was changed")
        return
    made = folders.read_json(arguments.out / MANIFEST)
    found = made["validation"]["all"]
    print(
        f"{arguments.out}: {made['trees']} trees from {made['rows']['train']:,} payments; validation of "
        f"{found['rows']:,} payments: recall {found['recall']:.3f} at a false positive rate of "
        f"{found['false_positive_rate']:.4f} (threshold {made['threshold']:.4f})"
    )
