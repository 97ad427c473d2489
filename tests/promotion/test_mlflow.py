"""MLflow's aliases follow the ledger: set by what is live, repaired if they are not, and never needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_pipeline.deploy import Place, deploy
from ml_pipeline.ledger.entries import Release
from ml_pipeline.ledger.steps import Refused
from ml_pipeline.promote import promote
from ml_pipeline.registration import store
from ml_pipeline.registry import CANDIDATE, CHAMPION, NAME
from ml_pipeline.rollback import rollback
from pytest_pixgates.latency.service import free_port
from tests.promotion.registry import Registry
from tests.promotion.world import Model, World, forge, lived

DOWN = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}  # fmt: skip


def place(world: World, registry: Registry, environment: str = "dev", *order: str) -> Place:
    return world.place(environment, tracking_uri=registry.uri, order=order or ("dev", "staging", "prod"))


def promoted(world: World, registry: Registry, model: Model) -> None:
    """What was registered last, as its alias says."""
    evidence = world.evidence(model, "dev")
    order = world.order(model, "dev", evidence, model=f"models:/{NAME}@{CANDIDATE}", tracking_uri=registry.uri)
    made = promote(world.ledger, order)
    assert made
    assert made.release.version == str(registry.client.get_registered_model(NAME).aliases[CANDIDATE])


def test_aliases_follow_what_is_live_and_are_not_needed(
    world: World, registry: Registry, good: Model, better: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in (good, better):
        registry.register(model)
        promoted(world, registry, model)
        known = registry.aliases()
        with pytest.raises(Refused):
            promote(world.ledger, world.order(model, "prod"))
        assert registry.aliases() == known, "a promotion, or one that is refused, changes no alias"
        deploy(place(world, registry))
    assert registry.aliases() == {"dev": "2"}

    for name, value in DOWN.items():
        monkeypatch.setenv(name, value)
    gone = world.place(tracking_uri=f"http://127.0.0.1:{free_port()}")
    back = rollback(gone, "MLflow is down")
    assert back.release.version == "1"
    world.target().confirm(gone.unit(back))
    assert registry.aliases() == {"dev": "2"}, "nobody could be asked"

    deploy(place(world, registry, "dev", "dev"))
    assert registry.aliases() == {"dev": "1", CHAMPION: "1"}, "the last environment's is the champion"
    registry.client.set_registered_model_alias(NAME, CHAMPION, "2")
    deploy(place(world, registry, "dev", "dev"))
    assert registry.aliases() == {"dev": "1", CHAMPION: "1"}, "an alias that somebody moved is moved back"


def test_an_entry_that_names_another_nonce_than_its_evidence_is_refused(world: World, good: Model) -> None:
    release = promoted_once(world, good)
    forge(world, release, (world.evidence(good, "dev"),), nonce="0" * 32)
    with pytest.raises(Refused, match="other-evidence"):
        deploy(world.place())


def test_what_was_forged_with_all_that_is_needed_goes_out(world: World, good: Model) -> None:
    """So the refusals above are for what was refused."""
    release = promoted_once(world, good)
    forge(world, release, (world.evidence(good, "dev"),))
    assert deploy(world.place()).number == 2


def promoted_once(world: World, model: Model) -> Release:
    """The release that was promoted, and is as good as deployed."""
    lived(world, model)
    return world.history().generations[0].release


def test_a_version_whose_files_were_changed_is_not_promoted(
    world: World, registry: Registry, good: Model, tmp_path: Path
) -> None:
    registry.register(good)
    (stored,) = (path for path in (tmp_path / "artifacts").rglob("model.onnx"))
    stored.write_bytes(b"other weights")
    with pytest.raises(store.RegistryError, match="is not what was registered"):
        promoted(world, registry, good)
    assert world.history().generations == []
