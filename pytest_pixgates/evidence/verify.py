"""Whether something may go out now, or go back to what it was: the answer to one question, from signed evidence alone.

`authorise` asks whether this may go out now. `reverify`, before a rollback, asks whether it is what could go out when
it was signed: age, use, later waivers and a later policy don't count, whether the key was valid then does.
"""

from __future__ import annotations

import datetime
import enum
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_pixgates.core import quantity
from pytest_pixgates.core.errors import PolicyError, UsageError
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.refusal import CLOCK_TOLERANCE, Refusal
from pytest_pixgates.core.trust import TrustedKey, midnight
from pytest_pixgates.evidence import envelope, statement, subjects
from pytest_pixgates.evidence.codes import Code, Refused
from pytest_pixgates.evidence.ledger import LedgerError, NonceLedger
from pytest_pixgates.evidence.statement import Statement


class Mode(enum.Enum):
    """What is asked."""

    AUTHORISE = "authorise"
    REVERIFY = "reverify"


@dataclass(frozen=True, slots=True)
class Request:
    """May `subjects` (name and sha256) go where `policy` was loaded for, at `now` (seconds since the epoch)?

    `ledger` remembers what was used, for `use`. `recorded` are the sha256 of evidence files that were authorised then.
    """

    policy: Policy
    subjects: Mapping[str, str]
    mode: Mode = Mode.AUTHORISE
    ledger: NonceLedger | None = None
    use: str = ""
    recorded: frozenset[str] = frozenset()
    now: float = field(default_factory=time.time)

    @property
    def fresh(self) -> bool:
        """Whether age, use and the policy of today count."""
        return self.mode is Mode.AUTHORISE


@dataclass(frozen=True, slots=True)
class Opened:
    """Evidence that a trusted key signed. `sha256` is that of its file."""

    path: str
    sha256: str
    keys: tuple[TrustedKey, ...]
    statement: Statement


@dataclass(frozen=True, slots=True)
class Answer:
    """Go only without `refusals`. `evidence` is what could be opened; `spent` if a ledger remembers it now."""

    refusals: tuple[Refusal, ...]
    evidence: tuple[Opened, ...]
    spent: bool = False

    @property
    def go(self) -> bool:
        return not self.refusals and bool(self.evidence)


def verify(paths: Sequence[Path], request: Request) -> Answer:
    """Hold the evidence in `paths` against `request`. Raises UsageError for what nothing could answer."""
    _refuse_empty(paths, request)
    opened, refusals = list[Opened](), list[Refusal]()
    for path in paths:
        try:
            opened.append(open_evidence(path, request.policy.trust.keys))
        except Refused as refused:
            refusals.append(refused.code.refusal(str(path), refused.what))
    for each in opened:
        refusals += _of_one(each, request)
    if len(opened) == len(paths):  # or what the others hold would be missed
        refusals += [*_of_all(opened, request), *_of_subjects(opened, request)]
    if request.fresh and request.ledger is None and request.policy.environments[request.policy.environment].single_use:
        refusals.append(Code.NONCE_UNCHECKED.refusal(request.policy.environment))
    spent = not refusals and request.fresh and request.ledger is not None
    if spent:
        refusals += _used(opened, request)
    return Answer(tuple(refusals), tuple(opened), spent and not refusals)


def verify_evidence(
    evidence: Sequence[Path],
    asked: Sequence[str],
    *,
    policy: Path,
    environment: str,
    mode: str = Mode.AUTHORISE.value,
    ledger: NonceLedger | None = None,
    use: str = "",
    recorded: Iterable[str] = (),
) -> Answer:
    """`pixgates verify` from Python, with the caller's own ledger; each argument as the option of its name.

    The time is this machine's. Raises PolicyError, UsageError, and PixgatesError without the extra `evidence`.
    """
    from pytest_pixgates.core import policy as policies

    reviewed = policies.load(policy, environment=environment)
    request = Request(
        policy=reviewed,
        subjects=subjects.asked(list(asked), reviewed.root),
        mode=Mode(mode),
        ledger=ledger,
        use=use,
        recorded=frozenset(map(subjects.digest, recorded)),
    )
    return verify(evidence, request)


