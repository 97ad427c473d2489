"""Every rule of consistency, by what it looks at, in the order of docs/consistency.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_pixgates.infra.consistency import (
    dockerfile,
    drift,
    kubernetes_disruption,
    kubernetes_network,
    kubernetes_reference,
    kubernetes_service,
    literals,
    terraform_lock,
    terraform_network,
    terraform_variables,
    topic,
    workflow,
    workflow_jobs,
)
from pytest_pixgates.infra.consistency.rule import AnyRule, Rule
from pytest_pixgates.infra.consistency.sets import Sources

RULES: tuple[Rule[Any], ...] = (
    kubernetes_service.ServiceSelects(),
    kubernetes_service.ServiceTargetPort(),
    kubernetes_service.ProbePort(),
    kubernetes_service.IngressBackend(),
    kubernetes_reference.ConfigMapExists(),
    kubernetes_reference.SecretExists(),
    kubernetes_reference.ServiceAccountExists(),
    kubernetes_reference.ImageDigest(),
    kubernetes_network.DefaultDeny(),
    kubernetes_network.PolicySelects(),
    kubernetes_network.PolicyPort(),
    kubernetes_network.PolicyPeer(),
    kubernetes_network.PolicyPeerLabels(),
    kubernetes_disruption.BudgetPresent(),
    kubernetes_disruption.BudgetSelects(),
    kubernetes_disruption.BudgetBlocks(),
    kubernetes_disruption.BudgetAlone(),
    kubernetes_disruption.ScalerTarget(),
    kubernetes_disruption.StartupProbe(),
    kubernetes_disruption.PreStop(),
    kubernetes_disruption.GracePeriod(),
    kubernetes_disruption.Spread(),
    kubernetes_disruption.MaxUnavailable(),
    kubernetes_disruption.RevisionHistory(),
)
"""On what one overlay renders."""

ROOT: tuple[AnyRule[Sources, Any], ...] = (
    terraform_variables.VariableDeclared(),
    terraform_variables.VariableUsed(),
    terraform_variables.VariableGiven(),
    terraform_network.InNetwork(),
    terraform_network.BrokersAdmit(),
    terraform_lock.LockHash(),
)
"""On one Terraform root with its modules."""

TOGETHER: Mapping[str, tuple[AnyRule[Sources, Any], ...]] = {
    "environments": (drift.Drift(), terraform_lock.ModuleSame(), terraform_lock.LockSame()),
    "environment": (literals.Account(), literals.Region(), literals.Bucket(), literals.Stranger()),
    "topics": (topic.TopicDeclared(), topic.TopicUsed(), topic.TopicPartitions()),
    "images": (dockerfile.ImagePort(), dockerfile.ImageUser()),
    "workflows": (workflow.Marker(), workflow_jobs.ExitCode(), workflow_jobs.Cancel()),
}
"""On several sources, by the set that the policy names."""

SOURCES: tuple[AnyRule[Sources, Any], ...] = (*ROOT, *(rule for rules in TOGETHER.values() for rule in rules))
