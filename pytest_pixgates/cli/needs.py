"""Which tools and libraries the gates of a policy take: the one answer for `doctor`, `init` and `tools install`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.tools import CHECKOV, HADOLINT, JUDGES, KUBECTL, LOCUST, TERRAFORM, TFLINT, ToolSpec

if TYPE_CHECKING:
    from pytest_pixgates.infra.policy import InfraPolicy

# The modules that each family imports, under the extra that brings them.
MODULES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "infra": ("infra", ("yaml", "kubernetes_validate", "tree_sitter", "tree_sitter_hcl")),
    "data_contract": ("data", ("duckdb", "great_expectations", "jsonschema", "narwhals", "polars", "pyarrow", "scipy")),
    "model_gate": ("model", ("numpy", "polars", "pyarrow", "scipy")),
    "latency": ("latency", ("hdrh", "numpy", "scipy")),
}
_ASKED = re.compile(r"\binfra\.(terraform|tflint|checkov|hadolint|kubernetes|plan|consistency)\(")


def tools_of(policy: Policy | None, infra: InfraPolicy | None) -> tuple[ToolSpec, ...]:
    """The tools that the gates run. Without any policy those of `[infra]` are looked for."""
    root = policy.root if policy else Path.cwd()
    load = policy is not None and "latency" in policy.sections
    asked = _asked(policy.folder) if policy else set()
    return tuple(
        spec for spec in JUDGES if (load if spec is LOCUST else infra is not None and _needs(infra, root, spec, asked))
    )


def _needs(infra: InfraPolicy, root: Path, spec: ToolSpec, asked: set[str]) -> bool:
    if spec is KUBECTL:
        return bool({"kubernetes", "consistency"} & asked) or _renders(infra, root)
    if spec is HADOLINT:
        return bool(infra.hadolint) or "hadolint" in asked
    declared = {
        TERRAFORM.name: bool(infra.terraform or infra.plan),
        TFLINT.name: bool(infra.tflint),
        CHECKOV.name: bool(infra.checkov),
    }
    # A section without any is for gates in Python, or still to be filled.
    open_section = not any(declared.values()) and not infra.hadolint and not _renders(infra, root)
    return declared[spec.name] or spec.name in asked or (spec is TERRAFORM and "plan" in asked) or open_section


def _asked(folder: Path) -> set[str]:
    """What gates in Python ask of `infra`."""
    found = set[str]()
    for path in folder.rglob("*.py"):
        try:
            found |= set(_ASKED.findall(path.read_text(encoding="utf-8", errors="replace")))
        except OSError:  # pytest says so
            continue
    return found


def _renders(infra: InfraPolicy, root: Path) -> bool:
    """Whether a gate renders an overlay, which takes kubectl."""
    from pytest_pixgates.infra.family import matches
    from pytest_pixgates.infra.kustomize import is_overlay

    gated = (root / target for pattern in infra.checkov for target in matches(root, pattern, with_files=True))
    consistency = infra.consistency.overlays or infra.consistency.environments
    return bool(infra.kubernetes or infra.kubernetes_expect or consistency) or any(map(is_overlay, gated))
