"""A limit as the policy writes it: `{ at_least = 0.7, environments = { prod = 0.75 } }`.

An environment may only be stricter than the base, so that reading the base is enough to know the least that holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pytest_pixgates.core import quantity
from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.verdict import Verdict

Number = int | float | str


@dataclass(frozen=True, slots=True)
class Limit:
    """At least or at most a number, which may carry a unit ("50ms", "0.1%"); stricter values per environment.

    Raises ValueError for none or both, for what is no number, and for an environment looser than the base.
    """

    at_least: Number | None = None
    at_most: Number | None = None
    environments: Mapping[str, Number] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give one of at_least and at_most")
        base = _number(self.base)
        for name, value in self.environments.items():
            looser = _number(value) < base if self.at_most is None else _number(value) > base
            if looser:
                raise ValueError(f"{name} = {value!r} is looser than the base {self.base!r}")

    @property
    def base(self) -> Number:
        found = self.at_least if self.at_least is not None else self.at_most
        assert found is not None  # one of them is given, see above
        return found

    def judge(self, measured: Measurement, environment: str = "") -> Verdict:
        """The verdict of `measured` in `environment`."""
        value = self.environments.get(environment, self.base)
        return measured >= value if self.at_most is None else measured <= value


def environments_named(settings: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Every (key, environment) that a limit somewhere in `settings` names, so that a misspelt one is found."""
    if isinstance(settings, Limit):
        yield from ((f"{key}.environments.{name}", name) for name in settings.environments)
    elif dataclasses.is_dataclass(settings):
        for each in dataclasses.fields(settings):
            yield from environments_named(getattr(settings, each.name), f"{key}.{each.name}")
    elif isinstance(settings, Mapping):
        for name, value in settings.items():
            yield from environments_named(value, f"{key}.{name}")
    elif isinstance(settings, tuple):
        for index, value in enumerate(settings):
            yield from environments_named(value, f"{key}[{index}]")


def _number(value: Number) -> float:
    """`value` in base units whatever its unit, to compare limits with each other."""
    for unit in ("", "s", "bytes"):
        try:
            return quantity.parse(value, unit=unit)
        except ValueError as error:
            problem = error
    raise problem
