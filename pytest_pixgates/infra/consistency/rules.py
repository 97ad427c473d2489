"""Every rule of consistency, in the order of docs/consistency.md."""

from __future__ import annotations

from typing import Any

from pytest_pixgates.infra.consistency import (
    kubernetes_disruption,
    kubernetes_network,
    kubernetes_reference,
    kubernetes_service,
)
from pytest_pixgates.infra.consistency.rule import Rule

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
