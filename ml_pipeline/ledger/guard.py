"""Asks `pixgates verify`, in a process of its own, and obeys: go is exit code 0 and the word GO, all else is stop.

The ledger is what remembers nonces. `verify` gets them in a file that is thrown away, for what spends a nonce is the
entry that says what it was used for: of two promotions with the same evidence one finds its entry taken.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ml_pipeline.ledger import glass
from ml_pipeline.ledger.chain import Ledger
from ml_pipeline.ledger.entries import Evidence
from ml_pipeline.ledger.history import Generation, History

SECONDS = 60
GO, STOP, ASKED_WRONGLY, NO_EVIDENCE = 0, 1, 4, 5


@dataclass(frozen=True)
class Answer:
    """What `pixgates verify` said. `refusals` are for people, `rules` their codes."""

    go: bool
    rules: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    subjects: Mapping[str, str] = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    tolerated: tuple[str, ...] = ()


def authorise(
    policy: Path, environment: str, subjects: Sequence[str], evidence: Sequence[Path], used: Mapping[str, str]
) -> Answer:
    """May this go out now? `used` are the nonces that were used before. Raises ValueError, OSError."""
    with tempfile.TemporaryDirectory(prefix="pixgates-") as name:
        ledger = Path(name) / "ledger.json"
        ledger.write_text(json.dumps({"used": dict(used)}))
        return _ask(policy, environment, subjects, evidence, "--ledger", str(ledger))


def reverify(
    policy: Path, environment: str, subjects: Sequence[str], evidence: Sequence[Path], recorded: Sequence[str]
) -> Answer:
    """Is this what was authorised then, by evidence of these digests? Raises ValueError, OSError."""
    known = [word for digest in recorded for word in ("--recorded", f"sha256:{digest}")]
    return _ask(policy, environment, subjects, evidence, "--mode", "reverify", *known)


def of_generation(ledger: Ledger, history: History, generation: Generation, policy: Path, *, again: bool) -> Answer:
    """The answer for what the ledger holds of a generation: now, or `again` as it was authorised then.

    Of a release that passed by breaking glass nothing may be refused but what was refused then, and its owner must have
    signed for that. Raises ValueError, OSError, LedgerError.
    """
    entry, name = generation.entry, history.environment
    if entry.break_glass and (unsigned := glass.objections(history, generation, policy, again=again)):
        return Answer(go=False, rules=tuple(unsigned), refusals=tuple(unsigned.values()))
    accepted = set(entry.break_glass.refusals) if entry.break_glass else set()
    subjects = [f"{each}=sha256:{digest}" for each, digest in generation.release.subjects.items()]
    with tempfile.TemporaryDirectory(prefix="pixgates-") as folder:
        digests = [each.sha256 for each in entry.evidence]
        files = [Path(folder) / f"{digest[:12]}.dsse.json" for digest in digests]
        for file, digest in zip(files, digests, strict=True):
            file.write_bytes(ledger.kept(digest))
        if again:
            answer = reverify(policy, name, subjects, files, digests)
        else:
            answer = authorise(policy, name, subjects, files, history.used(before=generation.number))
    if not answer.go and answer.rules and set(answer.rules) <= accepted:
        return replace(answer, go=True)
    said, meant = (set(entry.evidence), set(entry.tolerated)), (set(answer.evidence), set(answer.tolerated))
    if answer.go and said != meant:
        refusal = f"{generation} names another nonce or tolerates something else than its evidence (other-evidence)"
        return replace(answer, go=False, rules=("other-evidence",), refusals=(refusal,))
    return answer


def _ask(policy: Path, environment: str, subjects: Sequence[str], evidence: Sequence[Path], *options: str) -> Answer:
    if not evidence:
        refusals = ("there is no evidence (missing): name it with --evidence",)
        return Answer(go=False, rules=("missing",), refusals=refusals)
    asked = [word for each in subjects for word in ("--subject", each)]
    command = [sys.executable, "-m", "pytest_pixgates", "verify", "--json", "--env", environment, *asked, *options]
    command += ["--config", str(policy), *map(str, evidence)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise OSError(f"pixgates verify gave no answer within {SECONDS} s, so nothing was done") from None
    try:
        said = json.loads(done.stdout)
        if done.returncode in (GO, STOP, NO_EVIDENCE):
            return _answer(done.returncode, said)
    except (ValueError, KeyError, TypeError):
        pass
    reason = (done.stderr.strip() or done.stdout.strip())[-600:]
    raise ValueError(f"pixgates verify was asked wrongly (exit code {done.returncode}), so nothing was done: {reason}")


def _answer(code: int, said: Mapping[str, Any]) -> Answer:
    refusals = said["refusals"]
    go = code == GO and said["verdict"] == "GO" and not refusals
    if not go and not refusals:
        return Answer(go=False, rules=("no-go",), refusals=("pixgates verify did not say go (no-go)",))
    tolerated = [
        f"{each['finding']} by {each['by']} {each['id']} until {each['expires']}"
        for one in said["evidence"] for each in one["tolerated"]
    ]  # fmt: skip
    return Answer(
        go=go,
        rules=tuple(sorted({each["rule"] for each in refusals})),
        refusals=tuple(f"{each['where']}: {each['what']} ({each['rule']}): {each['fix']}" for each in refusals),
        subjects=said["subjects"],
        evidence=tuple(Evidence(sha256=each["sha256"], nonce=each["nonce"]) for each in said["evidence"]),
        tolerated=tuple(tolerated),
    )
