"""A person's signed word on an exception: that something goes out although it was refused, or that this was looked at.

An in-toto Statement as evidence is, with a predicate of our own, signed by a key of `[[evidence.owners]]`. Those keys
sign no evidence, and keys of evidence approve nothing.
"""

from __future__ import annotations

import enum
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_pixgates.core import decode, quantity
from pytest_pixgates.core.errors import UsageError
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.refusal import CLOCK_TOLERANCE, Refusal
from pytest_pixgates.evidence import envelope, keys, statement
from pytest_pixgates.evidence.codes import Code, Refused
from pytest_pixgates.evidence.verify import Mode, key_refusals

PREDICATE = f"{statement.VERIFIER}#approval/v1"
SCHEMA = 1


class Purpose(enum.StrEnum):
    """What is approved."""

    BREAK_GLASS = "break-glass"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Claims:
    """The predicate. `about` says which use is meant, so that an approval can't be used for another.

    `accepts` are the codes of the refusals that it lets pass, `at` is when it was signed, in UTC.
    """

    purpose: Purpose
    environment: str
    about: str
    reason: str
    at: str
    accepts: tuple[str, ...] = ()
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        for name in ("environment", "about", "reason"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} is empty")
        statement.seconds(self.at)


@dataclass(frozen=True, slots=True)
class Approval:
    """What an owner's signature is found to say. It counts only without `refusals`; `owner` is the key's name."""

    refusals: tuple[Refusal, ...]
    owner: str = ""
    reason: str = ""
    accepts: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        return not self.refusals and bool(self.owner)


def approve(
    asked: Mapping[str, str], claims: Claims, reviewed: Policy, key: keys.PrivateKey
) -> tuple[str, list[Refusal]]:
    """The envelope that approves `asked` (name and sha256), or "" and why the key's word would not count."""
    owner = next((each for each in reviewed.trust.owners if each.id == key.id), None)
    if owner is None:
        return "", [_refusal(Code.UNKNOWN_KEY, reviewed.environment, key.id[:16])]
    if refused := list(key_refusals(owner, reviewed.environment, (statement.seconds(claims.at),))):
        return "", refused
    data = {
        "_type": statement.STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in asked.items()],
        "predicateType": PREDICATE,
        "predicate": decode.encode(claims),
    }
    return envelope.sealed(json.dumps(data, separators=(",", ":")).encode(), [key]), []


def verify_approval(
    content: str,
    asked: Mapping[str, str],
    *,
    policy: Path,
    environment: str,
    purpose: str,
    about: str,
    mode: str = Mode.AUTHORISE.value,
) -> Approval:
    """Whether the envelope in `content` approves exactly `asked` (name and sha256), `about` that one use.

    With mode "reverify" it is one that the caller's ledger knew: age does not count, whether the key was valid then
    does. Raises PolicyError, UsageError, and PixgatesError without the extra `evidence`.
    """
    from pytest_pixgates.core import policy as policies

    reviewed = policies.load(policy, environment=environment)
    if not environment or not asked:
        raise UsageError("an approval of nothing is none", remedy="name an environment and what was approved")
    try:
        owner, named, claims = _opened(content, reviewed, Mode(mode))
    except Refused as refused:
        return Approval((_refusal(refused.code, about, refused.what),))
    found = [*owner.refusals, *_of_its_claims(claims, reviewed, purpose, about)]
    if named != dict(asked):
        found.append(_refusal(Code.OTHER_SUBJECT, about, "it approves other bytes"))
    if Mode(mode) is Mode.AUTHORISE:
        found += _of_its_age(claims, reviewed)
    return Approval(tuple(found), owner.name, claims.reason, claims.accepts)


@dataclass(frozen=True, slots=True)
class _Owner:
    name: str
    refusals: tuple[Refusal, ...]


def _opened(content: str, reviewed: Policy, mode: Mode) -> tuple[_Owner, dict[str, str], Claims]:
    """Who signed, what for, and what they say. Raises Refused."""
    if not content:
        raise Refused(Code.UNSIGNED)
    if len(content) > envelope.MOST_BYTES:
        raise Refused(Code.TOO_LARGE, f"more than {envelope.MOST_BYTES:,} bytes")
    sealed = envelope.parse(content.encode(errors="replace"))
    key = envelope.signers(sealed, reviewed.trust.owners)[0]
    try:
        data = decode.strict_json(sealed.payload.decode())
        if type(data) is not dict or (data.get("_type"), data.get("predicateType")) != (statement.STATEMENT, PREDICATE):
            raise Refused(Code.WRONG_TYPE, f"not {PREDICATE} in {statement.STATEMENT}")
        claims, named = decode.decode(Claims, data.get("predicate")), statement.subjects_of(data.get("subject"))
    except (ValueError, RecursionError) as error:
        raise Refused(Code.MALFORMED, str(error)[:200]) from None
    if claims.schema != SCHEMA:
        raise Refused(Code.SCHEMA_NEWER, f"schema {claims.schema}, and this version reads {SCHEMA}")
    signed = statement.seconds(claims.at)
    moments, known = ((signed, time.time()), 0.0) if mode is Mode.AUTHORISE else ((signed,), signed)
    return _Owner(key.name, tuple(key_refusals(key, reviewed.environment, moments, known))), named, claims


def _of_its_claims(claims: Claims, reviewed: Policy, purpose: str, about: str) -> Iterator[Refusal]:
    if claims.environment != reviewed.environment:
        yield _refusal(Code.OTHER_ENVIRONMENT, about, f"{claims.environment}, not {reviewed.environment}")
    if claims.purpose != purpose:
        yield _refusal(Code.WRONG_TYPE, about, f"it is a {claims.purpose}, not a {purpose}")
    if claims.about != about:
        yield _refusal(Code.OTHER_SUBJECT, about, f"it is about {claims.about}")


def _of_its_age(claims: Claims, reviewed: Policy) -> Iterator[Refusal]:
    signed, now = statement.seconds(claims.at), time.time()
    if signed > now + CLOCK_TOLERANCE:
        yield _refusal(Code.FROM_FUTURE, claims.about, claims.at)
    expires = signed + quantity.seconds(reviewed.environments[reviewed.environment].max_age)
    if now > expires:
        yield _refusal(Code.EXPIRED, claims.about, f"since {statement.stamp(expires)}")


def _refusal(code: Code, where: str, what: str = "") -> Refusal:
    meaning = f"{code.meaning}: {what}" if what else code.meaning
    return Refusal(code.value, where, meaning, "have an owner in [[evidence.owners]] sign it: pixgates approve")
