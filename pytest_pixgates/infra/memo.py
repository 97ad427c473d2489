"""One run of a tool per input, however many processes ask for it: workers of one test run share what was found.

This is not a cache between runs: it lives in the run's scratch folder, and a change of what was judged voids it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from pytest_pixgates.core import decode, files
from pytest_pixgates.core.scan import Scan


class Memo:
    """Scans of this run, in `folder`; `root` is what the names of their subjects are relative to."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder, self._root = folder, root

    def once(self, key: object, scan: Callable[[], Scan]) -> Scan:
        """The scan for `key` (plain data): from the process that made it first, else made now. Raises what it does."""
        import filelock

        digest = hashlib.sha256(json.dumps(decode.encode(key), sort_keys=True).encode()).hexdigest()[:32]
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{digest}.json"
        with filelock.FileLock(path.with_suffix(".lock")):
            known = self._read(path)
            if known is None:
                known = scan()
                files.write_atomically(path, json.dumps(decode.encode(known)))
        return known

    def _read(self, path: Path) -> Scan | None:
        try:
            scan = decode.decode(Scan, json.loads(path.read_bytes()))
            return scan if self._unchanged(scan) else None
        except (OSError, ValueError):
            return None

    def _unchanged(self, scan: Scan) -> bool:
        return bool(scan.subjects) and not any(each.changed(self._root) for each in scan.subjects)
