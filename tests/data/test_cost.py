"""Who judges infrastructure does not pay for data."""

from __future__ import annotations

import subprocess
import sys

from tests.data.conftest import Repository

GATE = """
import sys
from pytest_pixgates import Measurement

def test_one(infra):
    print("LOADED", sorted({name.partition(".")[0] for name in sys.modules}))
    assert Measurement.exact("ones", 1, subjects=(infra.subject("gates"),)) <= 1
"""


def test_a_run_of_infra_imports_no_library_of_the_data_family(repository: Repository) -> None:
    repository.write("gates/gates.toml", "[infra]\n[data_contract.data.payments]\npath = 'data.parquet'\n")
    repository.write("gates/test_infra.py", GATE)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "infra",
        "-s",
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        "gates",
    ]
    run = subprocess.run(command, cwd=repository.root, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    loaded = next(line for line in run.stdout.splitlines() if "LOADED" in line)
    for name in (
        "great_expectations",
        "polars",
        "narwhals",
        "duckdb",
        "pandas",
        "pyarrow",
        "scipy",
        "sqlalchemy",
        "jsonschema",
    ):
        assert f"'{name}'" not in loaded
