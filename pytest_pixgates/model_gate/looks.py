"""How often a test set was looked at: each look is another chance to pass by luck, so it is written down and shown."""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from pytest_pixgates.core import decode, files
from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.model_gate.columns import DECISION, ENGINE, ID, LABEL, SCORE
from pytest_pixgates.model_gate.scores import Scores

_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Look:
    """One candidate judged on one test set, both by digest; `at` is when it was first."""

    test_set: str
    candidate: str
    at: str


@dataclass(frozen=True, slots=True)
class Looks:
    """All that were judged for one policy, on whatever test set."""

    looks: tuple[Look, ...] = ()

    def candidates(self, test_set: str) -> int:
        """How many candidates were judged on `test_set`."""
        return sum(look.test_set == test_set for look in self.looks)


def note(ledger: Path, scores: Scores) -> tuple[Looks, str]:
    """Write down that `scores` are judged; returns all looks, and which test set this is.

    The same candidate on the same test set is the same look. Raises NotMeasured if the ledger can't be used.
    """
    test_set, candidate = _digests(scores)
    try:
        ledger.parent.mkdir(parents=True, exist_ok=True)
        with files.locked(ledger.with_suffix(".lock"), timeout=60, remedy=f"remove {ledger.with_suffix('.lock')}"):
            known = _read(ledger)
            if not any((look.test_set, look.candidate) == (test_set, candidate) for look in known.looks):
                now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
                known = Looks((*known.looks, Look(test_set, candidate, now)))
                files.write_atomically(ledger, json.dumps(decode.encode(known), indent=1) + "\n")
    except OSError as error:
        raise NotMeasured(f"{ledger.name} can't be written: {error.strerror}") from None
    return known, test_set


def _read(ledger: Path) -> Looks:
    if not ledger.exists():
        return Looks()
    try:
        return decode.decode(Looks, decode.strict_json(ledger.read_bytes()))
    except ValueError as error:
        raise NotMeasured(f"{ledger} is no list of looks: {error}", remedy="restore it, or move it away") from None


def _digests(scores: Scores) -> tuple[str, str]:
    """Of the rows (ids and labels) and of what the model said of them: by id, else in their order."""
    ids = [pl.col(ID).cast(pl.String)] if ID in scores.columns else []
    told = [pl.col(SCORE)] if SCORE in scores.columns else []
    rows = scores.rows.select(LABEL, DECISION, *told, *ids)
    found = (rows.sort(ID) if ids else rows).collect(engine=ENGINE)
    test_set = hashlib.sha256(np.packbits(found[LABEL].to_numpy()).tobytes())
    for first in range(0, len(found) if ids else 0, _AT_ONCE):
        lines = found[ID].slice(first, _AT_ONCE).str.join("\n").item()
        test_set.update((b"\n" if first else b"") + lines.encode())
    said = hashlib.sha256(np.packbits(found[DECISION].to_numpy()).tobytes())
    if told:
        said.update(found[SCORE].to_numpy().tobytes())
    return test_set.hexdigest(), said.hexdigest()
