"""What goes out: wheel and sdist are whole and hold nothing else, their metadata is valid, the licences fit."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata

import pytest_pixgates
from pytest_pixgates.start.beside import EXTRAS
from tests import walkthrough

ROOT = Path(__file__).parents[2]
LICENCES = ROOT / ".ci" / "licences"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[zipfile.ZipFile, tarfile.TarFile]:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([walkthrough.uv(), "build", "--quiet", "--out-dir", folder, ROOT], check=True, timeout=600)
    return zipfile.ZipFile(next(folder.glob("*.whl"))), tarfile.open(next(folder.glob("*.tar.gz")))


@pytest.fixture
def metadata(built: tuple[zipfile.ZipFile, tarfile.TarFile]) -> Metadata:
    wheel, _ = built
    name = next(each for each in wheel.namelist() if each.endswith(".dist-info/METADATA"))
    return Metadata.from_email(wheel.read(name), validate=True)


def package() -> set[str]:
    """The files of the package as git has them, and those that will be added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "pytest_pixgates"]
    return set(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split())


def test_the_wheel_holds_the_package_whole_and_nothing_else(
    built: tuple[zipfile.ZipFile, tarfile.TarFile],
) -> None:
    wheel, _ = built
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == package()
    assert "pytest_pixgates/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_the_sdist_holds_the_package_its_tests_and_examples(built: tuple[zipfile.ZipFile, tarfile.TarFile]) -> None:
    _, sdist = built
    names = {name.partition("/")[2] for name in sdist.getnames()}
    assert package() <= names
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "tests/walkthrough.py"} <= names
    assert {f"examples/{each}/README.md" for each in walkthrough.NAMES} <= names
    assert not [name for name in names if re.search(r"(^|/)(\.env|.*\.pem|\.venv|\.pixgates|\.terraform)(/|$)", name)]


def test_the_metadata_is_what_an_index_takes(metadata: Metadata) -> None:
    assert metadata.name == "pytest-pixgates"
    assert str(metadata.version) == pytest_pixgates.__version__
    assert metadata.license_expression == "Apache-2.0"
    assert metadata.description_content_type == "text/markdown"
    assert (metadata.description or "").startswith("# pytest-pixgates")
    assert str(metadata.requires_python) == ">=3.11"
    plain = {each.name for each in metadata.requires_dist or () if each.marker is None}
    assert plain == {"pytest", "platformdirs", "filelock"}
    assert set(EXTRAS.values()) <= set(metadata.provides_extra or ())


def test_every_extra_that_a_message_names_is_there(metadata: Metadata) -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "pytest_pixgates").rglob("*.py"))
    named = set(re.findall(r"pytest-pixgates\[([a-z-]+)\]|EXTRA\.format\(\"([a-z-]+)\"\)", sources))
    extras = {each for pair in named for each in pair if each}
    assert extras
    assert extras <= set(metadata.provides_extra or ())


def test_the_licences_of_what_is_needed_at_runtime_are_listed_and_fit() -> None:
    done = subprocess.run([sys.executable, LICENCES, "--check"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True), ("LGPL-3.0-only", True), ("MPL-2.0", True), ("GPL-3.0-or-later", False), ("AGPL-3.0", False),
        ("GNU General Public License v3 (GPLv3)", False), ("GNU Affero General Public License v3", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", True), ("BUSL-1.1", False),
    ],
)  # fmt: skip
def test_a_licence_that_does_not_fit_is_seen(licence: str, allowed: bool) -> None:
    assert runpy.run_path(str(LICENCES))["fits"](licence) is allowed


def test_a_list_that_is_out_of_date_is_seen(tmp_path: Path) -> None:
    for name in ("uv.lock", "pyproject.toml", "README.md", "LICENSE", ".ci/licences", "pytest_pixgates/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/licences.md").write_text((ROOT / "docs/licences.md").read_text().replace("| pytest |", "| x |"))
    command = [sys.executable, tmp_path / ".ci/licences", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "run .ci/licences: | pytest |" in done.stderr
