"""The chain: one writer wins, and what was changed or lost since is named."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from ml_pipeline.ledger import history as histories
from ml_pipeline.ledger.chain import Ledger, LedgerError, Taken
from ml_pipeline.ledger.entries import Kind, Release
from ml_pipeline.ledger.history import Fate, History

RELEASE = Release(
    name="pix-fraud", version="7", files={"model.onnx": "ab" * 32}, evaluation="cd" * 32, commit="ef" * 20
)


def promoted(ledger: Ledger, environment: str = "dev", count: int = 1) -> History:
    """So many generations, each live after the other."""
    for _ in range(count):
        history = histories.read(ledger, environment)
        number = len(history.generations) + 1
        history = histories.write(ledger, history, Kind.PROMOTED, number, release=RELEASE)
        history = histories.note(ledger, environment, Kind.LIVE, number)
        ledger.point(history.chain)
    return histories.read(ledger, environment)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(str(tmp_path))


def test_each_entry_holds_the_hash_of_the_one_before(ledger: Ledger) -> None:
    chain = promoted(ledger, count=2).chain
    assert [each.previous for each in chain.entries] == ["", *chain.digests[:-1]]


def test_an_entry_is_written_once(ledger: Ledger) -> None:
    history = promoted(ledger)
    histories.write(ledger, history, Kind.PROMOTED, 2, release=RELEASE)
    with pytest.raises(Taken):
        histories.write(ledger, history, Kind.PROMOTED, 2, release=RELEASE)
    assert len(histories.read(ledger, "dev").generations) == 2


def test_an_answer_that_was_lost_is_no_lost_race(ledger: Ledger, tmp_path: Path) -> None:
    history = promoted(ledger)
    after = histories.write(ledger, history, Kind.PROMOTED, 2, release=RELEASE)
    assert ledger.append(history.chain, after.chain.entries[-1]).tip == after.chain.tip


def edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def changed(path: Path) -> None:
        data = json.loads(path.read_bytes())
        change(data)
        path.write_text(json.dumps(data))

    return changed


@pytest.mark.parametrize(
    ("number", "spoil", "says"),
    [
        (2, edit(lambda data: data.update(actor="nobody")), "entry 2 of dev was changed"),
        (4, edit(lambda data: data.update(actor="nobody")), "entry 4 of dev .* is not the one that was written"),
        (2, lambda path: path.unlink(), "entry 2 of dev .* is missing"),
        (4, lambda path: path.unlink(), "entry 4 of dev .* is missing"),
        (3, lambda path: path.write_text("{"), "entry 3 of dev .* can't be read"),
        (3, edit(lambda data: data.update(more=1)), "entry 3 of dev .* can't be read"),
        (3, edit(lambda data: data.update(schema=2)), "schema 2, and this version reads 1"),
        (3, edit(lambda data: data.update(environment="prod")), "says that it is entry 3 of prod"),
        (3, edit(lambda data: data.update(release=None)), "lacks its release"),
    ],
)  # fmt: skip
def test_what_was_changed_or_lost_is_named(
    ledger: Ledger, tmp_path: Path, number: int, spoil: Callable[[Path], object], says: str
) -> None:
    promoted(ledger, count=2)
    histories.read(ledger, "dev")
    spoil(tmp_path / "dev" / f"{number:08d}.json")
    with pytest.raises(LedgerError, match=says):
        histories.read(ledger, "dev")


def test_an_entry_that_says_what_can_not_be_is_refused(ledger: Ledger) -> None:
    history = promoted(ledger)
    with pytest.raises(ValueError, match="generation 1 is live"):
        histories.write(ledger, history, Kind.FAILED, 1)
    with pytest.raises(ValueError, match="comes after 1"):
        histories.write(ledger, history, Kind.PROMOTED, 3, release=RELEASE)
    assert len(histories.read(ledger, "dev").chain.entries) == 2


def test_an_artifact_is_what_its_digest_says_or_an_error(ledger: Ledger, tmp_path: Path) -> None:
    digest = ledger.keep(b"weights")
    assert ledger.kept(digest) == b"weights"
    path = tmp_path / "artifacts" / "sha256" / digest
    path.write_bytes(b"other weights")
    with pytest.raises(LedgerError, match="is not what it was"):
        ledger.kept(digest)
    assert ledger.keep(b"weights") == digest, "what is kept again is whole again"
    assert ledger.kept(digest) == b"weights"
    path.unlink()
    with pytest.raises(LedgerError, match="lacks"):
        ledger.kept(digest)


def test_environments_have_chains_of_their_own(ledger: Ledger) -> None:
    promoted(ledger, "dev", count=2)
    assert promoted(ledger, "prod").generations[0].fate is Fate.LIVE
    assert len(histories.read(ledger, "dev").generations) == 2


@pytest.mark.parametrize("name", ["", "../dev", "Dev", "dev/x"])
def test_a_name_that_leads_elsewhere_is_refused(ledger: Ledger, name: str) -> None:
    with pytest.raises(ValueError, match="no name of an environment"):
        ledger.read(name)


ROUNDS = 200


def race(url: str, together: Barrier, won: Any, name: str, rounds: int) -> None:
    """Promote once in each round, as soon as the other has read the same history."""
    from ml_pipeline.ledger.entries import Release as Racing

    ledger = Ledger(url)
    for number in range(1, rounds + 1):
        together.wait(60)
        history = histories.read(ledger, "dev") if number == 1 else history_of(ledger, number - 1)
        release = Racing(
            name=name, version=str(number), files={"model.onnx": "ab" * 32}, evaluation="cd" * 32, commit="ef" * 20
        )
        together.wait(60)
        try:
            histories.write(ledger, history, Kind.PROMOTED, number, release=release)
            won.append((number, name))
        except Taken:
            pass


def history_of(ledger: Ledger, count: int) -> History:
    history = histories.read(ledger, "dev")
    assert len(history.generations) == count
    return history


def raced(ledger: Ledger, rounds: int) -> None:
    """Two processes race so many times, and the chain says who won."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        won, together = manager.list(), context.Barrier(2)
        racers = [
            context.Process(target=race, args=(ledger.url, together, won, name, rounds)) for name in ("one", "other")
        ]
        for each in racers:
            each.start()
        for each in racers:
            each.join(180)
        assert [each.exitcode for each in racers] == [0, 0]
        winners = dict(list(won))
        assert len(won) == len(winners) == rounds
    history = histories.read(ledger, "dev")
    assert {each.number: each.release.name for each in history.generations} == winners


def test_of_two_that_race_200_times_exactly_one_wins_each(ledger: Ledger) -> None:
    raced(ledger, ROUNDS)