def open_evidence(path: Path, trusted: Sequence[TrustedKey]) -> Opened:
    """The evidence in the file at `path`, if one of `trusted` signed it. Raises Refused."""
    content = envelope.read(path)
    sealed = envelope.parse(content)
    signers = tuple(envelope.signers(sealed, trusted))
    digest = hashlib.sha256(content).hexdigest()
    return Opened(str(path), digest, signers, statement.loads(sealed.payload))


def key_refusals(key: TrustedKey, environment: str, moments: Iterable[float], known: float = 0) -> Iterator[Refusal]:
    """Why `key` may not sign for `environment` at one of `moments`; if it is revoked, only for what is older.

    `known` is when that was signed, 0 if only the signature says so: whoever has a key can give it any date.
    """
    times = tuple(moments)
    if key.revoked is not None and not 0 < known < midnight(key.revoked):
        yield Code.KEY_REVOKED.refusal(key.name, f"since {key.revoked}")
        return
    if min(times) < key.begins:
        yield Code.KEY_NOT_YET_VALID.refusal(key.name, f"valid from {key.valid_from}")
    if max(times) >= key.ends:
        yield Code.KEY_EXPIRED.refusal(key.name, f"valid until {key.valid_until}")
    if environment not in key.environments:
        yield Code.KEY_NOT_ALLOWED.refusal(key.name, f"it is for {', '.join(key.environments)}")


def _refuse_empty(paths: Sequence[Path], request: Request) -> None:
    if not paths or not request.subjects:
        problem = "without evidence and something that it is for, nothing is asked"
        raise UsageError(problem, remedy="name both, such as --subject model=build/model.onnx")
    name = request.policy.environment
    if not name:
        raise UsageError("no environment is asked for", remedy="name it: --env prod")
    if request.fresh and not request.policy.environments[name].requires:
        problem = f"[environments.{name}] requires nothing, so nothing would be shown"
        raise UsageError(problem, remedy="name families or gates in its `requires`")


def _of_one(each: Opened, request: Request) -> Iterator[Refusal]:
    claims, where = each.statement.claims, each.path
    yield from _of_its_keys(each, request)
    if claims.environment != request.policy.environment:
        yield Code.OTHER_ENVIRONMENT.refusal(where, f"{claims.environment}, not {request.policy.environment}")
    if request.recorded and each.sha256 not in request.recorded:
        yield Code.NOT_RECORDED.refusal(where, f"sha256:{each.sha256}")
    bad = [gate for gate in claims.gates if not gate.outcome or not all(check.outcome for check in gate.checks)]
    for gate in bad:
        yield Code.GATE_NOT_PASSED.refusal(where, f"{gate.gate} is {gate.outcome.value}: {gate.reason}")
    if not each.statement.passed and not bad:
        yield Code.SIGNED_AS_FAILED.refusal(where)
    yield from _of_its_time(each, request)


def _of_its_keys(each: Opened, request: Request) -> Iterator[Refusal]:
    """Nothing if one of the keys is good; else what speaks against the first."""
    signed = each.statement.signed
    moments = (signed, request.now) if request.fresh else (signed,)
    known_since = signed if not request.fresh and each.sha256 in request.recorded else 0
    environment = request.policy.environment
    found = [list(key_refusals(key, environment, moments, known_since)) for key in each.keys]
    if all(found):
        yield from found[0]


