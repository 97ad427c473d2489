"""One defect at a time in a copy of this repository's own overlay: each gives its rule, at its file and line."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_pixgates.core import tools
from pytest_pixgates.core.scan import Scan
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.infra.consistency import docs
from pytest_pixgates.infra.consistency.rules import RULES
from pytest_pixgates.infra.consistency.scan import Consistency

ROOT = Path(__file__).parents[2]
EXTERNAL = ("Secret/scoring-state",)  # as our policy says
PROD = "iac/k8s/overlays/prod"
BASE = "iac/k8s/base"


@dataclass(frozen=True)
class Mutation:
    """`old` becomes `new` in `file` (once); then `rule` stands at the line of `at` in `path`, naming `other`.

    `also` are further rules that are rightly broken by the same defect.
    """

    name: str
    file: str
    old: str
    new: str
    rule: str
    path: str
    at: str
    other: str
    also: frozenset[str] = field(default_factory=frozenset)


SCORING, WORKER = f"{BASE}/scoring", f"{BASE}/stream-worker"
DEPLOYMENT = f"{SCORING}/deployment.yaml"
SIZE = f"{PROD}/size.yaml"
STARTUP = """\
          startupProbe:
            httpGet:
              path: /livez
              port: http
            periodSeconds: 2
            failureThreshold: 60
"""
PRE_STOP = """\
            preStop:
              sleep:
                seconds: 10
"""
LIFECYCLE = """\
          lifecycle:
            # The gateway needs a moment to stop sending before the server stops listening.
"""
SPREAD = """\
      topologySpreadConstraints:
        - topologyKey: topology.kubernetes.io/zone
          maxSkew: 1
          whenUnsatisfiable: DoNotSchedule
          nodeTaintsPolicy: Honor
          matchLabelKeys: [pod-template-hash]
          labelSelector:
            matchLabels:
              app.kubernetes.io/name: scoring
"""
SELECTOR = """\
  selector:
    matchLabels:
      app.kubernetes.io/name: scoring
"""
ENV = "          env:\n"
ENV_KEY = """\
          env:
            - name: KEY
              valueFrom:
                configMapKeyRef:
                  name: runtime
                  key: KAFKA_TOPIC
"""
SECRET_KEY = ENV_KEY.replace("configMapKeyRef", "secretKeyRef").replace("runtime", "scoring-kafka")
DENY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
---
"""
PEER = """\
              kubernetes.io/metadata.name: gateway
        - namespaceSelector"""
OWN_PEER = """\
              kubernetes.io/metadata.name: gateway
        - podSelector:
            matchLabels:
              app.kubernetes.io/name: gateway
        - namespaceSelector"""

