"""The trained model as files that others can open without running code of ours, or of whoever forged them.

ONNX serves: a graph of numbers. skops keeps the scikit-learn estimator, and is opened only by the list of types in this
module: the list that a model brings along was written by whoever wrote the model. Nothing is ever unpickled.

The estimator must have learnt from float32. ONNX compares in float32, and a threshold learnt from float64 may fall
between two numbers that are one in float32; then a payment takes another branch, and another decision.
"""

from __future__ import annotations

import copy
import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INPUT, OUTPUT = "features", "probabilities"
TOLERANCE = 1e-5
BATCH = 50_000  # rows at once: bounds the memory between the nodes of the graph

# How skops names a kind of node, and the types that may stand in one. What is not here is refused.
SKOPS_TYPES = {
    "DictNode": {"builtins.dict"},
    "JsonNode": {"builtins.str"},
    "ListNode": {"builtins.list"},
    "NdArrayNode": {"numpy.bool", "numpy.float32", "numpy.float64", "numpy.int64", "numpy.ndarray", "numpy.uint64"},
    "RandomGeneratorNode": {"numpy.random._generator.Generator"},
    "RandomStateNode": {"numpy.random.mtrand.RandomState"},
    "TupleNode": {"builtins.tuple"},
    "TypeNode": {"builtins.bool", "builtins.float", "builtins.int", "builtins.str"},
    "LossNode": {"sklearn._loss._loss.CyHalfBinomialLoss"},
    "ObjectNode": {
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn.calibration.CalibratedClassifierCV",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.frozen._frozen.FrozenEstimator",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._label.LabelEncoder",
    },
}


def write_onnx(estimator: Any, path: Path, features: Sequence[str]) -> None:
    """Write a fitted classifier of fraud (classes 0 and 1) as ONNX, with the names of its features in order.

    Input: `features`, float32 [n, k]; output: `probabilities`, float32 [n, 2], the second being fraud.
    Raises ValueError if it is no such classifier, or holds a step that ONNX can't express.
    """
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    _check_classifier(estimator, features)
    bare = _thawed(estimator)
    try:
        model = convert_sklearn(
            bare, name="pix_fraud", initial_types=[(INPUT, FloatTensorType([None, len(features)]))],
            options={id(bare): {"zipmap": False}},
        )  # fmt: skip
    except (RuntimeError, KeyError) as error:
        raise ValueError(f"the estimator can't be written as ONNX ({type(error).__name__}: {error})") from error
    model = _only_probabilities(model)
    entry = model.metadata_props.add()
    entry.key, entry.value = "features", json.dumps(list(features))
    _write(path, model.SerializeToString(deterministic=True))


def write_skops(estimator: Any, path: Path) -> None:
    """Write an estimator with skops: the same bytes for the same estimator.

    Raises ValueError if `read_skops` would refuse it.
    """
    from skops.io import dumps

    data = _renumbered(dumps(estimator))
    _check_types(data, path)
    _write(path, data)


def read_skops(path: Path) -> Any:
    """The estimator in a file of skops. Raises ValueError if it holds any type but those in `SKOPS_TYPES`."""
    from skops.io import loads
    from skops.io.exceptions import UntrustedTypesFoundException

    data = path.read_bytes()
    _check_types(data, path)
    trusted = sorted(name for names in SKOPS_TYPES.values() for name in names)
    try:
        return loads(data, trusted=trusted)
    except UntrustedTypesFoundException as error:
        raise ValueError(f"{path} is refused: {error}") from error
    except Exception as error:  # whatever a forged file makes it trip over
        raise ValueError(f"{path} can't be opened ({type(error).__name__}: {error}); export it again") from error


