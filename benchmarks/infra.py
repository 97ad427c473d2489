"""What the infra gates cost beside a CI script that runs the same tools directory by directory.

    python benchmarks/infra.py [STACKS...]

For each number of stacks: the script, the gates with nothing known, unchanged, and with one stack changed; wall and CPU
seconds of whole processes. Both must have found the same. Fails if a bar is missed. Needs the tools (`pixgates tools
install`) and Terraform's providers, as `make gates` does.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_pixgates.core import environ, tools
from pytest_pixgates.infra import terraform

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "iac" / "terraform" / "modules" / "key" / ".terraform.lock.hcl"
BARS = {12: (1 / 6, None), 36: (1 / 15, 1 / 10)}  # of the script's wall time and CPU, with nothing known
UNCHANGED, ONE_CHANGED = 1.5, 4.0  # seconds of a whole process
STACK = """\
terraform {{
  required_version = ">= 1.9"

  required_providers {{
    aws = {{
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }}
  }}
}}

variable "name" {{
  type        = string
  description = "Name of the topic."
}}

resource "aws_sns_topic" "stack{number}" {{
  name              = var.name
  kms_master_key_id = {key}
}}

resource "aws_sqs_queue" "stack{number}" {{
  name                    = "${{var.name}}-{number}"
  sqs_managed_sse_enabled = true
}}
"""

Findings = set[tuple[str, str, str]]


def write(folder: Path, count: int) -> None:
    """A repository of `count` stacks, every third of which has a topic without encryption."""
    for number in range(count):
        stack = folder / "stacks" / f"s{number:02}"
        stack.mkdir(parents=True)
        key = "null" if number % 3 == 0 else '"alias/aws/sns"'
        (stack / "main.tf").write_text(STACK.format(number=number, key=key))
        shutil.copy(LOCK, stack)
    (folder / "gates").mkdir()
    (folder / "gates" / "gates.toml").write_text(
        "[infra]\n" + "".join(f'{tool} = ["stacks/*"]\n' for tool in ("terraform", "tflint", "checkov"))
    )
    (folder / "pytest.ini").write_text("[pytest]\ntestpaths = gates\n")


def script(folder: Path) -> Findings:
    """Each tool, one directory after the other."""
    found: Findings = set()
    paths = {name: tools.find(tools.TOOLS[name]).path for name in ("terraform", "tflint", "checkov")}
    mirror = Path(environ.terraform_mirror()) if environ.terraform_mirror() else None
    recommended = folder / "recommended.hcl"
    recommended.write_text('plugin "terraform" {\n  enabled = true\n  preset  = "recommended"\n}\n')
    quiet = {"CKV_SKIP_PACKAGE_UPDATE_CHECK": "true", "BC_SKIP_MAPPING": "TRUE", "LOG_LEVEL": "ERROR"}
    for stack in sorted((folder / "stacks").iterdir()):
        with tempfile.TemporaryDirectory() as scratch:
            env = os.environ | terraform.environment(Path(scratch), mirror)
            for command in (terraform.FORMAT, terraform.INIT):
                subprocess.run([paths["terraform"], *command], cwd=stack, env=env, check=True, capture_output=True)
            valid = _json([paths["terraform"], *terraform.VALIDATE], stack, env)
            found |= {("terraform", stack.name, each["summary"]) for each in valid["diagnostics"]}
        issues = _json([paths["tflint"], f"--config={recommended}", "--format=json"], stack, dict(os.environ))
        found |= {("tflint", stack.name, each["rule"]["name"]) for each in issues["issues"]}
        argv = [paths["checkov"], "-d", stack, "--framework", "terraform", "-o", "json", "--compact", "--skip-download"]
        failed = _json(argv, stack, os.environ | quiet)["results"]["failed_checks"]
        found |= {("checkov", stack.name, each["check_id"]) for each in failed}
    return found


def gates(folder: Path) -> Findings:
    """`pytest -m infra`, and what its records say."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "infra", "-p", "no:cacheprovider"]
    # With bytecode, as an installed package has it.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False)
    records = json.loads((folder / ".pixgates" / "records.json").read_text())["records"]
    assert {record["outcome"] for record in records} <= {"PASS", "FAIL"}, "the gates could not measure"
    return {
        (check["scan"]["name"], Path(finding["path"]).parent.name, finding["rule"])
        for record in records
        for check in record["checks"]
        for finding in check["scan"]["findings"]
    }


def timed(work: Callable[[Path], Findings], folder: Path) -> tuple[Findings, float, float]:
    """What `work` found, and its wall and CPU seconds."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    found = work(folder)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return found, wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(count: int) -> list[str]:
    """Print the row of `count` stacks; what missed its bar."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        os.environ["PIXGATES_CACHE_DIR"] = str(folder / "cache")
        write(folder, count)
        expected, script_wall, script_cpu = timed(script, folder)
        found, cold_wall, cold_cpu = timed(gates, folder)
        again, same_wall, _ = timed(gates, folder)
        main = folder / "stacks" / "s01" / "main.tf"
        main.write_text(main.read_text().replace('"alias/aws/sns"', "null"))
        changed, one_wall, _ = timed(gates, folder)
    row = (count, script_wall, cold_wall, script_wall / cold_wall, script_cpu / cold_cpu, same_wall, one_wall)
    print("| {} | {:.1f} s | {:.1f} s | {:.1f} x | {:.1f} x | {:.2f} s | {:.2f} s |".format(*row), flush=True)
    wall_bar, cpu_bar = BARS.get(count, (None, None))
    missed = {
        "findings differ from the script's": found != expected or again != expected,
        "the change was not found": len(changed) != len(expected) + 1,
        "wall time": wall_bar is not None and cold_wall > script_wall * wall_bar,
        "CPU": cpu_bar is not None and cold_cpu > script_cpu * cpu_bar,
        "unchanged": same_wall > UNCHANGED,
        "one stack changed": one_wall > ONE_CHANGED,
    }
    return [f"{count} stacks: {what}" for what, is_missed in missed.items() if is_missed]


def _json(argv: list[Any], cwd: Path, env: dict[str, str]) -> Any:
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    return report[0] if isinstance(report, list) else report


def main() -> int:
    counts = [int(each) for each in sys.argv[1:]] or [3, 12, 36]
    print("| stacks | script | gates, nothing known | wall | CPU | unchanged | one stack changed |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    missed = [what for count in counts for what in measure(count)]
    for what in missed:
        print(f"missed: {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
