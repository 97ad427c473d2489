"""Features are the same for a whole history and for one payment, and know nothing of what comes later."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from ml_pipeline import features, simulate
from ml_pipeline.features import DAY, FEATURES, HOUR, LATEST, REGIONAL, State
from ml_pipeline.simulation.settings import Settings

SETTINGS = Settings(rows=30_000, seed=5, accounts=900, days=60, fraud_rate=0.02)
EVERY = (*FEATURES, *REGIONAL)
Compute = Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features") / "data"
    simulate.write(SETTINGS, folder, jobs=2)
    return folder


@pytest.fixture(scope="module")
def accounts(simulated: Path) -> pl.DataFrame:
    return features.read(simulated, "accounts", features.ACCOUNTS)


@pytest.fixture(scope="module")
def transactions(simulated: Path) -> pl.DataFrame:
    return features.read(simulated, "transactions", features.TRANSACTIONS).sort("initiated_at", "end_to_end_id")


@pytest.fixture(scope="module")
def crowded(transactions: pl.DataFrame) -> pl.DataFrame:
    """5,000 payments, of which many share their millisecond, then 1,500 of few payers to one payee within an hour."""
    whole_hours = pl.col("initiated_at").dt.truncate("6h")
    some = transactions.head(5_000).with_columns(
        initiated_at=pl.when(pl.int_range(pl.len()) % 3 > 0).then(whole_hours).otherwise("initiated_at")
    )
    since, payers = pl.int_range(pl.len()) // 2 * 4_000, transactions["payer_account_id"]
    burst = transactions.slice(5_000, 1_500).with_columns(
        initiated_at=(pl.col("initiated_at").first().cast(pl.Int64) + since).cast(pl.Datetime("ms", "UTC")),
        payee_account_id=pl.lit(transactions["payee_account_id"][0]),
        payer_account_id=pl.lit(payers).gather(pl.int_range(pl.len()) % 7),
    )
    return pl.concat([some, burst]).sort("initiated_at", "end_to_end_id")


def online(transactions: pl.DataFrame, accounts: pl.DataFrame) -> NDArray[np.float32]:
    reference, state, made = {each["account_id"]: each for each in accounts.iter_rows(named=True)}, State(), []
    for event in transactions.iter_rows(named=True):
        one = features.payment(event, reference[event["payer_account_id"]], reference[event["payee_account_id"]])
        made.append(state.features(one, EVERY))
        state.add(one)
    return np.array(made)


# One definition


def test_the_whole_history_and_one_payment_after_the_other_give_the_same_bits(
    transactions: pl.DataFrame, crowded: pl.DataFrame, accounts: pl.DataFrame
) -> None:
    for table in (transactions.head(15_000), crowded):
        offline = features.compute(table, accounts).select(EVERY)
        assert set(offline.dtypes) == {pl.Float32}
        expected = online(table, accounts)
        unequal = [name for name, column in zip(EVERY, expected.T, strict=True) if (offline[name] != column).any()]
        assert unequal == []
        assert np.isfinite(expected).all()


def test_a_change_of_one_payment_shows_in_both(transactions: pl.DataFrame, accounts: pl.DataFrame) -> None:
    table = transactions.head(3_000)
    changed = table.with_columns(amount_cents=pl.col("amount_cents") + (pl.int_range(pl.len()) == 100) * 5)
    before, after = online(table, accounts), features.compute(changed, accounts).select(EVERY).to_numpy()
    rows = np.flatnonzero((before != after).any(axis=1))
    assert rows[0] == 100
    assert len(rows) > 1  # it is part of what came later


def test_payments_of_one_millisecond_do_not_see_each_other(crowded: pl.DataFrame, accounts: pl.DataFrame) -> None:
    made = features.compute(crowded, accounts)
    for side, names in (
        ("payer", ("payer_payments_1h", "payer_amount_cents_30d", "payer_new_payee_share")),
        ("payee", ("payee_payers_24h", "payee_payments_7d", "payee_days", "payee_static_share")),
    ):
        tied = made.group_by(f"{side}_account_id", "initiated_at").agg(pl.len(), pl.col(names).n_unique())
        tied = tied.filter(pl.col("len") > 1)
        assert len(tied) > 200
        assert (tied.select(names).to_numpy() == 1).all()


def test_features_are_what_a_plain_count_says(crowded: pl.DataFrame, accounts: pl.DataFrame) -> None:
    made = features.compute(crowded, accounts)
    rows = crowded.with_columns(at=pl.col("initiated_at").dt.timestamp("ms")).to_dicts()
    for place in [*range(0, len(rows), 97), len(rows) - 1]:
        one, got = rows[place], made.row(place, named=True)
        past = [each for each in rows if each["at"] < one["at"]]
        sent = [each for each in past if each["payer_account_id"] == one["payer_account_id"]]
        received = [each for each in past if each["payee_account_id"] == one["payee_account_id"]]
        pair = [each for each in sent if each["payee_account_id"] == one["payee_account_id"]]
        for name, hours in (("1h", 1), ("24h", 24), ("30d", 720)):
            within = [each["amount_cents"] for each in sent if each["at"] >= one["at"] - hours * HOUR]
            assert got[f"payer_payments_{name}"] == len(within)
            assert got[f"payer_amount_cents_{name}"] == pytest.approx(sum(within), rel=1e-6)
        payers = {each["payer_account_id"] for each in received[-LATEST:] if each["at"] >= one["at"] - DAY}
        assert got["payee_payers_24h"] == len(payers)
        assert got["payee_payments_7d"] == min(LATEST, sum(each["at"] >= one["at"] - 7 * DAY for each in received))
        assert got["is_new_payee"] == (not pair)
        assert got["is_new_device"] == (one["device_id"] not in {each["device_id"] for each in sent})
        usual = np.exp(np.mean(np.log([each["amount_cents"] for each in sent or [one]])))
        assert got["amount_ratio"] == pytest.approx(one["amount_cents"] / usual, rel=1e-5)
        highest = max(each["amount_cents"] for each in sent or [one])
        assert got["amount_over_highest"] == pytest.approx(np.log(one["amount_cents"] / highest), abs=2e-6)
        assert got["pair_days"] == pytest.approx(min(30, (one["at"] - (pair or [one])[0]["at"]) / DAY), rel=1e-6)
    assert made["payee_payments_7d"].max() == LATEST  # the burst reached what is remembered


def test_the_hour_is_compared_around_the_clock(transactions: pl.DataFrame, accounts: pl.DataFrame) -> None:
    first = transactions.head(1)
    at = [datetime.datetime(2026, 6, day, hour, tzinfo=datetime.UTC) for day, hour in ((1, 2), (2, 4), (3, 3), (4, 15))]
    table = pl.concat([first] * 4).with_columns(
        initiated_at=pl.Series(at).cast(first["initiated_at"].dtype), end_to_end_id=pl.Series(list("abcd"))
    )
    made = features.compute(table, accounts)
    assert made["hour"].to_list() == [23, 1, 0, 12]  # in São Paulo
    assert made["hour_deviation"].to_list() == pytest.approx([6, 2, 0, 12], abs=1e-4)


def test_a_state_keeps_no_more_than_it_needs(crowded: pl.DataFrame, accounts: pl.DataFrame) -> None:
    reference, state = {each["account_id"]: each for each in accounts.iter_rows(named=True)}, State()
    for event in crowded.iter_rows(named=True):
        payer, payee = reference[event["payer_account_id"]], reference[event["payee_account_id"]]
        state.add(features.payment(event, payer, payee))
    kept = [len(each.times) for each in (*state.sent.values(), *state.received.values())]
    assert max(kept) <= LATEST + 2  # those of the last millisecond come on top
    assert max(len(each.times) for each in (*state.pairs.values(), *state.devices.values())) < 30


# No look-ahead


def knows_the_future(compute: Compute, table: pl.DataFrame, accounts: pl.DataFrame) -> bool:
    """Whether a payment's features change with what happens at its time or later."""
    whole = compute(table, accounts)
    numbers = [name for name, kind in whole.schema.items() if kind == pl.Float32]
    for place in (len(table) // 3, len(table) // 2, len(table) - 1):
        moment = table["initiated_at"][place]
        later = pl.col("initiated_at") >= moment
        other = table.with_columns(
            amount_cents=pl.when(later).then(pl.col("amount_cents") * 7).otherwise("amount_cents"),
            payee_account_id=pl.when(later).then(pl.col("payer_account_id")).otherwise("payee_account_id"),
            device_id=pl.when(later).then(pl.lit("another")).otherwise("device_id"),
        )
        earlier = whole.filter(~later).select(numbers)
        for changed in (table.filter(~later), other):
            if not compute(changed, accounts).filter(~later).select(numbers).equals(earlier):
                return True
    return False


def test_what_comes_later_changes_no_feature(
    transactions: pl.DataFrame, crowded: pl.DataFrame, accounts: pl.DataFrame
) -> None:
    assert not knows_the_future(features.compute, transactions.head(8_000), accounts)
    assert not knows_the_future(features.compute, crowded, accounts)


@pytest.mark.parametrize(
    "leak",
    [
        pl.len().over("payee_account_id"),
        pl.col("amount_cents").mean().over("payer_account_id"),
        pl.col("initiated_at").shift(-1).over("payer_account_id").dt.epoch("ms"),
    ],
    ids=["count of the whole period", "mean of the whole period", "next payment"],
)
def test_a_feature_that_looks_ahead_is_caught(
    leak: pl.Expr, transactions: pl.DataFrame, accounts: pl.DataFrame
) -> None:
    def compute(table: pl.DataFrame, accounts: pl.DataFrame) -> pl.DataFrame:
        return features.compute(table, accounts).with_columns(leak.cast(pl.Float32).fill_null(0).alias("leak"))

    assert knows_the_future(compute, transactions.head(8_000), accounts)


# No label within


@pytest.fixture(scope="module")
def labelled(simulated: Path) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    made = features.offline(simulated)
    labels = features.read(simulated, "labels", ("end_to_end_id", "is_fraud"))
    fraud = made.join(labels, on="end_to_end_id", how="left", maintain_order="left")["is_fraud"].to_numpy()
    return made.select(FEATURES).to_numpy(), fraud


def auc(values: NDArray[np.float32], fraud: NDArray[np.bool_]) -> float:
    """How well the last third is ranked by a model of the first two."""
    cut = len(fraud) * 2 // 3
    with threadpool_limits(1):
        model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, early_stopping=False, random_state=0)
        model.fit(values[:cut], fraud[:cut])
        return float(roc_auc_score(fraud[cut:], model.predict_proba(values[cut:])[:, 1]))


