"""Accounts and their owners' habits: who banks where, how long, with which devices, and whom they usually pay how much.

The habits are fixed per account and nothing is carried from one payment to the next, so any day can be made by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ml_pipeline import identifiers
from ml_pipeline.identifiers import Booleans, Integers
from ml_pipeline.simulation import seasons
from ml_pipeline.simulation.settings import DAY, HOUR, REGIONS, Settings

Floats = NDArray[np.float64]

# Made-up institutions (ISPB, share of accounts, share of the freshly opened): no crime is put down to a real one.
# One has letters, as every institution founded since July 2026 may.
INSTITUTIONS = (
    ("99900001", 0.22, 0.10),
    ("99900002", 0.18, 0.08),
    ("99900003", 0.15, 0.07),
    ("99900004", 0.12, 0.10),
    ("99900005", 0.16, 0.30),
    ("99900006", 0.09, 0.18),
    ("99900007", 0.05, 0.10),
    ("9990A00B", 0.03, 0.07),
)
# Area codes (DDD) by region, as Anatel's numbering plan has them, roughly by size.
AREA_CODES = {
    "N": (91, 92, 69, 63, 68, 96, 94, 95, 93, 97),
    "NE": (81, 71, 85, 98, 82, 83, 84, 86, 79, 75, 87, 73, 77, 88, 99, 74, 89),
    "CO": (61, 62, 65, 67, 64, 66),
    "SE": (11, 21, 31, 19, 27, 13, 12, 15, 16, 17, 14, 34, 32, 24, 35, 22, 18, 37, 33, 38, 28),
    "S": (51, 41, 48, 47, 44, 43, 54, 45, 42, 49, 46, 55, 53),
}
REGION_SHARES = (0.08, 0.26, 0.08, 0.43, 0.15)
AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
AGE_SHARES = (0.17, 0.25, 0.23, 0.16, 0.11, 0.08)
KEY_KINDS = ("CPF", "CNPJ", "PHONE", "EMAIL", "EVP")
PERSON_KEYS = (0.30, 0.0, 0.28, 0.14, 0.28)
COMPANY_KEYS = (0.0, 0.40, 0.10, 0.12, 0.38)
COMPANIES, SELLERS = 0.12, 0.09  # shares of companies, and of people who sell and show a static code
OPENED_LATELY = 0.10  # of the accounts are opened within the period
SLOTS = 16  # payees that an account pays again and again, at most
NIGHT_LIMIT = 100_000  # cents from 20 h to 6 h, for people (Res. BCB 142/2021), unless they asked for another
LETTERS_SINCE = np.datetime64("2026-07-01")  # alphanumeric CNPJ (IN RFB 2.229/2024)


@dataclass(frozen=True)
class Accounts:
    """One entry per account; days count from the simulation's start. `table` is what the pipeline may see of it."""

    table: pl.DataFrame
    company: Booleans
    seller: Booleans
    region: Integers
    age: Integers
    opened_on: Integers
    night_limit: Floats
    habit: Integers
    payday: Integers
    activity: Floats  # payments relative to others'
    level: Floats  # logarithm of its usual amount in cents
    novelty: Floats  # how often it pays somebody new
    popularity: Floats  # how often strangers pay it, relative to others
    payees: Integers  # by account and slot
    payee_levels: Floats  # what a slot's payee adds to the level
    payee_count: Integers
    new_device_on: Integers
    two_devices: Booleans
    salt: int

    def __len__(self) -> int:
        return len(self.level)

    def device(self, account: Integers, day: Integers | int, second: Booleans | None = None) -> NDArray[np.uint64]:
        """What the owner pays with on a day: a first device, the one that replaced it, or sometimes another."""
        which = (day >= self.new_device_on[account]).astype(np.int64)
        if second is not None:
            which = np.where(second & self.two_devices[account], 2, which)
        return scrambled((account * 4 + which).astype(np.uint64) + np.uint64(self.salt))


