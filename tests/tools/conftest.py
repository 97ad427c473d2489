"""Small repositories to judge with the real tools. A tool that is missing fails the tests: nothing here skips."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates.core import process, tools
from pytest_pixgates.core.family import Context
from pytest_pixgates.core.policy import Policy, Waiver
from pytest_pixgates.infra.gates import InfraGates
from pytest_pixgates.infra.policy import InfraPolicy


@dataclass(frozen=True)
class Project:
    """A repository in a temporary folder, with a scratch folder beside it."""

    root: Path
    scratch: Path

    def write(self, files: Mapping[str, str | bytes]) -> Project:
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content if isinstance(content, bytes) else textwrap.dedent(content).encode()
            path.write_bytes(data)
        return self

    def infra(
        self, *, waivers: tuple[Waiver, ...] = (), tools: Mapping[str, str] | None = None, **settings: Any
    ) -> InfraGates:
        """The fixture object as a test would get it, without pytest."""
        policy = Policy(
            self.root / "gates" / "gates.toml", self.root, "", tools=tools or {}, waivers={"infra": waivers}
        )
        return InfraGates(Context(policy, InfraPolicy(**settings), self.scratch))

    def names(self) -> set[str]:
        return {path.relative_to(self.root).as_posix() for path in self.root.rglob("*")}


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Mapping[str, str | bytes]], Project]:
    def new(files: Mapping[str, str | bytes]) -> Project:
        folder = tmp_path_factory.mktemp("project").resolve()
        (folder / "repository").mkdir()
        return Project(folder / "repository", folder / "scratch").write(files)

    return new


@pytest.fixture(scope="session", autouse=True)
def _no_earlier_answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXGATES_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of Terraform providers: PIXGATES_TF_MIRROR, one of the system, or one that we fill once."""
    named = os.environ.get("PIXGATES_TF_MIRROR")
    found = Path(named) if named else _system_mirror() or _own_mirror(tmp_path_factory.mktemp("providers"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXGATES_TF_MIRROR", str(found))
        yield found


def _system_mirror() -> Path | None:
    for parent in (Path("/usr/share"), Path("/usr/local/share"), Path("/opt")):
        for pattern in ("registry.terraform.io", "*/registry.terraform.io", "*/*/registry.terraform.io"):
            for found in sorted(parent.glob(pattern)):
                return found.parent
    return None


def _own_mirror(folder: Path) -> Path:
    """What `terraform init` unpacks from the registry has the layout of a mirror."""
    module = Path(__file__).parents[2] / "iac" / "terraform" / "modules" / "key"
    for name in ("versions.tf", ".terraform.lock.hcl"):
        shutil.copy(module / name, folder)
    tool = tools.find(tools.TERRAFORM)
    done = process.run([tool.path, "init", "-backend=false", "-input=false"], cwd=folder, timeout=600)
    assert done.returncode == 0, done.tail()
    return folder / ".terraform" / "providers"
