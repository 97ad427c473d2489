"""What a pod names and does not bring along: its configuration, secrets, service account and images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from pytest_pixgates.core.scan import Finding
from pytest_pixgates.infra.consistency.rule import Rule
from pytest_pixgates.infra.consistency.world import Part, Workload, World

_POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  serviceAccountName: web
  containers:
    - name: web
      image: web@sha256:9d4fa2c2d0b4a1fb5fbb4a2f3b2b1a1d9d4fa2c2d0b4a1fb5fbb4a2f3b2b1a1d
      envFrom:
        - configMapRef: {name: settings}
      env:
        - name: TOKEN
          valueFrom:
            secretKeyRef: {name: broker, key: token}
"""
_SETTINGS = """\
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {LOG_LEVEL: INFO}
"""
_BROKER = """\
---
apiVersion: v1
kind: Secret
metadata: {name: broker}
stringData: {token: example}
"""
_ACCOUNT = """\
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web}
"""


@dataclass(frozen=True, eq=False)
class Reference:
    """A pod's mention of an object, with the keys that it wants of it."""

    name: Part
    keys: tuple[Part, ...] = ()


def _entries(workload: Workload, kind: str) -> Iterator[Reference]:
    """The mentions of ConfigMaps or Secrets that a pod can't start without."""
    field = {"ConfigMap": "configMap", "Secret": "secret"}[kind]
    for container in workload.all_containers():
        for each in container.get("envFrom").items():
            yield from _reference(each.get(f"{field}Ref"), "name")
        for each in container.get("env").items():
            part = each.get("valueFrom", f"{field}KeyRef")
            yield from _reference(part, "name", (part.get("key"),))
    for volume in workload.pod.get("volumes").items():
        part = volume.get(field)
        yield from _reference(part, "name" if kind == "ConfigMap" else "secretName", _items(part))
        for source in volume.get("projected", "sources").items():
            part = source.get(field)
            yield from _reference(part, "name", _items(part))
    if kind == "Secret":
        for each in workload.pod.get("imagePullSecrets").items():
            yield from _reference(each, "name")


def _reference(part: Part, name: str, keys: tuple[Part, ...] = ()) -> Iterator[Reference]:
    if part.value is not None and part.get("optional").value is not True:
        yield Reference(part.get(name), keys)


def _items(part: Part) -> tuple[Part, ...]:
    return tuple(each.get("key") for each in part.get("items").items())


class _Data(Rule[Reference]):
    """An object with keys: a ConfigMap or a Secret."""

    kind: ClassVar[str]
    holds: ClassVar[tuple[str, ...]]

    def subjects(self, world: World) -> Iterable[Reference]:
        return (each for workload in world.workloads for each in _entries(workload, self.kind))

    def judge(self, subject: Reference) -> Iterator[Finding]:
        name, namespace = subject.name.text(), subject.name.namespace
        world = subject.name.world
        found = world.find(self.kind, name, namespace)
        if found is None:
            if f"{self.kind}/{name}" not in world.external:
                yield self.finding(subject.name, absent(subject.name, self.kind, namespace))
            return
        have = [key for field in self.holds for key in found.get(field).mapping()]
        for key in subject.keys:
            if key.text() not in have:
                holds = ", ".join(map(str, have)) or "none"
                message = f"{found.label} at {found.where} has no key {key.value!r}; it has {holds}"
                yield self.finding(key, message)


class ConfigMapExists(_Data):
    name = "k8s-config-map"
    summary = "A ConfigMap that a pod needs exists in its namespace, with the keys that it names."
    why = "The pod is accepted, and waits for ever in CreateContainerConfigError."
    fix = "add it to this namespace or correct the name or key; list it as external if it is made elsewhere"
    kind, holds = "ConfigMap", ("data", "binaryData")
    passing = _POD + _SETTINGS
    failing = _POD + _SETTINGS.replace("settings", "runtime")


class SecretExists(_Data):
    name = "k8s-secret"
    summary = "A Secret that a pod needs exists in its namespace, with the keys that it names."
    why = "The pod is accepted, and waits for ever in CreateContainerConfigError."
    fix = "list it as external if it is made elsewhere, such as by an operator; else correct the name or key"
    kind, holds = "Secret", ("data", "stringData")
    passing = _POD + _BROKER
    failing = _POD + _BROKER.replace("{token: example}", "{password: example}")


class ServiceAccountExists(Rule[Part]):
    name = "k8s-service-account"
    summary = "The ServiceAccount of a pod exists in its namespace."
    why = "The workload is accepted, and no pod of it is ever made."
    fix = "add the ServiceAccount to this namespace, or correct the name; list it as external if it is made elsewhere"
    passing = _POD + _ACCOUNT
    failing = _POD + _ACCOUNT.replace("{name: web}", "{name: web, namespace: other}")

    def subjects(self, world: World) -> Iterable[Part]:
        named = (each.pod.get("serviceAccountName") for each in world.workloads)
        return (each for each in named if each.text() not in ("", "default"))

    def judge(self, subject: Part) -> Iterator[Finding]:
        name, namespace = subject.text(), subject.namespace
        world, label = subject.world, f"ServiceAccount/{name}"
        if not world.find("ServiceAccount", name, namespace) and label not in world.external:
            yield self.finding(subject, absent(subject, "ServiceAccount", namespace))


class ImageDigest(Rule[Part]):
    name = "k8s-image-digest"
    summary = "Each image is named by digest, outside the overlays that the policy exempts."
    why = "A tag can be moved: what was judged and what runs would differ, and two pods of one rollout as well."
    fix = "set `digest` under `images` in the overlay's kustomization"
    passing = _POD
    failing = _POD.replace("@sha256:9d4fa2c2d0b4a1fb5fbb4a2f3b2b1a1d9d4fa2c2d0b4a1fb5fbb4a2f3b2b1a1d", ":1.4")

    def subjects(self, world: World) -> Iterable[Part]:
        containers = (each for workload in world.workloads for each in workload.all_containers())
        return () if world.tags else (each.get("image") for each in containers)

    def judge(self, subject: Part) -> Iterator[Finding]:
        if not re.search(r"@sha256:[0-9a-f]{64}$", subject.text()):
            overlay = subject.world.overlay.texts[0][0]
            yield self.finding(subject, f"{subject.value or 'no image'} has no digest, also not from {overlay}")


def absent(part: Part, kind: str, namespace: str) -> str:
    """That there is no such object here, and where there is one, or which ones there are."""
    message = f"there is no {kind} {part.value} in {namespace}"
    known = list(part.world.of(kind))
    near = [each for each in known if each.name == part.value] or known
    return f"{message}; there is " + (", ".join(f"{x.namespace}/{x.name} at {x.where}" for x in near) or f"no {kind}")
