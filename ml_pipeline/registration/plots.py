"""Four pictures of a model on the test set, drawn without a display."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

FALSE_ALARM_REAIS = 15.0  # assumed: a review, and a customer who is kept waiting
BINS = 20


def draw(scores: pl.DataFrame, threshold: float, folder: Path) -> list[Path]:
    """Draw into `folder`; returns the files."""
    from matplotlib.figure import Figure  # by itself it draws with Agg, and keeps nothing for the process

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, plot in _PLOTS.items():
        figure = Figure(figsize=(7, 5), layout="constrained")
        axes = figure.add_subplot()
        plot(axes, scores, threshold)
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=110, metadata={"Software": None})
    return paths


def _precision_recall(axes: Any, scores: pl.DataFrame, threshold: float) -> None:
    from sklearn.metrics import precision_recall_curve

    precision, recall, at = precision_recall_curve(scores["is_fraud"].to_numpy(), scores["score"].to_numpy())
    axes.plot(recall, precision)
    chosen = min(int(at.searchsorted(threshold)), len(at) - 1)
    axes.plot(recall[chosen], precision[chosen], "o", label=f"threshold {threshold:.4g}")
    axes.set(title="Precision and recall", xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="lower left")


def _calibration(axes: Any, scores: pl.DataFrame, threshold: float) -> None:
    """Bins hold as many frauds each: bins of as many rows would put nearly all of the fraud into the last."""
    import numpy as np

    score, fraud = scores["score"].to_numpy(), scores["is_fraud"].to_numpy()
    edges = np.unique(np.quantile(score[fraud], np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = np.digitize(score, edges)
    rows = np.bincount(bins, minlength=len(edges) + 1)
    kept = rows > 0
    said = np.bincount(bins, score, len(edges) + 1)[kept] / rows[kept]
    real = np.bincount(bins, fraud, len(edges) + 1)[kept] / rows[kept]
    axes.plot(said, real, "o-")
    low = max(min(said.min(), real[real > 0].min(initial=1.0)), 1e-7)
    axes.plot([low, 1], [low, 1], ":", color="grey", label="perfect")
    axes.axvline(threshold, color="grey", linewidth=0.8, label=f"threshold {threshold:.4g}")
    axes.set(title="Calibration", xlabel="mean score", ylabel="share of fraud", xscale="log", yscale="log")
    axes.legend(loc="upper left")


def _score_by_typology(axes: Any, scores: pl.DataFrame, threshold: float) -> None:
    import polars as pl

    kinds = scores.with_columns(
        kind=pl.when(pl.col("is_fraud")).then(pl.col("typology").fill_null("unknown")).otherwise(pl.lit("honest"))
    ).partition_by("kind", as_dict=True)
    names = sorted(str(name) for (name,) in kinds)
    values = [kinds[(name,)]["score"].to_numpy().clip(1e-7) for name in names]
    axes.boxplot(values, orientation="horizontal", whis=(5, 95), showfliers=False)
    axes.set_yticks(range(1, len(names) + 1), names)
    axes.axvline(threshold, color="grey", linewidth=0.8, label=f"threshold {threshold:.4g}")
    axes.set(title="Score by typology (whiskers: 5 % and 95 %)", xlabel="score", xscale="log")
    axes.legend(loc="upper right")


def _cost(axes: Any, scores: pl.DataFrame, threshold: float) -> None:
    import polars as pl

    ordered = scores.sort("score", descending=True).select(
        "score",
        saved=pl.when("is_fraud").then(pl.col("amount_cents") / 100).otherwise(0.0).cum_sum(),
        alarms=(~pl.col("is_fraud")).cum_sum(),
    )
    lost = ordered["saved"][-1] - ordered["saved"].to_numpy()
    wrong = FALSE_ALARM_REAIS * ordered["alarms"].to_numpy()
    at = ordered["score"].to_numpy().clip(1e-7)
    axes.plot(at, lost, label="fraud that passes")
    axes.plot(at, wrong, label=f"false alarms at R$ {FALSE_ALARM_REAIS:.0f} (assumed)")
    axes.plot(at, lost + wrong, label="both")
    axes.axvline(threshold, color="grey", linewidth=0.8, label=f"threshold {threshold:.4g}")
    axes.set(title="Expected cost on the test set", xlabel="threshold", ylabel="R$", xscale="log")
    axes.set_ylim(0, 3 * max(float(lost.max()), FALSE_ALARM_REAIS))
    axes.legend(loc="upper right")


_PLOTS = {
    "precision_recall": _precision_recall,
    "calibration": _calibration,
    "score_by_typology": _score_by_typology,
    "cost": _cost,
}
