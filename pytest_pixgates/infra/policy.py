"""The `[infra]` section of the policy: which tools judge what, and which rules do not apply here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pytest_pixgates.core import environ, quantity
from pytest_pixgates.core.policy import matches
from pytest_pixgates.core.scan import INLINE_SKIP, Finding, Severity
from pytest_pixgates.infra.consistency.policy import ConsistencyPolicy

NEVER_OFF = ("terraform-validate", "terraform-test", "kubernetes-schema", "kubernetes-expect", "plan-data-loss")
FRAMEWORKS = ("terraform", "terraform_plan", "kubernetes", "dockerfile", "github_actions")


@dataclass(frozen=True, slots=True)
class Rule:
    """`[[infra.rules]]`: one rule switched off for good, or on again; of several that match a finding the last one
    wins.
    """

    rule: str
    """Its id, such as `CKV_AWS_26`."""
    reason: str
    """Why it does not apply here."""
    paths: tuple[str, ...] = ("**",)
    """Globs of the files in which it is meant."""
    on: bool = False
    """Whether it is switched on again."""

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
    """`[infra]`. Paths and globs are relative to the repository; one that matches nothing is an ERROR."""

    terraform: tuple[str, ...] = ()
    """Folders: formatted, `init` from the lock file, `validate`, and `terraform test` where tests exist."""
    tflint: tuple[str, ...] = ()
    """Folders."""
    checkov: tuple[str, ...] = ()
    """Files or folders; a kustomize overlay is judged as it is rendered, a saved plan as terraform shows it."""
    hadolint: tuple[str, ...] = ()
    """Dockerfiles."""
    kubernetes: tuple[str, ...] = ()
    """Overlays: rendered, then held against the schemas of each version."""
    plan: tuple[str, ...] = ()
    """Saved plans: what `terraform plan -out` wrote into its stack, or `terraform show -json` of it."""
    consistency: ConsistencyPolicy = field(default_factory=ConsistencyPolicy)
    """`[infra.consistency]`: what must hold together."""
    severity: Severity = Severity.NOTE
    """The lowest that blocks."""
    kubernetes_versions: tuple[str, ...] = ("1.33", "1.34")
    """The versions whose schemas count."""
    kubernetes_expect: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Overlay → objects (`"Deployment/scoring"`) that it must render."""
    checkov_frameworks: tuple[str, ...] = FRAMEWORKS
    """What checkov looks for."""
    tflint_config: str = ""
    """tflint's configuration; else the nearest `.tflint.hcl`."""
    rulesets: tuple[str, ...] = ()
    """tflint rulesets beside the bundled one, which you have installed."""
    terraform_mirror: str = ""
    """A folder of providers, laid out `host/namespace/type/version/os_arch`; else `PIXGATES_TF_MIRROR`."""
    plan_max_changes: int = 50
    """How many resources one plan may change."""
    timeout: str = "10m"
    """For one command."""
    rules: tuple[Rule, ...] = ()
    """`[[infra.rules]]`: what is switched off, with a reason."""

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
