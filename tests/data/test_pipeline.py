"""The pipeline's own data fits its contracts, and a corrupted copy fails with the rules that it broke."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from ml_pipeline import simulate
from ml_pipeline.simulation.settings import Settings
from pytest_pixgates.core import policy
from pytest_pixgates.core.family import Context
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.data_contract.gates import DataContractGates
from pytest_pixgates.data_contract.policy import DataContractPolicy

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository's contracts and policy, with fewer payments."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(ROOT / "gates", folder / "gates")
    simulate.write(Settings(rows=30_000, seed=4), folder / "ml_pipeline" / "data", jobs=2)
    return folder


def gates(root: Path) -> DataContractGates:
    read = policy.load(
        root / "gates" / "gates.toml", families=frozenset({"infra", "data_contract", "model_gate", "latency"})
    )
    return DataContractGates(Context(read, read.settings("data_contract", DataContractPolicy), scratch=root))


@pytest.mark.parametrize("name", ["transactions", "accounts", "labels"])
def test_simulated_data_fits_its_contract(root: Path, name: str) -> None:
    scan = gates(root)(name)
    assert scan.outcome is Outcome.PASS, scan.lines()
    assert scan.scanned["rows"] == (500 if name == "accounts" else 30_000)


def test_its_volume_is_as_usual(root: Path) -> None:
    assert gates(root).volume("transactions").outcome is Outcome.PASS


def test_a_corrupted_copy_fails_with_the_rules_that_it_broke_and_no_others(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy")
    copy = tmp_path / "copy"
    days = sorted((copy / "ml_pipeline" / "data" / "transactions").iterdir())
    shutil.rmtree(days[50])
    path = days[100] / "part-0.parquet"
    frame = pl.read_parquet(path, hive_partitioning=False).with_row_index("n")
    frame = frame.with_columns(
        end_to_end_id=pl.when(pl.col("n") == 1).then(pl.col("end_to_end_id").first()).otherwise("end_to_end_id"),
        amount_cents=pl.when(pl.col("n") < 3).then(-5).otherwise("amount_cents"),
        payee_key=pl.when(pl.col("n") == 5).then(None).otherwise("payee_key"),
        payer_account_id=pl.when(pl.col("n") == 7).then(pl.lit("nobody")).otherwise("payer_account_id"),
        initiation_type=pl.when(pl.col("n") == 9).then(pl.lit("FAX")).otherwise("initiation_type"),
    ).drop("n")
    assert frame["payee_key_type"][5] is not None, "else this key has none to lose"
    frame.write_parquet(path)
    scan = gates(copy)("transactions")
    counts = {finding.rule: finding.message.partition(";")[0].rpartition(": ")[2] for finding in scan.findings}
    assert scan.outcome is Outcome.FAIL
    assert counts.keys() - {"id_of_the_payer"} == {
        "end_to_end_id.unique", "amount_cents.minimum", "key_with_type", "payer_account_id.relationship",
        "initiation_type.invalidValues", "partitions",
    }  # fmt: skip
    assert counts["amount_cents.minimum"].startswith("3 of ")
    assert counts["end_to_end_id.unique"].startswith("2 of ")
    assert "'FAX'" in next(each.message for each in scan.findings if each.rule == "initiation_type.invalidValues")


def test_a_payment_of_another_day_that_comes_again_is_found(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "copy")
    days = sorted((tmp_path / "copy" / "ml_pipeline" / "data" / "transactions").iterdir())
    again = pl.read_parquet(days[3] / "part-0.parquet", hive_partitioning=False).head(1)
    today = pl.read_parquet(days[9] / "part-0.parquet", hive_partitioning=False)
    pl.concat([today, again]).write_parquet(days[9] / "part-0.parquet")
    scan = gates(tmp_path / "copy")("transactions", only=["end_to_end_id.unique"])
    assert scan.findings[0].message.startswith("end_to_end_id is unique: 2 of 30,001 rows")
