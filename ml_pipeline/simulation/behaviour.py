"""Honest payments: drawn from each account's habits, within the limits that the rules set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml_pipeline.identifiers import MINUTE, Booleans, Integers
from ml_pipeline.simulation import rows, seasons
from ml_pipeline.simulation.accounts import Accounts, Floats, choose
from ml_pipeline.simulation.rows import Rows, capped
from ml_pipeline.simulation.settings import DAY, REGIONS, Settings


@dataclass(frozen=True)
class Honest:
    """How people and companies pay. Chosen so that fraud has honest look-alikes; see docs/data.md.

    Limits of an unregistered device: Res. BCB 403/2024.
    """

    big_purchase: float = 0.05  # of the payments to somebody new: a used car, rent in advance, a craftsman
    big_factor: tuple[float, float] = (4, 40)
    crowd: float = 1.0  # how unevenly a seller's days differ (standard deviation of the logarithm)
    to_people: float = 0.45  # of the payments to somebody new go to a person that doesn't sell
    near: float = 0.8  # of them stay in the region
    spread: float = 0.55  # of amounts around the usual one, in logarithms
    spread_new: float = 0.9
    registers_late: float = 0.6  # of those with a new device pay unregistered for a day
    unregistered_each: int = 20_000
    unregistered_day: int = 100_000
    # Shares of MANU, DICT, QRES, QRDN and INIC by payee.
    to_company: tuple[float, ...] = (0.02, 0.18, 0.25, 0.50, 0.05)
    to_seller: tuple[float, ...] = (0.03, 0.45, 0.45, 0.05, 0.02)
    to_person: tuple[float, ...] = (0.09, 0.82, 0.05, 0.01, 0.03)


HONEST = Honest()


def payer_weights(settings: Settings, accounts: Accounts, day: int, part: int, *, drifts: bool = True) -> Floats:
    """How likely each account is the next payer, in a part of a day."""
    date = settings.date(day)
    by_holder = np.where(
        accounts.company, seasons.weekday(date, companies=True), seasons.weekday(date, companies=False)
    )
    share = seasons.PART_SHARES[accounts.habit, int(seasons.day_off(date)), part]
    weights: Floats = accounts.activity * by_holder * share * seasons.paydays(date)[accounts.payday]
    weights[accounts.opened_on >= day] = 0
    drift = settings.drift
    if drifts and drift.region is not None and day >= settings.drifts_on:
        inside = accounts.region == REGIONS.index(drift.region)
        share_now = max(weights[inside].sum() / weights.sum(), 1e-9)
        weights = np.where(inside, weights * drift.region_share / share_now,
                           weights * (1 - drift.region_share) / (1 - share_now))  # fmt: skip
    return weights


def payments(settings: Settings, accounts: Accounts, day: int, part: int, count: int) -> Rows:
    """So many honest payments in a part of a day, before limits by sum."""
    rng = settings.stream(f"honest, part {part}", day)
    payer = choose(rng, payer_weights(settings, accounts, day, part), count)
    off = seasons.day_off(settings.date(day))
    minute = seasons.minutes(rng, accounts.habit[payer], part, off=off)
    at = settings.midnight + day * DAY + minute * MINUTE + rng.integers(0, MINUTE, count)
    slot = (accounts.payee_count[payer] * rng.random(count) ** 1.7).astype(int)
    new = rng.random(count) < accounts.novelty[payer]
    payee = np.where(new, _strangers(rng, accounts, payer, day), accounts.payees[payer, slot])
    impossible = (payee == payer) | (accounts.opened_on[payee] >= day)
    payee[impossible] = accounts.payees[payer[impossible], 0]
    registered = _registered(accounts, payer, day, part)
    cents = _amounts(rng, accounts, payer, payee, slot, new)
    if day >= settings.drifts_on:
        cents = np.maximum(1, cents * (1 + settings.drift.amount_inflation)).astype(np.int64)
    second = (rng.random(count) < 0.1) & registered
    none = np.zeros(count, np.int64)
    return Rows(
        at=at,
        payer=payer,
        payee=payee,
        cents=np.where(registered, cents, np.minimum(cents, HONEST.unregistered_each)),
        initiation=_initiations(rng, accounts, payee),
        device=accounts.device(payer, day, second),
        registered=registered,
        typology=none + rows.HONEST,
        known_at=at + settings.label_window_days * DAY,
    )


def daytime(settings: Settings, accounts: Accounts, day: int, count: int) -> Rows:
    """A day from 6 h to 20 h."""
    drawn = payments(settings, accounts, day, seasons.DAYTIME, count)
    new = ~drawn.registered
    budget = np.full(len(accounts), HONEST.unregistered_day)
    cents = drawn.cents.copy()
    cents[new] = capped(cents[new], drawn.payer[new], budget)
    return drawn.having(cents=cents)


def night(
    settings: Settings, accounts: Accounts, day: int, counts: tuple[int, int], spent: Floats
) -> tuple[Rows, Rows]:
    """The evening of a day and the morning after it, which share one limit; `spent` of it is already used."""
    evening, morning = counts
    parts = [
        payments(settings, accounts, day, seasons.EVENING, evening),
        payments(settings, accounts, day + 1, seasons.MORNING, morning),
    ]
    both = rows.join(parts)
    both = both.having(cents=capped(both.cents, both.payer, accounts.night_limit - spent))
    evening = np.arange(len(both)) < counts[0]
    return both.take(evening), both.take(~evening)


def _strangers(rng: np.random.Generator, accounts: Accounts, payer: Integers, day: int) -> Integers:
    """Somebody whom the payer doesn't usually pay: sellers by popularity, which differs by day, or any person."""
    popularity = accounts.popularity * rng.lognormal(0, HONEST.crowd, len(accounts))
    popularity[accounts.opened_on >= day] = 0
    person = (~accounts.company & (accounts.opened_on < day)).astype(float)
    to_person = rng.random(len(payer)) < HONEST.to_people
    near = rng.random(len(payer)) < HONEST.near
    found = np.empty(len(payer), np.int64)
    for weights, wanted in ((popularity, ~to_person), (person, to_person)):
        order = np.argsort(accounts.region, kind="stable")
        edges = np.concatenate([[0.0], np.cumsum(weights[order])])
        first = np.searchsorted(accounts.region[order], np.arange(len(REGIONS) + 1))
        region = accounts.region[payer[wanted]]
        low = np.where(near[wanted], edges[first[region]], 0)
        high = np.where(near[wanted], edges[first[region + 1]], edges[-1])
        at = np.searchsorted(edges, low + rng.random(len(region)) * (high - low), side="right") - 1
        found[wanted] = order[np.clip(at, 0, len(order) - 1)]
    return found


