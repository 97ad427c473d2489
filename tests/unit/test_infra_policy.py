"""The `[infra]` section, and the gates that it becomes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates.core import decode
from pytest_pixgates.core.family import Context
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.scan import Finding, Severity
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.infra.consistency.policy import ConsistencyPolicy
from pytest_pixgates.infra.family import Infra
from pytest_pixgates.infra.policy import InfraPolicy


def test_the_section_is_read() -> None:
    table = {
        "terraform": ["iac/*"],
        "severity": "warning",
        "kubernetes_expect": {"k8s/prod": ["Deployment/web"]},
        "rules": [{"rule": "CKV_AWS_144", "reason": "one region by law"}],
    }
    settings = decode.decode(InfraPolicy, table, "infra")
    assert settings.severity is Severity.WARNING
    assert settings.seconds == 600
    assert settings.switched_off(Finding("CKV_AWS_144", "", "iac/main.tf"))
    assert not settings.switched_off(Finding("CKV_AWS_145", "", "iac/main.tf"))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"timeout": "soon"}, "'soon' is not a number"),
        ({"terraform": ["../other"]}, "terraform: '../other' must be a path inside the repository"),
        ({"checkov": ["/etc"]}, "must be a path inside"),
        ({"kubernetes": [""]}, "must be a path inside"),
        ({"kubernetes_versions": []}, "kubernetes_versions is empty"),
        ({"kubernetes_versions": ["v1.33.1"]}, 'not written like "1.34"'),
        ({"kubernetes_expect": {"k8s": ["web"]}}, 'not written like "Deployment/scoring"'),
        ({"checkov_frameworks": ["helm"]}, "unknown helm"),
        ({"checkov_frameworks": []}, "checkov_frameworks is empty"),
        ({"severity": "high"}, "'high' is not one of"),
        ({"rules": [{"rule": "CKV_*", "reason": "x"}]}, "must name one rule"),
        ({"rules": [{"rule": "CKV_1", "reason": " "}]}, "reason is empty"),
        ({"rules": [{"rule": "CKV_1"}]}, "is required"),
        ({"rules": [{"rule": "CKV_1", "reason": "x", "paths": []}]}, "paths is empty"),
        ({"rules": [{"rule": "inline-skip", "reason": "x"}]}, "can't be switched off"),
        ({"rules": [{"rule": "terraform-validate", "reason": "x"}]}, "can't be switched off"),
        ({"rules": [{"rule": "kubernetes-schema", "reason": "x"}]}, "can't be switched off"),
        ({"tflint": ["iac/**prod"]}, "** must stand alone"),
        ({"terrafrom": []}, "did you mean 'terraform'"),
        ({"consistency": {"roots": ["../other"]}}, "consistency.roots: '../other' must be a path inside"),
        ({"consistency": {"environments": {"dev": ["/etc"]}}}, "consistency.environments.dev: '/etc' must be"),
        ({"consistency": {"environments": {"dev": []}}}, "environments: dev is empty"),
        ({"consistency": {"environments": {"topics": ["a"]}}}, "'topics' can't be the name of one"),
        ({"consistency": {"external": ["kafka"]}}, 'not written like "Secret/scoring-kafka"'),
        ({"consistency": {"topic_sources": ["a"]}}, "topic_sources is given without topics"),
        ({"consistency": {"topics": "a.json"}}, "held against overlays, of which none is given"),
        ({"consistency": {"drift": ["a"]}}, "drift is given without two environments"),
        ({"consistency": {"overlay": []}}, "did you mean 'overlays'"),
    ],
)
def test_an_impossible_value_is_refused(table: dict[str, Any], said: str) -> None:
    with pytest.raises(decode.DecodeError) as caught:
        decode.decode(InfraPolicy, table, "infra")
    assert said in str(caught.value)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("iac/b", "iac/a", "iac/.terraform/x", "k8s"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "iac" / "readme.md").touch()
    (tmp_path / "Dockerfile").touch()
    return tmp_path


def test_each_match_is_a_gate(root: Path) -> None:
    settings = InfraPolicy(terraform=("iac/*", "iac/a"), checkov=("Docker*",), kubernetes=("k8s/overlays/*",))
    gates = list(Infra().gates(settings, root))
    assert [(gate.name, gate.key) for gate in gates] == [
        ("terraform[iac/a]", "terraform[0]"),
        ("terraform[iac/b]", "terraform[0]"),
        ("checkov[Dockerfile]", "checkov[0]"),
        ("kubernetes[k8s/overlays/*]", "kubernetes[0]"),
    ]


def test_the_repository_itself_can_be_named(root: Path) -> None:
    settings = InfraPolicy(terraform=(".",), tflint=("./",))
    assert [gate.name for gate in Infra().gates(settings, root)] == ["terraform[.]", "tflint[.]"]


def test_consistency_has_a_gate_for_each_overlay_root_and_set(root: Path) -> None:
    settings = ConsistencyPolicy(
        overlays=("k8s",),
        roots=("iac/*", "stacks/*"),
        environments={"dev": ("k8s", "iac/a"), "prod": ("k8s", "iac/b")},
        topics="topics.json",
        dockerfiles={"Dockerfile": "web"},
        workflows=(".github/workflows/*.yml",),
    )
    gates = list(Infra().gates(InfraPolicy(consistency=settings), root))
    assert [(gate.name, gate.key) for gate in gates] == [
        ("consistency[k8s]", "consistency.overlays[0]"),
        ("consistency[iac/a]", "consistency.roots[0]"),
        ("consistency[iac/b]", "consistency.roots[0]"),
        ("consistency[stacks/*]", "consistency.roots[1]"),
        ("consistency[@environments]", "consistency.environments"),
        ("consistency[@dev]", "consistency.environments.dev"),
        ("consistency[@prod]", "consistency.environments.prod"),
        ("consistency[@topics]", "consistency.topics"),
        ("consistency[@images]", "consistency.dockerfiles"),
        ("consistency[@workflows]", "consistency.workflows"),
    ]


def test_a_pattern_that_matches_nothing_is_an_error(root: Path) -> None:
    settings = InfraPolicy(tflint=("stacks/*",))
    (gate,) = Infra().gates(settings, root)
    context = Context(Policy(root / "gates" / "gates.toml", root, ""), settings, root / "scratch")
    scan = gate.run(Infra().fixture(context))
    assert scan.outcome is Outcome.ERROR
    assert "stacks/*: matches nothing" in str(scan.problems[0])


def test_a_folder_that_can_not_be_read_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(root / "iac/a/main.tf"))

    monkeypatch.setattr("pytest_pixgates.infra.gates.tools.find", refuse)
    context = Context(Policy(root / "gates" / "gates.toml", root, ""), InfraPolicy(), root / "scratch")
    scan = Infra().fixture(context).terraform("iac/a")
    assert scan.outcome is Outcome.ERROR
    assert str(scan.problems[0]) == "iac/a/main.tf: can't be read: Permission denied"


def test_the_family_imports_nothing_heavy() -> None:
    code = (
        "import sys, pytest_pixgates.infra.family\n"
        "print([m for m in ('yaml', 'tree_sitter', 'kubernetes_validate', 'filelock', 'pytest') if m in sys.modules],"
        "[m for m in sys.modules if m.startswith('pytest_pixgates.infra.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] ['pytest_pixgates.infra.family']"
