"""A lock for what needs the machine to itself: many may share it, or one hold it alone.

Advisory locks of the system (flock), so they end with their process, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from pytest_pixgates.core.errors import NotMeasured

_POLL = 0.02  # seconds


@contextlib.contextmanager
def held(path: Path, *, alone: bool, timeout: float) -> Iterator[None]:
    """Hold the lock at `path`, beside others or `alone`. `timeout` is in seconds.

    A file that another user made will do, for it is only read. Raises NotMeasured if the lock can't be had.
    """
    try:
        handle = _opened(path)
    except OSError as error:
        raise NotMeasured(f"the lock {path} can't be used: {error.strerror}", remedy="remove it") from None
    try:
        until = time.monotonic() + timeout
        while not _taken(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
            if time.monotonic() > until:
                raise NotMeasured(f"another process has held {path} for {timeout:g} s", remedy="see what it does")
            time.sleep(_POLL)
        yield
    finally:
        os.close(handle)


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o644))
    return os.open(path, os.O_RDONLY)


def _taken(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
