"""What was promoted comes to its target, if `pixgates verify` says go at this moment; else nothing changes.

A release runs beside the one that works until it has proved itself. Only when it answers is the ledger told that it is
live. If it fails, the last one that worked is brought back at once. Without anything new, target and aliases are made
what the ledger says.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_pipeline.ledger import steps
from ml_pipeline.ledger.steps import Refused, Step

if TYPE_CHECKING:
    from ml_pipeline.ledger.chain import Ledger
    from ml_pipeline.ledger.history import Generation, History
    from ml_pipeline.targets import Target, Unit

LOCAL = Path("ml_pipeline/deployments/local")


@dataclass(frozen=True)
class Place:
    """An environment, what its truth is, and where it runs."""

    environment: str
    ledger: Ledger
    target: Target
    policy: Path
    order: tuple[str, ...]
    tracking_uri: str

    def history(self) -> History:
        """Raises LedgerError, ValueError."""
        from ml_pipeline.ledger import glass

        return glass.read(self.ledger, self.environment, self.policy)

    def unit(self, generation: Generation) -> Unit:
        from ml_pipeline.targets import Unit

        return Unit(generation.number, generation.release, self.ledger.kept, again=generation.is_rollback)


def deploy(place: Place, *, dry_run: bool = False) -> Generation:
    """Bring what was promoted last, or what is live. Returns it. Raises Refused, ValueError, OSError."""
    with held(place):
        history = place.history()
        generation = history.pending or history.live
        if generation is None:
            raise Refused(f"nothing is promoted to {place.environment}; run `python -m ml_pipeline promote` first")
        check(place, history, generation)
        warn(place, generation)
        bring(place, history, generation, dry_run=dry_run)
        return generation


@contextmanager
def held(place: Place) -> Iterator[None]:
    """Nobody else changes the target meanwhile. Raises Refused, also for what the target can't tell."""
    from ml_pipeline.targets import Unfit

    try:
        with place.target.held():
            yield
    except Unfit as unfit:
        raise Refused(f"{place.environment}: {unfit}") from None


def check(place: Place, history: History, generation: Generation) -> None:
    """Ask whether it may go out, before anything is touched. Raises Refused.

    What was let out before, a rollback's release or the one that is live, must be what was let out then.
    """
    from ml_pipeline.history import check_links
    from ml_pipeline.ledger import guard
    from ml_pipeline.ledger.chain import LedgerError

    again = generation.is_rollback or generation is not history.pending
    release, entry = generation.release, generation.entry
    manifests = [release.subjects["manifests"]] if "manifests" in release.subjects else []
    reasons = []
    for digest in (*release.files.values(), release.evaluation, *manifests, *(one.sha256 for one in entry.evidence)):
        try:
            place.ledger.kept(digest)
        except LedgerError as error:
            reasons.append(str(error))
    if not again:
        check_links(place.ledger, history)
    if not reasons:
        answer = guard.of_generation(place.ledger, history, generation, place.policy, again=again)
        reasons = [] if answer.go else list(answer.refusals)
    if reasons:
        said = [*(f"refused: {each}" for each in reasons), f"STOP: {generation} does not go to {place.environment}; "
                "nothing was changed"]  # fmt: skip
        raise Refused("\n".join(said))


def warn(place: Place, generation: Generation) -> None:
    """Say what nobody should overlook."""
    from ml_pipeline.ledger import glass

    for mark in generation.marks:
        print(glass.yellow(f"{place.environment}: {generation}: {mark}", sys.stderr), file=sys.stderr)
    glass.warn(place.ledger, place.policy, beside=generation)


def bring(place: Place, history: History, generation: Generation, *, dry_run: bool = False) -> None:
    """Make a generation the one that works, and the ledger say so. Raises Refused if the last one was brought back."""
    from ml_pipeline.ledger import aliases
    from ml_pipeline.ledger.entries import Kind

    target, unit, number = place.target, place.unit(generation), generation.number
    before = history.live
    show_difference(history, generation)
    changes = target.changes(unit)
    for each in changes:
        print(f"  {each}", flush=True)
    is_new = generation is history.pending
    begins = Step("begin", f"note that {generation} comes", lambda: _note(place, Kind.BEGUN, number))
    brings = [
        Step("prepare", "its files, each by its digest", lambda: target.prepare(unit)),
        Step("start", "it beside what works, and let it prove itself", lambda: target.start(unit)),
        Step("switch", "requests to it", lambda: target.switch(unit)),
        Step("confirm", "that it is what answers", lambda: target.confirm(unit)),
    ]
    lives = Step("live", "note that it works", lambda: _note(place, Kind.LIVE, number, target.caveat()))
    ends = [
        Step("retire", "what worked before", lambda: target.retire(unit)),
        Step("aliases", "of MLflow", lambda: print(
            "  " + aliases.project(place.history(), place.order, place.tracking_uri), flush=True)),
    ]  # fmt: skip
    if not is_new and not changes and target.running() == number:
        brings = brings[-1:]
    whole = [*([begins] if is_new and not generation.begun else []), *brings, *([lives] if is_new else []), *ends]
    if dry_run:
        steps.carry_out(whole, dry_run=True)
        return
    began = time.monotonic()
    count = len(whole)
    for index, step in enumerate(whole, start=1):
        steps.begin(step, index, count)
        if step in brings:
            _or_back(place, step, generation, before, is_new=is_new)
        else:
            step.do()
        if step is brings[-1]:
            print(f"{place.environment}: {generation} answers after {time.monotonic() - began:.1f} s", flush=True)


