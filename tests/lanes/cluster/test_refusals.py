"""What a cluster must not get is refused before anything in it is changed, and what others changed is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ml_pipeline.deploy import deploy
from ml_pipeline.ledger.history import Fate
from ml_pipeline.ledger.steps import Refused
from ml_pipeline.rollback import rollback
from pytest_pixgates.latency.service import free_port
from tests.lanes.cluster.world import ClusterWorld
from tests.promotion.world import Model

PRIVILEGED = "allowPrivilegeEscalation: {}"
DEFECTS: dict[str, tuple[str, str, str]] = {
    "an unknown field": ("  minReadySeconds: 1\n", "  minReadySecond: 1\n", "unknown field"),
    "a wrong type": ("  minReadySeconds: 1\n", "  minReadySeconds: soon\n", "minReadySeconds"),
    "a key that is there twice": ("  minReadySeconds: 1\n", "  minReadySeconds: 1\n  minReadySeconds: 2\n", "twice"),
    "selector and labels that differ": ("    matchLabels:\n      app.kubernetes.io/name: scoring\n  strategy",
                                        "    matchLabels:\n      app.kubernetes.io/name: other\n  strategy",
                                        "selector"),
    "pods that may gain privileges": (PRIVILEGED.format("false"), PRIVILEGED.format("true"), "PodSecurity"),
    "an image by its tag": ("image: pixgates-dev/scoring@sha256:", "image: pixgates-dev/scoring:v1 #", "by its digest"),
    "another model": ("  MODEL_SHA256: ", "  MODEL_SHA256: 00", "MODEL_SHA256 is 00"),
    "fewer replicas at most than at least": ("  maxReplicas: 4\n", "  maxReplicas: 1\n", "maxReplicas"),
}  # fmt: skip


def spoilt(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_what_is_wrong_is_refused_and_changes_nothing(world: ClusterWorld, good: Model, better: Model) -> None:
    world.release(good)
    deploy(world.place())
    before = world.live()
    for number, (old, new, says) in enumerate(DEFECTS.values(), start=2):
        world.release(better, manifests=spoilt(world.rendered(better, "dev"), old, new))
        with pytest.raises(Refused, match=r"generation 1 .* works as before"):
            deploy(world.place())
        failed = world.history().generations[-1]
        assert (failed.number, failed.fate) == (number, Fate.FAILED)
        assert says in failed.why
        assert world.live() == before
    world.release(better)
    assert deploy(world.place()).release.model == better.sha256, "without a defect it goes out"


def test_manifests_of_another_namespace_or_none_are_refused(world: ClusterWorld, good: Model) -> None:
    world.release(good, manifests=world.rendered(good, "prod"))
    with pytest.raises(Refused, match="nothing runs"):
        deploy(world.place())
    assert f"they make the namespace {world.at('prod')}" in world.history().generations[0].why
    world.promote(good)
    with pytest.raises(Refused, match="nothing runs"):
        deploy(world.place())
    assert "the release has no manifests" in world.history().generations[1].why
    assert not world.target()._has_namespace()


def test_what_somebody_changed_by_hand_is_told_and_taken_back_only_on_demand(
    world: ClusterWorld, good: Model, better: Model
) -> None:
    world.release(good)
    deploy(world.place())
    somebody = ("set", "image", "deployment/scoring", "scoring=other:1", "--field-manager=ana")
    world.cluster.must(*somebody, "--namespace", world.at("dev"))
    world.release(better)
    with pytest.raises(Refused, match=r"generation 2 .* failed"):
        deploy(world.place())
    why = world.history().generations[1].why
    assert 'conflict with "ana"' in why
    assert "--force-conflicts" in why
    assert "" in world.live().images, "it is as she left it"
    world.release(better)
    assert deploy(world.brought(force=True)).release.model == better.sha256
    assert "" not in world.live().images


def test_a_rollback_does_not_conflict_and_is_not_held_up_where_undo_leaves_a_conflict(
    world: ClusterWorld, good: Model, better: Model, third: Model
) -> None:
    for model in (good, better):
        world.release(model)
        deploy(world.place())
    rollback(world.place(), "a test")
    world.release(third)
    deploy(world.place())

    world.cluster.must("rollout", "undo", "deployment/scoring", "--namespace", world.at("dev"))
    world.release(better)
    with pytest.raises(Refused):
        deploy(world.place())
    assert "conflict with" in world.history().generations[-1].why, "the control: this is what undo does"
    assert rollback(world.place(), "a test").release.model == good.sha256
    assert world.live().models == {good.sha256}


def test_a_cluster_that_does_not_answer_is_no_failure_of_the_release(
    world: ClusterWorld, good: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.release(good)
    entries = world.history().chain.entries
    config, nobody = tmp_path / "gone", f"https://127.0.0.1:{free_port()}"
    config.write_text(world.cluster.kubeconfig.read_text().replace(world.cluster.url, nobody))
    with monkeypatch.context() as patch:
        patch.setenv("KUBECONFIG", str(config))
        done = world.run("deploy")
    assert (done.returncode, "refused" in done.stderr) == (1, True), done.stderr
    assert world.history().chain.entries == entries
    assert deploy(world.place()).number == 1


def test_a_namespace_of_another_environment_is_not_touched(world: ClusterWorld, good: Model) -> None:
    world.release(good)
    deploy(world.place())
    other = replace(world.target(), environment="prod")
    with pytest.raises(Refused, match="is that of dev"):
        rollback(world.place(target=other), "a test")
