"""A suggested contract holds of the data that it was suggested from, once people have described it."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pytest_pixgates.cli.main import main
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.data_contract import contract
from pytest_pixgates.data_contract.contract import ContractError
from tests.data.conftest import CONTRACT, Repository, payments


@pytest.fixture
def here(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.chdir(repository.root)
    return repository


@pytest.mark.parametrize("name", ["payments.parquet", "payments.csv", "payments.ndjson", "payments.arrow"])
def test_it_holds_of_the_data_once_it_is_described(
    here: Repository, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here.write(name, payments(200))
    assert main(["contract", "suggest", name]) == 0
    text = capsys.readouterr().out
    with pytest.raises(ContractError, match="has no description"):
        contract.parse(text, "suggested.yaml")
    here.contract(text.replace('description: ""', "description: Reviewed."))
    scan = here.gates()("payments", name)
    assert scan.outcome is Outcome.PASS, scan.lines()
    columns = {column.name: column for column in contract.read(
        here.root / "gates/contracts/payments.odcs.yaml", here.root).tables[0].columns}  # fmt: skip
    assert {name: column.type for name, column in columns.items()} == {
        "id": "integer", "cpf": "string", "channel": "string", "amount": "number",
        "paid_at": "string" if name.endswith("ndjson") else "timestamp",
    }  # fmt: skip
    assert columns["cpf"].classification == "restricted"
    assert columns["id"].primary_key


def test_it_fails_for_other_data(here: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    here.write("payments.parquet", payments(200))
    assert main(["contract", "suggest", "payments.parquet"]) == 0
    here.contract(capsys.readouterr().out.replace('description: ""', "description: Reviewed."))
    scan = here.gates()("payments", payments(4, channel=["fax", "app", "web", "app"], amount=[-1.0, 1.0, 1.0, 1.0]))
    assert {"channel.invalidValues", "amount.minimum"} <= {finding.rule for finding in scan.findings}


def test_values_of_persons_stand_in_no_suggestion(here: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    few = pl.DataFrame({"customer_name": ["Ana", "Bia"] * 100, "note": ["52998224725"] * 200})
    here.write("people.parquet", few)
    assert main(["contract", "suggest", "people.parquet"]) == 0
    said = capsys.readouterr().out
    assert "Ana" not in said
    assert "52998224725" not in said


def test_it_never_overwrites(here: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    here.write("payments.parquet", payments(200))
    arguments = ["contract", "suggest", "payments.parquet", "--out", "new.yaml", "--name", "paid"]
    assert main(arguments) == 0
    before = Path("new.yaml").read_bytes()
    assert b"name: paid" in before
    assert main(arguments) == 4
    assert Path("new.yaml").read_bytes() == before
    assert "is there already" in capsys.readouterr().err


def test_data_that_can_not_be_read_is_said(here: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["contract", "suggest", "none.parquet"]) == 1
    assert "none.parquet: matches nothing" in capsys.readouterr().err


def test_a_difference_is_explained_and_judged_by_the_versions(
    here: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    here.write("old.yaml", CONTRACT)
    broken = CONTRACT.replace("classification: restricted", "classification: public")
    for version, code in {"1.0.0": 1, "1.1.0": 1, "2.0.0": 0}.items():
        here.write("new.yaml", broken.replace("1.0.0", version))
        assert main(["contract", "diff", "old.yaml", "new.yaml"]) == code
        said = capsys.readouterr().out
        assert "breaking    new.yaml:14: cpf was restricted and is public\n" in said
        assert ("make it version 2.0.0" in said) == bool(code)
    assert main(["contract", "diff", "old.yaml", "old.yaml"]) == 0
    assert capsys.readouterr().out == "0 changes, 0 breaking; version 1.0.0 to 1.0.0\n"


def test_a_contract_that_can_not_be_read_is_said(here: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    here.write("old.yaml", CONTRACT)
    here.write("bad.yaml", CONTRACT.replace("v3.1.0", "v1"))
    assert main(["contract", "diff", "old.yaml", "bad.yaml"]) == 1
    assert "bad.yaml:1: apiVersion 'v1' is not v3.1.0" in capsys.readouterr().err
    assert main(["contract", "diff", "old.yaml"]) == 4
