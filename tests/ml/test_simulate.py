"""The simulated payments are what docs/data.md says of them."""

from __future__ import annotations

import datetime
import hashlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ml_pipeline import identifiers, simulate
from ml_pipeline.__main__ import main
from ml_pipeline.simulation.settings import Drift, Settings

ROWS = 60_000
MANY_FRAUDS = Settings(rows=ROWS, seed=7, accounts=6_000, fraud_rate=0.02)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def table(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(folder / name / "**" / "*.parquet", hive_partitioning=False)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "out"
    simulate.write(MANY_FRAUDS, folder, jobs=2)
    return folder


@pytest.fixture(scope="module")
def payments(simulated: Path) -> pl.DataFrame:
    """Payments with their labels, payer and payee, by local time."""
    accounts = table(simulated, "accounts")
    joined = table(simulated, "transactions").join(table(simulated, "labels"), on="end_to_end_id")
    for side in ("payer", "payee"):
        renamed = accounts.rename({name: f"{side}_{name}" for name in accounts.columns})
        joined = joined.join(renamed, on=f"{side}_account_id", how="left", validate="m:1", suffix="_of_account")
    local = pl.col("initiated_at").dt.convert_time_zone("America/Sao_Paulo")
    return joined.with_columns(local=local).sort("initiated_at")


@pytest.fixture(scope="module")
def fraud(payments: pl.DataFrame) -> dict[str, pl.DataFrame]:
    found = payments.filter("is_fraud").partition_by("typology", as_dict=True)
    return {str(name): rows for (name,), rows in found.items()}


# Bytes


def test_the_same_seed_gives_the_same_bytes_in_any_number_of_threads(simulated: Path, tmp_path: Path) -> None:
    simulate.write(MANY_FRAUDS, tmp_path / "one", jobs=1)
    assert digests(tmp_path / "one") == digests(simulated)


def test_another_seed_gives_other_payments(tmp_path: Path) -> None:
    for seed in (1, 2):
        simulate.write(Settings(rows=2_000, seed=seed, days=7), tmp_path / str(seed))
    one, two = digests(tmp_path / "1"), digests(tmp_path / "2")
    assert one.keys() == two.keys()
    assert not set(one.values()) & set(two.values())


def test_days_before_a_drift_stay_the_same_bytes(tmp_path: Path) -> None:
    drifts = {
        "none": Drift(),
        "amounts": Drift(amount_inflation=0.5),
        "region": Drift(region="NE", region_share=0.6),
        "typology": Drift(new_typology_share=0.8),
    }
    found = {}
    for name, drift in drifts.items():
        simulate.write(Settings(rows=8_000, seed=3, days=20, fraud_rate=0.02, drift=drift), tmp_path / name, jobs=2)
        found[name] = {file: it for file, it in digests(tmp_path / name).items() if file.startswith("transactions")}
    dates = sorted(found["none"])
    for name in ("amounts", "region"):
        assert [found[name][each] for each in dates[:14]] == [found["none"][each] for each in dates[:14]], name
        assert all(found[name][each] != found["none"][each] for each in dates[16:]), name
    late = pl.col("initiated_at") >= datetime.datetime(2026, 5, 16, 3, tzinfo=datetime.UTC)
    mean = {name: table(tmp_path / name, "transactions").filter(late)["amount_cents"].mean() for name in drifts}
    assert 1.3 < mean["amounts"] / mean["none"] < 1.7
    kinds = {name: set(table(tmp_path / name, "labels")["typology"]) for name in drifts}
    assert "remote_access" in kinds["typology"] - kinds["none"]


# Rows


def test_there_are_exactly_as_many_rows_as_asked_for_one_partition_a_day(simulated: Path) -> None:
    assert len(table(simulated, "transactions")) == len(table(simulated, "labels")) == ROWS
    days = sorted(path.name for path in (simulated / "transactions").iterdir())
    assert (len(days), days[0], days[-1]) == (120, "date=2026-05-01", "date=2026-08-28")
    for path in list((simulated / "transactions").iterdir())[:5]:
        dates = (
            pl.read_parquet(path, hive_partitioning=False)["initiated_at"]
            .dt.convert_time_zone("America/Sao_Paulo")
            .dt.date()
        )
        assert dates.unique().to_list() == [datetime.date.fromisoformat(path.name.removeprefix("date="))]


def test_identifiers_are_valid_and_unique(payments: pl.DataFrame, simulated: Path) -> None:
    assert identifiers.is_end_to_end_id(payments["end_to_end_id"]).all()
    assert payments["end_to_end_id"].is_unique().all()
    assert identifiers.is_txid(payments["txid"].drop_nulls()).all()
    accounts = table(simulated, "accounts")
    for (kind,), group in accounts.partition_by("pix_key_type", as_dict=True).items():
        assert identifiers.is_key(str(kind), group["pix_key"]).all(), kind
    for column in ("account_id", "tax_id", "pix_key"):
        assert accounts[column].is_unique().all(), column
    people = accounts.filter(pl.col("holder_type") == "NATURAL_PERSON")["tax_id"]
    assert identifiers.is_cpf(people).all()
    companies = accounts.filter(pl.col("holder_type") == "LEGAL_PERSON")["tax_id"]
    assert identifiers.is_cnpj(companies).all()
    assert companies.str.contains("[A-Z]").any(), "some are alphanumeric"


def test_every_payer_and_payee_is_an_account_that_is_open_and_pays_others(payments: pl.DataFrame) -> None:
    assert payments["payer_ispb_of_account"].null_count() == payments["payee_ispb_of_account"].null_count() == 0
    assert (payments["payer_ispb"] == payments["payer_ispb_of_account"]).all()
    assert (payments["payer_opened_at"] <= payments["initiated_at"]).all()
    assert (payments["payer_account_id"] != payments["payee_account_id"]).all()


def test_night_limits_of_people_hold(payments: pl.DataFrame) -> None:
    hour = pl.col("local").dt.hour()
    night = payments.filter((hour >= 20) | (hour < 6), pl.col("payer_night_limit_cents").is_not_null())
    spent = night.group_by("payer_account_id", pl.col("local").dt.offset_by("-20h").dt.date()).agg(
        pl.col("amount_cents").sum(), pl.col("payer_night_limit_cents").first()
    )
    assert len(spent) > 1_000
    assert (spent["amount_cents"] <= spent["payer_night_limit_cents"]).all()


def test_days_weeks_and_paydays_show(payments: pl.DataFrame) -> None:
    honest = payments.filter(~pl.col("is_fraud"))
    by_hour = honest.group_by(pl.col("local").dt.hour()).len().sort("local")["len"]
    assert by_hour[3] < by_hour[11] / 5
    by_weekday = honest.group_by(pl.col("local").dt.weekday()).len().sort("local")["len"]
    assert by_weekday[6] < by_weekday[4]
    by_day = honest.group_by(pl.col("local").dt.day()).len().sort("local")["len"]
    assert by_day[4:8].mean() > by_day[19:26].mean() * 1.05


# Labels


def test_labels_are_as_many_as_the_rate_says_and_known_only_later(payments: pl.DataFrame) -> None:
    share = payments["is_fraud"].mean()
    assert abs(share - MANY_FRAUDS.fraud_rate) < 0.001
    assert (payments["label_known_at"] > payments["initiated_at"]).all()
    late = payments.select(
        (pl.col("label_known_at") - pl.col("initiated_at")).dt.total_days().alias("days"), "is_fraud"
    )
    assert late.filter(~pl.col("is_fraud"))["days"].min() == MANY_FRAUDS.label_window_days
    assert 1 < late.filter("is_fraud")["days"].median() < 10
    assert (payments["typology"].is_null() == ~payments["is_fraud"]).all()


def test_noise_is_as_much_as_asked(tmp_path: Path) -> None:
    found = {}
    for noise in (0.0, 0.3):
        folder = tmp_path / str(noise)
        simulate.write(Settings(rows=20_000, seed=5, days=30, fraud_rate=0.05, label_noise=noise), folder, jobs=2)
        found[noise] = table(folder, "labels").sort("end_to_end_id")["is_fraud"]
    lost = (found[0.0] & ~found[0.3]).sum() / found[0.0].sum()
    assert abs(lost - 0.3) < 0.05
    assert abs((~found[0.0] & found[0.3]).sum() / found[0.0].sum() - 0.3) < 0.06


# Typologies


def test_each_typology_is_there(fraud: dict[str, pl.DataFrame]) -> None:
    assert fraud.keys() == {"account_takeover", "false_call", "mule_chain", "qr_code_swap", "relationship_scam"}
    assert all(len(rows) > 100 for rows in fraud.values())


def test_a_takeover_comes_from_a_device_that_is_not_the_owner_s(fraud: dict[str, pl.DataFrame]) -> None:
    shares = {name: 1 - float(rows["device_registered"].mean()) for name, rows in fraud.items()}  # type: ignore[arg-type]
    assert shares["account_takeover"] > 0.3 > 0.1 > shares["false_call"]


def test_a_false_call_has_the_victim_pay_much_to_somebody_new(
    fraud: dict[str, pl.DataFrame], payments: pl.DataFrame
) -> None:
    pair = ("payer_account_id", "payee_account_id")
    seen = payments.with_columns(new=pl.int_range(pl.len()).over(pair) == 0)
    called = seen.filter(pl.col("typology") == "false_call")
    usual = seen.filter(~pl.col("is_fraud")).group_by("payer_account_id").agg(usual=pl.col("amount_cents").median())
    times = called.join(usual, on="payer_account_id").select(pl.col("amount_cents") / pl.col("usual")).to_series()
    assert times.median() > 3
    first = called.unique(pair, keep="first", maintain_order=True)  # a campaign may pay one mule again
    assert first["new"].mean() > 0.9


def test_a_mule_chain_fans_in_and_out_within_hours(fraud: dict[str, pl.DataFrame]) -> None:
    chain = fraud["mule_chain"]
    got = chain.group_by("payee_account_id").agg(pl.len().alias("got"), last=pl.col("initiated_at").max())
    sent = chain.group_by("payer_account_id").agg(pl.len().alias("sent"), first=pl.col("initiated_at").min())
    through = got.join(sent, left_on="payee_account_id", right_on="payer_account_id").filter(pl.col("got") >= 3)
    assert len(through) > 10
    assert (through["first"] - through["last"]).dt.total_minutes().abs().median() < 24 * 60


def test_a_swapped_code_collects_ordinary_purchases_of_many(fraud: dict[str, pl.DataFrame]) -> None:
    swapped = fraud["qr_code_swap"]
    assert (swapped["initiation_type"] == "QRES").mean() > 0.95
    payees = swapped.group_by("payee_account_id").agg(pl.col("payer_account_id").n_unique().alias("payers"))
    assert payees["payers"].max() >= 5


def test_a_relationship_scam_goes_on_for_days_with_one_payee(fraud: dict[str, pl.DataFrame]) -> None:
    pairs = (
        fraud["relationship_scam"]
        .group_by("payer_account_id", "payee_account_id")
        .agg(pl.len().alias("n"), days=(pl.col("initiated_at").max() - pl.col("initiated_at").min()).dt.total_days())
    )
    assert pairs.filter(pl.col("n") >= 3)["days"].median() > 7


# The command


def test_what_is_there_is_replaced_only_if_it_is_a_simulation(tmp_path: Path) -> None:
    arguments = ["simulate", "--rows", "1000", "--days", "7", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert main([*arguments, "--seed", "1"]) == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert main([*arguments[:-1], str(tmp_path / "mine")]) == 2
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_a_simulation_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> int:
        raise OSError("the disk is full")

    monkeypatch.setattr(simulate, "_write_day", fails)
    assert main(["simulate", "--rows", "1000", "--days", "7", "--out", str(tmp_path / "out")]) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rows", "0"], "rows is 0; it must be from 1 to"),
        (["--rows", "100", "--days", "3"], "days is 3"),
        (["--rows", "100", "--fraud-rate", "0.5"], "fraud-rate is 0.5"),
        (["--rows", "100", "--start", "2019-01-01"], "before Pix began"),
        (["--rows", "100", "--region", "XX", "--region-share", "0.5"], "region 'XX' is unknown"),
        (["--rows", "100", "--region", "NE"], "belong together"),
        (["--rows", "100", "--jobs", "0"], "jobs is 0"),
    ],
)
def test_what_can_not_be_simulated_is_said(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert said in capsys.readouterr().err
