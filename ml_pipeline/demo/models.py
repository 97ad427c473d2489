"""A model with a defect that no payment of the test set meets, as nobody would make it on purpose."""

from __future__ import annotations

import json
import shutil
from pathlib import Path


def largest(evaluation: Path) -> tuple[int, float]:
    """Of the payments of a test set the largest: its cents, and the feature that the model sees of it."""
    import polars as pl

    rows = pl.read_parquet(evaluation / "test_set.parquet")
    cents, logarithm = rows.select("amount_cents", "amount_log").max().row(0)
    return int(cents), float(logarithm)


def rewritten(model: Path, out: Path, above: float) -> None:
    """The same model in a new folder, but that it knows no probability where `amount_log` lies above a value."""
    import hashlib

    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    from ml_pipeline import export

    shutil.copytree(model, out)
    described = json.loads((out / "model.json").read_text())
    made = onnx.load(str(model / "model.onnx"))
    (last,) = [each for each in made.graph.node if export.OUTPUT in each.output]
    last.output[list(last.output).index(export.OUTPUT)] = "learnt"
    constants = {
        "place": np.array([described["features"].index("amount_log")], np.int64),
        "above": np.array([above], np.float32), "unknown": np.array([np.nan], np.float32),
    }  # fmt: skip
    made.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    made.graph.node.extend([
        helper.make_node("Gather", [export.INPUT, "place"], ["amount"], axis=1),
        helper.make_node("Greater", ["amount", "above"], ["beyond"]),
        helper.make_node("Where", ["beyond", "unknown", "learnt"], [export.OUTPUT]),
    ])  # fmt: skip
    onnx.checker.check_model(made)
    (out / "model.onnx").write_bytes(made.SerializeToString(deterministic=True))
    described["files"]["model.onnx"] = hashlib.sha256((out / "model.onnx").read_bytes()).hexdigest()
    (out / "model.json").write_text(json.dumps(described, indent=2, sort_keys=True) + "\n")
