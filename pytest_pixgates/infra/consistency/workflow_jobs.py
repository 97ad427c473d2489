"""Workflows: jobs whose red would not count, and jobs that must not be stopped halfway."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_pixgates.core import documents
from pytest_pixgates.core.documents import Document
from pytest_pixgates.core.scan import Finding
from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.infra.consistency.configuration import Place
from pytest_pixgates.infra.consistency.rule import AnyRule, Files

if TYPE_CHECKING:
    from pytest_pixgates.infra.consistency.sets import Sources

_TOOLS = "pytest py.test tox pixgates make checkov tflint hadolint terraform zizmor actionlint check-jsonschema"
_WORD = r"(?:^|[\s/;&|(])(?:{})(?=[\s;|&)]|$)"
_JUDGES = re.compile(_WORD.format("|".join(map(re.escape, _TOOLS.split()))))
# Of a shell that ends at the first failure, what keeps it from that: looked for behind the command, and before it.
_OTHERWISE = re.compile(r"\|\|")
_ENDS = re.compile(
    r"\|\|\s*(?:exit\s+(?:[1-9]\d?\b|\$\?)|\{(?:(?!\bexit\b)[^{}|&])*;\s*exit\s+[1-9]\d?\s*;\s*\})(?=\s*(?:[;)}]|$))"
)
_THEN = re.compile(r"&&")
_BACKGROUND = re.compile(r"(?<![&|<>])&(?![&>])")
_NOTHING = re.compile(r";\s*(?:true|:|exit\s+0)\s*$")
_PIPED = re.compile(r"(?<!\|)\|(?![|&])|\|&")
_ASKED = re.compile(
    r"(?:^|[;&|({]|\b(?:then|do|else)\s)\s*"
    r"(?:(?P<if>if|elif|while|until)\s(?:(?!\b(?:then|do)\b).)*|(?P<not>!)\s[^;&|]*)$"
)
_INSIDE = re.compile(r"\b(?:echo|printf|export|local|readonly)\b[^;&|]*\$\(")
_GOES_ON = re.compile(r"(?:^|[\s;])set\s+\+\w*e\w*\b|(?:^|[\s;])set\s+\+o\s+errexit\b")
_PIPEFAIL = re.compile(r"(?:^|[\s;])set\s+-\w*o?\s*pipefail\b")
_STOPS = re.compile(r"|(?:ba)?sh|bash\s(?:.*\s)?-\w*e.*|sh\s(?:.*\s)?-\w*e.*")  # the shells that stop at a failure
_CONTINUES = re.compile(r"[|&]\s*$|\\$")
_CLOSED = re.compile(r"\s*(?:[})]|(?:done|fi|esac)\b)(?=.*[|&])")
# What looks like an operator and is none: an expression of GitHub, a redirection, a text.
_EXPRESSION = re.compile(r"\$\{\{.*?\}\}")
_REDIRECTION = re.compile(r"\d*[<>]&[\d-]+|&>>?")
_TEXT = re.compile(r"""\\.|"(?:\\.|[^"\\])*"|'[^']*'""")
_CHANGES = re.compile(
    r"(?<![\w-])(?:apply|destroy|deploy|promote|rollback)(?:\.py|\.sh)?(?=\s|$)(?![^\n]*\s--(?:dry-run|plan)\b)"
    r"|\bkubectl\b(?!\s+(?:auth|config)\b)[^\n]*\s"
    r"(?:create|delete|drain|edit|patch|replace|scale|set|rollout\s+(?:restart|undo))(?=\s|$)(?![^\n]*\s--dry-run\b)"
    r"|\bhelm\s+(?:upgrade|install|uninstall)\b"
    r"|\bterraform\b[^\n]*\s(?:import|taint|untaint|state\s+(?:mv|push|replace-provider|rm))(?=\s|$)"
)
_OF_ONE_RUN = re.compile(r"\bgithub\.(?:run_id|run_number|run_attempt|sha)\b")


