"""A headless Chromium of the system, which an administrator's machine that lacks it gets from its packages."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_pixgates.core.errors import ToolMissing
from pytest_pixgates.core.process import run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = "PIXGATES_CHROMIUM"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PACKAGES = ("chromium", "fonts-dejavu-core")


def executable() -> str:
    """The path of Chromium. Raises ToolMissing where there is none and none can be installed."""
    if named := os.environ.get(CHROMIUM):
        return named
    return _found() or _installed()


def _found() -> str:
    return next(filter(None, map(shutil.which, _NAMES)), "")


def _installed() -> str:
    remedy = f"install it (on Debian: apt-get install chromium), or name it: {CHROMIUM}=/path"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ToolMissing("there is no Chromium here", remedy=remedy)
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (("update",), ("install", "--yes", "--no-install-recommends", *_PACKAGES)):
        done = run(("apt-get", *arguments), cwd=Path("/"), timeout=600, env=env)
        if done.returncode != 0:
            raise ToolMissing(f"Chromium can't be installed: {done.tail(2)}", remedy=remedy)
    if path := _found():
        return path
    raise ToolMissing("its package brought no Chromium", remedy=remedy)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Raises ToolMissing, ImportError."""
    path = executable()
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox"] if os.geteuid() == 0 else []  # root has no sandbox; the pages are our own
    with sync_playwright() as client:
        started = client.chromium.launch(executable_path=path, args=flags)
        yield started
        started.close()