MUTATIONS = [
    Mutation(
        "target-port-number", f"{SCORING}/service.yaml", "targetPort: http", "targetPort: 8000",
        "k8s-service-target-port", f"{SCORING}/service.yaml", "targetPort: 8000", f"{DEPLOYMENT}:52",
    ),
    Mutation(
        "target-port-name", f"{SCORING}/service.yaml", "targetPort: http", "targetPort: web",
        "k8s-service-target-port", f"{SCORING}/service.yaml", "targetPort: web", f"{DEPLOYMENT}:52",
    ),
    Mutation(
        "service-selector", f"{SCORING}/service.yaml", "  selector:\n    app.kubernetes.io/name: scoring",
        "  selector:\n    app.kubernetes.io/name: score",
        "k8s-service-selects", f"{SCORING}/service.yaml", "  selector:", DEPLOYMENT,
    ),
    Mutation(
        "probe-port", DEPLOYMENT, "path: /readyz\n              port: http", "path: /readyz\n              port: web",
        "k8s-probe-port", DEPLOYMENT, "port: web", DEPLOYMENT,
    ),
    Mutation(
        "config-map-missing", DEPLOYMENT, "                name: runtime", "                name: scoring-runtime",
        "k8s-config-map", DEPLOYMENT, "name: scoring-runtime", f"{PROD}/kustomization.yaml",
    ),
    Mutation(
        "config-key-missing", DEPLOYMENT, ENV, ENV_KEY,
        "k8s-config-map", DEPLOYMENT, "key: KAFKA_TOPIC", f"{PROD}/kustomization.yaml",
    ),
    Mutation(
        "secret-missing", DEPLOYMENT, ENV, SECRET_KEY,
        "k8s-secret", DEPLOYMENT, "name: scoring-kafka", "no Secret",
    ),
    Mutation(
        "service-account-missing", DEPLOYMENT, "serviceAccountName: scoring", "serviceAccountName: score",
        "k8s-service-account", DEPLOYMENT, "serviceAccountName: score", f"{SCORING}/service-account.yaml",
    ),
    Mutation(
        "service-account-not-listed", f"{SCORING}/kustomization.yaml", "  - service-account.yaml\n", "",
        "k8s-service-account", DEPLOYMENT, "serviceAccountName: scoring", f"{WORKER}/service-account.yaml",
    ),
    Mutation(
        "budget-blocks", SIZE, "minAvailable: 4", "minAvailable: 6",
        "k8s-pdb-blocks", SIZE, "minAvailable: 6", f"{SIZE}:6",
    ),
    Mutation(
        "budget-blocks-by-share", SIZE, "minAvailable: 4", 'minAvailable: "90%"',
        "k8s-pdb-blocks", SIZE, 'minAvailable: "90%"', f"{SIZE}:6",
    ),
    Mutation(
        "budget-without-selector", f"{SCORING}/pdb.yaml", SELECTOR, "",
        "k8s-pdb-selects", f"{SCORING}/pdb.yaml", "spec:", DEPLOYMENT, frozenset({"k8s-pdb-present"}),
    ),
    Mutation(
        "budget-of-others", f"{SCORING}/pdb.yaml", SELECTOR, SELECTOR.replace("scoring", "score"),
        "k8s-pdb-selects", f"{SCORING}/pdb.yaml", "selector:", DEPLOYMENT, frozenset({"k8s-pdb-present"}),
    ),
    Mutation(
        "scaler-target", f"{SCORING}/hpa.yaml", "kind: Deployment\n    name: scoring",
        "kind: Deployment\n    name: score",
        "k8s-hpa-target", f"{SCORING}/hpa.yaml", "name: score", f"{DEPLOYMENT}:1",
        frozenset({"k8s-pdb-blocks"}),
    ),
    Mutation(
        "policy-port", f"{WORKER}/network-policy.yaml", "port: metrics", "port: 9091",
        "k8s-policy-port", f"{WORKER}/network-policy.yaml", "port: 9091", f"{WORKER}/statefulset.yaml",
    ),
    Mutation(
        "policy-service-port", f"{SCORING}/network-policy.yaml", "port: http", "port: 80",
        "k8s-policy-port", f"{SCORING}/network-policy.yaml", "port: 80", DEPLOYMENT,
    ),
    Mutation(
        "policy-selector", f"{SCORING}/network-policy.yaml", "      app.kubernetes.io/name: scoring\n  policyTypes",
        "      app.kubernetes.io/name: score\n  policyTypes",
        "k8s-policy-selects", f"{SCORING}/network-policy.yaml", "podSelector:", DEPLOYMENT,
    ),
    Mutation(
        "policy-peer", f"{SCORING}/network-policy.yaml", PEER, OWN_PEER,
        "k8s-policy-peer", f"{SCORING}/network-policy.yaml", "- podSelector:", DEPLOYMENT,
    ),
    Mutation(
        "include-selectors", f"{BASE}/kustomization.yaml", "includeTemplates: true", "includeSelectors: true",
        "k8s-policy-peer-labels", f"{BASE}/kustomization.yaml", "includeSelectors: true",
        f"{BASE}/network-policies.yaml",
    ),
    Mutation(
        "default-deny", f"{BASE}/network-policies.yaml", DENY, "",
        "k8s-default-deny", f"{BASE}/namespace.yaml", "apiVersion: v1", DEPLOYMENT,
    ),
    Mutation(
        "startup-probe", DEPLOYMENT, STARTUP, "",
        "k8s-startup-probe", DEPLOYMENT, "- name: scoring", DEPLOYMENT,
    ),
    Mutation(
        "pre-stop", DEPLOYMENT, LIFECYCLE + PRE_STOP, "",
        "k8s-pre-stop", DEPLOYMENT, "- name: scoring", DEPLOYMENT,
    ),
    Mutation(
        "grace-period", DEPLOYMENT, "terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 10",
        "k8s-grace-period", DEPLOYMENT, "seconds: 10", f"{DEPLOYMENT}:29",
    ),
    Mutation("spread", DEPLOYMENT, SPREAD, "", "k8s-spread", DEPLOYMENT, "    spec:", DEPLOYMENT),
    Mutation(
        "max-unavailable", DEPLOYMENT, "maxUnavailable: 0", "maxUnavailable: 100%",
        "k8s-max-unavailable", DEPLOYMENT, "maxUnavailable: 100%", f"{SIZE}:6",
    ),
    Mutation(
        "revision-history", DEPLOYMENT, "revisionHistoryLimit: 5", "revisionHistoryLimit: 0",
        "k8s-revision-history", DEPLOYMENT, "revisionHistoryLimit: 0", DEPLOYMENT,
    ),
    Mutation(
        "image-digest", f"{PROD}/kustomization.yaml",
        "digest: sha256:af534f511d25ea5f60c0eb33ffded2d2e5b6ac381227bed868c8b734a4194441", "newTag: v1",
        "k8s-image-digest", DEPLOYMENT, "image: pixgates/scoring", f"{PROD}/kustomization.yaml",
    ),
]  # fmt: skip


