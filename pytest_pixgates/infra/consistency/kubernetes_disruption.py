"""Disruption: whether a drained node, a rollout or a stopping pod leaves enough of a workload to answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pytest_pixgates.core.scan import Finding
from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.infra.consistency.kubernetes_service import nearest
from pytest_pixgates.infra.consistency.rule import Rule
from pytest_pixgates.infra.consistency.world import Part, Workload, World, matches

_WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  revisionHistoryLimit: 5
  strategy:
    rollingUpdate: {maxUnavailable: 1}
  template:
    metadata:
      labels: {app: web}
    spec:
      terminationGracePeriodSeconds: 30
      topologySpreadConstraints:
        - topologyKey: topology.kubernetes.io/zone
          maxSkew: 1
          whenUnsatisfiable: DoNotSchedule
          labelSelector:
            matchLabels: {app: web}
      containers:
        - name: web
          ports: [{containerPort: 8080}]
          startupProbe:
            tcpSocket: {port: 8080}
          livenessProbe:
            tcpSocket: {port: 8080}
          lifecycle:
            preStop:
              sleep: {seconds: 5}
"""
_BUDGET = """\
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec:
  minAvailable: 2
  selector:
    matchLabels: {app: web}
"""
_SCALER = """\
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 4
  maxReplicas: 8
"""


