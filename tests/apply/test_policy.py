"""The policy for plans of this repository, held against the one for sources."""

from __future__ import annotations

import fnmatch
import tomllib
from typing import Any

import yaml

from pytest_pixgates.infra import hcl
from tests.apply.world import ROOT


def read(folder: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / folder / "gates.toml").read_text())


def test_a_rule_does_not_apply_to_plans_where_it_does_not_apply_to_their_sources() -> None:
    off = [each for each in read("gates")["infra"]["rules"] if each["paths"][0].startswith("iac/terraform/")]
    assert read("plans")["infra"]["rules"] == off


def test_plans_go_through_the_environments_in_the_same_order() -> None:
    assert list(read("plans")["environments"]) == list(read("gates")["environments"])


def test_whatever_a_plan_reads_starts_its_workflow() -> None:
    folders = sorted((ROOT / "iac/terraform/environments").iterdir())
    read = {path.relative_to(ROOT).as_posix() for folder in folders for path in hcl.load(folder, ROOT).judged}
    assert "iac/topics.json" in read
    workflow = yaml.safe_load((ROOT / ".github/workflows/infra.yml").read_text())
    for event in ("pull_request", "push"):
        paths = workflow[True][event]["paths"]  # `on` is a boolean in YAML
        unseen = [name for name in sorted(read) if not any(fnmatch.fnmatch(name, each) for each in paths)]
        assert unseen == [], event