@pytest.fixture(scope="session")
def kubectl() -> tools.Tool:
    return tools.find(tools.KUBECTL)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "iac" / "k8s", tmp_path / "iac" / "k8s")
    return tmp_path.resolve()


def replace(root: Path, file: str, old: str, new: str) -> None:
    text = (root / file).read_text()
    assert text.count(old) >= 1, f"{file} has no {old!r}"
    (root / file).write_text(text.replace(old, new, 1))


def errors(scan: Scan) -> str:
    assert scan.outcome is Outcome.ERROR, scan.lines()
    return "\n".join([*map(str, scan.problems), scan.verdict.reason])


@pytest.mark.parametrize("overlay", ["dev", "staging", "prod"])
def test_our_own_overlays_keep_every_rule(kubectl: tools.Tool, overlay: str) -> None:
    scan = Consistency(kubectl, ROOT, EXTERNAL).scan(ROOT / "iac" / "k8s" / "overlays" / overlay)
    assert scan, scan.lines()
    assert scan.scanned["checks"] > scan.scanned["objects"]
    assert [each.name for each in scan.tools] == ["kubectl", "pixgates-consistency"]
    assert [each.name for each in scan.subjects][-1] == f"iac/k8s/overlays/{overlay} (rendered)"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name)
def test_one_defect_gives_its_rule_at_its_line_and_names_the_other_side(
    kubectl: tools.Tool, root: Path, mutation: Mutation
) -> None:
    replace(root, mutation.file, mutation.old, mutation.new)
    scan = Consistency(kubectl, root, EXTERNAL).scan(root / PROD)
    assert not scan.problems
    found = [each for each in scan.findings if each.rule == mutation.rule]
    assert {each.rule for each in scan.findings} == {mutation.rule, *mutation.also}, scan.lines()
    assert [each.path for each in found] == [mutation.path], scan.lines()
    line = (root / mutation.path).read_text().splitlines()[found[0].line - 1]
    assert mutation.at.strip() in line
    assert mutation.other in found[0].message


def test_every_rule_that_our_overlay_can_break_is_broken_by_a_mutation() -> None:
    mutated = {each.rule for each in MUTATIONS} | {rule for each in MUTATIONS for rule in each.also}
    assert {rule.name for rule in RULES} - mutated == {"k8s-ingress-backend", "k8s-pdb-overlap"}


def test_a_config_map_in_another_namespace_is_not_there(kubectl: tools.Tool, root: Path) -> None:
    replace(root, f"{PROD}/kustomization.yaml", "resources:\n", "resources:\n  - settings.yaml\n")
    replace(root, f"{PROD}/kustomization.yaml", "namespace: pixgates-prod\n", "")
    replace(root, DEPLOYMENT, "                name: runtime", "                name: settings")
    settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: other}\ndata: {A: b}\n"
    (root / PROD / "settings.yaml").write_text(settings)
    found = Consistency(kubectl, root, EXTERNAL).scan(root / PROD).findings
    assert [(each.rule, each.path) for each in found] == [("k8s-config-map", DEPLOYMENT)]
    assert f"there is other/settings at {PROD}/settings.yaml:1" in found[0].message


