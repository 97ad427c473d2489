"""Terraform, as it is: what it waves through must end as an ERROR with its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_pixgates.core.scan import Scan
from pytest_pixgates.core.verdict import Outcome
from tests.tools.conftest import Project

New = Callable[[Mapping[str, str | bytes]], Project]

GOOD = """\
variable "size" {
  type    = number
  default = 1
}

resource "terraform_data" "this" {
  input = var.size
}
"""
TEST = """\
run "size" {
  command = plan

  assert {
    condition     = var.size == 1
    error_message = "size must be 1"
  }
}
"""
AWS = """\
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region = "sa-east-1"
}
"""
LOCK = """\
provider "registry.terraform.io/hashicorp/aws" {{
  version     = "5.100.0"
  constraints = "~> 5.100"
  hashes = [
    "{hash}",
  ]
}}
"""
ZH = "zh:" + "0" * 64
DEV = Path(__file__).parents[2] / "iac" / "terraform" / "environments" / "dev"


def problems(scan: Scan) -> str:
    assert scan.outcome is Outcome.ERROR, scan.lines()
    return "\n".join(f"{problem} | {problem.fix}" for problem in scan.problems)


def only(scan: Scan, rule: str) -> tuple[str, str]:
    """Where the one finding is, and what it says."""
    assert scan.outcome is Outcome.FAIL, scan.lines()
    (finding,) = scan.findings
    assert finding.rule == rule
    return finding.where, finding.message


def test_a_good_stack_passes_and_stays_clean(new_project: New) -> None:
    project = new_project({"iac/dev/main.tf": GOOD, "iac/dev/tests/size.tftest.hcl": TEST})
    before = project.names()
    scan = project.infra().terraform("iac/dev")
    assert scan, scan.lines()
    assert scan.scanned == {"files": 1, "blocks": 2, "test runs": 1}
    assert project.names() == before
    assert [subject.name for subject in scan.subjects] == ["iac/dev"]
    assert str(project.root) not in repr(scan.tools)
    assert scan.tools[0].argv[:2] == ("terraform", "fmt")
    assert scan.tools[0].sha256


def test_a_local_module_is_judged_and_a_subject(new_project: New) -> None:
    call = 'module "size" {\n  source = "../modules/size"\n}\n'
    project = new_project({"iac/dev/main.tf": call, "iac/modules/size/main.tf": GOOD})
    scan = project.infra().terraform("iac/dev")
    assert scan, scan.lines()
    assert [subject.name for subject in scan.subjects] == ["iac/dev", "iac/modules/size"]
    project.write({"iac/modules/size/main.tf": GOOD + "resource {\n"})
    assert "iac/modules/size/main.tf:10: is not valid HCL" in problems(project.infra().terraform("iac/dev"))


def test_unformatted_fails(new_project: New) -> None:
    project = new_project({"iac/main.tf": GOOD.replace("type    =", "type =")})
    where, message = only(project.infra().terraform("iac"), "terraform-fmt")
    assert (where, "terraform fmt" in message) == ("iac/main.tf", True)


def test_an_undeclared_reference_fails_at_its_line(new_project: New) -> None:
    project = new_project({"iac/main.tf": GOOD.replace("var.size", "var.siez")})
    where, message = only(project.infra().terraform("iac"), "terraform-validate")
    assert where == "iac/main.tf:7"
    assert "siez" in message


def test_a_failing_test_fails_at_its_assertion(new_project: New) -> None:
    bad = TEST.replace("== 1", "== 2")
    project = new_project({"iac/main.tf": GOOD, "iac/size.tftest.hcl": TEST + bad.replace('"size" {', '"two" {')})
    where, message = only(project.infra().terraform("iac"), "terraform-test")
    assert where == "iac/size.tftest.hcl:13"
    assert "size must be 1" in message


@pytest.mark.parametrize(
    ("files", "said"),
    [
        pytest.param({"iac/readme.md": ""}, "iac: declares nothing", id="empty folder"),
        pytest.param({"iac/dev/main.tf": GOOD}, "name the stacks themselves", id="parent folder"),
        pytest.param({"iac/main.tf": ""}, "declares nothing", id="emptied file"),
        pytest.param({"iac/main.tf": "# later\n"}, "declares nothing", id="only comments"),
        pytest.param({"other/main.tf": GOOD}, "matches nothing", id="missing folder"),
        pytest.param({"iac/main.tf": GOOD, "iac/x.tf": "a {\n b = \n}\n"}, "iac/x.tf:2: is not valid HCL", id="HCL"),
        pytest.param({"iac/main.tf": GOOD, "iac/x.tf.json": "{}"}, "iac/x.tf.json: Terraform in JSON", id="JSON"),
        pytest.param({"iac/main.tf": GOOD, "iac/x.tf": b"# \xff"}, "iac/x.tf:1: is not UTF-8", id="not UTF-8"),
        pytest.param(
            {"iac/main.tf": AWS, "iac/.terraform.lock.hcl": LOCK.format(hash=ZH)}, "no h1: hash", id="zh only"
        ),
        pytest.param(
            {"iac/main.tf": GOOD, "iac/x.tftest.hcl": ""}, "x.tftest.hcl: holds no run block", id="empty test"
        ),
        pytest.param(
            {"iac/main.tf": GOOD, "iac/tests/x.tftest.hcl": "variables {\n  size = 1\n}\n"},
            "x.tftest.hcl: holds no run block",
            id="test without runs",
        ),
        pytest.param({"iac/main.tf": 'module "x" {\n  source = "../../x"\n}\n'}, "is no folder inside", id="outside"),
    ],
)
def test_nothing_to_look_at_is_an_error(new_project: New, files: Mapping[str, str | bytes], said: str) -> None:
    assert said in problems(new_project(files).infra().terraform("iac"))


def test_a_broken_test_and_those_it_skips_are_errors(new_project: New) -> None:
    broken = TEST.replace("var.size ==", "var.missing ==").replace('"size" {', '"broken" {')
    project = new_project({"iac/main.tf": GOOD, "iac/size.tftest.hcl": broken + TEST})
    text = problems(project.infra().terraform("iac"))
    assert "iac/size.tftest.hcl:5: terraform test could not run broken" in text


def test_a_lock_with_another_hash_is_an_error(new_project: New, mirror: Path) -> None:
    lock = LOCK.format(hash="h1:" + "A" * 43 + "=")
    project = new_project({"iac/main.tf": AWS, "iac/.terraform.lock.hcl": lock})
    assert "terraform init failed" in problems(project.infra(terraform_mirror=str(mirror)).terraform("iac"))


def test_a_provider_without_a_lock_is_an_error(new_project: New, mirror: Path) -> None:
    project = new_project({"iac/main.tf": AWS})
    text = problems(project.infra(terraform_mirror=str(mirror)).terraform("iac"))
    assert "iac: there is no .terraform.lock.hcl" in text
    assert "run `terraform init` there and commit it" in text
    assert project.names() == {"iac", "iac/main.tf"}


def test_a_locked_provider_comes_from_the_mirror(
    new_project: New, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = (DEV / ".terraform.lock.hcl").read_text()
    project = new_project({"iac/main.tf": AWS, "iac/.terraform.lock.hcl": lock})
    monkeypatch.setenv("PIXGATES_TF_MIRROR", str(mirror))
    scan = project.infra().terraform("iac")
    assert scan, scan.lines()


def test_an_empty_mirror_is_an_error(new_project: New) -> None:
    project = new_project({"iac/main.tf": GOOD, "mirror/readme.md": ""})
    assert "holds no provider" in problems(project.infra(terraform_mirror="mirror").terraform("iac"))


def test_a_missing_configuration_and_flags_of_the_machine_do_not_count(
    new_project: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", "/nowhere/terraformrc")
    monkeypatch.setenv("TF_CLI_ARGS_test", "-filter=none.tftest.hcl")
    project = new_project({"iac/main.tf": GOOD, "iac/size.tftest.hcl": TEST.replace("== 1", "== 2")})
    only(project.infra().terraform("iac"), "terraform-test")


def test_a_hidden_terraform_is_an_error_that_says_how_to_get_it(
    new_project: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("PIXGATES_TOOL_DIR", "/nowhere")
    monkeypatch.delenv("PIXGATES_TERRAFORM", raising=False)
    assert "pixgates tools install terraform" in problems(new_project({"iac/main.tf": GOOD}).infra().terraform("iac"))


def test_a_timeout_is_an_error(new_project: New) -> None:
    project = new_project({"iac/main.tf": GOOD})
    assert "longer than 0.001 s" in problems(project.infra(timeout="1ms").terraform("iac"))
