"""Where a run finds its policy and leaves its records, for the plugin and the command line alike."""

from __future__ import annotations

import os
from pathlib import Path

RUN_ID = "PIXGATES_RUN_ID"
REPORT_DIR = "PIXGATES_REPORT_DIR"

POLICY = Path("gates", "gates.toml")
REPORTS = Path(".pixgates")


def run_id() -> str:
    """The id that a pipeline gives to its run, so that `pixgates verdict` can refuse the records of another; or ""."""
    return os.environ.get(RUN_ID, "")


def report_dir() -> str:
    """Where records and reports go unless an option says so; or ""."""
    return os.environ.get(REPORT_DIR, "")
