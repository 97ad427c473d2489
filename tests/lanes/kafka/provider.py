"""Builds the Terraform provider for Kafka from its Go module, for where the registry's release can't be had."""

from __future__ import annotations

from pathlib import Path

from tests.lanes.golang import Go, built

MODULE = Path(__file__).with_name("provider")
PROGRAM = "github.com/Mongey/terraform-provider-kafka"
VERSION = "0.8.1"
PLACE = f"registry.terraform.io/mongey/kafka/{VERSION}"


def mirror() -> Path:
    """A folder of providers, host/namespace/type/version/os_arch, that holds this one. Raises PixgatesError."""
    return built("kafka-provider", MODULE, _build)


def _build(go: Go, folder: Path) -> None:
    platform = "_".join(go(["env", "GOOS", "GOARCH"], cwd=MODULE, timeout=60).split())
    program = folder / PLACE / platform / f"terraform-provider-kafka_v{VERSION}"
    go(["build", "-trimpath", "-o", program, PROGRAM], cwd=MODULE, timeout=900)
