"""A tool is what really runs: found where it was named, behind any stand-in, in a supported version."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_pixgates.core.errors import PixgatesError, ToolError, ToolMissing, ToolVersionUnsupported
from pytest_pixgates.core.tools import (
    CHECKOV,
    GO,
    KUBECTL,
    TERRAFORM,
    TFLINT,
    TOOLS,
    Tool,
    find,
    listed_hash,
    spec_named,
    tool_directory,
)


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine without any of the tools: own PATH, home, tool directory and cache."""
    path = tmp_path / "path"
    path.mkdir()
    for program in ("sh", "bash", "env", "dirname", "cat"):
        (path / program).symlink_to(Path("/bin" if Path("/bin", program).exists() else "/usr/bin", program))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIXGATES_TOOL_DIR", str(tmp_path / "tools"))
    monkeypatch.setenv("PIXGATES_CACHE_DIR", str(tmp_path / "cache"))
    for name in [*os.environ]:
        if name in {spec.variable for spec in TOOLS.values()} or name.startswith(("TFENV_", "TENV_", "ASDF_", "MISE_")):
            monkeypatch.delenv(name)
    return tmp_path


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def tflint(path: Path, version: str = "0.64.0") -> Path:
    """A script that answers as tflint does."""
    return script(path, f"#!/bin/sh\necho 'TFLint version {version}'\necho '+ ruleset.terraform (0.15.0-bundled)'\n")


def program(path: Path, source: str) -> Path:
    """A program that is not a script: a copy of the machine's `echo`, its version being its fixed output."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(Path("/bin/echo").read_bytes() + source.encode())
    path.chmod(0o755)
    return path


ECHO_LINT = replace(TFLINT, version_argv=("TFLint version 0.64.0",))
"""tflint's place taken by `echo`: a real binary whose answer is its argument."""


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---- where


def test_the_order_is_configured_then_variable_then_tool_directory_then_path(machine, monkeypatch):
    on_path = tflint(machine / "path/tflint", "0.60.0")
    assert find(TFLINT).path == on_path
    installed = tflint(machine / "tools/bin/tflint", "0.61.0")
    assert find(TFLINT).path == installed
    by_variable = tflint(machine / "variable/lint", "0.62.0")
    monkeypatch.setenv("PIXGATES_TFLINT", str(by_variable))
    assert find(TFLINT).path == by_variable
    configured = tflint(machine / "configured/lint", "0.63.0")
    tool = find(TFLINT, configured=configured)
    assert tool == Tool("tflint", configured, "0.63.0", digest(configured))


def test_a_missing_tool_says_where_it_was_looked_for_and_how_to_bring_it(machine):
    with pytest.raises(ToolMissing) as caught:
        find(TFLINT)
    for part in ("PIXGATES_TFLINT is not set", str(machine / "tools/bin/tflint"), "PATH"):
        assert part in str(caught.value)
    assert caught.value.remedy == "pixgates tools install tflint"


@pytest.mark.parametrize("how", ["configured", "variable"])
@pytest.mark.parametrize("what", ["does not exist", "is not an executable file"])
def test_a_named_path_that_cannot_run_is_an_error_though_the_tool_is_on_path(machine, monkeypatch, how, what):
    tflint(machine / "path/tflint")
    named = machine / "named"
    if what != "does not exist":
        named.write_text("")
    if how == "variable":
        monkeypatch.setenv("PIXGATES_TFLINT", str(named))
    with pytest.raises(ToolMissing, match=rf"names {named}, which {what}"):
        find(TFLINT, configured=named if how == "configured" else None)


def test_a_folder_is_not_a_tool(machine):
    with pytest.raises(ToolMissing, match="is not an executable file"):
        find(TFLINT, configured=machine)


def test_a_dangling_link_in_the_tool_directory_is_no_tool(machine):
    (machine / "tools/bin").mkdir(parents=True)
    (machine / "tools/bin/tflint").symlink_to("gone")
    on_path = tflint(machine / "path/tflint")
    assert find(TFLINT).path == on_path


