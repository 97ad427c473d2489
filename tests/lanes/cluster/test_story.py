"""From a commit to the control plane and back: judged, signed, promoted and deployed by the commands of a pipeline.

The models are trained on simulated payments, judged by this plugin's own gates, and kept in a registry; what the pods
would run is run beside the cluster (pods.py), so that the release is asked, put under load, and seen to get worse.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_pipeline.ledger.history import Fate
from ml_pipeline.registration import store
from ml_pipeline.targets.proof import payment
from pytest_pixgates.latency.service import free_port
from tests.e2e import pipeline
from tests.e2e.pipeline import RECALL, WORLD, Project
from tests.lanes.cluster import pods
from tests.lanes.cluster.pods import Pods
from tests.lanes.cluster.world import IMAGES, ClusterWorld
from tests.promotion.test_watch import WORDS
from tests.promotion.world import ROOT, Model

SEED = 11
POLICY = """\
[environments.prod]
requires = ["model_gate"]
max_age = "1h"
single_use = true
subjects = ["evaluation", "source"]
unjudged = ["manifests", "image-scoring", "image-stream-worker"]

"""
KEYS = "[[evidence.keys]]"
SIGNED_AS_FAILED = 3
P95 = "9s"  # a control plane on the same two cores may take seconds of them: how fast it answers is not asked here


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models: one that passes, one that is better, and one that misses too much."""
    root = tmp_path_factory.mktemp("models")
    WORLD.simulate(root / "data", SEED)
    for name in ("weaker", "reference", "without_features"):
        WORLD.train(root / "data", root / name, name, SEED)
    return root


