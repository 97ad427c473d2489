"""Fraud, planned for the whole period at once: campaigns with victims, mules and times, of which days take their part.

What each kind looks like follows public descriptions (the Central Bank's and Febraban's warnings to customers; the
special return mechanism MED, Res. BCB 103/2021); the numbers are chosen so that honest payments can look alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ml_pipeline.identifiers import MINUTE, Booleans, Integers
from ml_pipeline.simulation import rows, seasons
from ml_pipeline.simulation.accounts import AGE_BANDS, Accounts, Floats, choose, scrambled
from ml_pipeline.simulation.behaviour import HONEST, written
from ml_pipeline.simulation.rows import Rows, capped
from ml_pipeline.simulation.settings import DAY, HOUR, Settings

Peaks = tuple[tuple[float, float, float], ...]
OFFICE: Peaks = ((10.5, 1.5, 1), (15, 2, 1.2))
LEISURE: Peaks = ((13, 2, 0.6), (20, 2, 1))
ANY: Peaks = ((11, 3, 1), (16, 3, 1), (21, 2.5, 1.2), (2, 1.5, 0.3))
OF_NIGHT_LIMIT = 0.9  # what fraud may use of a victim's limit, so that the victim's own payments still fit


@dataclass(frozen=True)
class Mules:
    """Accounts that receive what is stolen: some opened for it, some lent. Each is in use for a few days."""

    account: Integers
    since: Floats  # days from the start, ascending
    opened_on: Integers

    def at(self, rng: np.random.Generator, day: Floats) -> Integers:
        """A mule in use on each day, most likely one that came into use lately."""
        latest = np.searchsorted(self.since, day, side="right") - 1
        back = (rng.random(len(day)) ** 2 * max(4, len(self.account) * 0.06)).astype(int)
        found = np.maximum(latest - back, 0)
        lent = np.flatnonzero(self.opened_on < -30)
        unopened = self.opened_on[found] >= np.floor(day)
        found[unopened] = lent[rng.integers(0, len(lent), int(unopened.sum()))]
        return self.account[found]


def recruit(settings: Settings, accounts: Accounts) -> Mules:
    """One mule for about four frauds, mostly fresh accounts of people."""
    rng = settings.stream("mules")
    usable = np.flatnonzero(~accounts.company & (accounts.opened_on < settings.days - 4))
    fresh = accounts.opened_on[usable] > -150
    weights = np.where(fresh, 3.0, 1.0) * np.array([3, 2, 1, 0.7, 0.5, 0.4])[accounts.age[usable]]
    count = int(np.clip(settings.frauds // 4, 6, len(usable) // 10))
    account = rng.choice(usable, count, replace=False, p=weights / weights.sum())
    first = np.maximum(accounts.opened_on[account] + rng.uniform(2, 25, count), -5)
    since = np.where(accounts.opened_on[account] > -25, first, rng.uniform(-5, settings.days, count))
    order = np.argsort(since, kind="stable")
    old = np.flatnonzero(~accounts.company & (accounts.opened_on < -60))[:3]  # so that somebody always is there
    return Mules(
        account=np.concatenate([old, account[order]]),
        since=np.concatenate([np.full(len(old), -10.0), since[order]]),
        opened_on=np.concatenate([accounts.opened_on[old], accounts.opened_on[account[order]]]),
    )


@dataclass(frozen=True)
class Scene:
    """What campaigns are planned in. `since` is the first day for them."""

    settings: Settings
    accounts: Accounts
    mules: Mules
    since: int = 0

    def victims(
        self, rng: np.random.Generator, count: int, by_age: tuple[float, ...] = (1,) * len(AGE_BANDS)
    ) -> Integers:
        usable = np.flatnonzero(~self.accounts.company & (self.accounts.opened_on < self.since))
        weights = np.array(by_age)[self.accounts.age[usable]] * np.minimum(self.accounts.activity[usable], 2)
        return usable[choose(rng, weights, count)]

    def starts(self, rng: np.random.Generator, count: int, peaks: Peaks, span: float = 0) -> Integers:
        """When campaigns begin that last `span` days."""
        last = max(self.since + 1, int(self.settings.days - span))
        day = rng.integers(self.since, last, count)
        return day * DAY + seasons.minutes_of(rng, peaks, count) * MINUTE + rng.integers(0, MINUTE, count)


@dataclass(frozen=True)
class Campaigns:
    """Which campaign each row belongs to, and its place in it."""

    of: Integers
    place: Integers
    first: Integers

    def __len__(self) -> int:
        return len(self.first)

    def times(self, rng: np.random.Generator, starts: Integers, minutes: tuple[float, float]) -> Integers:
        """Times that follow each campaign's start with gaps of so many minutes."""
        gaps = np.cumsum(rng.uniform(minutes[0], minutes[1], len(self.of)) * MINUTE)
        return starts[self.of] + (gaps - gaps[self.first][self.of]).astype(np.int64)


