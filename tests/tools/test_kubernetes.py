"""kubectl and kubernetes-validate, as they are: what they accept unseen must end as an ERROR with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from pytest_pixgates.core import decode
from pytest_pixgates.core.scan import Scan
from pytest_pixgates.core.verdict import Outcome
from tests.tools.conftest import Project

New = Callable[[Mapping[str, str | bytes]], Project]

CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: web
data:
  a: "1"
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: web
          image: web:1
"""
BASE = {"k8s/base/kustomization.yaml": "resources: [web.yaml]\n", "k8s/base/web.yaml": DEPLOYMENT}
PROD = {"k8s/prod/kustomization.yaml": "resources: [../base]\nnamePrefix: prod-\n"}


def problems(scan: Scan) -> str:
    assert scan.outcome is Outcome.ERROR, scan.lines()
    return "\n".join(f"{problem} | {problem.fix}" for problem in scan.problems)


def test_a_good_overlay_passes(new_project: New) -> None:
    project = new_project({**BASE, **PROD})
    before = project.names()
    scan = project.infra(kubernetes_expect={"k8s/prod": ("Deployment/prod-web",)}).kubernetes("k8s/prod")
    assert scan, scan.lines()
    assert scan.scanned == {"files": 3, "objects": 1}
    assert [(each.name, each.kind) for each in scan.subjects] == [
        ("k8s/prod", "tree"),
        ("k8s/base", "tree"),
        ("k8s/prod (rendered)", "content"),
    ]
    assert [(tool.name, bool(tool.sha256)) for tool in scan.tools] == [("kubectl", True), ("kubernetes-validate", True)]
    assert scan.tools[0].argv == ("kubectl", "kustomize", "k8s/prod")
    assert project.names() == before


def test_a_misspelt_field_fails_where_it_was_written(new_project: New) -> None:
    base = {**BASE, "k8s/base/web.yaml": DEPLOYMENT + "          imagePullPolcy: Always\n"}
    scan = new_project({**base, **PROD}).infra().kubernetes("k8s/prod")
    assert scan.outcome is Outcome.FAIL
    (finding,) = scan.findings
    assert (finding.where, finding.resource) == ("k8s/base/web.yaml:15", "Deployment/prod-web")
    assert "imagePullPolcy" in finding.message
    assert "did you mean 'imagePullPolicy'" in finding.message
    assert "1.33, 1.34" in finding.message


def test_a_defect_of_a_patch_is_found_in_the_patch(new_project: New) -> None:
    overlay = {
        "k8s/prod/kustomization.yaml": "resources: [../base]\npatches:\n  - path: size.yaml\n",
        "k8s/prod/size.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: many\n",
    }
    scan = new_project({**BASE, **overlay}).infra().kubernetes("k8s/prod")
    assert [finding.where for finding in scan.findings] == ["k8s/prod/size.yaml:5"]
    assert "spec.replicas" in scan.findings[0].message


def test_an_expected_object_that_is_missing_fails(new_project: New) -> None:
    scan = new_project({**BASE, **PROD}).infra(kubernetes_expect={"k8s/prod": ("Service/web",)}).kubernetes("k8s/prod")
    assert scan.outcome is Outcome.FAIL
    assert scan.findings[0].where == "k8s/prod/kustomization.yaml"
    assert "does not render Service/web; it has no Service" in scan.findings[0].message


def one(text: str | bytes) -> Mapping[str, str | bytes]:
    return {"k8s/kustomization.yaml": "resources: [x.yaml]\n", "k8s/x.yaml": text}


