"""The plan that `python -m iac.apply --plan` saved, whose path it names in PLAN."""

import os

PLAN = os.environ.get("PLAN", "(no plan: run python -m iac.apply --plan)")
NO_RULES = ("iac/terraform/topics/",)  # checkov knows none for topics


def test_plan(infra):
    assert infra.plan(PLAN)
    assert PLAN.startswith(NO_RULES) or infra.checkov(PLAN)
