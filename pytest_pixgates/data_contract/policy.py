"""The `[data_contract]` section of the policy: which data is judged by which contract."""

from __future__ import annotations

import datetime
import os
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from pytest_pixgates.core.errors import NotMeasured


@dataclass(frozen=True, slots=True)
class Volume:
    """The rows of the newest period of `every` ("1h", "1d"), by the moments in `column` as clocks in `zone` show them.

    They are judged by the `periods` before, of which every `cycle`-th is alike (7 days: weekdays). At `alpha`, one of a
    thousand healthy periods is refused.
    """

    column: str
    every: str = "1d"
    zone: str = "UTC"
    periods: int = 56
    cycle: int = 7
    alpha: float = 0.001

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[1-9][0-9]*[mhd]", self.every):
            raise ValueError(f'every: {self.every!r} is not written like "1d", "6h" or "15m"')
        if self.cycle < 1 or self.periods <= 3 * self.cycle:
            raise ValueError(f"{self.periods} periods hold too few cycles of {self.cycle}: compare more than three")
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha is {self.alpha}; it must be between 0 and 0.5")
        if self.zone not in zoneinfo.available_timezones():
            raise ValueError(f"zone: {self.zone!r} is no time zone, such as America/Sao_Paulo")


@dataclass(frozen=True, slots=True)
class Data:
    """A data set: the `path` of a file, a folder or a glob, or the `table` of the database at `url`.

    `contract` and `schema` are the contract's file and the object in it; by default the data set's own name says both.
    `sample` declares that it is not complete, so that shares are judged by their interval. `clock` is the moment at
    which freshness is judged, or "now". `gaps` allows days without a partition.
    """

    path: str = ""
    url: str = ""
    table: str = ""
    contract: str = ""
    schema: str = ""
    sample: bool = False
    clock: str = ""
    gaps: bool = False
    volume: Volume | None = None

    def __post_init__(self) -> None:
        if bool(self.path) == bool(self.url):
            raise ValueError("name either a path or a url")
        if bool(self.url) != bool(self.table):
            raise ValueError("url and table belong together")
        for each in (self.path, self.contract):
            if each.startswith("/") or ".." in PurePosixPath(each).parts:
                raise ValueError(f"{each!r} must be a path inside the repository")
        if self.clock not in ("", "now"):
            _moment(self.clock)

    @property
    def source(self) -> str:
        """The path, or the url with `${NAME}` replaced from the environment. Raises NotMeasured if NAME is not set."""

        def value(match: re.Match[str]) -> str:
            if match[1] not in os.environ:
                raise NotMeasured(f"{match[1]} is not set, which url needs", remedy=f"set {match[1]}")
            return os.environ[match[1]]

        return self.path or re.sub(r"\$\{(\w+)\}", value, self.url)

    @property
    def now(self) -> datetime.datetime | None:
        """The stated clock, if one is stated."""
        if self.clock == "now":
            return datetime.datetime.now(datetime.UTC)
        return _moment(self.clock) if self.clock else None


@dataclass(frozen=True, slots=True)
class DataContractPolicy:
    """`[data_contract]`. `contracts` are the files, or globs, that must fit together and change only as they may."""

    contracts: tuple[str, ...] = ("gates/contracts/*.odcs.yaml",)
    data: Mapping[str, Data] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.data:
            if not re.fullmatch(r"[\w.-]+", name):
                raise ValueError(f"data: {name!r} is no name: use letters, digits, _ . -")
        for each in self.contracts:
            if each.startswith("/") or ".." in PurePosixPath(each).parts:
                raise ValueError(f"contracts: {each!r} must be a path inside the repository")

    def contract_of(self, name: str) -> str:
        """The contract's path for the data set `name`."""
        data = self.data.get(name)
        return (data.contract if data else "") or f"gates/contracts/{name}.odcs.yaml"


def _moment(text: str) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"clock: {text!r} has no time zone, such as 2026-08-31T00:00:00-03:00")
    return moment