def kustomization(text: str) -> Mapping[str, str | bytes]:
    return {"k8s/kustomization.yaml": text, "k8s/web.yaml": CONFIG}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        pytest.param({"k8s/web.yaml": CONFIG}, "k8s: holds no kustomization.yaml", id="no overlay"),
        pytest.param(one(""), "k8s/x.yaml: is empty or holds only comments", id="empty"),
        pytest.param(one("# later\n---\n"), "k8s/x.yaml: is empty or holds only comments", id="only comments"),
        pytest.param(one(CONFIG + '  a: "2"\n'), "k8s/x.yaml:7: the key 'a' stands twice, first in line 6", id="twice"),
        pytest.param(one("a: [\n"), "k8s/x.yaml:2: is not valid YAML", id="broken"),
        pytest.param(one(b"a: \xff\n"), "k8s/x.yaml:1: is not UTF-8", id="not UTF-8"),
        pytest.param(one("a: &a [*a]\n"), "an alias leads back into itself", id="endless alias"),
        pytest.param(one("[" * 5000), "nests deeper than 100 levels", id="deep"),
        pytest.param(one(b"#" * (2**21 + 1)), "at most 2,097,152 are read", id="huge"),
        pytest.param(
            one(CONFIG.replace("ConfigMap", "Widget")), "k8s/x.yaml:1: Widget/web: Kubernetes 1.33", id="kind"
        ),
        pytest.param(
            one(CONFIG.replace("v1", "example.com/v1")), "has no schema of ConfigMap in example.com/v1", id="group"
        ),
        pytest.param(kustomization("resources: []\n"), "k8s (rendered): renders no object", id="no object"),
        pytest.param(kustomization("# later\n"), "kustomization.yaml: is empty", id="empty kustomization"),
        pytest.param(
            kustomization("resources: [web.yaml]\nresources: []\n"),
            "'resources' stands twice",
            id="kustomization twice",
        ),
        pytest.param(kustomization("resources: [nope.yaml]\n"), "kustomization.yaml:1: nope.yaml is not", id="missing"),
        pytest.param(kustomization("resources: [../../x]\n"), "not in the repository", id="outside"),
        pytest.param(kustomization("resources: [https://x/y.yaml]\n"), "comes from the network", id="remote"),
        pytest.param(kustomization("resources: [web.yaml]\nresorces: []\n"), "kubectl kustomize ended with", id="typo"),
        pytest.param(
            kustomization(f"resources: [web.yaml]\npatches:\n  - patch: {json.dumps(CONFIG + 'kind: X')}\n"),
            "k8s/kustomization.yaml:3 (inline patch):7: the key 'kind' stands twice",
            id="twice in an inline patch",
        ),
        pytest.param(
            kustomization("resources: [web.yaml]\npatches: [{path: p.yaml}]\n") | {"k8s/p.yaml": "# later\n"},
            "k8s/p.yaml: is empty or holds only comments",
            id="empty patch",
        ),
    ],
)
def test_what_it_can_not_judge_is_an_error(new_project: New, files: Mapping[str, str | bytes], said: str) -> None:
    assert said in problems(new_project(files).infra().kubernetes("k8s"))


def test_the_items_of_a_list_are_judged(new_project: New) -> None:
    # kubernetes-validate accepts any items; kustomize unfolds them, so each is held against its own schema.
    text = "apiVersion: v1\nkind: List\nitems:\n" + "".join(
        f"  {'- ' if index == 0 else '  '}{line}\n" for index, line in enumerate((CONFIG + "dta: {}").splitlines())
    )
    scan = new_project(one(text)).infra().kubernetes("k8s")
    assert scan.outcome is Outcome.FAIL, scan.lines()
    assert "unknown field 'dta'; did you mean 'data'" in scan.findings[0].message


def test_a_link_out_of_the_repository_is_an_error(new_project: New) -> None:
    project = new_project(one(CONFIG))
    outside = project.root.parent / "outside.yaml"
    (project.root / "k8s/x.yaml").rename(outside)
    (project.root / "k8s/x.yaml").symlink_to(outside)
    assert "not in the repository" in problems(project.infra().kubernetes("k8s"))


@pytest.mark.parametrize("version", ["1.24", "1.99"])
def test_a_version_without_schemas_is_an_error(new_project: New, version: str) -> None:
    scan = new_project(one(CONFIG)).infra(kubernetes_versions=(version,)).kubernetes("k8s")
    assert f"no schemas of Kubernetes {version} here | in kubernetes_versions, name some of 1." in problems(scan)


def test_what_a_secret_holds_is_never_told(new_project: New) -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: web}\nstringData:\n  pin: 271828\ndata: hunter2\n"
    scan = new_project(one(secret)).infra().kubernetes("k8s")
    assert scan.outcome is Outcome.FAIL
    assert "does not fit the schema (its value is not shown)" in scan.findings[0].message
    assert not any(value in json.dumps(decode.encode(scan)) for value in ("271828", "hunter2"))


def test_a_hidden_kubectl_is_an_error_that_says_how_to_get_it(new_project: New) -> None:
    scan = new_project(one(CONFIG)).infra(tools={"kubectl": "nowhere"}).kubernetes("k8s")
    assert "pixgates tools install kubectl" in problems(scan)