@dataclass(frozen=True, eq=False)
class Job:
    """A job of a workflow: its own keys, and where they stand. `concurrency` is that of the workflow or its own."""

    name: str
    keys: Mapping[str, Any]
    place: Place
    document: Document
    calls: str
    concurrency: tuple[object, ...]

    def line(self, *keys: object) -> int:
        """The line of something in it."""
        return self.document.line_of(("jobs", self.name, *keys)) or self.place.line

    @property
    def steps(self) -> Iterator[tuple[int, Mapping[str, Any], str]]:
        """Each step that runs commands: its number, its keys, the commands with continued lines joined."""
        steps = self.keys.get("steps")
        for index, step in enumerate(steps if isinstance(steps, list) else ()):
            if isinstance(step, dict) and isinstance(step.get("run"), str):
                yield index, step, _joined(step["run"])

    def shell(self, step: Mapping[str, Any]) -> str:
        """The shell of a step: its own, else the default of the job or of the workflow; "" is GitHub's."""
        defaults = (each.get("defaults") for each in (self.keys, self.document.value))
        runs = (each.get("run") for each in defaults if isinstance(each, dict))
        return next((str(each["shell"]) for each in (step, *runs) if isinstance(each, dict) and each.get("shell")), "")


def _joined(commands: str) -> str:
    """The commands with each line that goes on joined to the next; a comment goes on nowhere."""
    lines: list[str] = []
    for line in commands.splitlines():
        if lines and _CONTINUES.search(lines[-1]) and not lines[-1].lstrip().startswith("#"):
            lines[-1] = f"{lines[-1].rstrip().removesuffix(chr(92))} {line.lstrip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def jobs(text: str, label: str) -> tuple[Job, ...]:
    """The jobs of a workflow. Raises Unreadable."""
    found = documents.parse(text, label)
    value = found[0].value if len(found) == 1 and isinstance(found[0].value, dict) else {}
    named = value.get("jobs")
    if not isinstance(named, dict) or not named:
        raise Unreadable("is a workflow without jobs", label, remedy="write them, or take it out of workflows")
    return tuple(
        Job(
            str(name),
            keys,
            Place(label, found[0].line_of(("jobs", name))),
            found[0],
            str(keys.get("uses", "")).removeprefix("./"),
            tuple(each["concurrency"] for each in (value, keys) if each.get("concurrency")),
        )
        for name, keys in named.items()
        if isinstance(keys, dict)
    )


_EXIT = """\
on: [push]
jobs:
  gates:
    runs-on: ubuntu-latest
    steps:
      - run: pytest -m infra
      - run: pixgates verdict
"""
_GATES = ".github/workflows/gates.yml"
_INI: Files = {"pytest.ini": "[pytest]\nmarkers =\n    infra: infrastructure as code\n"}


class ExitCode(AnyRule["Sources", Job]):
    name = "workflow-exit-code"
    summary = "Whatever judges in a workflow ends the job that it fails in."
    why = "`|| true`, continue-on-error or a pipe makes a red gate a green job, and what needs the job goes ahead."
    fix = (
        "let the command end the step: `||` only before `exit 1`, `&&` only in the last line, no `if`, `!`, `&`, "
        "`set +e`, continue-on-error or shell of your own, and `shell: bash` for a pipe"
    )
    passing: ClassVar[Files] = {_GATES: _EXIT, **_INI}
    failing: ClassVar[Files] = {_GATES: _EXIT.replace("pixgates verdict", "pixgates verdict || true"), **_INI}

    def subjects(self, world: Sources) -> Iterable[Job]:
        return (each for each in world.jobs if any(list(_judging(commands)) for _, _, commands in each.steps))

    def judge(self, subject: Job) -> Iterator[Finding]:
        if _may_go_on(subject.keys):
            yield self._found(subject, subject.line("continue-on-error"), "continue-on-error", subject.place.line)
        for index, step, commands in subject.steps:
            judging = list(_judging(commands))
            start = subject.line("steps", index, "run")
            if judging and _may_go_on(step):
                yield self._found(
                    subject, subject.line("steps", index, "continue-on-error"), "continue-on-error", start
                )
            for each in judging:
                if how := _forgotten(each, subject.shell(step)):
                    yield self._found(subject, start, how, start, f" at `{each.line.strip()[:80]}`")

    def _found(self, job: Job, line: int, how: str, start: int, what: str = "") -> Finding:
        where = f"{job.place.path}:{start}"
        return self.at(job.place.path, line, f"`{how}`{what} lets job {job.name} pass whatever {where} says", job.name)


def _may_go_on(keys: Mapping[str, Any]) -> bool:
    return keys.get("continue-on-error", False) is not False


@dataclass(frozen=True)
class _Judging:
    """A line that judges: what stands above it, itself, what leads to the command, what follows it, and what is below.

    `until` and `behind` have nothing in them that only looks like an operator.
    """

    above: str
    line: str
    until: str
    behind: str
    below: str


