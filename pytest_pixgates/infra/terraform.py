"""Terraform: formatted, initialised from locked providers, valid, and its own tests pass.

Green without looking, so not trusted: an empty folder (fmt, init and validate say fine), a lock file whose only
hashes are of the kind that nothing checks, and `terraform test` that finds no test.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pytest_pixgates.core import environ, process, sources
from pytest_pixgates.core.errors import NotMeasured, ToolError
from pytest_pixgates.core.process import Completed, run
from pytest_pixgates.core.scan import Finding, Problem, Scan, Severity
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.tools import Tool
from pytest_pixgates.infra import hcl, invocation, shared_root

NAME = "terraform"
FORMAT = ("fmt", "-check", "-list=true", "-write=false", "-recursive", "-no-color")
INIT = ("init", "-backend=false", "-lockfile=readonly", "-input=false", "-no-color")
VALIDATE = ("validate", "-json", "-no-color")
VALIDATE_RULE = "terraform-validate"
TEST = ("test", "-json", "-no-color")

Place = Callable[[str], str]
Run = tuple[str, str]  # a test file as Terraform names it, and a run in it


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform as it is run here. `mirror` is a folder of providers (host/namespace/type/version/os_arch).

    `timeout` is in seconds, for each command.
    """

    tool: Tool
    root: Path
    timeout: float = 600.0
    mirror: Path | None = None

    def scan(self, folder: Path, validated: Validated | None = None) -> Scan:
        """Judge the stack at `folder`, but for what is known of exactly this state of it. Raises ToolError.

        The work tree stays as it is.
        """
        target, stack = sources.name(folder, self.root), hcl.load(folder, self.root)
        subjects = sources.trees(stack.judged, self.root)
        problems = self._problems(stack)
        if problems:
            return Scan(NAME, target, problems=problems, subjects=subjects)
        with tempfile.TemporaryDirectory(prefix="pixgates-terraform-") as scratch:
            session = _Session(self, folder, environment(Path(scratch), self.mirror))
            known = validated.findings if validated is not None and validated.subjects == subjects else None
            findings, judged, runs = session.judge(stack, known)
        commands: list[invocation.Argv] = [(self.tool.path, *each) for each in session.commands]
        return Scan(
            NAME,
            target,
            scanned={**stack.scanned, **({"test runs": runs} if stack.tests else {})},
            findings=tuple(findings),
            problems=tuple(judged),
            tools=(invocation.used(self.tool, self.root, *commands),),
            subjects=subjects,
        )

    def scans(self, folders: Sequence[Path]) -> Iterator[tuple[Path, Callable[[], Scan]]]:
        """For each stack what judges it as `scan` does, valid or not being worked out for all at once where it can."""
        stacks = {folder: hcl.load(folder, self.root) for folder in folders}
        ready = {folder: stack for folder, stack in stacks.items() if not self._problems(stack)}
        validated: dict[Path, Validated] = {}
        for together in shared_root.groups(ready):
            validated |= self._validated({folder: ready[folder] for folder in together})
        with process.pool(process.cores()) as pool:
            scans = [(folder, pool.submit(self.scan, folder, validated.get(folder))) for folder in folders]
            yield from ((folder, scan.result) for folder, scan in scans)

    def _validated(self, stacks: Mapping[Path, hcl.Stack]) -> dict[Path, Validated]:
        subjects = {folder: sources.trees(stack.judged, self.root) for folder, stack in stacks.items()}
        with tempfile.TemporaryDirectory(prefix="pixgates-terraform-") as name:
            scratch = Path(name).resolve()
            env = environment(scratch, self.mirror)
            try:
                found = shared_root.validate(stacks, self.root, scratch, partial(self._validate_root, env))
            except NotMeasured:  # each says by itself why
                return {}
        return {
            folder: Validated(
                tuple(_finding(VALIDATE_RULE, each, lambda path: sources.name(Path(path), self.root)) for each in said),
                subjects[folder],
            )
            for folder, said in found.items()
        }

    def _validate_root(self, env: Mapping[str, str], folder: Path) -> list[dict[str, Any]] | None:
        if run((self.tool.path, *INIT), cwd=folder, timeout=self.timeout, env=env).returncode:
            return None
        return parse_validate(run((self.tool.path, *VALIDATE), cwd=folder, timeout=self.timeout, env=env))

    def _problems(self, stack: hcl.Stack) -> tuple[Problem, ...]:
        return (*stack.problems, *_lock_problems(stack, self.root), *_test_problems(stack))


