"""Whether what is registered is what was evaluated, and whether the scores are really its own.

The evaluation left a manifest: the digests of the model's files, of the test set and of the scores, the features in
their order, the threshold and the label. The registered files must be those; and the ONNX model, run again on the test
set, must give those scores. A pickle is never opened, and a skops file is judged by the types that it names.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pytest_pixgates.core import decode, files, sources
from pytest_pixgates.core.errors import EXTRA, NotMeasured
from pytest_pixgates.core.scan import Finding
from pytest_pixgates.model_gate.intervals import Floats

TOLERANCE = 1e-5
"""By how much a score may differ from the one that was evaluated."""

MODEL, SKOPS = "model.onnx", "model.skops"
_RUNS_CODE = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".pt", ".pth")
_BATCH = 50_000

# What an estimator of scikit-learn consists of. The list in a model's own metadata can be forged; this one can't.
_TYPES = re.compile(
    r"builtins\.(dict|list|tuple|set|str|int|float|bool|complex|slice|NoneType)"
    r"|numpy\.(ndarray|dtype|bool_?|u?int(8|16|32|64)|float(16|32|64))"
    r"|numpy\.(random\._generator\.Generator|random\.mtrand\.RandomState|random\._pcg64\.PCG64)"
    r"|sklearn(\.\w+)*\.\w*[A-Z]\w*"
)


@dataclass(frozen=True, slots=True)
class Model:
    """The model that was evaluated. `sha256` maps each of its files to its digest; `features` are in order."""

    name: str
    sha256: Mapping[str, str]
    features: tuple[str, ...]
    threshold: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluation.json` says: which model gave which scores on which rows, with what counted as fraud.

    `data` and `code` are digests by name of what the rows were made of and by.
    """

    schema_version: int
    model: Model
    test_set: str
    scores: str
    label: str
    label_delay: str = ""
    rows: int = 0
    frauds: int = 0
    data: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)


def read_evaluation(path: Path, root: Path) -> Evaluation:
    """Raises NotMeasured for what is not there or does not fit."""
    name = sources.name(path, root)
    try:
        return decode.decode(Evaluation, decode.strict_json(path.read_bytes()))
    except OSError as error:
        raise NotMeasured(f"{name} can't be read: {error.strerror}", remedy="evaluate the model") from None
    except ValueError as error:
        raise NotMeasured(f"{name} is no evaluation: {error}", remedy="evaluate the model again") from None


def differences(evaluation: Evaluation, folder: Path, where: str) -> Iterator[Finding]:
    """What in the registered `folder` is not what was evaluated, or should not be there at all."""
    for name, digest in sorted(evaluation.model.sha256.items()):
        path = folder / name
        if not path.is_file():
            yield Finding("artifact-missing", f"{name} was evaluated and is not registered", where, resource=name)
        elif files.sha256(path) != digest:
            rule = {"requirements.txt": "requirements-differ"}.get(name, "artifact-differs")
            yield Finding(rule, f"{name} is not the one that was evaluated", where, resource=name)
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix in _RUNS_CODE:
            yield Finding("artifact-runs-code", f"{name} runs code when it is opened", where, resource=name)
        if path.suffix == ".skops":
            yield from forged(path, where, name)


def forged(path: Path, where: str, name: str) -> Iterator[Finding]:
    """Types in a skops file that no estimator consists of."""
    try:
        with zipfile.ZipFile(path) as archive:
            schema = json.loads(archive.read("schema.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, RecursionError) as error:
        yield Finding("skops-unreadable", f"{name} is no skops file ({type(error).__name__})", where, resource=name)
        return
    if bad := sorted({each for each in _named_types(schema) if not _TYPES.fullmatch(each)}):
        told = ", ".join(bad[:5])
        yield Finding("skops-forged", f"{name} holds types that no estimator consists of: {told}", where, resource=name)


def _named_types(node: Any) -> Iterator[str]:
    """`module.class` of every node; also of what skops would only learn when it opens the file."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            if "__class__" in each or "__module__" in each:
                yield f"{each.get('__module__')}.{each.get('__class__')}"
            if each.get("__loader__") in ("MethodNode", "FunctionNode", "OperatorFuncNode", "ReduceNode"):
                yield str(each["__loader__"])
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


def features_of(path: Path) -> tuple[str, ...]:
    """The names of the features, in order, that an ONNX model says it takes. Raises NotMeasured."""
    found = _session(path).get_modelmeta().custom_metadata_map.get("features", "")
    try:
        return decode.decode(tuple[str, ...], json.loads(found))
    except ValueError:
        raise NotMeasured(f"{path.name} does not say which features it takes") from None


def run(path: Path, rows: pl.DataFrame) -> Floats:
    """The scores of `rows` by an ONNX model, from the features that it names. Raises NotMeasured."""
    names = features_of(path)
    if missing := [name for name in names if name not in rows.columns]:
        raise NotMeasured(f"the test set has no feature {', '.join(missing[:5])}, which {path.name} takes")
    session = _session(path)
    if len(session.get_inputs()) != 1:
        raise NotMeasured(f"{path.name} takes {len(session.get_inputs())} inputs, not one table of features")
    entry = session.get_inputs()[0].name
    parts = []
    for first in range(0, len(rows), _BATCH):
        matrix = rows[first : first + _BATCH].select(names).to_numpy().astype(np.float32)
        parts.append(_fraud(session.run(None, {entry: matrix}), path))
    return np.concatenate(parts) if parts else np.array([])


def _fraud(outputs: list[Any], path: Path) -> Floats:
    """The probability of fraud among a model's outputs: the last column of the table of numbers."""
    for each in reversed(outputs):
        if isinstance(each, np.ndarray) and each.dtype.kind == "f":
            found: NDArray[np.float64] = (each[:, -1] if each.ndim == 2 else each).astype(np.float64)
            return found
    raise NotMeasured(f"{path.name} gives no probabilities")


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise NotMeasured(f"the model can't be run: {error}", remedy=EXTRA.format("model")) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has exceptions of its own for each way in which a file is no model
        raise NotMeasured(f"{path.name} is no model that runs: {type(error).__name__}") from None


def rescored(
    evaluation: Evaluation, given: Floats, decided: NDArray[np.bool_], again: Floats, where: str
) -> Iterator[Finding]:
    """Where the scores of the table are not those that the registered model gives."""
    gap = float(np.abs(given - again).max()) if len(given) else math.nan
    if not gap <= TOLERANCE:
        count = int((~(np.abs(given - again) <= TOLERANCE)).sum())
        told = f"{count:,} of {len(given):,} scores differ from the model's own, by up to {gap:.3g}"
        yield Finding("scores-differ", told, where, resource="score")
    near = np.abs(again - evaluation.model.threshold) <= TOLERANCE
    odd = int(((again >= evaluation.model.threshold) != decided)[~near].sum())
    if odd:
        told = f"{odd:,} decisions are not those of the threshold {evaluation.model.threshold:.6g}"
        yield Finding("decisions-differ", told, where, resource="decision")
