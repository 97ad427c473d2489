"""Training and evaluation: the same from the same inputs, from labels that are final alone, within the budget."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_pipeline import dataset, evaluate, export, features, simulate, train
from ml_pipeline.__main__ import main
from ml_pipeline.simulation.settings import Settings
from ml_pipeline.train import Recipe

ROWS, BUDGET = 80_000, 0.01
RECIPE = Recipe(false_positive_budget=BUDGET)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def described(folder: Path, name: str = "model.json") -> dict[str, Any]:
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train") / "data"
    simulate.write(Settings(rows=ROWS, seed=11, fraud_rate=0.012), folder, jobs=2)
    return folder


@pytest.fixture(scope="module")
def model(data: Path) -> Path:
    folder = data.parent / "model"
    assert train.train(data, folder, RECIPE)
    return folder


@pytest.fixture(scope="module")
def evaluation(data: Path, model: Path) -> Path:
    folder = data.parent / "evaluation"
    assert evaluate.evaluate(data, model, folder)
    return folder


def copied(data: Path, to: Path) -> Path:
    shutil.copytree(data, to)
    return to


def relabelled(data: Path, to: Path, change: pl.Expr) -> Path:
    """The data with other labels."""
    folder = copied(data, to)
    for path in sorted((folder / "labels").rglob("*.parquet")):
        changed = pl.read_parquet(path).with_columns(change)
        changed.write_parquet(path)
    return folder


def rates(evaluation: Path, region: str | None = None) -> tuple[float, float]:
    """Recall and false positive rate on the test period, perhaps of one region."""
    scores = pl.read_parquet(evaluation / "scores.parquet")
    if region:
        scores = scores.filter(pl.col("region") == region)
    blocked, fraud = (scores["decision"] == "block").to_numpy(), scores["is_fraud"].to_numpy()
    return float(blocked[fraud].mean()), float(blocked[~fraud].mean())


# The model


def test_a_rerun_does_nothing_until_something_changes_and_the_same_seed_gives_the_same_bytes(
    data: Path, model: Path, tmp_path: Path
) -> None:
    folder = copied(model, tmp_path / "model")
    assert not train.train(data, folder, RECIPE)
    (folder / "model.onnx").write_bytes(b"forged")
    assert train.train(data, folder, RECIPE)
    assert digests(folder) == digests(model)
    assert train.train(data, folder, Recipe(seed=1, false_positive_budget=BUDGET))
    for name in ("model.onnx", "model.skops", "model.json", "reference.parquet"):
        assert digests(folder)[name] != digests(model)[name]


def test_the_model_says_what_it_was_made_from(data: Path, model: Path) -> None:
    made = described(model)
    assert made["name"] == "pix-fraud"
    assert made["features"] == list(features.FEATURES)
    assert not [name for name in made["features"] if "region_" in name or "age" in name]
    assert made["data"] == dataset.digests(data)
    assert made["files"] == {name: sha for name, sha in digests(model).items() if name != "model.json"}
    assert made["label_window_days"] == 30
    pins = (model / "requirements.txt").read_text().split()
    assert {pin.split("==")[0] for pin in pins} == {"numpy", "onnxruntime", "scikit-learn", "skops"}
    assert all("==" in pin for pin in pins)


def test_the_reference_is_a_sample_of_training_with_its_scores(data: Path, model: Path) -> None:
    reference = pl.read_parquet(model / "reference.parquet")
    names = described(model)["features"]
    assert reference.columns == [*names, "score"]
    assert 0 < len(reference) <= 20_000
    scores = export.score_onnx(model / "model.onnx", reference.select(names).to_numpy())
    assert np.array_equal(scores, reference["score"].to_numpy())
    typical = described(model)["training_reference"]["typical"]
    assert typical == reference.select(pl.col(names).median()).row(0, named=True)
    loaded = dataset.load(data)
    rows = loaded.learnable()
    learnt = rows.filter(pl.Series(train.cut(rows, loaded, 0).training)).select(names)
    assert reference.select(names).join(learnt, on=names, how="anti").is_empty()


def test_the_estimator_that_is_kept_scores_as_the_model_that_is_served(model: Path, evaluation: Path) -> None:
    made, test_set = described(model), pl.read_parquet(evaluation / "test_set.parquet")
    matrix = test_set.select(made["features"]).to_numpy()
    estimator = export.read_skops(model / "model.skops")
    assert export.check_onnx(estimator, model / "model.onnx", matrix, made["threshold"]) < 1e-5


# The parts


def test_the_parts_share_no_payment_and_held_out_accounts_are_not_learnt_from(data: Path) -> None:
    loaded = dataset.load(data)
    rows, limits = loaded.learnable(), loaded.periods
    parts = train.cut(rows, loaded, seed=0)
    assert (parts.training.astype(int) + parts.stopping + parts.validation == 1).all()
    payers = {
        name: set(rows.filter(pl.Series(getattr(parts, name)))["payer_account_id"]) for name in ("training", "stopping")
    }
    assert payers["training"].isdisjoint(payers["stopping"])
    assert 0.05 < len(payers["stopping"]) / len(payers["training"]) < 0.2
    at, late = rows["initiated_at"], pl.Series(parts.validation)
    assert at.filter(~late).max() < limits.validation <= at.filter(late).min()
    assert at.max() < limits.final_until == limits.test - dataset.LABEL_WINDOW
    assert loaded.test()["initiated_at"].min() >= limits.test
    assert rows["label_known_at"].max() <= limits.test


def test_accounts_that_are_held_out_are_the_same_ones_whatever_else_is_there() -> None:
    accounts = pl.Series([f"{number:010}" for number in range(5_000)])
    apart = dataset.held_out(accounts, 3)
    assert 0.08 < apart.mean() < 0.12
    some = accounts.sample(700, seed=1)
    assert (dataset.held_out(some, 3) == apart[some.cast(pl.Int64).to_numpy()]).all()
    assert (dataset.held_out(accounts, 4) != apart).any()


NOT_FINAL = pl.col("label_known_at") > pl.lit("2026-07-30T03:00:00Z").str.to_datetime(time_zone="UTC")


def test_labels_that_are_not_final_change_no_model(data: Path, model: Path, tmp_path: Path) -> None:
    assert described(model)["periods"]["test"] == "2026-07-30T03:00:00+00:00"
    flipped = pl.when(NOT_FINAL).then(~pl.col("is_fraud")).otherwise("is_fraud").alias("is_fraud")
    other = relabelled(data, tmp_path / "data", flipped)
    train.train(other, tmp_path / "model", RECIPE)
    assert digests(tmp_path / "model")["model.onnx"] == digests(model)["model.onnx"]
    assert described(tmp_path / "model")["threshold"] == described(model)["threshold"]
    assert described(tmp_path / "model")["data"] != described(model)["data"]


def test_a_final_label_changes_the_model(data: Path, model: Path, tmp_path: Path) -> None:
    flipped = pl.when(~NOT_FINAL & (pl.int_range(pl.len()) % 50 == 0)).then(~pl.col("is_fraud")).otherwise("is_fraud")
    train.train(relabelled(data, tmp_path / "data", flipped.alias("is_fraud")), tmp_path / "model", RECIPE)
    assert digests(tmp_path / "model")["model.onnx"] != digests(model)["model.onnx"]


def test_a_payment_whose_label_is_known_too_late_is_not_learnt_from(data: Path, tmp_path: Path) -> None:
    late = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col("label_known_at") + pl.duration(days=90))
    changed = relabelled(data, tmp_path / "data", late.otherwise("label_known_at").alias("label_known_at"))
    rows, fewer = dataset.load(data).learnable(), dataset.load(changed).learnable()
    assert fewer["end_to_end_id"].is_in(rows["end_to_end_id"].implode()).all()
    assert len(fewer) == pytest.approx(len(rows) / 2, rel=0.01)


# The threshold


def test_the_threshold_keeps_the_budget_on_validation_and_uses_it(model: Path) -> None:
    found = described(model)["validation"]["all"]
    allowed = int(BUDGET * (found["rows"] - found["frauds"]))
    assert found["false_positive_rate"] * (found["rows"] - found["frauds"]) == pytest.approx(allowed)
    assert found["recall"] > 0.6


@pytest.mark.parametrize("ties", [1, 10, 300])
def test_a_threshold_lies_between_two_scores_and_never_breaks_the_budget(ties: int) -> None:
    rng = np.random.default_rng(0)
    scores, fraud = rng.integers(1, 3_000, 3_000) // ties * ties / 3_001, rng.random(3_000) < 0.1
    scores[np.flatnonzero(fraud)[0]] = 0.9999
    for budget in (0.001, 0.01, 0.3):
        threshold = train.threshold_for(scores, fraud, budget)
        assert threshold not in scores
        assert (scores[~fraud] >= threshold).mean() <= budget
        lower = scores[scores < threshold].max()
        assert (scores[~fraud] >= lower).mean() > budget or not (scores[~fraud] == lower).any()


def test_a_threshold_that_cannot_be_told_is_refused() -> None:
    with pytest.raises(ValueError, match="too few for a false positive budget"):
        train.threshold_for(np.linspace(0, 1, 100), np.arange(100) > 90, 0.01)
    with pytest.raises(ValueError, match="highest score"):
        train.threshold_for(np.full(1_000, 0.5), np.arange(1_000) > 900, 0.01)


# Evaluation


def test_the_evaluation_is_of_the_last_30_days_and_of_these_files(model: Path, evaluation: Path) -> None:
    said, made = described(evaluation, "evaluation.json"), described(model)
    test_set, scores = (pl.read_parquet(evaluation / f"{name}.parquet") for name in ("test_set", "scores"))
    assert said["model"]["sha256"] == {name: digests(model)[name] for name in evaluate.MODEL_FILES}
    assert (said["model"]["features"], said["model"]["threshold"]) == (made["features"], made["threshold"])
    assert (said["label"], said["label_delay"]) == ("is_fraud", "30d")
    assert (said["rows"], said["frauds"]) == (len(test_set), test_set["is_fraud"].sum())
    for name in ("test_set", "scores"):
        assert said[name] == digests(evaluation)[f"{name}.parquet"]
    assert test_set.select(made["features"]).dtypes == [pl.Float32] * len(made["features"])
    assert (test_set["initiated_at"].max() - test_set["initiated_at"].min()).days == 29
    assert scores.select(evaluate.DESCRIBED).equals(test_set.select(evaluate.DESCRIBED))
    assert np.array_equal(
        scores["score"], export.score_onnx(model / "model.onnx", test_set.select(made["features"]).to_numpy())
    )
    assert ((scores["score"] >= made["threshold"]) == (scores["decision"] == "block")).all()
    assert scores["model_version"].unique().to_list() == [f"pix-fraud-{digests(model)['model.onnx'][:12]}"]


def test_the_model_finds_fraud_it_has_not_seen_and_means_its_probabilities(evaluation: Path) -> None:
    recall, false_positives = rates(evaluation)
    assert recall > 0.6
    assert false_positives < 2 * BUDGET
    scores = pl.read_parquet(evaluation / "scores.parquet")
    assert 0.7 < scores["score"].sum() / scores["is_fraud"].sum() < 1.3


def test_evaluating_again_does_nothing_until_model_or_files_change(
    data: Path, model: Path, evaluation: Path, tmp_path: Path
) -> None:
    folder = copied(evaluation, tmp_path / "evaluation")
    assert not evaluate.evaluate(data, model, folder)
    (folder / "scores.parquet").write_bytes(b"forged")
    assert evaluate.evaluate(data, model, folder)
    assert digests(folder) == digests(evaluation)
    other = copied(model, tmp_path / "model")
    (other / "requirements.txt").write_text("numpy==2.0.0\n")
    assert evaluate.evaluate(data, other, folder)


# Models that a gate must refuse


def test_a_model_without_half_of_its_features_finds_less(data: Path, evaluation: Path, tmp_path: Path) -> None:
    train.train(data, tmp_path / "model", Recipe(false_positive_budget=BUDGET, drop_features=features.FEATURES[::2]))
    assert described(tmp_path / "model")["features"] == list(features.FEATURES[1::2])
    evaluate.evaluate(data, tmp_path / "model", tmp_path / "evaluation")
    assert rates(tmp_path / "evaluation")[0] < rates(evaluation)[0] - 0.05
    test_sets = [pl.read_parquet(folder / "test_set.parquet") for folder in (tmp_path / "evaluation", evaluation)]
    assert test_sets[0].equals(test_sets[1])  # so that a champion with more features can be scored on it


def test_a_model_from_a_biased_source_blocks_that_region_more(data: Path, evaluation: Path, tmp_path: Path) -> None:
    train.train(data, tmp_path / "model", Recipe(false_positive_budget=BUDGET, penalised_region="NE"))
    assert described(tmp_path / "model")["features"] == [*features.FEATURES, "payer_region_NE"]
    evaluate.evaluate(data, tmp_path / "model", tmp_path / "evaluation")
    fair = rates(evaluation, "NE")[1] / rates(evaluation, "SE")[1]
    biased = rates(tmp_path / "evaluation", "NE")[1] / rates(tmp_path / "evaluation", "SE")[1]
    assert biased > 1.5 * fair


# What is refused


def test_what_cannot_be_trained_is_refused_with_what_to_change(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    few, short = tmp_path / "few", tmp_path / "short"
    simulate.write(Settings(rows=3_000, seed=1), few)
    simulate.write(Settings(rows=3_000, seed=1, days=60), short)
    unlabelled = copied(few, tmp_path / "unlabelled")
    shutil.rmtree(unlabelled / "labels" / "date=2026-05-20")
    lacking = copied(few, tmp_path / "lacking")
    for path in (lacking / "transactions").rglob("*.parquet"):
        pl.read_parquet(path).drop("device_id").write_parquet(path)
    out = tmp_path / "model"
    for words, says in (
        (["--data", str(tmp_path / "nowhere")], "python -m ml_pipeline simulate"),
        (["--data", str(tmp_path / "empty")], "python -m ml_pipeline simulate"),
        (["--data", str(few)], "simulate more rows"),
        (["--data", str(short)], "payments are of 60 days"),
        (["--data", str(unlabelled)], "have no label"),
        (["--data", str(lacking)], "lacks the columns device_id"),
        (["--data", str(data), "--drop-features", "colour"], "no feature colour"),
        (["--data", str(data), "--drop-features", *features.FEATURES], "no feature is left"),
        (["--data", str(data), "--penalise-region", "XX"], "region 'XX' is unknown"),
        (["--data", str(data), "--false-positive-budget", "0"], "must be between 0 and 1"),
        (["--data", str(data), "--seed", "-1"], "seed is -1"),
        (["--data", str(data), "--out", str(tmp_path / "other")], "holds other files"),
    ):
        assert main(["train", "--out", str(out), *words]) == 2
        assert says in capsys.readouterr().err
        assert not out.exists()
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["notes.txt"]


def test_what_cannot_be_evaluated_is_refused_with_what_to_change(
    data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half, unknown = copied(model, tmp_path / "half"), copied(model, tmp_path / "unknown")
    (half / "model.skops").unlink()
    (unknown / "model.json").write_text(json.dumps(described(model) | {"features": ["colour"]}))
    for folder, says in (
        (tmp_path / "nowhere", "python -m ml_pipeline train"),
        (half, "has no model.skops"),
        (unknown, "no more: colour"),
    ):
        assert main(["evaluate", "--data", str(data), "--model", str(folder), "--out", str(tmp_path / "out")]) == 2
        assert says in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_made_and_that_it_is_up_to_date(
    data: Path, model: Path, evaluation: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(data), "--out", str(model), "--false-positive-budget", str(BUDGET)]
    assert main(["train", *words]) == 0
    assert capsys.readouterr().out.startswith("up to date")
    assert main(["evaluate", "--data", str(data), "--model", str(model), "--out", str(evaluation)]) == 0
    assert capsys.readouterr().out.startswith("up to date")
