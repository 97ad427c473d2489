"""checkov: known misconfigurations in Terraform, Kubernetes, Dockerfiles and workflows.

It ends well on nearly everything that should not be green, so only its JSON is judged, and only against what
`inputs` counted; and it is called so that neither a configuration lying around nor the network has a say.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pytest_pixgates.core import process, sources
from pytest_pixgates.core.documents import Document
from pytest_pixgates.core.errors import NotMeasured, ToolError
from pytest_pixgates.core.process import Completed, run
from pytest_pixgates.core.scan import Finding, Problem, Scan, Severity
from pytest_pixgates.core.tools import Tool
from pytest_pixgates.infra import inline_skips, invocation, kustomize, saved
from pytest_pixgates.infra.inputs import Inputs, add_manifest, framework_of, is_workload, read

NAME = "checkov"
FRAMEWORKS = ("terraform", "terraform_plan", "kubernetes", "dockerfile", "github_actions")
# Off the network, or it waits up to 40 s for answers; and loud enough to hear of modules that it did not load.
QUIET = {"CKV_SKIP_PACKAGE_UPDATE_CHECK": "true", "BC_SKIP_MAPPING": "TRUE", "LOG_LEVEL": "WARNING"}
_UNLOADED = re.compile(r"Unable to load module|failed to load via|Failed to download module")
_SEVERITY = {"LOW": Severity.NOTE, "MEDIUM": Severity.WARNING}
_INDEX = "https://www.checkov.io/5.Policy%20Index/{}.html"

_MANY = Path(__file__).with_name("checkov_many.py")

Place = Callable[[dict[str, Any]], tuple[str, int]]


def _no_terraform() -> Tool:
    raise NotMeasured("it is a saved plan, and there is no terraform to show it")


@dataclass(frozen=True, slots=True)
class Checkov:
    """checkov as it is run here. `timeout` is in seconds.

    A kustomize overlay is rendered with `kubectl` first, and a saved plan is shown by what `terraform` gives: what
    counts is what will run.
    """

    tool: Tool
    root: Path
    frameworks: tuple[str, ...] = FRAMEWORKS
    timeout: float = 600.0
    kubectl: Tool | None = None
    terraform: Callable[[], Tool] = _no_terraform

    def scan(self, target: Path) -> Scan:
        """Judge the file or folder at `target`. Raises ToolError."""
        with tempfile.TemporaryDirectory(prefix="pixgates-checkov-") as scratch:
            asked = self._asked(target, Path(scratch).resolve())
            return asked.judge(self._run(asked.argv, Path(scratch)) if asked.argv else None)

    def scans(self, targets: Sequence[Path]) -> Iterator[tuple[Path, Callable[[], Scan]]]:
        """For each target what judges it as `scan` does, by checkov that is started only once."""
        with tempfile.TemporaryDirectory(prefix="pixgates-checkov-") as name:
            scratch = Path(name).resolve()
            asked: dict[Path, _Asked] = {}
            for number, target in enumerate(targets):
                (scratch / f"target{number}").mkdir()
                with contextlib.suppress(NotMeasured, OSError):  # `scan` says why
                    asked[target] = self._asked(target, scratch / f"target{number}")
            said = self._run_all({target: each.argv for target, each in asked.items() if each.argv}, scratch)
            for target in targets:
                if target in said or (target in asked and not asked[target].argv):
                    yield target, partial(asked[target].judge, said.get(target))
                else:
                    yield target, partial(self.scan, target)

    def _run(self, argv: Sequence[str | Path], scratch: Path) -> Completed:
        return run((self.tool.path, *argv), cwd=scratch, timeout=self.timeout, env=_environment(scratch))

    def _run_all(self, jobs: Mapping[Path, Sequence[str | Path]], scratch: Path) -> dict[Path, Completed]:
        """What checkov says to each of `jobs`; without those that it did not end, and empty if it can't be done so."""
        python = _python_of(self.tool.path)
        if python is None or len(jobs) < 2:
            return {}
        (scratch / "jobs.json").write_text(json.dumps([[os.fspath(each) for each in argv] for argv in jobs.values()]))
        cores = str(process.cores())
        # -I, or the folder of the script and this machine's PYTHON* would be searched for modules.
        argv = (python, "-I", _MANY, scratch / "jobs.json", scratch, cores)
        with contextlib.suppress(NotMeasured):
            run(argv, cwd=scratch, timeout=self.timeout, env=_environment(scratch))
        ended = ((target, _completed(scratch / str(number))) for number, target in enumerate(jobs))
        return {target: done for target, done in ended if done is not None}

    def _asked(self, target: Path, scratch: Path) -> _Asked:
        """What checkov is to be asked about `target`. `scratch` must live until it is judged. Raises NotMeasured."""
        if target.is_dir() and kustomize.is_overlay(target) and "kubernetes" in self.frameworks:
            return self._asked_of_overlay(target, scratch)
        if target.is_file() and saved.is_plan(target) and "terraform_plan" in self.frameworks:
            return self._asked_of_plan(target, scratch)
        label, inputs = sources.name(target, self.root), read(target, self.root, self.frameworks)
        return self._ask(label, inputs, target, lambda record: _place(record, target, self.root))

    def _asked_of_overlay(self, folder: Path, scratch: Path) -> _Asked:
        label, overlay = sources.name(folder, self.root), kustomize.load(folder, self.root)
        generated = f"{label} (rendered)"
        inputs = Inputs(folders=list(overlay.folders), problems=list(overlay.problems), texts=dict(overlay.texts))
        inputs.problems += self._beside(folder)
        if inputs.problems:
            return self._ask(label, inputs, folder, lambda _: (label, 0))
        if self.kubectl is None:
            raise NotMeasured(f"{label} is a kustomize overlay, and there is no kubectl to render it")
        rendered = kustomize.render(self.kubectl, folder, timeout=self.timeout)
        objects = kustomize.parse(rendered, generated)
        add_manifest(rendered, generated, inputs)
        inputs.visible = {overlay.where(each.kind, each.name)[0] for each in objects if is_workload(each)}
        manifest = scratch / "rendered.yaml"
        manifest.write_text(rendered, encoding="utf-8")
        asked = self._ask(label, inputs, manifest, _in_sources(overlay, objects, generated))
        kubectl = invocation.used(self.kubectl, self.root, kustomize.command(self.kubectl, folder))

        def judge(done: Completed | None) -> Scan:
            scan = asked.judge(done)
            subjects = (*scan.subjects, kustomize.subject(rendered, generated))
            return dataclasses.replace(scan, tools=(*scan.tools, kubectl), subjects=subjects)

        return _Asked(asked.argv, judge)

    def _asked_of_plan(self, file: Path, scratch: Path) -> _Asked:
        label, declared = sources.name(file, self.root), saved.Declared.of(file, self.root)
        plan = saved.read(file, self.root, self.terraform, self.timeout)
        inputs = Inputs(folders=[file], problems=[*declared.problems])
        inputs.add("terraform_plan", label, saved.resources(plan.data))
        (scratch / "plan.json").write_text(plan.text, encoding="utf-8")
        asked = self._ask(label, inputs, scratch / "plan.json", lambda each: declared.place(str(each.get("resource"))))

        def judge(done: Completed | None) -> Scan:
            scan = asked.judge(done)
            return dataclasses.replace(scan, tools=(*scan.tools, *plan.used))

        return _Asked(asked.argv, judge)

    def _beside(self, folder: Path) -> Iterator[Problem]:
        # Only what kustomize renders is judged of an overlay, so anything else in it would go unseen.
        for path in sources.visible(folder):
            if (framework := framework_of(path, self.frameworks)) not in ("", "kubernetes"):
                message = f"{framework} inside a kustomize overlay is not judged with it"
                yield Problem(message, sources.name(path, self.root), fix="move it, or name it in `checkov` by itself")

    def _ask(self, label: str, inputs: Inputs, target: Path, place: Place) -> _Asked:
        """Ask about `target`, and hold what is said against `inputs`."""
        subjects = sources.trees(inputs.folders, self.root)
        skips = [each for name, text in inputs.texts.items() for each in inline_skips.inline_skips(NAME, text, name)]
        if inputs.problems:
            broken = Scan(NAME, label, findings=tuple(skips), problems=tuple(inputs.problems), subjects=subjects)
            return _Asked((), lambda _: broken)
        option = "-f" if target.is_file() else "-d"
        selected = [each for each in self.frameworks if each in inputs.frameworks]
        argv: list[str | Path] = [option, target.absolute(), "--framework", *selected]
        argv += ["-o", "json", "--compact", "--skip-download"]

        def judge(done: Completed | None) -> Scan:
            if done is None:
                raise ToolError(f"checkov was not run on {label}")
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
                tools=(invocation.used(self.tool, self.root, (self.tool.path, *argv)),),
                subjects=subjects,
            )

        return _Asked(tuple(argv), judge)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The arguments for checkov, none if there is nothing to ask; and what makes a scan of what it said."""

    argv: tuple[str | Path, ...]
    judge: Callable[[Completed | None], Scan]


def _environment(scratch: Path) -> dict[str, str]:
    # An empty home (and working folder): it reads .checkov.yaml in both.
    return {**QUIET, "HOME": str(scratch)}


def _python_of(launcher: Path) -> Path | None:
    """The Python of checkov's own launcher; None for one that is written otherwise, which is then run as it is."""
    try:
        head = launcher.read_text(encoding="utf-8")[:2000]
    except (OSError, UnicodeDecodeError):
        return None
    python = re.match(r"#!(\S+/python[\d.]*)\n", head)
    return Path(python[1]) if python and "from checkov.main import Checkov" in head else None


