"""Whether the newest period holds about as many rows as the periods before it lead one to expect.

The limit is an interval for one new observation, from the periods' own spread: logarithms of their counts around the
median of their place in the cycle (a Monday's with Mondays'), by Student's t. Medians, for an outage among the periods
before must not excuse the next one. A fixed number would be too wide for a quiet series, too narrow for a lively one,
and wrong in a year.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import narwhals as nw

from pytest_pixgates.core import quantity
from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.data_contract.engine import Rows
from pytest_pixgates.data_contract.policy import Volume

_NORMAL = 1.4826  # of a normal distribution: its standard deviation by the median distance from its median


@dataclass(frozen=True)
class Expected:
    """What the newest period should hold: `low` to `high` rows."""

    low: float
    high: float


def counts(rows: object, volume: Volume) -> dict[datetime.datetime, int]:
    """The rows of each period, in order and without gaps: a period without rows has none. Raises NotMeasured."""
    if not isinstance(rows, Rows):
        raise NotMeasured("the volume of a table in a database is not judged", remedy="judge it where it is written")
    dtype = rows.schema.get(volume.column)
    if not isinstance(dtype, nw.Datetime | nw.Date):
        raise NotMeasured(f"{volume.column} is no column of moments", remedy="name one in `volume` of the policy")
    column = nw.col(volume.column)
    if isinstance(dtype, nw.Datetime) and dtype.time_zone:
        column = column.dt.convert_time_zone(volume.zone).dt.replace_time_zone(None)
    period = column.cast(nw.Datetime("us")).dt.truncate(volume.every).alias("period")
    grouped = rows.frame.select(period).drop_nulls().group_by("period").agg(nw.len().alias("rows"))
    native = grouped.to_native()
    listed = native.collect() if rows.spark else native.collect(engine="streaming").rows()
    found = {period: int(number) for period, number in listed}
    if not found:
        raise NotMeasured(f"{volume.column} holds no moment")
    step = datetime.timedelta(seconds=quantity.seconds(volume.every))
    first, last = min(found), max(found)
    return {first + step * index: found.get(first + step * index, 0) for index in range((last - first) // step + 1)}


def expected(before: Sequence[int], volume: Volume) -> Expected | None:
    """What the period after those in `before` should hold; None if they are too few to tell."""
    cycle = volume.cycle
    last = before[-volume.periods :]
    if len(last) < volume.periods:
        return None
    from scipy.stats import t

    logs = [math.log(number + 0.5) for number in last]
    places = [(len(last) - index) % cycle for index in range(len(last))]
    usual = {place: median(each for each, at in zip(logs, places, strict=True) if at == place) for place in set(places)}
    freedom = len(last) - len(usual)
    beside = (abs(each - usual[place]) for each, place in zip(logs, places, strict=True))
    spread = (_NORMAL * median(beside)) ** 2 * len(last) / freedom
    floor = 1 / max(math.exp(usual[0]), 1)  # even a perfectly regular source has the noise of counting
    alike = places.count(0)
    width = float(t.ppf(1 - volume.alpha / 2, freedom)) * math.sqrt(max(spread, floor) * (1 + math.pi / 2 / alike))
    return Expected(math.exp(usual[0] - width) - 0.5, math.exp(usual[0] + width) - 0.5)


def judged(found: Mapping[datetime.datetime, Any], volume: Volume) -> tuple[datetime.datetime, int, Expected | None]:
    """The newest period, its rows, and what was to be expected of it."""
    *before, newest = found.values()
    return max(found), newest, expected(before, volume)
