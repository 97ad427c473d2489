"""A release goes from one environment to the next: promoted on evidence of its own there, as the same bytes everywhere.

A promotion is an entry of the ledger, no more; `deploy` then brings it to its target. The first environment takes a
model from the registry. The others take what works in the one before.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_pipeline.ledger import steps
from ml_pipeline.ledger.steps import Refused, Step

if TYPE_CHECKING:
    from ml_pipeline.ledger.chain import Ledger
    from ml_pipeline.ledger.entries import BreakGlass, Link, Release
    from ml_pipeline.ledger.guard import Answer
    from ml_pipeline.ledger.history import Generation, History

EVALUATION = Path("ml_pipeline/evaluation")
CANDIDATE = "models:/pix-fraud@candidate"


@dataclass(frozen=True)
class Order:
    """What is to be promoted, and how it was asked for. `subjects` as `pixgates verify` takes them."""

    environment: str
    evidence: tuple[Path, ...]
    model: str | None = None
    evaluation: Path = EVALUATION
    commit: str = "HEAD"
    manifests: Path | None = None
    subjects: tuple[str, ...] = ()
    owner: str = ""
    reason: str = ""
    key: tuple[str, ...] = ()  # words for `pixgates approve`, to find the owner's
    policy: Path = steps.POLICY
    tracking_uri: str = ""


@dataclass
class Promotion:
    """A release on its way into the ledger. `artifacts` are what must be kept of it."""

    order: Order
    history: History
    release: Release
    artifacts: list[bytes]
    answer: Answer
    glass: BreakGlass | None = None
    before: Link | None = None
    written: Generation | None = None


def promote(ledger: Ledger, order: Order, *, dry_run: bool = False) -> Generation | None:
    """Promote, or only say what would be done. Returns the generation, which may have been there before.

    Raises Refused with all reasons, ValueError, OSError.
    """
    from ml_pipeline.ledger import glass

    made = prepared(ledger, order)
    glass.warn(ledger, order.policy)
    found = _already(made)
    if found:
        ledger.point(made.history.chain)
        print(f"{order.environment}: {found} was promoted from this very evidence; nothing was changed")
        return found
    signs = Step("sign", f"the broken glass, by {order.owner}", lambda: _sign(made))
    steps.carry_out(
        [
            *([signs] if made.glass else []),
            Step("keep", f"{len(made.artifacts)} artifacts by their digests", lambda: _keep(ledger, made)),
            Step("promote", f"{_described(made)} as {_next(made)}", lambda: record(ledger, made)),
            Step("point", "the head of the ledger to it", lambda: ledger.point(made.history.chain)),
        ],
        dry_run=dry_run,
    )
    return made.written


def prepared(ledger: Ledger, order: Order) -> Promotion:
    """All that can be found out before anything changes. Raises as `promote`."""
    from ml_pipeline.ledger import glass
    from ml_pipeline.ledger.history import Fate

    known = steps.checked(order.policy, order.environment)
    if bool(order.owner.strip()) != bool(order.reason.strip()):
        raise ValueError("--break-glass needs both --owner and --reason")
    history = glass.read(ledger, order.environment, order.policy)
    if history.pending and history.pending.is_rollback:
        raise Refused(f"a rollback of {order.environment} is under way: {history.pending}; run `rollback` or `deploy`")
    place = known.index(order.environment)
    earlier = glass.read(ledger, known[place - 1], order.policy) if place else None
    release, artifacts = _release(ledger, order, earlier)
    content = [path.read_bytes() for path in order.evidence]
    asked = [*_asked(order, release), *order.subjects]
    answer = _answer(order, asked, content, _unspent(history, content))
    release = _with(release, dict(answer.subjects) or _plain(asked))
    lived = [] if earlier is None else [g for g in earlier.generations if g.fate in (Fate.LIVE, Fate.REPLACED)]
    same = [each for each in lived if not release.moved(each.release)]
    works = [each for each in same if not each.why]
    rules, reasons = list(answer.rules), list(answer.refusals)
    if earlier is not None and not works:
        reasons.append(_not_proved(earlier, same[-1]) if same else _out_of_order(earlier, release))
        rules.append("not-proved" if same else "out-of-order")
    before = _link(earlier, (works or same)[-1]) if earlier is not None and same else None
    made = Promotion(order, history, release, [*artifacts, *content], answer, before=before)
    if reasons:
        made.glass = _glass(order, rules, reasons)
    return made


def record(ledger: Ledger, made: Promotion) -> None:
    """Write the generation. Raises Refused if another one was written meanwhile."""
    from ml_pipeline.ledger import history as histories
    from ml_pipeline.ledger.chain import Taken
    from ml_pipeline.ledger.entries import Kind

    known = len(made.history.generations)
    while True:
        live = made.history.live
        try:
            made.history = histories.write(
                ledger, made.history, Kind.PROMOTED, known + 1, release=made.release,
                evidence=list(made.answer.evidence), tolerated=list(made.answer.tolerated), break_glass=made.glass,
                returns_to=live.number if live else None, before=made.before,
            )  # fmt: skip
        except Taken:
            made.history = histories.read(ledger, made.order.environment)
            if len(made.history.generations) > known:
                raise Refused(_lost(made.history)) from None
            continue
        made.written = made.history.newest
        return


def _answer(order: Order, asked: Sequence[str], content: Sequence[bytes], used: Mapping[str, str]) -> Answer:
    """What `pixgates verify` says of the very bytes that are kept, by the names that the files had."""
    from ml_pipeline.ledger import guard

    with tempfile.TemporaryDirectory(prefix="pixgates-") as name:
        copies = [Path(name) / f"{index}-{path.name}" for index, path in enumerate(order.evidence)]
        for copy, data in zip(copies, content, strict=True):
            copy.write_bytes(data)
        answer = guard.authorise(order.policy, order.environment, asked, copies, used)
    return replace(answer, refusals=tuple(each.replace(f"{name}/", "") for each in answer.refusals))


def _release(ledger: Ledger, order: Order, earlier: History | None) -> tuple[Release, list[bytes]]:
    """What is meant, and its artifacts: from the registry, or what works in the environment before."""
    if earlier is None or order.model is not None:
        return _brought(order)
    live = earlier.live
    if live is None:
        raise Refused(
            f"nothing is live in {earlier.environment}, so nothing can go on to {order.environment}; "
            f"deploy there first: python -m ml_pipeline deploy --env {earlier.environment}"
        )
    release = live.release
    artifacts = [ledger.kept(digest) for digest in (*release.files.values(), release.evaluation)]
    shared = {name: digest for name, digest in release.subjects.items() if name not in _own()}
    return _with(release, shared), [*artifacts, *_manifests(order)]


def _brought(order: Order) -> tuple[Release, list[bytes]]:
    """The release that is named, from the registry or a folder, with the evaluation that is of it. Raises Refused."""
    from ml_pipeline.ledger.entries import Release, sha256

    evaluation = (order.evaluation / "evaluation.json").read_bytes()
    uri = order.model or CANDIDATE
    name, version, content = _from_registry(uri, order) if uri.startswith("models:/") else _from_folder(Path(uri))
    files = {path: sha256(data) for path, data in content.items()}
    judged = json.loads(evaluation).get("model", {}).get("sha256", {})
    other = sorted(each for each in {*judged, "model.onnx", "model.json"} if files.get(each) != judged.get(each))
    if other:
        raise Refused(
            f"{order.evaluation}/evaluation.json is not of {name} version {version}: other {', '.join(other)}; run "
            "`python -m ml_pipeline evaluate`, or name the evaluation with --evaluation"
        )
    data = json.loads(content["model.json"]).get("data", {})
    release = Release(
        name=name, version=version, files=files, evaluation=sha256(evaluation), commit=_commit(order), data=data
    )
    return release, [*content.values(), evaluation, *_manifests(order)]


def _from_registry(uri: str, order: Order) -> tuple[str, str, dict[str, bytes]]:
    """Name, version and files of a version of MLflow's, fetched as what was registered."""
    from ml_pipeline import registry

    name, version = _resolved(uri, order.tracking_uri)
    with tempfile.TemporaryDirectory(prefix="pixgates-") as place:
        folder = registry.fetch(f"models:/{name}/{version}", order.tracking_uri, Path(place) / "model")
        return name, version, _content(folder)


