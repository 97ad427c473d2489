"""Scores are training's, in any portions, and go on from a dump as if nothing had been."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from ml_pipeline import __main__ as cli
from ml_pipeline.serving.model import load, record_beside
from ml_pipeline.streaming import scoring
from ml_pipeline.streaming.messages import Transaction
from ml_pipeline.streaming.scoring import Scored, Scoring
from tests.stream.made import World


def new(world: World) -> Scoring:
    model = load(str(world.model), record_beside(str(world.model)))
    return Scoring(model, scoring.accounts(str(world.data)))


def all_of(world: World, scores: Scoring, ones: list[Transaction], portion: int) -> dict[str, Scored]:
    made = {}
    for start in range(0, len(ones), portion):
        some = ones[start : start + portion]
        answers = scores.score([(one, True) for one in some])
        made |= {one.end_to_end_id: its for one, its in zip(some, answers, strict=True)}
    return made


@pytest.mark.parametrize("portion", [1, 7, 1000])
def test_scores_are_those_of_trainings_features_to_the_last_bit(world: World, portion: int) -> None:
    made = all_of(world, new(world), world.transactions, portion)
    assert {each: its.score for each, its in made.items()} == world.scores


def test_what_is_blocked_has_reasons_and_what_is_approved_has_none(world: World) -> None:
    made = all_of(world, new(world), world.transactions, 500).values()
    blocked = [its for its in made if its.decision == "block"]
    assert blocked
    for its in made:
        assert (its.decision == "block") == (its.score >= world.threshold)
        assert bool(its.reasons) == (its.decision == "block")
        assert len(set(its.reasons)) == len(its.reasons) <= 5


def test_those_not_asked_for_are_remembered_all_the_same(world: World) -> None:
    scores, ones = new(world), world.transactions
    answers = scores.score([(one, number % 3 == 0) for number, one in enumerate(ones)])
    assert [its.score for its in answers] == [world.scores[one.end_to_end_id] for one in ones[::3]]


def test_a_dump_goes_on_as_if_nothing_had_been(world: World) -> None:
    first, ones = new(world), world.transactions
    all_of(world, first, ones[:2000], 500)
    second = new(world)
    second.load(first.dump())
    rest = ones[2000:]
    assert {each: its.score for each, its in all_of(world, second, rest, 500).items()} == {
        one.end_to_end_id: world.scores[one.end_to_end_id] for one in rest
    }
    assert second.dump() == all_then_dump(world, first, rest)


def all_then_dump(world: World, scores: Scoring, rest: list[Transaction]) -> bytes:
    all_of(world, scores, rest, 300)
    return scores.dump()


def test_without_its_history_a_payment_scores_otherwise(world: World) -> None:
    rest = world.transactions[2000:]
    made = all_of(world, new(world), rest, 500)
    assert any(its.score != world.scores[each] for each, its in made.items())


def test_a_dump_that_is_damaged_is_refused(world: World) -> None:
    scores = new(world)
    all_of(world, scores, world.transactions[:10], 10)
    with pytest.raises(ValueError, match="can't be read"):
        scores.load(scores.dump()[:-1])


def later_by(one: Transaction, seconds: int, **other: object) -> Transaction:
    return msgspec.structs.replace(one, initiated_at=one.initiated_at + timedelta(seconds=seconds), **other)


def test_a_late_payment_counts_as_of_the_latest_of_its_accounts(world: World) -> None:
    one = world.transactions[0]
    at_once, late = new(world), new(world)
    first = at_once.score([(one, True), (later_by(one, 60), True)])
    second = late.score([(later_by(one, 60), True), (one, True)])
    assert (at_once.late, late.late) == (0, 1)
    assert len(first) == len(second) == 2
    again = late.score([(later_by(one, 120), True)])
    assert again == late_free(world, one)


def late_free(world: World, one: Transaction) -> list[Scored]:
    """The score of a third payment if the late one had been made in the same millisecond as the one before."""
    scores = new(world)
    scores.score([(later_by(one, 60), True), (later_by(one, 60), True)])
    return scores.score([(later_by(one, 120), True)])


def test_a_payment_that_is_earlier_than_those_of_other_accounts_is_not_late(world: World) -> None:
    ones = world.transactions
    accounts = {ones[0].payer_account_id, ones[0].payee_account_id}
    other = next(one for one in ones if not accounts & {one.payer_account_id, one.payee_account_id})
    scores = new(world)
    scores.score([(later_by(other, 3600), True), (ones[0], True)])
    assert scores.late == 0


def test_accounts_that_nobody_knows_are_scored_and_counted(world: World) -> None:
    scores = new(world)
    stranger = msgspec.structs.replace(world.transactions[0], payee_account_id="nobody")
    assert len(scores.score([(stranger, True)])) == 1
    assert scores.unknown == 1


def test_a_model_that_was_not_promoted_scores_nothing(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(world.model, tmp_path / "model")
    shutil.copytree(world.model.parent / "evaluation", tmp_path / "evaluation")
    (tmp_path / "model" / "model.onnx").write_bytes(b"another")
    nowhere = ["--brokers", "127.0.0.1:1", "--accounts", str(world.data), "--state", str(tmp_path / "state")]
    assert cli.main(["stream", "--model", str(tmp_path / "model"), *nowhere]) == 2
    assert "it was not promoted" in capsys.readouterr().err


def test_accounts_below_a_url_are_those_of_the_folder(world: World) -> None:
    assert scoring.accounts(world.data.as_uri()) == scoring.accounts(str(world.data))


def test_a_url_without_accounts_is_refused(world: World, tmp_path: Path) -> None:
    (tmp_path / "accounts").mkdir()
    with pytest.raises(FileNotFoundError, match="accounts holds no Parquet file"):
        scoring.accounts(tmp_path.as_uri())
    with pytest.raises(OSError, match="could not be read"):
        scoring.accounts((tmp_path / "nowhere").as_uri())
