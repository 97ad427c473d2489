"""The `[infra]` section of the policy: which tools judge what, and which rules do not apply here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pytest_pixgates.core import environ, quantity
from pytest_pixgates.core.policy import INLINE_SKIP, matches
from pytest_pixgates.core.scan import Finding, Severity
from pytest_pixgates.infra.consistency.policy import ConsistencyPolicy

NEVER_OFF = ("terraform-validate", "terraform-test", "kubernetes-schema", "kubernetes-expect", "plan-data-loss")
FRAMEWORKS = ("terraform", "kubernetes", "dockerfile", "github_actions")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule switched off for good (or on again) at `paths`, which are globs; `reason` says why.

    Of several that match a finding the last one wins.
    """

    rule: str
    reason: str
    paths: tuple[str, ...] = ("**",)
    on: bool = False

    def __post_init__(self) -> None:
        if not self.rule.strip() or re.search(r"[*?\[]", self.rule):
            raise ValueError(f"rule {self.rule!r} must name one rule")
        if self.rule == INLINE_SKIP:
            raise ValueError(f"{INLINE_SKIP} can't be switched off: register a waiver for the one that you need")
        if self.rule in NEVER_OFF:
            raise ValueError(f"{self.rule} can't be switched off: what it finds can't be applied, or not be undone")
        if not self.reason.strip():
            raise ValueError(f"rule {self.rule}: reason is empty")
        if not self.paths or not all(path.strip() for path in self.paths):
            raise ValueError(f"rule {self.rule}: paths is empty")

    def covers(self, finding: Finding) -> bool:
        return finding.rule == self.rule and any(matches(finding.path, path) for path in self.paths)


@dataclass(frozen=True, slots=True)
class InfraPolicy:
    """`[infra]`. The first six list what each tool judges: paths or globs, relative to the repository.

    `consistency` says what must hold together. `severity` is the lowest that blocks. `kubernetes_expect` names the
    objects ("Kind/name") that an overlay must render. `tflint_config` overrides the nearest `.tflint.hcl`; `rulesets`
    are the tflint rulesets beside the bundled one. `terraform_mirror` is a folder laid out
    host/namespace/type/version/os_arch. `plan_max_changes` is how many resources one plan may change.
    `timeout` is for one command.
    """

    terraform: tuple[str, ...] = ()
    tflint: tuple[str, ...] = ()
    checkov: tuple[str, ...] = ()
    hadolint: tuple[str, ...] = ()
    kubernetes: tuple[str, ...] = ()
    plan: tuple[str, ...] = ()
    consistency: ConsistencyPolicy = field(default_factory=ConsistencyPolicy)
    severity: Severity = Severity.NOTE
    kubernetes_versions: tuple[str, ...] = ("1.33", "1.34")
    kubernetes_expect: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    checkov_frameworks: tuple[str, ...] = FRAMEWORKS
    tflint_config: str = ""
    rulesets: tuple[str, ...] = ()
    terraform_mirror: str = ""
    plan_max_changes: int = 50
    timeout: str = "10m"
    rules: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        quantity.seconds(self.timeout)
        for key in ("terraform", "tflint", "checkov", "hadolint", "kubernetes", "plan"):
            for path in getattr(self, key):
                _refuse_outside(path, key)
        for key, path in self.consistency.paths:
            _refuse_outside(path, f"consistency.{key}")
        if self.plan_max_changes < 0:
            raise ValueError("plan_max_changes is negative")
        if not self.kubernetes_versions:
            raise ValueError("kubernetes_versions is empty")
        for version in self.kubernetes_versions:
            if not re.fullmatch(r"1\.\d{1,3}", version):
                raise ValueError(f'kubernetes_versions: {version!r} is not written like "1.34"')
        if unknown := set(self.checkov_frameworks) - set(FRAMEWORKS):
            raise ValueError(
                f"checkov_frameworks: unknown {', '.join(sorted(unknown))}; valid: {', '.join(FRAMEWORKS)}"
            )
        if not self.checkov_frameworks:
            raise ValueError("checkov_frameworks is empty")
        for overlay, objects in self.kubernetes_expect.items():
            _refuse_outside(overlay, "kubernetes_expect")
            for each in objects:
                if not re.fullmatch(r"[A-Z]\w*/\S+", each):
                    raise ValueError(f'kubernetes_expect: {each!r} is not written like "Deployment/scoring"')

    def mirror(self, root: Path) -> Path | None:
        """The folder of Terraform's providers, if the policy or PIXGATES_TF_MIRROR names one."""
        named = self.terraform_mirror or environ.terraform_mirror()
        return root / named if named else None

    @property
    def seconds(self) -> float:
        """`timeout` in seconds."""
        return quantity.seconds(self.timeout)

    def switched_off(self, finding: Finding) -> str:
        """The reason for which the last rule that covers `finding` is off, or ""."""
        matching = [rule for rule in self.rules if rule.covers(finding)]
        return matching[-1].reason if matching and not matching[-1].on else ""


def _refuse_outside(path: str, key: str) -> None:
    parts = PurePosixPath(path).parts
    if not path.strip() or path.startswith("/") or ".." in parts:
        raise ValueError(f"{key}: {path!r} must be a path inside the repository")
    if any("**" in part and part != "**" for part in parts):
        raise ValueError(f"{key}: in {path!r}, ** must stand alone between slashes")
