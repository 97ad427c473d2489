"""What would run in the pods: the service, as the cluster says that it is to run, behind one address.

kwok's nodes start no container. This follows a Deployment: once all its pods are of one release and available, it
starts `ml_pipeline.serve` with the variables of the container, and sends requests there. It knows no ledger.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_pipeline.targets.kubernetes import unfinished
from ml_pipeline.targets.local import Local
from ml_pipeline.targets.proof import ask
from tests.lanes.cluster.control_plane import Cluster
from tests.promotion.world import ROOT

EVERY = 0.2  # seconds


@dataclass
class Pods:
    """The Deployment `scoring` of a namespace. While `stays`, what runs does not follow it."""

    cluster: Cluster
    namespace: str
    gateway: Local
    worse: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    count: int = 0
    stays: bool = False
    failed: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    def get_worse(self, *options: str) -> None:
        """Start what runs again, this once with options that make it fail."""
        self.worse, self.runs, count = options, (), self.count
        while self.count == count or not self.runs:
            threading.Event().wait(EVERY)

    def follow(self) -> None:
        """Make what runs what the cluster says."""
        found = self._said()
        if found is None or found == self.runs or self.stays:
            return
        self.count += 1
        worse, self.worse = self.worse, ()
        log = self.gateway.folder / f"{self.count}.log"
        argv = ["env", *found, sys.executable, "-m", "ml_pipeline.serve", "--fd", "{fd}", *worse]
        argv += ["--state", str(self.gateway.folder / "state"), "--contracts", str(ROOT / "gates/contracts")]
        self.gateway._ask({"do": "start", "generation": self.count, "argv": argv, "log": str(log)})
        self._until_ready(self.gateway.status()["services"][str(self.count)]["port"])
        self.gateway._ask({"do": "switch", "generation": self.count})
        self.gateway._ask({"do": "retire", "generation": self.count})
        self.runs = found

    def _said(self) -> tuple[str, ...] | None:
        """The variables of the container, once all pods are of one release; None before."""
        group = f"/apis/apps/v1/namespaces/{self.namespace}/deployments"
        live = {each["metadata"]["name"]: each for each in self.cluster.ask(group)["items"]}.get("scoring")
        if live is None or unfinished(live, 1):
            return None
        (container,) = live["spec"]["template"]["spec"]["containers"]
        said: dict[str, Any] = {}
        for each in container["envFrom"]:
            name = each["configMapRef"]["name"]
            said |= self.cluster.ask(f"/api/v1/namespaces/{self.namespace}/configmaps/{name}")["data"]
        return tuple(f"{name}={value}" for name, value in sorted(said.items()))

    def _until_ready(self, port: int) -> None:
        for _ in range(900):
            with contextlib.suppress(OSError, ValueError):
                if ask(f"http://127.0.0.1:{port}", "GET", "/readyz")[0] == 200:
                    return
            threading.Event().wait(0.1)
        raise AssertionError((self.gateway.folder / f"{self.count}.log").read_text(errors="replace")[-1500:])


@contextlib.contextmanager
def running(cluster: Cluster, namespace: str, folder: Path, port: int) -> Iterator[Pods]:
    """The service of a namespace at a port, as long as the block runs."""
    pods, ended = Pods(cluster, namespace, Local(folder, port=port)), threading.Event()
    with pods.gateway.held():
        pods.gateway._keep()

    def follow() -> None:
        while not ended.wait(EVERY):
            try:
                pods.follow()
            except Exception as error:
                pods.failed.append(f"{type(error).__name__} {error}")

    following = threading.Thread(target=follow)
    following.start()
    try:
        yield pods
    finally:
        ended.set()
        following.join()
        pods.gateway.stop()
