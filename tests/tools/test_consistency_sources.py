"""One defect at a time in a copy of this repository's iac/, and in a small one: each gives its rule, file and line."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates.core import decode, tools
from pytest_pixgates.core.scan import Scan
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.infra.consistency.policy import ConsistencyPolicy
from pytest_pixgates.infra.consistency.rules import SOURCES
from pytest_pixgates.infra.consistency.together import Together
from pytest_pixgates.infra.policy import Rule
from tests.tools.conftest import Project

New = Callable[[Mapping[str, str | bytes]], Project]
ROOT = Path(__file__).parents[2]
POLICY = tomllib.loads((ROOT / "gates" / "gates.toml").read_text())["infra"]["consistency"]
SETTINGS = decode.decode(ConsistencyPolicy, POLICY)

PROD, DEV = "iac/terraform/environments/prod", "iac/terraform/environments/dev"
MODULES = "iac/terraform/modules"
OVERLAY = "iac/k8s/overlays/dev"
BROKERS = "b-1.pixgates-{}.kafka"
BUCKET = "pixgates-dev-{}-"
CONTAINER = "        - name: scoring\n"
PROBE = "          readinessProbe:\n            periodSeconds: 60\n"
VPC = "= module.network.vpc_id"
SUBNETS = "subnet_ids               = module.network.intra_subnet_ids"
DOCKERFILE, WORKER = "iac/docker/scoring/Dockerfile", "iac/docker/stream-worker/Dockerfile"
BASE = "iac/k8s/base/kustomization.yaml"
VARIABLE = 'variable "project" {'
LOCK = ".terraform.lock.hcl"


@dataclass(frozen=True)
class Mutation:
    """`old` becomes `new` in `file` (once); then `target` gives `rule` at the line of `at`, naming `other`.

    `place` is the file of the finding, if it is another; `also` are further rules that the same defect rightly breaks.
    """

    rule: str
    target: str
    file: str
    old: str
    new: str
    at: str
    other: str
    also: frozenset[str] = field(default_factory=frozenset)
    place: str = ""


MUTATIONS = [
    Mutation("tf-variable-declared", PROD, f"{PROD}/terraform.tfvars", "keep_images ", "keep_image  ",
             "keep_image ", f"{PROD}/variables.tf:", frozenset({"tf-variable-given"})),
    Mutation("tf-variable-declared", PROD, f"{PROD}/main.tf", "= var.keep_images", "= var.keep_image",
             "= var.keep_image", f"{PROD}/variables.tf:", frozenset({"tf-variable-used"})),
    Mutation("tf-variable-used", PROD, f"{PROD}/variables.tf", VARIABLE,
             'variable "left_over" {\n  type    = string\n  default = "x"\n}\n\n' + VARIABLE, "left_over", PROD),
    Mutation("tf-variable-given", PROD, f"{PROD}/variables.tf", VARIABLE,
             'variable "left_over" {\n  type = string\n}\n\n' + VARIABLE, "left_over", f"{PROD}/terraform.tfvars:1",
             frozenset({"tf-variable-used"})),
    Mutation("tf-network", PROD, f"{MODULES}/network/subnets.tf", "= aws_vpc.this.id", '= "vpc-0a1b2c3d"',
             "vpc-0a1b2c3d", f"{MODULES}/network/main.tf:"),
    Mutation("tf-lock-hash", PROD, f"{PROD}/{LOCK}", '"h1:', '"zh:', 'provider "', ".tf:"),
    Mutation("tf-lock-same", "@environments", f"{DEV}/{LOCK}", "5.100.0", "5.99.0", 'provider "', f"{PROD}/{LOCK}:"),
    Mutation("tf-module-same", "@environments", f"{DEV}/main.tf", '"../../modules/registry"', '"../../modules/key"',
             'module "registry"', f"{PROD}/main.tf:"),
    Mutation("k8s-drift", "@environments", f"{OVERLAY}/size.yaml", CONTAINER, CONTAINER + PROBE,
             "periodSeconds: 60", "iac/k8s/base/scoring/deployment.yaml:"),
    Mutation("env-account", "@dev", f"{OVERLAY}/kustomization.yaml", "artifacts-111122223333", "artifacts-333344445555",
             "MODEL_URI", f"{DEV}/terraform.tfvars:", frozenset({"env-bucket"})),
    Mutation("env-account", "@dev", f"{DEV}/backend.hcl", "sa-east-1:111122223333:", "sa-east-1:333344445555:",
             "kms_key_id", f"{DEV}/terraform.tfvars:"),
    Mutation("env-region", "@dev", f"{DEV}/backend.hcl", 'region     = "sa-east-1"', 'region     = "us-east-1"',
             "region", f"{DEV}/variables.tf:"),
    Mutation("env-bucket", "@dev", f"{OVERLAY}/kustomization.yaml", BUCKET.format("artifacts"),
             BUCKET.format("artefacts"),
             "MODEL_URI", f"{MODULES}/storage/"),
    Mutation("env-bucket", "@dev", f"{DEV}/backend.hcl", "pixgates-dev-state-", "pixgates-dev-states-",
             "bucket", f"{MODULES}/storage/"),
    Mutation("env-name", "@dev", f"{OVERLAY}/kustomization.yaml", BROKERS.format("dev"), BROKERS.format("staging"),
             "KAFKA_BOOTSTRAP_SERVERS", f"{OVERLAY}/"),
    Mutation("tf-network", PROD, f"{PROD}/main.tf", f"vpc_id                     {VPC}",
             'vpc_id                     = "vpc-0a1b2c3d"', "vpc-0a1b2c3d", f"{MODULES}/network/main.tf:"),
    Mutation("tf-network", PROD, f"{PROD}/main.tf", SUBNETS, 'subnet_ids               = { a = "subnet-0a1b2c3d" }',
             "subnet-0a1b2c3d", f"{MODULES}/network/main.tf:"),
    Mutation("tf-brokers-admit", PROD, f"{PROD}/main.tf", "= module.cluster.node_security_group_id",
             "= module.network.endpoint_security_group_id", "referenced_security_group_id",
             f"{MODULES}/cluster/main.tf:", place=f"{MODULES}/streaming/security_groups.tf"),
    Mutation("topic-declared", "@topics", BASE, "=processed_transactions", "=processed_transaction",
             "=processed_transaction", "iac/topics.json:", frozenset({"topic-used"})),
    Mutation("topic-declared", "@topics", "iac/topics.json", '"transactions":', '"transaction":',
             "=transactions", "iac/topics.json:", frozenset({"topic-used"}), BASE),
    Mutation("topic-partitions", "@topics", "iac/k8s/overlays/prod/size.yaml", "maxReplicas: 24", "maxReplicas: 48",
             "maxReplicas: 48", "iac/topics.json:"),
    Mutation("image-port", "@images", DOCKERFILE, "EXPOSE 8080", "EXPOSE 8000", "EXPOSE",
             "iac/k8s/base/scoring/deployment.yaml:"),
    Mutation("image-user", "@images", DOCKERFILE, "USER 10001:10001", "USER 1000:1000", "USER",
             "iac/k8s/base/scoring/deployment.yaml:"),
    Mutation("image-port", "@images", WORKER, "EXPOSE 9090", "EXPOSE 9091", "EXPOSE",
             "iac/k8s/base/stream-worker/statefulset.yaml:"),
    Mutation("image-user", "@images", WORKER, "USER 10001:10001", "USER worker", "USER",
             "iac/k8s/base/stream-worker/statefulset.yaml:"),
    Mutation("env-bucket", "@dev", f"{OVERLAY}/kustomization.yaml", BUCKET.format("data"), BUCKET.format("date"),
             "ACCOUNTS_URI", f"{MODULES}/storage/"),
]  # fmt: skip


@pytest.fixture(scope="session")
def kubectl() -> tools.Tool:
    return tools.find(tools.KUBECTL)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "iac", tmp_path / "iac")
    return tmp_path.resolve()


def change(root: Path, file: str, old: str, new: str) -> None:
    text = (root / file).read_text()
    assert old in text, f"{file} has no {old!r}"
    (root / file).write_text(text.replace(old, new, 1))


def targets() -> list[str]:
    roots = [f"iac/terraform/environments/{name}" for name in ("dev", "staging", "prod")]
    return [*roots, *(each for each in SETTINGS.sets if each != "@workflows")]


@pytest.mark.parametrize("target", targets())
def test_our_own_sources_keep_every_rule(kubectl: tools.Tool, target: str) -> None:
    scan = Together(kubectl, ROOT, SETTINGS).scan(target)
    assert scan, scan.lines()
    assert scan.scanned["checks"] >= 2
    assert scan.tools[-1].name == "pixgates-consistency"
    assert scan.subjects


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: f"{each.rule} {each.file.rpartition('/')[2]}")
def test_one_defect_gives_its_rule_at_its_line_and_names_the_other_side(
    kubectl: tools.Tool, root: Path, mutation: Mutation
) -> None:
    change(root, mutation.file, mutation.old, mutation.new)
    scan = Together(kubectl, root, SETTINGS).scan(mutation.target)
    assert not scan.problems, scan.lines()
    assert {each.rule for each in scan.findings} == {mutation.rule, *mutation.also}, scan.lines()
    found = [each for each in scan.findings if each.rule == mutation.rule]
    place = mutation.place or mutation.file
    assert {each.path for each in found} == {place}, scan.lines()
    assert mutation.at in (root / place).read_text().splitlines()[found[0].line - 1]
    assert mutation.other in found[0].message


OVERLAYS = {
    f"k8s/{name}/{file}": text
    for name in ("dev", "prod")
    for file, text in {
        "kustomization.yaml": "resources: [all.yaml]\n",
        "all.yaml": """\
            apiVersion: apps/v1
            kind: Deployment
            metadata: {name: scoring}
            spec:
              template:
                spec:
                  securityContext: {runAsUser: 10001, runAsGroup: 10001}
                  containers:
                    - name: scoring
                      ports: [{containerPort: 8080}]
                      env:
                        - {name: INPUT_TOPIC, value: transactions}
            ---
            apiVersion: autoscaling/v2
            kind: HorizontalPodAutoscaler
            metadata: {name: scoring}
            spec:
              scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: scoring}
              maxReplicas: 4
            """,
    }.items()
}
SMALL: Mapping[str, str | bytes] = {
    **OVERLAYS,
    "topics.json": '{"topics": [\n  {"name": "transactions", "partitions": 4, "consumers": ["scoring"]},\n'
    '  {"name": "decisions"}\n]}\n',
    "app/stream.py": 'OUTPUT_TOPIC = "decisions"\n',
    "app/Dockerfile": "FROM python:3.12 AS build\nEXPOSE 1\nFROM python:3.12\nARG PORT=8080\nEXPOSE $PORT/tcp\n"
    "USER 10001:10001\n",
    ".github/workflows/gates.yml": """\
        on: [push]
        jobs:
          gates:
            runs-on: ubuntu-latest
            strategy:
              matrix:
                family: [infra, latency]
            steps:
              - run: |
                  make tools
                  python -m pytest -n 2 \\
                    -m "${{ matrix.family }} and not slow"
          apply:
            runs-on: ubuntu-latest
            concurrency: prod
            steps:
              - run: terraform apply prod.tfplan
        """,
    "pyproject.toml": '[tool.pytest.ini_options]\nmarkers = ["slow: takes long", "latency"]\n',
}
NAMED = ConsistencyPolicy(
    overlays=("k8s/*",),
    topics="topics.json",
    topic_sources=("app/*.py",),
    dockerfiles={"app/Dockerfile": "scoring"},
    workflows=(".github/workflows/*.yml",),
)


def scan_small(project: Project, target: str, settings: ConsistencyPolicy = NAMED) -> Scan:
    return Together(tools.find(tools.KUBECTL), project.root, settings, ("infra",)).scan(target)


@pytest.mark.parametrize("target", ["@topics", "@images", "@workflows"])
def test_sources_that_agree_pass(new_project: New, target: str) -> None:
    scan = scan_small(new_project(SMALL), target)
    assert scan, scan.lines()
    assert not scan.absent


@pytest.mark.parametrize(
    ("target", "file", "old", "new", "rule", "where", "other"),
    [
        ("@topics", "k8s/prod/all.yaml", "value: transactions", "value: transaction", "topic-declared",
         "k8s/prod/all.yaml:12", "topics.json:2"),
        ("@topics", "app/stream.py", "decisions", "decision", "topic-declared", "app/stream.py:1", "topics.json:3"),
        ("@topics", "topics.json", '{"name": "decisions"}', '{"name": "decisions"}, {"name": "audit"}', "topic-used",
         "topics.json:3", "k8s/dev/all.yaml:12"),
        ("@topics", "topics.json", '"partitions": 4', '"partitions": 3', "topic-partitions",
         "k8s/dev/all.yaml:19", "topics.json:2"),
        ("@images", "app/Dockerfile", "PORT=8080", "PORT=8000", "image-port", "app/Dockerfile:5",
         "k8s/dev/all.yaml:10"),
        ("@images", "app/Dockerfile", "EXPOSE $PORT/tcp\n", "", "image-port", "app/Dockerfile:3",
         "k8s/dev/all.yaml:10"),
        ("@images", "app/Dockerfile", "EXPOSE $PORT/tcp", "EXPOSE $PORT/tcp 9090", "image-port", "app/Dockerfile:5",
         "k8s/dev/all.yaml:9"),
        ("@images", "app/Dockerfile", "10001:10001", "app", "image-user", "app/Dockerfile:6", "k8s/dev/all.yaml:7"),
        ("@images", "app/Dockerfile", "USER 10001:10001\n", "", "image-user", "app/Dockerfile:3", "k8s/dev/all.yaml:7"),
        ("@images", "app/Dockerfile", "10001:10001", "10001:1", "image-user", "app/Dockerfile:6", "k8s/dev/all.yaml:7"),
        ("@workflows", ".github/workflows/gates.yml", "[infra, latency]", "[infra, latencies]", "workflow-marker",
         ".github/workflows/gates.yml:9", "pyproject.toml:2"),
        ("@workflows", "pyproject.toml", "slow:", "slw:", "workflow-marker", ".github/workflows/gates.yml:9",
         "did you mean slw?"),
        ("@workflows", ".github/workflows/gates.yml", "apply prod.tfplan", "apply prod.tfplan || true",
         "workflow-exit-code", ".github/workflows/gates.yml:17", ".github/workflows/gates.yml:17"),
        ("@workflows", ".github/workflows/gates.yml", "concurrency: prod",
         "concurrency: {group: prod, cancel-in-progress: true}", "workflow-cancel", ".github/workflows/gates.yml:13",
         ".github/workflows/gates.yml:17"),
    ],
)  # fmt: skip
def test_sources_that_do_not_agree_fail_at_one_side_and_name_the_other(
    new_project: New, target: str, file: str, old: str, new: str, rule: str, where: str, other: str
) -> None:
    project = new_project(SMALL)
    change(project.root, file, old, new)
    scan = scan_small(project, target)
    assert scan.outcome is Outcome.FAIL, scan.lines()
    assert {each.rule for each in scan.findings} - {"topic-used"} <= {rule}, scan.lines()
    found = next(each for each in scan.findings if each.rule == rule)
    assert (found.where, other in found.message) == (where, True), found


@pytest.mark.parametrize(
    ("target", "file", "text", "said"),
    [
        ("@topics", "topics.json", '{"a": {}, "a": {}}', "topics.json: is not valid JSON: two equal keys"),
        ("@topics", "topics.json", '["a", "a"]', "topics.json:1: the topic a stands twice"),
        ("@topics", "topics.json", "[]", "topics.json: declares no topic"),
        ("@topics", "app/stream.py", "print()\n", "app/stream.py: names no topic"),
        ("@images", "app/Dockerfile", "# later\n", "app/Dockerfile: has no FROM"),
        ("@images", "app/Dockerfile", "FROM a\nEXPOSE $PORT\n", "app/Dockerfile:2: $PORT has no value here"),
        ("@images", "app/Dockerfile", "FROM a\nUSER 10001\nEXPOSE http\n", "app/Dockerfile:3: EXPOSE http is no port"),
        ("@images", "k8s/dev/all.yaml", "a: [", "k8s/dev/all.yaml:2: is not valid YAML"),
        ("@workflows", ".github/workflows/gates.yml", "on: push\n", "is a workflow without jobs"),
        ("@workflows", ".github/workflows/gates.yml", "jobs: {a: {steps: [{run: pytest -m $X}]}}", "only when it runs"),
        ("@workflows", ".github/workflows/gates.yml", "jobs: {a: {steps: [{run: ls}]}}", "nothing was scanned"),
        ("@workflows", "pyproject.toml", "a = [", "pyproject.toml: can't be read"),
    ],
)
def test_what_it_can_not_judge_is_an_error(new_project: New, target: str, file: str, text: str, said: str) -> None:
    scan = scan_small(new_project({**SMALL, file: text}), target)
    assert scan.outcome is Outcome.ERROR, scan.lines()
    assert said in scan.verdict.reason


@pytest.mark.parametrize(
    ("target", "changes", "said"),
    [
        ("@topics", {"topic_sources": ("lib/*.py",)}, "lib/*.py: names no file"),
        ("@topics", {"overlays": ("kustomize/*",)}, "kustomize/*: names no folder"),
        ("@images", {"dockerfiles": {"app/Dockerfile": "score"}}, "a container score, which no overlay renders"),
        (
            "@environments",
            {"environments": {"dev": ("k8s/dev",), "prod": ("k8s/prod", "k8s/dev")}},
            "dev has 1 overlays",
        ),
        ("@dev", {"environments": {"dev": ("k8s/dev",)}}, "nothing was scanned"),
        ("app", {}, "app: declares nothing"),
    ],
)
def test_a_policy_that_names_nothing_is_an_error(
    new_project: New, target: str, changes: Mapping[str, Any], said: str
) -> None:
    scan = scan_small(new_project(SMALL), target, replace(NAMED, **changes))
    assert scan.outcome is Outcome.ERROR, scan.lines()
    assert said in scan.verdict.reason


@pytest.mark.parametrize(
    ("external", "target", "file", "old", "new"),
    [
        ("Topic/audit", "@topics", "topics.json", '{"name": "decisions"}', '{"name": "decisions"}, {"name": "audit"}'),
        ("Marker/latencies", "@workflows", ".github/workflows/gates.yml", "[infra, latency]", "[infra, latencies]"),
    ],
)
def test_what_is_made_elsewhere_is_not_missed(
    new_project: New, external: str, target: str, file: str, old: str, new: str
) -> None:
    project = new_project(SMALL)
    change(project.root, file, old, new)
    assert not scan_small(project, target)
    assert scan_small(project, target, replace(NAMED, external=(external,)))


def test_a_rule_with_nothing_to_look_at_says_so(new_project: New) -> None:
    project = new_project({"root/main.tf": 'locals {\n  a = 1\n}\nvariable "b" {}\noutput "c" {\n  value = var.b\n}\n'})
    scan = scan_small(project, "root")
    assert scan, scan.lines()
    assert scan.absent == ("tf-variable-given", "tf-network", "tf-brokers-admit", "tf-lock-hash")
    assert scan.tools[-1].argv[:3] == ("tf-variable-declared=1", "tf-variable-used=1", "tf-variable-given=0")
    assert "not present: tf-variable-given, tf-network" in scan.verdict.measured


def test_the_fixture_answers_for_a_set_and_asks_again_when_a_file_is_added(new_project: New) -> None:
    project = new_project(SMALL)
    assert project.infra(consistency=NAMED).consistency("@topics")
    project.write({"app/other.py": 'TOPIC = "unknown"\n'})
    scan = project.infra(consistency=NAMED).consistency("@topics")
    assert [each.where for each in scan.findings] == ["app/other.py:1"]
    assert project.infra(consistency=NAMED).consistency("@elsewhere").outcome is Outcome.ERROR


def test_a_rule_can_be_switched_off_for_a_path_with_its_reason(new_project: New) -> None:
    project = new_project({**SMALL, "topics.json": '["transactions", "decisions", "audit"]'})
    off = Rule("topic-used", "read by an auditor, outside of this repository", ("topics.json",))
    assert not project.infra(consistency=NAMED).consistency("@topics")
    scan = project.infra(consistency=NAMED, rules=(off,)).consistency("@topics")
    assert scan, scan.lines()
    assert [(each.rule, each.excuse) for each in scan.findings] == [("topic-used", off.reason)]


def test_every_rule_is_broken_by_a_defect_of_our_own_sources() -> None:
    mutated = {rule for each in MUTATIONS for rule in (each.rule, *each.also)}
    ours = {name for name in (rule.name for rule in SOURCES) if not name.startswith("workflow-")}
    assert ours <= mutated


def test_every_key_of_the_section_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "policy.md").read_text()
    for each in fields(ConsistencyPolicy):
        assert f"| `{each.name}` |" in text, each.name