@dataclass(frozen=True, slots=True)
class Validated:
    """What `terraform validate` found in a stack, as `subjects` say that it was then."""

    findings: tuple[Finding, ...]
    subjects: tuple[Subject, ...]


def environment(scratch: Path, mirror: Path | None = None) -> dict[str, str]:
    """The variables of a run: its data in `scratch`, its providers from `mirror` if there is one. Raises ToolError."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("TF_TOKEN_")}
    variables |= {"TF_DATA_DIR": str(scratch / "data"), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
    # A provider's schema is garbage that is collected again and again: a quarter less CPU for 6 % more memory.
    variables["GOGC"] = "400"
    inherited = os.environ.get("TF_CLI_CONFIG_FILE", "")
    if mirror is not None:
        configuration = scratch / "mirror.tfrc"
        configuration.write_text(mirror_configuration(mirror), encoding="utf-8")
        variables["TF_CLI_CONFIG_FILE"] = str(configuration)
    elif inherited and Path(inherited).is_file():  # one that names a missing file only warns, on every command
        variables["TF_CLI_CONFIG_FILE"] = inherited
    return variables


def mirror_configuration(mirror: Path) -> str:
    """A command-line configuration that takes what `mirror` holds from there alone. Raises ToolError if it is empty."""
    types = sorted({"/".join(path.relative_to(mirror).parts[:3]) for path in mirror.glob("*.*/*/*/*/*_*")})
    if not types:
        raise ToolError(
            f"the Terraform mirror {mirror} holds no provider",
            remedy=f"lay it out host/namespace/type/version/os_arch, or name none ({environ.TERRAFORM_MIRROR})",
        )
    # Without the exclusion Terraform would still ask the registry, which is an error where there is no network.
    return (
        "provider_installation {\n"
        f"  filesystem_mirror {{\n    path    = {json.dumps(str(mirror))}\n    include = {json.dumps(types)}\n  }}\n"
        f"  direct {{\n    exclude = {json.dumps(types)}\n  }}\n}}\n"
    )


class _Session:
    """The commands of one scan, run one after the other in the stack's folder."""

    def __init__(self, terraform: Terraform, folder: Path, env: dict[str, str]) -> None:
        self.terraform, self.folder, self.env = terraform, folder, env
        self.target = sources.name(folder, terraform.root)
        self.commands: list[tuple[str, ...]] = []

    def judge(
        self, stack: hcl.Stack, validated: tuple[Finding, ...] | None
    ) -> tuple[list[Finding], list[Problem], int]:
        """The findings, the problems, and how many test runs passed."""
        findings = list(self._format())
        problems = list(self._init()) if validated is None or stack.tests else []
        if problems:
            return findings, problems, 0
        if validated is None:
            findings += self._validate()
        else:
            self.commands += [INIT, VALIDATE]  # in a root that several stacks share
            findings += validated
        if any(each.severity is Severity.ERROR and each.rule == VALIDATE_RULE for each in findings):
            return findings, problems, 0  # its tests could only repeat the error
        runs = 0
        if stack.tests:
            outcome = parse_tests(self._run(TEST), self.place, stack.tests, self.folder)
            findings, problems, runs = [*findings, *outcome.findings], [*outcome.problems], outcome.passed
        return findings, problems, runs

    def place(self, filename: str) -> str:
        return sources.name(self.folder / filename, self.terraform.root) if filename else self.target

    def _run(self, command: tuple[str, ...]) -> Completed:
        self.commands.append(command)
        terraform = self.terraform
        return run((terraform.tool.path, *command), cwd=self.folder, timeout=terraform.timeout, env=self.env)

    def _format(self) -> Iterator[Finding]:
        for name in parse_format(self._run(FORMAT)):
            message, fix = "is not formatted as `terraform fmt` does", f"terraform fmt -recursive {self.target}"
            yield Finding("terraform-fmt", message, self.place(name), severity=Severity.WARNING, fix=fix)

    def _init(self) -> Iterator[Problem]:
        done = self._run(INIT)
        if done.returncode != 0:
            fix = "run `terraform init` where the providers can be reached, and commit the lock file"
            yield Problem(f"terraform init failed: {_one_line(done)}", self.target, fix=fix)

    def _validate(self) -> list[Finding]:
        return [_finding(VALIDATE_RULE, each, self.place) for each in parse_validate(self._run(VALIDATE))]


