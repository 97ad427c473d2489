"""Trains a model on made-up payments and writes what it says of payments that it has not seen."""

from __future__ import annotations

import csv
from pathlib import Path

from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split


def main() -> None:
    rows, label = make_classification(
        n_samples=40_000,
        n_features=8,
        n_informative=4,
        n_clusters_per_class=1,
        weights=[0.95],
        class_sep=1.6,
        flip_y=0.002,
        random_state=1,
    )
    seen, unseen, seen_label, unseen_label = train_test_split(
        rows, label, test_size=0.5, random_state=1, stratify=label
    )
    scores = LogisticRegression().fit(seen, seen_label).predict_proba(unseen)[:, 1]
    path = Path("evaluation", "scores.csv")
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        write = csv.writer(file)
        write.writerow(("id", "label", "score"))
        write.writerows(
            (f"p{index}", int(is_fraud), float(score))
            for index, (is_fraud, score) in enumerate(zip(unseen_label, scores, strict=True))
        )
    print(f"{len(scores)} scores in {path}")


if __name__ == "__main__":
    main()
