"""Runs a workflow of a repository on this machine by act: no container, and nothing from outside.

What can't be had here is stood in for: actions by the folders of `stand_ins`, `gh` by a script that keeps the comment.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lanes.workflows.checks import program

STAND_INS = Path(__file__).with_name("stand_ins")
USES = re.compile(r"uses: (?P<action>[\w.-]+/[\w.-]+)(?P<below>/[\w./-]+)?@(?P<ref>[0-9a-f]{40}) # v")
GH = """\
#!/usr/bin/env bash
# `gh pr comment NUMBER --edit-last --create-if-none --body-file FILE`: one comment, which is written anew.
set -eu
[ "$1 $2 $4 $5 $6" = 'pr comment --edit-last --create-if-none --body-file' ]
cp "$7" "$COMMENTS/$3.md"
"""


@dataclass(frozen=True)
class Done:
    """How a run ended: what it said, and how each job did."""

    returncode: int
    text: str

    @property
    def jobs(self) -> dict[str, bool]:
        """Whether each job that ran succeeded, by the name that act gives it."""
        said = re.findall(r"^\[([^\]]+?) *\].*Job (succeeded|failed)", self.text, re.MULTILINE)
        return {name: how == "succeeded" for name, how in said}


@dataclass
class Runner:
    """`repository` is a git repository, `folder` an own one for all that a run leaves."""

    repository: Path
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("artifacts", "comments", "bin", "cache"):
            (self.folder / name).mkdir(parents=True)
        gh = self.folder / "bin/gh"
        gh.write_text(GH)
        gh.chmod(0o755)

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    def comment(self, number: int) -> str:
        """The comment on a pull request."""
        return (self.folder / f"comments/{number}.md").read_text()

    def run(self, event: str, workflow: str, content: dict[str, Any], *, timeout: float = 600, **inputs: str) -> Done:
        """Run a workflow for an event."""
        file = self.folder / "event.json"
        file.write_text(json.dumps(content))
        command = [
            program("act"), event, "--workflows", f".github/workflows/{workflow}", "--eventpath", file,
            "--platform", "ubuntu-latest=-self-hosted", "--action-cache-path", self.folder / "cache",
            "--no-cache-server", "--pull=false",
        ]  # fmt: skip
        env = {
            "ARTIFACTS": str(self.artifacts), "COMMENTS": str(self.folder / "comments"),
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
        }  # fmt: skip
        env |= {name: os.environ[name] for name in ("PIXGATES_TF_MIRROR", "PIXGATES_TOOL_DIR") if os.environ.get(name)}
        pairs = {"--env": env, "--var": self.variables, "--input": inputs, "--local-repository": self._stood_in()}
        for option, values in pairs.items():
            command += [word for name, value in values.items() for word in (option, f"{name}={value}")]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "PYTEST_"))}
        for name in ("PIXGATES_RUN_ID", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
            clean.pop(name, None)
        done = subprocess.run(
            [str(word) for word in command], cwd=self.repository, env=clean, text=True, timeout=timeout, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return Done(done.returncode, done.stdout)

    def _stood_in(self) -> dict[str, str]:
        """Each action that is used, at its commit, with the folder that stands in for it."""
        found = {}
        for path in sorted((self.repository / ".github").rglob("*.yml")):
            for match in USES.finditer(path.read_text()):
                folder = STAND_INS / match["action"].partition("/")[2]
                if folder.is_dir():
                    found[f"{match['action']}@{match['ref']}"] = str(folder)
        return found
