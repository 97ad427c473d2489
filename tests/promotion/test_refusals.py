"""Whatever `pixgates verify` can refuse, `promote` and `deploy` refuse: exit code 1, and nothing changes anywhere.

Anywhere is the target, with what runs on it, the ledger, and MLflow. One world serves all cases, with a release at
work, and each case leaves it as it was.
"""

from __future__ import annotations

import base64
import datetime
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ml_pipeline.deploy import deploy
from ml_pipeline.ledger import guard
from ml_pipeline.ledger import history as histories
from ml_pipeline.ledger.entries import Kind
from ml_pipeline.rollback import rollback
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.evidence import envelope, keys, statement
from pytest_pixgates.evidence.codes import Code
from tests.evidence.pipeline import OTHER_KEYS, claims, edited, trusted
from tests.evidence.test_refusals import in_payload, in_signature
from tests.promotion.registry import Registry
from tests.promotion.test_deploy import state
from tests.promotion.world import Model, World, called, forge

DAY = 86_400


@dataclass(frozen=True)
class Attempt:
    """Evidence with something wrong, and what more `promote` is asked for."""

    evidence: tuple[Path, ...] = ()
    subjects: tuple[str, ...] = ()


class Working:
    """A world in which a release works, with keys that the policy knows and that may not sign."""

    def __init__(self, root: Path, good: Model, empty: Path) -> None:
        self.world = world = World(root)
        self.good, self.keys = good, {name: keys.generate() for name in OTHER_KEYS}
        known = {**OTHER_KEYS, "dev-only": {"environments": '["prod"]'}}
        rows = {name: {"environments": '["dev"]', **changes} for name, changes in known.items()}
        text = "".join(trusted(self.keys[name], name, **changes) for name, changes in rows.items())
        once = world.policy.read_text().replace("[environments.dev]\n", "[environments.dev]\nsingle_use = true\n")
        world.policy.write_text(once + text)
        world.git.commit()
        self.registry = Registry(root, empty)
        self.registry.register(good)
        world.promote(good)
        deploy(world.place(tracking_uri=self.registry.uri))
        self.registry.client.set_registered_model_alias("pix-fraud", "dev", "1")
        self.kept = {name: root / name for name in ("ledger", "repository")}
        for name, folder in self.kept.items():
            shutil.copytree(folder, root / f"{name}.kept")

    def restore(self) -> None:
        """As it was. What was made before the restoration, such as evidence, stays."""
        for name, folder in self.kept.items():
            shutil.rmtree(folder)
            shutil.copytree(self.world.root / f"{name}.kept", folder)

    def everything(self) -> tuple[object, ...]:
        """What a refusal must not change."""
        running = self.world.target().status()
        return state(self.world), running["services"], (self.registry.folder / "mlflow.db").read_bytes()

    def forged(self, change: Callable[[dict[str, Any]], object], *signers: keys.PrivateKey) -> Attempt:
        """Evidence whose statement was changed before it was signed, as only who has a key can."""
        path = self.world.evidence(self.good, "dev")
        data = json.loads(base64.b64decode(json.loads(path.read_bytes())["payload"]))
        change(data)
        path.write_text(envelope.sealed(json.dumps(data, separators=(",", ":")).encode(), signers or [self.world.key]))
        return Attempt((path,))

    def spoilt(self, change: Callable[[bytes], bytes]) -> Attempt:
        """Evidence that somebody without a key changed on its way."""
        path = self.world.evidence(self.good, "dev")
        path.write_bytes(change(path.read_bytes()))
        return Attempt((path,))

    def edited(self, change: Callable[[dict[str, Any]], object]) -> Attempt:
        path = self.world.evidence(self.good, "dev")
        path.write_bytes(edited(path, change))
        return Attempt((path,))

    def healthy(self, **changes: Any) -> Attempt:
        return Attempt((self.world.evidence(self.good, "dev", **changes),))

    def policy(self, old: str, new: str) -> None:
        """A reviewed policy, before anything is judged by it."""
        text = self.world.policy.read_text()
        assert old in text
        self.world.policy.write_text(text.replace(old, new, 1))
        self.world.git.commit()


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory, good: Model, empty: Path) -> Iterator[Working]:
    made = Working(tmp_path_factory.mktemp("everywhere"), good, empty)
    yield made
    made.world.stop()


@pytest.fixture
def working(everywhere: Working) -> Iterator[Working]:
    yield everywhere
    everywhere.restore()


# What an attacker, a mistake or the time does to evidence that was good.


def by_another_policy(made: Working, _: Model) -> Attempt:
    found = made.healthy()
    made.world.policy.write_text(made.world.policy.read_text() + "# another one\n")
    return found


