"""Broken glass: whoever answers for it has signed, whoever looked at it since has too, or neither is believed.

Until somebody else has reviewed it, every command says so, for all environments: what passed in one goes on to others.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ml_pipeline.ledger import history as histories
from ml_pipeline.ledger.chain import Ledger, LedgerError
from ml_pipeline.ledger.entries import BreakGlass, Release
from ml_pipeline.ledger.history import Generation, History
from ml_pipeline.ledger.steps import Refused, environments
from pytest_pixgates import Approval, PixgatesError, verify_approval

BREAK_GLASS, REVIEW = "break-glass", "review"
SECONDS = 120  # an owner may be asked for a second factor
STOP = "STOP: nothing was changed"
YELLOW, PLAIN = "\033[33m", "\033[0m"


def read(ledger: Ledger, environment: str, policy: Path) -> History:
    """The history of an environment, with what its broken glass is worth. Raises LedgerError, ValueError."""
    return judge(histories.read(ledger, environment), policy)


def judge(history: History, policy: Path) -> History:
    """Find out of each generation that broke the glass whether that was signed, and by whom it was reviewed."""
    for each in history.generations:
        if each.entry.break_glass:
            each.unsigned = "; ".join(objections(history, each, policy, again=True))
            each.reviewed = _reviewer(history, each, each.entry.break_glass, policy)
    return history


def objections(history: History, generation: Generation, policy: Path, *, again: bool) -> dict[str, str]:
    """Why the glass that a generation broke does not count, by code: now, or `again` as it was signed then.

    Raises ValueError if the policy can't be asked.
    """
    glass, first = generation.entry.break_glass, _first(history, generation)
    if glass is None:
        return {}
    if first.entry.break_glass != glass or first.release != generation.release:
        return {"other-approval": f"{generation} restores another broken glass than its own (other-approval)"}
    found = _broken(policy, history.environment, first.number, first.release).verify(glass.approval, again=again)
    said = {each.rule: f"{each.where}: {each.what} ({each.rule}): {each.fix}" for each in found.refusals}
    if not said and (found.owner, found.reason, list(found.accepts)) != (glass.owner, glass.reason, glass.refusals):
        return {"other-approval": f"{generation}: what {found.owner} signed is not what is recorded (other-approval)"}
    return said


def signed(
    policy: Path, environment: str, number: int, release: Release, glass: BreakGlass, key: Sequence[str]
) -> BreakGlass:
    """The same, signed by its owner. Raises Refused, and ValueError if no key is named."""
    asked = _broken(policy, environment, number, release)
    text = asked.sign(glass.reason, [*(word for each in glass.refusals for word in ("--accept", each)), *key])
    owner = asked.verify(text, again=False).owner
    if owner != glass.owner:
        raise Refused(f"refused: the key is that of {owner}, not of {glass.owner} (other-owner)\n{STOP}")
    return msgspec.structs.replace(glass, approval=text)


def reviewed(history: History, generation: Generation, reason: str, policy: Path, key: Sequence[str]) -> str:
    """The approval of whoever looked at it, who must be another person. Raises Refused, ValueError."""
    glass = generation.entry.break_glass
    if glass is None:
        raise ValueError(f"generation {generation.number} of {history.environment} broke no glass")
    asked = _looked_at(policy, history, generation)
    text = asked.sign(reason, key)
    if asked.verify(text, again=False).owner == glass.owner:
        raise Refused(f"whoever broke the glass can't review it; have somebody else do it\n{STOP}")
    return text


def unreviewed(ledger: Ledger, policy: Path, beside: Generation | None = None) -> list[str]:
    """What waits for a review in any environment, but for what is told of by itself. Raises ValueError."""
    found = []
    for name in environments(policy):
        try:
            history = read(ledger, name, policy)
        except LedgerError as error:
            found.append(f"{name}: whether glass is broken can't be told: {error}")
            continue
        found += [
            f"{name}: generation {each.number} broke the glass and is NOT {'SIGNED' if each.unsigned else 'REVIEWED'}"
            for each in history.generations
            if each.entry.break_glass
            and not (each.reviewed and not each.unsigned)
            and (beside is None or each.entry != beside.entry)
        ]
    return found


def warn(ledger: Ledger, policy: Path, beside: Generation | None = None) -> None:
    """Say so, in yellow; in GitHub's own words too, which show above the run and in the pull request."""
    for text in unreviewed(ledger, policy, beside):
        print(yellow(text, sys.stderr), file=sys.stderr)
        if os.environ.get("GITHUB_ACTIONS") == "true":
            print(f"::warning title=Broken glass::{text}")


def yellow(text: str, stream: object) -> str:
    return f"{YELLOW}{text}{PLAIN}" if getattr(stream, "isatty", bool)() else text


@dataclass(frozen=True)
class _Asked:
    """What an owner signs: `about` is the generation, so that it counts for no other."""

    policy: Path
    environment: str
    about: str
    purpose: str
    subjects: Mapping[str, str]

    def verify(self, text: str, *, again: bool) -> Approval:
        """What `text` is worth. Raises ValueError if nothing could be asked."""
        try:
            return verify_approval(
                text, self.subjects, policy=self.policy, environment=self.environment, purpose=self.purpose,
                about=self.about, mode="reverify" if again else "authorise",
            )  # fmt: skip
        except PixgatesError as error:
            raise ValueError(f"whether broken glass was signed can't be told: {error}") from None

    def sign(self, reason: str, words: Sequence[str]) -> str:
        """What `pixgates approve` signs, in a process of its own, which alone meets the key. Raises as `signed`."""
        if not {"--key", "--key-command"} & set(words):
            raise ValueError(f"a {self.purpose} is signed: name its owner's key by --key FILE or --key-command COMMAND")
        said = [word for name, digest in self.subjects.items() for word in ("--subject", f"{name}=sha256:{digest}")]
        command = [
            sys.executable, "-m", "pytest_pixgates", "approve", "--env", self.environment, "--purpose", self.purpose,
            "--about", self.about, "--reason", reason, "--config", str(self.policy), *said, *words,
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise Refused(f"the key did not answer within {SECONDS} s\n{STOP}") from None
        if done.returncode or not done.stdout:
            raise Refused(f"{done.stderr.strip()[-600:]}\n{STOP}")
        return done.stdout


def _broken(policy: Path, environment: str, number: int, release: Release) -> _Asked:
    return _Asked(policy, environment, f"{environment}:{number}", BREAK_GLASS, {"release": release.digest})


def _looked_at(policy: Path, history: History, generation: Generation) -> _Asked:
    entry = {"entry": history.chain.digests[generation.entry.number - 1]}
    return _Asked(policy, history.environment, f"{history.environment}:{generation.number}", REVIEW, entry)


def _first(history: History, generation: Generation) -> Generation:
    """The promotion that a chain of rollbacks restores."""
    while generation.entry.restores is not None and generation.entry.restores < generation.number:
        generation = history.generation(generation.entry.restores)
    return generation


def _reviewer(history: History, generation: Generation, glass: BreakGlass, policy: Path) -> str:
    """Who looked at it and is not who broke it; "" if nobody did."""
    asked = _looked_at(policy, history, generation)
    found = (asked.verify(each.approval, again=True) for each in generation.reviews)
    return next((each.owner for each in found if each.counts and each.owner != glass.owner), "")
