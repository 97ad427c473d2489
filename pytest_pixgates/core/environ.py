"""Where a run finds its policy and leaves its records, for the plugin and the command line alike."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_pixgates.core.errors import UsageError

RUN_ID = "PIXGATES_RUN_ID"
REPORT_DIR = "PIXGATES_REPORT_DIR"
TARGET = "PIXGATES_TARGET"
TERRAFORM_MIRROR = "PIXGATES_TF_MIRROR"
HISTORY = "PIXGATES_HISTORY"
AGAINST = "PIXGATES_AGAINST"
REPORT_URL = "PIXGATES_REPORT_URL"

POLICY = Path("gates", "gates.toml")
REPORTS = Path(".pixgates")
# Where CI says which branch a pull request goes to: GitHub, GitLab, Jenkins.
_BRANCHES = ("GITHUB_REF_NAME", "CI_COMMIT_BRANCH", "BRANCH_NAME")  # where it says which it runs on
_TARGET_BRANCHES = ("GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "CHANGE_TARGET")


def run_id() -> str:
    """The id that a pipeline gives to its run, so that `pixgates verdict` can refuse the records of another; or "".

    Raises UsageError if it is set but empty, as by a pipeline's variable of another name.
    """
    named = os.environ.get(RUN_ID)
    if named is not None and not named.strip():
        problem = f"{RUN_ID} is set but empty, so the records of any run would do"
        raise UsageError(problem, remedy="give it the id of this run, or unset it")
    return named or ""


def target() -> str:
    """The revision that this change goes to: as given, else the branch that CI says a pull request is for; or "".

    Raises UsageError if it is given but empty.
    """
    named = os.environ.get(TARGET)
    if named is not None and not named.strip():
        raise UsageError(f"{TARGET} is set but empty", remedy="give it the branch that this goes to, or unset it")
    branch = next(filter(None, map(os.environ.get, _TARGET_BRANCHES)), "")
    return named or (f"refs/remotes/origin/{branch}" if branch else "")


def terraform_mirror() -> str:
    """The folder of Terraform's providers unless a policy names one; or ""."""
    return os.environ.get(TERRAFORM_MIRROR, "")


def report_dir() -> str:
    """Where records and reports go unless an option says so; or ""."""
    return os.environ.get(REPORT_DIR, "")


def is_pull_request() -> bool:
    """Whether CI says that this run is of a pull request, whose branch anybody may have named."""
    return any(map(os.environ.get, _TARGET_BRANCHES))


def branch() -> str:
    """The branch that CI says it runs on; or ""."""
    return next(filter(None, map(os.environ.get, _BRANCHES)), "")


def history() -> str:
    """Where the history is, if not beside the records: a file, or `mlflow+` and MLflow's address; or ""."""
    return os.environ.get(HISTORY, "")


def against() -> str:
    """The records that a run is held against, if not the history's; or ""."""
    return os.environ.get(AGAINST, "")


def report_url() -> str:
    """The page where people find the reports of this run: as given, else that of its job on GitHub; or ""."""
    if named := os.environ.get(REPORT_URL, ""):
        return named
    server, repository, run = (os.environ.get(f"GITHUB_{each}", "") for each in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    return f"{server}/{repository}/actions/runs/{run}" if server and repository and run else ""
