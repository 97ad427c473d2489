"""Rows as the pipeline sees them: the event as it is initiated, and apart from it the label that comes later."""

from __future__ import annotations

import numpy as np
import polars as pl

from ml_pipeline import identifiers
from ml_pipeline.simulation import rows
from ml_pipeline.simulation.accounts import INSTITUTIONS, Accounts, choose
from ml_pipeline.simulation.rows import Rows
from ml_pipeline.simulation.settings import DAY, Settings
from ml_pipeline.simulation.typologies import NAMES, TYPOLOGIES

UTC = pl.Datetime("ms", "UTC")
BANKS = [ispb for ispb, *_ in INSTITUTIONS]


def tables(settings: Settings, accounts: Accounts, day: int, made: Rows) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The transactions and the labels of a day's rows, in their order."""
    table = transactions(settings, accounts, day, made)
    return table, labels(settings, day, made, table["end_to_end_id"])


def transactions(settings: Settings, accounts: Accounts, day: int, made: Rows) -> pl.DataFrame:
    rng = settings.stream("identifiers", day)
    payer, payee = accounts.table[made.payer], accounts.table[made.payee]
    ispb = payer["ispb"].replace_strict(BANKS, range(len(BANKS)), return_dtype=pl.Int64).to_numpy()
    ids = identifiers.end_to_end_id(rng, identifiers.text(BANKS, 8)[ispb], made.at)
    charged = made.initiation == rows.DYNAMIC_CODE
    place = np.where(charged, np.cumsum(charged) - 1, 0)
    txid = identifiers.txid(rng, max(1, int(charged.sum()))).gather(place)
    manual = pl.Series(made.initiation == rows.MANUAL)  # branch and number typed in, without a key
    return pl.DataFrame(
        {
            "end_to_end_id": identifiers.strings(ids),
            "txid": txid.set(pl.Series(~charged), None),
            "initiated_at": pl.Series(made.at).cast(UTC),
            "payer_account_id": payer["account_id"],
            "payer_ispb": payer["ispb"],
            "payee_account_id": payee["account_id"],
            "payee_ispb": payee["ispb"],
            "payee_key_type": payee["pix_key_type"].set(manual, None),
            "payee_key": payee["pix_key"].set(manual, None),
            "initiation_type": pl.Series(rows.INITIATIONS).gather(made.initiation),
            "amount_cents": made.cents,
            "device_id": identifiers.strings(identifiers.hexadecimal(made.device)),
            "device_registered": made.registered,
        }
    )


def labels(settings: Settings, day: int, made: Rows, end_to_end_id: pl.Series) -> pl.DataFrame:
    """What will be known of each payment, and when; some fraud is never reported, some honest payments are."""
    rng, count = settings.stream("labels", day), len(made)
    fraud = made.typology != rows.HONEST
    wrong = settings.label_noise * np.where(fraud, 1, settings.fraud_rate / (1 - settings.fraud_rate))
    reported = fraud ^ (rng.random(count) < wrong)
    claimed = choose(rng, tuple(each.share for each in TYPOLOGIES), count)
    typology = np.where(fraud, made.typology, claimed)
    window = settings.label_window_days * DAY
    claimed_at = made.at + np.minimum(rng.lognormal(np.log(3), 0.8, count) * DAY, window - 1).astype(np.int64)
    known_at = np.where(reported, np.where(fraud, made.known_at, claimed_at), made.at + window)
    return pl.DataFrame(
        {
            "end_to_end_id": end_to_end_id,
            "is_fraud": reported,
            "typology": pl.Series([*NAMES, None]).gather(np.where(reported, typology, len(NAMES))),
            "label_known_at": pl.Series(known_at).cast(UTC),
        }
    )
