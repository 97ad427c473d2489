"""What was measured, asked for once: by all processes of a run together, and again in a later run if nothing changed.

An answer holds only for its whole question (the tool's digest, the settings, this package's code, the environment that
tools inherit), and only as long as every subject of its scan is still what it was. One that was no measurement (an
ERROR) is never kept beyond its run, for its reason may lie outside of the subjects.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pixgates.core import decode, files, process
from pytest_pixgates.core.cache import Cache, code
from pytest_pixgates.core.scan import Scan

_READ_WITH = ("kubernetes-validate", "pyyaml", "tree-sitter", "tree-sitter-hcl")


@dataclass(frozen=True, slots=True)
class Question:
    """What a tool is asked: `key` is all, beside the subjects, that its answer on `target` may depend on."""

    name: str
    target: Path
    key: tuple[object, ...]


class Answers:
    """The scans of this run, shared by its processes in the folder `run`, and those of earlier runs in `cache`.

    `root` is what the names of subjects are relative to.
    """

    def __init__(self, run: Path, root: Path, cache: Cache | None) -> None:
        self._run, self._root, self._cache = Cache(run, b"this run"), root, cache
        self._lock = run / "lock"

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """One process measures at a time; whoever waits for it finds the answers. Raises PixgatesError."""
        with files.locked(self._lock, timeout=-1, remedy="make the folder for temporary files writable"):
            yield

    def get(self, question: Question) -> Scan | None:
        asked = self._asked(question)
        if (known := self._read(self._run, asked)) is not None:
            return known
        if self._cache is None or (kept := self._read(self._cache, asked)) is None or not kept.subjects:
            return None
        kept = dataclasses.replace(kept, cached=True)
        self._run.put(asked, decode.encode(kept))  # so that all of this run says the same of it
        return kept

    def put(self, question: Question, scan: Scan) -> None:
        asked, answer = self._asked(question), decode.encode(scan)
        self._run.put(asked, answer)
        if self._cache is not None and not scan.problems:
            self._cache.put(asked, answer)

    def _asked(self, question: Question) -> Any:
        target = question.target.relative_to(self._root).as_posix()
        return decode.encode([question.name, target, question.key, str(self._root), code(*_READ_WITH), _environment()])

    def _read(self, cache: Cache, asked: object) -> Scan | None:
        try:
            scan = decode.decode(Scan, cache.get(asked))
        except decode.DecodeError:
            return None
        return None if any(each.changed(self._root) for each in scan.subjects) else scan


def _environment() -> Sequence[tuple[str, str]]:
    return sorted(process.inherited_environment().items())
