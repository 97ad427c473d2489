"""What a model may know of a payment: defined once, computed over a whole history and for one payment alike.

`define` states each feature from the payment and from what had happened strictly before its millisecond. Training asks
it with columns (`features.offline`), serving with one payment and a `State`, which grows with each payment
(`State.add`). Sums are of whole numbers, so that both add up to the same: logarithms, sines and cosines count in
millionths. This half needs no table library, so that the service starts quickly.

An account is remembered by totals and by its payments of the longest window, at most the latest 1,000 as payer and as
payee; a pair of payer and payee, and one of payer and device, by totals alone. Age and region are not among FEATURES.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import add, itemgetter, sub
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

HOUR = 3_600_000  # all times are milliseconds since 1970 in UTC
DAY = 24 * HOUR
SAO_PAULO = -3 * HOUR  # Pix began after daylight saving time was given up
LATEST = 1_000  # payments of an account that a window sees at most
MILLION = 1_000_000
REGIONS = ("N", "NE", "CO", "SE", "S")
REGIONAL = tuple(f"payer_region_{each}" for each in REGIONS)  # for the gates' controls alone


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment, or columns of them: arrays in place of each value, and codes in place of ids.

    Times in milliseconds since 1970. Accounts' openings, companies and regions are reference data.
    """

    at: Any
    payer: Any
    payee: Any
    device: Any
    cents: Any
    static: Any
    dynamic: Any
    registered: Any
    payer_opened: Any
    payee_opened: Any
    payer_company: Any
    payee_company: Any
    payer_region: Any
    payee_region: Any


def payment(event: Mapping[str, Any], payer: Mapping[str, Any], payee: Mapping[str, Any]) -> Payment:
    """A row of `transactions` with those of `accounts` for its two sides.

    Raises KeyError for a column that is missing, ValueError for an amount below 1 or a time without a zone.
    """
    if event["amount_cents"] < 1:
        raise ValueError(f"amount_cents is {event['amount_cents']}; it must be at least 1")
    return Payment(
        at=milliseconds(event["initiated_at"]),
        payer=event["payer_account_id"],
        payee=event["payee_account_id"],
        device=event["device_id"],
        cents=event["amount_cents"],
        static=event["initiation_type"] == "QRES",
        dynamic=event["initiation_type"] == "QRDN",
        registered=event["device_registered"],
        payer_opened=milliseconds(payer["opened_at"]),
        payee_opened=milliseconds(payee["opened_at"]),
        payer_company=payer["holder_type"] == "LEGAL_PERSON",
        payee_company=payee["holder_type"] == "LEGAL_PERSON",
        payer_region=REGIONS.index(payer["region"]),
        payee_region=REGIONS.index(payee["region"]),
    )


def milliseconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone; give one")
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


# What one payment adds to the histories it belongs to, in whole numbers.
ADDS = ("payments", "cents", "log", "log2", "cos", "sin", "new", "static")


def added(m: Any, one: Payment, new: Any) -> tuple[Any, ...]:
    angle = 2 * math.pi * ((one.at + SAO_PAULO) % DAY) / DAY
    log = m.log(one.cents)
    around = m.whole(m.cos(angle)), m.whole(m.sin(angle))
    return 1, one.cents, m.whole(log), m.whole(log * log), *around, new, one.static