def test_links_are_followed_to_the_program(machine):
    real = tflint(machine / "opt/tflint-0.64/tflint")
    (machine / "opt/current").symlink_to("tflint-0.64")
    (machine / "path/tflint").symlink_to(machine / "opt/current/tflint")
    assert find(TFLINT).path == real


def test_the_tool_directory_is_absolute_and_per_user(machine, monkeypatch):
    monkeypatch.setenv("PIXGATES_TOOL_DIR", "relative")
    assert tool_directory() == machine / "work/relative"
    monkeypatch.delenv("PIXGATES_TOOL_DIR")
    assert tool_directory().is_relative_to(machine / "home") or "XDG_DATA_HOME" in os.environ


# ---- behind stand-ins of version managers

SHIMS = {
    "asdf, old": '#!/usr/bin/env bash\n# asdf-plugin: tflint 0.64.0\nexec {manager} exec "tflint" "$@"\n',
    "asdf, new": '#!/usr/bin/env bash\n# asdf-plugin: tflint 0.64.0\nexec "{manager}" exec "tflint" "$@"\n',
    "pyenv": '#!/usr/bin/env bash\nset -e\nprogram="${{0##*/}}"\nexec "{manager}" exec "$program" "$@"\n',
}


@pytest.mark.parametrize("kind", SHIMS)
def test_a_shim_script_is_resolved_by_its_manager_for_the_working_folder(machine, kind):
    """The manager chooses by the folder's version file, as the real ones do."""
    name = kind.partition(",")[0]
    manager = script(
        machine / f"opt/{name}/bin/{name}",
        f'#!/bin/sh\n[ "$1" = which ] || exit 9\necho "{machine}/installs/$(cat .tool-versions)/$2"\n',
    )
    shim = script(machine / "shims/tflint", SHIMS[kind].format(manager=manager))
    (machine / "path/tflint").symlink_to(shim)
    for version in ("0.63.0", "0.64.0"):
        real = tflint(machine / f"installs/{version}/tflint", version)
        Path(".tool-versions").write_text(version)
        assert find(TFLINT) == Tool("tflint", real, version, digest(real))


def test_a_manager_is_found_on_path_and_gets_its_own_variables(machine, monkeypatch):
    real = tflint(machine / "data/tflint")
    script(machine / "path/asdf", '#!/bin/sh\necho "$ASDF_DATA_DIR/$2"\n')
    script(machine / "path/tflint", '#!/usr/bin/env bash\nexec asdf exec "tflint" "$@"\n')
    monkeypatch.setenv("ASDF_DATA_DIR", str(machine / "data"))
    assert find(TFLINT).path == real


def test_mise_whose_shims_are_links_to_itself_is_asked(machine):
    real = tflint(machine / "installs/tflint")
    mise = script(machine / "path/mise", f'#!/bin/sh\n[ "$*" = "which tflint" ] && echo "{real}"\n')
    (machine / "path/tflint").symlink_to(mise)
    assert find(TFLINT).path == real


def terraform(path: Path, version: str) -> Path:
    return script(path, f'#!/bin/sh\necho \'{{ "terraform_version": "{version}" }}\'\n')


TFENV_SHIM = '#!/usr/bin/env bash\nset -e\nexec "$(dirname "$(command -v "${0}")")/tfenv" exec "${@}"\n'


@pytest.mark.parametrize("place", ["beside", "TFENV_ROOT", "TFENV_CONFIG_DIR"])
def test_tfenv_is_resolved_to_the_version_it_names(machine, monkeypatch, place):
    root = machine / "tfenv"
    script(root / "bin/tfenv", '#!/bin/sh\n[ "$1" = version-name ] && cat .terraform-version\n')
    shim = script(root / "bin/terraform", TFENV_SHIM)
    (machine / "path/terraform").symlink_to(shim)
    Path(".terraform-version").write_text("1.11.4")
    versions = root
    if place != "beside":
        versions = machine / "elsewhere"
        monkeypatch.setenv(place, str(versions))
    real = terraform(versions / "versions/1.11.4/terraform", "1.11.4")
    assert find(TERRAFORM) == Tool("terraform", real, "1.11.4", digest(real))


