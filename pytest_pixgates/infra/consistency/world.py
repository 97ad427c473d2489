"""The objects that an overlay renders, seen together: what selects what, and where each part was written.

The rendered objects say what is true in the cluster; the sources say which line to mend.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_pixgates.core import documents
from pytest_pixgates.core.documents import Document
from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.infra import kustomize

SCALED = ("Deployment", "StatefulSet")
"""The workloads that serve, and that a rollout or a drained node must not stop."""

_GROUPS = {
    "Deployment": "apps",
    "StatefulSet": "apps",
    "DaemonSet": "apps",
    "ReplicaSet": "apps",
    "Job": "batch",
    "CronJob": "batch",
    "Pod": "",
    "PodDisruptionBudget": "policy",
    "HorizontalPodAutoscaler": "autoscaling",
    "NetworkPolicy": "networking.k8s.io",
    "Ingress": "networking.k8s.io",
}
_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "Pod": (),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"), ("spec", "template")),
}


@dataclass(frozen=True, eq=False)
class Part:
    """A value inside a rendered object, with the keys that lead to it; absent values are None."""

    world: World
    document: Document
    keys: tuple[object, ...] = ()
    value: Any = None

    def get(self, *keys: str) -> Part:
        """The part below. Raises Unreadable if something on the way is not a mapping."""
        part = self
        for key in keys:
            value = part.expect(dict).get(key) if part.value is not None else None
            part = Part(self.world, self.document, (*part.keys, key), value)
        return part

    def items(self) -> Iterator[Part]:
        """The parts of a list, by their names where they have one. Raises Unreadable if it is not a list."""
        for index, value in enumerate(self.expect(list) if self.value is not None else ()):
            if value is None:
                message = f"{self.document.label}: {self.dotted}[{index}] is null"
                raise Unreadable(message, *self.place, remedy="remove the entry")
            name = value.get("name") if isinstance(value, dict) else None
            key = ("name", name) if isinstance(name, str) else index
            yield Part(self.world, self.document, (*self.keys, key), value)

    def expect(self, kind: type) -> Any:
        """The value. Raises Unreadable if it is not a `kind`."""
        if not isinstance(self.value, kind) or (kind is int and isinstance(self.value, bool)):
            names = {dict: "a mapping", list: "a list", str: "a text", int: "a whole number"}
            message = f"{self.document.label}: {self.dotted or 'it'} is not {names[kind]}"
            raise Unreadable(message, *self.place, remedy="correct the field")
        return self.value

    def text(self) -> str:
        """The text, "" if absent. Raises Unreadable for anything else."""
        return "" if self.value is None else str(self.expect(str))

    def mapping(self) -> dict[Any, Any]:
        """The mapping, empty if absent. Raises Unreadable for anything else."""
        return dict(self.expect(dict)) if self.value is not None else {}

    def pairs(self) -> dict[str, str]:
        """The labels, none if absent. Raises Unreadable for anything else."""
        found = self.mapping()
        for key in found:
            self.get(key).expect(str)
        return found

    @property
    def place(self) -> tuple[str, int]:
        return self.world.overlay.where(self.document.kind, self.document.name, self.keys)

    @property
    def where(self) -> str:
        """Where it is written, as path:line."""
        path, line = self.place
        return f"{path}:{line}" if line else path

    @property
    def dotted(self) -> str:
        def shown(key: object) -> str:
            name = key[1] if isinstance(key, tuple) else key
            return f".{name}" if isinstance(key, str) else f"[{name}]"

        return "".join(map(shown, self.keys)).lstrip(".")

    @property
    def name(self) -> str:
        return self.document.name

    @property
    def label(self) -> str:
        return self.document.label

    @cached_property
    def namespace(self) -> str:
        return self.whole.get("metadata", "namespace").text() or "default"

    @property
    def whole(self) -> Part:
        """The object that this is a part of."""
        return Part(self.world, self.document, (), self.document.value)


@dataclass(frozen=True, eq=False)
class Workload:
    """An object that makes pods."""

    whole: Part
    template: Part

    @property
    def label(self) -> str:
        return self.whole.label

    @property
    def where(self) -> str:
        return self.whole.where

    @property
    def namespace(self) -> str:
        return self.whole.namespace

    @property
    def world(self) -> World:
        return self.whole.world

    @property
    def pod(self) -> Part:
        """The specification of its pods."""
        return self.template.get("spec")

    @cached_property
    def labels(self) -> dict[str, str]:
        """The labels of its pods."""
        return self.template.get("metadata", "labels").pairs()

    def containers(self) -> Iterator[Part]:
        """The containers that run for as long as the pod: the sidecars among the init containers too."""
        yield from self.pod.get("containers").items()
        yield from (
            each for each in self.pod.get("initContainers").items() if each.get("restartPolicy").value == "Always"
        )

    def all_containers(self) -> Iterator[Part]:
        yield from self.pod.get("containers").items()
        yield from self.pod.get("initContainers").items()

    def ports(self) -> list[Port]:
        return [port for container in self.containers() for port in ports(container)]


@dataclass(frozen=True, eq=False)
class Port:
    """A port that a container listens on."""

    part: Part
    name: str
    number: int
    protocol: str

    def __str__(self) -> str:
        return f"{self.name or 'unnamed'} ({self.number}/{self.protocol})"

    def is_meant(self, port: object, protocol: str = "TCP", last: object = None) -> bool:
        """Whether `port`, a name or a number (or the numbers from it to `last`), is this one."""
        if self.protocol != protocol:
            return False
        if isinstance(port, int) and isinstance(last, int):
            return port <= self.number <= last
        return port == self.number if isinstance(port, int) else port == self.name


def ports(container: Part) -> list[Port]:
    return [
        Port(each, each.get("name").text(), each.get("containerPort").expect(int), each.get("protocol").text() or "TCP")
        for each in container.get("ports").items()
    ]


@dataclass(frozen=True, eq=False)
class World:
    """Everything that `overlay` renders. `external` are the objects (Kind/name) that are made elsewhere."""

    overlay: kustomize.Overlay
    objects: tuple[Document, ...]
    external: frozenset[str] = frozenset()
    tags: bool = False
    """Whether images may be named by tag here."""

    def of(self, kind: str) -> Iterator[Part]:
        """The objects of one of Kubernetes' own kinds."""
        for each in self.objects:
            group, slash, _ = str(each.value.get("apiVersion")).partition("/")
            if each.kind == kind and (group if slash else "") == _GROUPS.get(kind, ""):
                yield Part(self, each, (), each.value)

    def find(self, kind: str, name: str, namespace: str) -> Part | None:
        return next((each for each in self.of(kind) if (each.name, each.namespace) == (name, namespace)), None)

    @cached_property
    def workloads(self) -> tuple[Workload, ...]:
        return tuple(Workload(whole, whole.get(*keys)) for kind, keys in _TEMPLATES.items() for whole in self.of(kind))

    def scaled(self) -> Iterator[Workload]:
        return (each for each in self.workloads if each.whole.document.kind in SCALED)

    def matching(self, selector: Part, namespace: str) -> list[Workload]:
        """The workloads in `namespace` whose pods `selector` (with matchLabels or matchExpressions) matches."""
        return [each for each in self.workloads if each.namespace == namespace and matches(selector, each.labels)]

    def replicas(self, workload: Workload) -> tuple[int, Part]:
        """The fewest pods that `workload` runs with, and who says so."""
        for scaler in self.of("HorizontalPodAutoscaler"):
            target = scaler.get("spec", "scaleTargetRef")
            named = f"{target.get('kind').text()}/{target.get('name').text()}"
            if named == workload.label and scaler.namespace == workload.namespace:
                part = scaler.get("spec", "minReplicas")
                break
        else:
            part = workload.whole.get("spec", "replicas")
        return (1 if part.value is None else int(part.expect(int))), part

    def namespaces(self) -> Mapping[str, dict[str, str]]:
        """The labels of each namespace that is rendered, with the one that Kubernetes adds."""
        return {
            each.name: {**each.get("metadata", "labels").pairs(), "kubernetes.io/metadata.name": each.name}
            for each in self.of("Namespace")
        }


def matches(selector: Part, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches `labels`; an empty one matches all. Raises Unreadable."""
    wanted = selector.get("matchLabels").pairs()
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _satisfied(each, labels) for each in selector.get("matchExpressions").items()
    )


def _satisfied(expression: Part, labels: Mapping[str, str]) -> bool:
    key, operator = expression.get("key").text(), expression.get("operator").text()
    values = [each.expect(str) for each in expression.get("values").items()]
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise Unreadable(f"{expression.label}: {operator!r} is no operator", *expression.get("operator").place)


def of_text(text: str, label: str = "example.yaml", *, external: frozenset[str] = frozenset()) -> World:
    """The world of a manifest that nothing is rendered into. Raises Unreadable."""
    found = documents.parse(text, label)
    objects = tuple(each for each in found if each.kind != "Kustomization")
    return World(kustomize.Overlay(Path(), (), ((label, text),), found, ()), objects, external)
