"""What went where, when, on which evidence and on whose word: `history`, `diff`, and `review` of broken glass."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_pipeline.ledger import steps

if TYPE_CHECKING:
    from ml_pipeline.ledger.chain import Ledger
    from ml_pipeline.ledger.history import Generation, History


def show(history: History, write: Callable[[str], object] = print) -> None:
    """The generations of an environment, the latest last, with all that nobody should overlook."""
    from ml_pipeline.ledger.glass import yellow

    write(f"{history.environment}: {len(history.chain.entries)} entries, the chain is whole")
    for each in history.generations:
        entry, release = each.entry, each.release
        kind = f"rollback to {entry.restores}" if each.is_rollback else "promotion"
        line = f"{each.number:>4}  {each.fate:<10}  {entry.at}  {release.name} version {release.version} "
        write(f"{line}{release.model[:12]}  {kind} by {entry.actor}" + (f": {each.why}" if each.why else ""))
        for mark in each.marks:
            write(yellow(f"      {mark}", sys.stdout))


def check_links(ledger: Ledger, history: History) -> None:
    """Raises LedgerError if an entry that a promotion stands on is not there any more."""
    from ml_pipeline.ledger.chain import LedgerError

    links = [each.entry.before for each in history.generations if each.entry.before]
    for name in {each.environment for each in links}:
        digests = ledger.read(name).digests
        for each in links:
            if each.environment == name and each.sha256 not in digests[each.number - 1 : each.number]:
                raise LedgerError(f"entry {each.number} of {name}, on which {history.environment} stands, is missing")


def review(ledger: Ledger, environment: str, number: int, reason: str, policy: Path, key: Sequence[str]) -> None:
    """Note that a generation that broke the glass was looked at, signed by another owner than the one who broke it.

    Raises Refused, ValueError, LedgerError.
    """
    from ml_pipeline.ledger import glass
    from ml_pipeline.ledger import history as histories
    from ml_pipeline.ledger.entries import Kind

    history = glass.read(ledger, environment, policy)
    approval = glass.reviewed(history, history.generation(number), reason, policy, key)
    ledger.point(histories.note(ledger, environment, Kind.REVIEWED, number, why=reason, approval=approval).chain)


def difference(ledger: Ledger, one: str, other: str) -> dict[str, tuple[str, str]]:
    """What differs between two generations, each as ENV or ENV:NUMBER. Raises ValueError, LedgerError."""
    mine, others = (_meant(ledger, each).release for each in (one, other))
    return mine.differences(others)


def _meant(ledger: Ledger, text: str) -> Generation:
    from ml_pipeline.ledger import history as histories

    name, _, number = text.partition(":")
    history = histories.read(ledger, name)
    if number:
        return history.generation(int(number))
    if history.live is None:
        raise ValueError(f"nothing is live in {name}; name a generation: {name}:NUMBER")
    return history.live


def add_arguments(parsers: Any) -> None:
    """The subcommands `history`, `diff` and `review`."""
    parser = parsers.add_parser("history", help="what went where, when and on whose word", description=show.__doc__)
    parser.set_defaults(run=run_history, step="history")
    steps.add_common(parser)
    parser = parsers.add_parser("diff", help="what differs between two generations", description=difference.__doc__)
    parser.set_defaults(run=run_diff, step="diff")
    parser.add_argument("one", metavar="ENV[:GENERATION]", help="what is live there, or a generation")
    parser.add_argument("other", metavar="ENV[:GENERATION]", help="what it is compared with")
    steps.add_ledger(parser)
    parser = parsers.add_parser("review", help="note that broken glass was looked at", description=review.__doc__)
    parser.set_defaults(run=run_review, step="review")
    steps.add_common(parser)
    parser.add_argument("--generation", type=int, required=True, help="the one that was looked at")
    parser.add_argument("--reason", required=True, help="what was found")
    steps.add_key(parser)


def run_history(arguments: argparse.Namespace) -> None:
    """Print the history of an environment. Raises LedgerError if its chain is broken, or its glass is not signed."""
    from ml_pipeline.ledger import glass
    from ml_pipeline.ledger.chain import Ledger, LedgerError

    ledger = Ledger(arguments.ledger)
    steps.checked(arguments.config, arguments.env)
    history = glass.read(ledger, arguments.env, arguments.config)
    check_links(ledger, history)
    show(history)
    glass.warn(ledger, arguments.config)
    unsigned = [str(each) for each in history.generations if each.entry.break_glass and each.unsigned]
    if unsigned:
        raise LedgerError(f"nobody whom the policy trusts signed for the broken glass of {', '.join(unsigned)}")


def run_diff(arguments: argparse.Namespace) -> None:
    """Print what differs."""
    from ml_pipeline.ledger.chain import Ledger

    found = difference(Ledger(arguments.ledger), arguments.one, arguments.other)
    print(f"{arguments.one} and {arguments.other} " + (f"differ in {len(found)}:" if found else "are the same"))
    for name, (mine, others) in found.items():
        print(f"  {name}: {mine or '(nothing)'} -> {others or '(nothing)'}")


def run_review(arguments: argparse.Namespace) -> None:
    """Note a review. Exit code 1 if it is refused."""
    from ml_pipeline.ledger.chain import Ledger

    steps.checked(arguments.config, arguments.env)
    with steps.exits():
        review(
            Ledger(arguments.ledger), arguments.env, arguments.generation, arguments.reason, arguments.config,
            steps.key_words(arguments),
        )  # fmt: skip
    print(f"{arguments.env}: generation {arguments.generation} is reviewed")
