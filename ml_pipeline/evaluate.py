"""The model's scores of the test period: the last 30 days, none of which training has seen.

The scores are those of the ONNX file, as they are served. The test set holds all features, also those that the model
does not take, so that one with other features can be compared on the same rows. Labels that are not final yet are kept
with the time when they become known; whoever measures leaves them out.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_pipeline import folders
from ml_pipeline.progress import Steps
from ml_pipeline.train import DATA, MODEL

if TYPE_CHECKING:
    import polars as pl

MANIFEST = "evaluation.json"
SCHEMA_VERSION = 1
EVALUATION = Path("ml_pipeline/evaluation")
MODEL_FILES = ("model.onnx", "model.skops", "model.json", "requirements.txt")
TABLES = ("test_set", "scores")
DESCRIBED = (
    "end_to_end_id", "initiated_at", "payer_account_id", "region", "age_band", "amount_cents", "is_fraud", "typology",
)  # fmt: skip
SOURCES = ("online.py", "features.py", "dataset.py", "evaluate.py", "export.py")


def evaluate(data: Path, model: Path, out: Path) -> bool:
    """Score the test period of the simulation in `data` into `out`, which appears whole or not at all.

    Returns False, having changed nothing, if `out` is already what would be written. Raises FileNotFoundError or
    ValueError with what model or data lack, FileExistsError if anything but an evaluation is in `out`.
    """
    described, found = _inputs(data, model), folders.read_json(out / MANIFEST)
    if folders.is_up_to_date(out, found, described, {f"{name}.parquet": found.get(name) for name in TABLES}):
        return False
    from ml_pipeline import dataset
    from ml_pipeline.features import FEATURES

    progress = Steps(3)
    with folders.replaced(out, MANIFEST) as folder:
        progress.begin("features")
        features = described["model"]["features"]
        table = dataset.load(data).test()
        missing = [name for name in features if name not in table.columns]
        if missing:
            raise ValueError(f"{model} has features that there are no more: {', '.join(missing)}; train again")
        test_set = table.select(*DESCRIBED, "label_known_at", *dict.fromkeys([*FEATURES, *features]))
        progress.begin("scores")
        scores = _scores(test_set, model, described["model"])
        progress.begin("files")
        for name, each in zip(TABLES, (test_set, scores), strict=True):
            each.write_parquet(folder / f"{name}.parquet", compression="zstd", compression_level=3)
            described[name] = folders.digest(folder / f"{name}.parquet")
        described |= {"rows": len(test_set), "frauds": int(test_set["is_fraud"].sum())}
        folders.write_json(folder / MANIFEST, described)
    progress.done()
    return True


def _scores(test_set: pl.DataFrame, model: Path, described: dict[str, Any]) -> pl.DataFrame:
    """The columns of gates/contracts/scores.odcs.yaml, in the order of the test set.

    `review` is what the service decides when it can't score; a score alone approves or blocks.
    """
    import polars as pl

    from ml_pipeline import export

    scorer = export.Scorer(model / "model.onnx")
    if scorer.features != tuple(described["features"]):
        raise ValueError(f"{scorer.path} has other features than {model / 'model.json'}; train again")
    score = pl.Series("score", scorer(test_set.select(scorer.features).to_numpy()))
    return test_set.select(DESCRIBED).with_columns(
        score,
        decision=pl.when(score >= described["threshold"]).then(pl.lit("block")).otherwise(pl.lit("approve")),
        model_version=pl.lit(f"{described['name']}-{described['sha256']['model.onnx'][:12]}"),
    )


def _inputs(data: Path, model: Path) -> dict[str, Any]:
    """What `evaluation.json` says before anything is scored: all that the scores depend on."""
    missing = [name for name in MODEL_FILES if not (model / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{model} has no {', '.join(missing)}; run `python -m ml_pipeline train` first")
    made = folders.read_json(model / "model.json")
    lacking = [name for name in ("name", "features", "threshold") if name not in made]
    if lacking:
        raise ValueError(f"{model / 'model.json'} lacks {', '.join(lacking)}; train again")
    from ml_pipeline import dataset

    sha256 = {name: folders.digest(model / name) for name in MODEL_FILES}
    return {
        "schema_version": SCHEMA_VERSION,
        "model": {key: made[key] for key in ("name", "features", "threshold")} | {"sha256": sha256},
        "label": made.get("label"),
        "label_delay": f"{made.get('label_window_days')}d",
        "data": dataset.digests(data),
        "code": {name: folders.digest(Path(__file__).parent / name) for name in SOURCES},
    }


def add_arguments(steps: Any) -> None:
    """The subcommand `evaluate`."""
    parser = steps.add_parser("evaluate", help="score the test period", description=__doc__)
    parser.set_defaults(run=run, step="evaluate")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of `simulate`")
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of `train`")
    parser.add_argument("--out", type=Path, default=EVALUATION, help="folder to write; it appears whole or not at all")


def run(arguments: argparse.Namespace) -> None:
    """Evaluate what the arguments name, and say what came of it. Raises as `evaluate` does."""
    if not evaluate(arguments.data, arguments.model, arguments.out):
        print(f"up to date: {arguments.out} was made from these very inputs; nothing was changed")
        return
    import polars as pl

    blocked, fraud = pl.col("decision") == "block", pl.col("is_fraud")
    rates = pl.read_parquet(arguments.out / "scores.parquet").select(
        rows=pl.len(), frauds=fraud.sum(), recall=blocked.filter(fraud).mean(), wrong=blocked.filter(~fraud).mean()
    )
    rows, frauds, recall, wrong = rates.row(0)
    said = f"recall {recall or 0:.3f} at a false positive rate of {wrong or 0:.4f}"
    print(f"{arguments.out}: {rows:,} payments, {frauds:,} of them fraud; {said}")
