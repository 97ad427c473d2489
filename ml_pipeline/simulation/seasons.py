"""When people and companies pay: hours of the day, days of the week, holidays and paydays.

The shapes are chosen, not fitted: no public data gives them per customer. The rules that they must bear are cited.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml_pipeline.identifiers import Integers

MINUTES = 1440
# From 20 h to 6 h a lower limit holds (Res. BCB 142/2021), so a night spans two dates.
MORNING, DAYTIME, EVENING = range(3)
PARTS = ((0, 360), (360, 1200), (1200, MINUTES))
HOLIDAYS = {(1, 1), (4, 21), (5, 1), (9, 7), (10, 12), (11, 2), (11, 15), (11, 20), (12, 25)}  # fixed national ones


@dataclass(frozen=True)
class Habit:
    """Usual hours: bells at (hour, width in hours, weight), on working days and on days off."""

    share: float
    working: tuple[tuple[float, float, float], ...]
    off: tuple[tuple[float, float, float], ...]


COMPANY = Habit(0, ((10, 1.8, 1), (15, 2, 1.2)), ((11, 2.5, 1),))
HABITS = (
    Habit(0.40, ((8, 1, 0.7), (12.3, 1, 1), (18.5, 1.8, 1.3)), ((11.5, 2, 1), (16, 3, 1), (20, 2, 0.5))),
    Habit(0.22, ((10, 1.8, 1), (15, 2.2, 0.9)), ((10.5, 2, 1), (15, 3, 0.7))),
    Habit(0.20, ((13, 2, 0.7), (20.5, 2, 1.2), (23, 1.5, 0.5)), ((14, 2.5, 0.8), (21.5, 2.2, 1.2))),
    Habit(0.08, ((1, 1.5, 0.6), (15, 2.5, 1), (22.5, 2, 1)), ((1.5, 1.8, 0.8), (16, 3, 1), (23, 1.5, 1))),
    Habit(0.10, ((6.5, 0.8, 1), (13.5, 1.5, 0.8), (17, 1.5, 1)), ((9, 2, 1), (14, 3, 1))),
    COMPANY,
)
ALWAYS = 0.02  # of the payments fall at any hour


def clock(peaks: tuple[tuple[float, float, float], ...]) -> NDArray[np.float64]:
    """The cumulative share of payments at each minute of a day, from 0 to 1 (one more than there are minutes)."""
    hour = (np.arange(MINUTES) + 0.5) / 60
    density = np.full(MINUTES, ALWAYS / MINUTES)
    for at, width, weight in peaks:
        apart = np.abs(hour - at)
        bell = np.exp(-0.5 * (np.minimum(apart, 24 - apart) / width) ** 2)
        density += bell / bell.sum() * weight
    return np.concatenate([[0.0], np.cumsum(density) / density.sum()])


# By habit, day off or not, and minute.
CLOCKS = np.array([[clock(habit.working), clock(habit.off)] for habit in HABITS])
# By habit, day off or not, and part of the day.
PART_SHARES = np.stack([CLOCKS[:, :, end] - CLOCKS[:, :, begin] for begin, end in PARTS], axis=-1)
# Offset by the row's number, all clocks together are one rising sequence that one search can use.
_LADDER = (CLOCKS.reshape(-1, MINUTES + 1) + 2 * np.arange(2 * len(HABITS))[:, None]).ravel()


def minutes(rng: np.random.Generator, habit: Integers, part: int, *, off: bool) -> Integers:
    """A minute of the day for each habit, within one part of the day."""
    begin, end = PARTS[part]
    row = 2 * habit + off
    low, high = CLOCKS[habit, int(off), begin], CLOCKS[habit, int(off), end]
    wanted = 2 * row + low + rng.random(len(habit)) * (high - low)
    found = np.searchsorted(_LADDER, wanted, side="right") - 1 - row * (MINUTES + 1)
    return np.clip(found, begin, end - 1)


def minutes_of(rng: np.random.Generator, peaks: tuple[tuple[float, float, float], ...], count: int) -> Integers:
    """Minutes of the day by a clock of its own."""
    return np.clip(np.searchsorted(clock(peaks), rng.random(count), side="right") - 1, 0, MINUTES - 1)


def day_off(date: datetime.date) -> bool:
    return date.weekday() >= 5 or (date.month, date.day) in HOLIDAYS


PEOPLE_BY_WEEKDAY = (1.0, 0.97, 0.99, 1.03, 1.22, 1.10, 0.86)
COMPANIES_BY_WEEKDAY = (1.1, 1.05, 1.05, 1.1, 1.25, 0.4, 0.15)
# Wages by the fifth working day (CLT art. 459), an advance on the 20th, public wages at the month's end, and none.
PAYDAYS = ("fifth working day", "20th", "last working day", "none")
AFTER_PAYDAY = (1.75, 1.5, 1.3, 1.15)  # on the day and the days after


def paydays(date: datetime.date) -> NDArray[np.float64]:
    """How much more is paid on a date than usual, for each kind of payday."""
    factors = np.full(len(PAYDAYS), 0.95)
    factors[-1] = 1.0
    for back, factor in enumerate(AFTER_PAYDAY):
        day = date - datetime.timedelta(days=back)
        month = [day.replace(day=1) + datetime.timedelta(days=i) for i in range(31)]
        working = [each for each in month if each.month == day.month and not day_off(each)]
        hits = (day == working[4], day.day == 20, day == working[-1])
        for kind, hit in enumerate(hits):
            if hit:
                factors[kind] = factor
    return factors


def weekday(date: datetime.date, *, companies: bool) -> float:
    by = COMPANIES_BY_WEEKDAY if companies else PEOPLE_BY_WEEKDAY
    return by[6] if (date.month, date.day) in HOLIDAYS else by[date.weekday()]
