"""checkov: known misconfigurations in Terraform, Kubernetes, Dockerfiles and workflows.

It ends well on nearly everything that should not be green, so only its JSON is judged, and only against what
`inputs` counted; and it is called so that neither a configuration lying around nor the network has a say.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pixgates.core.errors import NotMeasured, ToolError
from pytest_pixgates.core.process import Completed, run
from pytest_pixgates.core.scan import Finding, Problem, Scan, Severity
from pytest_pixgates.core.tools import Tool
from pytest_pixgates.infra import invocation, kustomize, sources
from pytest_pixgates.infra.documents import Document
from pytest_pixgates.infra.inputs import Inputs, add_manifest, framework_of, is_workload, read

NAME = "checkov"
FRAMEWORKS = ("terraform", "kubernetes", "dockerfile", "github_actions")
# Off the network, or it waits up to 40 s for answers; and loud enough to hear of modules that it did not load.
QUIET = {"CKV_SKIP_PACKAGE_UPDATE_CHECK": "true", "BC_SKIP_MAPPING": "TRUE", "LOG_LEVEL": "WARNING"}
_UNLOADED = re.compile(r"Unable to load module|failed to load via|Failed to download module")
_SEVERITY = {"LOW": Severity.NOTE, "MEDIUM": Severity.WARNING}
_INDEX = "https://www.checkov.io/5.Policy%20Index/{}.html"

Place = Callable[[dict[str, Any]], tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Checkov:
    """checkov as it is run here. `timeout` is in seconds.

    A kustomize overlay is rendered with `kubectl` first: what counts is what will run.
    """

    tool: Tool
    root: Path
    frameworks: tuple[str, ...] = FRAMEWORKS
    timeout: float = 600.0
    kubectl: Tool | None = None

    def scan(self, target: Path) -> Scan:
        """Judge the file or folder at `target`. Raises ToolError."""
        if target.is_dir() and kustomize.is_overlay(target) and "kubernetes" in self.frameworks:
            return self._scan_overlay(target)
        label, inputs = sources.name(target, self.root), read(target, self.root, self.frameworks)
        return self._judge(label, inputs, target, lambda record: _place(record, target, self.root))

    def _scan_overlay(self, folder: Path) -> Scan:
        label, overlay = sources.name(folder, self.root), kustomize.load(folder, self.root)
        generated = f"{label} (rendered)"
        inputs = Inputs(folders=list(overlay.folders), problems=list(overlay.problems), texts=dict(overlay.texts))
        inputs.problems += self._beside(folder)
        if inputs.problems:
            return self._judge(label, inputs, folder, lambda _: (label, 0))
        if self.kubectl is None:
            raise NotMeasured(f"{label} is a kustomize overlay, and there is no kubectl to render it")
        rendered = kustomize.render(self.kubectl, folder, timeout=self.timeout)
        objects = kustomize.parse(rendered, generated)
        add_manifest(rendered, generated, inputs)
        inputs.visible = {overlay.where(each.kind, each.name)[0] for each in objects if is_workload(each)}
        with tempfile.TemporaryDirectory(prefix="pixgates-overlay-") as scratch:
            manifest = Path(scratch).resolve() / "rendered.yaml"
            manifest.write_text(rendered, encoding="utf-8")
            scan = self._judge(label, inputs, manifest, _in_sources(overlay, objects, generated))
        kubectl = invocation.used(self.kubectl, self.root, kustomize.command(self.kubectl, folder))
        return dataclasses.replace(
            scan,
            tools=(*scan.tools, kubectl),
            subjects=(*scan.subjects, kustomize.subject(rendered, generated)),
        )

    def _beside(self, folder: Path) -> Iterator[Problem]:
        # Only what kustomize renders is judged of an overlay, so anything else in it would go unseen.
        for path in sources.visible(folder):
            if (framework := framework_of(path, self.frameworks)) not in ("", "kubernetes"):
                message = f"{framework} inside a kustomize overlay is not judged with it"
                yield Problem(message, sources.name(path, self.root), fix="move it, or name it in `checkov` by itself")

    def _judge(self, label: str, inputs: Inputs, target: Path, place: Place) -> Scan:
        """Run checkov on `target`, and hold what it says against `inputs`."""
        subjects = sources.trees(inputs.folders, self.root)
        skips = [each for name, text in inputs.texts.items() for each in sources.inline_skips(NAME, text, name)]
        if inputs.problems:
            return Scan(NAME, label, findings=tuple(skips), problems=tuple(inputs.problems), subjects=subjects)
        option = "-f" if target.is_file() else "-d"
        selected = [each for each in self.frameworks if each in inputs.frameworks]
        argv: list[str | Path] = [self.tool.path, option, target.absolute(), "--framework", *selected]
        argv += ["-o", "json", "--compact", "--skip-download"]
        with tempfile.TemporaryDirectory(prefix="pixgates-checkov-") as scratch:
            # An empty working folder and home: it reads .checkov.yaml in both.
            done = run(argv, cwd=Path(scratch), timeout=self.timeout, env={**QUIET, "HOME": scratch})
        report = parse(done, place)
        unexpected = [each for each in report.skipped if (each.path, each.resource) not in _known(skips)]
        return Scan(
            NAME,
            label,
            scanned={
                "files": sum(len(each) for each in inputs.frameworks.values()),
                "resources": sum(inputs.resources.values()),
                "checks": report.checks,
            },
            findings=(*skips, *unexpected, *report.failed),
            problems=(*report.problems, *_unseen(report, inputs, label)),
            tools=(invocation.used(self.tool, self.root, argv),),
            subjects=subjects,
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What checkov said: `checks` evaluated by framework, and the files that it mentioned."""

    failed: tuple[Finding, ...]
    skipped: tuple[Finding, ...]
    problems: tuple[Problem, ...]
    by_framework: dict[str, int]
    mentioned: frozenset[str]

    @property
    def checks(self) -> int:
        return sum(self.by_framework.values())


