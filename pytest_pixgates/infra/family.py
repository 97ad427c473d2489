"""The `infra` family: infrastructure as code, judged by the tools of its trade."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_pixgates.core.family import Context, Family, Gate

if TYPE_CHECKING:
    from pytest_pixgates.core.scan import Scan
    from pytest_pixgates.infra.gates import InfraGates
    from pytest_pixgates.infra.policy import InfraPolicy

TOOLS = ("terraform", "tflint", "checkov", "hadolint", "kubernetes", "plan")


class Infra(Family):
    """Terraform, tflint, checkov, hadolint and Kubernetes manifests."""

    name = "infra"
    summary = "infrastructure as code: terraform, tflint, checkov, hadolint and Kubernetes manifests"

    def settings(self) -> type:
        from pytest_pixgates.infra.policy import InfraPolicy

        return InfraPolicy

    def fixture(self, context: Context) -> InfraGates:
        from pytest_pixgates.infra.gates import InfraGates

        return InfraGates(context)

    def gates(self, settings: InfraPolicy, root: Path) -> Iterator[Gate]:
        """One gate per match of each pattern; one that errors for a pattern that matches nothing."""
        from pytest_pixgates.infra.about import ABOUT

        for tool, target, key in targets(settings, root):
            yield Gate(gate_name(tool, target), partial(_run, tool, target), key, about=ABOUT[tool])


def targets(settings: InfraPolicy, root: Path) -> Iterator[tuple[str, str, str]]:
    """Each tool with each of its targets, and the key of the policy that names it."""
    for tool in TOOLS:
        found: dict[str, str] = {}
        for index, pattern in enumerate(getattr(settings, tool)):
            for target in matches(root, pattern, with_files=tool in ("checkov", "hadolint", "plan")) or [pattern]:
                found.setdefault(target, f"{tool}[{index}]")
        if tool == "kubernetes":  # what is expected of an overlay that nothing judges would never be looked at
            found = {overlay: f"kubernetes_expect.{overlay}" for overlay in settings.kubernetes_expect} | found
        yield from ((tool, target, key) for target, key in found.items())
    yield from _consistency(settings, root)


def _consistency(settings: InfraPolicy, root: Path) -> Iterator[tuple[str, str, str]]:
    found: dict[str, str] = {}
    for name in ("overlays", "roots"):
        for index, pattern in enumerate(getattr(settings.consistency, name)):
            for target in matches(root, pattern) or [pattern]:
                found.setdefault(target, f"consistency.{name}[{index}]")
    yield from (("consistency", target, key) for target, key in found.items())
    yield from (("consistency", name, f"consistency.{key}") for name, key in settings.consistency.sets.items())


def gate_name(tool: str, target: str) -> str:
    return f"{tool}[{target}]"


def matches(root: Path, pattern: str, *, with_files: bool = False) -> list[str]:
    """The folders (and files) under `root` that `pattern` names, sorted, without hidden ones below its wildcard."""
    if Path(pattern) == Path():
        return ["."]  # which glob refuses
    found = (path for path in root.glob(pattern) if path.is_dir() or (with_files and path.is_file()))
    names = (path.relative_to(root) for path in found)
    asked = Path(pattern).parts
    return sorted({path.as_posix() for path in names if all(part[0] != "." or part in asked for part in path.parts)})


def _run(tool: str, target: str, gates: Any) -> Scan:
    scan: Scan = getattr(gates, tool)(target)
    return scan