def _from_folder(folder: Path) -> tuple[str, str, dict[str, bytes]]:
    """The same of a folder of `train`, whose version is its digest."""
    from ml_pipeline.ledger.entries import sha256

    content = _content(folder)
    if not {"model.onnx", "model.json"} <= content.keys():
        raise FileNotFoundError(f"{folder} has no model.onnx and model.json; run `python -m ml_pipeline train` first")
    return str(json.loads(content["model.json"]).get("name")), sha256(content["model.onnx"])[:12], content


def _content(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _resolved(uri: str, tracking_uri: str) -> tuple[str, str]:
    """The name and the number of the version that a URI means. Raises ValueError, RegistryError."""
    from ml_pipeline.registration import store

    name, at, alias = uri.removeprefix("models:/").partition("@")
    if not at:
        name, _, version = name.partition("/")
        return name, version
    client = store.connect(tracking_uri)
    with store.asked(tracking_uri):
        found = store.version_of(client, name, alias)
    if found is None:
        raise Refused(f"{uri} is not in the registry; run `python -m ml_pipeline register`")
    return name, str(found.version)


def _commit(order: Order) -> str:
    """The commit that is meant, in the repository of the policy. Raises ValueError if there is none."""
    git = shutil.which("git")
    if git is None:
        raise ValueError("git is not there; install it")
    where = str(order.policy.resolve().parent)
    command = [git, "-C", where, "rev-parse", "--verify", "--quiet", f"{order.commit}^{{commit}}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise ValueError(f"{order.commit} is no commit of the repository of {order.policy}; name another with --commit")
    return done.stdout.strip()


def _asked(order: Order, release: Release) -> list[str]:
    """What evidence must be for: always the commit and the evaluation, which holds the digests of the model."""
    from ml_pipeline.ledger.entries import sha256

    shared = {name: f"sha256:{digest}" for name, digest in release.subjects.items()}
    shared |= {"source": f"git:{release.commit}", "evaluation": f"sha256:{release.evaluation}"}
    if order.manifests:
        shared["manifests"] = f"sha256:{sha256(order.manifests.read_bytes())}"
    given = {each.partition("=")[0] for each in order.subjects}
    return [f"{name}={what}" for name, what in shared.items() if name not in given or name in ("source", "evaluation")]


def _plain(asked: Sequence[str]) -> dict[str, str]:
    """The digests among the subjects, of which nothing was asked for lack of evidence."""
    pairs = (each.partition("=sha256:") for each in asked)
    return {name: digest for name, _, digest in pairs if digest}


def _manifests(order: Order) -> list[bytes]:
    return [order.manifests.read_bytes()] if order.manifests else []


def _own() -> frozenset[str]:
    from ml_pipeline.ledger.entries import OWN

    return OWN


def _with(release: Release, subjects: Mapping[str, str]) -> Release:
    import msgspec

    return msgspec.structs.replace(release, subjects=dict(sorted(subjects.items())))


def _unspent(history: History, content: Sequence[bytes]) -> dict[str, str]:
    """The nonces that count as used: not those of a promotion from the same files that is done, and may be repeated."""
    from ml_pipeline.ledger.entries import sha256
    from ml_pipeline.ledger.history import Fate

    newest = history.newest
    if newest is None or newest.is_rollback or newest.fate not in (Fate.PENDING, Fate.LIVE):
        return history.used()
    again = {each.sha256 for each in newest.entry.evidence} == set(map(sha256, content))
    return history.used(before=newest.number) if again else history.used()


def _already(made: Promotion) -> Generation | None:
    """The newest generation, if it is this release, promoted from this evidence. Raises Refused if it is another."""
    newest, digests = made.history.newest, {each.sha256 for each in made.answer.evidence}
    if newest is None or not digests or {each.sha256 for each in newest.entry.evidence} != digests:
        return None
    if newest.release.differences(made.release):
        raise Refused(f"this evidence was used before, for {newest} (nonce-used): run the gates again, and sign")
    return newest


def _out_of_order(earlier: History, release: Release) -> str:
    live = earlier.live
    if live is None:
        return f"nothing is live in {earlier.environment}; deploy there first (out-of-order)"
    differs = ", ".join(release.moved(live.release))
    return f"this never worked in {earlier.environment}, where {live} has another {differs} (out-of-order)"


def _not_proved(earlier: History, generation: Generation) -> str:
    return (
        f"{generation} is live in {earlier.environment} by its ledger alone: {generation.why} (not-proved): promote it "
        "there again, and deploy it where it is asked whether it works"
    )


def _glass(order: Order, rules: Sequence[str], reasons: Sequence[str]) -> BreakGlass:
    """What lets a refused release pass. Raises Refused."""
    from ml_pipeline.ledger.entries import BreakGlass

    if not order.owner:
        raise Refused("\n".join([*(f"refused: {each}" for each in reasons), "STOP: nothing was changed"]))
    print(f"{order.environment}: BREAK GLASS by {order.owner}: {order.reason}", file=sys.stderr)
    for each in reasons:
        print(f"  in spite of: {each}", file=sys.stderr)
    return BreakGlass(owner=order.owner, reason=order.reason, refusals=sorted(set(rules)))


def _sign(made: Promotion) -> None:
    """Have the owner sign for the broken glass. Raises Refused."""
    from ml_pipeline.ledger import glass

    order, number = made.order, len(made.history.generations) + 1
    if made.glass:
        made.glass = glass.signed(order.policy, order.environment, number, made.release, made.glass, order.key)


def _link(earlier: History, generation: Generation) -> Link:
    from ml_pipeline.ledger.entries import Link

    number = generation.entry.number
    return Link(environment=earlier.environment, number=number, sha256=earlier.chain.digests[number - 1])


def _keep(ledger: Ledger, made: Promotion) -> None:
    for data in made.artifacts:
        ledger.keep(data)


def _described(made: Promotion) -> str:
    return f"{made.release.name} version {made.release.version} ({made.release.model[:12]}) to {made.order.environment}"


def _next(made: Promotion) -> str:
    return f"generation {len(made.history.generations) + 1}"


def _lost(history: History) -> str:
    newest = history.newest
    if newest is None:  # pragma: no cover - it was just counted
        raise AssertionError("no generation")
    return (
        f"{history.environment}: {newest.entry.actor} was first and wrote {newest} at {newest.entry.at}; nothing was "
        "changed here. See `python -m ml_pipeline history`, and promote again if this one is still wanted"
    )


def add_arguments(parsers: Any) -> None:
    """The subcommand `promote`."""
    parser = parsers.add_parser("promote", help="let a release go to an environment", description=__doc__)
    parser.set_defaults(run=run, step="promote")
    steps.add_common(parser)
    steps.add_tracking(parser)
    parser.add_argument("--evidence", type=Path, action="append", default=[], help="what `pixgates sign` wrote")
    parser.add_argument(
        "--model", help=f"of the registry, or a folder ({CANDIDATE}; later what is live in the one before)"
    )
    parser.add_argument("--evaluation", type=Path, default=EVALUATION, help="folder of `evaluate` (%(default)s)")
    parser.add_argument("--commit", default="HEAD", help="what was judged (%(default)s)")
    parser.add_argument("--manifests", type=Path, help="file of the rendered manifests, which is kept")
    parser.add_argument(
        "--subject", action="append", default=[], metavar="NAME=WHAT",
        help="also what goes out, such as image=sha256:HEX and plan=PATH, as `pixgates verify` takes it",
    )  # fmt: skip
    parser.add_argument("--break-glass", action="store_true", help="promote in spite of refusals; it is recorded")
    parser.add_argument("--owner", default="", help="who answers for it: a name in [[evidence.owners]] of the policy")
    parser.add_argument("--reason", default="", help="why it can't wait")
    steps.add_key(parser)
    parser.add_argument("--dry-run", action="store_true", help="ask and plan, change nothing")


def run(arguments: argparse.Namespace) -> None:
    """Promote as the arguments ask. Exit code 1 if it is refused. Raises ValueError, OSError."""
    from ml_pipeline.ledger.chain import Ledger

    if arguments.break_glass != bool(arguments.owner and arguments.reason):
        raise ValueError("--break-glass needs --owner and --reason, and they need it")
    order = Order(
        environment=arguments.env, evidence=tuple(arguments.evidence), model=arguments.model,
        evaluation=arguments.evaluation, commit=arguments.commit, manifests=arguments.manifests,
        subjects=tuple(arguments.subject), owner=arguments.owner, reason=arguments.reason,
        key=steps.key_words(arguments), policy=arguments.config, tracking_uri=arguments.tracking_uri,
    )  # fmt: skip
    with steps.exits():
        promote(Ledger(arguments.ledger), order, dry_run=arguments.dry_run)