def parse(done: Completed, place: Place) -> Report:
    """Read checkov's output in each of its four shapes. `place` tells the source of a record. Raises ToolError."""
    if done.returncode not in (0, 1):
        raise ToolError(f"checkov ended with {done.returncode}: {done.tail()}")
    try:
        parts = [_part(each, place) for each in _reports(done)]
        if done.returncode != any(part.failed for part in parts):
            failed = sum(len(part.failed) for part in parts)
            raise ToolError(f"checkov contradicts itself: {failed} failed, return code {done.returncode}")
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ToolError(f"checkov's output has an unknown form: {done.stdout[:200]!r}") from None
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.by_framework)
    unloaded = [Problem(f"checkov: {line.strip()}") for line in done.stderr.splitlines() if _UNLOADED.search(line)]
    return Report(
        failed=tuple(each for part in parts for each in part.failed),
        skipped=tuple(each for part in parts for each in part.skipped),
        problems=(*unloaded, *(each for part in parts for each in part.problems)),
        by_framework=dict(counts),
        mentioned=frozenset(each for part in parts for each in part.mentioned),
    )


def _part(report: dict[str, Any], place: Place) -> Report:
    """What it said on one framework."""
    framework, results = str(report["check_type"]), report["results"]
    records = {key: results.get(f"{key}_checks") or [] for key in ("passed", "failed", "skipped")}
    counted = {key: report["summary"][key] for key in records}
    if counted != {key: len(listed) for key, listed in records.items()}:
        raise ToolError(f"checkov contradicts itself: its summary of {framework} is {counted}, its lists are others")
    unparsed = results.get("parsing_errors") or []
    problems = [Problem("checkov could not parse it", place({"file_abs_path": each})[0]) for each in unparsed]
    if report["summary"].get("parsing_errors") and not unparsed:
        problems.append(Problem(f"checkov could not parse some {framework} file and does not say which"))
    return Report(
        failed=tuple(_finding(record, framework, place) for record in records["failed"]),
        skipped=tuple(sources.inline_skip(NAME, each["check_id"], *place(each)) for each in records["skipped"]),
        problems=tuple(problems),
        by_framework={framework: sum(map(len, records.values()))},
        mentioned=frozenset(place(record)[0] for each in records.values() for record in each),
    )


def _reports(done: Completed) -> Iterator[dict[str, Any]]:
    if not done.stdout.strip():
        raise ToolError(f"checkov said nothing: {done.tail()}")
    try:
        data = json.loads(done.stdout)
    except ValueError:
        raise ToolError(f"checkov's output is not JSON: {done.stdout[:200]!r}") from None
    for report in data if isinstance(data, list) else [data]:
        if not isinstance(report, dict) or not ("results" in report or "passed" in report):
            raise ToolError(f"checkov's output has an unknown form: {done.stdout[:200]!r}")
        if "results" in report:  # a bare summary is what it prints for nothing; the counts then stay at zero
            yield report


def _finding(record: dict[str, Any], framework: str, place: Place) -> Finding:
    path, line = place(record)
    keys = (record.get("check_result") or {}).get("evaluated_keys") or []
    looked_at = ", ".join(sorted({str(key).strip("[]") for key in keys} - {"resource_type", ""})[:5])
    severity = record.get("severity")
    return Finding(
        record["check_id"],
        str(record.get("check_name") or record["check_id"]),
        path,
        line,
        _SEVERITY.get(severity, Severity.ERROR) if isinstance(severity, str) else Severity.ERROR,
        resource=str(record.get("resource") or ""),
        fix=(f"mend {looked_at}" if looked_at else "mend it") + ", or switch the rule off with a reason",
        help_uri=str(record.get("guideline") or _INDEX.format(framework)),
    )


def _place(record: dict[str, Any], target: Path, root: Path) -> tuple[str, int]:
    """The source of a record. Not every runner gets file_abs_path right, so the file must exist."""
    span, shown = record.get("file_line_range") or [0], str(record.get("file_path") or "").lstrip("/")
    base = target if target.is_dir() else target.parent
    for path in (Path(str(record.get("file_abs_path") or "/")), base / shown, base.parent / shown, target):
        if path.is_file() and sources.inside(path, root):
            return sources.name(path.resolve(), root), max(int(span[0]), 1)
    return sources.name(target, root), 0


def _in_sources(overlay: kustomize.Overlay, objects: tuple[Document, ...], generated: str) -> Place:
    named = {f"{each.kind}.{_namespace(each)}.{each.name}": each for each in objects}

    def place(record: dict[str, Any]) -> tuple[str, int]:
        # The name of an object, and for a part of it more after that.
        resource = str(record.get("resource"))
        name = max((name for name in named if f"{resource}.".startswith(f"{name}.")), key=len, default="")
        return overlay.where(named[name].kind, named[name].name) if name else (generated, 0)

    return place


def _unseen(report: Report, inputs: Inputs, label: str) -> Iterator[Problem]:
    for framework, names in inputs.frameworks.items():
        if inputs.resources[framework] and not report.by_framework.get(framework):
            message = f"checkov evaluated no {framework} check, though there are {len(names)} file(s)"
            yield Problem(message, label, fix="none of its checks applies: take it out of `checkov`")
    for name in sorted(inputs.visible - report.mentioned):
        yield Problem("checkov does not mention this file, so it did not look at it", name)


def _namespace(each: Document) -> str:
    return str(each.value["metadata"].get("namespace", "default"))


def _known(skips: list[Finding]) -> set[tuple[str, str]]:
    return {(each.path, each.resource) for each in skips}
