"""The service in a Kubernetes cluster: the manifests that the ledger keeps, applied as they are by one field manager.

What ran before is brought back by applying its own manifests, never by `rollout undo`, after which the next apply would
conflict. What a cluster can refuse it refuses in a dry run, before anything is changed. What runs is noted in its
ConfigMap `pixgates-release`. ConfigMaps and Secrets of older releases stay, for those still point to them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_pipeline.targets import Unfit, Unit, alone, kubectl
from ml_pipeline.targets.load import judge
from ml_pipeline.targets.manifests import CLUSTER_WIDE, WORKLOADS, Manifests, read
from ml_pipeline.targets.proof import prove

MANAGER = RECORD = "pixgates-release"
FOLDER = Path("ml_pipeline/deployments/kubernetes")
KEPT = CLUSTER_WIDE | {"ConfigMap", "Namespace", "PersistentVolumeClaim", "Secret"}
SECONDS = 60.0  # for one answer of kubectl
POLL = 0.5
PROOFS = 5  # in a row, for each may be answered by another pod
SETTLES = 30.0  # seconds that the way to new pods may take
NO_PODS = "NOT PROVED: nobody asked the service, for --no-pods says that no containers run"


@dataclass(frozen=True)
class Kubernetes:
    """The target in a namespace. `context` and $KUBECONFIG say where; `url` is the service as its clients reach it.

    Without a `url` nobody is asked whether the release works: for clusters whose pods run nothing.
    """

    environment: str
    namespace: str
    folder: Path
    url: str | None
    kubectl: Path
    context: str | None = None
    seconds: float = 300.0
    p95: str = "100ms"
    force: bool = False
    settles: float = SETTLES

    @classmethod
    def of(cls, environment: str, options: Any) -> Kubernetes:
        """As the command line has it. Raises ValueError."""
        if bool(options.service_url) == options.no_pods:
            raise ValueError("--target kubernetes needs --service-url, to ask the service whether it works; "
                             "or --no-pods, if the cluster runs no containers")  # fmt: skip
        return cls(
            environment, options.namespace or f"pixgates-{environment}", FOLDER / environment, options.service_url,
            kubectl(options.kubectl), options.context, options.rollout_seconds, options.p95,
            options.force_conflicts,
        )  # fmt: skip

    @contextmanager
    def held(self) -> Iterator[None]:
        with alone(self.folder):
            self._record()  # a cluster that does not answer, or another one, is no failure of the release
            yield

    def caveat(self) -> str:
        return "" if self.url else NO_PODS

    def running(self) -> int | None:
        said = self._record()
        return int(said["generation"]) if said.get("whole") == "yes" else None

    def changes(self, unit: Unit) -> list[str]:
        try:
            made = self._manifests(unit)
            if not self._has_namespace():
                return [f"{self.namespace} is new, with {len(made.objects)} objects"]
            words = ["diff", "--server-side", f"--field-manager={MANAGER}", "--force-conflicts", "-f", "-"]
            done = self._ask(words, made.as_json())
        except Unfit as error:
            return [f"what would change can't be told: {error}"]
        if done.returncode > 1:
            return [f"what would change can't be told: {_first(done.stderr)}"]
        return list(_changed(done.stdout))

    def prepare(self, unit: Unit) -> None:
        """Hold the manifests against the release, and put the model where they say that it is."""
        from ml_pipeline.targets.published import publish

        for uri, _ in self._manifests(unit).models:
            publish(unit, uri)

    def start(self, unit: Unit) -> None:
        """Have the cluster say in a dry run what it would refuse. Only a missing namespace is made."""
        made = self._manifests(unit)
        if not self._has_namespace():
            spaces = [each for each in made.objects if each["kind"] == "Namespace"]
            self._apply(Manifests(tuple(spaces)))
        self._apply(made, "--dry-run=server", *([] if unit.again else ["--warnings-as-errors"]), force=unit.again)

    def switch(self, unit: Unit) -> None:
        """Apply the manifests. Pods of the last release stay until as many of this one are available."""
        made, objects = self._manifests(unit), self._objects()
        both = [*_identities(made), *_without(objects, _identities(made))]
        self._note(unit, both, whole=False)
        self._apply(made, force=unit.again)
        self._note(unit, both, whole=True)

    def confirm(self, unit: Unit) -> None:
        """Wait until all pods are of this release, and as many as there must be; then ask the service."""
        self._await(self._manifests(unit))
        if self.url is None:
            print(f"{self.environment}: {NO_PODS}", file=sys.stderr, flush=True)
        else:
            _until_proved(unit, self.url, self.settles)
            if not unit.again:
                judge(unit, self.url, self.p95)

    def retire(self, unit: Unit | None) -> None:
        """Remove what earlier releases had and this one has not."""
        made = _identities(self._manifests(unit)) if unit else []
        left = [each for each in _without(self._objects(), made) if each["kind"] not in KEPT]
        if left:
            words = ["delete", "--ignore-not-found", "--wait=false", "-f", "-"]
            self._must(words, _listed([_object(each) for each in left]))
        if unit:
            self._note(unit, made, whole=True)
        elif self._has_namespace():
            self._must(["delete", "configmap", RECORD, "--ignore-not-found", f"--namespace={self.namespace}"])

    def _manifests(self, unit: Unit) -> Manifests:
        if "manifests" not in unit.release.subjects:
            raise Unfit("the release has no manifests: promote it with --manifests")
        made = read(unit.kept(unit.release.subjects["manifests"]))
        made.check(unit.release, self.namespace)
        return made

    def _has_namespace(self) -> bool:
        return bool(self._must(["get", "namespace", self.namespace, "--ignore-not-found", "-o", "name"]).strip())

    def _record(self) -> dict[str, str]:
        words = ["get", "configmap", RECORD, f"--namespace={self.namespace}", "--ignore-not-found", "-o", "json"]
        said = self._must(words)
        if not said.strip():
            return {}
        data: dict[str, str] = json.loads(said).get("data") or {}
        if data.get("environment") != self.environment:
            raise Unfit(f"the namespace {self.namespace} is that of {data.get('environment')}, by its {RECORD}")
        return data

    def _objects(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(self._record().get("objects", "[]"))
        return found

    def _note(self, unit: Unit, objects: Sequence[Mapping[str, str]], *, whole: bool) -> None:
        data = {
            "environment": self.environment, "generation": str(unit.generation), "whole": "yes" if whole else "no",
            "manifests": unit.release.subjects["manifests"], "model": unit.release.model,
            "objects": json.dumps(objects),
        }  # fmt: skip
        note = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": RECORD, "namespace": self.namespace}}
        self._apply(Manifests(({**note, "data": data},)), force=True)

    def _apply(self, made: Manifests, *options: str, force: bool = False) -> None:
        words = ["apply", "--server-side", f"--field-manager={MANAGER}", "--validate=strict", *options, "-f", "-"]
        if force or self.force:
            words.append("--force-conflicts")
        done = self._ask(words, made.as_json())
        if done.returncode:
            conflict = "conflict" in done.stderr and not (force or self.force)
            remedy = "; if nobody else needs those fields, take them with --force-conflicts" if conflict else ""
            raise Unfit(f"the cluster refuses it: {_first(done.stderr)}{remedy}")
        for line in done.stderr.splitlines():
            print(f"  {line}", file=sys.stderr, flush=True)

    def _await(self, made: Manifests) -> None:
        until, told = time.monotonic() + self.seconds, ""
        while True:
            said = self._must(["get", ",".join(WORKLOADS), f"--namespace={self.namespace}", "-o", "json"])
            live = {f"{each['kind']}/{each['metadata']['name']}": each for each in json.loads(said)["items"]}
            lacks = "; ".join(why for each in made.workloads if (why := unfinished(live.get(each), made.least(each))))
            if not lacks:
                return
            if time.monotonic() > until:
                raise Unfit("; ".join([lacks, *self._hindrances()]))
            if lacks != told:
                print(f"  {lacks}", flush=True)
            told = lacks
            time.sleep(POLL)

    def _hindrances(self) -> list[str]:
        """What the pods that don't run say of it, each once."""
        said = json.loads(self._must(["get", "pods", f"--namespace={self.namespace}", "-o", "json"]))
        return sorted({why for each in said["items"] for why in _hindrance(each.get("status", {}))})

    def _must(self, words: Sequence[str], said: str = "") -> str:
        done = self._ask(words, said)
        if done.returncode:
            raise Unfit(f"kubectl {words[0]}: {_first(done.stderr)}")
        return done.stdout

    def _ask(self, words: Sequence[str], said: str = "") -> subprocess.CompletedProcess[str]:
        command = [str(self.kubectl), *([f"--context={self.context}"] if self.context else []),
                   f"--request-timeout={SECONDS:g}s", *words]  # fmt: skip
        try:
            return subprocess.run(command, input=said, capture_output=True, text=True, timeout=2 * SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise Unfit(f"kubectl {words[0]} gave no answer within {2 * SECONDS:g} s") from None


def unfinished(live: Mapping[str, Any] | None, least: int) -> str:
    """What a workload still lacks; "" if all its pods are of the release, available, and as many as there must be."""
    if live is None:
        return "a workload is not there"
    name, status, wanted = live["metadata"]["name"], live.get("status", {}), live["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < live["metadata"]["generation"]:
        return f"{name}: not looked at yet"
    all_of_them, new, ready = (int(status.get(key, 0)) for key in ("replicas", "updatedReplicas", "availableReplicas"))
    goal = max(wanted, least)
    if new < goal or ready < goal or all_of_them > new:
        return f"{name}: {new} of {goal} pods are of this release, {all_of_them - new} of another, {ready} available"
    return ""


def _until_proved(unit: Unit, url: str, seconds: float) -> None:
    """Ask until it proves itself often enough in a row: old pods may still answer for a moment. Raises Unfit."""
    until, proofs = time.monotonic() + seconds, 0
    while proofs < PROOFS:
        try:
            prove(unit, url)
            proofs += 1
        except Unfit:
            if time.monotonic() > until:
                raise
            proofs = 0
            time.sleep(POLL)


def _hindrance(status: Mapping[str, Any]) -> Iterator[str]:
    for each in status.get("conditions", ()):
        if each["type"] == "PodScheduled" and each["status"] == "False":
            yield f"not scheduled: {each.get('message', each.get('reason', ''))}"
    for each in status.get("containerStatuses", ()):
        waiting = each.get("state", {}).get("waiting")
        if waiting:
            yield f"{each['name']} waits: {waiting.get('reason', '')} {waiting.get('message', '')}".strip()


def _changed(diff: str) -> Iterator[str]:
    """The lines of a diff that differ, below the object that they are of."""
    for line in diff.splitlines():
        if line.startswith("+++ "):
            yield line.partition("\t")[0].rpartition("/")[2]
        elif line.startswith(("+", "-")) and not line.startswith("---"):
            yield f"  {line}"


def _identities(made: Manifests) -> list[dict[str, str]]:
    return [
        {"apiVersion": each["apiVersion"], "kind": each["kind"], **{
            name: each["metadata"][name] for name in ("name", "namespace") if name in each["metadata"]}}
        for each in made.objects
    ]  # fmt: skip


def _without(objects: Sequence[Mapping[str, str]], made: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Those that are none of `made`: in another version of its API an object is still the same one."""
    kept = set(map(_same, made))
    return [each for each in objects if _same(each) not in kept]


def _same(identity: Mapping[str, str]) -> tuple[str, ...]:
    """What an object is known by in a cluster: its group, without the version, its kind, namespace and name."""
    group, slash, _ = identity["apiVersion"].partition("/")
    return group if slash else "", identity["kind"], identity.get("namespace", ""), identity["name"]


def _object(identity: Mapping[str, str]) -> dict[str, Any]:
    metadata = {name: identity[name] for name in ("name", "namespace") if name in identity}
    return {"apiVersion": identity["apiVersion"], "kind": identity["kind"], "metadata": metadata}


def _listed(objects: Sequence[Mapping[str, Any]]) -> str:
    return Manifests(tuple(objects)).as_json()


def _first(said: str) -> str:
    """The reason, without what kubectl advises."""
    return " ".join(said.partition("Please review the fields above")[0].split())[:600]
