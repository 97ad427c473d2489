"""Where a model came from: the commit, the packages, and the contracts that its data kept to."""

from __future__ import annotations

import platform
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ml_pipeline import folders

PACKAGES = (
    "duckdb", "matplotlib", "mlflow-skinny", "numpy", "onnx", "onnxruntime", "polars", "protobuf", "scikit-learn",
    "scipy", "skl2onnx", "skops", "sqlalchemy",
)  # fmt: skip
CONTRACTS = ("training_set", "scores")


@dataclass(frozen=True)
class Commit:
    """The commit that the code is from; `dirty` if there are changes that no commit has."""

    sha: str
    dirty: bool

    def __str__(self) -> str:
        return f"{self.sha} (with changes that no commit has)" if self.dirty else self.sha


def commit() -> Commit:
    """That of this package; `unknown` and dirty if it lies in no repository."""
    git, here = shutil.which("git"), Path(__file__).parent
    if git:
        asked = [
            subprocess.run([git, "-C", str(here), *words], capture_output=True, text=True, timeout=60, check=False)
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        ]
        if not any(each.returncode for each in asked):
            return Commit(asked[0].stdout.strip(), bool(asked[1].stdout.strip()))
    return Commit("unknown", dirty=True)


def environment() -> dict[str, str]:
    """Python, the system, and the versions of what had a part in it."""
    found = {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def contracts(folder: Path) -> dict[str, str]:
    """The digests of the contracts by name. Raises FileNotFoundError."""
    return {name: folders.digest(folder / f"{name}.odcs.yaml") for name in CONTRACTS}
