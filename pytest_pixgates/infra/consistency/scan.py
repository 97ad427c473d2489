"""One scan of an overlay by every rule of consistency; what can't be read is a problem of it, never an exception."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_pixgates
from pytest_pixgates.core import files, sources
from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.core.scan import Finding, Problem, Scan, ToolUse
from pytest_pixgates.core.tools import Tool
from pytest_pixgates.infra import invocation, kustomize
from pytest_pixgates.infra.consistency.rule import AnyRule, Seen
from pytest_pixgates.infra.consistency.rules import RULES
from pytest_pixgates.infra.consistency.world import World

NAME = "consistency"


@dataclass(frozen=True, slots=True)
class Consistency:
    """The rules, on what `kubectl kustomize` renders.

    `external` are objects (Kind/name) that are made elsewhere; `tags` says that images may be named by tag here.
    `timeout` is in seconds.
    """

    kubectl: Tool
    root: Path
    external: tuple[str, ...] = ()
    tags: bool = False
    timeout: float = 600.0

    def scan(self, folder: Path) -> Scan:
        """Judge what `folder` renders."""
        target, overlay = sources.name(folder, self.root), kustomize.load(folder, self.root)
        try:
            subjects = sources.trees(overlay.folders, self.root)
            if overlay.problems:
                return Scan(NAME, target, problems=overlay.problems, subjects=subjects)
            rendered = kustomize.render(self.kubectl, folder, timeout=self.timeout)
            label = f"{target} (rendered)"
            objects = kustomize.parse(rendered, label)
            kubectl = self._kubectl(folder)
        except sources.Unreadable as error:
            return Scan(NAME, target, problems=(error.problem,))
        except NotMeasured as error:
            return Scan(NAME, target, problems=(Problem(error.message, target, fix=error.remedy),))
        except OSError as error:
            return Scan(NAME, target, problems=(Problem(f"can't be read: {error.strerror or error}", target),))
        world = World(overlay, objects, frozenset(self.external), self.tags)
        checks, findings, problems = judged(world, RULES, target)
        return Scan(
            NAME,
            target,
            scanned={"objects": len(objects), "checks": checks.total()},
            findings=findings,
            problems=problems,
            tools=(kubectl, rules_used(RULES, checks)),
            subjects=(*subjects, kustomize.subject(rendered, label)),
            absent=absent(RULES, checks),
        )

    def _kubectl(self, folder: Path) -> ToolUse:
        return invocation.used(self.kubectl, self.root, kustomize.command(self.kubectl, folder))


def judged(
    world: Seen, rules: Sequence[AnyRule[Seen, Any]], label: str
) -> tuple[Counter[str], tuple[Finding, ...], tuple[Problem, ...]]:
    """How many parts of `world`, called `label`, each rule really looked at, what they found, and what they could not
    read.
    """
    checks, findings, problems = Counter[str](), list[Finding](), list[Problem]()
    for rule in rules:
        try:
            for subject in rule.subjects(world):
                findings += rule.judge(subject)
                checks[rule.name] += 1
        except sources.Unreadable as error:
            problems.append(error.problem)
        except (TypeError, ValueError, AttributeError, LookupError, RecursionError) as error:
            # A shape that no rule foresaw: the schemas say where; here it must not pass for a look.
            fix = "run the other gates on it; if those pass, report this as a defect of the rule"
            message = f"{rule.name} could not look at it: {type(error).__name__}: {error}"
            problems.append(Problem(message, label, fix=fix))
    return checks, tuple(dict.fromkeys(findings)), tuple(dict.fromkeys(problems))


def rules_used(rules: Sequence[AnyRule[Any, Any]], checks: Counter[str]) -> ToolUse:
    """The rules as a tool: the version of this package, the digest of their code, and what each looked at."""
    code = files.tree_sha256(Path(__file__).parent)
    looked = (f"{rule.name}={checks[rule.name]}" for rule in rules)
    return ToolUse("pixgates-consistency", pytest_pixgates.__version__, code, tuple(looked))


def absent(rules: Sequence[AnyRule[Any, Any]], checks: Counter[str]) -> tuple[str, ...]:
    """The rules for which there was nothing to look at."""
    return tuple(rule.name for rule in rules if not checks[rule.name])
