"""Manifests are read in one way only, and are those of the release, or nothing is applied."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from ml_pipeline import __main__ as cli
from ml_pipeline.ledger.entries import Release, sha256
from ml_pipeline.render import render
from ml_pipeline.targets import Unfit, Unit
from ml_pipeline.targets.kubernetes import RECORD, Kubernetes, unfinished
from ml_pipeline.targets.manifests import Manifests, read
from ml_pipeline.targets.published import publish
from pytest_pixgates.core import tools
from pytest_pixgates.core.policy import load

ROOT = Path(__file__).parents[2]
OVERLAYS = ROOT / "iac" / "k8s" / "overlays"
CONTENT = {"model.onnx": b"weights", "model.json": b"{}"}
MODEL, SCORING, WORKER = sha256(CONTENT["model.onnx"]), "a" * 64, "b" * 64
RELEASE = Release(
    name="pix-fraud", version="1", files={name: sha256(data) for name, data in CONTENT.items()},
    evaluation=sha256(b"evaluation"), commit="c" * 40, subjects={"image": SCORING, "image-worker": WORKER},
)  # fmt: skip
TEXT = f"""\
apiVersion: v1
kind: Namespace
metadata:
  name: pix
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: runtime
  namespace: pix
data:
  MODEL_URI: s3://models/fraud/{MODEL}/model
  MODEL_SHA256: {MODEL}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: scoring
  namespace: pix
spec:
  replicas: 2
  template:
    spec:
      initContainers:
        - name: warm
          image: pix/worker@sha256:{WORKER}
      containers:
        - name: scoring
          image: pix/scoring@sha256:{SCORING}
          envFrom:
            - configMapRef:
                name: runtime
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: scoring
  namespace: pix
spec:
  minReplicas: 3
  scaleTargetRef:
    kind: Deployment
    name: scoring
