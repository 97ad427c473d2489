"""The model that is served: none but the one that was promoted, known by its digests.

`promoted` names a record like evaluation.json, whose `model.sha256` says which bytes may be served. Files are read
once, and what was hashed is what is loaded.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_pipeline.export import Scorer
from ml_pipeline.online import FEATURES, REGIONAL

FILES = ("model.onnx", "model.json")
RECORD = "evaluation.json"
REASONS = 5  # as many as the contract of processed_transactions takes


@dataclass(frozen=True)
class Model:
    """A loaded model, ready to score."""

    name: str
    version: str
    sha256: Mapping[str, str]
    features: tuple[str, ...]
    threshold: float
    typical: NDArray[np.float32] | None
    loaded_at: datetime
    scorer: Scorer

    def score(self, row: NDArray[np.float32]) -> float:
        """The probability of fraud. Raises ValueError if the model gives none."""
        return self.scorer.one(row)

    def reasons(self, row: NDArray[np.float32], score: float) -> tuple[str, ...]:
        """The features that weighed most, strongest first: by how much the score falls with that one as is typical.

        One at a time: of two features that say the same, neither may show. Empty if none makes it fall.
        """
        if self.typical is None:
            return ()
        others = np.repeat(row[None], len(row), axis=0)
        np.fill_diagonal(others, self.typical)
        falls = score - self.scorer(others)
        strongest = np.argsort(-falls, kind="stable")[:REASONS]
        return tuple(self.features[place] for place in strongest if falls[place] > 0)


def load(source: str, promoted: str, only: str | None = None) -> Model:
    """The model in a folder, or below a URL (s3://bucket/prefix), that the record in `promoted` names.

    `only` is the sha256 that its model.onnx must have, if whoever starts the service knows it.
    Raises OSError if it can't be read, and ValueError if its digests are not those promoted or it is no such model.
    """
    record = _json(_read(promoted), promoted)
    judged = record.get("model")
    expected = judged.get("sha256") if isinstance(judged, dict) else None
    if not isinstance(expected, dict):
        raise ValueError(f"{promoted} has no digests of a model in model.sha256; evaluate again")
    data, sha256 = {}, {}
    for name in FILES:
        data[name] = _read(f"{source.rstrip('/')}/{name}")
        sha256[name] = hashlib.sha256(data[name]).hexdigest()
        if expected.get(name) != sha256[name]:
            said = f"{str(expected.get(name))[:12]} in {promoted}" if name in expected else f"not in {promoted}"
            raise ValueError(f"{name} of {source} is {sha256[name][:12]}, which is {said}: it was not promoted")
    if only and sha256["model.onnx"] != only:
        raise ValueError(f"model.onnx of {source} is {sha256['model.onnx'][:12]}, and {only[:12]} is to be served")
    made = _json(data["model.json"], f"{source}/model.json")
    scorer = Scorer(Path("model.onnx"), data["model.onnx"])
    model = _described(made, source, scorer, sha256)
    model.reasons(model.typical if model.typical is not None else np.zeros(len(scorer.features), np.float32), 0.0)
    return model


def _described(made: Mapping[str, Any], source: str, scorer: Scorer, sha256: Mapping[str, str]) -> Model:
    name, threshold, features = made.get("name"), made.get("threshold"), tuple(made.get("features", ()))
    if not isinstance(name, str) or not isinstance(threshold, float) or not 0 < threshold <= 1:
        raise ValueError(f"model.json of {source} lacks a name, or a threshold between 0 and 1; train again")
    if features != scorer.features:
        raise ValueError(f"model.onnx of {source} has other features than model.json; train again")
    unknown = [each for each in features if each not in (*FEATURES, *REGIONAL)]
    if unknown:
        raise ValueError(f"{source} has features that there are no more: {', '.join(unknown)}; train again")
    try:
        said = made.get("training_reference", {}).get("typical")
        typical = None if said is None else np.array([said[each] for each in features], np.float32)
        wrong = typical is not None and not all(map(math.isfinite, typical))
    except (AttributeError, KeyError, TypeError, ValueError):
        wrong = True
    if wrong:
        raise ValueError(f"model.json of {source} lacks typical values, or they are no numbers; train again")
    version = f"{name}-{sha256['model.onnx'][:12]}"
    return Model(name, version, sha256, features, threshold, typical, datetime.now(UTC), scorer)


def _json(data: bytes, where: str) -> dict[str, Any]:
    try:
        said = json.loads(data)
    except ValueError as error:
        raise ValueError(f"{where} is not JSON: {error}") from None
    if not isinstance(said, dict):
        raise ValueError(f"{where} is no object of JSON")
    return said


def record_beside(source: str) -> str:
    """Where the record lies unless another place is named: in the folder `evaluation` beside the model's."""
    return f"{source.rstrip('/').rpartition('/')[0] or '.'}/evaluation/{RECORD}"


def _read(place: str) -> bytes:
    if "://" not in place:
        return Path(place).read_bytes()
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    folder, _, name = place.rpartition("/")
    try:
        return bytes(from_url(folder).get(name).bytes())
    except BaseError as error:
        raise OSError(f"{place} could not be read ({type(error).__name__})") from error
