"""tflint: what Terraform accepts and shouldn't be written.

Its return code says little, so its JSON is judged; and whatever would make it look away (its configuration, ignore
comments, modules that it can't load) is looked for here.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pixgates.core import sources
from pytest_pixgates.core.errors import ToolError
from pytest_pixgates.core.process import Completed, run
from pytest_pixgates.core.scan import Finding, Problem, Scan, Severity
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.tools import Tool
from pytest_pixgates.infra import hcl, inline_skips, invocation

NAME = "tflint"
CONFIG = ".tflint.hcl"
RECOMMENDED = 'plugin "terraform" {\n  enabled = true\n  preset  = "recommended"\n}\n'
_SEVERITY = {"error": Severity.ERROR, "warning": Severity.WARNING, "notice": Severity.NOTE, "info": Severity.NOTE}


@dataclass(frozen=True, slots=True)
class Tflint:
    """tflint as it is run here, with the bundled ruleset and those named in `rulesets`.

    `config` is the configuration for every target; without one the nearest `.tflint.hcl` counts, else the bundled
    ruleset's recommended preset. `timeout` is in seconds.
    """

    tool: Tool
    root: Path
    timeout: float = 600.0
    config: Path | None = None
    rulesets: tuple[str, ...] = ()

    def scan(self, folder: Path) -> Scan:
        """Judge the stack at `folder`, and its calls of modules. Raises ToolError."""
        target, stack = sources.name(folder, self.root), hcl.load(folder, self.root)
        config = self.config or nearest_config(folder, self.root)
        judged = (*stack.judged, *((config,) if config else ()))
        subjects = (*sources.trees(judged, self.root), *self._absent(folder, config))
        skips = [each for it in stack.sources for each in inline_skips.inline_skips(NAME, it.text, it.name)]
        problems = (*stack.problems, *config_problems(config, self.root, self.rulesets))
        if problems:
            return Scan(NAME, target, findings=tuple(skips), problems=problems, subjects=subjects)
        with tempfile.TemporaryDirectory(prefix="pixgates-tflint-") as scratch:
            recommended = Path(scratch, "recommended.hcl")
            recommended.write_text(RECOMMENDED, encoding="utf-8")
            # "all": a module that isn't there is an error, instead of a call that goes unseen.
            options = (f"--config={(config or recommended).absolute()}", "--call-module-type=all")
            argv = (self.tool.path, *options, "--format=json", "--no-color")
            done = run(argv, cwd=folder, timeout=self.timeout)
        findings, errors = parse(done, folder, self.root)
        return Scan(
            NAME,
            target,
            scanned=stack.scanned,
            findings=(*skips, *findings),
            problems=errors,
            tools=(invocation.used(self.tool, self.root, argv),),
            subjects=subjects,
        )

    def _absent(self, folder: Path, config: Path | None) -> Iterator[Subject]:
        """The configurations that would count instead, were they there."""
        for place in (folder, *folder.parents) if self.config is None else ():
            if place / CONFIG == config:
                return
            yield Subject(sources.name(place / CONFIG, self.root), "", "absent")
            if place == self.root:
                return


def nearest_config(folder: Path, root: Path) -> Path | None:
    """The `.tflint.hcl` in `folder` or above it, up to `root`."""
    for place in (folder, *folder.parents):
        if (place / CONFIG).exists():
            return place / CONFIG
        if place == root:
            break
    return None


def config_problems(config: Path | None, root: Path, rulesets: tuple[str, ...] = ()) -> Iterator[Problem]:
    """What in `config` would make tflint look away without a reviewed reason."""
    if config is None:
        yield from (_not_enabled(ruleset, CONFIG) for ruleset in rulesets)
        return
    label = sources.name(config, root)
    try:
        blocks = hcl.parse(sources.read(config, root), label)
    except sources.Unreadable as error:
        yield error.problem
        return
    enabled = set()
    for block in blocks:
        what = " ".join((block.kind, *block.labels))
        if block.kind == "plugin" and block.labels and block.attributes.get("enabled") == "true":
            enabled.add(block.labels[0])
        elif block.kind in ("plugin", "rule") and block.attributes.get("enabled") != "true":
            fix = "enable it here, and switch rules off with a reason in [[infra.rules]] of gates/gates.toml"
            yield Problem(f"{what} is switched off", label, block.line, fix)
        for name in ("disabled_by_default", "force", "ignore_module", "only"):
            if block.kind == "config" and block.attributes.get(name, "false") != "false":
                yield Problem(f"{name} would make tflint look away", label, block.line, "remove it")
    for ruleset in sorted(enabled - {"terraform", *rulesets}):
        fix = f'add it to the policy: rulesets = ["{ruleset}"]'
        yield Problem(f"ruleset {ruleset} is not one that the policy names", label, fix=fix)
    yield from (_not_enabled(ruleset, label) for ruleset in sorted(set(rulesets) - enabled))


def _not_enabled(ruleset: str, label: str) -> Problem:
    return Problem(
        f"ruleset {ruleset} of the policy is not enabled", label, fix=f'plugin "{ruleset}" {{ enabled = true }}'
    )


def parse(done: Completed, folder: Path, root: Path) -> tuple[tuple[Finding, ...], tuple[Problem, ...]]:
    """Read tflint's JSON: its issues, and what it could not load. Raises ToolError for anything else."""
    try:
        report = json.loads(done.stdout)
        issues = tuple(_finding(issue, folder, root) for issue in report["issues"])
        errors = tuple(_problem(error, folder, root) for error in report["errors"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ToolError(f"tflint said nothing readable: {done.tail() or done.stdout[:200]!r}") from None
    if done.returncode != (1 if errors else 2 if issues else 0):
        said = f"{len(issues)} issue(s), {len(errors)} error(s), return code {done.returncode}"
        raise ToolError(f"tflint contradicts itself: {said}: {done.tail()}")
    return issues, errors


def _finding(issue: dict[str, Any], folder: Path, root: Path) -> Finding:
    rule, (path, line) = issue["rule"], _place(issue, folder, root)
    return Finding(
        rule["name"],
        issue["message"],
        path,
        line,
        _SEVERITY.get(str(rule.get("severity")).lower(), Severity.ERROR),
        fix=f"see {rule['link']}" if rule.get("link") else "mend it, or switch the rule off with a reason",
        help_uri=rule.get("link") or "",
    )


def _problem(error: dict[str, Any], folder: Path, root: Path) -> Problem:
    path, line = _place(error, folder, root)
    message = ": ".join(filter(None, (error.get("summary"), error.get("message")))) or "failed without a reason"
    fix = "run `terraform init` there, or call a module of this repository" if "module" in message else ""
    return Problem(f"tflint: {message}", path, line, fix)


def _place(issue: dict[str, Any], folder: Path, root: Path) -> tuple[str, int]:
    span = issue.get("range") or {}
    filename = str(span.get("filename") or "")
    return sources.name(folder / filename, root), int((span.get("start") or {}).get("line", 0))
