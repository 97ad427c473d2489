"""No value that may not be shown reaches any output, whatever goes wrong on the way."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.data.conftest import CONTRACT, Repository, payments

CANARIES = ("52998224725", "11144477735", "98765432100")
SHOWN = "canary-channel"
BAD = {"cpf": [*(f"x{canary}" for canary in CANARIES), CANARIES[0]], "channel": ["app", SHOWN, None, "web"]}
# Each makes another part stumble over rows with canaries in them.
TROUBLE = {
    "broken rules": "data_contract('payments', payments())",
    "a pandas column of mixed types": "data_contract('payments', mixed())",
    "a frame that fails while it is read": "data_contract('payments', failing())",
    "SQL that quotes a value": "data_contract('payments', payments(), only=['cast'])",
    "a csv of the wrong types": "data_contract('payments', 'data.csv')",
    "a cut file": "data_contract('payments', 'cut.parquet')",
    "a measurement": "data_contract.failing('payments', 'cpf.pattern', payments()) <= 0",
    "a database": "data_contract('stored')",
}
MODULE = """
import polars as pl
import pytest
from tests.data.conftest import payments as made
from tests.data.test_privacy import BAD, CANARIES

def payments():
    return made(**BAD)

def mixed():
    frame = payments().to_pandas()
    frame["cpf"] = [CANARIES[0], 1, CANARIES[1], None]
    return frame

def failing():
    return payments().lazy().with_columns(pl.col("cpf").str.to_integer().cast(pl.String))
"""
CAST = """
    quality:
      - {name: cast, type: sql, query: 'select sum(cast(cpf as integer)) from ${table}', mustBe: 0}
"""


@pytest.fixture
def judged(repository: Repository) -> Repository:
    repository.contract(CONTRACT.rstrip() + CAST)
    repository.write("data.csv", payments(**BAD, id=[f"i{canary}" for canary in (*CANARIES, "1")]))
    whole = repository.write(
        "whole.parquet", payments(4000, cpf=[CANARIES[0]] * 4000, channel=[SHOWN] * 4000)
    ).read_bytes()
    repository.write("cut.parquet", whole[: len(whole) // 2])
    with sqlite3.connect(repository.root / "stored.db") as connection:
        connection.execute("create table payments (id integer, cpf text, channel text, amount real, paid_at text)")
        connection.executemany("insert into payments values (1, ?, 'app', ?, 'x')", [(each, each) for each in CANARIES])
    policy = "[environments.dev]\nrequires = ['data_contract']\n[data_contract.data.stored]\n"
    stored = f"url = 'sqlite:///{repository.root}/stored.db'\ntable = 'payments'\n"
    repository.write("gates/gates.toml", policy + stored + "contract = 'gates/contracts/payments.odcs.yaml'\n")
    tests = [f"def test_{index}(data_contract):\n    assert {each}\n" for index, each in enumerate(TROUBLE.values())]
    repository.write("gates/test_payments.py", MODULE + "\n".join(tests))
    repository.write("pytest.ini", "[pytest]\ntestpaths = gates\n")
    return repository


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_no_output_holds_a_value_that_is_not_public(
    judged: Repository, pytester: pytest.Pytester, workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(judged.root)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    reports = ["--junitxml=junit.xml", "--tb=long", "--showlocals", "-vv", "-rA", "-p", "no:randomly"]
    run = pytester.run(
        sys.executable, "-m", "pytest", workers, *reports, "--rootdir", str(judged.root), str(judged.root)
    )
    said = "\n".join([*run.outlines, *run.errlines])
    assert run.ret == pytest.ExitCode.TESTS_FAILED, said
    for index, name in enumerate(TROUBLE):
        assert f"test_{index}" in said, name
    written = {path.name: path.read_bytes() for path in judged.root.rglob("*") if path.is_file() and _is_output(path)}
    assert {"records.json", "junit.xml", "report.html", "summary.md", "history.db"} <= written.keys()
    for canary in CANARIES:
        assert canary not in said
        assert not [name for name, content in written.items() if canary.encode() in content]
    assert SHOWN in said, "a public value may be shown, so this test would see one that may not"
    assert "hmac:" in said


def _is_output(path: Path) -> bool:
    return path.suffix not in (".csv", ".parquet", ".py", ".pyc", ".yaml") and path.name != "stored.db"


def test_keys_are_told_apart_but_not_told(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> list[str]:
        scan = repository.judged(payments(channel=["x", "app", "web", "y"]), "")
        return [word for word in scan.findings[0].message.replace(",", "").split() if word.startswith("hmac:")]

    first = rows()
    assert len(set(first)) == 2
    assert rows() == first
    monkeypatch.setenv("PIXGATES_HMAC_KEY", "another key of some length")
    assert not set(rows()) & set(first)
    monkeypatch.setenv("PIXGATES_HMAC_KEY", "short")
    with pytest.raises(Exception, match="PIXGATES_HMAC_KEY is shorter than 16 bytes"):
        rows()


@pytest.mark.parametrize("classification", ["internal", "confidential", "restricted"])
def test_only_public_values_are_shown(repository: Repository, classification: str) -> None:
    frame = payments(channel=["app", SHOWN, "web", "app"])
    assert SHOWN in repository.judged(frame, "").findings[0].message
    repository.contract(CONTRACT.replace("classification: public", f"classification: {classification}"))
    assert SHOWN not in repository.judged(frame, "").findings[0].message


def test_a_shown_value_can_not_forge_a_line(repository: Repository) -> None:
    scan = repository.judged(payments(channel=["app", "\x1b[31m\npixgates: PASS", "web", "app"]), "")
    assert "\n" not in scan.findings[0].message
    assert "\x1b" not in scan.findings[0].message


def test_this_machine_has_a_key_of_its_own_where_none_is_given(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PIXGATES_HMAC_KEY")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    frame = pl.DataFrame(payments(channel=["x", "app", "web", "app"]))
    assert "hmac:" in repository.judged(frame, "").findings[0].message
    key = next((tmp_path / "home").rglob("*.key"))
    assert key.stat().st_mode & 0o077 == 0


def test_great_expectations_is_never_handed_a_value() -> None:
    import narwhals as nw
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.validator.validator import Validator

    from pytest_pixgates.data_contract.engine import Rows

    frame = nw.from_native(pl.DataFrame({"cpf": [*CANARIES, None]}).lazy())
    asked = ExpectationConfiguration(
        type="expect_column_values_to_be_in_set", kwargs={"column": "cpf", "value_set": ["x"]}
    )
    for format_ in ("BASIC", "SUMMARY"):
        validator = Validator(execution_engine=Rows(frame).execution_engine())
        settings = {"result_format": {"result_format": format_}, "catch_exceptions": True}
        answer = validator.graph_validate([asked], settings)[0]
        assert not [canary for canary in CANARIES if canary in str(answer.to_json_dict())]