"""


def kubectl() -> str:
    return str(tools.find(tools.KUBECTL).path)


def checked(text: str, release: Release = RELEASE) -> Manifests:
    made = read(text.encode())
    made.check(release, "pix")
    return made


def test_manifests_of_the_release_pass_and_the_autoscaler_says_how_many_there_must_be() -> None:
    made = checked(TEXT)
    assert made.least("Deployment/scoring") == 3
    assert json.loads(made.as_json())["items"] == list(made.objects)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (f"pix/scoring@sha256:{SCORING}", "pix/scoring:1.2", "pix/scoring:1.2 is not named by its digest"),
        (f"pix/scoring@sha256:{SCORING}", f"pix/scoring@sha256:{'e' * 64}", "is none that was promoted"),
        (f"pix/worker@sha256:{WORKER}", f"pix/worker@sha256:{SCORING}", "no container has the image-worker"),
        ("          image: pix/worker", "          imagine: pix/worker", "the image None is not named by its digest"),
        (f"MODEL_SHA256: {MODEL}", f"MODEL_SHA256: {'d' * 64}", "MODEL_SHA256 is dddddddddddd"),
        (f"  MODEL_SHA256: {MODEL}\n", "", r"MODEL_SHA256 is \(none\)"),
        (f"/{MODEL}/model", "/latest", "where another release would lie too"),
        ("                name: runtime", "                name: other", "no container is told its model"),
        ("  name: pix\n", "  name: pax\n", "they make the namespace pax, and not pix"),
        ("  name: runtime\n  namespace: pix", "  name: runtime\n  namespace: kube", "is for the namespace kube, and"),
        ("  name: runtime\n  namespace: pix", "  name: runtime", r"is for the namespace \(none\)"),
        ("kind: Deployment\nmetadata", "kind: DaemonSet\nmetadata", "only a Deployment or StatefulSet can be awaited"),
        ("kind: ConfigMap\n", "kind: StorageClass\n", r"is for the namespace pix, and not for \(none\)"),
        ("kind: Deployment\nmetadata", "kind: Role\nmetadata", "they have no Deployment or StatefulSet"),
        ("  replicas: 2\n", "  replicas: 0\n", "Deployment/scoring may have 0 replicas, so nothing of it would run"),
        ("  minReplicas: 3\n", "  minReplicas: 0\n", "Deployment/scoring may have 0 replicas"),
        ("  replicas: 2\n", "  replicas: -1\n", "Deployment/scoring may have -1 replicas"),
        ("  replicas: 2\n", "  replicas: many\n", "how many replicas there must be can't be read"),
        ("  minReplicas: 3\n", "  minReplicas:\n", "how many replicas there must be can't be read"),
    ],
)  # fmt: skip
def test_what_is_of_another_release_or_for_another_place_is_refused(old: str, new: str, says: str) -> None:
    assert old in TEXT
    with pytest.raises(Unfit, match=says):
        checked(TEXT.replace(old, new, 1))


def test_a_workload_without_an_autoscaler_must_ask_for_a_pod_too() -> None:
    alone = TEXT.replace("    name: scoring\n", "    name: other\n").replace("kind: Deployment", "kind: StatefulSet", 1)
    assert checked(alone).least("StatefulSet/scoring") == 2
    assert checked(alone.replace("  replicas: 2\n", "")).least("StatefulSet/scoring") == 1
    with pytest.raises(Unfit, match="StatefulSet/scoring may have 0 replicas"):
        checked(alone.replace("  replicas: 2\n", "  replicas: 0\n"))


def test_a_variable_of_the_container_itself_counts_before_its_config_map() -> None:
    own = "          env:\n            - name: MODEL_SHA256\n              value: " + "d" * 64 + "\n"
    with pytest.raises(Unfit, match="MODEL_SHA256 is dddddddddddd"):
        checked(TEXT.replace("          envFrom:\n", f"{own}          envFrom:\n"))
    reference = (
        "          env:\n            - name: MODEL_SHA256\n              valueFrom:\n"
        "                configMapKeyRef: {name: runtime, key: MODEL_SHA256}\n"
    )
    assert checked(TEXT.replace("          envFrom:\n", f"{reference}          envFrom:\n"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no object"),
        ("# nothing\n---\n", "no object"),
        ("{", "can't be read"),
        (TEXT.replace("  replicas: 2\n", "  replicas: 2\n  replicas: 0\n"), "replicas is there twice"),
        (TEXT.replace("  replicas: 2\n", "  1: 2\n"), "the key 1 is there twice, or no string"),
        (TEXT.replace("  replicas: 2\n", "  on: 2\n"), "the key on is there twice, or no string"),
        (TEXT.replace("spec:\n  replicas", "spec: &x\n  again: *x\n  replicas"), "named by an alias"),
        (TEXT.replace("replicas: 2", "replicas: .nan"), "can't be read"),
        (TEXT.replace("replicas: 2", "replicas: 2026-01-01"), "can't be read"),
        (TEXT.replace("kind: ConfigMap", "kind: ConfigMapList\nitems: []"), "hold a ConfigMapList"),
        (TEXT.replace("  name: runtime\n", "  generateName: runtime\n"), "a ConfigMap without a name"),
        (TEXT.replace("kind: ConfigMap\n", ""), "no object of Kubernetes"),
        ("- 1\n", "no object of Kubernetes"),
        (f"{TEXT}---\n{TEXT}", "more than one ConfigMap/runtime, Deployment/scoring"),
        ("[" * 20_000, "can't be read"),
    ],
)
def test_what_could_be_read_in_two_ways_is_not_read(text: str, says: str) -> None:
    with pytest.raises(Unfit, match=says):
        read(text.encode())


def live(**changes: Any) -> dict[str, Any]:
    status = {"observedGeneration": 4, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3, **changes}
    spec = {"replicas": status.pop("wanted", 3)}
    return {"metadata": {"name": "scoring", "generation": 4}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (live(), ""),
        (live(wanted=5, replicas=5, updatedReplicas=5, availableReplicas=5), ""),
        (live(observedGeneration=3), "not looked at yet"),
        (live(wanted=1, replicas=1, updatedReplicas=1, availableReplicas=1), "1 of 3 pods"),
        (live(availableReplicas=2), "2 available"),
        (live(replicas=4), "1 of another"),
        (live(updatedReplicas=2), "2 of 3 pods"),
        ({**live(), "status": {}}, "not looked at yet"),
        (None, "is not there"),
    ],
)
def test_a_rollout_is_done_when_all_pods_are_new_available_and_enough(found: dict[str, Any] | None, says: str) -> None:
    why = unfinished(found, least=3)
    assert says in why
    assert bool(why) is bool(says)


@dataclass(frozen=True)
class Told(Kubernetes):
    """The target, with what it tells kubectl: `noted` is its record, `deleted` what it has removed."""

    noted: dict[str, str] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)

    def _ask(self, words: Sequence[str], said: str = "") -> subprocess.CompletedProcess[str]:
        out = ""
        objects = json.loads(said)["items"] if said else []
        if words[0] == "delete":
            self.deleted.extend(f"{each['kind']}/{each['metadata']['name']}" for each in objects)
        elif words[0] == "apply":
            self.noted.update(*(each["data"] for each in objects if each["metadata"]["name"] == RECORD))
        elif words[1] == "configmap" and self.noted:
            out = json.dumps({"data": self.noted})
        return subprocess.CompletedProcess(words, 0, out, "")


def test_an_object_in_another_version_of_its_api_is_the_same_and_one_of_another_group_is_not(tmp_path: Path) -> None:
    target = Told("dev", "pix", tmp_path, None, Path("kubectl"))

    def bring(text: str, generation: int) -> Unit:
        manifests = text.encode()
        subjects = {**RELEASE.subjects, "manifests": sha256(manifests)}
        unit = Unit(generation, msgspec.structs.replace(RELEASE, subjects=subjects), lambda _: manifests)
        target.switch(unit)
        return unit

    bring(TEXT.replace("autoscaling/v2", "autoscaling/v1"), 1)
    new = bring(TEXT, 2)
    assert [each["apiVersion"] for each in json.loads(target.noted["objects"])] == [
        "v1",
        "v1",
        "apps/v1",
        "autoscaling/v2",
    ]
    target.retire(new)
    assert target.deleted == []
    new = bring(TEXT.replace("autoscaling/v2", "scaling.example/v2"), 3)
    target.retire(new)
    assert target.deleted == ["HorizontalPodAutoscaler/scoring"], "the control"


def test_a_release_is_published_once_below_its_digest_and_never_over_another(tmp_path: Path) -> None:
    kept = {sha256(data): data for data in (*CONTENT.values(), b"evaluation")}
    unit, uri = Unit(1, RELEASE, kept.__getitem__), f"file://{tmp_path}/models/{MODEL}/model"
    for _ in range(2):
        publish(unit, uri)
    found = {path.relative_to(tmp_path / "models" / MODEL).as_posix() for path in tmp_path.rglob("*.*")}
    assert found == {"model/model.onnx", "model/model.json", "evaluation/evaluation.json"}
    (tmp_path / "models" / MODEL / "model" / "model.onnx").write_bytes(b"other")
    with pytest.raises(Unfit, match=r"model\.onnx is there with another content"):
        publish(unit, uri)
    with pytest.raises(Unfit, match="can't be put"):
        publish(unit, f"nowhere://models/{MODEL}/model")


IMAGES = (f"scoring=sha256:{SCORING}", f"stream-worker=registry.test/worker@sha256:{WORKER}")


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_each_overlay_is_rendered_with_the_digests_of_the_release(environment: str) -> None:
    made = read(render(OVERLAYS / environment, IMAGES, MODEL, kubectl()))
    made.check(RELEASE, f"pixgates-{environment}")
    assert {each.partition("@")[0] for each in made.images} == {
        f"pixgates-{environment}/scoring",
        "registry.test/worker",
    }
    assert len(made.models) == 1


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (IMAGES[:1], "the images are scoring, stream-worker"),
        ((*IMAGES, f"more=sha256:{WORKER}"), "the images are scoring, stream-worker"),
        (("scoring:1.2", IMAGES[1]), "is not NAME=sha256:HEX"),
    ],
)
def test_each_image_must_be_given_by_its_digest(images: tuple[str, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        render(OVERLAYS / "dev", images, MODEL, kubectl())


def test_render_writes_the_file_or_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.onnx").write_bytes(CONTENT["model.onnx"])
    said = [word for each in IMAGES for word in ("--image", each)]
    words = ["render", *said, "--kubectl", kubectl(), "--out", str(tmp_path / "out" / "dev.yaml"), "--overlay"]
    assert cli.main([*words, str(OVERLAYS / "dev"), "--model", str(tmp_path)]) == 0
    assert f"MODEL_SHA256: {MODEL}" in (tmp_path / "out" / "dev.yaml").read_text()
    assert cli.main([*words, str(tmp_path), "--model", MODEL]) == 2
    assert "kubectl kustomize" in capsys.readouterr().err
    assert cli.main([*words, str(OVERLAYS / "dev"), "--model", MODEL, "--kubectl", "/nowhere/kubectl"]) == 2
    assert "name it by --kubectl" in capsys.readouterr().err


def step_of_release(name: str, environment: str) -> list[str]:
    """The words of a step of release.yml as its shell gives them to the command, by the variables of a repository."""
    flow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())
    (job, step), = [
        (job, step) for job in flow["jobs"].values() for step in job.get("steps", ()) if step.get("name") == name
    ]  # fmt: skip
    known = {
        "inputs.environment": environment, "inputs.image": f"sha256:{SCORING}",
        "inputs.image-stream-worker": f"sha256:{WORKER}", "github.run_id": "1",
        "vars.IMAGE_REGISTRY": "registry.test/pixgates",
    }  # fmt: skip

    def filled(text: str) -> str:
        return re.sub(r"\$\{\{ (.*?) \}\}", lambda match: known.get(match[1], "unknown"), text)

    env = {name: filled(value) for name, value in {**job.get("env", {}), **step.get("env", {})}.items()}
    shell = ["bash", "-euc", f"printf '%s\\0' {filled(step['run'])}"]
    said = subprocess.run(shell, env={**os.environ, **env}, capture_output=True, text=True, check=True).stdout
    return said.split("\0")[:-1]


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_the_stream_worker_reads_every_variable_that_its_pod_is_given(
    environment: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rendered = read(render(OVERLAYS / environment, IMAGES, MODEL, kubectl()))
    (container,) = rendered.workloads["StatefulSet/stream-worker"]["spec"]["template"]["spec"]["containers"]
    given = rendered.environment(container)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        cli.main(["stream", "--help"])
    assert given.keys() <= set(re.findall(r"\$([A-Z][A-Z0-9_]+)", capsys.readouterr().out))
    told = vars(cli.parser().parse_args(["stream"]))
    assert {str(value) for value in told.values()} >= set(given.values())


def subjects_of(words: Sequence[str]) -> dict[str, str]:
    given = [value for option, value in pairwise(words) if option == "--subject"]
    return dict(each.split("=", 1) for each in given)


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_what_the_release_workflow_renders_is_what_it_signs_and_promotes(
    environment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    rendered = tmp_path / "manifests.yaml"
    words = step_of_release("Render what is going to be applied", environment)[3:]
    assert cli.main([*words, "--kubectl", kubectl(), "--model", MODEL, "--out", str(rendered)]) == 0
    signed = subjects_of(step_of_release("Sign what the gates of the infrastructure showed", environment))
    assert signed.keys() == set(load(ROOT / "gates/gates.toml").environments[environment].unjudged)
    for name in ("Promote what was just built", "Promote what works in the environment before"):
        promoted = subjects_of(step_of_release(name, environment))
        assert {**promoted, "manifests": ".pixgates/manifests.yaml"} == signed
        digests = {each: digest.removeprefix("sha256:") for each, digest in promoted.items()}
        release = msgspec.structs.replace(RELEASE, subjects=digests)
        read(rendered.read_bytes()).check(release, f"pixgates-{environment}")


def test_the_target_must_be_told_how_the_service_is_proved(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["deploy", "--env", "dev", "--target", "kubernetes", "--ledger", str(tmp_path / "ledger"), "--config",
             str(ROOT / "gates" / "gates.toml")]  # fmt: skip
    for more in ([], ["--no-pods", "--service-url", "http://127.0.0.1:1"]):
        assert cli.main([*words, *more]) == 2
        assert "needs --service-url" in capsys.readouterr().err


def test_a_cluster_that_does_not_answer_is_told_by_the_command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nowhere = {"name": "x", "cluster": {"server": "http://127.0.0.1:1"}}
    config = {"clusters": [nowhere], "contexts": [{"name": "x", "context": {"cluster": "x"}}], "current-context": "x"}
    (tmp_path / "config").write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **config}))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    words = ["deploy", "--env", "dev", "--target", "kubernetes", "--no-pods", "--kubectl", kubectl(), "--ledger"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, str(tmp_path / "ledger"), "--config", str(ROOT / "gates" / "gates.toml")])
    assert ended.value.code == 1
    assert "refused" in capsys.readouterr().err
