"""How a tool was called, in a form that may stand in a record: no path of this machine, no secret."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pytest_pixgates.core import sources
from pytest_pixgates.core.process import mask
from pytest_pixgates.core.scan import ToolUse
from pytest_pixgates.core.tools import Tool

Argv = Sequence[str | os.PathLike[str]]


def used(tool: Tool, root: Path, *commands: Argv) -> ToolUse:
    """`tool` with all its `commands`, joined as a shell would, paths relative to `root`."""
    argv: list[str] = []
    for command in commands:
        argv += [*(["&&"] if argv else []), *(_shown(os.fspath(part), tool, root) for part in command)]
    return ToolUse(tool.name, tool.version, tool.sha256, tuple(argv))


def _shown(part: str, tool: Tool, root: Path) -> str:
    if part == str(tool.path):
        return tool.name
    option, equals, value = part.partition("=") if part.startswith("-") else ("", "", part)
    if os.path.isabs(value):  # noqa: PTH117 - most parts are no paths
        path = Path(value)
        value = sources.name(path, root) if sources.inside(path, root) else f"<{path.name}>"
    return mask(f"{option}{equals}{value}")
