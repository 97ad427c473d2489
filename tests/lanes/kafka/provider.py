"""Builds the Terraform provider for Kafka from its Go module, for where the registry's release can't be had."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from pytest_pixgates.core import files, process, tools
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.install import install
from pytest_pixgates.core.process import installer_environment

MODULE = Path(__file__).with_name("provider")
PROGRAM = "github.com/Mongey/terraform-provider-kafka"
VERSION = "0.8.1"
PLACE = f"registry.terraform.io/mongey/kafka/{VERSION}"


def mirror() -> Path:
    """A folder of providers, host/namespace/type/version/os_arch, that holds this one. Raises PixgatesError."""
    # Named by what it is built from: another version, or another of its modules, is another folder.
    home = tools.tool_directory() / "lanes" / f"kafka-provider-{files.tree_sha256(MODULE)[:16]}"
    with files.locked(home.with_name(f".{home.name}.lock"), timeout=1800, remedy="set PIXGATES_TOOL_DIR"):
        if not _whole(home):
            _build(home)
    return home


def _whole(home: Path) -> bool:
    seal = home / "sha256"
    return seal.is_file() and files.tree_sha256(home / "registry.terraform.io") == seal.read_text()


def _build(home: Path) -> None:
    go = install("go").tool
    env = {"GOTOOLCHAIN": "local", **installer_environment(), "GOWORK": "off", "CGO_ENABLED": "0"}
    env["GOFLAGS"] = "-mod=readonly"  # what go.sum does not list is refused
    shutil.rmtree(home, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{home.name}.") as name:
        made = Path(name)
        target = process.run([go.path, "env", "GOOS", "GOARCH"], cwd=MODULE, timeout=60, env=env).stdout.split()
        program = made / PLACE / "_".join(target) / f"terraform-provider-kafka_v{VERSION}"
        done = process.run([go.path, "build", "-trimpath", "-o", program, PROGRAM], cwd=MODULE, timeout=900, env=env)
        if done.returncode != 0:
            raise PixgatesError(f"the provider could not be built (`go build` rc {done.returncode}):\n{done.tail(8)}")
        (made / "sha256").write_text(files.tree_sha256(made / "registry.terraform.io"))
        made.chmod(0o755)
        made.rename(home)
        made.mkdir()  # for the temporary folder to remove