def parse_format(done: Completed) -> list[str]:
    """The unformatted files that `terraform fmt -check` names. Raises ToolError."""
    names = sorted(line for line in done.stdout.split("\n") if line.strip())
    if done.returncode not in (0, 3):
        raise ToolError(f"terraform fmt ended with {done.returncode}: {_one_line(done)}")
    if done.returncode != (3 if names else 0):
        raise ToolError(f"terraform fmt contradicts itself: {len(names)} file(s), return code {done.returncode}")
    return names


def parse_validate(done: Completed) -> list[dict[str, Any]]:
    """The diagnostics of `terraform validate -json`. Raises ToolError, also for parts that don't fit together."""
    try:
        report = json.loads(done.stdout)
        diagnostics = [dict(each) for each in report["diagnostics"]]
        valid, counted = report["valid"], (report["error_count"], report["warning_count"])
    except (ValueError, KeyError, TypeError):
        raise ToolError(f"terraform validate said nothing readable: {done.tail()}") from None
    errors = sum(map(is_error, diagnostics))
    fitting = (errors, len(diagnostics) - errors)
    if valid is not (not errors) or counted != fitting or done.returncode != bool(errors):
        said = f"valid: {json.dumps(valid)}, {counted[0]} error(s) and {counted[1]} warning(s) counted, {errors} listed"
        raise ToolError(f"terraform validate contradicts itself: {said}, return code {done.returncode}: {done.tail()}")
    return diagnostics


@dataclass(frozen=True, slots=True)
class Tests:
    """What `terraform test` said: `passed` counts runs."""

    findings: tuple[Finding, ...]
    problems: tuple[Problem, ...]
    passed: int


def parse_tests(done: Completed, place: Place, tests: tuple[hcl.Source, ...], folder: Path) -> Tests:
    """Read `terraform test -json`. `place` maps its file names to those of the repository. Raises ToolError.

    It ends well with no test at all, so every run that `tests` declare must have been reported as passed.
    """
    status, findings, problems = dict[Run, str](), list[Finding](), list[Problem]()
    explained, summary = set[Run](), dict[str, Any]()
    try:
        for event in map(json.loads, done.stdout.splitlines()):
            run = (str(event.get("@testfile", "")), str(event.get("@testrun", "")))
            if event["type"] == "test_run" and (told := event["test_run"].get("status")):
                if status.setdefault(run, told) != told:
                    raise ToolError(f"terraform test contradicts itself: run {run[1]!r} is {status[run]} and {told}")
            elif event["type"] == "test_summary":
                summary = dict(event["test_summary"])
            elif event["type"] == "diagnostic" and is_error(event["diagnostic"]):
                finding = _finding("terraform-test", event["diagnostic"], place)
                if status.get(run) == "fail":
                    findings.append(finding)
                    explained.add(run)
                else:  # the run broke off: nothing was asserted
                    message = f"terraform test could not run {run[1] or 'the tests'}: {finding.message}"
                    problems.append(Problem(message, finding.path, finding.line, "mend the test"))
        counts = {key: int(summary.get(key, 0)) for key in ("passed", "failed", "errored", "skipped")}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ToolError(f"terraform test said something unreadable: {done.stdout[-200:]!r}") from None
    problems += _missing_runs(tests, folder, status)
    silent = [run for run, said in status.items() if said == "fail" and run not in explained]
    problems += [Problem(f"test run {run[1]!r} failed without saying where", place(run[0])) for run in silent]
    ended = (summary.get("status"), done.returncode)
    problems += [] if problems else _contradictions(ended, counts, Counter(status.values()), place(""))
    return Tests(tuple(findings), tuple(problems), counts["passed"])


