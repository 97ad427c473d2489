"""Verdicts kept between runs: the same rows, policy and code need no second measurement.

An answer holds for its whole question, which names what is judged by digest. What was no measurement (an ERROR) is
never kept, for its reason may lie elsewhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pytest_pixgates.core import decode
from pytest_pixgates.core.cache import Cache, code
from pytest_pixgates.core.scan import Scan
from pytest_pixgates.core.subject import Subject
from pytest_pixgates.core.verdict import Outcome, Verdict

_COUNTED_WITH = ("numpy", "polars", "scipy", "onnxruntime", "mlflow", "mlflow-skinny")

Answer = TypeVar("Answer", Verdict, Scan)


class Answers:
    """This user's verdicts of earlier runs on the files in `root`; without a cache each is measured."""

    def __init__(self, root: Path, cache: Cache | None) -> None:
        self._root, self._cache = root, cache

    def of(
        self, kind: type[Answer], question: object, subjects: tuple[Subject, ...], measure: Callable[[], Answer]
    ) -> Answer:
        """The kept answer, marked as such, or what `measure` says. `question` is all else that it depends on."""
        asked = decode.encode([kind.__name__, question, subjects, str(self._root), code(*_COUNTED_WITH)])
        if self._cache is not None and (known := self._cache.get(asked)) is not None:
            try:
                return dataclasses.replace(decode.decode(kind, known), cached=True)
            except decode.DecodeError:
                pass  # written by another version of this package
        answer = measure()
        if self._cache is not None and answer.outcome is not Outcome.ERROR:
            self._cache.put(asked, decode.encode(answer))
        return answer
