"""This repository's own gates turn red, with file and line, for each defect put into a copy of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NETWORK = "iac/terraform/modules/network"
STORAGE = "iac/terraform/modules/storage"
PROD = "iac/terraform/environments/prod"
SCORING = "iac/k8s/base/scoring"
OVERLAY = "iac/k8s/overlays/prod"

PRIVATE = """  cidr_ipv4         = aws_vpc.this.cidr_block
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
"""


@dataclass(frozen=True)
class Defect:
    """Put `new` for `old` in `file`, or make it the whole file where `old` is ""; `gate` must say `says`, all of it."""

    name: str
    file: str
    old: str
    new: str
    gate: str
    outcome: str
    says: tuple[str, ...]


DEFECTS = [
    Defect(
        "a security group open to the world",
        f"{NETWORK}/endpoints.tf",
        PRIVATE,
        PRIVATE.replace("aws_vpc.this.cidr_block", '"0.0.0.0/0"').replace("443", "22"),
        f"checkov[{PROD}]",
        "FAIL",
        ("CKV_AWS_24", f"{NETWORK}/endpoints.tf:9"),
    ),
    Defect(
        "a bucket whose encryption is gone",
        f"{STORAGE}/buckets.tf",
        "bucket = aws_s3_bucket.this[each.key].id\n\n  rule {\n    bucket_key_enabled",
        'bucket = "elsewhere"\n\n  rule {\n    bucket_key_enabled',
        f"checkov[{PROD}]",
        "FAIL",
        ("CKV_AWS_145", f"{STORAGE}/buckets.tf:1"),
    ),
    Defect(
        "a syntax error in HCL, for checkov",
        f"{PROD}/main.tf",
        'module "storage" {',
        'module "storage" {{',
        f"checkov[{PROD}]",
        "ERROR",
        (f"{PROD}/main.tf:",),
    ),
    Defect(
        "a syntax error in HCL, for terraform",
        f"{PROD}/main.tf",
        'module "storage" {',
        'module "storage" {{',
        f"terraform[{PROD}]",
        "",
        (f"{PROD}/main.tf:",),
    ),
    Defect(
        "a syntax error in HCL, for tflint",
        f"{PROD}/main.tf",
        'module "storage" {',
        'module "storage" {{',
        f"tflint[{PROD}]",
        "",
        (f"{PROD}/main.tf:",),
    ),
    Defect(
        "a syntax error in YAML",
        f"{SCORING}/hpa.yaml",
        "spec:",
        "spec: [",
        f"kubernetes[{OVERLAY}]",
        "ERROR",
        (f"{SCORING}/hpa.yaml:",),
    ),
    Defect(
        "an emptied stack",
        f"{PROD}/*.tf",
        "",
        "# nothing\n",
        f"terraform[{PROD}]",
        "",
        (PROD,),
    ),
    Defect(
        "an emptied manifest",
        f"{SCORING}/pdb.yaml",
        "",
        "# nothing\n",
        f"kubernetes[{OVERLAY}]",
        "ERROR",
        (f"{SCORING}/pdb.yaml",),
    ),
    Defect(
        "a misspelt field",
        f"{SCORING}/deployment.yaml",
        "minReadySeconds: 5",
        "minReadySecond: 5",
        f"kubernetes[{OVERLAY}]",
        "FAIL",
        ("minReadySecond", f"{SCORING}/deployment.yaml:"),
    ),
    Defect(
        "an inline skip",
        f"{STORAGE}/buckets.tf",
        'resource "aws_s3_bucket" "this" {\n',
        'resource "aws_s3_bucket" "this" {\n  # checkov:skip=CKV_AWS_145: later\n',
        f"checkov[{PROD}]",
        "FAIL",
        ("inline-skip", f"{STORAGE}/buckets.tf:2"),
    ),
    Defect(
        "an unused variable",
        f"{PROD}/variables.tf",
        'variable "project" {',
        'variable "left_over" {\n  description = "Left over."\n  type        = string\n}\n\nvariable "project" {',
        f"tflint[{PROD}]",
        "FAIL",
        ("terraform_unused_declarations", f"{PROD}/variables.tf:"),
    ),
]


def break_it(copy: Path, defect: Defect) -> None:
    folder, _, pattern = defect.file.rpartition("/")
    paths = sorted((copy / folder).glob(pattern))
    assert paths, f"{defect.file} is not there"
    for path in paths:
        text = path.read_text()
        assert defect.old in text, f"{defect.name} can't be put into {path.name}"
        path.write_text(text.replace(defect.old, defect.new, 1) if defect.old else defect.new)


def run_gate(copy: Path, gate: str, **environment: str) -> tuple[int, dict[str, object], str]:
    command = [sys.executable, "-m", "pytest", f"gates/gates.toml::infra::{gate}", "-p", "no:cacheprovider"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    run = subprocess.run(command, cwd=copy, env=kept | environment, capture_output=True, text=True, timeout=300)
    records = json.loads((copy / ".pixgates" / "records.json").read_text())["records"]
    return run.returncode, next(each for each in records if each["gate"] == f"infra/{gate}"), run.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("iac", "gates"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns(".terraform", "__pycache__"))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    return tmp_path


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_defect_ends_red_with_gate_file_and_line(copy: Path, defect: Defect) -> None:
    break_it(copy, defect)
    code, record, output = run_gate(copy, defect.gate)
    assert code == 1
    assert record["outcome"] == defect.outcome or (not defect.outcome and record["outcome"] in ("FAIL", "ERROR"))
    for text in (*defect.says, f"infra/{defect.gate}"):
        assert text in output


@pytest.mark.parametrize("tool", ["tflint", "checkov", "terraform"])
def test_a_hidden_tool_is_an_error_that_says_how_to_get_it(copy: Path, tool: str, tmp_path: Path) -> None:
    hidden = {f"PIXGATES_{tool.upper()}": "", "PIXGATES_TOOL_DIR": str(tmp_path / "none"), "PATH": "/nowhere"}
    code, record, output = run_gate(copy, f"{tool}[{PROD}]", **hidden)
    assert code == 1
    assert record["outcome"] == "ERROR"
    assert f"pixgates tools install {tool}" in output