def _judging(commands: str) -> Iterator[_Judging]:
    """Each line that judges, and each that closes a block in which one may."""
    lines, judged = commands.splitlines(), False
    for at, line in enumerate(lines):
        if line.lstrip().startswith("#"):
            continue
        text = _bare(line)
        found = _JUDGES.search(text)
        judged = judged or bool(found)
        if found := found or (_CLOSED.match(text) if judged else None):
            below = "".join(each for each in lines[at + 1 :] if not each.lstrip().startswith("#")).strip()
            yield _Judging("\n".join(lines[:at]), line, text[: found.end()], text[found.end() :], below)


def _bare(line: str) -> str:
    """The line without what only looks like an operator; a text in which something judges stays."""
    line = _REDIRECTION.sub("", _EXPRESSION.sub(_inserted, line))
    return _TEXT.sub(lambda text: text[0] if _JUDGES.search(text[0]) else "x", line).rstrip()


def _inserted(expression: re.Match[str]) -> str:
    """What an expression may put into the line."""
    return " ".join(["x", *re.findall("'([^']*)'", expression[0])])


def _forgotten(judging: _Judging, shell: str) -> str:
    """What makes a step forget how a line that judges ended, or ""."""
    if not _STOPS.fullmatch(shell):
        return f"shell: {shell}"
    if _GOES_ON.search(f"{judging.above}\n{judging.line}"):
        return "set +e"
    if found := _ASKED.search(judging.until):
        return found["if"] or found["not"]
    behind = _ENDS.sub("", judging.behind)
    if found := _OTHERWISE.search(behind) or _NOTHING.search(behind) or _BACKGROUND.search(behind):
        return behind[found.start() :].strip("; ")[:40]
    if (found := _THEN.search(behind)) and (judging.below or ";" in behind[found.end() :]):
        return "&&"
    if (found := _INSIDE.search(judging.line)) and _JUDGES.search(judging.line[found.end() - 1 :]):
        return f"{found[0].split()[0]} $(…)"
    # Without `shell: bash` GitHub runs bash -e, where only the last command of a pipe counts.
    if _PIPED.search(behind) and shell != "bash" and not _PIPEFAIL.search(judging.above) and "pipefail" not in shell:
        return "|"
    return ""


_APPLY = """\
on: [push]
concurrency:
  group: prod
  cancel-in-progress: false
jobs:
  apply:
    runs-on: ubuntu-latest
    steps:
      - run: terraform apply prod.tfplan
"""
_INFRA = ".github/workflows/infra.yml"


class Cancel(AnyRule["Sources", tuple[Job, Place]]):
    name = "workflow-cancel"
    summary = "A job that changes what runs has a concurrency group, and no newer run cancels it."
    why = "Cancelled halfway, an apply leaves a lock and half of a change; two at once undo each other's."
    fix = "give the workflow or the job `concurrency` with a group per environment, not per run, and without cancelling"
    passing: ClassVar[Files] = {_INFRA: _APPLY, **_INI}
    failing: ClassVar[Files] = {_INFRA: _APPLY.replace("false", "true"), **_INI}

    def subjects(self, world: Sources) -> Iterable[tuple[Job, Place]]:
        """Each job that changes something, or calls a workflow in which one does, with the place of the change."""
        places = {id(job): place for job in world.jobs if (place := _change(job))}
        while True:
            files = {job.place.path: places[id(job)] for job in world.jobs if id(job) in places}
            more = {id(job): files[job.calls] for job in world.jobs if job.calls in files and id(job) not in places}
            if not more:
                return [(job, places[id(job)]) for job in world.jobs if id(job) in places]
            places |= more

    def judge(self, subject: tuple[Job, Place]) -> Iterator[Finding]:
        job, change = subject
        settings = [each if isinstance(each, dict) else {"group": each} for each in job.concurrency]
        where = f"{change.path}:{change.line}"
        for each in settings:
            if each.get("cancel-in-progress", False) is not False:
                yield self.at(job.place.path, job.place.line, f"a newer run may cancel the change at {where}", job.name)
        if not job.calls and all(_OF_ONE_RUN.search(str(each.get("group", ""))) for each in settings):
            message = f"no concurrency group keeps two runs from the change at {where}"
            yield self.at(job.place.path, job.place.line, message, job.name)


def _change(job: Job) -> Place | None:
    for index, _, commands in job.steps:
        if _CHANGES.search(commands):
            return Place(job.place.path, job.line("steps", index, "run"))
    return None