def _completed(out: Path) -> Completed | None:
    """What one of many runs said, None if it did not come to its end."""
    try:
        code = int(out.with_suffix(".rc").read_text())
        return Completed(code, out.with_suffix(".out").read_text(), out.with_suffix(".err").read_text())
    except (OSError, ValueError):
        return None


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
    listed = {key: len(each) for key, each in records.items()}
    odd = [each for key in records for each in records[key] if _result(each) not in ("", key.upper())]
    if counted != listed or odd:
        said = f"its summary of {framework} is {counted}, its lists hold {listed}, {len(odd)} of another result"
        raise ToolError(f"checkov contradicts itself: {said}")
    unparsed = results.get("parsing_errors") or []
    problems = [Problem("checkov could not parse it", place({"file_abs_path": each})[0]) for each in unparsed]
    if report["summary"].get("parsing_errors") and not unparsed:
        problems.append(Problem(f"checkov could not parse some {framework} file and does not say which"))
    return Report(
        failed=tuple(_finding(record, framework, place) for record in records["failed"]),
        skipped=tuple(inline_skips.inline_skip(NAME, each["check_id"], *place(each)) for each in records["skipped"]),
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
        if "results" in report:
            yield report
        elif any(report.get(key) for key in ("passed", "failed", "skipped", "parsing_errors")):
            # A bare summary is what it prints for nothing.
            raise ToolError(f"checkov counts results that it does not list: {done.stdout[:200]!r}")


def _result(record: dict[str, Any]) -> str:
    return str((record.get("check_result") or {}).get("result") or "")


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
