"""Broken glass: signed by its owner for one release and one generation, yellow until somebody else has looked at it."""

from __future__ import annotations

import base64
import datetime
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ml_pipeline.deploy import deploy
from ml_pipeline.history import show
from ml_pipeline.ledger import history as histories
from ml_pipeline.ledger.entries import BreakGlass, Kind
from ml_pipeline.ledger.history import Generation
from ml_pipeline.ledger.steps import Refused
from ml_pipeline.promote import promote
from ml_pipeline.rollback import rollback
from pytest_pixgates.evidence import keys
from tests.promotion.test_deploy import fates, state
from tests.promotion.test_promote import stored, works
from tests.promotion.world import Model, World, lived, secret


def broken(world: World, model: Model, environment: str = "dev", **changes: Any) -> Generation:
    """A release that went on without evidence."""
    made = promote(world.ledger, world.order(model, environment, **{**world.broken(), **changes}))
    assert made
    return made


def glass_of(world: World, environment: str = "dev", number: int = 1) -> BreakGlass:
    glass = world.history(environment).generation(number).entry.break_glass
    assert glass
    return glass


def test_it_is_signed_by_its_owner_recorded_and_shown(
    world: World, good: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(world, good, "prod")
    glass = glass_of(world, "prod")
    assert (glass.owner, glass.reason, glass.refusals) == ("ana", "fraud wave", ["missing", "out-of-order"])
    claims = json.loads(base64.b64decode(json.loads(glass.approval)["payload"]))["predicate"]
    assert (claims["about"], claims["accepts"], claims["reason"]) == ("prod:1", glass.refusals, "fraud wave")
    show(world.history("prod"))
    said = capsys.readouterr().out
    assert "BREAK GLASS by ana, NOT REVIEWED: fraud wave (refused: missing, out-of-order)" in said


def test_every_later_report_of_every_environment_says_so_until_somebody_else_reviewed_it(
    world: World, good: Model, better: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(world, good)
    deploy(world.place())
    yellow = "dev: generation 1 broke the glass and is NOT REVIEWED"
    watch = ("--seconds", "0.1", "--on-burn", "alert")

    def reports() -> dict[str, subprocess.CompletedProcess[str]]:
        named = world.named(better)
        return {
            "history": world.call("history"),
            "history of another": world.call("history", environment="prod"),
            "watch": world.call("watch", *watch),
            "promote": world.call("promote", *named),
            "deploy": world.call("deploy"),
            "rollback": world.call("rollback", "--to", "1", "--dry-run"),
        }

    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for name, done in reports().items():
        assert done.returncode == 0, (name, done.stderr)
        assert yellow in done.stderr or "BREAK GLASS by ana, NOT REVIEWED" in done.stderr, name
        assert f"::warning title=Broken glass::{yellow}" in done.stdout or name == "rollback", name
    with pytest.raises(Refused, match="somebody else"):
        world.review("dev", 1, by="ana")
    assert yellow in world.call("history").stderr
    world.review("dev", 1, by="bia")
    for name, done in reports().items():
        assert done.returncode == 0, (name, done.stderr)
        assert "NOT REVIEWED" not in done.stderr + done.stdout, name
    assert "reviewed by bia" in world.call("history").stdout


def test_what_ran_without_a_key_of_the_owner_changes_nothing(world: World, good: Model, tmp_path: Path) -> None:
    secret(world.root / "stranger.pem", keys.generate())
    secret(world.root / "release.pem", world.key)
    before = stored(world)
    for key, code in {"stranger": "unknown-key", "release": "unknown-key", "bia": "other-owner"}.items():
        with pytest.raises(Refused, match=f"{code}(.|\n)*STOP: nothing was changed"):
            broken(world, good, key=world.broken(key=key)["key"])
        assert stored(world) == before
    failing = ("--key-command", "false")
    with pytest.raises(Refused, match=r"ended with exit code 1(.|\n)*STOP: nothing was changed"):
        broken(world, good, key=failing)
    with pytest.raises(ValueError, match="name its owner's key by --key"):
        broken(world, good, key=())
    assert stored(world) == before


def test_it_is_not_broken_without_an_owner_a_reason_and_a_key(world: World, good: Model) -> None:
    words = world.named(good)[:-2]
    key = ["--key", str(world.root / "ana.pem")]
    for given in ([], ["--owner", "ana"], ["--reason", "now"], ["--owner", " ", "--reason", "now", *key],
                  ["--owner", "ana", "--reason", "now"]):  # fmt: skip
        done = world.call("promote", *words, "--break-glass", *given)
        assert done.returncode == 2, done.stderr
        assert "needs" in done.stderr or "name its owner's key" in done.stderr
    done = world.call("promote", *words, "--break-glass", "--owner", "ana", "--reason", "now", *key)
    assert done.returncode == 0, done.stderr
    assert glass_of(world).owner == "ana"


def test_glass_that_need_not_break_does_not(world: World, good: Model) -> None:
    assert world.promote(good, **world.broken()).entry.break_glass is None


def test_dry_run_asks_for_no_key_and_changes_nothing(
    world: World, good: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored(world)
    order = world.order(good, "dev", **{**world.broken(), "key": ("--key-command", "false")})
    assert promote(world.ledger, order, dry_run=True) is None
    assert "would 1/4 sign: the broken glass, by ana" in capsys.readouterr().out
    assert stored(world) == before


# What somebody who can write to the ledger, and has no owner's key, could put there.


def unsigned(glass: BreakGlass, other: BreakGlass) -> BreakGlass:
    return msgspec.structs.replace(glass, approval="")


def of_another_generation(glass: BreakGlass, other: BreakGlass) -> BreakGlass:
    return glass


def of_another_release(glass: BreakGlass, other: BreakGlass) -> BreakGlass:
    return other


def by_another_owner(glass: BreakGlass, other: BreakGlass) -> BreakGlass:
    return msgspec.structs.replace(glass, owner="bia")


def for_more(glass: BreakGlass, other: BreakGlass) -> BreakGlass:
    return msgspec.structs.replace(glass, refusals=sorted([*glass.refusals, "nonce-used"]))


def altered(glass: BreakGlass, other: BreakGlass) -> BreakGlass:
    data = json.loads(glass.approval)
    payload = base64.b64decode(data["payload"]).replace(b"dev:1", b"dev:2")
    return msgspec.structs.replace(glass, approval=json.dumps({**data, "payload": base64.b64encode(payload).decode()}))


FORGED: dict[str, tuple[str, Callable[[BreakGlass, BreakGlass], BreakGlass]]] = {
    "unsigned": ("unsigned", unsigned),
    "of another generation": ("other-subject", of_another_generation),
    "of another release": ("other-subject", of_another_release),
    "by another owner": ("other-subject|other-approval", by_another_owner),
    "for more refusals": ("other-subject|other-approval", for_more),
    "altered": ("altered-payload", altered),
}


@pytest.mark.parametrize("how", FORGED)
def test_what_its_owner_did_not_sign_is_not_deployed_and_changes_nothing(
    world: World, good: Model, better: Model, how: str
) -> None:
    code, forge = FORGED[how]
    first = broken(world, good)
    works(world)
    other = broken(world, better, "staging")
    glass = forge(glass_of(world), glass_of(world, "staging"))
    assert other.number == 1
    history = world.history()
    histories.write(world.ledger, history, Kind.PROMOTED, 2, release=first.release, break_glass=glass)
    before = state(world)
    with pytest.raises(Refused, match=f"({code})(.|\n)*nothing was changed"):
        deploy(world.place())
    assert state(world) == before
    done = world.call("history")
    assert done.returncode == 2, "history does not believe it either"
    assert "NOT SIGNED" in done.stdout
    assert "dev: generation 2 broke the glass and is NOT SIGNED" in done.stderr
    assert "nobody whom the policy trusts signed for the broken glass of generation 2" in done.stderr


def test_who_accepted_one_refusal_did_not_accept_that_the_evidence_is_gone(world: World, good: Model) -> None:
    evidence = world.evidence(good, "staging")
    promote(world.ledger, world.order(good, "staging", evidence, **world.broken()))
    assert glass_of(world, "staging").refusals == ["out-of-order"]
    chain = Path(world.ledger.url) / "staging"
    (chain / "head").unlink()
    entry = chain / "00000001.json"
    entry.write_text(json.dumps(json.loads(entry.read_text()) | {"evidence": []}))
    with pytest.raises(Refused, match=r"missing(.|\n)*nothing was changed"):
        deploy(world.place("staging"))


def test_a_review_that_nobody_else_signed_counts_for_nothing(world: World, good: Model) -> None:
    broken(world, good)
    for approval in ("", glass_of(world).approval, "{}"):
        histories.note(world.ledger, "dev", Kind.REVIEWED, 1, why="looked at", approval=approval)
        assert not world.history().generation(1).reviewed
    world.review("dev", 1, by="bia")
    assert world.history().generation(1).reviewed == "bia"


def test_a_review_of_one_generation_is_none_of_another(world: World, good: Model, better: Model) -> None:
    for model in (good, better):
        broken(world, model)
        works(world)
    world.review("dev", 1, by="bia")
    (review,) = world.history().generation(1).reviews
    histories.note(world.ledger, "dev", Kind.REVIEWED, 2, why="looked at", approval=review.approval)
    assert [each.reviewed for each in world.history().generations] == ["bia", ""]


def test_what_broke_no_glass_can_not_be_reviewed(world: World, good: Model) -> None:
    world.promote(good)
    with pytest.raises(ValueError, match="broke no glass"):
        world.review("dev", 1, by="bia")


def test_with_a_revoked_key_nothing_goes_out_and_only_what_was_signed_before_comes_back(
    world: World, good: Model, better: Model
) -> None:
    broken(world, good)
    before, tomorrow = world.history().chain.digests, datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    text = world.policy.read_text()
    for day in (tomorrow.date(), "2026-01-01"):
        revoke(world, text, "ana", str(day))
        with pytest.raises(Refused, match="key-revoked"):
            deploy(world.place())
        assert world.history().chain.digests == before
    works(world)
    lived(world, better)
    with pytest.raises(Refused, match=r"key-revoked(.|\n)*nothing was changed"):
        rollback(world.place(), "a test", to=1)
    revoke(world, text, "ana", str(tomorrow.date()))
    assert rollback(world.place(), "a test", to=1).entry.break_glass


def revoke(world: World, text: str, name: str, day: str) -> None:
    """A person's key has been in other hands since a day."""
    begins = f'[[evidence.owners]]\nname = "{name}"\n'
    assert begins in text
    world.policy.write_text(text.replace(begins, f"{begins}revoked = {day}\n"))
    world.git.commit()


def test_a_rollback_to_it_is_yellow_again_and_stands_on_the_same_signature(
    world: World, good: Model, better: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    broken(world, good)
    works(world)
    world.review("dev", 1, by="bia")
    lived(world, better)
    made = rollback(world.place(), "a test", to=1)
    assert made.entry.break_glass == glass_of(world)
    assert (made.unsigned, made.reviewed) == ("", "")
    assert "BREAK GLASS by ana, NOT REVIEWED" in capsys.readouterr().err
    assert [each.value for each in fates(world)] == ["replaced", "left", "live"]