def test_tenv_is_resolved_to_the_version_it_detects(machine):
    bin_ = machine / "opt/tenv"
    script(
        bin_ / "tenv", '#!/bin/sh\n[ "$*" = "tf detect" ] && echo "Terraform 1.11.4 will be run from this directory."\n'
    )
    (machine / "path/terraform").symlink_to(program(bin_ / "terraform", "proxy"))
    real = terraform(machine / "home/.tenv/Terraform/1.11.4/terraform", "1.11.4")
    assert find(TERRAFORM).path == real


def test_a_manager_without_a_version_for_this_folder_is_an_error_with_its_words(machine):
    script(machine / "path/asdf", "#!/bin/sh\necho 'No version is set for command tflint' >&2\nexit 126\n")
    script(machine / "path/tflint", '#!/usr/bin/env bash\nexec asdf exec "tflint" "$@"\n')
    with pytest.raises(ToolMissing, match="No version is set for command tflint"):
        find(TFLINT)


def test_a_manager_that_names_a_program_that_is_not_installed_is_an_error(machine):
    script(machine / "path/asdf", "#!/bin/sh\necho /no/such/tflint\n")
    script(machine / "path/tflint", '#!/usr/bin/env bash\nexec asdf exec "tflint" "$@"\n')
    with pytest.raises(ToolMissing, match="asdf points at /no/such/tflint"):
        find(TFLINT)


def test_stand_ins_that_point_at_each_other_end_in_an_error(machine):
    script(machine / "path/asdf", f"#!/bin/sh\necho {machine}/path/tflint\n")
    script(machine / "path/tflint", '#!/usr/bin/env bash\nexec asdf exec "tflint" "$@"\n')
    with pytest.raises(ToolMissing, match="point at each other"):
        find(TFLINT)


# ---- Python scripts

CHECKOV_BODY = "from checkov.main import Checkov\nraise SystemExit('it was run, which costs seconds')\n"


def checkov_environment(home: Path, version: str = "3.3.30") -> tuple[Path, Path]:
    """A virtual environment's layout with checkov's console script. Returns script and RECORD."""
    python = home / "bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    record = home / f"lib/python3.11/site-packages/checkov-{version}.dist-info/RECORD"
    record.parent.mkdir(parents=True)
    checkov = script(home / "bin/checkov", f"#!{python}\n{CHECKOV_BODY}")
    listing(record, checkov)
    return checkov, record


def listing(record: Path, checkov: Path, main: str = "abc") -> None:
    """Write the RECORD that pip would."""
    row = f"{os.path.relpath(checkov, record.parent.parent)},{listed_hash(checkov)},{checkov.stat().st_size}"
    record.write_text(f"checkov/main.py,sha256={main},1\n../../../bin/not-checkov,sha256=abc,1\n{row}\n")


def test_a_python_tool_is_its_distribution_and_is_not_run_for_its_version(machine):
    checkov, record = checkov_environment(machine / "venv")
    assert find(CHECKOV, configured=checkov) == Tool("checkov", checkov, "3.3.30", digest(record))


def test_another_content_of_the_distribution_is_another_identity(machine):
    checkov, record = checkov_environment(machine / "venv")
    before = find(CHECKOV, configured=checkov)
    listing(record, checkov, main="changed")
    assert find(CHECKOV, configured=checkov).sha256 != before.sha256


def test_a_launcher_that_was_edited_after_its_installation_is_an_error(machine):
    checkov, record = checkov_environment(machine / "venv")
    assert find(CHECKOV, configured=checkov)
    script(checkov, checkov.read_text() + "print('[]')\n")
    with pytest.raises(ToolError, match=rf"{record} lists it with another digest") as caught:
        find(CHECKOV, configured=checkov)
    assert caught.value.remedy == "pixgates tools install checkov"


