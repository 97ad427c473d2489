"""Releases on a real control plane: brought, taken back by themselves, repaired and returned to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from ml_pipeline.deploy import deploy
from ml_pipeline.ledger.entries import sha256
from ml_pipeline.ledger.history import Fate
from ml_pipeline.ledger.steps import Refused
from ml_pipeline.rollback import rollback
from ml_pipeline.targets.kubernetes import NO_PODS
from tests.lanes.cluster.world import IMAGES, ClusterWorld
from tests.promotion.kill import killed
from tests.promotion.world import ORDER, ROOT, Model

LEAST = {"dev": 2, "staging": 3, "prod": 6}
BAR = 15.0  # seconds for a rollback


def digests(world: ClusterWorld, build: str) -> set[str]:
    return {sha256(world.image(name, build)) for name in IMAGES}


def rolled_back(world: ClusterWorld, environment: str, to: Model) -> float:
    """Seconds from the command until all pods of scoring are of the release; the workers follow one after the other.

    It is named, for it went on by broken glass, and that is never returned to unseen.
    """
    command = [sys.executable, "-m", "ml_pipeline", *world.command("rollback", "--to", "1", environment=environment)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    with subprocess.Popen(command, cwd=world.repository, env=env, stdout=subprocess.PIPE, text=True) as rolling:
        while not world.serves(environment, to):
            assert not rolling.poll(), "it failed"
            time.sleep(0.1)
        took = time.monotonic() - began
        said, _ = rolling.communicate()
    print(f"scoring restored after {took:.1f} s, all after {time.monotonic() - began:.1f} s\n{said}")
    assert rolling.returncode == 0
    return took


def test_a_release_goes_through_all_environments_as_the_same_digests_and_back_in_time(
    world_of: Callable[..., ClusterWorld], good: Model, better: Model
) -> None:
    world = world_of(hurry=False)
    for environment in ORDER:
        first = environment == ORDER[0]
        if not first:
            with pytest.raises(Refused, match="not-proved"):
                world.release(good, environment)
        world.release(good, environment, **{} if first else world.broken(reason="no container runs here"))
        done = world.run("deploy", environment=environment)
        assert done.returncode == 0, done.stderr
        assert NO_PODS in done.stderr, "what was not asked is said"
        found = world.live(environment)
        assert (found.models, found.images) == ({good.sha256}, digests(world, "1"))
        assert set(found.available.values()) == {LEAST[environment]}
        live = world.history(environment).live
        assert live
        assert (live.number, live.why) == (1, NO_PODS)

    world.went_live(better, "dev", "staging", build="2")
    world.release(better, "prod", build="2")
    shown = world.run("deploy", "--dry-run", environment="prod")
    assert shown.returncode == 0, shown.stderr
    assert f"+  MODEL_SHA256: {better.sha256}" in shown.stdout
    assert f"-        image: pixgates-prod/scoring@sha256:{sha256(world.image('scoring', '1'))}" in shown.stdout
    assert world.live("prod") == found, "a dry run shows and changes nothing"
    deploy(world.place("prod"))
    assert world.live("prod").models == {better.sha256}

    assert rolled_back(world, "prod", good) <= BAR
    found = world.live("prod")
    assert (found.models, found.images) == ({good.sha256}, digests(world, "1"))
    assert set(found.available.values()) == {LEAST["prod"]}
    assert world.fates("prod") == [Fate.REPLACED, Fate.LEFT, Fate.LIVE]
    assert rollback(world.place("prod"), "once more").number == 3, "twice is the same as once"
    assert world.live("prod") == found


def test_what_cannot_be_scheduled_is_taken_back_by_itself_and_the_old_pods_serve_on(
    world: ClusterWorld, good: Model, better: Model
) -> None:
    world.release(good)
    deploy(world.place())
    before = world.live()
    world.edit("overlays/dev/size.yaml", 'cpu: "1"', 'cpu: "1000"')
    world.edit("overlays/dev/size.yaml", "cpu: 250m", 'cpu: "1000"')
    world.release(better)
    with pytest.raises(Refused, match=r"generation 2 .* failed; generation 1 .* works as before"):
        deploy(world.brought(seconds=6))
    found = world.live()
    assert (found.models, found.available) == (before.models, before.available)
    failed = world.history().generations[1]
    assert failed.fate is Fate.FAILED
    assert "Insufficient cpu" in failed.why
    assert deploy(world.place()).number == 1, "what is live is confirmed"


def test_the_first_release_of_all_that_fails_leaves_nothing_running(world: ClusterWorld, good: Model) -> None:
    world.edit("overlays/dev/size.yaml", 'cpu: "1"', 'cpu: "1000"')
    world.edit("overlays/dev/size.yaml", "cpu: 250m", 'cpu: "1000"')
    world.release(good)
    with pytest.raises(Refused, match="nothing worked before it, so nothing runs"):
        deploy(world.brought(seconds=3))
    assert world.live().available == {}
    assert world.target().running() is None


def test_after_a_kill_before_any_step_the_next_run_ends_it(world: ClusterWorld, good: Model, better: Model) -> None:
    world.release(good)
    for step in ("start", "switch", "confirm", "live", "retire"):
        assert killed(world.command("deploy"), step, world.repository) == -signal.SIGKILL
        assert world.history().generations[0].fate is (Fate.LIVE if step == "retire" else Fate.PENDING)
    assert deploy(world.place()).number == 1
    assert world.live().models == {good.sha256}
    assert world.fates() == [Fate.LIVE]

    world.release(better)
    deploy(world.place())
    for step in ("switch", "confirm"):
        assert killed(world.command("rollback"), step, world.repository) == -signal.SIGKILL
    assert rollback(world.place(), "a test").number == 3
    assert world.live().models == {good.sha256}
    assert world.fates() == [Fate.REPLACED, Fate.LEFT, Fate.LIVE]
    assert world.record()["generation"] == "3"


def test_a_rollback_undoes_what_a_killed_deployment_left(world: ClusterWorld, good: Model, better: Model) -> None:
    world.release(good)
    deploy(world.place())
    world.release(better)
    assert killed(world.command("deploy"), "confirm", world.repository) == -signal.SIGKILL
    assert world.live().models == {better.sha256}
    assert rollback(world.place(), "a test").release.model == good.sha256
    assert world.live().models == {good.sha256}


def test_what_an_earlier_release_had_alone_is_removed_but_for_its_config_maps(
    world: ClusterWorld, good: Model, better: Model
) -> None:
    world.release(good)
    deploy(world.place())
    base = world.repository / "iac" / "k8s" / "base" / "scoring"
    more = (base / "network-policy.yaml").read_text().replace("  name: scoring\n", "  name: more\n", 1)
    (base / "more.yaml").write_text(more)
    world.edit("base/scoring/kustomization.yaml", "  - hpa.yaml\n", "  - hpa.yaml\n  - more.yaml\n")
    world.release(better)
    deploy(world.place())
    assert "networkpolicies/more" in world.live().objects
    rollback(world.place(), "a test")
    found = world.live()
    assert "networkpolicies/more" not in found.objects
    assert len([name for name in found.objects if name.startswith("configmaps/runtime-")]) == 2


def test_what_was_removed_by_hand_is_put_back_by_the_next_deployment(world: ClusterWorld, good: Model) -> None:
    world.release(good)
    deploy(world.place())
    before = world.live()
    world.cluster.must("delete", "networkpolicy", "default-deny", "--namespace", world.at("dev"))
    assert world.live() != before
    deploy(world.place())
    assert world.live() == before
    assert len(world.history().chain.entries) == 3, "promoted, begun, live: nothing new"
