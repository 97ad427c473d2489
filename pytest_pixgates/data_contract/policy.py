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
    """A gate `volume[NAME]`: the newest period holds as many rows as those before it lead one to expect."""

    column: str
    """The column of the moments."""
    every: str = "1d"
    """The length of a period: `"15m"`, `"6h"`, `"1d"`."""
    zone: str = "UTC"
    """The time zone whose clocks say where a period begins."""
    periods: int = 56
    """How many before it are looked at."""
    cycle: int = 7
    """Every how many periods are alike (7 days: weekdays)."""
    alpha: float = 0.001
    """The share of healthy periods that is refused."""

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
    """`[data_contract.data.NAME]`: a data set, each a gate `data[NAME]`."""

    path: str = ""
    """A file, a folder, or a glob: Parquet, CSV, NDJSON or Arrow, inside the repository."""
    url: str = ""
    """Instead of `path`: a database (PostgreSQL or SQLite), by SQLAlchemy's URL; `${NAME}` in it comes from the
    environment.
    """
    table: str = ""
    """The table there."""
    contract: str = ""
    """The contract's file; by default `gates/contracts/NAME.odcs.yaml`."""
    schema: str = ""
    """Which of the contract's tables it is; by default NAME, or the only one."""
    sample: bool = False
    """It is not complete: shares are judged by their interval (Clopper and Pearson at `alpha`)."""
    clock: str = ""
    """The moment at which age is judged, with its zone, or `"now"`; without it a contract that asks for an age is an
    ERROR.
    """
    gaps: bool = False
    """Days without a partition are allowed between the first and the last (`date=2026-08-01`, or
    `year=2026/month=08/day=01`), and so is data that lies in none of a day.
    """
    volume: Volume | None = None
    """A gate on the number of rows, below."""

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
    """`[data_contract]`."""

    contracts: tuple[str, ...] = ("gates/contracts/*.odcs.yaml",)
    """The contracts, or globs, that must speak one language (gate `vocabulary`) and break nobody (gates
    `changes[PATH]`).
    """
    data: Mapping[str, Data] = field(default_factory=dict)
    """`[data_contract.data.NAME]`: which data is judged by which contract."""

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
