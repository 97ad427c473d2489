"""NetworkPolicies: whom they select, which ports they open, and to whom; a policy that matches nothing is accepted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pytest_pixgates.core.documents import Document
from pytest_pixgates.core.scan import Finding
from pytest_pixgates.infra import kustomize
from pytest_pixgates.infra.consistency.kubernetes_service import listed, nearest
from pytest_pixgates.infra.consistency.rule import Rule
from pytest_pixgates.infra.consistency.world import Part, Workload, World, matches

_NAME = "kubernetes.io/metadata.name"
_WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: web
          ports:
            - {name: http, containerPort: 8080}
"""
_POLICY = """\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector:
    matchLabels: {app: web}
  policyTypes: [Ingress]
  ingress:
    - from:
        - podSelector:
            matchLabels: {app: web}
      ports:
        - {protocol: TCP, port: http}
"""
_DENY = """\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
"""
_GATEWAY = """\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector:
    matchLabels: {app: web, team: pix}
  policyTypes: [Ingress]
  ingress:
    - from:
        - namespaceSelector:
            matchLabels: {kubernetes.io/metadata.name: gateway}
          podSelector:
            matchLabels: {app: gateway, team: pix}
---
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
labels:
  - includeSelectors: true
    pairs: {team: pix}
"""


class PolicySelects(Rule[Part]):
    name = "k8s-policy-selects"
    summary = "The podSelector of a NetworkPolicy matches the pods of a workload in its namespace."
    why = "A policy for pods that don't exist is accepted, and the pods that it was meant for go without."
    fix = "make spec.podSelector equal to labels of the pod template"
    passing = _WEB + _POLICY
    failing = _WEB + _POLICY.replace("{app: web}", "{app: wbe}", 1)

    def subjects(self, world: World) -> Iterable[Part]:
        return (each.get("spec", "podSelector") for each in world.of("NetworkPolicy"))

    def judge(self, subject: Part) -> Iterator[Finding]:
        if not subject.world.matching(subject, subject.namespace):
            yield self.finding(subject, f"{subject.value} matches no pod; {nearest(subject)}")


class PolicyPort(Rule[tuple[Part, list[Workload]]]):
    name = "k8s-policy-port"
    summary = "A port that a NetworkPolicy opens is a port of the pods behind it, by name or number."
    why = "The port is the container's, not the Service's: a policy that opens another one blocks the traffic."
    fix = "name the containerPort of the pods (after the Service's targetPort, not its port)"
    passing = _WEB + _POLICY
    failing = _WEB + _POLICY.replace("port: http", "port: 80")

    def subjects(self, world: World) -> Iterable[tuple[Part, list[Workload]]]:
        for policy in world.of("NetworkPolicy"):
            selected = world.matching(policy.get("spec", "podSelector"), policy.namespace)
            for rule in policy.get("spec", "ingress").items():
                yield from ((port, selected) for port in rule.get("ports").items() if selected)
            for rule in policy.get("spec", "egress").items():
                reached = _reached(rule)
                yield from ((port, reached) for port in rule.get("ports").items() if reached)

    def judge(self, subject: tuple[Part, list[Workload]]) -> Iterator[Finding]:
        part, behind = subject
        port, last, protocol = part.get("port"), part.get("endPort").value, part.get("protocol").text() or "TCP"
        found = (each for workload in behind for each in workload.ports())
        if port.value is not None and not any(each.is_meant(port.value, protocol, last) for each in found):
            have = "; ".join(f"{each.label} {listed(each)}" for each in behind)
            yield self.finding(port, f"{port.value}/{protocol} is no port of the pods behind it: {have}")


class PolicyPeer(Rule[Part]):
    name = "k8s-policy-peer"
    summary = "A peer of a NetworkPolicy in a namespace that is rendered matches the pods of a workload there."
    why = "A peer that matches nobody opens nothing: the traffic that the policy was written for is blocked."
    fix = "make the podSelector equal to labels of the peer's pods; for another namespace, add a namespaceSelector"
    passing = _WEB + _POLICY
    failing = _WEB + _POLICY.replace("            matchLabels: {app: web}", "            matchLabels: {app: gateway}")

    def subjects(self, world: World) -> Iterable[Part]:
        return (peer for peer in _peers(world) if peer.get("podSelector").value is not None and _known(peer))

    def judge(self, subject: Part) -> Iterator[Finding]:
        selector, namespace = subject.get("podSelector"), _known(subject)
        if not subject.world.matching(selector, namespace):
            near = "; ".join(f"{each.label} {each.labels} at {each.where}" for each in subject.world.workloads)
            yield self.finding(selector, f"{selector.value} matches no pod in {namespace}; there is {near or 'none'}")


