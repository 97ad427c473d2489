"""The lane `ledger`: the ledger in an object store, S3 as an emulator has it. `make ledger`."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_pipeline.ledger import history as histories
from ml_pipeline.ledger.chain import Ledger, LedgerError
from tests.lanes.conftest import s3
from tests.promotion.test_ledger import promoted, raced
from tests.promotion.world import World, write_model


@pytest.fixture
def url() -> Iterator[str]:
    """A bucket on loopback."""
    bucket = f"releases-{secrets.token_hex(4)}"  # the emulator keeps them beyond its end
    with s3("ledger", bucket):
        yield f"s3://{bucket}/ledger"


def test_of_two_that_race_exactly_one_wins_each(url: str) -> None:
    raced(Ledger(url), 40)


def test_what_was_changed_or_lost_is_named(url: str) -> None:
    from obstore.store import from_url

    ledger, store = Ledger(url), from_url(url)
    promoted(ledger, count=2)
    text = bytes(store.get("dev/00000002.json").bytes())
    store.put("dev/00000002.json", text.replace(b'"live"', b'"failed"'))
    with pytest.raises(LedgerError, match="entry 2 of dev was changed"):
        histories.read(ledger, "dev")
    store.put("dev/00000002.json", text)
    assert len(histories.read(ledger, "dev").generations) == 2
    store.delete("dev/00000004.json")
    with pytest.raises(LedgerError, match=r"entry 4 of dev .* is missing"):
        histories.read(ledger, "dev")


def test_a_promotion_and_its_artifacts(url: str, tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    world.ledger = Ledger(url)
    made = world.promote(write_model(tmp_path / "small", 1.0))
    for digest in (*made.release.files.values(), made.entry.evidence[0].sha256):
        assert world.ledger.kept(digest)
    with pytest.raises(LedgerError, match="lacks what it should hold"):
        world.ledger.kept("ab" * 32)


def test_a_store_that_is_down_is_an_error_and_nothing_is_believed(url: str) -> None:
    with pytest.raises(LedgerError, match="can't be asked"):
        Ledger("s3://no-such-bucket/ledger").read("dev")