def define(m: Any, one: Payment, past: Any) -> dict[str, Any]:
    """Every feature by name, as floats. `m` has the functions, for a number or for columns.

    `past` has the payer's payments sent (`sent`, `sent_1h`, `sent_24h`, `sent_30d`), the payee's received
    (`received`, `_3h`, `_7d`), the payer's received (`inflow_3h`), the pair's and the device's, each with the totals of
    ADDS, `first_at` and `highest`; and `payee_payers_24h`.
    """
    sent, received, pair, device = past.sent, past.received, past.pair, past.device
    log = m.log(one.cents)
    clock = (one.at + SAO_PAULO) % DAY
    angle = 2 * math.pi * clock / DAY

    def mean(of: Any, name: str, otherwise: Any) -> Any:
        return m.where(of.payments > 0, getattr(of, name) / m.maximum(of.payments, 1) / MILLION, otherwise)

    def share(of: Any, name: str) -> Any:
        return getattr(of, name) / m.maximum(of.payments, 1)

    def days_since(of: Any) -> Any:
        return m.where(of.payments > 0, m.minimum(one.at - of.first_at, 30 * DAY) / DAY, 0.0)

    usual = mean(sent, "log", log)
    spread = m.sqrt(m.maximum(mean(sent, "log2", log * log) - usual * usual, 0.01)) + 0.2
    cosine, sine = mean(sent, "cos", 0.0), mean(sent, "sin", 0.0)
    apart = abs(angle - m.atan2(sine, cosine)) % (2 * math.pi)
    return {
        "amount_log": log,
        "is_static_code": one.static * 1.0,
        "is_dynamic_code": one.dynamic * 1.0,
        "device_registered": one.registered * 1.0,
        "is_same_region": (one.payer_region == one.payee_region) * 1.0,
        "hour": clock / HOUR,
        "payer_payments_1h": past.sent_1h.payments,
        "payer_payments_24h": past.sent_24h.payments,
        "payer_payments_30d": past.sent_30d.payments,
        "payer_amount_cents_1h": past.sent_1h.cents,
        "payer_amount_cents_24h": past.sent_24h.cents,
        "payer_amount_cents_30d": past.sent_30d.cents,
        "payer_new_payees_1h": past.sent_1h.new,
        "payer_new_payee_share": share(sent, "new"),
        "is_new_payee": (pair.payments == 0) * 1.0,
        "is_new_device": (device.payments == 0) * 1.0,
        "pair_payments": m.minimum(pair.payments, 100),
        "pair_days": days_since(pair),
        "device_days": days_since(device),
        "hour_deviation": m.where(sent.payments > 0, m.minimum(apart, 2 * math.pi - apart) * 12 / math.pi, 6.0),
        "amount_ratio": m.exp(log - usual),
        "amount_deviations": (log - usual) / spread,
        "amount_over_highest": log - m.where(sent.payments > 0, sent.highest / MILLION, log),
        "amount_over_pair": log - mean(pair, "log", log),
        "amount_over_payee": log - mean(received, "log", log),
        "payee_payments_7d": past.received_7d.payments,
        "payee_amount_cents_3h": past.received_3h.cents,
        "payee_amount_cents_7d": past.received_7d.cents,
        "payee_new_payments_3h": past.received_3h.new,
        "payee_new_payments_7d": past.received_7d.new,
        "payee_payers_24h": past.payee_payers_24h,
        "payee_days": days_since(received),
        "payee_static_share": share(received, "static"),
        "payer_received_cents_3h": past.inflow_3h.cents,
        "amount_of_received": log - m.log(past.inflow_3h.cents + 1),
        "payer_is_company": one.payer_company * 1.0,
        "payee_is_company": one.payee_company * 1.0,
        "payer_tenure_days": m.maximum(one.at - one.payer_opened, 0) / DAY,
        "payee_tenure_days": m.maximum(one.at - one.payee_opened, 0) / DAY,
        **{f"payer_region_{each}": (one.payer_region == code) * 1.0 for code, each in enumerate(REGIONS)},
    }


# One payment


class _Number:
    """The functions of `define` for a number."""

    log, exp, sqrt, cos, sin, atan2 = math.log, math.exp, math.sqrt, math.cos, math.sin, math.atan2
    minimum, maximum = min, max

    @staticmethod
    def where(condition: bool, value: float, otherwise: float) -> float:  # noqa: FBT001 - as polars has it
        return value if condition else otherwise

    @staticmethod
    def whole(value: float) -> int:
        return round(value * MILLION)


class Totals(NamedTuple):
    """What a history came to at a time, or within a window: sums of ADDS, then the first time and the highest log."""

    payments: int = 0
    cents: int = 0
    log: int = 0
    log2: int = 0
    cos: int = 0
    sin: int = 0
    new: int = 0
    static: int = 0
    first_at: int = 0
    highest: int = 0

    def plus(self, at: int, adds: tuple[int, ...]) -> Totals:
        log = adds[2]
        extremes = (self.first_at, max(self.highest, log)) if self.payments else (at, log)
        return Totals(*map(add, self, adds), *extremes)

    def minus(self, earlier: Totals) -> Totals:
        return Totals(*map(sub, self[:-2], earlier))


NOTHING = Totals()


