"""Brokers on loopback: three, because the topics ask for three replicas of which two must be in sync, or one."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_pixgates.core import process
from tests.lanes.conftest import free_ports

CONTROLLER = 1
CLUSTER = "cGl4Z2F0ZXMtbGFuZXMtMQ"  # any 16 bytes
# The first node is the controller too. What is left at its default is as in production, but for threads and files.
PROPERTIES = """\
process.roles={roles}
node.id={node}
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners={listeners}
log.dirs={data}
auto.create.topics.enable=false
num.network.threads=1
num.io.threads=2
log.index.size.max.bytes=65536
log.cleaner.dedupe.buffer.size=16777216
"""
# What a single broker can keep, and so that a test need not wait for who died.
ALONE = """\
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""


@contextlib.contextmanager
def running(java: Path, jars: list[Path], folder: Path, count: int = 3) -> Iterator[str]:
    """Brokers as long as the block runs; gives their addresses, host:port with commas."""
    command = [str(java), "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", ":".join(map(str, jars))]
    controller, *ports = free_ports(count + 1)
    configured = [_configure(folder, node, port, controller) for node, port in enumerate(ports, CONTROLLER)]
    if count == 1:
        configured[0].write_text(configured[0].read_text() + ALONE)
    _format(command, configured)
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(_broker(command, properties)) for properties in configured]
        addresses = ",".join(f"127.0.0.1:{port}" for port in ports)
        _wait_for_all(addresses, started, folder)
        yield addresses


def client(addresses: str) -> Any:
    """Kafka's own C client: nothing that Terraform's provider is made of."""
    from confluent_kafka.admin import AdminClient

    return AdminClient({"bootstrap.servers": addresses}, logger=_Silent())


class _Silent:
    def log(self, *_: object) -> None:
        """Brokers that are not there yet are what we wait for."""


def _configure(folder: Path, node: int, port: int, controller: int) -> Path:
    first = node == CONTROLLER
    path = folder / f"broker-{node}.properties"
    roles = "broker,controller" if first else "broker"
    listeners = f"PLAINTEXT://127.0.0.1:{port}" + (f",CONTROLLER://127.0.0.1:{controller}" if first else "")
    data = folder / f"data-{node}"
    path.write_text(PROPERTIES.format(roles=roles, node=node, controller=controller, listeners=listeners, data=data))
    return path


def _format(command: list[str], configured: list[Path]) -> None:
    with process.pool(len(configured)) as pool:
        tool = [*command, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"]
        done = list(pool.map(lambda path: process.run([*tool, path], cwd=path.parent, timeout=120), configured))
    assert all(each.returncode == 0 for each in done), "\n".join(each.tail() for each in done)


@contextlib.contextmanager
def _broker(command: list[str], properties: Path) -> Iterator[subprocess.Popen[bytes]]:
    with properties.with_suffix(".log").open("wb") as log:
        broker = subprocess.Popen(
            [*command, "kafka.Kafka", str(properties)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield broker
        finally:
            broker.kill()  # its data goes with the folder: nothing to shut down in order
            broker.wait()


def _wait_for_all(addresses: str, brokers: list[subprocess.Popen[bytes]], folder: Path, seconds: float = 120) -> None:
    from confluent_kafka import KafkaException

    admin, deadline = client(addresses), time.monotonic() + seconds
    while all(broker.poll() is None for broker in brokers) and time.monotonic() < deadline:
        with contextlib.suppress(KafkaException):  # nobody answered within that second
            if len(admin.list_topics(timeout=1).brokers) == len(brokers):
                return
    logs = "\n".join(f"{path.name}: {path.read_text(errors='replace')[-2000:]}" for path in folder.glob("*.log"))
    raise AssertionError(f"the brokers did not come up in {seconds:g} s:\n{logs}")
