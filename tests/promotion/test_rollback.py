"""Back to what worked: checked before anything is touched, the same if it is asked for twice, and without MLflow."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_pipeline.deploy import deploy
from ml_pipeline.ledger import history as histories
from ml_pipeline.ledger.entries import Kind
from ml_pipeline.ledger.history import Fate
from ml_pipeline.ledger.steps import Refused
from ml_pipeline.promote import promote
from ml_pipeline.rollback import rollback
from tests.promotion.kill import killed
from tests.promotion.test_deploy import fates, restored, state
from tests.promotion.world import Model, World, lived, write_model


@pytest.fixture
def third(tmp_path: Path) -> Model:
    return write_model(tmp_path / "third", 5.0)


def deployed(world: World, *models: Model) -> None:
    """The same, and the last one runs."""
    lived(world, *models[:-1])
    world.promote(models[-1])
    deploy(world.place())


def test_nothing_to_return_to_is_refused_and_changes_nothing(world: World, good: Model) -> None:
    with pytest.raises(Refused, match="nothing is live in dev"):
        rollback(world.place(), "a test")
    deployed(world, good)
    before = state(world)
    done = world.run("rollback")
    assert done.returncode == 1, done.stderr
    assert "nothing was changed" in done.stderr
    assert state(world) == before


def artifact_changed(world: World, digest: str) -> None:
    (Path(world.ledger.url) / "artifacts" / "sha256" / digest).write_bytes(b"other")


def artifact_gone(world: World, digest: str) -> None:
    (Path(world.ledger.url) / "artifacts" / "sha256" / digest).unlink()


def key_revoked(world: World, _: str) -> None:
    from pytest_pixgates.core import trust

    text = world.policy.read_text()
    assert trust.encoded(world.key.public) in text
    begins = "[[evidence.keys]]\n"
    world.policy.write_text(text.replace(begins, f"{begins}revoked = 2026-01-01\n"))


def key_gone(world: World, _: str) -> None:
    text = world.policy.read_text()
    world.policy.write_text(text[: text.index("[[evidence.keys]]")])


def test_what_it_would_return_to_is_checked_before_anything_is_touched(
    world: World, good: Model, better: Model
) -> None:
    deployed(world, good, better)
    entry = world.history().generations[0].entry
    assert entry.release
    spoilt: list[tuple[str, Callable[[World, str], None], str]] = [
        ("is not what it was", artifact_changed, entry.release.files["model.onnx"]),
        ("lacks what it should hold", artifact_gone, entry.release.files["model.json"]),
        ("is not what it was", artifact_changed, entry.evidence[0].sha256),
        ("lacks what it should hold", artifact_gone, entry.evidence[0].sha256),
        ("key-revoked", key_revoked, ""),
        ("unknown-key", key_gone, ""),
    ]
    for says, spoil, digest in spoilt:
        with restored(world):
            spoil(world, digest)
            before = state(world)
            with pytest.raises(Refused, match=f"{says}(.|\n)*nothing was changed"):
                rollback(world.place(), "a test")
            assert state(world) == before
    assert rollback(world.place(), "a test").release.model == good.sha256


def test_a_policy_that_changed_since_and_age_are_no_reason_not_to_return(
    world: World, good: Model, better: Model
) -> None:
    lived(world, good, better)
    world.policy.write_text(world.policy.read_text().replace('requires = ["infra"]', 'requires = ["infra", "scores"]'))
    assert rollback(world.place(), "a test").release.model == good.sha256


def test_what_was_waived_or_broke_the_glass_is_passed_over_and_named(
    world: World, good: Model, better: Model, third: Model
) -> None:
    lived(world, good)
    world.waive()
    promote(world.ledger, world.order(better, "dev", world.evidence(better, "dev", tolerated=True)))
    histories.note(world.ledger, "dev", Kind.LIVE, 2)
    lived(world, third)
    done = world.run("rollback", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "generation 2 " in done.stderr
    assert "is passed over: tolerated: CKV_AWS_19 at iac/prod/main.tf" in done.stderr
    assert "--to 2" in done.stderr
    assert rollback(world.place(), "a test").entry.restores == 1
    assert rollback(world.place(), "a test", to=2).entry.tolerated, "by name it is no longer in silence"


def test_broken_glass_is_returned_to_only_by_name(world: World, good: Model, better: Model) -> None:
    promote(world.ledger, world.order(good, "dev", **world.broken()))
    histories.note(world.ledger, "dev", Kind.LIVE, 1)
    lived(world, better)
    with pytest.raises(Refused, match="can be returned to unseen"):
        rollback(world.place(), "a test")
    assert rollback(world.place(), "a test", to=1).entry.break_glass


def test_twice_is_once_and_further_back_goes_by_name(world: World, good: Model, better: Model, third: Model) -> None:
    lived(world, good, better, third)
    assert rollback(world.place(), "a test").entry.restores == 2
    entries = len(world.history().chain.entries)
    assert rollback(world.place(), "once more").number == 4
    assert len(world.history().chain.entries) == entries
    with pytest.raises(ValueError, match=r"generation 3 .* is left"):
        rollback(world.place(), "a test", to=3)
    assert rollback(world.place(), "a test", to=1).release.model == good.sha256
    assert fates(world) == [Fate.REPLACED, Fate.REPLACED, Fate.LEFT, Fate.LEFT, Fate.LIVE]


def test_the_same_bytes_again_are_nothing_to_return_to(world: World, good: Model, better: Model) -> None:
    lived(world, better, good, good)
    assert rollback(world.place(), "a test").entry.restores == 1


def test_a_promotion_that_was_never_deployed_is_not_what_is_left(world: World, good: Model, better: Model) -> None:
    lived(world, good, better)
    world.promote(good)
    back = rollback(world.place(), "a test")
    assert back.entry.restores == 1
    assert fates(world) == [Fate.REPLACED, Fate.LEFT, Fate.SUPERSEDED, Fate.LIVE]


def test_it_writes_a_generation_of_its_own_with_the_reason(world: World, good: Model, better: Model) -> None:
    lived(world, good, better)
    done = world.run("rollback", "--reason", "too many false alarms")
    assert done.returncode == 0, done.stderr
    made = world.history().generations[-1]
    assert (made.entry.why, made.entry.restores, made.entry.returns_to) == ("too many false alarms", 1, 2)
    assert made.entry.evidence == world.history().generations[0].entry.evidence
    assert "NOT SET" not in done.stdout


def test_after_a_kill_before_any_step_the_next_rollback_ends_it(
    world: World, good: Model, better: Model, third: Model
) -> None:
    deployed(world, good, better)
    for step in ("begin", "switch", "live"):
        assert killed(world.command("rollback"), step, world.repository) == -signal.SIGKILL
        assert world.target().running() is not None
        with pytest.raises(Refused, match="a rollback of dev is under way"):
            world.promote(third)
        back = rollback(world.place(), "a test")
        assert back.is_rollback
        live = world.history().live
        assert live, step
        assert live.number == back.number, step
        assert sum(each.is_rollback and each.fate is Fate.LIVE for each in world.history().generations) == 1
        assert back.release.model == good.sha256
        world.target().confirm(world.place().unit(back))
        lived(world, better)


def test_a_deployment_ends_a_rollback_that_was_killed(world: World, good: Model, better: Model) -> None:
    deployed(world, good, better)
    assert killed(world.command("rollback"), "switch", world.repository) == -signal.SIGKILL
    assert deploy(world.place()).is_rollback
    assert fates(world) == [Fate.REPLACED, Fate.LEFT, Fate.LIVE]
