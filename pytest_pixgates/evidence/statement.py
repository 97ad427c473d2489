"""What evidence says: an in-toto Statement v1 with a SLSA Verification Summary v1, and the rest under EXTENSION.

Whoever knows only the summary reads what was judged, by which policy, when, and PASSED or FAILED.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pytest_pixgates.core import decode
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.evidence.codes import Code, Refused
from pytest_pixgates.evidence.subjects import SHA256

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/verification_summary/v1"
VERIFIER = "https://pypi.org/project/pytest-pixgates/"
EXTENSION = f"{VERIFIER}#evidence/v1"
SCHEMA = 1

_STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_NONCE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check of a gate asked and measured."""

    check: str
    outcome: Outcome
    measured: str = ""


@dataclass(frozen=True, slots=True)
class GateResult:
    """How a gate came out, and why if it did not pass."""

    gate: str
    outcome: Outcome
    reason: str = ""
    checks: tuple[CheckResult, ...] = ()

    @property
    def family(self) -> str:
        return self.gate.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Tolerated:
    """A finding of a gate that a waiver (by `id`) or the baseline excused, the last day on which it does."""

    by: str
    id: str
    gate: str
    finding: str
    expires: datetime.date


@dataclass(frozen=True, slots=True)
class ToolVersion:
    """A tool that judged."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Claims:
    """The extension. `part` if the signer says that other evidence goes with it; `unjudged` are subjects that no gate
    judged; `requires` and `subjects` are what the environment's policy asked for then.

    `started` and `expires` are UTC, `nonce` is never given to other evidence, `ci` is what the pipeline says of itself.
    """

    environment: str
    requires: tuple[str, ...]
    subjects: tuple[str, ...]
    started: str
    expires: str
    nonce: str
    run: str
    gates: tuple[GateResult, ...]
    part: bool = False
    unjudged: tuple[str, ...] = ()
    tolerated: tuple[Tolerated, ...] = ()
    tools: tuple[ToolVersion, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    commit: str = ""
    ci: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if not _NONCE.fullmatch(self.nonce):
            raise ValueError("nonce must be 32 hexadecimal digits")
        for stamp in (self.started, self.expires):
            seconds(stamp)


@dataclass(frozen=True, slots=True)
class Statement:
    """What was signed: `subjects` by name and sha256, whether it `passed`, when (seconds since the epoch)."""

    subjects: Mapping[str, str]
    passed: bool
    signed: float
    policy: str
    policy_sha256: str
    records_sha256: str
    claims: Claims

    @property
    def started(self) -> float:
        return seconds(self.claims.started)

    @property
    def expires(self) -> float:
        return seconds(self.claims.expires)


def dumps(statement: Statement) -> bytes:
    """The payload of an envelope."""
    claims, result = statement.claims, "PASSED" if statement.passed else "FAILED"
    predicate = {
        "verifier": {"id": VERIFIER, "version": dict(claims.versions)},
        "timeVerified": stamp(statement.signed),
        "resourceUri": resource(claims),
        "policy": {"uri": quote(statement.policy), "digest": {"sha256": statement.policy_sha256}},
        "inputAttestations": [{"uri": "records.json", "digest": {"sha256": statement.records_sha256}}],
        "verificationResult": result,
        "verifiedLevels": levels(claims) if statement.passed else ["FAILED"],
        EXTENSION: decode.encode(claims),
    }
    data = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in statement.subjects.items()],
        "predicateType": PREDICATE,
        "predicate": predicate,
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False).encode()


def loads(payload: bytes) -> Statement:
    """Read the payload of an envelope. Raises Refused."""
    try:
        data = decode.strict_json(payload.decode())
        if type(data) is not dict or (data.get("_type"), data.get("predicateType")) != (STATEMENT, PREDICATE):
            raise Refused(Code.WRONG_TYPE, f"not {PREDICATE} in {STATEMENT}")
        return _statement(data)
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise Refused(Code.MALFORMED, what) from None


def resource(claims: Claims) -> str:
    """What was verified, as a URI: what an environment requires, or as much of it as some families are."""
    part = f"?families={quote(','.join(families(claims)))}" if claims.part else ""
    return f"pixgates:environment/{quote(claims.environment, safe='')}{part}"


def levels(claims: Claims) -> list[str]:
    """What was reached, in words of our own: SLSA's levels say how something was built."""
    if claims.part:
        return [f"PIXGATES_FAMILY_{family.upper()}" for family in families(claims)]
    return [f"PIXGATES_ENVIRONMENT_{claims.environment.upper()}"]


def families(claims: Claims) -> list[str]:
    return sorted({gate.family for gate in claims.gates})


def stamp(moment: float) -> str:
    """`moment` (seconds since the epoch) in UTC, to the second before it."""
    return datetime.datetime.fromtimestamp(int(moment), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds(text: str) -> float:
    """The inverse of `stamp`. Raises ValueError."""
    if not _STAMP.fullmatch(text):
        raise ValueError(f"{text!r} is no time in UTC")
    return datetime.datetime.fromisoformat(text).timestamp()


def _statement(data: Mapping[str, Any]) -> Statement:
    predicate = _table(data, "predicate")
    if _table(predicate, "verifier").get("id") != VERIFIER:
        raise Refused(Code.WRONG_TYPE, f"its verifier is not {VERIFIER}")
    extension = _table(predicate, EXTENSION)
    schema = extension.get("schema")
    if type(schema) is int and schema > SCHEMA:
        raise Refused(Code.SCHEMA_NEWER, f"schema {schema}, and this version reads {SCHEMA}")
    if type(schema) is not int or schema != SCHEMA:
        raise ValueError(f"schema {schema!r} is not {SCHEMA}")
    claims, result = decode.decode(Claims, extension), predicate.get("verificationResult")
    if result not in ("PASSED", "FAILED"):
        raise ValueError("verificationResult is neither PASSED nor FAILED")
    if predicate.get("resourceUri") != resource(claims):
        raise ValueError("resourceUri is not what the extension says")
    inputs = decode.decode(tuple[Any, ...], predicate.get("inputAttestations"), "inputAttestations")
    if len(inputs) != 1:
        raise ValueError("inputAttestations must be the records alone")
    policy = _table(predicate, "policy")
    return Statement(
        subjects=subjects_of(data.get("subject")),
        passed=result == "PASSED",
        signed=seconds(decode.decode(str, predicate.get("timeVerified"), "timeVerified")),
        policy=decode.decode(str, policy.get("uri"), "policy.uri"),
        policy_sha256=_sha256(policy),
        records_sha256=_sha256(inputs[0]),
        claims=claims,
    )


def subjects_of(data: Any) -> dict[str, str]:
    """Name and sha256 of a statement's subjects. Raises ValueError."""
    found = dict[str, str]()
    for each in decode.decode(tuple[Any, ...], data, "subject"):
        table = decode.decode(dict[str, Any], each, "subject")
        name = decode.decode(str, table.get("name"), "subject.name")
        if name in found:
            raise ValueError(f"the subject {name!r} stands twice")
        found[name] = _sha256(table)
    return found


def _table(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    return decode.decode(dict[str, Any], data.get(name), name)


def _sha256(data: Any) -> str:
    digest = _table(decode.decode(dict[str, Any], data), "digest").get("sha256")
    if type(digest) is not str or not SHA256.fullmatch(digest):
        raise ValueError("a digest is not 64 hexadecimal digits of sha256")
    return digest