def _contradictions(
    ended: tuple[object, int], counts: dict[str, int], runs: Counter[str], path: str
) -> Iterator[Problem]:
    """Where the summary says that not all was run, or the parts don't fit together."""
    said = ", ".join(f"{count} {key}" for key, count in counts.items())
    if counts["errored"] or counts["skipped"] or not (counts["passed"] or counts["failed"]):
        yield Problem(f"terraform test did not run everything: {said}", path)
    elif (counts["passed"], counts["failed"]) != (runs["pass"], runs["fail"]) or (
        ended != (("fail", 1) if runs["fail"] else ("pass", 0))
    ):
        reported = ", ".join(f"{count} {name}" for name, count in sorted(runs.items()))
        all_said = f"{said}, {ended[0]} as a whole; reported {reported}; return code {ended[1]}"
        yield Problem(f"terraform test contradicts itself: {all_said}", path)


def _missing_runs(tests: tuple[hcl.Source, ...], folder: Path, status: dict[tuple[str, str], str]) -> Iterator[Problem]:
    for test in tests:
        for block in test.blocks:
            key = (test.path.relative_to(folder).as_posix(), block.labels[0] if block.labels else "")
            if block.kind == "run" and status.get(key) not in ("pass", "fail", "error"):
                said = status.get(key, "not reported")
                yield Problem(
                    f"test run {key[1]!r} was not run: {said}", test.name, block.line, "mend what precedes it"
                )


def is_error(diagnostic: Mapping[str, Any]) -> bool:
    """Whether a diagnostic is more than a warning; a severity that is unknown here counts as an error."""
    return diagnostic.get("severity") != "warning"


def _finding(rule: str, diagnostic: dict[str, Any], place: Place) -> Finding:
    span, snippet = diagnostic.get("range") or {}, diagnostic.get("snippet") or {}
    detail = " ".join(str(diagnostic.get("detail", "")).split())
    return Finding(
        rule,
        ": ".join(filter(None, (str(diagnostic.get("summary", "")), detail))),
        place(str(span.get("filename", ""))),
        int((span.get("start") or {}).get("line", 0)),
        Severity.ERROR if is_error(diagnostic) else Severity.WARNING,
        resource=str(snippet.get("context") or ""),
        fix="mend it where the message says",
    )


def _one_line(done: Completed) -> str:
    return " ".join(done.tail().replace("│", " ").replace("╷", " ").replace("╵", " ").split())


def _lock_problems(stack: hcl.Stack, root: Path) -> Iterator[Problem]:
    # With -lockfile=readonly a wrong h1 is refused, but a lock that has only zh: hashes is accepted unchecked.
    path, label = stack.folders[0] / shared_root.LOCK, sources.name(stack.folders[0] / shared_root.LOCK, root)
    if not path.exists():
        if stack.needs_providers:
            message = f"there is no {shared_root.LOCK}, so the providers are not pinned"
            yield Problem(message, sources.name(stack.folders[0], root), fix="run `terraform init` there and commit it")
        return
    try:
        blocks = hcl.parse(sources.read(path, root), label)
    except sources.Unreadable as error:
        yield error.problem
        return
    for block in blocks:
        if block.kind == "provider" and '"h1:' not in block.attributes.get("hashes", ""):
            message = f"provider {' '.join(block.labels)} has no h1: hash, so its content is not checked"
            yield Problem(message, label, block.line, "terraform providers lock -platform=linux_amd64")


def _test_problems(stack: hcl.Stack) -> Iterator[Problem]:
    for test in stack.tests:
        if not any(block.kind == "run" for block in test.blocks):
            yield Problem("holds no run block, so it tests nothing", test.name, fix="write one, or remove the file")
