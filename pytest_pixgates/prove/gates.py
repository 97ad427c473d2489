"""Runs gates, and asks questions, in a copy of the repository as its user would: in a process of its own."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_pixgates.core import files, process, record
from pytest_pixgates.core.errors import PixgatesError, ToolError
from pytest_pixgates.core.record import Record, Run
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.prove.operations import Where, commanded

# Would tie the run to another, or send its records elsewhere.
_DROPPED = re.compile(r"PYTEST_.*|COV_.*|PIXGATES_(RUN_ID|REPORT_DIR|LOOKS)|GIT_.*")
_AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "pixgates prove"), ("EMAIL", "prove@example.org"))
}


@dataclass(frozen=True)
class Seen:
    """What a run of gates said: pytest's exit code, its records, and why there are none (`problem`).

    `answers` are those of questions by name.
    """

    exit_code: int = 0
    run: Run | None = None
    said: str = ""
    problem: str = ""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    seconds: float = 0.0

    def record(self, gate: str) -> Record | None:
        found = self.run.records if self.run else ()
        return next((each for each in found if each.gate == gate), None)

    @property
    def outcomes(self) -> dict[str, str]:
        """The outcome of each gate and question, for the matrix."""
        found = {each.gate: each.outcome.value for each in self.run.records} if self.run else {}
        green = {name: Outcome.PASS if answer.exit_code == 0 else Outcome.FAIL for name, answer in self.answers.items()}
        return {**found, **{name: outcome.value for name, outcome in green.items()}}


@dataclass(frozen=True)
class Answer:
    """What a question was answered: the rules of its refusals if it printed JSON (None if not), and its words."""

    exit_code: int
    said: str
    rules: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Runner:
    """Runs what is asked of the policy `config` (relative to the repository) with records in `scratch`."""

    scratch: Path
    config: str
    timeout: float

    def environment(self) -> dict[str, str]:
        """This user's, without what ties to another run; looks at test sets are counted apart."""
        kept = {name: value for name, value in os.environ.items() if not _DROPPED.fullmatch(name)}
        looks = self.scratch / "looks.json"
        looks.unlink(missing_ok=True)
        return {
            **kept,
            **_AUTHOR,
            "PIXGATES_LOOKS": str(looks),
            "COLUMNS": "400",
        }  # a reason that is cut can't be found

    def nodes(self, root: Path) -> dict[str, str]:
        """Every gate by its id, with its node. Raises PixgatesError."""
        seen = self._pytest(root, [], cache=True, also=["--collect-only"])
        if seen.run is None or not seen.run.expected:
            raise PixgatesError(f"no gates could be listed: {seen.problem or seen.said}", remedy="run pytest here")
        return {gate: node for node, gate in seen.run.expected.items() if _is_selectable(gate, node)}

    def run(self, root: Path, nodes: Sequence[str], *, cache: bool) -> Seen:
        """Run the gates `nodes` in `root`; what went wrong instead is in what is seen."""
        return self._pytest(root, nodes, cache=cache)

    def ask(self, where: Where, command: Sequence[str]) -> Answer:
        """Put a question. Raises ToolError if it can't be put."""
        kept = Where(where.root, {**where.names, "python": "@{python}", "pixgates": "@{pixgates}"}, where.policy)
        line = commanded(kept.filled(list(command)))
        done = process.run(line, cwd=where.root, timeout=self.timeout, env=self.environment())
        return Answer(done.returncode, done.stdout + done.stderr, _rules(done.stdout))

    def _pytest(self, root: Path, nodes: Sequence[str], *, cache: bool, also: Iterable[str] = ()) -> Seen:
        reports = self.scratch / f"run-{uuid.uuid4().hex[:8]}"
        folder = str(Path(self.config).parent)
        command = [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={root}",
            f"--pixgates-config={root / self.config}", f"--pixgates-report-dir={reports}",
            *([] if cache else ["--pixgates-no-cache"]), *also, *(nodes or [folder]),
        ]  # fmt: skip
        began = time.monotonic()
        try:
            done = process.run(command, cwd=root, timeout=self.timeout, env=self.environment())
        except ToolError as error:
            return Seen(problem=error.message, seconds=time.monotonic() - began)
        took = time.monotonic() - began
        try:
            run, problem = record.load(reports / record.FILE_NAME), ""
        except PixgatesError as error:
            run, problem = None, error.message
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        return Seen(done.returncode, run, said, problem, seconds=took)


def _is_selectable(gate: str, node: str) -> bool:
    """Whether pytest can be asked for a gate: of the run itself, or of waivers and the baseline, none is collected."""
    family = gate.partition("/")[0]
    return family not in ("run", node.rpartition("::")[2])


def _rules(text: str) -> tuple[str, ...] | None:
    try:
        document: Any = json.loads(text)
        return tuple(str(each["rule"]) for each in document["refusals"])
    except (ValueError, KeyError, TypeError):
        return None


def judging(run: Run, names: Iterable[str]) -> list[str]:
    """The gates of `run` whose subjects cover one of the files `names`."""
    changed = [Path(name) for name in names]
    return [
        each.gate
        for each in run.records
        if any(_covers(Path(subject.name), path) for subject in each.subjects for path in changed)
    ]


def _covers(subject: Path, path: Path) -> bool:
    return subject == path or subject in path.parents or subject == Path()


def judged_files(record_of: Record, root: Path) -> tuple[str, ...]:
    """The files below `root` that a gate judged."""

    found = set()
    for subject in record_of.subjects:
        path = root / subject.name
        if subject.kind in ("tree", "file") and path.exists():
            found |= {each.relative_to(root).as_posix() for each in files.walk(path)}
    return tuple(sorted(found))