def test_a_launcher_that_its_distribution_does_not_list_is_an_error(machine):
    """Such as a script of one's own that uses the interpreter of checkov's environment."""
    checkov, record = checkov_environment(machine / "venv")
    own = script(machine / "venv/bin/own-checkov", checkov.read_text())
    with pytest.raises(ToolError, match=rf"{own} is not known by its distribution: {record} does not list it"):
        find(CHECKOV, configured=own)
    twin = script(machine / "elsewhere/checkov", checkov.read_text())
    with pytest.raises(ToolError, match="does not list it"):
        find(CHECKOV, configured=twin)


def test_a_python_script_without_its_distribution_is_an_error(machine):
    checkov, record = checkov_environment(machine / "venv")
    record.unlink()
    with pytest.raises(ToolError, match="belongs to no installed checkov"):
        find(CHECKOV, configured=checkov)


def test_a_link_of_pipx_or_uv_leads_to_the_environment(machine):
    checkov, _ = checkov_environment(machine / "share/pipx/venvs/checkov")
    (machine / "path/checkov").symlink_to(checkov)
    assert find(CHECKOV).path == checkov


def test_the_launcher_form_for_long_paths_is_understood(machine):
    checkov, record = checkov_environment(machine / "a path with spaces")
    python = checkov.with_name("python")
    script(checkov, f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n{CHECKOV_BODY}")
    listing(record, checkov)
    assert find(CHECKOV, configured=checkov).sha256 == digest(record)


def test_an_interpreter_outside_of_an_environment_is_asked_for_the_distribution(machine):
    """Such as a system's `dist-packages`, whose place only its interpreter knows."""
    _, record = checkov_environment(machine / "venv")
    site = record.parent.parent
    (record.parent / "METADATA").write_text("Metadata-Version: 2.1\nName: checkov\nVersion: 3.3.30\n")
    python = script(
        machine / "usr/bin/python3",
        f'#!/bin/sh\nexec "{sys.executable}" -c '
        f'"import sys; sys.path.insert(0, \'{site}\'); exec(sys.argv.pop(1))" "$3" "$4"\n',
    )
    checkov = script(machine / "usr/bin/checkov", f"#!{python}\n{CHECKOV_BODY}")
    listing(record, checkov)
    with record.open("a") as file:
        file.write("checkov-3.3.30.dist-info/RECORD,,\n")
    assert find(CHECKOV, configured=checkov) == Tool("checkov", checkov, "3.3.30", digest(record))


def test_a_checkov_that_is_no_python_script_is_asked_for_its_version(machine):
    checkov = script(machine / "path/checkov", '#!/bin/sh\n[ "$*" = --version ] && echo 3.3.30\n')
    assert find(CHECKOV) == Tool("checkov", checkov, "3.3.30", digest(checkov))


# ---- versions


@pytest.mark.parametrize("version", ["0.49.9", "1.0.0", "2.3.4", "1.0.0-rc1", "0.50.0-dev"])
def test_a_version_outside_of_the_range_is_refused_with_the_command_that_mends_it(machine, version):
    tflint(machine / "path/tflint", version)
    with pytest.raises(ToolVersionUnsupported, match=rf"tflint {version} .*>=0\.50,<1") as caught:
        find(TFLINT)
    assert caught.value.remedy == "pixgates tools install tflint"


@pytest.mark.parametrize("version", ["0.50.0", "0.64.0", "0.99.9", "0.64.0-beta.1", "0.64.0+build"])
def test_a_version_inside_of_the_range_is_accepted(machine, version):
    tflint(machine / "path/tflint", version)
    assert find(TFLINT).version == version


def test_versions_are_compared_as_numbers(machine):
    terraform(machine / "path/terraform", "1.10.0")
    assert find(TERRAFORM).version == "1.10.0"


def test_kubectl_with_a_distributors_suffix_is_understood(machine):
    answer = json.dumps({"clientVersion": {"minor": "32+", "gitVersion": "v1.32.4-dispatcher"}}, indent=2)
    script(machine / "path/kubectl", f"#!/bin/sh\n[ \"$*\" = 'version --client -o json' ] && echo '{answer}'\n")
    assert find(KUBECTL).version == "1.32.4-dispatcher"


def test_go_is_understood(machine):
    script(machine / "path/go", "#!/bin/sh\necho go version go1.27.3 linux/amd64\n")
    assert find(GO).version == "1.27.3"


@pytest.mark.parametrize("body", ["exit 0", "echo 'TFLint version 0.64.0'; exit 1", "echo gibberish"])
def test_a_tool_that_tells_no_version_is_an_error(machine, body):
    script(machine / "path/tflint", f"#!/bin/sh\n{body}\n")
    with pytest.raises(ToolError, match="tells no version"):
        find(TFLINT)


def memo(machine: Path) -> Path:
    return machine / "cache/tool-versions.json"


def test_the_version_of_a_program_is_remembered_by_its_digest(machine):
    program(machine / "path/tflint", "one")
    assert find(ECHO_LINT).version == "0.64.0"
    silent = replace(ECHO_LINT, version_argv=("now it says nothing",))
    assert find(silent).version == "0.64.0"
    program(machine / "path/tflint", "two")
    with pytest.raises(ToolError, match="tells no version"):
        find(silent)


def test_the_version_of_a_script_is_never_remembered(machine):
    """Its digest does not pin what it starts."""
    Path("version").write_text("0.60.0")
    script(machine / "path/tflint", '#!/bin/sh\necho "TFLint version $(cat version)"\n')
    assert find(TFLINT).version == "0.60.0"
    Path("version").write_text("0.61.0")
    assert find(TFLINT).version == "0.61.0"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', "\xff", '{"tflint:%s": "rm -rf"}'])
def test_a_corrupt_memory_is_ignored_and_made_again(machine, content):
    lint = program(machine / "path/tflint", "")
    memo(machine).parent.mkdir()
    memo(machine).write_text(content.replace("%s", digest(lint)), encoding="latin-1")
    assert find(ECHO_LINT).version == "0.64.0"
    assert json.loads(memo(machine).read_text())[f"tflint:{digest(lint)}"] == "0.64.0"


def test_a_memory_that_cannot_be_written_is_no_error(machine, monkeypatch):
    program(machine / "path/tflint", "")
    (machine / "file").write_text("")
    monkeypatch.setenv("PIXGATES_CACHE_DIR", str(machine / "file"))
    assert find(ECHO_LINT).version == "0.64.0"


FIND_OFTEN = """
import sys
from dataclasses import replace
from pathlib import Path
from pytest_pixgates.core.tools import TFLINT, find
lint = replace(TFLINT, version_argv=("TFLint version 0.64.0",))
for number in range(20):
    path = Path(sys.argv[1], f"tflint{number}")
    if not path.exists() or number % 2:
        path = Path(sys.argv[1], sys.argv[2] + str(number))
        path.write_bytes(Path("/bin/echo").read_bytes() + path.name.encode())
        path.chmod(0o755)
    assert find(lint, configured=path).version == "0.64.0"
"""


def test_processes_that_remember_at_once_leave_a_readable_memory(machine):
    (machine / "bin").mkdir()
    argv = [sys.executable, "-c", FIND_OFTEN, str(machine / "bin")]
    processes = [subprocess.Popen([*argv, name]) for name in ("a", "b", "c")]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    versions = json.loads(memo(machine).read_text())
    assert versions
    assert set(versions.values()) == {"0.64.0"}
    assert [path.name for path in memo(machine).parent.iterdir()] == ["tool-versions.json"]


def test_a_known_tool_is_found_at_once(machine):
    program(machine / "path/tflint", "")
    find(ECHO_LINT)

    def seconds() -> float:
        started = time.perf_counter()
        find(ECHO_LINT)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(5)) < 0.1


def test_an_unknown_tool_names_the_known_ones():
    with pytest.raises(PixgatesError, match="no tool is called 'tofu'") as caught:
        spec_named("tofu")
    assert "terraform" in caught.value.remedy
