"""Bodies of requests, read strictly: what is wrong is said by field and rule, and nothing of a value comes back."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from ml_pipeline.serving.contract import Contract, Record, Violation

DEPTH = 8  # of what is not JSON as the contract has it; what is has a depth of 1, or 2 in a batch
NOT_AS_AGREED = "the payment is not as the contract has it"
NO_JSON = "the body is not JSON in UTF-8"
SHOWN = 50  # violations of one request
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


@dataclass(eq=False)
class Refused(Exception):  # noqa: N818  # it is no error of ours
    """An answer other than 200: a status of HTTP, what is wrong, and where."""

    status: int
    title: str
    violations: tuple[Violation, ...] = ()
    retry_after: int | None = None  # seconds


class Reader:
    """Reads payments as a contract has them."""

    def __init__(self, contract: Contract, batch: int) -> None:
        self.contract, self.batch = contract, batch
        self._one = msgspec.json.Decoder(contract.struct)
        self._many = msgspec.json.Decoder(list[contract.struct])  # type: ignore[name-defined]
        self._apart = msgspec.json.Decoder(list[msgspec.Raw])
        self._names = [f'"{each.name}"'.encode() for each in contract.fields]

    def one(self, body: bytes) -> Record:
        """The payment in a body. Raises Refused."""
        try:
            row = self._one.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _refusal(self.contract.violations(_decoded(body))) from None
        self._once(body)
        broken = self.contract.broken(row)
        if broken:
            raise _refusal(broken)
        return row

    def many(self, body: bytes) -> list[Record]:
        """The payments in the body of a batch. Raises Refused."""
        try:
            rows = self._many.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._many_refused(body) from None
        if not 1 <= len(rows) <= self.batch:
            raise _refusal([Violation("", f"a batch has 1 to {self.batch} payments")])
        for each in self._apart.decode(body):
            self._once(bytes(each))
        broken = [
            Violation(f"{place}.{each.field}", each.rule)
            for place, row in enumerate(rows)
            for each in self.contract.broken(row)
        ]
        if broken:
            raise _refusal(broken)
        return rows

    def _many_refused(self, body: bytes) -> Refused:
        decoded = _decoded(body)
        if not isinstance(decoded, list):
            return _refusal([Violation("", "must be an array")])
        if len(decoded) > self.batch:
            return _refusal([Violation("", f"a batch has 1 to {self.batch} payments")])
        return _refusal(
            [
                Violation(f"{place}.{each.field}".rstrip("."), each.rule)
                for place, value in enumerate(decoded)
                for each in self.contract.violations(value)
            ]
        )

    def _once(self, row: bytes) -> None:
        """Refuse a field that is given twice: whoever read the first one saw another payment."""
        if b"\\" in row or any(row.count(name) > 1 for name in self._names):
            _decoded(row)


def _refusal(violations: list[Violation]) -> Refused:
    if not violations:  # half a surrogate pair: Python takes it, and nobody else does
        return Refused(400, NO_JSON)
    return Refused(422, NOT_AS_AGREED, tuple(violations[:SHOWN]))


def _decoded(body: bytes) -> Any:
    """What JSON says, however wrong. Raises Refused if it is none, is nested too deeply or names a field twice."""
    depth = 0
    for character in _TEXT.sub(b"", body):
        depth += (character in b"[{") - (character in b"]}")
        if depth > DEPTH:
            raise Refused(422, NOT_AS_AGREED, (Violation("", f"depth above {DEPTH}"),))
    try:
        return json.loads(body.decode(), object_pairs_hook=_distinct, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Refused(400, NO_JSON) from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise _refusal([Violation("", "a field is given twice")])
    return dict(pairs)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
