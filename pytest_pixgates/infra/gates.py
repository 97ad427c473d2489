"""The `infra` fixture: one method per tool, each giving a scan that the policy has been applied to.

Trouble with a tool is never an exception here and never a pass: it is a problem of the scan, which makes it an ERROR.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pytest_pixgates.core import recording, tools
from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.core.family import Context
from pytest_pixgates.core.scan import Finding, Problem, Scan, State
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.tools import Tool, ToolSpec
from pytest_pixgates.infra import kustomize, sources
from pytest_pixgates.infra.checkov import Checkov
from pytest_pixgates.infra.kubernetes import Kubernetes
from pytest_pixgates.infra.memo import Memo
from pytest_pixgates.infra.policy import InfraPolicy
from pytest_pixgates.infra.terraform import Terraform
from pytest_pixgates.infra.tflint import Tflint


class InfraGates:
    """What `def test_x(infra)` receives. Targets are paths relative to the repository."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings: InfraPolicy = context.settings
        self._root = context.root.resolve()
        self._tools: dict[str, Tool] = {}
        self._memo = Memo(context.scratch / "infra", self._root)

    def terraform(self, stack: str | Path) -> Scan:
        """Formatted, initialised from locked providers, valid, and its tests pass."""
        settings = self._settings

        def scan(target: Path) -> Scan:
            tool, mirror = self._tool(tools.TERRAFORM), settings.mirror(self._root)
            judge = Terraform(tool, self._root, settings.seconds, mirror)
            return self._once("terraform", target, (tool.sha256, str(mirror)), lambda: judge.scan(target))

        return self._settled("terraform", [stack], scan)

    def tflint(self, stack: str | Path) -> Scan:
        """No issue by tflint's rules."""
        settings = self._settings

        def scan(target: Path) -> Scan:
            tool = self._tool(tools.TFLINT)
            config = self._root / settings.tflint_config if settings.tflint_config else None
            judge = Tflint(tool, self._root, settings.seconds, config, settings.rulesets)
            key = (tool.sha256, settings.tflint_config, settings.rulesets)
            return self._once("tflint", target, key, lambda: judge.scan(target))

        return self._settled("tflint", [stack], scan)

    def checkov(self, *paths: str | Path) -> Scan:
        """No failed check in any of `paths`, files or folders; an overlay is rendered first."""
        settings = self._settings

        def scan(target: Path) -> Scan:
            tool = self._tool(tools.CHECKOV)
            kubectl = self._tool(tools.KUBECTL) if kustomize.is_overlay(target) else None
            judge = Checkov(tool, self._root, settings.checkov_frameworks, settings.seconds, kubectl)
            key = (tool.sha256, kubectl.sha256 if kubectl else "", settings.checkov_frameworks)
            return self._once("checkov", target, key, lambda: judge.scan(target))

        return self._settled("checkov", list(paths), scan)

    def kubernetes(self, overlay: str | Path) -> Scan:
        """What the overlay renders fits the schemas, and holds the objects that the policy expects."""
        settings = self._settings

        def scan(target: Path) -> Scan:
            tool, expect = self._tool(tools.KUBECTL), self._expected(sources.name(target, self._root))
            judge = Kubernetes(tool, self._root, settings.kubernetes_versions, settings.seconds)
            key = (tool.sha256, settings.kubernetes_versions, expect)
            return self._once("kubernetes", target, key, lambda: judge.scan(target, expect))

        return self._settled("kubernetes", [overlay], scan)

    def subject(self, path: str | Path) -> Subject:
        """The file or folder at `path`, for a measurement of one's own. Raises OSError, ValueError outside the root."""
        return self._context.subject(path)

    def _expected(self, target: str) -> tuple[str, ...]:
        named = self._settings.kubernetes_expect
        return next((expect for overlay, expect in named.items() if os.path.normpath(overlay) == target), ())

    def _tool(self, spec: ToolSpec) -> Tool:
        # Looked for once per process: its digest takes a while, and one run judges with one tool.
        if spec.name not in self._tools:
            self._tools[spec.name] = tools.find(spec, configured=self._context.policy.tool_path(spec.name))
        return self._tools[spec.name]

    def _once(self, name: str, target: Path, key: tuple[object, ...], scan: Callable[[], Scan]) -> Scan:
        asked = (name, sources.name(target, self._root), *key)
        with self._context.progress(f"{name} {asked[1]}"):
            return self._memo.once(asked, scan) if self._context.use_cache else scan()

    def _settled(self, name: str, targets: list[str | Path], scan: Callable[[Path], Scan]) -> Scan:
        """The recorded scan of all `targets`, with the policy applied."""
        settled = self._judged(combined(name, [self._measured(name, target, scan) for target in targets]))
        recording.note(settled)
        return settled

    def _measured(self, name: str, target: str | Path, scan: Callable[[Path], Scan]) -> Scan:
        path = Path(os.path.normpath(self._root / target))
        label = sources.name(path, self._root)
        if not path.exists() or not sources.inside(path, self._root):
            fix = f"check `{name}` in [infra] of the policy"
            return Scan(
                name, str(target), problems=(Problem("matches nothing in the repository", str(target), fix=fix),)
            )
        try:
            return scan(path)
        except sources.Unreadable as error:
            return Scan(name, label, problems=(error.problem,))
        except NotMeasured as error:
            return Scan(name, label, problems=(Problem(error.message, label, fix=error.remedy),))
        except OSError as error:  # a file that went away, or may not be read
            where = sources.name(Path(error.filename), self._root) if error.filename else label
            return Scan(name, label, problems=(Problem(f"can't be read: {error.strerror or error}", where),))

    def _judged(self, raw: Scan) -> Scan:
        """`raw` with what does not block marked, all sorted."""
        weighed = map(self._weighed, raw.findings)
        return dataclasses.replace(
            raw,
            findings=tuple(sorted(weighed, key=lambda each: (each.path, each.line, each.rule, each.resource))),
            problems=tuple(sorted(raw.problems, key=lambda each: (each.path, each.line, each.message))),
        )

    def _weighed(self, finding: Finding) -> Finding:
        if reason := self._settings.switched_off(finding):
            return dataclasses.replace(finding, state=State.OFF, excuse=reason)
        if finding.severity.rank < self._settings.severity.rank:
            return dataclasses.replace(finding, state=State.MINOR)
        return self._context.policy.waive("infra", finding)


def combined(name: str, scans: list[Scan]) -> Scan:
    """One scan of several targets. Each must have been measured by itself, so an empty one is a problem of all."""
    if len(scans) == 1:
        return scans[0]
    scanned: Counter[str] = Counter()
    problems: list[Problem] = []
    for scan in scans:
        scanned.update(scan.scanned)
        problems += scan.problems or _nothing(scan)
    return Scan(
        name,
        ", ".join(scan.target for scan in scans) or "(no path)",
        scanned=dict(scanned),
        findings=tuple(dict.fromkeys(finding for scan in scans for finding in scan.findings)),
        problems=tuple(dict.fromkeys(problems)),
        tools=tuple(dict.fromkeys(tool for scan in scans for tool in scan.tools)),
        subjects=tuple(dict.fromkeys(subject for scan in scans for subject in scan.subjects)),
    )


def _nothing(scan: Scan) -> list[Problem]:
    empty = not scan.scanned or any(count <= 0 for count in scan.scanned.values())
    return [Problem("nothing was scanned", scan.target)] if empty else []
