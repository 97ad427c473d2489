"""Nothing is promoted without evidence of its own for that environment, out of order, twice, or half."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ml_pipeline.history import check_links, difference, show
from ml_pipeline.ledger import history as histories
from ml_pipeline.ledger.chain import LedgerError
from ml_pipeline.ledger.entries import Kind
from ml_pipeline.ledger.history import Fate
from ml_pipeline.ledger.steps import Refused
from ml_pipeline.promote import prepared, promote, record
from ml_pipeline.targets.kubernetes import NO_PODS
from tests.promotion.world import Model, World


def works(world: World, environment: str = "dev", caveat: str = "") -> None:
    """What was promoted last is live, as a deployment notes it."""
    newest = world.history(environment).newest
    assert newest
    histories.note(world.ledger, environment, Kind.LIVE, newest.number, why=caveat)


def stored(world: World) -> dict[str, bytes]:
    """All that the ledger holds."""
    root = Path(world.ledger.url)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_release_goes_through_all_environments_as_the_same_bytes(world: World, good: Model) -> None:
    world.promote(good)
    works(world)
    for before, environment in (("dev", "staging"), ("staging", "prod")):
        made = world.promote(good, environment, model=None)
        works(world, environment)
        assert made.release == world.history(before).generations[0].release
        link, chain = made.entry.before, world.history(before).chain
        assert link
        assert link.sha256 == chain.digests[link.number - 1]
        check_links(world.ledger, world.history(environment))
        assert difference(world.ledger, before, environment) == {}


def test_an_entry_says_all_that_must_be_known_later(world: World, good: Model, tmp_path: Path) -> None:
    manifests = tmp_path / "rendered.yaml"
    manifests.write_text("kind: List\n")
    text = world.policy.read_text().replace("[environments.dev]\n", '[environments.dev]\nunjudged = ["manifests"]\n')
    world.policy.write_text(text)
    world.git.commit()
    evidence = world.evidence(good, "dev", also={"manifests": manifests})
    made = promote(world.ledger, world.order(good, "dev", evidence, manifests=manifests))
    assert made
    release, entry = made.release, made.entry
    assert release.files["model.onnx"] == good.sha256
    assert (release.name, release.version, release.data) == ("pix-fraud", good.sha256[:12], {"transactions": "1" * 64})
    assert release.commit == world.git("rev-parse", "HEAD")
    assert set(release.subjects) == {"evaluation", "manifests", "source"}
    assert world.ledger.kept(release.subjects["manifests"]) == manifests.read_bytes()
    assert world.ledger.kept(entry.evidence[0].sha256) == evidence.read_bytes()
    assert entry.actor
    assert entry.at
    assert entry.returns_to is None


def test_the_command_ends_with_the_code_of_a_refusal_and_the_reason(world: World, good: Model, better: Model) -> None:
    words = world.named(good)
    words[-1] = str(world.evidence(better, "dev"))
    done = world.run("promote", *words)
    assert done.returncode == 1, done.stderr
    assert "other-subject" in done.stderr
    assert "STOP: nothing was changed" in done.stderr


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_no_environment_is_skipped(world: World, good: Model, environment: str) -> None:
    world.promote(good)
    with pytest.raises(Refused, match="out-of-order"):
        world.promote(good, environment)
    with pytest.raises(Refused, match="nothing is live in"):
        world.promote(good, environment, model=None)
    assert world.history(environment).generations == []


def test_what_never_worked_before_is_refused_and_what_worked_is_not(world: World, good: Model, better: Model) -> None:
    world.promote(good)
    works(world)
    with pytest.raises(Refused, match="never worked in dev"):
        world.promote(better, "staging")
    world.promote(better)
    works(world)
    assert world.promote(good, "staging").release.model == good.sha256, "it worked until it was replaced"


def test_what_was_not_proved_opens_no_environment_until_it_is_or_glass_is_broken(world: World, good: Model) -> None:
    world.promote(good)
    works(world, caveat=NO_PODS)
    for named in ({"model": None}, {}):
        with pytest.raises(Refused, match=r"generation 1 .* live in dev by its ledger alone: NOT PROVED.*not-proved"):
            world.promote(good, "staging", **named)
    assert world.history("staging").generations == []
    made = world.promote(good, "staging", model=None, **world.broken())
    assert made.entry.break_glass
    assert made.entry.break_glass.refusals == ["not-proved"]
    assert made.entry.before, "it says what it stands on"
    works(world, "staging")
    world.promote(good)
    works(world)
    again = world.promote(good, "staging", model=None)
    assert not again.entry.break_glass
    assert again.entry.before
    assert again.entry.before.number == world.history().generations[1].entry.number, "it stands on what was proved"


def test_what_was_proved_once_may_go_on_although_the_same_was_brought_again_without(world: World, good: Model) -> None:
    for caveat in ("", NO_PODS):
        world.promote(good)
        works(world, caveat=caveat)
    assert world.promote(good, "staging", model=None).entry.break_glass is None


def test_what_a_rollback_left_does_not_go_on(world: World, good: Model, better: Model) -> None:
    for model in (good, better):
        world.promote(model)
        works(world)
    history = world.history()
    release = history.generations[0].release
    histories.write(world.ledger, history, Kind.ROLLBACK, 3, release=release, restores=1)
    works(world)
    assert world.history().generations[1].fate is Fate.LEFT
    with pytest.raises(Refused, match="out-of-order"):
        world.promote(better, "staging")


def test_the_same_promotion_again_changes_nothing(world: World, good: Model) -> None:
    order = world.order(good, "dev", world.evidence(good, "dev"))
    first = promote(world.ledger, order)
    before = stored(world)
    again = promote(world.ledger, order)
    assert first
    assert again
    assert again.number == first.number == 1
    assert stored(world) == before


def test_what_failed_needs_new_evidence(world: World, good: Model) -> None:
    order = world.order(good, "dev", world.evidence(good, "dev"))
    promote(world.ledger, order)
    histories.note(world.ledger, "dev", Kind.FAILED, 1, why="a test")
    with pytest.raises(Refused, match="nonce-used"):
        promote(world.ledger, order)
    assert world.promote(good).number == 2


def test_an_evaluation_of_another_model_is_refused(world: World, good: Model, better: Model) -> None:
    evidence = world.evidence(good, "dev")
    with pytest.raises(Refused, match=r"is not of pix-fraud version .*: other model.onnx"):
        promote(world.ledger, world.order(better, "dev", evidence, evaluation=good.evaluation))


def test_dry_run_asks_and_plans_and_changes_nothing(
    world: World, good: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    order, before = world.order(good, "dev", world.evidence(good, "dev")), stored(world)
    assert promote(world.ledger, order, dry_run=True) is None
    assert "would 2/3 promote" in capsys.readouterr().out
    assert stored(world) == before
    assert promote(world.ledger, order), "the evidence is not spent"


def test_the_loser_of_a_race_is_told_who_won_and_its_evidence_is_not_spent(
    world: World, good: Model, better: Model
) -> None:
    evidence = world.evidence(good, "dev")
    slow = prepared(world.ledger, world.order(good, "dev", evidence))
    world.promote(better)
    with pytest.raises(Refused, match=r"was first and wrote generation 1 .*nothing was changed here.*promote again"):
        record(world.ledger, slow)
    assert len(world.history().generations) == 1
    made = promote(world.ledger, world.order(good, "dev", evidence))
    assert made
    assert made.number == 2


def test_a_note_in_between_is_no_lost_race(world: World, good: Model, better: Model) -> None:
    world.promote(good)
    slow = prepared(world.ledger, world.order(better, "dev", world.evidence(better, "dev")))
    works(world)
    record(world.ledger, slow)
    assert slow.written
    assert slow.written.number == 2
    assert slow.written.entry.returns_to == 1


def test_of_two_commands_at_once_with_the_same_evidence_one_entry_comes(world: World, good: Model) -> None:
    words = [sys.executable, "-m", "ml_pipeline", *world.command("promote", *world.named(good))]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [each.communicate(timeout=120) for each in both]
    assert min(each.returncode for each in both) == 0, said
    assert len(world.history().generations) == 1


def test_what_was_tolerated_is_recorded_and_shown(
    world: World, good: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    world.waive()
    promote(world.ledger, world.order(good, "dev", world.evidence(good, "dev", tolerated=True)))
    show(world.history())
    assert "tolerated: CKV_AWS_19 at iac/prod/main.tf" in capsys.readouterr().out


def test_history_names_an_entry_of_another_environment_that_is_gone(world: World, good: Model) -> None:
    world.promote(good)
    works(world)
    world.promote(good, "staging")
    root = Path(world.ledger.url)
    for path in (root / "dev").iterdir():
        path.unlink()
    with pytest.raises(LedgerError, match="entry 1 of dev, on which staging stands, is missing"):
        check_links(world.ledger, world.history("staging"))


def test_history_and_diff_say_what_there_is(world: World, good: Model, better: Model) -> None:
    for model in (good, better):
        world.promote(model)
        works(world)
    done = world.run("history")
    assert done.returncode == 0, done.stderr
    assert "4 entries, the chain is whole" in done.stdout
    assert "replaced" in done.stdout
    assert "live" in done.stdout
    assert set(difference(world.ledger, "dev:1", "dev:2")) == {"evaluation", "file model.onnx", "model"}
    with pytest.raises(ValueError, match="dev has no generation 3"):
        difference(world.ledger, "dev:3", "dev")


@pytest.mark.parametrize("step", ["keep", "promote", "point"])
def test_after_a_kill_before_any_step_the_same_command_ends_it(world: World, good: Model, step: str) -> None:
    from tests.promotion.kill import killed

    words = world.command("promote", *world.named(good))
    assert killed(words, step, world.repository) == -9
    done = world.run("promote", *words[words.index("--model") :])
    assert done.returncode == 0, done.stderr
    assert [each.fate for each in world.history().generations] == [Fate.PENDING]
    assert (Path(world.ledger.url) / "dev" / "head").is_file()
