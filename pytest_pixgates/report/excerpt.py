"""The lines of code around a finding, as they were judged.

Shown only of a file whose digest is the one that the record names, inside of the repository, and never for a family
whose data may not be shown, nor of a file that such a family judged. Values of keys that look secret are masked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from pytest_pixgates.core import files, process
from pytest_pixgates.core.record import Record, Run
from pytest_pixgates.core.scan import Finding, State
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.report import masking
from pytest_pixgates.report.beside import Excerpt
from pytest_pixgates.report.text import cut

AROUND = 2
MOST = 200
"""So many excerpts at most."""
_MOST_OF_A_RULE = 5
_MOST_BYTES = 2**20
_WIDTH = 160
_WIDEST = 2000  # nobody wrote a longer line, and to look for secrets in it could take long
_NEVER = re.compile(r"""PRIVATE KEY-----|\bkind["']?\s*:\s*["']?Secret\b""")
"""Of a file that holds such a thing nothing is shown."""


def of(run: Run, root: Path, shown: Collection[str]) -> dict[tuple[str, str, int], Excerpt]:
    """Excerpts for the findings of `run` in `root`, of the families in `shown` alone."""
    reader, found = _Reader(run, root, shown), dict[tuple[str, str, int], Excerpt]()
    for record in run.records:
        for finding in _worth(record) if record.family in shown else ():
            key = (record.family, finding.path, finding.line)
            if len(found) < MOST and key not in found and (lines := reader.around(record, finding)):
                found[key] = lines
    return found


def _worth(record: Record) -> Iterator[Finding]:
    """Findings that a page lists one by one."""
    seen: dict[str, int] = {}
    for finding in record.findings:
        seen[finding.rule] = seen.get(finding.rule, 0) + 1
        if finding.line > 0 and finding.state is State.OPEN and seen[finding.rule] <= _MOST_OF_A_RULE:
            yield finding


class _Reader:
    """Reads each file, and hashes each subject, once."""

    def __init__(self, run: Run, root: Path, shown: Collection[str]) -> None:
        self._root = root.resolve()
        private = [each for record in run.records if record.family not in shown for each in record.subjects]
        self._hidden = [_resolved(self._root / each.name) for each in private]
        self._same: dict[Subject, bool] = {}
        self._lines: dict[str, list[str]] = {}

    def around(self, record: Record, finding: Finding) -> Excerpt:
        covering = [each for each in record.subjects if each.kind != "content" and _holds(each, finding.path)]
        if not covering or ".." in Path(finding.path).parts:
            return ()
        if finding.path not in self._lines:
            self._lines[finding.path] = self._read(finding.path)
        if not all(map(self._unchanged, covering)):  # after reading, so that what was read is what is hashed
            return ()
        lines, at = self._lines[finding.path], finding.line - 1
        if at >= len(lines):
            return ()
        first = max(at - AROUND, 0)
        return tuple((number + 1, lines[number]) for number in range(first, min(at + AROUND + 1, len(lines))))

    def _unchanged(self, subject: Subject) -> bool:
        if subject not in self._same:
            self._same[subject] = not subject.changed(self._root)
        return self._same[subject]

    def _read(self, name: str) -> list[str]:
        try:
            path = (self._root / name).resolve()
            if not path.is_relative_to(self._root) or any(map(path.is_relative_to, self._hidden)):
                return []
            with files.regular(path) as (file, _):
                content = file.read(_MOST_BYTES + 1)
            text = content.decode("utf-8")
        except (OSError, ValueError, RuntimeError):
            return []
        lines = text.removesuffix("\n").split("\n")
        if len(content) > _MOST_BYTES or max(map(len, lines)) > _WIDEST or "\0" in text or _NEVER.search(text):
            return []
        mask = process.masker()
        return [cut(mask(line), _WIDTH) for line in masking.masked(lines)]


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):
        return path  # a name that no file can have


def _holds(subject: Subject, path: str) -> bool:
    return path == subject.name or path.startswith(f"{subject.name}/") or subject.name == "."
