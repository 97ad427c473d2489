"""The manifests of a release, read so that nothing in them is overlooked, and held against what was promoted.

kubectl takes the last of two equal keys in silence, and an image by its tag is whatever was pushed last. Here what is
read is what is applied, each image is one that was promoted, and a service may load no model but that of the release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ml_pipeline.ledger.entries import Release
from ml_pipeline.targets import Unfit

MODEL_URI, MODEL_SHA256 = "MODEL_URI", "MODEL_SHA256"
IMAGE = "image"  # a subject of this name, or one that begins with it and "-", is the digest of an image
_DIGEST = re.compile(r"(?P<name>[^@\s]+)@sha256:(?P<digest>[0-9a-f]{64})")
WORKLOADS = ("Deployment", "StatefulSet")
CLUSTER_WIDE = frozenset({"StorageClass"})  # of what belongs to no namespace, all that a release may bring
_PODS = frozenset({"Pod", "ReplicaSet", "ReplicationController", "DaemonSet", "Job", "CronJob"})


@dataclass(frozen=True)
class Manifests:
    """The objects of one environment, in the order in which they stand in the file."""

    objects: tuple[Mapping[str, Any], ...]

    @property
    def workloads(self) -> dict[str, Mapping[str, Any]]:
        """What runs pods, by kind and name."""
        return {_named(each): each for each in self.objects if each["kind"] in WORKLOADS}

    @property
    def images(self) -> list[str]:
        return [str(each.get("image")) for one in self.workloads.values() for each in _containers(one)]

    @property
    def models(self) -> set[tuple[str, str]]:
        """Where containers find a model, and the digest that it must have; "" where nothing is said."""
        known = [self.environment(each) for one in self.workloads.values() for each in _containers(one)]
        found = [(each.get(MODEL_URI, ""), each.get(MODEL_SHA256, "")) for each in known]
        return {each for each in found if any(each)}

    def least(self, name: str) -> int:
        """The replicas that a workload must have: as many as its autoscaler keeps at least."""
        for each in self.objects:
            scales = each["kind"] == "HorizontalPodAutoscaler"
            aim = each["spec"].get("scaleTargetRef", {}) if scales else {}
            if f"{aim.get('kind')}/{aim.get('name')}" == name:
                return int(each["spec"].get("minReplicas", 1))
        return int(self.workloads[name]["spec"].get("replicas", 1))

    def check(self, release: Release, namespace: str) -> None:
        """Raises Unfit with all that is not of this release, or for another place."""
        wrong = [
            *self._misplaced(namespace), *self._idle(), *self._other_images(release), *self._other_models(release)
        ]  # fmt: skip
        if wrong:
            raise Unfit("the manifests are not of this release: " + "; ".join(wrong))

    def as_json(self) -> str:
        """For kubectl: what was read, and nothing that another reader could read otherwise."""
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": self.objects})

    def _misplaced(self, namespace: str) -> Iterator[str]:
        names = {each["metadata"]["name"] for each in self.objects if each["kind"] == "Namespace"}
        if names != {namespace}:
            yield f"they make the namespace {', '.join(sorted(names)) or '(none)'}, and not {namespace}"
        for each in self.objects:
            found = each["metadata"].get("namespace", "")
            wanted = "" if each["kind"] in CLUSTER_WIDE else namespace
            if each["kind"] != "Namespace" and found != wanted:
                yield f"{_named(each)} is for the namespace {found or '(none)'}, and not for {wanted or '(none)'}"
            if each["kind"] in _PODS:
                yield f"{_named(each)}: of what runs pods only a {' or '.join(WORKLOADS)} can be awaited and taken back"
        if not self.workloads:
            yield f"they have no {' or '.join(WORKLOADS)}, so nothing would run"

    def _idle(self) -> Iterator[str]:
        """What would be awaited in vain, or count as brought although none of its pods runs."""
        for name, each in self.workloads.items():
            try:
                fewest = min(int(each["spec"].get("replicas", 1)), self.least(name))
            except (AttributeError, KeyError, TypeError, ValueError):
                yield f"{name}: how many replicas there must be can't be read"
                continue
            if fewest < 1:
                yield f"{name} may have {fewest} replicas, so nothing of it would run: ask for at least one"

    def _other_images(self, release: Release) -> Iterator[str]:
        said = {name: digest for name, digest in release.subjects.items() if _is_image(name)}
        found = set()
        for each in self.images:
            match = _DIGEST.fullmatch(each)
            if match is None:
                yield f"the image {each} is not named by its digest"
            elif match["digest"] not in said.values():
                yield f"the image {each} is none that was promoted"
            else:
                found.add(match["digest"])
        for name, digest in said.items():
            if digest not in found:
                yield f"no container has the {name} that was promoted, sha256:{digest[:12]}"

    def _other_models(self, release: Release) -> Iterator[str]:
        if not self.models:
            yield f"no container is told its model by {MODEL_URI} and {MODEL_SHA256}"
        for uri, digest in sorted(self.models):
            if digest != release.model:
                yield f"{MODEL_SHA256} is {digest[:12] or '(none)'}, and the model is {release.model[:12]}"
            elif not uri.endswith(f"/{digest}/model"):
                yield f"{MODEL_URI} is {uri or '(none)'}, where another release would lie too: end it in /DIGEST/model"

    def environment(self, container: Mapping[str, Any]) -> dict[str, str]:
        """The variables of a container, as far as the manifests tell."""
        configured = [each for each in self.objects if each["kind"] == "ConfigMap"]
        maps = {each["metadata"]["name"]: each.get("data") or {} for each in configured}
        found: dict[str, str] = {}
        for each in container.get("envFrom") or ():
            data = maps.get(each.get("configMapRef", {}).get("name"), {})
            found |= {each.get("prefix", "") + name: value for name, value in data.items()}
        for each in container.get("env") or ():
            reference = each.get("valueFrom", {}).get("configMapKeyRef", {})
            data = maps.get(reference.get("name"), {})
            found[each["name"]] = str(each.get("value", data.get(reference.get("key"), "")))
        return found


def read(data: bytes) -> Manifests:
    """Raises Unfit for what is no manifest, or could be read in two ways."""
    import yaml

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        for node in yaml.compose_all(data, loader):
            _check_keys(node)
        documents = list(yaml.load_all(data, loader))
        json.dumps(documents, allow_nan=False)
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise Unfit(f"the manifests can't be read: {' '.join(str(error).split())}") from None
    objects = [each for each in documents if each is not None]
    for each in objects:
        whole = isinstance(each, dict) and isinstance(each.get("metadata"), dict)
        if not whole or not all(isinstance(each.get(key), str) for key in ("apiVersion", "kind")):
            raise Unfit(f"the manifests hold what is no object of Kubernetes: {str(each)[:80]}")
        if each["kind"].endswith("List") and "items" in each:
            raise Unfit(f"the manifests hold a {each['kind']}: write its items as documents of their own")
        if not isinstance(each["metadata"].get("name"), str):
            raise Unfit(f"the manifests hold a {each['kind']} without a name")
    if not objects:
        raise Unfit("the manifests hold no object")
    twice = sorted({name for name in map(_named, objects) if list(map(_named, objects)).count(name) > 1})
    if twice:
        raise Unfit(f"the manifests hold more than one {', '.join(twice)}")
    return Manifests(tuple(objects))


def _check_keys(node: Any) -> None:
    """Raises ValueError for what readers don't agree on: a key that is there twice or is no string, and aliases."""
    waiting, seen = [node], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            raise ValueError(f"line {node.start_mark.line + 1}: it is named by an alias; write it out")
        seen.add(id(node))
        if not isinstance(node.value, list):
            continue
        pairs = [each for each in node.value if isinstance(each, tuple)]
        keys = [key.value for key, _ in pairs]
        for key, _ in pairs:
            if key.tag != "tag:yaml.org,2002:str" or keys.count(key.value) > 1:
                raise ValueError(f"line {key.start_mark.line + 1}: the key {key.value} is there twice, or no string")
        waiting += [value for _, value in pairs] or node.value


def _containers(deployment: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    spec = deployment.get("spec", {}).get("template", {}).get("spec", {})
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _is_image(name: str) -> bool:
    return name == IMAGE or name.startswith(f"{IMAGE}-")


def _named(each: Mapping[str, Any]) -> str:
    return f"{each['kind']}/{each['metadata']['name']}"