class PolicyPeerLabels(Rule[Part]):
    name = "k8s-policy-peer-labels"
    summary = "A peer in a namespace of others does not carry a label that kustomize adds to our own selectors."
    why = "commonLabels and includeSelectors also rewrite the peers of NetworkPolicies: then the gateway is blocked."
    fix = "use `labels` with includeTemplates in place of includeSelectors or commonLabels"
    passing = _WEB + _GATEWAY.replace("includeSelectors", "includeTemplates")
    failing = _WEB + _GATEWAY

    def subjects(self, world: World) -> Iterable[Part]:
        return (peer for peer in _peers(world) if peer.get("podSelector", "matchLabels").value and not _known(peer))

    def judge(self, subject: Part) -> Iterator[Finding]:
        selector = subject.get("podSelector", "matchLabels")
        for document, keys, pairs in _added(subject.world):
            if both := sorted(selector.pairs().items() & pairs.items()):
                added = ", ".join(f"{key}: {value}" for key, value in both)
                message = f"{selector.label}: `{added}`, added to selectors here, also narrows the peer at "
                message += f"{subject.where}, whose namespace is not ours: no pod there carries it"
                line = document.line_of(keys) or document.line
                yield Finding(self.name, message, document.path, line, resource=selector.label, fix=self.fix)


class DefaultDeny(Rule[tuple[str, list[Workload]]]):
    name = "k8s-default-deny"
    summary = "Each namespace with workloads denies all traffic that no policy allows, in and out."
    why = "A pod that no NetworkPolicy selects may talk to everybody, and everybody to it."
    fix = "add a NetworkPolicy with podSelector {} and policyTypes [Ingress, Egress], without any rule"
    passing = _WEB + _DENY
    failing = _WEB + _DENY.replace("[Ingress, Egress]", "[Ingress]")

    def subjects(self, world: World) -> Iterable[tuple[str, list[Workload]]]:
        for namespace in dict.fromkeys(each.namespace for each in world.workloads):
            yield namespace, [each for each in world.workloads if each.namespace == namespace]

    def judge(self, subject: tuple[str, list[Workload]]) -> Iterator[Finding]:
        namespace, workloads = subject
        world = workloads[0].world
        policies = [each for each in world.of("NetworkPolicy") if each.namespace == namespace]
        open_ways = [way for way in ("Ingress", "Egress") if not any(_denies(each, way) for each in policies)]
        if open_ways:
            whole = next((each for each in world.of("Namespace") if each.name == namespace), workloads[0].whole)
            who = ", ".join(f"{each.label} at {each.where}" for each in workloads)
            message = f"nothing denies {' and '.join(open_ways)} by default in {namespace}, which runs {who}"
            yield self.finding(whole, message)


def _denies(policy: Part, way: str) -> bool:
    """Whether a policy is for all pods, is about `way` (Ingress or Egress), and allows nothing there."""
    spec = policy.get("spec")
    types = [each.text() for each in spec.get("policyTypes").items()] or (
        ["Ingress", "Egress"] if spec.get("egress").value else ["Ingress"]
    )
    return matches(spec.get("podSelector"), {}) and way in types and not spec.get(way.lower()).value


def _peers(world: World) -> Iterator[Part]:
    for policy in world.of("NetworkPolicy"):
        for way, side in (("ingress", "from"), ("egress", "to")):
            for rule in policy.get("spec", way).items():
                yield from rule.get(side).items()


def _known(peer: Part) -> str:
    """The one namespace, of those that are rendered, that a peer can only mean; else ""."""
    selector = peer.get("namespaceSelector")
    if selector.value is None:
        return "" if peer.get("ipBlock").value else peer.namespace
    name = selector.get("matchLabels").pairs().get(_NAME, "")
    return name if name in peer.world.namespaces() else ""


def _reached(rule: Part) -> list[Workload]:
    """The workloads that an egress rule leads to; none unless all its peers are in namespaces that are rendered."""
    peers = list(rule.get("to").items())
    if not all(map(_known, peers)):
        return []
    return [each for peer in peers for each in peer.world.matching(peer.get("podSelector"), _known(peer))]


def _added(world: World) -> Iterator[tuple[Document, tuple[object, ...], dict[Any, Any]]]:
    """The labels that the kustomizations add to selectors, and where they say so."""
    for document in world.overlay.documents:
        value = document.value
        is_ours = document.kind in ("Kustomization", "Component") or document.path.rpartition("/")[2] in kustomize.FILES
        if not is_ours or not isinstance(value, dict):
            continue
        if isinstance(value.get("commonLabels"), dict):
            yield document, ("commonLabels",), value["commonLabels"]
        entries = value.get("labels")
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, dict) and entry.get("includeSelectors") and isinstance(entry.get("pairs"), dict):
                yield document, ("labels", index, "includeSelectors"), entry["pairs"]
