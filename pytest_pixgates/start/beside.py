"""What goes beside a policy: the workflow that runs the gates, and the hook that runs them before a push."""

from __future__ import annotations

from collections.abc import Collection

import pytest_pixgates

WORKFLOW = ".github/workflows/gates.yml"
HOOKS = ".pre-commit-config.yaml"
# What each family needs installed.
EXTRAS = {"infra": "infra", "data_contract": "data", "model_gate": "model", "latency": "latency"}

HOOK = """\
  - repo: local
    hooks:
      - id: pixgates
        name: pixgates
        entry: pixgates pre-push
        language: system
        stages: [pre-push]
        pass_filenames: false
        always_run: true
        verbose: true
"""

_WORKFLOW = """\
# Runs the gates of gates/gates.toml, and is green only by `pixgates verdict`.
name: gates

on:
  pull_request:
  push:
    branches: [{branch}]

permissions:
  contents: read

concurrency:
  group: gates-${{{{ github.ref }}}}
  cancel-in-progress: true

jobs:
  gates:
    name: gates
    runs-on: ubuntu-latest
    timeout-minutes: 30
    env:
      PIXGATES_RUN_ID: ${{{{ github.run_id }}}}-${{{{ github.run_attempt }}}}
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1  # v7.0.1
        with:
          fetch-depth: 0  # the gates compare with where the branch began
          persist-credentials: false
      - uses: actions/setup-python@5fda3b95a4ea91299a34e894583c3862153e4b97  # v7.0.0
        with:
          python-version: "3.13"
      - run: pip install {install}
{tools}{made}      - run: pytest gates
      - run: pixgates verdict
      - if: always()
        run: cat .pixgates/summary.md >> "$GITHUB_STEP_SUMMARY"
"""


def requirement(families: Collection[str]) -> str:
    """What pip installs for `families`, in quotes for a shell."""
    extras = ",".join(EXTRAS[each] for each in EXTRAS if each in families)
    return f"'pytest-pixgates[{extras}]'" if extras else "pytest-pixgates"


def workflow(families: Collection[str], tools: Collection[str], own: str, branch: str) -> str:
    """The workflow; `own` is what pip installs of the repository itself."""
    version = pytest_pixgates.__version__
    pinned = requirement(families).rstrip("'").removeprefix("'") + f"=={version}"
    install = f"'{pinned}'" + (f" {own}" if own else "")
    made = ""
    if not {"data_contract", "model_gate"}.isdisjoint(families):
        made = "      # What makes the data and the scores, if they are not in the repository, goes here.\n"
    named = f"      - run: pixgates tools install {' '.join(tools)}\n" if tools else ""
    return _WORKFLOW.format(branch=branch, install=install, tools=named, made=made)


def hooks() -> str:
    """A configuration of pre-commit with the one hook."""
    return f"# `pre-commit install --hook-type pre-push` switches it on.\nrepos:\n{HOOK}"