def test_features_tell_fraud_and_nothing_of_labels_that_are_shuffled_or_shifted(
    labelled: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> None:
    values, fraud = labelled
    assert auc(values, fraud) > 0.9
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(fraud)
        assert 0.42 < auc(values, shuffled) < 0.58  # 200 frauds: standard error 0.02
    assert 0.42 < auc(values, np.roll(fraud, len(fraud) // 5)) < 0.58


def test_a_feature_made_from_the_label_is_caught_by_the_same_measure(
    labelled: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> None:
    values, fraud = labelled
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(fraud)
    leak = shuffled + rng.normal(0, 0.7, len(fraud))
    assert auc(np.column_stack([values, leak]).astype(np.float32), shuffled) > 0.7


# What is refused


def test_what_is_missing_is_named(simulated: Path, transactions: pl.DataFrame, accounts: pl.DataFrame) -> None:
    with pytest.raises(FileNotFoundError, match="python -m ml_pipeline simulate"):
        features.offline(simulated / "nowhere")
    some = transactions.head(100)
    with pytest.raises(ValueError, match=r"accounts lack \d+ of the payer_account_id"):
        features.compute(some, accounts.filter(pl.col("account_id") != some["payer_account_id"][0]))
    for column in ("device_id", "amount_cents"):
        holes = some.with_columns(pl.when(pl.int_range(pl.len()) > 3).then(column).alias(column))
        with pytest.raises(ValueError, match=f"4 of {column}"):
            features.compute(holes, accounts)
    with pytest.raises(ValueError, match="payer_region"):
        features.compute(some, accounts.with_columns(region=pl.lit("XX")))
    with pytest.raises(ValueError, match="amount_cents is below 1"):
        features.compute(some.with_columns(amount_cents=pl.lit(0)), accounts)


def test_a_column_that_is_missing_and_a_table_without_rows_are_named(
    tmp_path: Path, transactions: pl.DataFrame, accounts: pl.DataFrame
) -> None:
    for name, table, says in (
        ("column", transactions.drop("device_id"), "lacks the columns device_id"),
        ("rows", transactions.clear(), "holds no row"),
    ):
        for kind, each in (("transactions", table), ("accounts", accounts)):
            (tmp_path / name / kind).mkdir(parents=True)
            each.write_parquet(tmp_path / name / kind / "part-0.parquet")
        with pytest.raises(ValueError, match=says):
            features.offline(tmp_path / name)


def test_a_payment_before_one_that_was_added_is_refused(transactions: pl.DataFrame, accounts: pl.DataFrame) -> None:
    reference = {each["account_id"]: each for each in accounts.iter_rows(named=True)}
    event = transactions.row(50, named=True)
    sides = reference[event["payer_account_id"]], reference[event["payee_account_id"]]
    earlier = {**event, "initiated_at": event["initiated_at"] - datetime.timedelta(milliseconds=1)}
    state = State()
    state.add(features.payment(event, *sides))
    for act in (state.features, state.add):
        with pytest.raises(ValueError, match="order of time"):
            act(features.payment(earlier, *sides))
    with pytest.raises(ValueError, match="amount_cents is 0"):
        features.payment({**event, "amount_cents": 0}, *sides)
    with pytest.raises(ValueError, match="no time zone"):
        features.payment({**event, "initiated_at": event["initiated_at"].replace(tzinfo=None)}, *sides)
