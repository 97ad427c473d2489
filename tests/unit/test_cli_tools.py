"""`pixgates tools` and `pixgates doctor`: what they print and what their exit codes promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_pixgates.cli import doctor, needs
from pytest_pixgates.cli.main import COMMANDS, main
from pytest_pixgates.core.errors import PixgatesError, PolicyError
from pytest_pixgates.core.tools import TOOLS

ANSWERS = {
    "terraform": '{ "terraform_version": "1.11.4" }',
    "tflint": "TFLint version 0.64.0",
    "checkov": "3.3.30",
    "hadolint": "Haskell Dockerfile Linter 2.15.1",
    "kubectl": '{ "gitVersion": "v1.33.1" }',
    "locust": "locust 2.47.0",
}


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def path(tmp_path, monkeypatch) -> Path:
    """A machine with all that is required."""
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    for name, answer in ANSWERS.items():
        script(folder / name, f"echo '{answer}'")
    for name in ("git", "make"):
        script(folder / name, f"echo {name} 1.0")
    for name in [*os.environ]:
        if name in {spec.variable for spec in TOOLS.values()} | {"PIXGATES_TF_MIRROR"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("PIXGATES_TOOL_DIR", str(tmp_path / "tools"))
    monkeypatch.setenv("PIXGATES_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setitem(needs.MODULES, "infra", ("infra", ("json",)))
    monkeypatch.chdir(tmp_path)
    return folder


def policy(root: Path, text: str) -> Path:
    (root / "gates").mkdir(exist_ok=True)
    (root / "gates/gates.toml").write_text(text)
    return root / "gates/gates.toml"


def states(out: str) -> dict[str, str]:
    """What doctor says of each thing."""
    return dict(line.split()[1::-1] for line in out.splitlines()[:-1] if not line.startswith(" "))


def test_list_shows_name_version_digest_and_path(path, capsys):
    assert main(["tools", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(ANSWERS)
    _, version, digest, where = lines[1].split()
    assert (version, len(digest), where) == ("0.64.0", 12, str(path / "tflint"))


def test_list_exits_1_when_a_tool_is_missing_and_says_how_to_bring_it(path, capsys):
    (path / "tflint").unlink()
    assert main(["tools", "list"]) == 1
    out = capsys.readouterr().out
    assert "pixgates tools install tflint" in out
    assert "kubectl" in out


def test_install_says_found_for_what_is_there(path, capsys):
    assert main(["tools", "install"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        [name, version, "found:"]
        for name, version in zip(ANSWERS, ("1.11.4", "0.64.0", "3.3.30", "2.15.1", "1.33.1", "2.47.0"), strict=True)
    ]


def test_install_goes_on_after_a_tool_that_fails_and_exits_1(monkeypatch, capsys):
    monkeypatch.setenv("PIXGATES_TFLINT", "/no/such/tflint")
    assert main(["tools", "install", "tflint", "kubectl"]) == 1
    captured = capsys.readouterr()
    assert "/no/such/tflint" in captured.err
    assert captured.out.startswith("kubectl")


@pytest.mark.parametrize(
    "arguments", [["tools", "install", "tofu"], ["tools", "nope"], ["tools"], ["doctor", "--nope"]], ids=" ".join
)
def test_a_wrong_command_line_is_a_usage_error(arguments, capsys):
    assert main(arguments) == 4
    assert "fix: pixgates" in capsys.readouterr().err


def test_doctor_is_content_with_a_complete_machine(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "everything required is there" in out
    assert "missing" not in out


@pytest.mark.parametrize(
    ("lacks", "fix"),
    [
        ("terraform", "pixgates tools install terraform"),
        ("tflint", "pixgates tools install tflint"),
        ("checkov", "pixgates tools install checkov"),
    ],
)
def test_doctor_exits_1_and_names_the_command_that_mends_it(path, capsys, lacks, fix):
    (path / lacks).unlink()
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines() if line.startswith("missing")] == [lacks]
    assert f"fix: {fix}" in out


@pytest.mark.parametrize("name", ["git", "make", "kubectl", "hadolint", "locust"])
def test_doctor_does_not_require_what_no_gate_needs(path, capsys, name):
    (path / name).unlink()
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert (states(out)[name], states(out)["go"]) == ("optional", "optional")
    assert "everything required is there" in out


OVERLAYS = {
    "kubernetes": ("[infra]\nkubernetes = ['k8s/*']\n", "missing"),
    "expected objects": ("[infra]\nkubernetes_expect = { 'k8s/prod' = ['Deployment/app'] }\n", "missing"),
    "an overlay for checkov": ("[infra]\ncheckov = ['k8s/*']\n", "missing"),
    "plain manifests for checkov": ("[infra]\ncheckov = ['plain']\n", "optional"),
    "another family": ("[latency]\n", "optional"),
}


@pytest.mark.parametrize("asked", OVERLAYS)
def test_doctor_requires_kubectl_where_an_overlay_is_rendered(path, tmp_path, capsys, asked):
    for name in ("k8s/prod", "plain"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "k8s/prod/kustomization.yaml").write_text("resources: []\n")
    text, state = OVERLAYS[asked]
    policy(tmp_path, text)
    assert main(["doctor"]) == 0
    (path / "kubectl").unlink()
    assert main(["doctor"]) == (state == "missing")
    assert states(capsys.readouterr().out.partition("is there\n")[2])["kubectl"] == state


def test_doctor_requires_no_tool_of_a_family_that_the_policy_does_not_name(path, tmp_path, capsys):
    policy(tmp_path, "[latency]\n")
    (path / "tflint").unlink()
    assert main(["doctor"]) == 0
    policy(tmp_path, "[infra]\n")
    assert main(["doctor"]) == 1


def test_doctor_requires_the_load_generator_where_the_policy_plans_load(path, tmp_path, capsys):
    (path / "locust").unlink()
    policy(tmp_path, "[infra]\n")
    assert main(["doctor"]) == 0
    policy(tmp_path, "[latency]\n")
    assert main(["doctor"]) == 1


@pytest.mark.parametrize("command", [["doctor"], ["tools", "list"]], ids=" ".join)
def test_the_tools_are_those_that_the_policy_names(path, tmp_path, monkeypatch, capsys, command):
    (tmp_path / "own").mkdir()
    own = script(tmp_path / "own/tflint", "echo TFLint version 0.55.0")
    policy(tmp_path, "[tools]\ntflint = 'own/tflint'\n[infra]\n")
    (tmp_path / "deep/below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep/below")
    assert main(command) == 0
    out = capsys.readouterr().out
    assert str(own) in out
    assert "0.55.0" in out
    own.unlink()
    assert main(command) == 1
    assert f"{own}, which does not exist" in capsys.readouterr().out


def test_doctor_shows_a_policy_that_is_odd_and_goes_on(tmp_path, capsys):
    policy(tmp_path, "[infra]\nchekov = ['iac']\n")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert states(out)["policy"] == "missing"
    assert "did you mean 'checkov'?" in out
    assert states(out)["tflint"] == "ok"
    assert main(["doctor", "--config", "no/such.toml"]) == 1
    assert "name another with --config" in capsys.readouterr().out


def test_doctor_sees_a_tool_that_is_broken(path, capsys):
    script(path / "git", "exit 1")
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert states(out)["git"] == "optional"
    assert "fix: mend" in out
    script(path / "tflint", "exit 1")
    assert main(["doctor"]) == 1


def test_doctor_sees_a_missing_extra(monkeypatch, capsys):
    monkeypatch.setitem(needs.MODULES, "infra", ("infra", ("no_such_module",)))
    assert main(["doctor"]) == 1
    assert "pytest-pixgates[infra]" in capsys.readouterr().out


def test_doctor_sees_a_folder_that_cannot_be_written(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PIXGATES_TOOL_DIR", str(tmp_path / "file"))
    assert main(["doctor"]) == 1
    assert "set PIXGATES_TOOL_DIR" in capsys.readouterr().out


@pytest.mark.parametrize(("content", "code"), [("registry.terraform.io/a/b/1.0.0/linux_amd64", 0), ("empty", 1)])
@pytest.mark.parametrize("named_by", ["variable", "policy"])
def test_doctor_takes_a_terraform_mirror_as_the_gates_do(monkeypatch, tmp_path, capsys, content, code, named_by):
    (tmp_path / "mirror" / content).mkdir(parents=True)
    policy(tmp_path, "[infra]\n" + "terraform_mirror = 'mirror'\n" * (named_by == "policy"))
    if named_by == "variable":
        monkeypatch.setenv("PIXGATES_TF_MIRROR", str(tmp_path / "mirror"))
    assert main(["doctor"]) == code
    assert ("holds no provider" in capsys.readouterr().out) is bool(code)


def test_doctor_refuses_a_terraform_mirror_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("PIXGATES_TF_MIRROR", str(tmp_path / "gone"))
    assert main(["doctor"]) == 1


@pytest.mark.parametrize(("error", "code"), [(PolicyError, 4), (PixgatesError, 1)])
def test_an_error_is_one_clean_message_and_its_kind_is_the_exit_code(monkeypatch, capsys, error, code):
    def broken(_):
        raise error("gates.toml is odd", remedy="mend it")

    monkeypatch.setattr(doctor, "checks", broken)
    assert main(["doctor"]) == code
    assert capsys.readouterr().err == "pixgates: gates.toml is odd\n  fix: mend it\n"


def test_an_interrupt_ends_quietly(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "checks", interrupted)
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == ""


IMPORTED = """
import sys
from pytest_pixgates.cli.main import COMMANDS, main
heavy = {"pytest", "urllib.request", "filelock", "platformdirs"}
heavy |= {"pytest_pixgates.cli.tools", "pytest_pixgates.cli.doctor"}
print(sorted(heavy & set(sys.modules)))
"""


def test_the_command_imports_nothing_that_is_not_asked_for():
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


def test_one_command_does_not_import_another():
    code = "import sys; from pytest_pixgates.cli.main import main; main(['tools', 'list'])\n" + (
        "print('pytest_pixgates.cli.doctor' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.endswith("False\n")


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)


FAMILIES = {
    "data_contract": (
        "[data_contract.data.payments]\npath = 'payments.csv'\n",
        {"data payments": "make it", "contract payments": "pixgates contract suggest payments.csv --name payments"},
        {"payments.csv": "id\n1\n", "gates/contracts/payments.odcs.yaml": None},
    ),
    "model_gate": (
        "[model_gate]\nscores = 'scores.csv'\nmade_by = 'make scores'\nthreshold = 0.5\n",
        {"model scores": "make scores"},
        {"scores.csv": "label,score\n"},
    ),
    "latency": (
        "[latency]\nstart = ['no-such-server', '{port}']\nsubjects = ['app.py']\n",
        {"service": "install no-such-server", "latency input": "make it"},
        {"app.py": "", "path/no-such-server": "#!/bin/sh\n"},
    ),
    "infra": (
        "[infra]\nterraform = ['iac/*']\ntflint = ['gone']\n",
        {"terraform iac/dev": "terraform -chdir=iac/dev init", "tflint gone": "correct infra.tflint[0]"},
        {"iac/dev/.terraform.lock.hcl": "", "gone/main.tf": ""},
    ),
}
CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: payments
version: 1.0.0
status: active
schema:
  - name: payments
    properties:
      - {name: id, logicalType: string, classification: internal, description: Its number.}
"""


