"""From closed records to signed evidence, in a process of its own: code under test never shares one with the key.

What the records say is held against what is here: every subject is hashed again, every outcome worked out again. A run
that is whole but red is signed as FAILED, to be kept; anything less is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_pixgates.core import baseline, commit, git, process, quantity, record
from pytest_pixgates.core.errors import UsageError
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.record import Record, Run
from pytest_pixgates.core.refusal import Question, Refusal, judge
from pytest_pixgates.core.scan import Finding, Scan, State
from pytest_pixgates.evidence import envelope, statement, subjects
from pytest_pixgates.evidence.codes import Code, Refused
from pytest_pixgates.evidence.keys import PrivateKey
from pytest_pixgates.evidence.statement import CheckResult, Claims, GateResult, Statement, Tolerated, ToolVersion
from pytest_pixgates.evidence.verify import key_refusals

RED = frozenset({"not-passed", "family-missing", "required-missing"})
"""Refusals of `core.refusal` that make evidence say FAILED; any other means that there is nothing to sign."""

# What pipelines say of themselves: no secret is among them.
_CI = (
    *("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_SHA", "GITHUB_REF", "GITHUB_WORKFLOW_REF", "GITHUB_RUN_ID"),
    *("GITHUB_RUN_ATTEMPT", "GITHUB_EVENT_NAME", "GITHUB_ACTOR", "RUNNER_ENVIRONMENT"),
    *("CI_PROJECT_URL", "CI_COMMIT_SHA", "CI_COMMIT_REF_NAME", "CI_PIPELINE_ID", "CI_JOB_ID", "CI_PIPELINE_SOURCE"),
    *("BUILD_URL", "JOB_NAME", "GIT_COMMIT"),
)
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be signed: `subjects` by name and sha256, beside those of the records.

    `part` if other evidence goes with it; `now` is in seconds since the epoch.
    """

    subjects: Mapping[str, str] = field(default_factory=dict)
    part: bool = False
    run_id: str = ""
    now: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Signed:
    """Evidence as the file holds it, or why there is none (`refusals`); `red` is why it says FAILED."""

    text: str = ""
    statement: Statement | None = None
    refusals: tuple[Refusal, ...] = ()
    red: tuple[Refusal, ...] = ()


def sign(run: Run, reviewed: Policy, order: Order, key: PrivateKey) -> Signed:
    """Sign `run` for the environment that `reviewed` was loaded for. Raises UsageError, NotMeasured."""
    needed = _required(reviewed)
    if outside := tuple(_outside(run)):
        return Signed(refusals=outside)
    found = _judged(run, reviewed, order, needed)
    red = tuple(each for each in found if each.rule in RED)
    named = _named(run, reviewed, order)
    refusals = [each for each in found if each.rule not in RED]
    refusals += [*_not_fit(run), *_key(reviewed, order, key), *named.refusals]
    if refusals:
        return Signed(refusals=tuple(refusals), red=red)
    made = Statement(
        subjects=named.subjects,
        passed=not red,
        signed=order.now,
        policy=run.policy,
        policy_sha256=run.policy_sha256,
        records_sha256=hashlib.sha256(record.dumps(run).encode()).hexdigest(),
        claims=_claims(run, reviewed, order, named.unjudged),
    )
    return _sealed(made, key, red)


def _sealed(made: Statement, key: PrivateKey, red: tuple[Refusal, ...]) -> Signed:
    """`made`, signed if it can be read back."""
    payload, run = statement.dumps(made), made.claims.run
    try:
        read = statement.loads(payload)
    except Refused as refused:
        what = f"it can't be read back: {refused.what}"
        return Signed(refusals=(Refusal(refused.code.value, run, what, "see what the records hold"),), red=red)
    text = envelope.sealed(payload, [key])
    if len(text) > envelope.MOST_BYTES:
        what = f"it has {len(text):,} bytes, and no more than {envelope.MOST_BYTES:,} are read"
        fix = "sign fewer families at once, with --part"
        return Signed(refusals=(Refusal(Code.TOO_LARGE.value, run, what, fix),), red=red)
    return Signed(text, read, red=red)


def _required(reviewed: Policy) -> tuple[str, ...]:
    """What the environment of `reviewed` requires. Raises UsageError if that is nothing."""
    name = reviewed.environment
    needed = reviewed.environments[name].requires if name else ()
    if not needed:
        problem = f"[environments.{name}] requires nothing, so nothing could be shown for it"
        raise UsageError(problem, remedy="name families or gates in its `requires`")
    return needed


def _outside(run: Run) -> Iterator[Refusal]:
    """Subjects that no gate can have judged: asked first, so that records can't make the signer read what they like."""
    for subject in sorted({each.name for one in run.records for each in one.subjects if each.kind != "content"}):
        if Path(subject).is_absolute() or ".." in Path(subject).parts:
            what = "lies outside of the repository"
            yield Refusal("subject-outside", subject, what, "take the records of a run of the gates, and no others")


def _judged(run: Run, reviewed: Policy, order: Order, needed: tuple[str, ...]) -> list[Refusal]:
    families = {each.partition("/")[0] for each in needed}
    if order.part and families & set(run.families):
        families &= set(run.families)
        reviewed = _requiring([each for each in needed if each.partition("/")[0] in families], reviewed)
    question = Question(order.now, order.run_id, tuple(sorted(families)))
    return [*judge(run, reviewed, question), *commit.judge(run, reviewed, git.HEAD)]


def _requiring(needed: Sequence[str], reviewed: Policy) -> Policy:
    """`reviewed`, its environment requiring only `needed`: the rest is for another job's evidence."""
    name = reviewed.environment
    environment = dataclasses.replace(reviewed.environments[name], requires=tuple(needed))
    return dataclasses.replace(reviewed, environments={**reviewed.environments, name: environment})