def share(part: Part, whole: int, *, up: bool) -> int:
    """A number of pods, or the percentage of `whole`, rounded as Kubernetes does. Raises Unreadable."""
    if isinstance(part.value, str):
        if not re.fullmatch(r"\d{1,3}%", part.value):
            raise Unreadable(f"{part.label}: {part.dotted} is neither a number nor a percentage", *part.place)
        exact = int(part.value[:-1]) * whole
        return -(-exact // 100) if up else exact // 100
    return int(part.expect(int))


class BudgetPresent(Rule[Workload]):
    name = "k8s-pdb-present"
    summary = "Each Deployment and StatefulSet has a PodDisruptionBudget whose selector matches its pods."
    why = "Without one, draining nodes may evict every pod at once."
    fix = "add a PodDisruptionBudget with minAvailable below the fewest replicas and the pods' labels as selector"
    passing = _WEB + _BUDGET
    failing = _WEB

    def subjects(self, world: World) -> Iterable[Workload]:
        return (each for each in world.scaled() if world.replicas(each)[0] > 0)

    def judge(self, subject: Workload) -> Iterator[Finding]:
        budgets = [each for each in subject.world.of("PodDisruptionBudget") if each.namespace == subject.namespace]
        if not any(_covers(each, subject) for each in budgets):
            found = ", ".join(f"{each.label} at {each.where} does not match it" for each in budgets)
            message = f"no PodDisruptionBudget covers its pods, labelled {subject.labels} at "
            yield self.finding(subject.whole, message + subject.template.get("metadata").where + f"; {found or 'none'}")


class BudgetSelects(Rule[Part]):
    name = "k8s-pdb-selects"
    summary = "The selector of a PodDisruptionBudget is not empty, and matches the pods of a workload."
    why = "Without a selector a budget guards no pod; with an empty one it guards all of the namespace as one."
    fix = "make spec.selector.matchLabels equal to labels of the pod template"
    passing = _WEB + _BUDGET
    failing = _WEB + _BUDGET.replace("{app: web}", "{app: wbe}")

    def subjects(self, world: World) -> Iterable[Part]:
        return world.of("PodDisruptionBudget")

    def judge(self, subject: Part) -> Iterator[Finding]:
        selector = subject.get("spec", "selector")
        if selector.value is None:
            yield self.finding(selector, f"has no selector, so it guards nothing; {nearest(subject)}")
        elif _is_empty(selector):
            yield self.finding(selector, f"its empty selector guards all pods as one; {nearest(subject)}")
        elif not subject.world.matching(selector, subject.namespace):
            yield self.finding(selector, f"{selector.value} matches no pod; {nearest(subject)}")


class BudgetBlocks(Rule[tuple[Part, list[Workload]]]):
    name = "k8s-pdb-blocks"
    summary = "A PodDisruptionBudget lets at least one pod be evicted when the workload runs at its fewest replicas."
    why = "minAvailable equal to the autoscaler's minimum stops every drain of a node, at night when it matters."
    fix = "lower minAvailable below the fewest replicas, or raise minReplicas"
    passing = _WEB + _BUDGET + _SCALER
    failing = _WEB + _BUDGET.replace("minAvailable: 2", "minAvailable: 4") + _SCALER

    def subjects(self, world: World) -> Iterable[tuple[Part, list[Workload]]]:
        for budget in world.of("PodDisruptionBudget"):
            if guarded := [each for each in world.scaled() if _covers(budget, each)]:
                yield budget, guarded

    def judge(self, subject: tuple[Part, list[Workload]]) -> Iterator[Finding]:
        budget, guarded = subject
        known = [budget.world.replicas(each) for each in guarded]
        fewest, least = sum(count for count, _ in known), budget.get("spec", "minAvailable")
        who = ", ".join(f"{each.label} at {each.where} ({each.dotted})" for _, each in known)
        if least.value is not None and share(least, fewest, up=True) >= fewest > 0:
            yield self.finding(least, f"minAvailable {least.value} of {fewest} allows no eviction; see {who}")
        most = budget.get("spec", "maxUnavailable")
        if most.value is not None and share(most, fewest, up=True) <= 0 < fewest:
            message = f"maxUnavailable {most.value} of {fewest} allows no eviction; see {who}"
            yield self.finding(most, message, "raise maxUnavailable to at least 1")


class BudgetAlone(Rule[Workload]):
    name = "k8s-pdb-overlap"
    summary = "No pod is guarded by two PodDisruptionBudgets."
    why = "The eviction API refuses a pod with two budgets, so its node can't be drained."
    fix = "keep one of them, or make their selectors exclude each other"
    passing = _WEB + _BUDGET
    failing = _WEB + _BUDGET + _BUDGET.replace("name: web", "name: web-too")

    def subjects(self, world: World) -> Iterable[Workload]:
        budgets = list(world.of("PodDisruptionBudget"))
        return (each for each in world.workloads if any(_covers(budget, each) for budget in budgets))

    def judge(self, subject: Workload) -> Iterator[Finding]:
        first, *others = [each for each in subject.world.of("PodDisruptionBudget") if _covers(each, subject)]
        for other in others:
            message = f"it guards {subject.label} at {subject.where}, and so does {first.label} at {first.where}"
            yield self.finding(other.get("spec", "selector"), message)


class ScalerTarget(Rule[Part]):
    name = "k8s-hpa-target"
    summary = "What a HorizontalPodAutoscaler scales exists in its namespace."
    why = "An autoscaler of nothing is accepted, and the workload stays at its size under any load."
    fix = "correct scaleTargetRef, or list the object as external in the policy"
    passing = _WEB + _SCALER
    failing = _WEB + _SCALER.replace("Deployment, name: web", "Deployment, name: wbe")

    def subjects(self, world: World) -> Iterable[Part]:
        return world.of("HorizontalPodAutoscaler")

    def judge(self, subject: Part) -> Iterator[Finding]:
        world, target = subject.world, subject.get("spec", "scaleTargetRef")
        wanted = [target.get(key).text() for key in ("apiVersion", "kind", "name")]
        label = "/".join(wanted[1:])
        there = [each for each in world.objects if each.label == label]
        here = [part for each in there if (part := Part(world, each, (), each.value)).namespace == subject.namespace]
        if any(each.get("apiVersion").value == wanted[0] for each in here) or label in world.external:
            return
        found = ", ".join(f"{each.label} at {each.where}" for each in (workload.whole for workload in world.workloads))
        message = f"there is no {label} ({wanted[0]}) in {subject.namespace}; there is {found or 'no workload'}"
        yield self.finding(target.get("name"), message)


class StartupProbe(Rule[Part]):
    name = "k8s-startup-probe"
    summary = "Each container of a Deployment or StatefulSet has a startupProbe."
    why = "Without one, the liveness probe kills a slow start, such as the loading of a model, for ever."
    fix = "add a startupProbe whose periodSeconds x failureThreshold exceeds the slowest start"
    passing = _WEB
    failing = _WEB.replace("          startupProbe:\n            tcpSocket: {port: 8080}\n", "")

    def subjects(self, world: World) -> Iterable[Part]:
        return (each for workload in world.scaled() for each in workload.pod.get("containers").items())

    def judge(self, subject: Part) -> Iterator[Finding]:
        if not subject.get("startupProbe").value:
            others = [subject.get(each) for each in ("livenessProbe", "readinessProbe")]
            beside = ", ".join(f"{each.dotted} at {each.where}" for each in others if each.value)
            message = f"{subject.dotted} has no startupProbe; {beside or 'nor any other probe'}"
            yield self.finding(subject.get("startupProbe"), message)


class PreStop(Rule[Part]):
    name = "k8s-pre-stop"
    summary = "Each container with a port, in a Deployment or StatefulSet, has a preStop hook."
    why = "A pod still gets requests for a moment after it is told to stop; without a pause each rollout drops some."
    fix = "add lifecycle.preStop.sleep with some seconds"
    passing = _WEB
    failing = _WEB.replace("          lifecycle:\n            preStop:\n              sleep: {seconds: 5}\n", "")

    def subjects(self, world: World) -> Iterable[Part]:
        containers = (each for workload in world.scaled() for each in workload.pod.get("containers").items())
        return (each for each in containers if each.get("ports").value)

    def judge(self, subject: Part) -> Iterator[Finding]:
        hook = subject.get("lifecycle", "preStop")
        if not hook.value:
            yield self.finding(hook, f"{subject.dotted} has no preStop, but ports at {subject.get('ports').where}")


class GracePeriod(Rule[tuple[Part, Workload]]):
    name = "k8s-grace-period"
    summary = "A preStop sleep is shorter than terminationGracePeriodSeconds."
    why = "The sleep counts against the grace period: what is left is all that the server has to finish its work."
    fix = "raise terminationGracePeriodSeconds above the sleep and the longest request together"
    passing = _WEB
    failing = _WEB.replace("seconds: 5", "seconds: 30")

    def subjects(self, world: World) -> Iterable[tuple[Part, Workload]]:
        for workload in world.workloads:
            for container in workload.containers():
                sleep = container.get("lifecycle", "preStop", "sleep", "seconds")
                if sleep.value is not None:
                    yield sleep, workload

    def judge(self, subject: tuple[Part, Workload]) -> Iterator[Finding]:
        sleep, workload = subject
        grace = workload.pod.get("terminationGracePeriodSeconds")
        seconds = 30 if grace.value is None else grace.expect(int)
        if sleep.expect(int) >= seconds:
            message = f"sleeps {sleep.value} s of the {seconds} s that the pod has to stop, at {grace.where}"
            yield self.finding(sleep, message)


class Spread(Rule[Workload]):
    name = "k8s-spread"
    summary = "Each Deployment and StatefulSet spreads its own pods with a topologySpreadConstraint."
    why = "All pods in one zone go with it; a constraint whose selector matches other pods spreads nothing."
    fix = "add a topologySpreadConstraint over topology.kubernetes.io/zone with the pods' labels as labelSelector"
    passing = _WEB
    failing = _WEB.replace("            matchLabels: {app: web}\n", "            matchLabels: {app: wbe}\n")

    def subjects(self, world: World) -> Iterable[Workload]:
        return world.scaled()

    def judge(self, subject: Workload) -> Iterator[Finding]:
        constraints = subject.pod.get("topologySpreadConstraints")
        if not constraints.value:
            message = f"has no topologySpreadConstraints for its pods, labelled at {_labels(subject).where}"
            yield self.finding(constraints, message)
        for each in constraints.items():
            selector = each.get("labelSelector")
            if selector.value is None or not matches(selector, subject.labels):
                message = f"counts pods with {selector.value}, but its own are {subject.labels}, at "
                yield self.finding(selector, message + _labels(subject).where)


class MaxUnavailable(Rule[Workload]):
    name = "k8s-max-unavailable"
    summary = "A rollout of more than one replica never takes all of them away at once."
    why = "maxUnavailable of 100 %, or as high as the fewest replicas, stops the service during each rollout."
    fix = "set strategy.rollingUpdate.maxUnavailable to 0 with maxSurge 1, or below the fewest replicas"
    passing = _WEB
    failing = _WEB.replace("maxUnavailable: 1", "maxUnavailable: 100%")

    def subjects(self, world: World) -> Iterable[Workload]:
        return (each for each in world.scaled() if each.whole.document.kind == "Deployment")

    def judge(self, subject: Workload) -> Iterator[Finding]:
        fewest, said = subject.world.replicas(subject)
        strategy = subject.whole.get("spec", "strategy")
        most = strategy.get("rollingUpdate", "maxUnavailable")
        if strategy.get("type").value == "Recreate" and fewest > 1:
            yield self.finding(strategy.get("type"), f"Recreate stops all {fewest} replicas ({said.where}) at once")
        elif most.value == "100%" or (
            most.value is not None and fewest > 1 and share(most, fewest, up=False) >= fewest
        ):
            message = f"maxUnavailable {most.value} takes all {fewest} replicas ({said.where}) at once"
            yield self.finding(most, message)


class RevisionHistory(Rule[Workload]):
    name = "k8s-revision-history"
    summary = "A Deployment or StatefulSet keeps former revisions."
    why = "With revisionHistoryLimit 0 there is nothing that `kubectl rollout undo` could return to."
    fix = "set revisionHistoryLimit to at least 2, or leave it out (10)"
    passing = _WEB
    failing = _WEB.replace("revisionHistoryLimit: 5", "revisionHistoryLimit: 0")

    def subjects(self, world: World) -> Iterable[Workload]:
        return world.scaled()

    def judge(self, subject: Workload) -> Iterator[Finding]:
        limit = subject.whole.get("spec", "revisionHistoryLimit")
        if limit.value is not None and limit.expect(int) == 0:
            yield self.finding(
                limit, f"keeps no former revision of the pods at {subject.template.get('metadata').where}"
            )


def _labels(workload: Workload) -> Part:
    return workload.template.get("metadata", "labels")


def _is_empty(selector: Part) -> bool:
    return not selector.get("matchLabels").value and not selector.get("matchExpressions").value


def _covers(budget: Part, workload: Workload) -> bool:
    selector = budget.get("spec", "selector")
    there = budget.namespace == workload.namespace
    return there and selector.value is not None and matches(selector, workload.labels)