class Scorer:
    """An ONNX model in memory. Scores don't depend on the number of cores: it uses one thread."""

    def __init__(self, path: Path, data: bytes | None = None) -> None:
        """`data` is the content of `path`, if it was read before.

        Raises FileNotFoundError, or ValueError if it is not a model by `write_onnx`.
        """
        import onnxruntime

        data = path.read_bytes() if data is None else data
        options = onnxruntime.SessionOptions()
        # More threads add up trees in another order, and thus to other last digits; they also fight for the cores.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4  # its errors are raised as well
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime has a dozen of its own, without a common parent
            raise ValueError(f"{path} is no ONNX model that can be run ({type(error).__name__})") from error
        self.path = path
        self.features = self._declared()

    def _declared(self) -> tuple[str, ...]:
        inputs, outputs = self._session.get_inputs(), [each.name for each in self._session.get_outputs()]
        try:
            features = json.loads(self._session.get_modelmeta().custom_metadata_map["features"])
        except (KeyError, ValueError):
            raise ValueError(f"{self.path} does not name its features; export it with write_onnx") from None
        found = [(each.name, each.type, each.shape[1:]) for each in inputs]
        if found != [(INPUT, "tensor(float)", [len(features)])] or OUTPUT not in outputs:
            raise ValueError(f"{self.path} takes {found} and gives {outputs}; export it with write_onnx")
        return tuple(features)

    def __call__(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """The probability of fraud of each row.

        Raises ValueError on another shape or type, or a score that is no probability.
        """
        import numpy as np

        if matrix.dtype != np.float32 or matrix.ndim != 2 or matrix.shape[1] != len(self.features):
            wanted = f"float32 [n, {len(self.features)}]"
            raise ValueError(f"{self.path} scores {wanted}, not {matrix.dtype} {list(matrix.shape)}")
        scores = np.empty(len(matrix))
        for start in range(0, len(matrix), BATCH):
            rows = np.ascontiguousarray(matrix[start : start + BATCH])
            scores[start : start + BATCH] = self._session.run([OUTPUT], {INPUT: rows})[0][:, 1]
        wrong = ~((scores >= 0) & (scores <= 1))
        if wrong.any():
            raise ValueError(f"{self.path} gives {scores[wrong][0]} as the probability of row {int(wrong.argmax())}")
        return scores

    def one(self, row: NDArray[np.float32]) -> float:
        """As for a matrix of one row, in half the time: `row` is not checked. Raises ValueError for no probability."""
        score = float(self._session.run([OUTPUT], {INPUT: row[None]})[0][0, 1])
        if not 0 <= score <= 1:
            raise ValueError(f"{self.path} gives {score} as the probability of a row")
        return score


def score_onnx(path: Path, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """The probability of fraud of each row of a float32 matrix, by the ONNX model in `path`."""
    return Scorer(path)(matrix)


def check_onnx(estimator: Any, path: Path, matrix: NDArray[np.float32], threshold: float) -> float:
    """The largest difference between the scores of the ONNX model and of the estimator it was made from.

    Raises ValueError if it exceeds `TOLERANCE`, or a decision (score >= threshold) differs.
    """
    import numpy as np

    if not len(matrix):
        raise ValueError(f"{path} can't be compared on no rows")
    served = score_onnx(path, matrix)
    learnt = estimator.predict_proba(matrix)[:, 1]
    apart = np.abs(served - learnt)
    worst = int(apart.argmax())
    if not apart[worst] <= TOLERANCE:
        raise ValueError(
            f"{path} is not the estimator: row {worst} scores {served[worst]:.8f} instead of {learnt[worst]:.8f}, and "
            f"{int((apart > TOLERANCE).sum())} of {len(matrix)} rows differ by more than {TOLERANCE:g}; train on "
            "float32, and calibrate by a sigmoid (ONNX has no isotonic regression)"
        )
    other = np.flatnonzero((served >= threshold) != (learnt >= threshold))
    if len(other):
        raise ValueError(
            f"{path} decides {len(other)} of {len(matrix)} rows otherwise than the estimator (row {other[0]}: "
            f"{served[other[0]]:.8f} and {learnt[other[0]]:.8f}, threshold {threshold:.8f}); put the threshold "
            "between two scores, not on one"
        )
    return float(apart[worst])


def _check_classifier(estimator: Any, features: Sequence[str]) -> None:
    """Raises ValueError unless it is fitted, on as many features, for two classes of which the second is fraud."""
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        raise ValueError(f"{type(estimator).__name__} is no fitted classifier")
    if list(classes) != [0, 1]:
        raise ValueError(f"the classes are {list(classes)}; the label must be 0 or 1, and both must occur")
    if estimator.n_features_in_ != len(features):
        raise ValueError(f"the estimator has {estimator.n_features_in_} features, and {len(features)} names are given")
    twice = sorted({name for name in features if list(features).count(name) > 1})
    if twice:
        raise ValueError(f"names of features occur twice: {', '.join(twice)}")


def _only_probabilities(model: Any) -> Any:
    """The graph without the label, which is by a threshold of 0.5 and would invite a decision by it."""
    import onnx
    from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs

    (output,) = [each for each in model.graph.output if each.name == OUTPUT]
    model = select_model_inputs_outputs(model, [OUTPUT])
    model.graph.output[0].CopyFrom(output)  # with its type
    used = {name for node in model.graph.node for name in node.input}
    for constant in [each for each in model.graph.initializer if each.name not in used]:
        model.graph.initializer.remove(constant)
    onnx.checker.check_model(model, full_check=True)
    return model


def _thawed(estimator: Any) -> Any:
    """The estimator without `FrozenEstimator`, which matters to training only and which skl2onnx does not know."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from sklearn.pipeline import Pipeline

    if isinstance(estimator, FrozenEstimator):
        return _thawed(estimator.estimator)
    bare = copy.copy(estimator)
    if isinstance(estimator, Pipeline):
        bare.steps = [(name, _thawed(step)) for name, step in estimator.steps]
    if isinstance(estimator, CalibratedClassifierCV):
        bare.estimator = _thawed(estimator.estimator)
        bare.calibrated_classifiers_ = [copy.copy(each) for each in estimator.calibrated_classifiers_]
        for each in bare.calibrated_classifiers_:
            each.estimator = _thawed(each.estimator)
    return bare


def _renumbered(data: bytes) -> bytes:
    """A file of skops whose ids, which are addresses in memory, count from 1, and which bears no time."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    numbers: dict[str, str] = {}

    def number(match: re.Match[str]) -> str:
        return match[1] + numbers.setdefault(match[2], str(len(numbers) + 1))

    schema = re.sub(r'("__id__": |"file": ")(\d+)', number, files.pop("schema.json").decode())
    arrays = {f"{numbers[name.removesuffix('.npy')]}.npy": content for name, content in files.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays, key=lambda each: int(each.removesuffix(".npy"))):
            archive.writestr(_entry(name), arrays[name])
        archive.writestr(_entry("schema.json"), schema)
    return out.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)  # its time is 1980
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _check_types(data: bytes, path: Path) -> None:
    """Raises ValueError if a file of skops holds a type, or a kind of node, that is not in `SKOPS_TYPES`."""
    from skops.io._protocol import PROTOCOL

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            schema = json.loads(archive.read("schema.json"))
        protocol, found = schema["protocol"], set(_nodes(schema))
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no file of skops ({type(error).__name__}: {error}); export it again") from error
    if protocol != PROTOCOL:  # older ones have loaders of their own
        raise ValueError(f"{path} has skops's protocol {protocol}, not {PROTOCOL}; export it again")
    refused = sorted({name for kind, name in found if name not in SKOPS_TYPES.get(kind, ())})
    if refused:
        raise ValueError(
            f"{path} is refused, for it holds {', '.join(refused)}; if the model needs it, and it can't run code when "
            "loaded, add it to SKOPS_TYPES in ml_pipeline/export.py"
        )


def _nodes(schema: object) -> Iterator[tuple[str, str]]:
    """The kind and the type of each node."""
    if isinstance(schema, dict):
        # The ones that refer to a node elsewhere have a kind too; only plain data has none.
        if schema.keys() & {"__class__", "__module__", "__loader__"}:
            yield str(schema["__loader__"]), f"{schema['__module__']}.{schema['__class__']}"
        for value in schema.values():
            yield from _nodes(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _nodes(value)


def _write(path: Path, data: bytes) -> None:
    """Write a file, which appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
