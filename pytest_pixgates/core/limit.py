"""A limit as the policy writes it: `{ at_least = 0.7, environments = { prod = 0.75 } }`.

An environment may only be stricter than the base, so that reading the base is enough to know the least that holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_pixgates.core import decode, quantity
from pytest_pixgates.core.measurement import Measurement
from pytest_pixgates.core.quantity import Number
from pytest_pixgates.core.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Limit:
    """At least or at most a number, which may carry a unit ("50ms", "0.1%"); stricter values per environment.

    Raises ValueError for none or both, for what is no number, and for an environment looser than the base.
    """

    at_least: Number | None = None
    """The least that it may be, such as `0.7` or `"99%"`."""
    at_most: Number | None = None
    """The most that it may be, such as `"50ms"` or `"0.1%"`; one of the two."""
    environments: Mapping[str, Number] = field(default_factory=dict)
    """Stricter values, by environment."""

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give one of at_least and at_most")
        base = _number(self.base)
        if len({quantity.dimension(value) for value in (self.base, *self.environments.values())}) > 1:
            raise ValueError(f"write {self.base!r} and the values of the environments in the same kind of unit")
        for name, value in self.environments.items():
            looser = _number(value) < base if self.at_most is None else _number(value) > base
            if looser:
                raise ValueError(f"{name} = {value!r} is looser than the base {self.base!r}")

    @property
    def base(self) -> Number:
        found = self.at_least if self.at_least is not None else self.at_most
        assert found is not None  # one of them is given, see above
        return found

    def judge(self, measured: Measurement) -> Verdict:
        return measured >= self.base if self.at_most is None else measured <= self.base

    def within(self, environment: str) -> Limit:
        """The limit that holds in `environment`."""
        value = self.environments.get(environment, self.base)
        bound = {"at_least": value} if self.at_most is None else {"at_most": value}
        return dataclasses.replace(self, **bound, environments={})


def resolved(settings: Any, environment: str, known: frozenset[str], key: str) -> Any:
    """`settings` with each limit in it as it holds in `environment`, so that a family can't forget to ask.

    Raises DecodeError for a limit that names an environment which is not `known`.
    """
    if isinstance(settings, Limit):
        for name in settings.environments:
            if name not in known:
                raise decode.unknown_key(name, known, f"{key}.environments")
        return settings.within(environment)
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        fields = [each.name for each in dataclasses.fields(settings) if each.init]
        values = {name: getattr(settings, name) for name in fields}
        changed = resolved(values, environment, known, key)
        return settings if changed == values else dataclasses.replace(settings, **changed)
    if isinstance(settings, Mapping):
        return {name: resolved(value, environment, known, f"{key}.{name}") for name, value in settings.items()}
    if isinstance(settings, tuple):
        return tuple(resolved(value, environment, known, f"{key}[{i}]") for i, value in enumerate(settings))
    return settings


def _number(value: Number) -> float:
    """`value` in base units whatever its unit, to compare limits with each other."""
    for unit in ("", "s", "bytes"):
        try:
            return quantity.parse(value, unit=unit)
        except ValueError as error:
            problem = error
    raise problem