def _amounts(
    rng: np.random.Generator, accounts: Accounts, payer: Integers, payee: Integers, slot: Integers, new: Booleans
) -> Integers:
    """Amounts around what the payer usually pays this payee; some bills are the same every time."""
    count = len(payer)
    level, noise = accounts.payee_levels[payer, slot], rng.normal(0, 1, count)
    same = ~new & (level > 0.75)
    deviation = np.select([same, new], [0, HONEST.spread_new * noise], level * 0 + HONEST.spread * noise)
    big = new & ~accounts.company[payer] & (rng.random(count) < HONEST.big_purchase)
    factor = np.where(big, rng.uniform(np.log(HONEST.big_factor[0]), np.log(HONEST.big_factor[1]), count), 0)
    cents = np.exp(accounts.level[payer] + np.where(new, 0, level) + deviation + factor)
    return written(rng, np.clip(cents, 50, 20_000_000).astype(np.int64), accounts.company[payee])


def written(rng: np.random.Generator, cents: Integers, company: Booleans) -> Integers:
    """Amounts as people write them: round ones among people, prices ending in 90 or 99 in shops."""
    step = np.select([cents < 5_000, cents < 50_000], [500, 1_000], 5_000)
    rounded = np.maximum(step, (cents + step // 2) // step * step)
    price = cents // 100 * 100 + rng.choice([0, 90, 99], len(cents))
    plain = rng.random(len(cents)) < np.where(company, 0.6, 0.4)
    return np.where(plain, cents, np.where(company, np.maximum(price, 90), rounded))


def _initiations(rng: np.random.Generator, accounts: Accounts, payee: Integers) -> Integers:
    drawn = [choose(rng, shares, len(payee)) for shares in (HONEST.to_company, HONEST.to_seller)]
    rest = choose(rng, HONEST.to_person, len(payee))
    return np.select([accounts.company[payee], accounts.seller[payee]], drawn, rest)


def _registered(accounts: Accounts, payer: Integers, day: int, part: int) -> Booleans:
    """Whether the device was registered; a new one is by the evening."""
    late = payer * 2_654_435_761 % 2**32 < HONEST.registers_late * 2**32  # the same for an account every time
    return ~((accounts.new_device_on[payer] == day) & late & (part == seasons.DAYTIME))
