"""hadolint: what builds as an image and shouldn't be written so, shell in RUN included.

It says `[]` to a file without any instruction, and takes ignore comments and the nearest of several configurations at
their word; so instructions are counted here, comments that would make it look away are findings, and its configuration
is ours. What does not apply is switched off in the policy, with a reason.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pixgates.core import sources
from pytest_pixgates.core.errors import ToolError
from pytest_pixgates.core.process import Completed, run
from pytest_pixgates.core.scan import Finding, Problem, Scan, Severity
from pytest_pixgates.core.tools import Tool
from pytest_pixgates.infra import inline_skips, instructions, invocation

NAME = "hadolint"
UNPARSED = "DL1000"
# Given by name, or it would look for one in the working folder and at home; it must hold one of hadolint's keys.
CONFIG = "ignored: []\n"
_SEVERITY = {"error": Severity.ERROR, "warning": Severity.WARNING, "info": Severity.NOTE, "style": Severity.NOTE}


@dataclass(frozen=True, slots=True)
class Hadolint:
    """hadolint as it is run here. `timeout` is in seconds."""

    tool: Tool
    root: Path
    timeout: float = 600.0

    def scan(self, file: Path) -> Scan:
        """Judge the Dockerfile `file`. Raises ToolError, Unreadable."""
        label = sources.name(file, self.root)
        text = sources.read(file, self.root)
        subjects = sources.trees([file], self.root)
        skips = tuple(inline_skips.inline_skips(NAME, text, label))
        words = [word for word, _, _ in instructions.parse(text)]
        if "FROM" not in words:
            problem = Problem("has no FROM", label, fix="write the image, or check the path in the policy")
            return Scan(NAME, label, findings=skips, problems=(problem,), subjects=subjects)
        with tempfile.TemporaryDirectory(prefix="pixgates-hadolint-") as name:
            scratch = Path(name).resolve()
            config = scratch / "hadolint.yaml"
            config.write_text(CONFIG, encoding="utf-8")
            options = ("--config", config, "--disable-ignore-pragma", "--failure-threshold", "style")
            argv = (self.tool.path, *options, "--no-color", "--format", "json", file.absolute())
            done = run(argv, cwd=scratch, timeout=self.timeout, env={"HOME": str(scratch)})
        findings, problems = parse(done, label)
        return Scan(
            NAME,
            label,
            scanned={"files": 1, "instructions": len(words)},
            findings=(*skips, *findings),
            problems=problems,
            tools=(invocation.used(self.tool, self.root, argv),),
            subjects=subjects,
        )


def parse(done: Completed, label: str) -> tuple[tuple[Finding, ...], tuple[Problem, ...]]:
    """Read hadolint's JSON on the file called `label`. Raises ToolError for anything else."""
    try:
        entries = [dict(each) for each in json.loads(done.stdout)]
        findings = tuple(_finding(each, label) for each in entries if each["code"] != UNPARSED)
        problems = tuple(
            Problem(f"hadolint could not parse it: {each['message']}", label, int(each["line"]), "mend the line")
            for each in entries
            if each["code"] == UNPARSED
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ToolError(f"hadolint said nothing readable: {done.tail() or done.stdout[:200]!r}") from None
    if done.returncode != bool(entries):
        raise ToolError(f"hadolint contradicts itself: {len(entries)} finding(s), return code {done.returncode}")
    return findings, problems


def _finding(entry: dict[str, Any], label: str) -> Finding:
    rule = str(entry["code"])
    wiki = "https://www.shellcheck.net/wiki/" if rule.startswith("SC") else "https://github.com/hadolint/hadolint/wiki/"
    severity = _SEVERITY.get(str(entry["level"]), Severity.ERROR)
    link = f"{wiki}{rule}"
    return Finding(rule, str(entry["message"]), label, int(entry["line"]), severity, fix=f"see {link}", help_uri=link)
