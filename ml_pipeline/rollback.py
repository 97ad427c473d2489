"""Back to the last release that worked: one command, which checks what it returns to before it touches anything.

Its digests, its signature and its artifacts must be what they were. Nobody returns in silence to a release that needed
a waiver or broke the glass: it is passed over, unless named by --to. MLflow is not needed. Twice is the same as once.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from ml_pipeline import deploy
from ml_pipeline.deploy import Place
from ml_pipeline.ledger import steps
from ml_pipeline.ledger.steps import Refused

if TYPE_CHECKING:
    from ml_pipeline.ledger.history import Generation, History


def rollback(place: Place, why: str, to: int | None = None, *, dry_run: bool = False) -> Generation:
    """Return to generation `to`, or to the last good one. Returns the generation that is live then.

    Raises Refused, ValueError, OSError.
    """
    with deploy.held(place):
        history = place.history()
        pending, leaving = history.pending, left(history, place.target.running())
        if pending and pending.is_rollback:
            print(f"{place.environment}: {pending} is under way")
            goal = pending
        elif leaving.is_rollback and leaving is history.live and to in (None, leaving.number, leaving.entry.restores):
            print(f"{place.environment}: {leaving} is a rollback already; to go further back, name --to")
            goal = leaving
        else:
            goal = chosen(history, leaving, to)
        deploy.check(place, history, goal)
        if goal is pending or goal is leaving:
            brought = goal
        elif dry_run:
            print(f"would write generation {len(history.generations) + 1}, a rollback to {goal}, and bring it:")
            brought = goal
        else:
            history = write(place, history, goal, why)
            brought = history.generations[-1]
        deploy.warn(place, brought)
        deploy.bring(place, history, brought, dry_run=dry_run)
        return brought


def left(history: History, running: int | None) -> Generation:
    """What a rollback goes away from: what a deployment left half done, else what is live. Raises Refused."""
    from ml_pipeline.ledger.history import Fate

    begun = [each for each in history.generations if each.begun and each.fate in (Fate.PENDING, Fate.SUPERSEDED)]
    for each in begun:
        if each is history.pending or each.number == running:
            return each
    if history.live is None:
        raise Refused(f"nothing is live in {history.environment}, so there is nothing to go away from")
    return history.live


def chosen(history: History, leaving: Generation, to: int | None) -> Generation:
    """Where to return to. Raises Refused if there is nothing, ValueError if `to` never worked."""
    good = history.returnable(leaving.release)
    if history.live and history.live is not leaving:
        good.insert(0, history.live)
    if to is not None:
        goal = history.generation(to)
        if goal not in good:
            raise ValueError(f"{goal} is {goal.fate}; a rollback goes to one that worked: "
                             + (", ".join(str(each.number) for each in good) or "there is none"))  # fmt: skip
        return goal
    for each in good:
        if not each.marks:
            return each
        print(f"{history.environment}: {each} is passed over: {'; '.join(each.marks)}; name it with --to {each.number}"
              "to return to it", file=sys.stderr)  # fmt: skip
    raise Refused(f"{history.environment}: nothing that worked before {leaving} can be returned to unseen; "
                  "nothing was changed")  # fmt: skip


def write(place: Place, history: History, goal: Generation, why: str) -> History:
    """The generation of the rollback. Raises Refused if another one was written meanwhile."""
    from ml_pipeline.ledger import glass
    from ml_pipeline.ledger import history as histories
    from ml_pipeline.ledger.chain import Taken
    from ml_pipeline.ledger.entries import Kind

    entry, live = goal.entry, history.live
    try:
        written = histories.write(
            place.ledger, history, Kind.ROLLBACK, len(history.generations) + 1, release=goal.release,
            evidence=entry.evidence, tolerated=entry.tolerated, break_glass=entry.break_glass,
            restores=goal.number, returns_to=live.number if live else None, why=why,
        )  # fmt: skip
    except Taken:
        said = "somebody wrote to the ledger meanwhile; nothing was changed, run this again"
        raise Refused(f"{place.environment}: {said}") from None
    return glass.judge(written, place.policy)


def add_arguments(parsers: Any) -> None:
    """The subcommand `rollback`."""
    parser = parsers.add_parser("rollback", help="return to the last release that worked", description=__doc__)
    parser.set_defaults(run=run, step="rollback")
    deploy.add_place(parser)
    parser.add_argument("--to", type=int, metavar="GENERATION", help="to this one, also if it was waived")
    parser.add_argument("--reason", default="asked for", help="is recorded (%(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="check and plan, change nothing")


def run(arguments: argparse.Namespace) -> None:
    """Roll back as the arguments ask. Exit code 1 if it is refused or failed. Raises ValueError, OSError."""
    with steps.exits():
        place = deploy.place_of(arguments)
        generation = rollback(place, arguments.reason, arguments.to, dry_run=arguments.dry_run)
        if not arguments.dry_run:
            print(f"{arguments.env}: {generation} is live")
