"""checkov, as it is: what it ends well on without looking must end as an ERROR with its reason.

A call takes three seconds, so the passing and failing controls are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from pytest_pixgates.core.scan import Scan, State
from pytest_pixgates.core.tools import tool_directory
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.infra.policy import Rule
from tests.tools.conftest import Project
from tests.tools.test_kubernetes import DEPLOYMENT

New = Callable[[Mapping[str, str | bytes]], Project]

IMAGE = """\
FROM python:3.12-slim
HEALTHCHECK CMD ["true"]
USER 1000
"""
BUCKET = """\
resource "aws_s3_bucket" "this" {
  # checkov:skip=CKV_AWS_18:no logs
  bucket = "x"
}
"""
PLAIN = BUCKET.replace("  # checkov:skip=CKV_AWS_18:no logs\n", "")
WORKFLOW = """\
name: ci
on: [push]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - run: echo ${{ github.event.issue.title }}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    checkov.io/skip1: CKV_K8S_20=later
spec:
  containers:
    - name: web
      image: web
"""
PLAIN_POD = POD.replace("  annotations:\n    checkov.io/skip1: CKV_K8S_20=later\n", "")


def problems(scan: Scan) -> str:
    assert scan.outcome is Outcome.ERROR, scan.lines()
    return "\n".join(f"{problem} | {problem.fix}" for problem in scan.problems)


@pytest.fixture(scope="module")
def mixed(new_project: New) -> Project:
    """A folder with a defect and a skip comment in each language, and an image that is good."""
    return new_project(
        {
            "app/main.tf": BUCKET,
            "app/pod.yaml": POD,
            "app/Dockerfile": "FROM python:latest\n# checkov:skip=CKV_DOCKER_3:root\n",
            "app/.github/workflows/ci.yml": WORKFLOW + "      # checkov:skip=CKV2_GHA_1:later\n",
            "good/Dockerfile": IMAGE,
        }
    )


@pytest.fixture(scope="module")
def defects(mixed: Project) -> Scan:
    return mixed.infra().checkov("app")


def test_a_good_image_passes(mixed: Project) -> None:
    scan = mixed.infra().checkov("good/Dockerfile")
    assert scan, scan.lines()
    assert scan.scanned["files"] == 1
    assert scan.scanned["resources"] == 3
    assert scan.scanned["checks"] >= 5
    assert [(each.name, each.kind) for each in scan.subjects] == [("good/Dockerfile", "file")]
    assert str(mixed.root) not in repr(scan)
    assert scan.tools[0].argv[:5] == ("checkov", "-f", "good/Dockerfile", "--framework", "dockerfile")


@pytest.mark.parametrize(
    ("rule", "where", "resource"),
    [
        ("CKV2_AWS_6", "app/main.tf:1", "aws_s3_bucket.this"),
        ("CKV_K8S_14", "app/pod.yaml:1", "Pod.default.web"),
        ("CKV_DOCKER_7", "app/Dockerfile:1", "/Dockerfile.FROM"),
        ("CKV_GHA_2", "app/.github/workflows/ci.yml:7", "jobs(test).steps[1]"),
    ],
)
def test_a_defect_of_each_language_fails_at_its_line(defects: Scan, rule: str, where: str, resource: str) -> None:
    assert defects.outcome is Outcome.FAIL
    found = {(each.rule, each.path, each.resource): each for each in defects.findings}
    finding = found[rule, where.partition(":")[0], resource]
    assert finding.where == where
    assert finding.help_uri.startswith("https://")
    assert finding.fix


@pytest.mark.parametrize(
    ("path", "line", "rule"),
    [
        ("app/main.tf", 2, "CKV_AWS_18"),
        ("app/pod.yaml", 6, "CKV_K8S_20"),
        ("app/Dockerfile", 2, "CKV_DOCKER_3"),
        ("app/.github/workflows/ci.yml", 8, "CKV2_GHA_1"),
    ],
)
def test_an_inline_skip_is_a_finding_once(defects: Scan, path: str, line: int, rule: str) -> None:
    skips = [each for each in defects.findings if each.rule == "inline-skip" and each.path == path]
    assert [(each.line, each.resource) for each in skips] == [(line, rule)]


def test_findings_are_sorted_and_shared(mixed: Project, defects: Scan) -> None:
    order = [(each.path, each.line, each.rule) for each in defects.findings]
    assert order == sorted(order)
    rules = tuple(Rule(each, "not here") for each in {each.rule for each in defects.findings} - {"inline-skip"})
    off = mixed.infra(rules=rules).checkov("app")  # answered by the same run of checkov
    assert {each.rule for each in off.blocking} == {"inline-skip"}
    assert {each.excuse for each in off.findings if each.state is State.OFF} == {"not here"}
    assert len(off.findings) == len(defects.findings)


def test_settings_of_the_machine_do_not_count(new_project: New, monkeypatch: pytest.MonkeyPatch) -> None:
    project = new_project({"Dockerfile": "FROM python:latest\n", "home/.checkov.yaml": "soft-fail: true\n"})
    project.write({"home/.checkov.yaml": "soft-fail: true\nskip-check: [CKV_DOCKER_7, CKV_DOCKER_2, CKV_DOCKER_3]\n"})
    monkeypatch.setenv("PIXGATES_TOOL_DIR", str(tool_directory()))
    monkeypatch.setenv("HOME", str(project.root / "home"))
    monkeypatch.setenv("CKV_SKIP_CHECK", "CKV_DOCKER_7")
    monkeypatch.chdir(project.root / "home")
    assert "CKV_DOCKER_7" in {each.rule for each in project.infra().checkov("Dockerfile").findings}


def test_resources_that_no_check_applies_to_are_an_error(new_project: New) -> None:
    project = new_project({"iac/main.tf": 'resource "terraform_data" "this" {\n  input = 1\n}\n'})
    assert "evaluated no terraform check, though there are 1 file(s)" in problems(project.infra().checkov("iac"))


def test_what_an_overlay_renders_is_judged_and_found_in_its_sources(new_project: New) -> None:
    project = new_project(
        {
            "k8s/base/kustomization.yaml": "resources: [web.yaml]\n",
            "k8s/base/web.yaml": DEPLOYMENT,
            "k8s/prod/kustomization.yaml": "resources: [../base]\nnamePrefix: prod-\n"
            "commonAnnotations:\n  checkov.io/skip1: CKV_K8S_43=later\n",
        }
    )
    scan = project.infra().checkov("k8s/prod")
    assert scan.outcome is Outcome.FAIL
    finding = next(each for each in scan.findings if each.rule == "CKV_K8S_37")
    assert (finding.where, finding.resource) == ("k8s/base/web.yaml:1", "Deployment.default.prod-web")
    skips = {each.where for each in scan.findings if each.rule == "inline-skip"}
    assert "k8s/prod/kustomization.yaml:4" in skips
    assert {tool.name for tool in scan.tools} == {"checkov", "kubectl"}


def test_several_paths_are_one_scan_and_each_must_hold_something(mixed: Project, new_project: New) -> None:
    assert "(no path)" in mixed.infra().checkov().target
    assert mixed.infra().checkov().outcome is Outcome.ERROR
    mixed.write({"empty/readme.md": ""})
    scan = mixed.infra().checkov("good/Dockerfile", "empty")
    assert "empty: holds nothing for checkov" in problems(scan)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        pytest.param({"iac/readme.md": ""}, "iac: holds nothing for checkov", id="empty folder"),
        pytest.param({"other/main.tf": BUCKET}, "matches nothing", id="missing folder"),
        pytest.param({"iac/main.tf": "locals {\n  a = 1\n}\n"}, "holds nothing for checkov", id="no resource"),
        pytest.param({"iac/main.tf": "# later\n"}, "iac: declares nothing", id="emptied stack"),
        pytest.param({"iac/main.tf": "a {\n"}, "iac/main.tf:2: is not valid HCL", id="broken HCL"),
        pytest.param(
            {"iac/good/Dockerfile": IMAGE, "iac/main.tf": "a {\n"}, "main.tf:2: is not valid HCL", id="beside"
        ),
        pytest.param({"iac/x.yaml": "a: [\n"}, "iac/x.yaml:2: is not valid YAML", id="broken YAML"),
        pytest.param({"iac/x.yaml": "# later\n"}, "iac/x.yaml: is empty or holds only comments", id="emptied manifest"),
        pytest.param(
            {"iac/x.yaml": PLAIN_POD + "kind: Pod\n"}, "iac/x.yaml:9: the key 'kind' stands twice", id="twice"
        ),
        pytest.param({"iac/plan.json": "{}"}, "holds nothing for checkov", id="no plan"),
        pytest.param({"iac/plan.json": "{"}, "iac/plan.json:1: is not valid JSON", id="broken JSON"),
        pytest.param(
            {"iac/x.yaml": PLAIN_POD.replace("    - name", "      name")},
            "iac/x.yaml:6: containers is not a list of containers",
            id="containers as a map",
        ),
        pytest.param({"iac/Dockerfile": "# later\n"}, "iac/Dockerfile: has no FROM", id="emptied image"),
        pytest.param({"iac/.github/workflows/x.yml": "on: push\n"}, "is a workflow without jobs", id="no jobs"),
        pytest.param(
            {"iac/Dockerfile": IMAGE, "iac/.checkov.yaml": "soft-fail: true\n"}, "would configure checkov", id="config"
        ),
        pytest.param(
            {"iac/main.tf": PLAIN + 'module "x" {\n  source = "a/b/aws"\n}\n'},
            "iac/main.tf:4: module source 'a/b/aws' is not in the repository",
            id="external module",
        ),
        pytest.param(
            {"iac/kustomization.yaml": "resources: [x.yaml]\n", "iac/x.yaml": PLAIN_POD, "iac/Dockerfile": IMAGE},
            "iac/Dockerfile: dockerfile inside a kustomize overlay",
            id="beside an overlay",
        ),
        pytest.param(
            {"iac/kustomization.yaml": "resources: [x.yaml]\n", "iac/x.yaml": "# later\n"},
            "iac/x.yaml: is empty or holds only comments",
            id="emptied source of an overlay",
        ),
    ],
)
def test_what_it_would_not_see_is_an_error(new_project: New, files: Mapping[str, str | bytes], said: str) -> None:
    scan = new_project(files).infra().checkov("iac")
    assert said in problems(scan)


def test_a_single_file_that_calls_modules_is_an_error(new_project: New) -> None:
    project = new_project({"iac/main.tf": PLAIN + 'module "x" {\n  source = "./x"\n}\n'})
    assert "iac/main.tf:4: of a single file" in problems(project.infra().checkov("iac/main.tf"))


def test_a_hidden_checkov_is_an_error_that_says_how_to_get_it(new_project: New) -> None:
    scan = new_project({"Dockerfile": IMAGE}).infra(tools={"checkov": "nowhere"}).checkov("Dockerfile")
    assert "pixgates tools install checkov" in problems(scan)
