"""This repository's own defects still fit its files: one that no longer does would say nothing about its gate.

Those that change what a command makes, or that ask a gate what it judges, are applied by `make prove` alone.
"""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from pytest_pixgates.prove import catalogue, operations
from pytest_pixgates.prove.catalogue import Case
from pytest_pixgates.prove.operations import NotApplied, Where

ROOT = Path(__file__).parents[2]
POLICY = "gates/gates.toml"
WRITTEN = {"replace", "sub", "edit", "append", "delete"}


def fitting() -> list[Case]:
    """The cases that change nothing but files that are kept in git, each at first as it is there."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    kept = set(listed.splitlines())
    own = catalogue.load(catalogue.files(ROOT / "gates", generic=False)).cases
    return [
        case
        for case in own
        if not case.world and all(each["do"] in WRITTEN and each.get("file") in kept for each in case.changes)
    ]


def applied(case: Case, root: Path) -> None:
    """Apply it to a copy of the files that it changes. Raises NotApplied."""
    for name in {POLICY, *(str(each["file"]) for each in case.changes)}:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    stated = tomllib.loads((ROOT / POLICY).read_text())
    operations.apply(case.changes, Where(root, policy=stated))


@pytest.mark.parametrize("case", fitting(), ids=lambda case: case.name)
def test_a_defect_or_variation_still_fits_the_files_that_it_changes(case: Case, tmp_path: Path) -> None:
    applied(case, tmp_path)


def test_most_of_them_are_held_here() -> None:
    assert len(fitting()) > 80


def test_one_that_fits_no_longer_is_found(tmp_path: Path) -> None:
    (tmp_path / "gone.toml").write_text(
        'area = "kubernetes"\n[[defects]]\nname = "gone"\nwhy = "x"\ngate = "infra/kubernetes[x]"\nrule = "x"\n'
        'changes = [{ do = "replace", file = "iac/k8s/base/scoring/deployment.yaml", old = "no such", new = "y" }]\n'
    )
    (case,) = catalogue.load([tmp_path / "gone.toml"]).cases
    with pytest.raises(NotApplied, match="does not hold"):
        applied(case, tmp_path / "copy")
