"""The `infra` fixture: one method per tool, each giving a scan that the policy has been applied to.

Trouble with a tool is never an exception here and never a pass: it is a problem of the scan, which makes it an ERROR.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from pytest_pixgates.core import cache, process, recording, sources, tools
from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.core.family import Context
from pytest_pixgates.core.policy import matches
from pytest_pixgates.core.scan import Finding, Problem, Scan, State
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.tools import Tool, ToolSpec
from pytest_pixgates.infra import kustomize, saved
from pytest_pixgates.infra.answers import Answers, Question
from pytest_pixgates.infra.checkov import Checkov
from pytest_pixgates.infra.consistency.scan import Consistency
from pytest_pixgates.infra.consistency.together import Together
from pytest_pixgates.infra.family import gate_name, targets
from pytest_pixgates.infra.hadolint import Hadolint
from pytest_pixgates.infra.kubernetes import Kubernetes
from pytest_pixgates.infra.plan import Plan
from pytest_pixgates.infra.policy import NEVER_OFF, InfraPolicy
from pytest_pixgates.infra.terraform import Terraform
from pytest_pixgates.infra.tflint import Tflint


class InfraGates:
    """What `def test_x(infra)` receives. Targets are paths relative to the repository."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._settings: InfraPolicy = context.settings
        self._root = context.root.resolve()
        self._tools: dict[str, Tool] = {}
        kept = cache.between_runs("infra") if context.use_cache else None
        self._answers = Answers(context.scratch / "infra", self._root, kept)

    def terraform(self, stack: str | Path) -> Scan:
        """Formatted, initialised from locked providers, valid, and its tests pass."""
        return self._settled("terraform", [stack])

    def tflint(self, stack: str | Path) -> Scan:
        """No issue by tflint's rules."""
        return self._settled("tflint", [stack])

    def checkov(self, *paths: str | Path) -> Scan:
        """No failed check in any of `paths`, files or folders; an overlay is rendered, a saved plan shown first."""
        return self._settled("checkov", list(paths))

    def hadolint(self, dockerfile: str | Path) -> Scan:
        """No issue by hadolint's rules, nor by shellcheck's in its RUN instructions."""
        return self._settled("hadolint", [dockerfile])

    def kubernetes(self, overlay: str | Path) -> Scan:
        """What the overlay renders fits the schemas, and holds the objects that the policy expects."""
        return self._settled("kubernetes", [overlay])

    def plan(self, file: str | Path) -> Scan:
        """A saved plan is whole, destroys and replaces nothing, loses no data, and changes no more than is allowed."""
        return self._settled("plan", [file])

    def consistency(self, target: str | Path) -> Scan:
        """What an overlay renders, or a Terraform root, holds together; or a set of the policy ("@topics") does.

        docs/consistency.md has the rules.
        """
        return self._settled("consistency", [target])

    def subject(self, path: str | Path) -> Subject:
        """The file or folder at `path`, for a measurement of one's own. Raises OSError, ValueError outside the root."""
        return self._context.subject(path)

    def _expected(self, overlay: Path) -> tuple[str, ...]:
        named = self._settings.kubernetes_expect
        return next((expect for name, expect in named.items() if self._path(name) == overlay), ())

    def _tool(self, spec: ToolSpec) -> Tool:
        # Looked for once per process: its digest takes a while, and one run judges with one tool.
        if spec.name not in self._tools:
            self._tools[spec.name] = tools.find(spec, configured=self._context.policy.tool_path(spec.name))
        return self._tools[spec.name]

    # What each tool is asked, and how

    def _question(self, name: str, target: Path) -> Question:
        """Raises NotMeasured for a tool that can't be used."""
        settings = self._settings
        key: tuple[object, ...]
        if name == "terraform":
            key = (self._tool(tools.TERRAFORM).sha256, str(settings.mirror(self._root)))
        elif name == "tflint":
            key = (self._tool(tools.TFLINT).sha256, settings.tflint_config, settings.rulesets)
        elif name == "checkov":
            kubectl = self._tool(tools.KUBECTL).sha256 if kustomize.is_overlay(target) else ""
            key = (self._tool(tools.CHECKOV).sha256, kubectl, self._shows(target), settings.checkov_frameworks)
        elif name == "hadolint":
            key = (self._tool(tools.HADOLINT).sha256,)
        elif name == "plan":
            key = (settings.plan_max_changes, self._shows(target))
        elif name == "kubernetes":
            key = (self._tool(tools.KUBECTL).sha256, settings.kubernetes_versions, self._expected(target))
        else:
            rules, renderer = settings.consistency, self._renderer(target)
            named = Together(renderer, self._root, rules).named(sources.name(target, self._root))
            key = (renderer.sha256 if renderer else "", rules, named, tuple(self._context.policy.sections))
        return Question(name, target, key)

    def _scans(self, name: str, targets: Sequence[Path]) -> Iterable[tuple[Path, Callable[[], Scan]]]:
        """For each target what makes the tool judge it."""
        settings, root = self._settings, self._root
        if name == "terraform":
            terraform = Terraform(self._tool(tools.TERRAFORM), root, settings.seconds, settings.mirror(root))
            return terraform.scans(targets)
        if name == "tflint":
            config = root / settings.tflint_config if settings.tflint_config else None
            tflint = Tflint(self._tool(tools.TFLINT), root, settings.seconds, config, settings.rulesets)
            return [(target, partial(tflint.scan, target)) for target in targets]
        if name == "checkov":
            kubectl = self._tool(tools.KUBECTL) if any(map(kustomize.is_overlay, targets)) else None
            show = partial(self._tool, tools.TERRAFORM)
            tool, frameworks = self._tool(tools.CHECKOV), settings.checkov_frameworks
            return Checkov(tool, root, frameworks, settings.seconds, kubectl, show).scans(targets)
        if name == "hadolint":
            hadolint = Hadolint(self._tool(tools.HADOLINT), root, settings.seconds)
            return [(target, partial(hadolint.scan, target)) for target in targets]
        if name == "plan":
            plan = Plan(root, partial(self._tool, tools.TERRAFORM), settings.plan_max_changes, settings.seconds)
            return [(target, partial(plan.scan, target)) for target in targets]
        if name == "consistency":
            return [(target, partial(self._consistent, target)) for target in targets]
        kubernetes = Kubernetes(self._tool(tools.KUBECTL), root, settings.kubernetes_versions, settings.seconds)
        return [(target, partial(kubernetes.scan, target, self._expected(target))) for target in targets]

    def _consistent(self, target: Path) -> Scan:
        rules, kubectl, seconds = self._settings.consistency, self._renderer(target), self._settings.seconds
        label = sources.name(target, self._root)
        if kubectl and kustomize.is_overlay(target):
            tags = any(matches(label, each) for each in rules.tags_allowed)
            return Consistency(kubectl, self._root, rules.external, tags, seconds).scan(target)
        return Together(kubectl, self._root, rules, tuple(self._context.policy.sections), seconds).scan(label)

    def _renderer(self, target: Path) -> Tool | None:
        """kubectl, if what consistency is asked of `target` may render an overlay. Raises NotMeasured."""
        together = target.name in self._settings.consistency.sets and target.name != "@workflows"
        return self._tool(tools.KUBECTL) if together or kustomize.is_overlay(target) else None

    def _shows(self, target: Path) -> str:
        """The digest of terraform, if it has to show `target` first. Raises NotMeasured, OSError."""
        plan = target.is_file() and saved.is_plan(target) and saved.is_binary(target)
        return self._tool(tools.TERRAFORM).sha256 if plan else ""

    # What they answer

    def _settled(self, name: str, targets: list[str | Path]) -> Scan:
        """The recorded scan of all `targets`, with the policy applied."""
        settled = self._judged(combined(name, [self._measured(name, target) for target in targets]))
        recording.note(settled)
        return settled

    def _measured(self, name: str, target: str | Path) -> Scan:
        path = self._path(target)
        known = name == "consistency" and str(target) in self._settings.consistency.sets
        if not known and (not path.exists() or not sources.inside(path, self._root)):
            fix = f"check `{name}` in [infra] of the policy"
            problem = Problem("matches nothing in the repository", str(target), fix=fix)
            return Scan(name, str(target), problems=(problem,))
        return self._guarded(name, path, lambda: self._answer(self._question(name, path)))

    def _answer(self, question: Question) -> Scan:
        """The answer to `question`: known, or measured now together with all that this run is going to ask."""
        if (known := self._answers.get(question)) is not None:
            return known
        with self._answers.measuring():
            if (known := self._answers.get(question)) is not None:
                return known  # another process had measured it
            asked = {question.name: [question.target]}
            for name, target in self._declared():
                if target not in asked.get(name, ()) and self._is_open(name, target):
                    asked.setdefault(name, []).append(target)
            return self._measure(asked)[question.name, question.target]

    def _measure(self, asked: Mapping[str, Sequence[Path]]) -> dict[tuple[str, Path], Scan]:
        """Every tool at once, each on all of its targets."""
        found: dict[tuple[str, Path], Scan] = {}
        count = sum(map(len, asked.values()))
        with self._context.progress(f"{', '.join(asked)} on {count} target(s)"), process.pool(len(asked)) as pool:
            for answers in pool.map(self._measure_one, asked, asked.values()):
                found |= answers
        return found

    def _measure_one(self, name: str, targets: Sequence[Path]) -> dict[tuple[str, Path], Scan]:
        found = {}
        for target, scan in self._scans(name, targets):
            found[name, target] = self._guarded(name, target, scan)
            self._answers.put(self._question(name, target), found[name, target])
        return found

    def _declared(self) -> Iterator[tuple[str, Path]]:
        """The targets of the gates that the policy declares and this run is going to judge."""
        expected = self._context.expected()
        for name, target, _ in targets(self._settings, self._root):
            if f"infra/{gate_name(name, target)}" in expected:
                yield name, self._path(target)

    def _is_open(self, name: str, target: Path) -> bool:
        """Whether it can be asked, and was not yet."""
        try:
            inside = target.exists() and sources.inside(target, self._root)
            return inside and self._answers.get(self._question(name, target)) is None
        except (NotMeasured, OSError):  # its own gate says why
            return False

    def _guarded(self, name: str, path: Path, scan: Callable[[], Scan]) -> Scan:
        """What `scan` gives, or why it gives nothing."""
        label = sources.name(path, self._root)
        try:
            return scan()
        except sources.Unreadable as error:
            return Scan(name, label, problems=(error.problem,))
        except NotMeasured as error:
            return Scan(name, label, problems=(Problem(error.message, label, fix=error.remedy),))
        except OSError as error:  # a file that went away, or may not be read
            where = sources.name(Path(error.filename), self._root) if error.filename else label
            return Scan(name, label, problems=(Problem(f"can't be read: {error.strerror or error}", where),))

    def _path(self, target: str | Path) -> Path:
        return Path(os.path.normpath(self._root / target))

    def _judged(self, raw: Scan) -> Scan:
        """`raw` with what does not block marked, all sorted."""
        weighed = map(self._weighed, raw.findings)
        settled = self._context.known(dataclasses.replace(raw, findings=tuple(weighed)), never=NEVER_OFF)
        return dataclasses.replace(
            settled,
            findings=tuple(sorted(settled.findings, key=lambda each: (each.path, each.line, each.rule, each.resource))),
            problems=tuple(sorted(settled.problems, key=lambda each: (each.path, each.line, each.message))),
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
        absent=tuple(dict.fromkeys(each for scan in scans for each in scan.absent)),
    )


def _nothing(scan: Scan) -> list[Problem]:
    empty = not scan.scanned or any(count <= 0 for count in scan.scanned.values())
    return [Problem("nothing was scanned", scan.target)] if empty else []
