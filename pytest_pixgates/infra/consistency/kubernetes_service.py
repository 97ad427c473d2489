"""Traffic: a Service, a probe or an Ingress names a port or a pod in another file, and nothing compares them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pytest_pixgates.core.scan import Finding
from pytest_pixgates.infra.consistency.rule import Rule
from pytest_pixgates.infra.consistency.world import Part, Workload, World, ports

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
_SERVICE = """\
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports:
    - {name: http, port: 80, targetPort: http}
"""
_PROBE = """\
          readinessProbe:
            httpGet: {path: /ready, port: http}
"""
_INGRESS = """\
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  rules:
    - http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service:
                name: web
                port: {name: http}
"""


def selected(service: Part) -> list[Workload]:
    """The workloads that a Service sends to; none if it has no selector."""
    wanted = service.get("spec", "selector").pairs().items()
    known = (each for each in service.world.workloads if each.namespace == service.namespace)
    return [each for each in known if wanted and wanted <= each.labels.items()]


def _selecting(world: World) -> Iterator[Part]:
    """The Services that select pods by themselves."""
    for service in world.of("Service"):
        if service.get("spec", "selector").value and service.get("spec", "type").text() != "ExternalName":
            yield service


class ServiceSelects(Rule[Part]):
    name = "k8s-service-selects"
    summary = "The selector of a Service matches the pods of a workload in its namespace."
    why = "A Service that selects nothing is accepted, and refuses every connection."
    fix = "make spec.selector equal to the labels of the pod template"
    passing = _WEB + _SERVICE
    failing = _WEB + _SERVICE.replace("{app: web}", "{app: wbe}")

    def subjects(self, world: World) -> Iterable[Part]:
        return _selecting(world)

    def judge(self, subject: Part) -> Iterator[Finding]:
        if not selected(subject):
            selector = subject.get("spec", "selector")
            message = f"{selector.pairs()} matches no pod in {subject.namespace}; {nearest(subject)}"
            yield self.finding(selector, message)


class ServiceTargetPort(Rule[tuple[Part, Workload]]):
    name = "k8s-service-target-port"
    summary = "The targetPort of a Service is a port of the containers that it selects, by name or number."
    why = "A targetPort that nobody listens on is accepted, and refuses every connection."
    fix = "name a containerPort of the selected pods, or declare it there"
    passing = _WEB + _SERVICE
    failing = _WEB + _SERVICE.replace("targetPort: http", "targetPort: 8081")

    def subjects(self, world: World) -> Iterable[tuple[Part, Workload]]:
        for service in _selecting(world):
            for port in service.get("spec", "ports").items():
                yield from ((port, workload) for workload in selected(service))

    def judge(self, subject: tuple[Part, Workload]) -> Iterator[Finding]:
        port, workload = subject
        part = port.get("targetPort") if port.get("targetPort").value is not None else port.get("port")
        protocol = port.get("protocol").text() or "TCP"
        if not any(each.is_meant(part.value, protocol) for each in workload.ports()):
            message = f"the target {part.value}/{protocol} is no port of {workload.label}, which {listed(workload)}"
            yield self.finding(part, message)


class ProbePort(Rule[tuple[Part, Part]]):
    name = "k8s-probe-port"
    summary = "The port of a probe or a lifecycle hook is a port of its own container."
    why = "A probe of an unknown port fails for ever: the pod never gets ready, or is killed again and again."
    fix = "name a port of the container, or declare it there"
    passing = _WEB + _PROBE
    failing = _WEB + _PROBE.replace("port: http", "port: web")

    def subjects(self, world: World) -> Iterable[tuple[Part, Part]]:
        for workload in world.workloads:
            for container in workload.all_containers():
                for action in _actions(container):
                    yield from ((each, container) for each in _ports_asked(action))

    def judge(self, subject: tuple[Part, Part]) -> Iterator[Finding]:
        port, container = subject
        declared = ports(container)
        if not any(each.is_meant(port.value) for each in declared):
            have = ", ".join(map(str, declared)) or "none"
            beside = container.get("ports").where
            message = f"{port.dotted} {port.value!r} is no port of its container, which has {have} at {beside}"
            yield self.finding(port, message)


class IngressBackend(Rule[Part]):
    name = "k8s-ingress-backend"
    summary = "The Service and the port that an Ingress sends to exist in its namespace."
    why = "An Ingress to nowhere is accepted, and answers 503."
    fix = "name a Service and one of its ports, or list the Service as external in the policy"
    passing = _WEB + _SERVICE + _INGRESS
    failing = _WEB + _SERVICE + _INGRESS.replace("port: {name: http}", "port: {name: https}")

    def subjects(self, world: World) -> Iterable[Part]:
        for ingress in world.of("Ingress"):
            yield from _present([ingress.get("spec", "defaultBackend", "service")])
            for rule in ingress.get("spec", "rules").items():
                paths = rule.get("http", "paths").items()
                yield from _present([each.get("backend", "service") for each in paths])

    def judge(self, subject: Part) -> Iterator[Finding]:
        name = subject.get("name").text()
        service = subject.world.find("Service", name, subject.namespace)
        if service is None:
            if f"Service/{name}" not in subject.world.external:
                yield self.finding(subject.get("name"), f"there is no Service {name} in {subject.namespace}")
            return
        port = next(iter(_present([subject.get("port", "name"), subject.get("port", "number")])), subject.get("port"))
        offered = list(service.get("spec", "ports").items())
        if not any(port.value in (each.get("name").value, each.get("port").value) for each in offered):
            yield self.finding(port, f"{port.value!r} is no port of {service.label} at {service.where}")


def listed(workload: Workload) -> str:
    """The ports of a workload, and where they stand."""
    found = workload.ports()
    have = ", ".join(f"{each} at {each.part.where}" for each in found)
    return f"has {have}" if found else f"declares no port (at {workload.pod.get('containers').where})"


def nearest(near: Part) -> str:
    """What is there instead."""
    namespaced = [each for each in near.world.workloads if each.namespace == near.namespace]
    found = ", ".join(f"{each.label} {each.labels} at {each.template.get('metadata').where}" for each in namespaced)
    return f"there is {found}" if found else "no workload is there"


def _actions(container: Part) -> Iterator[Part]:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        yield container.get(probe)
    for hook in ("postStart", "preStop"):
        yield container.get("lifecycle", hook)


def _ports_asked(action: Part) -> list[Part]:
    # An action with a host asks another machine.
    asked = [action.get(each) for each in ("httpGet", "tcpSocket", "grpc")]
    return _present([each.get("port") for each in asked if not each.get("host").value])


def _present(parts: list[Part]) -> list[Part]:
    return [each for each in parts if each.value is not None]
