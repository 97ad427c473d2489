"""The baseline: findings that were there before, by what they are, so that a change fails only for what it adds.

`gates/baseline.json` is written by `pixgates baseline` only and reviewed like code; `core.known` says which of its
entries count. Refused if odd, as the policy is.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pixgates.core import decode, tolerance
from pytest_pixgates.core.errors import PolicyError
from pytest_pixgates.core.scan import INLINE_SKIP, Finding, Scan, State

FILE = "baseline.json"
SCHEMA = 1
_LEFT_OUT_IF_EMPTY = ("resource", "message", "environment")


def fingerprint(finding: Finding, family: str, check: str, environment: str) -> str:
    """What `finding` of `check` is: its rule, path and resource (or message), never its line."""
    message = "" if finding.resource else finding.message
    return _digest(family, check, finding.rule, finding.path, finding.resource, message, environment)


def _digest(*identity: str) -> str:
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]


def counted(scan: Scan, family: str, environment: str) -> Counter[str]:
    """How often `scan` found what nothing but the baseline may excuse, by fingerprint."""
    findings = (each for each in scan.findings if each.state in (State.OPEN, State.KNOWN))
    return Counter(fingerprint(each, family, scan.check, environment) for each in findings)


@dataclass(frozen=True, slots=True)
class Entry:
    """`count` findings that `check` ("checkov iac/prod") had when they were adopted, known until `expires`.

    `message` tells apart what has no resource; `environment` is that of the policy, or "".
    """

    family: str
    check: str
    rule: str
    path: str
    count: int
    since: datetime.date
    expires: datetime.date
    fingerprint: str
    resource: str = ""
    message: str = ""
    environment: str = ""

    def __post_init__(self) -> None:
        today = tolerance.today()
        if self.rule == INLINE_SKIP:
            raise ValueError(f"an {INLINE_SKIP} can't be known: remove the comment, or register a waiver")
        if self.count < 1:
            raise ValueError(f"count must be at least 1, not {self.count}")
        if self.since > today:
            raise ValueError(f"since {self.since} lies in the future")
        if self.expires > self.since + tolerance.LONGEST:
            raise ValueError(f"expires {self.expires} is more than {tolerance.LONGEST.days} days after {self.since}")
        if self.fingerprint != _digest(*self.identity):
            raise ValueError("it does not fit its fingerprint, so it was edited by hand; `pixgates baseline` writes it")

    @classmethod
    def of(cls, finding: Finding, scan: Scan, family: str, environment: str, **rest: Any) -> Entry:
        """The entry for `finding`. `rest` are its count and dates. Raises ValueError for what can't be known."""
        return cls(
            family=family,
            check=scan.check,
            rule=finding.rule,
            path=finding.path,
            resource=finding.resource,
            message="" if finding.resource else finding.message,
            environment=environment,
            fingerprint=fingerprint(finding, family, scan.check, environment),
            **rest,
        )

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.family, self.check, self.rule, self.path, self.resource, self.message, self.environment)

    @property
    def expired(self) -> bool:
        return self.expires < tolerance.today()

    def within(self, other: Entry) -> Entry:
        """As much of it as `other`, of the same identity, allows."""
        count, expires = min(self.count, other.count), min(self.expires, other.expires)
        return dataclasses.replace(self, count=count, expires=expires)

    def __str__(self) -> str:
        what = f" ({self.resource or self.message})" if self.resource or self.message else ""
        where = f"[{self.check}]" + (f" for {self.environment}" if self.environment else "")
        return f"{self.rule} at {self.path}{what} {where}"


@dataclass(frozen=True, slots=True)
class Baseline:
    """The entries of a file, and its text."""

    entries: tuple[Entry, ...] = ()
    text: str = ""

    def line(self, entry: Entry) -> int:
        """The line of `entry`, or 1."""
        lines = enumerate(self.text.splitlines(), start=1)
        return next((number for number, line in lines if entry.fingerprint in line), 1)


@dataclass(frozen=True, slots=True)
class _Document:
    schema: int
    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ValueError(f"schema {self.schema} is not {SCHEMA}, which this version reads")


def loads(text: str, where: str, families: frozenset[str] | None = None) -> Baseline:
    """Read a baseline. `families` are the names that entries may have; None accepts any. Raises PolicyError."""
    data: Any = None
    try:
        data = decode.strict_json(text)
        document = decode.decode(_Document, data)
        seen = set[str]()
        for index, entry in enumerate(document.entries):
            if families is not None and entry.family not in families:
                raise decode.DecodeError(f"entries[{index}].family", f"{decode.hint(entry.family, families)}")
            if entry.fingerprint in seen:
                raise decode.DecodeError(f"entries[{index}]", "it stands twice")
            seen.add(entry.fingerprint)
    except decode.DecodeError as error:
        remedy = "restore it as it was committed; only `pixgates baseline` writes it"
        raise PolicyError(f"{where}: {_entry_at(data, error.key)}{error}", remedy=remedy) from None
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"{where}: not valid JSON: {error}") from None
    return Baseline(document.entries, text)


def load(path: Path, families: frozenset[str] | None = None) -> Baseline:
    """Read the baseline at `path`. Raises PolicyError."""
    try:
        return loads(path.read_text(encoding="utf-8"), str(path), families)
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}", remedy="make it readable, or restore it") from None
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: not valid JSON: {error}") from None


def _entry_at(data: Any, key: str) -> str:
    """Names the entry that `key` lies in, for the front of a message."""
    found = re.match(r"entries\[(\d+)\]", key)
    entry = data["entries"][int(found[1])] if found else None
    return f"{entry.get('rule')} at {entry.get('path')}: " if isinstance(entry, dict) else ""


def dumps(entries: Iterable[Entry]) -> str:
    """The file: sorted, and an entry a line, so that a diff shows which are gone."""
    lines = [f"  {json.dumps(_encoded(entry))}" for entry in sorted(entries, key=lambda each: each.identity)]
    listed = "\n" + ",\n".join(lines) + "\n " if lines else ""
    return f'{{\n "schema": {SCHEMA},\n "entries": [{listed}]\n}}\n'


def _encoded(entry: Entry) -> dict[str, Any]:
    encoded = decode.encode(entry)
    return {name: value for name, value in encoded.items() if value or name not in _LEFT_OUT_IF_EMPTY}