def _not_fit(run: Run) -> Iterator[Refusal]:
    for each in run.records:
        if any(check.cached for check in each.checks):
            what = "was answered from the cache, so nothing was measured in this run"
            yield Refusal("cached", each.gate, what, "run the gates with --pixgates-no-cache")
        for subject in each.subjects:
            if subject.kind != "absent" and not subjects.SHA256.fullmatch(subject.sha256):
                what = f"{subject.name} is named with something else than its sha256"
                yield Refusal("subject-undigested", each.gate, what, "mend the gate that recorded it")


def _key(reviewed: Policy, order: Order, key: PrivateKey) -> Iterator[Refusal]:
    """Why `verify` would refuse the key, told before it is used."""
    trusted = next((each for each in reviewed.trust.keys if each.id == key.id), None)
    if trusted is None:
        yield Code.UNKNOWN_KEY.refusal(key.id[:16])
    else:
        yield from key_refusals(trusted, reviewed.environment, (order.now,))


@dataclass(frozen=True, slots=True)
class _Named:
    subjects: Mapping[str, str]
    unjudged: tuple[str, ...]
    refusals: tuple[Refusal, ...]


def _named(run: Run, reviewed: Policy, order: Order) -> _Named:
    """All subjects by name: those that the gates judged, the commit, and those of `order`."""
    found = _of_records(run)
    source, refusals = subjects.tree(reviewed.root, git.HEAD), list[Refusal]()
    judged, unjudged = {source, *found.values()}, list[str]()
    for name, digest in {**order.subjects, subjects.SOURCE: source}.items():
        if found.setdefault(name, digest) != digest:
            what = "has another digest in the records"
            refusals.append(Refusal("other-subject", name, what, "name what was judged, or run the gates on it"))
        if digest not in judged:
            unjudged.append(name)
    if order.subjects.get(subjects.SOURCE, source) != source:
        what = "is not the tree of the commit that is here"
        refusals.append(Refusal("other-subject", subjects.SOURCE, what, "leave it out: it is always signed"))
    for name in sorted(set(unjudged) - set(reviewed.environments[reviewed.environment].unjudged)):
        fix = "judge it with a gate, or have its name reviewed into the environment's `unjudged`"
        refusals.append(Refusal("subject-unjudged", name, "no gate judged what has this digest", fix))
    return _Named(dict(sorted(found.items())), tuple(sorted(unjudged)), tuple(refusals))


def _of_records(run: Run) -> dict[str, str]:
    """Name and digest of what was judged.

    Where a name has several digests, as a folder and what was rendered from it, each has its kind behind the name, and
    where that is not enough the beginning of its digest.
    """
    judged = {subject for each in run.records for subject in each.subjects if subject.kind != "absent"}
    found = dict[str, str]()
    for subject in judged:
        alike = {(each.kind, each.sha256) for each in judged if each.name == subject.name}
        name = subject.name
        if len({digest for _, digest in alike}) > 1:
            name = f"{name} ({subject.kind})"
            if sum(kind == subject.kind for kind, _ in alike) > 1:
                name = f"{name} {subject.sha256[:12]}"
        found[name] = subject.sha256
    return found


def _claims(run: Run, reviewed: Policy, order: Order, unjudged: tuple[str, ...]) -> Claims:
    environment = reviewed.environments[reviewed.environment]
    tools = {tool for each in run.records for scan in each.scans for tool in scan.tools}
    versions = {ToolVersion(tool.name, tool.version, tool.sha256) for tool in tools}
    return Claims(
        environment=reviewed.environment,
        requires=environment.requires,
        subjects=environment.subjects,
        started=statement.stamp(run.started),
        expires=statement.stamp(run.started + quantity.seconds(environment.max_age)),
        nonce=secrets.token_hex(16),
        run=run.id,
        gates=tuple(map(_gate, run.records)),
        part=order.part,
        unjudged=unjudged,
        tolerated=tuple(each for one in run.records for each in _tolerated(one, reviewed)),
        tools=tuple(sorted(versions, key=lambda each: (each.name, each.version, each.sha256))),
        versions=run.versions,
        commit=git.commit(reviewed.root, git.HEAD),
        ci={name: process.mask(os.environ[name])[:_LONGEST] for name in _CI if os.environ.get(name)},
    )


def _gate(each: Record) -> GateResult:
    checks = (check.verdict for check in each.checks)
    results = (CheckResult(check.check[:_LONGEST], check.outcome, check.measured[:_LONGEST]) for check in checks)
    return GateResult(each.gate, each.outcome, each.reason[:_LONGEST], tuple(results))


def _tolerated(each: Record, reviewed: Policy) -> Iterator[Tolerated]:
    waivers = {waiver.id: waiver for group in reviewed.waivers.values() for waiver in group}
    for scan in each.scans:
        for finding in scan.findings:
            what = f"{finding.rule} at {finding.where}"
            if finding.state is State.WAIVED:
                waiver = waivers[finding.waiver]
                yield Tolerated("waiver", waiver.id, each.gate, what, waiver.expires)
            elif finding.state is State.KNOWN:
                entry = _entry(finding, scan, each, reviewed)
                yield Tolerated("baseline", entry.fingerprint, each.gate, what, entry.expires)


def _entry(finding: Finding, scan: Scan, each: Record, reviewed: Policy) -> baseline.Entry:
    """The baseline's entry for `finding`, which `judge` found there."""
    known = {entry.fingerprint: entry for entry in reviewed.baseline.entries} if reviewed.baseline else {}
    return known[baseline.fingerprint(finding, each.family, scan.check, reviewed.environment)]