@dataclass(slots=True)
class History:
    """Totals of one account's payments (as payer, or as payee), of one pair, or of one device.

    `keep`: how long a payment is remembered by itself, in milliseconds. Payments of one millisecond do not see each
    other, so those of the last one are always remembered.
    """

    keep: int = 0
    totals: Totals = NOTHING
    times: list[int] = field(default_factory=list)
    before: list[Totals] = field(default_factory=list)  # the totals before each payment that is remembered
    payers: list[Any] = field(default_factory=list)

    def until(self, at: int) -> Totals:
        """The totals of what happened before `at`. Raises ValueError if that is earlier than what is known."""
        end = self._end(at)
        return self.totals if end == len(self.times) else self.before[end]

    def within(self, at: int, back: int) -> Totals:
        """The totals of the `back` milliseconds before `at`. Raises as `until`."""
        begin, end = self._places(at, back)
        return self.until(at).minus(self.before[begin]) if begin < end else NOTHING

    def payers_within(self, at: int, back: int) -> int:
        """How many different accounts paid in the `back` milliseconds before `at`. Raises as `until`."""
        begin, end = self._places(at, back)
        return len(set(self.payers[begin:end]))

    def _end(self, at: int) -> int:
        """How many of those remembered happened before `at`: all, unless some are of that very millisecond."""
        times = self.times
        if not times or times[-1] < at:
            return len(times)
        if at < times[-1]:
            raise ValueError(f"a payment at {at} came after one at {times[-1]}; give them in order of time")
        return bisect_left(times, at)

    def _places(self, at: int, back: int) -> tuple[int, int]:
        end = self._end(at)
        return max(bisect_left(self.times, at - back, 0, end), end - LATEST), end

    def add(self, at: int, payer: Any, adds: tuple[int, ...]) -> None:
        """Remember one more payment. Raises ValueError if a later one is known."""
        gone, _ = self._places(at, self.keep)
        if gone:
            del self.times[:gone], self.before[:gone], self.payers[:gone]
        self.times.append(at)
        self.before.append(self.totals)
        self.payers.append(payer)
        self.totals = self.totals.plus(at, adds)


WINDOWS = {
    "sent_1h": HOUR, "sent_24h": DAY, "sent_30d": 30 * DAY,
    "received_3h": 3 * HOUR, "received_24h": DAY, "received_7d": 7 * DAY,
    "inflow_3h": 3 * HOUR,
}  # fmt: skip
# Whose history each is: the kind of history, and the side of the payment.
LOOKED_UP = {"sent": ("sent", "payer"), "received": ("received", "payee"), "inflow": ("received", "payer")}


@dataclass(slots=True)
class State:
    """What is remembered of the payments so far, by which the features of the next one are told."""

    sent: dict[Any, History] = field(default_factory=dict)
    received: dict[Any, History] = field(default_factory=dict)
    pairs: dict[tuple[Any, Any], History] = field(default_factory=dict)
    devices: dict[tuple[Any, Any], History] = field(default_factory=dict)

    def features(self, one: Payment, names: tuple[str, ...] | None = None) -> NDArray[np.float32]:
        """The features of a payment in the order of `names` (FEATURES). Changes nothing.

        Raises ValueError if a later payment of these accounts was added.
        """
        made = define(_Number, one, self._past(one))
        return np.array(itemgetter(*(names or FEATURES))(made), np.float32)

    def add(self, one: Payment) -> None:
        """Remember a payment. Raises ValueError if a later one of these accounts was added."""
        pair = self.pairs.setdefault((one.payer, one.payee), History())
        adds = tuple(map(int, added(_Number, one, pair.until(one.at).payments == 0)))
        for history in (
            self.sent.setdefault(one.payer, History(30 * DAY)),
            self.received.setdefault(one.payee, History(7 * DAY)),
            self.devices.setdefault((one.payer, one.device), History()),
            pair,
        ):
            history.add(one.at, one.payer, adds)

    def _past(self, one: Payment) -> Any:
        nothing = History()
        sides = {"payer": one.payer, "payee": one.payee}
        histories = {name: getattr(self, kind).get(sides[side], nothing) for name, (kind, side) in LOOKED_UP.items()}
        past = Past()
        for name, back in WINDOWS.items():
            setattr(past, name, histories[name.partition("_")[0]].within(one.at, back))
        past.sent, past.received = histories["sent"].until(one.at), histories["received"].until(one.at)
        past.payee_payers_24h = histories["received"].payers_within(one.at, DAY)
        past.pair = self.pairs.get((one.payer, one.payee), nothing).until(one.at)
        past.device = self.devices.get((one.payer, one.device), nothing).until(one.at)
        return past


class Past:
    """The histories that `define` asks for, by name."""


def _names() -> tuple[str, ...]:
    blank = Payment(**dict.fromkeys(Payment.__slots__, 1))
    return tuple(define(_Number, blank, State()._past(blank)))


FEATURES = tuple(name for name in _names() if name not in REGIONAL)
"""The features of the model, in order."""