def of_another_commit(made: Working, _: Model) -> Attempt:
    found = made.healthy()
    (made.world.repository / "more.txt").write_text("more\n")
    made.world.git.commit()
    return found


def too_old(made: Working, _: Model) -> Attempt:
    began = float(int(time.time() - 2 * DAY))
    return made.healthy(started=began, ended=began + 30)


def from_the_future(made: Working, _: Model) -> Attempt:
    later = statement.stamp(time.time() + 3600)
    return made.forged(lambda data: data["predicate"].update(timeVerified=later))


def waiver_that_expired(made: Working, _: Model) -> Attempt:
    yesterday = str(datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1))
    one = {"by": "waiver", "id": "W1", "gate": "infra/checkov", "finding": "CKV_AWS_19 at x", "expires": yesterday}
    return made.forged(lambda data: claims(data).update(tolerated=[one]))


def not_asked_for(made: Working, _: Model) -> Attempt:
    made.policy("[environments.dev]\n", '[environments.dev]\nsubjects = ["image"]\n')
    return made.healthy()


def used(made: Working, better: Model) -> Attempt:
    entry = made.world.history().generations[0].entry
    path = made.world.root / "evidence" / "again.dsse.json"
    path.write_bytes(made.world.ledger.kept(entry.evidence[0].sha256))
    made.world.promote(better)
    return Attempt((path,))


def without_gate(data: dict[str, Any]) -> None:
    claims(data)["gates"] = [gate for gate in claims(data)["gates"] if not gate["gate"].startswith("infra/")]


CASES: dict[str, tuple[Code, Callable[[Working, Model], Attempt]]] = {
    "none at all": (Code.MISSING, lambda made, _: Attempt()),
    "larger than evidence": (Code.TOO_LARGE, lambda made, _: made.spoilt(lambda data: data + b" " * 2**23)),
    "cut short": (Code.MALFORMED, lambda made, _: made.spoilt(lambda data: data[:-10])),
    "a bare statement": (
        Code.UNSIGNED, lambda made, _: made.spoilt(lambda data: base64.b64decode(json.loads(data)["payload"])),
    ),
    "another type": (Code.WRONG_TYPE, lambda made, _: made.edited(lambda data: data.update(payloadType="text/plain"))),
    "a later schema": (Code.SCHEMA_NEWER, lambda made, _: made.forged(lambda data: claims(data).update(schema=2))),
    "a stranger's": (Code.UNKNOWN_KEY, lambda made, _: made.forged(lambda data: None, keys.generate())),
    "an owner's": (Code.UNKNOWN_KEY, lambda made, _: made.forged(lambda data: None, made.world.people["ana"])),
    "a key of prod's": (Code.KEY_NOT_ALLOWED, lambda made, _: made.forged(lambda data: None, made.keys["dev-only"])),
    "a key of tomorrow's": (
        Code.KEY_NOT_YET_VALID, lambda made, _: made.forged(lambda data: None, made.keys["future"]),
    ),
    "a key of yesterday's": (Code.KEY_EXPIRED, lambda made, _: made.forged(lambda data: None, made.keys["expired"])),
    "a key that was lost": (Code.KEY_REVOKED, lambda made, _: made.forged(lambda data: None, made.keys["revoked"])),
    "a changed signature": (Code.BAD_SIGNATURE, lambda made, _: made.edited(in_signature)),
    "a changed payload": (Code.ALTERED_PAYLOAD, lambda made, _: made.edited(in_payload)),
    "for another environment": (
        Code.OTHER_ENVIRONMENT, lambda made, _: Attempt((made.world.evidence(made.good, "prod"),)),
    ),
    "by another policy": (Code.OTHER_POLICY, by_another_policy),
    "of another model": (Code.OTHER_SUBJECT, lambda made, other: Attempt((made.world.evidence(other, "dev"),))),
    "of another commit": (Code.OTHER_SUBJECT, of_another_commit),
    "without the plan": (
        Code.SUBJECT_MISSING, lambda made, _: Attempt(made.healthy().evidence, (f"plan=sha256:{'0' * 64}",)),
    ),
    "the image is not asked for": (Code.SUBJECT_NOT_ASKED, not_asked_for),
    "nothing judged it": (
        Code.SUBJECT_UNJUDGED, lambda made, _: made.forged(lambda data: claims(data).update(unjudged=["evaluation"])),
    ),
    "a gate left out": (Code.GATE_ABSENT, lambda made, _: made.forged(without_gate)),
    "a red gate": (Code.GATE_NOT_PASSED, lambda made, _: made.healthy(outcome=Outcome.FAIL)),
    "signed as FAILED": (
        Code.SIGNED_AS_FAILED,
        lambda made, _: made.forged(lambda data: data["predicate"].update(verificationResult="FAILED")),
    ),
    "too old": (Code.EXPIRED, too_old),
    "from the future": (Code.FROM_FUTURE, from_the_future),
    "a waiver that expired": (Code.WAIVER_EXPIRED, waiver_that_expired),
    "used before": (Code.NONCE_USED, used),
}  # fmt: skip