def test_a_removed_budget_is_missed_where_the_workload_stands(kubectl: tools.Tool, root: Path) -> None:
    replace(root, f"{SCORING}/kustomization.yaml", "  - pdb.yaml\n", "")
    before, _, after = (root / SIZE).read_text().split("---\n", 2)
    (root / SIZE).write_text(f"{before}---\n{after}")
    found = Consistency(kubectl, root, EXTERNAL).scan(root / PROD).findings
    assert [(each.rule, each.where) for each in found] == [("k8s-pdb-present", f"{DEPLOYMENT}:1")]
    assert f"{WORKER}/pdb.yaml:1 does not match it" in found[0].message


def test_an_object_that_is_made_elsewhere_is_not_missed_by_that_name_only(kubectl: tools.Tool, root: Path) -> None:
    replace(root, DEPLOYMENT, ENV, SECRET_KEY)
    assert Consistency(kubectl, root, (*EXTERNAL, "Secret/scoring-kafka")).scan(root / PROD)
    assert not Consistency(kubectl, root, (*EXTERNAL, "ConfigMap/scoring-kafka")).scan(root / PROD)


def test_tags_pass_only_where_they_are_allowed(kubectl: tools.Tool, root: Path) -> None:
    digest = "digest: sha256:af534f511d25ea5f60c0eb33ffded2d2e5b6ac381227bed868c8b734a4194441"
    replace(root, f"{PROD}/kustomization.yaml", digest, "newTag: v1")
    assert Consistency(kubectl, root, EXTERNAL, tags=True).scan(root / PROD)
    assert not Consistency(kubectl, root, EXTERNAL).scan(root / PROD)


def test_the_line_of_a_container_is_its_own_after_a_patch_put_another_before_it(
    kubectl: tools.Tool, root: Path
) -> None:
    replace(
        root,
        SIZE,
        "        - name: scoring\n",
        "        - name: proxy\n          image: proxy\n        - name: scoring\n",
    )
    found = Consistency(kubectl, root, EXTERNAL, tags=True).scan(root / PROD).findings
    (own,) = [each for each in found if "containers[proxy]" in each.message]
    assert (root / SIZE).read_text().splitlines()[own.line - 1].strip() == "- name: proxy"
    assert (own.rule, own.path) == ("k8s-startup-probe", SIZE)


def test_an_overlay_that_no_rule_looks_at_is_an_error(kubectl: tools.Tool, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("resources: [one.yaml]\n")
    (tmp_path / "one.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: web}\n")
    scan = Consistency(kubectl, tmp_path).scan(tmp_path)
    assert scan.scanned == {"objects": 1, "checks": 0}
    assert "nothing was scanned" in errors(scan)


def test_a_field_of_another_shape_is_an_error_with_its_line(kubectl: tools.Tool, root: Path) -> None:
    replace(root, f"{SCORING}/pdb.yaml", SELECTOR, "  selector: scoring\n")
    said = errors(Consistency(kubectl, root, EXTERNAL).scan(root / PROD))
    assert f"{SCORING}/pdb.yaml:10: PodDisruptionBudget/scoring: spec.selector is not a mapping" in said


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (f"{SCORING}/kustomization.yaml", "- hpa.yaml", "- hap.yaml", "hap.yaml is not there"),
        (f"{SCORING}/pdb.yaml", "spec:", "spec: [", "is not valid YAML"),
        (SIZE, "name: scoring", "name: score", "kubectl kustomize ended with 1"),
    ],
)
def test_an_overlay_that_cannot_be_read_or_rendered_is_an_error(
    kubectl: tools.Tool, root: Path, file: str, old: str, new: str, said: str
) -> None:
    replace(root, file, old, new)
    assert said in errors(Consistency(kubectl, root, EXTERNAL).scan(root / PROD))


def test_the_page_of_the_rules_is_current() -> None:
    page = ROOT / "docs" / "consistency.md"
    assert page.read_text() == docs.text(), "run `python -m pytest_pixgates.infra.consistency.docs`"
