"""The environment variables that this package reads of its own, in one place."""

from __future__ import annotations

import os

RUN_ID = "PIXGATES_RUN_ID"
REPORT_DIR = "PIXGATES_REPORT_DIR"


def run_id() -> str:
    """The id that a pipeline gives to its run, so that `pixgates verdict` can refuse the records of another; or ""."""
    return os.environ.get(RUN_ID, "")
