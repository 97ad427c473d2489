"""A world whose releases go to the control plane: the overlays of this repository, in namespaces of its own."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ml_pipeline.deploy import Place
from ml_pipeline.ledger.entries import Kind, sha256
from ml_pipeline.ledger.history import Fate, Generation, note
from ml_pipeline.promote import promote
from ml_pipeline.render import render
from ml_pipeline.targets.kubernetes import RECORD, Kubernetes, unfinished
from pytest_pixgates.core import tools
from tests.lanes.cluster.control_plane import Cluster
from tests.lanes.conftest import IAC
from tests.promotion.world import ORDER, Model, World

IMAGES = ("scoring", "stream-worker")
BUCKETS = {"dev": "111122223333", "staging": "222233334444", "prod": "333344445555"}
SHORT_WAIT = "minReadySeconds: 1"


def kubectl() -> Path:
    return tools.find(tools.KUBECTL).path


@dataclass
class Live:
    """What the cluster has of an environment."""

    models: set[str]
    images: set[str]
    available: dict[str, int]
    objects: dict[str, str]
    """Versions of all objects that a release makes, but for what the controllers change by themselves."""


@dataclass
class ClusterWorld(World):
    """`seconds` are given to a rollout. Without `hurry` pods of scoring count as available as late as in production."""

    cluster: Cluster = field(default=None)  # type: ignore[assignment]
    hurry: bool = True
    seconds: float = 90.0
    url: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.suffix = secrets.token_hex(3)
        shutil.copytree(IAC / "k8s", self.repository / "iac" / "k8s")
        for name in ORDER:
            self.edit(
                f"overlays/{name}/kustomization.yaml", f"namespace: pixgates-{name}", f"namespace: {self.at(name)}"
            )
        self.edit("base/stream-worker/statefulset.yaml", "minReadySeconds: 10", SHORT_WAIT)  # for it goes one by one
        if self.hurry:
            self.edit("base/scoring/deployment.yaml", "minReadySeconds: 5", SHORT_WAIT)
        unjudged = ", ".join(f'"{name}"' for name in ("manifests", *(f"image-{each}" for each in IMAGES)))
        text = self.policy.read_text()
        for name in ORDER:
            text = text.replace(f"[environments.{name}]\n", f"[environments.{name}]\nunjudged = [{unjudged}]\n")
        self.policy.write_text(text)
        self.git.commit()

    def at(self, environment: str) -> str:
        """The namespace of an environment."""
        return f"pixgates-{environment}-{self.suffix}"

    def edit(self, name: str, old: str, new: str) -> None:
        """Change what is rendered from now on."""
        path = self.repository / "iac" / "k8s" / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def image(self, name: str, build: str) -> bytes:
        """What stands for an image: its digest is that of these bytes."""
        return f"{name} {build}".encode()

    def rendered(self, model: Model, environment: str, build: str = "1") -> Path:
        """The manifests of a release, in a file."""
        images = [f"{name}=sha256:{sha256(self.image(name, build))}" for name in IMAGES]
        overlay = self.repository / "iac" / "k8s" / "overlays" / environment
        path = self.root / "rendered" / f"{environment}-{secrets.token_hex(4)}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(render(overlay, images, model.sha256, str(kubectl())))
        return path

    def release(
        self,
        model: Model,
        environment: str = "dev",
        build: str = "1",
        manifests: Path | None = None,
        **changes: Any,
    ) -> Generation:
        """Rendered, signed and promoted; `changes` are of the order."""
        manifests = manifests or self.rendered(model, environment, build)
        also = {"manifests": manifests}
        for name in IMAGES:
            also[f"image-{name}"] = self.root / "rendered" / f"{name}-{build}"
            also[f"image-{name}"].write_bytes(self.image(name, build))
        evidence = self.evidence(model, environment, also=also)
        subjects = tuple(f"image-{name}=sha256:{sha256(self.image(name, build))}" for name in IMAGES)
        first = environment == ORDER[0]
        asked = {"manifests": manifests, "subjects": subjects if first else (), **changes}
        order = self.order(model, environment, evidence, **asked)
        made = promote(self.ledger, order if first else replace(order, model=None))
        assert made
        return made

    def went_live(self, model: Model, *environments: str, build: str = "1") -> None:
        """Promoted, and noted as live without having been brought."""
        for each in environments:
            note(self.ledger, each, Kind.LIVE, self.release(model, each, build).number)

    def target(self, environment: str = "dev") -> Kubernetes:  # type: ignore[override]
        folder = self.root / "kubernetes" / environment
        return Kubernetes(
            environment, self.at(environment), folder, self.url, kubectl(), seconds=self.seconds
        )  # fmt: skip

    def command(self, step: str, *words: str, environment: str = "dev") -> list[str]:
        said = ["--env", environment, "--ledger", self.ledger.url, "--config", str(self.policy)]
        if step not in ("promote", "history"):
            said += ["--target", "kubernetes", "--namespace", self.at(environment)]
            said += ["--rollout-seconds", f"{self.seconds:g}"]
            said += ["--service-url", self.url] if self.url else ["--no-pods"]
        return [step, *said, *words]

    def stop(self) -> None:
        for name in ORDER:
            self.cluster.must("delete", "namespace", self.at(name), "--ignore-not-found", "--wait=false")

    def live(self, environment: str = "dev") -> Live:
        """What there is, asked of the API server itself."""
        at = self.at(environment)
        apps = f"/apis/apps/v1/namespaces/{at}"
        workloads = [
            each for kind in ("deployments", "statefulsets") for each in self.cluster.ask(f"{apps}/{kind}")["items"]
        ]
        maps = self.cluster.ask(f"/api/v1/namespaces/{at}/configmaps")["items"]
        data = {each["metadata"]["name"]: each.get("data", {}) for each in maps}
        containers = [each for one in workloads for each in one["spec"]["template"]["spec"]["containers"]]
        named = [each["configMapRef"]["name"] for one in containers for each in one["envFrom"]]
        models = {data[name]["MODEL_SHA256"] for name in named if "MODEL_SHA256" in data[name]}
        digests = {each["image"].partition("@sha256:")[2] for each in containers}
        available = {each["metadata"]["name"]: each["status"].get("availableReplicas", 0) for each in workloads}
        return Live(models, digests, available, self._objects(at))

    def serves(self, environment: str, model: Model) -> bool:
        """Whether all pods of scoring are of a release with this model, and as many as there must be."""
        at = self.at(environment)
        live = self.cluster.ask(f"/apis/apps/v1/namespaces/{at}/deployments/scoring")
        (container,) = live["spec"]["template"]["spec"]["containers"]
        name = container["envFrom"][0]["configMapRef"]["name"]
        data = self.cluster.ask(f"/api/v1/namespaces/{at}/configmaps/{name}")["data"]
        return data["MODEL_SHA256"] == model.sha256 and not unfinished(live, 2)

    def _objects(self, at: str) -> dict[str, str]:
        groups = {
            "/api/v1": ("configmaps", "services", "serviceaccounts"), "/apis/apps/v1": ("deployments", "statefulsets"),
            "/apis/networking.k8s.io/v1": ("networkpolicies",), "/apis/policy/v1": ("poddisruptionbudgets",),
            "/apis/autoscaling/v2": ("horizontalpodautoscalers",),
        }  # fmt: skip
        found = {}
        for group, kinds in groups.items():
            for kind in kinds:
                for each in self.cluster.ask(f"{group}/namespaces/{at}/{kind}")["items"]:
                    said = {key: each.get(key) for key in ("spec", "data")}
                    found[f"{kind}/{each['metadata']['name']}"] = str(said)
        return found

    def record(self, environment: str = "dev") -> dict[str, Any]:
        """What the target noted in the cluster."""
        data: dict[str, Any] = self.cluster.ask(f"/api/v1/namespaces/{self.at(environment)}/configmaps/{RECORD}")[
            "data"
        ]
        return data

    def fates(self, environment: str = "dev") -> list[Fate]:
        return [each.fate for each in self.history(environment).generations]

    def brought(self, environment: str = "dev", **changes: Any) -> Place:
        """The place, with a target that is another in some way."""
        return self.place(environment, target=replace(self.target(environment), **changes))


def buckets() -> Iterable[str]:
    """Where the overlays say that models are."""
    return [f"pixgates-{name}-artifacts-{account}-sa-east-1" for name, account in BUCKETS.items()]
