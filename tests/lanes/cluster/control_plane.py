"""A Kubernetes control plane on loopback, with nodes that only say that they run what they are given.

API server, controllers, scheduler and etcd are the real ones. kwok plays the kubelets: a pod is ready as soon as it is
scheduled, and no container runs.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_pixgates.core import process, tools
from pytest_pixgates.core.process import Background, Completed
from tests.lanes.conftest import free_ports

ZONES = ("a", "b", "c")
ROOM = {"cpu": "32", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"}
READY = 90.0  # seconds
KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters: [{{name: lane, cluster: {{server: "{url}", certificate-authority: "{authority}"}}}}]
users: [{{name: admin, user: {{token: "{token}"}}}}]
contexts: [{{name: lane, context: {{cluster: lane, user: admin}}}}]
current-context: lane
"""


@dataclass(frozen=True)
class Cluster:
    """Where it is, and who may do all in it."""

    folder: Path
    url: str
    token: str

    @property
    def authority(self) -> Path:
        return self.folder / "pki" / "apiserver.crt"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def kubectl(self, *words: str) -> Completed:
        program = tools.find(tools.KUBECTL).path
        command = [program, f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.folder / 'cache'}", *words]
        return process.run(command, cwd=self.folder, timeout=60)

    def must(self, *words: str) -> str:
        done = self.kubectl(*words)
        assert done.returncode == 0, done.tail()
        return done.stdout

    def ask(self, path: str, method: str = "GET", said: Any = None) -> Any:
        """The API server's answer, without a process of its own. Raises OSError."""
        body = json.dumps(said).encode() if said is not None else None
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        context = ssl.create_default_context(cafile=self.authority)
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return json.loads(answer.read())


@contextlib.contextmanager
def running(binaries: Path, folder: Path) -> Iterator[Cluster]:
    """A control plane as long as the block runs, ready, with a node in each of three zones."""
    etcd, peers, api, *others = free_ports(6)
    cluster = _configured(folder, f"https://127.0.0.1:{api}")
    with contextlib.ExitStack() as stack:
        started: dict[str, Background] = {}

        def start(name: str, *words: str) -> None:
            running = process.background([binaries / name, *words], cwd=folder, log=folder / f"{name}.log")
            started[name] = stack.enter_context(running)

        start("etcd", *_etcd(folder, etcd, peers))
        start("kube-apiserver", *_api_server(folder, etcd, api))
        _until(started, folder, "the API server", lambda: _says_ok(cluster))
        as_admin = [f"--{name}={cluster.kubeconfig}" for name in (
            "kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")]  # fmt: skip
        for name, port, more in zip(
            ("kube-controller-manager", "kube-scheduler"), others[:2], (_controllers(folder, cluster), ()), strict=True
        ):
            start(name, *as_admin, "--authentication-skip-lookup=true", "--leader-elect=false", *more,
                  "--bind-address=127.0.0.1", f"--secure-port={port}", f"--cert-dir={folder / name}")  # fmt: skip
        start("kwok", f"--kubeconfig={cluster.kubeconfig}", "--manage-all-nodes=true", "--node-ip=127.0.0.1",
              "--node-lease-duration-seconds=40", f"--server-address=127.0.0.1:{others[2]}")  # fmt: skip
        for zone in ZONES:
            cluster.ask("/api/v1/nodes", "POST", _node(zone))
        _until(started, folder, "the nodes", lambda: _nodes_ready(cluster))
        yield cluster
        dead = [name for name, each in started.items() if each.ended() is not None]
        assert not dead, f"{', '.join(dead)} ended by itself:\n{_logs(folder, dead)}"


def _configured(folder: Path, url: str) -> Cluster:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    cluster = Cluster(folder, url, secrets.token_hex(16))
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    for name, data in {
        "accounts.key": pem,
        "tokens.csv": f"{cluster.token},admin,admin,system:masters\n".encode(),
        "kubeconfig": KUBECONFIG.format(url=url, authority=cluster.authority, token=cluster.token).encode(),
    }.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(data)
    return cluster


def _etcd(folder: Path, port: int, peers: int) -> list[str]:
    here, among = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
    return [
        f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync", "--logger=zap", "--log-level=warn",
        f"--listen-client-urls={here}", f"--advertise-client-urls={here}", f"--listen-peer-urls={among}",
        f"--initial-advertise-peer-urls={among}", f"--initial-cluster=default={among}",
    ]  # fmt: skip


def _api_server(folder: Path, etcd: int, port: int) -> list[str]:
    key = folder / "accounts.key"
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd}", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1",
        f"--secure-port={port}", f"--cert-dir={folder / 'pki'}", "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=RBAC", f"--token-auth-file={folder / 'tokens.csv'}",
        "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}", "--endpoint-reconciler-type=none",
        "--enable-priority-and-fairness=false",
    ]  # fmt: skip


def _controllers(folder: Path, cluster: Cluster) -> tuple[str, ...]:
    return (
        f"--service-account-private-key-file={folder / 'accounts.key'}", f"--root-ca-file={cluster.authority}",
        "--controllers=*,-node-ipam-controller", "--use-service-account-credentials=false",
        "--horizontal-pod-autoscaler-sync-period=1s",  # else 15 s pass before it looks at a new Deployment
    )  # fmt: skip


def _node(zone: str) -> dict[str, Any]:
    name = f"fake-{zone}"
    labels = {
        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "topology.kubernetes.io/zone": f"zone-{zone}",
    }  # fmt: skip
    return {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "status": {"allocatable": ROOM, "capacity": ROOM},
    }  # fmt: skip


def _says_ok(cluster: Cluster) -> bool:
    if not cluster.authority.exists():
        return False
    context = ssl.create_default_context(cafile=cluster.authority)
    with urllib.request.urlopen(f"{cluster.url}/readyz", timeout=5, context=context) as answer:
        return bool(answer.status == 200)


def _nodes_ready(cluster: Cluster) -> bool:
    cluster.ask("/api/v1/namespaces/default/serviceaccounts/default")  # before it is there no pod can be made
    nodes = cluster.ask("/api/v1/nodes")["items"]
    ready = [
        each for node in nodes for each in node["status"].get("conditions", ())
        if (each["type"], each["status"]) == ("Ready", "True")
    ]  # fmt: skip
    return len(ready) == len(ZONES)


def _until(started: dict[str, Background], folder: Path, what: str, there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY
    while not [name for name, each in started.items() if each.ended() is not None] and time.monotonic() < deadline:
        with contextlib.suppress(OSError):  # nobody answers yet
            if there():
                return
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come up in {READY:g} s, or a program ended:\n{_logs(folder, list(started))}")


def _logs(folder: Path, names: list[str]) -> str:
    return "\n".join(f"{name}: {(folder / f'{name}.log').read_text(errors='replace')[-1500:]}" for name in names)
