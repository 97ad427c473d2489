"""What the entries of an environment add up to: its generations, what became of each, and what may be returned to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ml_pipeline.ledger.chain import Chain, Ledger, LedgerError, Taken
from ml_pipeline.ledger.entries import Entry, Kind, Release, now, token, whoever


class Fate(StrEnum):
    """What became of a generation."""

    PENDING = "pending"  # promoted, and not yet seen at work
    SUPERSEDED = "superseded"  # another one came before it was deployed
    LIVE = "live"
    REPLACED = "replaced"  # it worked until a later one took its place
    LEFT = "left"  # a rollback went away from it
    FAILED = "failed"


@dataclass
class Generation:
    """A promotion or a rollback. `begun` if the target may have been touched for it.

    `why` is the reason of a failure, or what was not found out of something that is live: nothing goes on from there.
    `unsigned` says why its broken glass does not count, `reviewed` who looked at it: `glass.judge` finds out both.
    """

    entry: Entry
    fate: Fate = Fate.PENDING
    begun: bool = False
    why: str = ""
    reviews: list[Entry] = field(default_factory=list)
    reviewed: str = ""
    unsigned: str = "its signature was not asked for"

    @property
    def number(self) -> int:
        return self.entry.generation

    @property
    def release(self) -> Release:
        if self.entry.release is None:  # pragma: no cover - `decoded` refuses it
            raise AssertionError("no release")
        return self.entry.release

    @property
    def is_rollback(self) -> bool:
        return self.entry.kind is Kind.ROLLBACK

    @property
    def marks(self) -> list[str]:
        """What nobody should overlook about it."""
        found = [f"tolerated: {each}" for each in self.entry.tolerated]
        glass = self.entry.break_glass
        if glass:
            state = f"reviewed by {self.reviewed}" if self.reviewed else "NOT REVIEWED"
            state += f", NOT SIGNED ({self.unsigned})" if self.unsigned else ""
            found.append(
                f"BREAK GLASS by {glass.owner}, {state}: {glass.reason} (refused: {', '.join(glass.refusals)})"
            )
        return found

    def __str__(self) -> str:
        release = self.release
        return f"generation {self.number} ({release.name} version {release.version}, {release.model[:12]})"


@dataclass
class History:
    """The generations of an environment."""

    chain: Chain
    generations: list[Generation] = field(default_factory=list)

    @property
    def environment(self) -> str:
        return self.chain.environment

    @property
    def newest(self) -> Generation | None:
        return self.generations[-1] if self.generations else None

    @property
    def live(self) -> Generation | None:
        return next((each for each in self.generations if each.fate is Fate.LIVE), None)

    @property
    def pending(self) -> Generation | None:
        """What a deployment is to bring, or to bring to its end."""
        return self.newest if self.newest and self.newest.fate is Fate.PENDING else None

    def used(self, before: int | None = None) -> dict[str, str]:
        """The nonce of all evidence that was used, and for what; or of what was used before a generation."""
        count = len(self.generations) if before is None else before - 1
        promoted = [each for each in self.generations[:count] if not each.is_rollback]
        return {one.nonce: f"generation {each.number}" for each in promoted for one in each.entry.evidence}

    def generation(self, number: int) -> Generation:
        """Raises ValueError if there is none of this number."""
        if not 1 <= number <= len(self.generations):
            raise ValueError(f"{self.environment} has no generation {number}; see `python -m ml_pipeline history`")
        return self.generations[number - 1]

    def returnable(self, leaving: Release | None) -> list[Generation]:
        """What worked until it was replaced and is not what is left, the latest first."""
        found = [each for each in reversed(self.generations) if each.fate is Fate.REPLACED]
        return [each for each in found if leaving is None or each.release.moved(leaving)]


def read(ledger: Ledger, environment: str) -> History:
    """Raises LedgerError if the chain is broken, or says what can't be."""
    history = History(ledger.read(environment))
    for entry in history.chain.entries:
        try:
            _follow(history, entry)
        except ValueError as error:
            raise LedgerError(f"entry {entry.number} of {environment} can't follow: {error}") from None
    return history


def write(ledger: Ledger, history: History, kind: Kind, generation: int, **said: object) -> History:
    """The history with an entry more. Raises Taken, LedgerError, and ValueError if it could not follow."""
    chain = history.chain
    entry = Entry(
        environment=chain.environment, number=len(chain.entries) + 1, previous=chain.tip, kind=kind,
        generation=generation, at=now(), token=token(),
        **{"actor": whoever(), **said},  # type: ignore[arg-type]  # fields of Entry, which it refuses if they are none
    )  # fmt: skip
    _follow(_again(chain), entry)
    return _again(ledger.append(chain, entry))


def note(ledger: Ledger, environment: str, kind: Kind, generation: int, **said: object) -> History:
    """Say what became of a generation, after whatever others wrote meanwhile. Raises as `write`, but for Taken."""
    while True:
        try:
            return write(ledger, read(ledger, environment), kind, generation, **said)
        except Taken:
            continue


def _again(chain: Chain) -> History:
    history = History(chain)
    for entry in chain.entries:
        _follow(history, entry)
    return history


def _follow(history: History, entry: Entry) -> None:
    """Take an entry into account. Raises ValueError."""
    if entry.kind in (Kind.PROMOTED, Kind.ROLLBACK):
        if entry.generation != len(history.generations) + 1:
            raise ValueError(f"generation {entry.generation} comes after {len(history.generations)}")
        if history.pending:
            undone = entry.kind is Kind.ROLLBACK and history.pending.begun
            history.pending.fate = Fate.LEFT if undone else Fate.SUPERSEDED
        history.generations.append(Generation(entry))
        return
    generation = history.generation(entry.generation)
    if entry.kind is Kind.REVIEWED:
        generation.reviews.append(entry)
        return
    if generation.fate not in (Fate.PENDING, Fate.SUPERSEDED):
        raise ValueError(f"generation {entry.generation} is {generation.fate}")
    generation.why = entry.why
    if entry.kind is Kind.BEGUN:
        generation.begun = True
    elif entry.kind is Kind.FAILED:
        generation.fate = Fate.FAILED
    else:
        _enliven(history, generation)


def _enliven(history: History, generation: Generation) -> None:
    if history.live:
        left = generation.is_rollback and history.live.number != generation.entry.restores
        history.live.fate = Fate.LEFT if left else Fate.REPLACED
    generation.fate = Fate.LIVE