def _note(place: Place, kind: Any, number: int, why: str = "") -> None:
    from ml_pipeline.ledger import history as histories

    place.ledger.point(histories.note(place.ledger, place.environment, kind, number, why=why).chain)


def _or_back(place: Place, step: Step, generation: Generation, before: Generation | None, *, is_new: bool) -> None:
    """Do a step; if it fails, bring back what worked before. Raises Refused then."""
    from ml_pipeline.ledger.entries import Kind

    try:
        step.do()
    except Exception as error:  # whatever it is, what worked before comes back
        print(f"{place.environment}: {generation} FAILED at {step.name}: {error}", file=sys.stderr, flush=True)
        if not is_new:
            raise Refused(f"{generation} is live by the ledger, and can't be brought: {error}") from None
        told = f"{place.environment}: {generation} failed; {_back(place, before)}"
        try:
            _note(place, Kind.FAILED, generation.number, f"{step.name}: {error}"[:600])
        except OSError as unnoted:
            told += f"; the ledger could not be told ({unnoted}): run `deploy` again"
        raise Refused(told) from None


def _back(place: Place, before: Generation | None) -> str:
    """Bring back what worked before. Returns what came of it."""
    from ml_pipeline.targets import Unfit

    target = place.target
    try:
        if before is None:
            target.retire(None)
            return "nothing worked before it, so nothing runs"
        unit = replace(place.unit(before), again=True)
        if target.running() != before.number:
            target.prepare(unit)
            target.start(unit)
            target.switch(unit)
        target.confirm(unit)
        target.retire(unit)
    except (Unfit, OSError) as error:
        return f"and {before or 'the target'} could NOT be brought back: {error}"
    return f"{before} works as before"


def show_difference(history: History, generation: Generation) -> None:
    """Say what will be another than what is live."""
    live = history.live
    if live is None or live is generation:
        return
    for name, (old, new) in live.release.differences(generation.release).items():
        print(f"  {name}: {old or '(nothing)'} -> {new or '(nothing)'}")


def add_place(parser: Any) -> None:
    """The options that say what is changed, and where."""
    from ml_pipeline.targets import NAMES, add_kubectl

    steps.add_common(parser)
    steps.add_tracking(parser)
    parser.add_argument("--target", choices=NAMES, default=NAMES[0], help="where it runs (%(default)s)")
    local = parser.add_argument_group("local", "the service as a process here")
    local.add_argument("--folder", type=Path, default=LOCAL, help="its files, by environment (%(default)s)")
    local.add_argument("--host", default="127.0.0.1", help="address of the stable port (%(default)s)")
    local.add_argument("--port", type=int, default=8080, help="the stable port (%(default)s)")
    local.add_argument("--state", help="folder or URL of the account state (a folder beside the files)")
    local.add_argument("--hash-key", type=Path, help="file with the key of all hashes of ids")
    local.add_argument("--contracts", type=Path, default=Path("gates/contracts"), help="their folder (%(default)s)")
    cluster = parser.add_argument_group("kubernetes", "the service in a cluster")
    cluster.add_argument("--service-url", help="the service as its clients reach it: it is asked whether it works")
    cluster.add_argument("--p95", default="100ms", help="of a new release, once it gets requests (%(default)s)")
    cluster.add_argument("--no-pods", action="store_true", help="the cluster runs no containers: nobody is asked")
    cluster.add_argument("--namespace", help="where the manifests belong (pixgates-ENV)")
    cluster.add_argument("--context", help="of the kubeconfig (its current one)")
    add_kubectl(cluster)
    cluster.add_argument(
        "--rollout-seconds", type=float, default=300.0, help="until all pods are of the release (%(default)s)"
    )
    cluster.add_argument("--force-conflicts", action="store_true", help="take fields back from whoever changed them")


def place_of(arguments: argparse.Namespace) -> Place:
    """Raises ValueError, LedgerError."""
    from ml_pipeline import targets
    from ml_pipeline.ledger.chain import Ledger

    order = tuple(steps.checked(arguments.config, arguments.env))
    target = targets.named(arguments.target, arguments.env, arguments)
    return Place(arguments.env, Ledger(arguments.ledger), target, arguments.config, order, arguments.tracking_uri)


def add_arguments(parsers: Any) -> None:
    """The subcommand `deploy`."""
    parser = parsers.add_parser("deploy", help="bring what was promoted to its target", description=__doc__)
    parser.set_defaults(run=run, step="deploy")
    add_place(parser)
    parser.add_argument("--dry-run", action="store_true", help="ask and plan, change nothing")


def run(arguments: argparse.Namespace) -> None:
    """Deploy as the arguments ask. Exit code 1 if it is refused or failed. Raises ValueError, OSError."""
    with steps.exits():
        generation = deploy(place_of(arguments), dry_run=arguments.dry_run)
        if not arguments.dry_run:
            print(f"{arguments.env}: {generation} is live")