def _of_its_time(each: Opened, request: Request) -> Iterator[Refusal]:
    made, where = each.statement, each.path
    latest = max(made.signed, made.started)
    if latest > request.now + CLOCK_TOLERANCE or made.started > made.signed + CLOCK_TOLERANCE:
        yield Code.FROM_FUTURE.refusal(where, statement.stamp(latest))
    if not request.fresh:
        return
    # The signer's own bound can only be the shorter one.
    allowed = quantity.seconds(request.policy.environments[request.policy.environment].max_age)
    expires = min(made.expires, made.started + allowed)
    if request.now > expires:
        yield Code.EXPIRED.refusal(where, f"since {statement.stamp(expires)}")
    today = datetime.datetime.fromtimestamp(request.now, datetime.UTC).date()
    for one in made.claims.tolerated:
        if one.expires < today:
            yield Code.WAIVER_EXPIRED.refusal(where, f"{one.by} {one.id} for {one.finding}, on {one.expires}")


def _of_all(opened: Sequence[Opened], request: Request) -> Iterator[Refusal]:
    """What they must show together: one policy, one commit, and every gate that is required."""
    policies = {each.statement.policy_sha256 for each in opened}
    name = request.policy.environment
    if request.fresh:
        here = _digest(request.policy)
        for each in opened:
            if each.statement.policy_sha256 != here:
                yield Code.OTHER_POLICY.refusal(each.path, f"sha256:{each.statement.policy_sha256[:12]}")
    elif len(policies) > 1:
        yield Code.OTHER_POLICY.refusal(name, "these were judged by several")
    if len({each.statement.subjects.get(subjects.SOURCE) for each in opened}) > 1:
        yield Code.OTHER_SUBJECT.refusal(subjects.SOURCE, "these are of several commits")
    gates = [gate for each in opened for gate in each.statement.claims.gates]
    for needed in _needed(opened, request, "requires"):
        if not any(needed in (gate.family, gate.gate) for gate in gates):
            yield Code.GATE_ABSENT.refusal(name, needed)


def _of_subjects(opened: Sequence[Opened], request: Request) -> Iterator[Refusal]:
    for name in _needed(opened, request, "subjects"):
        if name not in request.subjects:
            yield Code.SUBJECT_NOT_ASKED.refusal(name)
    may_be_unjudged = request.policy.environments[request.policy.environment].unjudged
    for name, digest in request.subjects.items():
        holding = [each for each in opened if name in each.statement.subjects]
        if not holding:
            yield Code.SUBJECT_MISSING.refusal(name)
        for each in holding:
            if each.statement.subjects[name] != digest:
                what = f"sha256:{each.statement.subjects[name]}, and this is sha256:{digest}"
                yield Code.OTHER_SUBJECT.refusal(name, what)
        unjudged = bool(holding) and all(name in each.statement.claims.unjudged for each in holding)
        if request.fresh and unjudged and name not in may_be_unjudged:
            yield Code.SUBJECT_UNJUDGED.refusal(name)


def _digest(policy: Policy) -> str:
    try:
        return policy.sha256
    except OSError as error:
        raise PolicyError(f"{policy.folder}: {error.strerror}", remedy="make all of it readable") from None


def _needed(opened: Sequence[Opened], request: Request, what: str) -> list[str]:
    """What the policy asks for: today's, or that of the time when it was signed."""
    if request.fresh:
        return list(getattr(request.policy.environments[request.policy.environment], what))
    return sorted({name for each in opened for name in getattr(each.statement.claims, what)})


def _used(opened: Sequence[Opened], request: Request) -> Iterator[Refusal]:
    if request.ledger is None:  # pragma: no cover - asked before
        raise AssertionError("no ledger")
    nonces = sorted({each.statement.claims.nonce for each in opened})
    try:
        before = request.ledger.spend(nonces, request.use)
    except LedgerError as error:
        yield Code.LEDGER_UNREADABLE.refusal("ledger", error.message)
        return
    for each in opened:
        if (nonce := each.statement.claims.nonce) in before:
            yield Code.NONCE_USED.refusal(each.path, f"for {before[nonce]}")
