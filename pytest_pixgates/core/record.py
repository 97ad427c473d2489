"""What a run of gates leaves behind: one Record per gate, all of them in one file that is opened before the first
gate and closed after the last.

Everything that reports, signs or decides works from these, so they hold whatever a reader needs to trust a
verdict, as plain JSON with a version. `Run.outcome` is the one place that says what a whole run is worth.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pytest_pixgates.core import decode, files, process
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.scan import Finding, Scan
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome, Verdict

SCHEMA = 1
"""Raised when a reader could take what is written for something else: docs/versions.md."""
FILE_NAME = "records.json"


class RecordError(PixgatesError):
    """A record or a records file that can't be read, so it is no evidence."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a gate: its verdict, and the scan behind it if a tool made it."""

    verdict: Verdict
    scan: Scan | None = None

    @property
    def subjects(self) -> tuple[Subject, ...]:
        return (*self.verdict.subjects, *(self.scan.subjects if self.scan is not None else ()))

    @property
    def cached(self) -> bool:
        """Whether it was kept from an earlier run."""
        return self.scan.cached if self.scan is not None else self.verdict.cached

    @classmethod
    def of(cls, check: object) -> Check:
        """Raises TypeError for anything but a Verdict or a Scan."""
        if isinstance(check, Scan):
            return cls(check.verdict, check)
        if isinstance(check, Verdict):
            return cls(check)
        raise TypeError(f"{type(check).__name__} is not a Verdict or a Scan")


@dataclass(frozen=True, slots=True)
class Record:
    """One gate's result. `gate` is its id (family/name), `started` seconds since the epoch, `seconds` its duration.

    `attempts` above 1 means that something ran it again; the worst attempt counts.
    """

    gate: str
    family: str
    node: str
    outcome: Outcome
    reason: str = ""
    checks: tuple[Check, ...] = ()
    started: float = 0.0
    seconds: float = 0.0
    attempts: int = 1

    @property
    def name(self) -> str:
        return self.gate.partition("/")[2]

    @property
    def scans(self) -> tuple[Scan, ...]:
        return tuple(check.scan for check in self.checks if check.scan is not None)

    @property
    def subjects(self) -> tuple[Subject, ...]:
        return tuple(dict.fromkeys(subject for check in self.checks for subject in check.subjects))

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for scan in self.scans for finding in scan.findings)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of gates. `status` is "running" until it ended in an orderly way.

    `families` are those in scope; `partial` says what else narrowed the run ("-k recall"), which makes it unfit as
    evidence; `expected` maps each gate's node to its id. `shown` are the families whose code and pictures reports may
    show: none that is private, and none that is not named.
    """

    id: str
    status: Literal["running", "closed"]
    started: float
    families: tuple[str, ...]
    policy: str
    policy_sha256: str
    environment: str = ""
    ended: float = 0.0
    partial: tuple[str, ...] = ()
    expected: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    records: tuple[Record, ...] = ()
    shown: tuple[str, ...] = ()
    schema: int = SCHEMA

    @property
    def outcome(self) -> Outcome:
        """The worst of its gates; ERROR if it is not closed or a gate that was expected left no record."""
        missing = self.status != "closed" or any(self.missing)
        return Outcome.worst([record.outcome for record in self.records] + [Outcome.ERROR] * missing)

    @property
    def missing(self) -> tuple[str, ...]:
        """Nodes that were expected and left no record."""
        return tuple(sorted(set(self.expected) - {record.node for record in self.records}))

    @property
    def green(self) -> bool:
        return bool(self.outcome) and not self.partial


def dumps(run: Run) -> str:
    return json.dumps(decode.encode(run), indent=1, allow_nan=False) + "\n"


def loads(text: str | bytes, where: str = FILE_NAME) -> Run:
    """Read a run. Raises RecordError for what is not whole, valid, known JSON."""
    data = _parse(text, where)
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        newer = type(schema) is int and schema > SCHEMA
        remedy = "update pytest-pixgates to the version that ran the gates" if newer else "run the gates again"
        raise RecordError(f"{where}: schema {schema!r} is not {SCHEMA}, which this version reads", remedy=remedy)
    try:
        return decode.decode(Run, data)
    except decode.DecodeError as error:
        raise RecordError(f"{where}: {error}") from None


def load(path: Path) -> Run:
    """Read the run at `path`. Raises RecordError, also if there is none."""
    try:
        return loads(path.read_bytes(), str(path))
    except OSError as error:
        raise RecordError(f"{path}: no records ({error.strerror})", remedy="run the gates: pytest") from None


def save(run: Run, folder: Path) -> Path:
    path = folder / FILE_NAME
    files.write_atomically(path, dumps(run))
    return path


def masked(record: Record) -> Record:
    """`record` with the secrets of this process's environment masked in every text."""
    return decode.decode(Record, _masked(decode.encode(record), process.masker()))


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {mask(name): _masked(item, mask) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, mask) for item in value]
    return value


def dump_record(record: Record) -> str:
    return json.dumps(decode.encode(record), allow_nan=False)


def load_record(text: object, where: str) -> Record:
    """One record as it crossed from a worker. Raises RecordError."""
    if not isinstance(text, str):
        raise RecordError(f"{where}: a record must be a JSON string, not {type(text).__name__}")
    try:
        return decode.decode(Record, _parse(text, where))
    except decode.DecodeError as error:
        raise RecordError(f"{where}: {error}") from None


def _parse(text: str | bytes, where: str) -> Any:
    try:
        return decode.strict_json(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{where}: not valid JSON: {error}") from None