def split(rng: np.random.Generator, quota: int, sizes: tuple[int, int]) -> Campaigns:
    """Campaigns of so many rows each, `quota` rows in all."""
    ends = np.cumsum(rng.integers(sizes[0], sizes[1] + 1, quota))
    ends = np.minimum(ends[: np.searchsorted(ends, quota) + 1], quota)
    first = np.concatenate([[0], ends[:-1]]).astype(np.int64)[: len(ends)]
    of = np.repeat(np.arange(len(ends)), np.diff(np.concatenate([[0], ends])))
    return Campaigns(of, np.arange(quota) - first[of], first)


@dataclass(frozen=True)
class Typology:
    """One kind of fraud. `report_days` is the median time until somebody reports it."""

    name: ClassVar[str]
    share: float
    report_days: float
    sizes: tuple[int, int]

    def plan(self, scene: Scene, rng: np.random.Generator, quota: int) -> Rows:
        raise NotImplementedError

    def finished(
        self, scene: Scene, rng: np.random.Generator, campaigns: Campaigns, at: Integers, payer: Integers,
        payee: Integers, cents: Floats, initiation: tuple[float, ...], device: Integers | None = None,
        registered: Booleans | None = None,
    ) -> Rows:  # fmt: skip
        """Rows of campaigns, moved to within the period and with the time of their report."""
        settings, accounts = scene.settings, scene.accounts
        last = np.zeros(len(campaigns), np.int64)
        np.maximum.at(last, campaigns.of, at)
        beyond = np.maximum(0, last - (settings.days * DAY - 1))
        at = settings.midnight + np.maximum(at - beyond[campaigns.of], 0)
        days = np.minimum(self.report_days * rng.lognormal(0, 0.8, len(campaigns)), 0.95 * settings.label_window_days)
        known_at = (
            settings.midnight + (last - beyond)[campaigns.of] + HOUR + (days * DAY).astype(np.int64)[campaigns.of]
        )
        payee = np.where(payee == payer, accounts.payees[payer, 0], payee)
        own = accounts.device(payer, (at - settings.midnight) // DAY)
        return Rows(
            at=at,
            payer=payer,
            payee=payee,
            cents=written(rng, np.clip(cents, 100, 20_000_000).astype(np.int64), accounts.company[payee]),
            initiation=choose(rng, initiation, len(at)),
            device=own if device is None else device.astype(np.uint64),
            registered=np.ones(len(at), np.bool_) if registered is None else registered,
            typology=np.full(len(at), NAMES.index(self.name)),
            known_at=np.minimum(known_at, at + settings.label_window_days * DAY - 1),
        )


@dataclass(frozen=True)
class AccountTakeover(Typology):
    """A stranger pays from the victim's account: a device never seen there, bursts within minutes, at any hour.

    Most such devices are not registered and stay within R$ 200 a payment and R$ 1,000 a day (Res. BCB 403/2024).
    """

    name = "account_takeover"
    share: float = 0.24
    report_days: float = 0.7
    sizes: tuple[int, int] = (1, 4)
    unregistered: float = 0.45
    factor: tuple[float, float] = (0.7, 0.9)  # of the victim's usual amount: logarithm's mean and deviation

    def plan(self, scene: Scene, rng: np.random.Generator, quota: int) -> Rows:
        campaigns = split(rng, quota, self.sizes)
        victim = scene.victims(rng, len(campaigns))[campaigns.of]
        at = campaigns.times(rng, scene.starts(rng, len(campaigns), ANY), (1, 9))
        two = [scene.mules.at(rng, at[campaigns.first] / DAY)[campaigns.of] for _ in range(2)]
        payee = np.where(campaigns.place % 3 == 2, two[1], two[0])
        registered = (rng.random(len(campaigns)) >= self.unregistered)[campaigns.of]
        cents = np.exp(scene.accounts.level[victim] + rng.normal(*self.factor, quota))
        cents = np.where(registered, cents, np.minimum(cents, HONEST.unregistered_each))
        device = scrambled(rng.integers(0, 2**63, len(campaigns)).astype(np.uint64))[campaigns.of]
        ways = (0.12, 0.68, 0.08, 0.10, 0.02)
        return self.finished(scene, rng, campaigns, at, victim, payee, cents, ways, device.view(np.int64), registered)


@dataclass(frozen=True)
class FalseCall(Typology):
    """A caller who claims to be the bank talks the owner into paying: own device, office hours, new payee, much money.

    Older people are called more often.
    """

    name = "false_call"
    share: float = 0.24
    report_days: float = 1.5
    sizes: tuple[int, int] = (1, 3)
    factor: tuple[float, float] = (1.8, 0.8)
    by_age: tuple[float, ...] = (0.6, 0.7, 0.9, 1.3, 2.0, 2.6)

    def plan(self, scene: Scene, rng: np.random.Generator, quota: int) -> Rows:
        campaigns = split(rng, quota, self.sizes)
        victim = scene.victims(rng, len(campaigns), self.by_age)[campaigns.of]
        at = campaigns.times(rng, scene.starts(rng, len(campaigns), OFFICE), (3, 25))
        payee = scene.mules.at(rng, at[campaigns.first] / DAY)[campaigns.of]
        cents = np.exp(scene.accounts.level[victim] + rng.normal(*self.factor, quota))
        return self.finished(scene, rng, campaigns, at, victim, payee, cents, (0.15, 0.65, 0.06, 0.12, 0.02))


@dataclass(frozen=True)
class MuleChain(Typology):
    """Several pay one mule within two hours, who passes it on to other mules within minutes."""

    name = "mule_chain"
    share: float = 0.22
    report_days: float = 5.0
    sizes: tuple[int, int] = (5, 10)
    payers: float = 0.6  # of a campaign's payments come in, the others go out

    def plan(self, scene: Scene, rng: np.random.Generator, quota: int) -> Rows:
        campaigns = split(rng, quota, self.sizes)
        of, size = campaigns.of, np.bincount(campaigns.of, minlength=len(campaigns))
        out = campaigns.place >= np.ceil(size * self.payers)[of]
        starts = scene.starts(rng, len(campaigns), OFFICE)
        at = starts[of] + (rng.random(quota) * 2 * HOUR).astype(np.int64)
        done = np.zeros(len(campaigns), np.int64)
        np.maximum.at(done, of[~out], at[~out])
        at = np.where(out, done[of] + (rng.uniform(2, 40, quota) * MINUTE).astype(np.int64), at)
        mule = scene.mules.at(rng, starts / DAY)[of]
        other = scene.mules.at(rng, at / DAY)
        victim = scene.victims(rng, quota)
        cents = np.exp(scene.accounts.level[victim] + rng.normal(0.9, 0.8, quota))
        received = np.bincount(of[~out], weights=cents[~out], minlength=len(campaigns))
        outgoing = np.bincount(of[out], minlength=len(campaigns))
        passed_on = (received * 0.95 / np.maximum(outgoing, 1))[of] * rng.uniform(0.8, 1.0, quota)
        return self.finished(
            scene, rng, campaigns, at, np.where(out, mule, victim), np.where(out, other, mule),
            np.where(out, passed_on, cents), (0.08, 0.72, 0.10, 0.08, 0.02),
        )  # fmt: skip


@dataclass(frozen=True)
class CodeSwap(Typology):
    """A sticker covers a shop's static QR code: ordinary purchases of many in the region end up with one person."""

    name = "qr_code_swap"
    share: float = 0.14
    report_days: float = 3.0
    sizes: tuple[int, int] = (5, 16)

    def plan(self, scene: Scene, rng: np.random.Generator, quota: int) -> Rows:
        campaigns = split(rng, quota, self.sizes)
        at = campaigns.times(rng, scene.starts(rng, len(campaigns), OFFICE), (5, 50))
        payee = scene.mules.at(rng, at[campaigns.first] / DAY)[campaigns.of]
        tried = np.stack([scene.victims(rng, quota) for _ in range(6)])
        local = scene.accounts.region[tried] == scene.accounts.region[payee]
        victim = tried[local.argmax(axis=0), np.arange(quota)]
        cents = np.exp(0.5 * scene.accounts.level[victim] + 0.5 * np.log(6_000) + rng.normal(0, 0.7, quota))
        return self.finished(scene, rng, campaigns, at, victim, payee, cents, (0, 0, 1, 0, 0))


@dataclass(frozen=True)
class RelationshipScam(Typology):
    """A friend known only online asks for money: one payee over weeks, rising amounts, the victim's own device."""

    name = "relationship_scam"
    share: float = 0.16
    report_days: float = 2.0
    sizes: tuple[int, int] = (4, 9)
    span: tuple[float, float] = (10, 25)  # days
    growth: float = 0.28  # of the amount's logarithm, per payment
    by_age: tuple[float, ...] = (0.4, 0.6, 0.9, 1.4, 2.0, 2.2)

    def plan(self, scene: Scene, rng: np.random.Generator, quota: int) -> Rows:
        campaigns = split(rng, quota, self.sizes)
        days = scene.settings.days - scene.since
        span = np.minimum(rng.uniform(*self.span, len(campaigns)), 0.8 * days)
        starts = scene.starts(rng, len(campaigns), LEISURE, float(span.max(initial=0)))
        size = np.bincount(campaigns.of, minlength=len(campaigns))
        step = (span / size)[campaigns.of] * DAY
        at = starts[campaigns.of] + (step * (campaigns.place + rng.uniform(-0.3, 0.3, quota) * (campaigns.place > 0)))
        victim = scene.victims(rng, len(campaigns), self.by_age)[campaigns.of]
        payee = scene.victims(rng, len(campaigns))[campaigns.of]  # no mule: an account that only this victim pays
        rising = 0.9 + self.growth * campaigns.place + rng.normal(0, 0.5, quota)
        cents = np.exp(scene.accounts.level[victim] + rising)
        ways = (0.15, 0.75, 0.02, 0.05, 0.03)
        return self.finished(scene, rng, campaigns, at.astype(np.int64), victim, payee, cents, ways)


@dataclass(frozen=True)
class RemoteAccess(Typology):
    """Malware drives the victim's own, registered device: several payments within minutes to different new payees.

    Not part of the usual mix: the drift knob brings it in.
    """

    name = "remote_access"
    share: float = 0.0
    report_days: float = 1.0
    sizes: tuple[int, int] = (3, 6)

    def plan(self, scene: Scene, rng: np.random.Generator, quota: int) -> Rows:
        campaigns = split(rng, quota, self.sizes)
        victim = scene.victims(rng, len(campaigns))[campaigns.of]
        at = campaigns.times(rng, scene.starts(rng, len(campaigns), OFFICE), (0.5, 2))
        payee = scene.mules.at(rng, at / DAY)
        cents = np.exp(scene.accounts.level[victim] + rng.normal(1.2, 0.4, quota))
        return self.finished(scene, rng, campaigns, at, victim, payee, cents, (0.05, 0.55, 0, 0.40, 0))


TYPOLOGIES = (AccountTakeover(), FalseCall(), MuleChain(), CodeSwap(), RelationshipScam(), RemoteAccess())
NAMES = tuple(typology.name for typology in TYPOLOGIES)


def plan(settings: Settings, accounts: Accounts) -> Rows:
    """All fraud of a simulation, in order of time and within the limits by sum."""
    scene = Scene(settings, accounts, recruit(settings, accounts))
    ends = np.round(np.cumsum([typology.share for typology in TYPOLOGIES]) * settings.frauds).astype(int)
    quotas = np.diff(ends, prepend=0)
    parts = [typology.plan(scene, settings.stream(typology.name), int(quota))
             for typology, quota in zip(TYPOLOGIES, quotas, strict=True)]  # fmt: skip
    fraud = _with_the_new_one(scene, rows.join(parts))
    late = fraud.at >= settings.midnight + settings.drifts_on * DAY
    inflated = np.where(late, fraud.cents * (1 + settings.drift.amount_inflation), fraud.cents).astype(np.int64)
    return _within_limits(settings, accounts, fraud.having(cents=np.maximum(inflated, 1)))


def _with_the_new_one(scene: Scene, fraud: Rows) -> Rows:
    """Some rows from the drift on give way to as many of the new typology."""
    settings, share = scene.settings, scene.settings.drift.new_typology_share
    late = fraud.at >= settings.midnight + settings.drifts_on * DAY
    gone = late & (settings.stream("drift").random(len(fraud)) < share)
    if not gone.any():
        return fraud
    scene = Scene(settings, scene.accounts, scene.mules, settings.drifts_on)
    new = TYPOLOGIES[-1].plan(scene, settings.stream(TYPOLOGIES[-1].name), int(gone.sum()))
    return rows.join([fraud.take(~gone), new])


def nights(settings: Settings, at: Integers) -> tuple[Integers, Booleans]:
    """The night that each time belongs to, counted by the day of its evening, and whether it is night at all."""
    local = at - settings.midnight
    hour = local % DAY // HOUR
    return (local - 20 * HOUR) // DAY, (hour >= 20) | (hour < 6)


def _within_limits(settings: Settings, accounts: Accounts, fraud: Rows) -> Rows:
    cents = np.where(fraud.registered, fraud.cents, np.minimum(fraud.cents, HONEST.unregistered_each))
    night, dark = nights(settings, fraud.at)
    day = (fraud.at - settings.midnight) // DAY
    by_day = (~fraud.registered, day, lambda group: np.full(len(group), float(HONEST.unregistered_day)))
    by_night = (dark, night, lambda group: OF_NIGHT_LIMIT * accounts.night_limit[group % len(accounts)])
    for which, when, budget in (by_day, by_night):
        groups, index = np.unique((when[which] + 1) * len(accounts) + fraud.payer[which], return_inverse=True)
        cents[which] = capped(cents[which], index, budget(groups))
    return fraud.having(cents=cents).take(np.argsort(fraud.at, kind="stable"))