def scrambled(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Distinct numbers for distinct numbers, without visible order (the finaliser of SplitMix64)."""
    mixed = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def choose(rng: np.random.Generator, shares: tuple[float, ...] | Floats, count: int) -> Integers:
    """Positions drawn by their shares."""
    edges = np.cumsum(shares)
    return np.minimum(np.searchsorted(edges, rng.random(count) * edges[-1], side="right"), len(edges) - 1)


def open_accounts(settings: Settings) -> Accounts:
    """All accounts of a simulation, from its seed."""
    count, rng = settings.population, settings.stream("accounts")
    company = rng.random(count) < COMPANIES
    seller = ~company & (rng.random(count) < SELLERS)
    lately = rng.random(count) < OPENED_LATELY
    opened_on = np.where(lately, rng.integers(0, settings.days, count), -rng.exponential(900, count).astype(int) - 1)
    opened_on = np.maximum(opened_on, -5000)
    region = choose(rng, REGION_SHARES, count)
    age = choose(rng, AGE_SHARES, count)
    habit = np.where(company, len(seasons.HABITS) - 1, choose(rng, tuple(h.share for h in seasons.HABITS), count))
    asked = rng.random(count)
    night_limit = np.select([company, asked < 0.08, asked > 0.92], [10**12, 5 * NIGHT_LIMIT, 30_000], NIGHT_LIMIT)
    payday = np.where(company, 3, choose(rng, (0.42, 0.13, 0.10, 0.35), count))
    payees, payee_levels = _usual_payees(settings, region, company, seller, opened_on)
    return Accounts(
        table=_table(settings, company, region, age, opened_on, night_limit),
        company=company,
        seller=seller,
        region=region,
        age=age,
        opened_on=opened_on,
        night_limit=night_limit.astype(np.float64),
        habit=habit,
        payday=payday,
        activity=rng.lognormal(0, 0.8, count) * np.where(company, 1.5, np.array([1.2, 1.3, 1.1, 0.9, 0.7, 0.5])[age]),
        level=np.where(company, rng.normal(np.log(28_000), 0.9, count), rng.normal(np.log(4_500), 0.65, count)),
        novelty=rng.beta(2, 7, count),
        popularity=np.select([company, seller], [rng.lognormal(1.5, 1.2, count), rng.lognormal(0.5, 1, count)], 0),
        payees=payees,
        payee_levels=payee_levels,
        payee_count=rng.integers(3, SLOTS + 1, count),
        new_device_on=np.where(rng.random(count) < 0.6, rng.integers(1, settings.days, count), 10**6),
        two_devices=rng.random(count) < 0.2,
        salt=int(rng.integers(0, 2**62)),
    )


def _usual_payees(
    settings: Settings, region: Integers, company: Booleans, seller: Booleans, opened_on: Integers
) -> tuple[Integers, Floats]:
    """Whom each account pays again and again: companies and sellers of its region, relatives, friends."""
    rng, count = settings.stream("usual payees"), len(region)
    payees = np.empty((count, SLOTS), np.int64)
    known = np.flatnonzero(opened_on < 0)
    shops, people = known[(company | seller)[known]], known[~company[known]]
    for slot in range(SLOTS):
        sells, near = rng.random(count) < 0.5, rng.random(count) < 0.8
        payees[:, slot] = np.where(sells, rng.choice(shops, count), rng.choice(people, count))
        for place in range(len(REGIONS)):
            here = np.flatnonzero((region == place) & near)
            for wanted, pool in ((sells, shops), (~sells, people)):
                local, who = pool[region[pool] == place], here[wanted[here]]
                if len(local) and len(who):
                    payees[who, slot] = rng.choice(local, len(who))
    own = payees == np.arange(count)[:, None]
    payees[own] = np.where(own.nonzero()[0] == known[0], known[1], known[0])
    return payees, rng.normal(0, 0.6, (count, SLOTS))


def _table(
    settings: Settings, company: Booleans, region: Integers, age: Integers, opened_on: Integers, night_limit: Integers
) -> pl.DataFrame:
    rng, count = settings.stream("account table"), len(region)
    codes = np.array([AREA_CODES[name][i % len(AREA_CODES[name])] for name in REGIONS for i in range(32)]).reshape(
        -1, 32
    )
    area_code = codes[region, np.minimum(rng.exponential(4, count).astype(int), 31)]
    opened_at = settings.midnight + opened_on * DAY + rng.integers(8 * HOUR, 20 * HOUR, count)
    shares = [np.array(INSTITUTIONS, dtype=object)[:, column].astype(float) for column in (1, 2)]
    bank = np.where(opened_on > -180, choose(rng, shares[1], count), choose(rng, shares[0], count))
    tax_id = _tax_ids(rng, company, opened_at)
    kind, key = _keys(rng, company, area_code, tax_id)
    return pl.DataFrame(
        {
            "account_id": identifiers.strings(identifiers.digits(np.arange(count), 10)),
            "ispb": pl.Series([ispb for ispb, *_ in INSTITUTIONS]).gather(bank),
            "account_type": pl.Series(["TRAN", "CACC"]).gather((bank < 4).astype(int)),
            "holder_type": pl.Series(["NATURAL_PERSON", "LEGAL_PERSON"]).gather(company.astype(int)),
            "tax_id": tax_id,
            "area_code": identifiers.strings(identifiers.digits(area_code, 2)),
            "region": pl.Series(REGIONS).gather(region),
            "age_band": pl.Series([*AGE_BANDS, None]).gather(np.where(company, len(AGE_BANDS), age)),
            "opened_at": pl.Series(opened_at).cast(pl.Datetime("ms", "UTC")),
            "pix_key_type": kind,
            "pix_key": key,
            "night_limit_cents": pl.Series([*night_limit.tolist()], dtype=pl.Int64).set(pl.Series(company), None),
        }
    )


def _distinct(rng: np.random.Generator, width: int, count: int) -> Integers:
    """Distinct numbers of at most `width` digits, none of one repeated digit."""
    drawn = rng.choice(10**width, count + 10, replace=False)
    return drawn[~identifiers.repeated(drawn, width)][:count]


def _tax_ids(rng: np.random.Generator, company: Booleans, opened_at: Integers) -> pl.Series:
    """A CPF or CNPJ for each account; companies that opened after letters came mostly have letters."""
    cpf = identifiers.strings(identifiers.cpf(_distinct(rng, 9, len(company))))
    root = identifiers.digits(_distinct(rng, 8, len(company)), 8)
    lettered = (opened_at.astype("datetime64[ms]") >= LETTERS_SINCE) & (rng.random(len(company)) < 0.8)
    letters = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", np.uint8)[rng.integers(0, 26, (len(company), 3))]
    root[:, 2:5] = np.where(lettered[:, None], letters, root[:, 2:5])
    branch = np.broadcast_to(np.frombuffer(b"0001", np.uint8), (len(company), 4))
    cnpj = identifiers.strings(identifiers.cnpj(np.hstack([root, branch])))
    return cpf.zip_with(pl.Series(~company), cnpj)


def _keys(
    rng: np.random.Generator, company: Booleans, area_code: Integers, tax_id: pl.Series
) -> tuple[pl.Series, pl.Series]:
    """One Pix key per account, of a kind that its owner may have."""
    count = len(company)
    kind = np.where(company, choose(rng, COMPANY_KEYS, count), choose(rng, PERSON_KEYS, count))
    # After the 9 of mobile phones comes the old eight-digit number, which never began with 0: nobody has 90xxx-xxxx.
    subscriber = _distinct(rng, 7, count) if count < 9_000_000 else rng.integers(0, 10**7, count)
    phone = identifiers.strings(identifiers.digits(area_code * 10**9 + 900_000_000 + subscriber, 11))
    user = identifiers.strings(identifiers.hexadecimal(rng.integers(0, 2**63, count).astype(np.uint64)))
    domain = pl.Series(["example.com", "example.net", "example.org"]).gather(rng.integers(0, 3, count))
    kinds = pl.Series("kind", KEY_KINDS).gather(kind)
    columns = pl.DataFrame(
        {"kind": kinds, "tax": tax_id, "phone": "+55" + phone, "mail": "u" + user.str.slice(0, 12) + "@" + domain,
         "evp": identifiers.strings(identifiers.evp(rng, count))}
    )  # fmt: skip
    key = pl.when(pl.col("kind").is_in(["CPF", "CNPJ"])).then("tax").when(kind=pl.lit("PHONE")).then("phone")
    return kinds, columns.select(key=key.when(kind=pl.lit("EMAIL")).then("mail").otherwise("evp")).to_series()