# Reasons that the commands give `verify` no occasion for, because they always name a ledger and what it recorded. Here
# the question is spoilt on its way, and the real `verify` gives the reason.
SPOILT_QUESTIONS: dict[str, tuple[Code, Callable[[list[str]], list[str]]]] = {
    "no ledger": (Code.NONCE_UNCHECKED, lambda words: without(words, "--ledger")),
    "a damaged ledger": (Code.LEDGER_UNREADABLE, lambda words: damaged(words, "--ledger")),
}


def without(words: list[str], option: str) -> list[str]:
    place = words.index(option)
    return words[:place] + words[place + 2 :]


def damaged(words: list[str], option: str) -> list[str]:
    Path(words[words.index(option) + 1]).write_text("{")
    return words


def asked_for_another(words: list[str]) -> list[str]:
    place = words.index("--recorded") + 1
    return [*words[:place], f"sha256:{'0' * 64}", *words[place + 1 :]]


def spoil_questions(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[list[str]], list[str]]) -> None:
    real = subprocess.run

    def ask(words: list[str], **options: Any) -> Any:
        return real(spoil(words) if "verify" in words else words, **options)

    monkeypatch.setattr(guard.subprocess, "run", ask)


def promoting(made: Working, attempt: Attempt) -> list[str]:
    words = ["--model", str(made.good.folder), "--evaluation", str(made.good.evaluation)]
    words += [word for path in attempt.evidence for word in ("--evidence", str(path))]
    return made.world.command("promote", *words, *(word for each in attempt.subjects for word in ("--subject", each)))


def refused(made: Working, words: list[str], code: Code) -> None:
    """The command ends with 1, names the code, and changes nothing."""
    before = made.everything()
    done = called([*words, "--tracking-uri", made.registry.uri])
    assert done.returncode == 1, done.stderr
    assert f"({code.value})" in done.stderr
    assert "nothing was changed" in done.stderr
    assert made.everything() == before


@pytest.mark.parametrize("how", CASES)
def test_what_verify_refuses_is_neither_promoted_nor_deployed_and_changes_nothing_anywhere(
    working: Working, better: Model, how: str
) -> None:
    code, make = CASES[how]
    attempt = make(working, better)
    refused(working, promoting(working, attempt), code)
    if how == "of another commit":  # a release names its commit, so for a deployment it is that one
        return
    release = working.world.history().generations[0].release
    more = dict(each.split("=sha256:") for each in attempt.subjects)
    forge(working.world, msgspec.structs.replace(release, subjects=release.subjects | more), attempt.evidence)
    refused(working, working.world.command("deploy"), code)


@pytest.mark.parametrize("how", SPOILT_QUESTIONS)
def test_a_question_that_was_spoilt_is_no_go_either(
    working: Working, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    code, spoil = SPOILT_QUESTIONS[how]
    attempt = working.healthy()
    with monkeypatch.context() as patched:
        spoil_questions(patched, spoil)
        refused(working, promoting(working, attempt), code)
    forge(working.world, working.world.history().generations[0].release, attempt.evidence)
    spoil_questions(monkeypatch, spoil)
    refused(working, working.world.command("deploy"), code)


def test_what_the_ledger_did_not_record_is_not_returned_to(
    working: Working, better: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    working.world.promote(better)
    histories.note(working.world.ledger, "dev", Kind.LIVE, 2)
    spoil_questions(monkeypatch, asked_for_another)
    refused(working, working.world.command("rollback"), Code.NOT_RECORDED)
    monkeypatch.undo()
    assert rollback(working.world.place(), "so it was for that alone", dry_run=True).number == 1


def test_what_nothing_speaks_against_goes(working: Working) -> None:
    """So each refusal above is for what was spoilt."""
    assert called([*promoting(working, working.healthy()), "--dry-run"]).returncode == 0
    forge(working.world, working.world.history().generations[0].release, working.healthy().evidence)
    assert working.world.call("deploy", "--dry-run").returncode == 0


def test_every_reason_of_verify_has_a_case() -> None:
    """A new one fails here until it has."""
    covered = {code for code, _ in (*CASES.values(), *SPOILT_QUESTIONS.values())} | {Code.NOT_RECORDED}
    assert sorted(each.value for each in set(Code) - covered) == []