class Pipeline:
    """A repository whose commits are judged, signed, promoted and deployed; the jobs are processes."""

    def __init__(self, world: ClusterWorld) -> None:
        self.world, self.project = world, Project(world.repository)
        text = world.policy.read_text()
        trust = text[text.index(KEYS) :].replace('["dev", "staging", "prod"]', '["prod"]')
        self.project.policy(POLICY + pipeline.POLICY + "\n" + trust)
        (world.repository / ".gitignore").write_text(".pixgates\n/ml_pipeline/\n/cache/\n/looks.json\n")
        self.key = world.root / "key.pem"
        self.key.touch(mode=0o600)
        self.key.write_text(world.key.pem())
        self.uri = pipeline.uri(self.project.registry)

    def commit(self, made: Path, build: str) -> Model:
        """A model comes with a commit: it is the candidate, and its release has manifests."""
        self.project.take(made)
        self.project.registry.mkdir(parents=True, exist_ok=True)
        pipeline.register(made, self.project.registry)
        (self.world.repository / "build.txt").write_text(build)
        self.world.git.commit()
        self.model = Model(made / "model", made / "evaluation")
        self.manifests = self.world.rendered(self.model, "prod", build)
        self.said = [word for each in IMAGES for word in ("--subject", self._image(each, build))]
        return self.model

    def judge(self) -> pipeline.Judged:
        return self.project.pytest("--pixgates-env", "prod", "--pixgates-no-cache")

    def sign(self) -> subprocess.CompletedProcess[str]:
        evaluation = "evaluation=ml_pipeline/evaluation/evaluation.json"
        words = ["sign", "--env", "prod", "--key", str(self.key), "--out", str(self.evidence), *self.said]
        return self._pixgates(*words, "--subject", evaluation, "--subject", f"manifests={self._copy()}")

    def promote(self) -> subprocess.CompletedProcess[str]:
        words = ["--evidence", str(self.evidence), "--manifests", str(self.manifests), *self.said]
        return self.world.run("promote", *words, "--tracking-uri", self.uri, environment="prod")

    def step(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return self.world.run(name, *words, "--tracking-uri", self.uri, environment="prod")

    def out(self, made: Path, build: str) -> Model:
        """All of it, and each step must do."""
        model, judged = self.commit(made, build), self.judge()
        assert judged.code == 0, judged.text
        for job in (self.sign, self.promote, lambda: self.step("deploy", "--p95", P95)):
            done = job()
            assert done.returncode == 0, done.stdout + done.stderr
        return model

    @property
    def evidence(self) -> Path:
        return self.world.root / "evidence.dsse.json"

    def champion(self) -> str:
        """The version of the model that is served, by the registry."""
        found: Any = store.connect(self.uri).get_registered_model(pipeline.NAME).aliases
        return str(found.get("champion", ""))

    def _image(self, name: str, build: str) -> str:
        from ml_pipeline.ledger.entries import sha256

        return f"image-{name}=sha256:{sha256(self.world.image(name, build))}"

    def _copy(self) -> Path:
        """The manifests where the job that signs has them: within the repository, as an artifact."""
        return Path(shutil.copy(self.manifests, self.project.pipeline / "rendered.yaml"))

    def _pixgates(self, *words: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PIXGATES_RUN"))}
        command = [sys.executable, "-m", "pytest_pixgates", *words]
        return subprocess.run(
            command, cwd=self.world.repository, env=env | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip


def paid(url: str, count: int) -> set[str]:
    """By what so many payments are decided; "none" for those that are not."""
    found = set()
    for _ in range(count):
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        try:
            connection.request("POST", "/score", json.dumps(payment()), {"content-type": "application/json"})
            found.add(json.loads(connection.getresponse().read()).get("model_version", "none"))
        except (OSError, http.client.HTTPException):  # a process that is left ends its connections
            found.add("none")
        finally:
            connection.close()
    return found


def watched(line: Pipeline, service: Pods) -> subprocess.CompletedProcess[str]:
    """What `watch` ends with, while payments come."""
    ended = threading.Event()

    def pay() -> None:
        while not ended.is_set():
            paid(service.url, 5)

    paying = threading.Thread(target=pay)
    paying.start()
    try:
        return line.step("watch", "--url", f"{service.url}/metrics", *WORDS)
    finally:
        ended.set()
        paying.join()


def test_a_bad_model_is_stopped_a_good_one_goes_out_gets_worse_and_is_taken_back(
    world_of: Callable[..., ClusterWorld], made: Path
) -> None:
    port = free_port()
    world = world_of(url=f"http://127.0.0.1:{port}")
    line = Pipeline(world)
    with pods.running(world.cluster, world.at("prod"), world.root / "pods", port) as service:
        first = line.out(made / "weaker", "1")
        assert world.live("prod").models == {first.sha256}
        assert (world.fates("prod"), line.champion()) == ([Fate.LIVE], "1")
        assert paid(service.url, 5) == {f"pix-fraud-{first.sha256[:12]}"}

        before = world.live("prod"), world.history("prod").chain
        line.commit(made / "without_features", "2")
        judged = line.judge()
        assert (judged.code, RECALL in judged.named("FAIL")) == (1, True), judged.text
        assert line.sign().returncode == SIGNED_AS_FAILED
        stopped = line.promote()
        assert (stopped.returncode, "gate-not-passed" in stopped.stderr) == (1, True), stopped.stderr
        assert line.step("deploy").returncode == 0, "what is live is confirmed"
        assert (world.live("prod"), world.history("prod").chain, line.champion()) == (*before, "1")

        second = line.out(made / "reference", "3")
        assert world.live("prod").models == {second.sha256}
        assert (world.fates("prod"), line.champion()) == ([Fate.REPLACED, Fate.LIVE], "3")
        assert paid(service.url, 5) == {f"pix-fraud-{second.sha256[:12]}"}

        service.get_worse("--wait-ms", "0.001")
        began = time.monotonic()
        done = watched(line, service)
        print(f"noticed and rolled back in {time.monotonic() - began:.1f} s:\n{done.stdout}{done.stderr}")
        assert done.returncode == 1, done.stderr
        assert "the error budget burns" in done.stderr
        assert world.live("prod").models == {first.sha256}
        assert world.fates("prod") == [Fate.REPLACED, Fate.LEFT, Fate.LIVE]
        assert line.champion() == "1"
        assert paid(service.url, 5) == {f"pix-fraud-{first.sha256[:12]}"}
        assert not service.failed


def test_a_service_that_is_not_the_release_is_noticed_and_the_last_one_comes_back(
    world_of: Callable[..., ClusterWorld], good: Model, better: Model
) -> None:
    """The cluster says that all is well; who asks the service finds that it is not."""
    from ml_pipeline.deploy import deploy
    from ml_pipeline.ledger.steps import Refused

    port = free_port()
    world = world_of(url=f"http://127.0.0.1:{port}")
    quick = {"settles": 2.0, "p95": P95}
    with pods.running(world.cluster, world.at("dev"), world.root / "pods", port) as service:
        world.release(good)
        deploy(world.brought(**quick | {"settles": 60.0}))
        service.stays = True
        world.release(better)
        with pytest.raises(Refused, match=r"generation 2 .* failed; generation 1 .* works as before"):
            deploy(world.brought(**quick))
        assert "serves another model" in world.history().generations[1].why
        assert world.live().models == {good.sha256}
        assert not service.failed
