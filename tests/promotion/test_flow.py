"""A release goes through all environments as the same bytes, and back again."""

from __future__ import annotations

from ml_pipeline.deploy import deploy
from ml_pipeline.ledger.history import Fate
from ml_pipeline.rollback import rollback
from tests.promotion.world import Model, World


def test_a_release_is_promoted_deployed_replaced_and_brought_back(world: World, good: Model, better: Model) -> None:
    place = world.place()
    world.promote(good)
    assert deploy(place).release.model == good.sha256
    world.promote(better)
    assert deploy(place).release.model == better.sha256
    assert [each.fate for each in world.history().generations] == [Fate.REPLACED, Fate.LIVE]

    back = rollback(place, "a test")
    assert back.release.model == good.sha256
    assert [each.fate for each in world.history().generations] == [Fate.REPLACED, Fate.LEFT, Fate.LIVE]
    assert place.target.running() == 3

    assert rollback(place, "once more").number == 3, "twice is the same as once"