@pytest.mark.parametrize("family", FAMILIES)
def test_doctor_says_what_the_gates_of_each_family_lack_until_it_is_there(path, tmp_path, capsys, family):
    text, lacks, brings = FAMILIES[family]
    policy(tmp_path, text)
    (tmp_path / "iac/dev").mkdir(parents=True)
    (tmp_path / "iac/dev/main.tf").write_text("")
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    for what, fix in lacks.items():
        at = next(at for at, line in enumerate(lines) if line.startswith(f"missing  {what}"))
        assert f"fix: {fix}" in lines[at + 1]
    for name, content in brings.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(CONTRACT if content is None else content)
        (tmp_path / name).chmod(0o755)
    assert main(["doctor"]) == 0, capsys.readouterr().out


def test_doctor_refuses_a_contract_that_nobody_has_described(tmp_path, capsys):
    policy(tmp_path, FAMILIES["data_contract"][0])
    (tmp_path / "payments.csv").write_text("id\n1\n")
    (tmp_path / "gates/contracts").mkdir()
    (tmp_path / "gates/contracts/payments.odcs.yaml").write_text(CONTRACT.replace("Its number.", '""'))
    assert main(["doctor"]) == 1
    assert "missing  contract payments" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("dates", "code"),
    [
        ("valid_from = 2020-01-01\nvalid_until = 2999-01-01", 0),
        ("valid_from = 2020-01-01\nvalid_until = 2020-02-01", 1),
        ("valid_from = 2998-01-01\nvalid_until = 2999-01-01", 1),
        ("valid_from = 2020-01-01\nvalid_until = 2999-01-01\nrevoked = 2021-01-01", 1),
    ],
)
def test_doctor_says_when_no_key_is_valid_for_an_environment(tmp_path, capsys, dates, code):
    key = f"[[evidence.keys]]\nname = 'ci'\npublic = '{'A' * 43}='\nenvironments = ['prod']\n{dates}\n"
    policy(tmp_path, f"[environments.prod]\n{key}")
    assert main(["doctor"]) == code
    assert ("pixgates keygen FILE --name NAME --env prod" in capsys.readouterr().out) is bool(code)


def test_doctor_tells_a_section_that_is_odd_from_what_is_missing(tmp_path, capsys):
    policy(tmp_path, "[model_gate]\nregistri = 'x'\n")
    assert main(["doctor"]) == 1
    assert "did you mean 'registry'?" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[infra]\nterraform = ['a']\n", ["terraform"]),
        ("[infra]\ncheckov = ['a']\nhadolint = ['b']\n", ["checkov", "hadolint"]),
        ("[infra.consistency]\noverlays = ['k8s/*']\n", ["kubectl"]),
        ("[latency]\n", ["locust"]),
        ("[data_contract]\n", []),
        ("[infra]\n", ["terraform", "tflint", "checkov"]),
    ],
)
def test_install_brings_what_the_gates_of_the_policy_run(tmp_path, capsys, text, names):
    policy(tmp_path, text)
    assert main(["tools", "install"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == names


def test_install_brings_what_gates_in_python_ask_for(tmp_path, capsys):
    policy(tmp_path, "[infra]\ntflint = ['a']\n")
    (tmp_path / "gates/test_infra.py").write_text("def test_x(infra):\n    assert infra.hadolint('Dockerfile')\n")
    assert main(["tools", "install"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["tflint", "hadolint"]
