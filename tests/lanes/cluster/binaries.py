"""Builds a Kubernetes control plane and its fake nodes from their Go modules, for there is no package of them."""

from __future__ import annotations

from pathlib import Path

from tests.lanes.golang import Go, built

MODULES = Path(__file__).with_name("modules")
KUBERNETES, KWOK = "1.33.13", "0.7.0"
_VERSION = "k8s.io/component-base/version"
_STAMP = {  # what the programs say of themselves, else v0.0.0-master
    "gitVersion": f"v{KUBERNETES}", "gitMajor": "1", "gitMinor": KUBERNETES.split(".")[1], "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
}  # fmt: skip
PROGRAMS = {
    "etcd": ("controlplane", "go.etcd.io/etcd/server/v3"),
    **{
        name: ("controlplane", f"k8s.io/kubernetes/cmd/{name}")
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    },
    "kwok": ("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
}


def bring() -> Path:
    """The folder of all programs. Raises PixgatesError."""
    return built("control-plane", MODULES, _build)


def _build(go: Go, folder: Path) -> None:
    stamps = " ".join(f"-X {_VERSION}.{name}={value}" for name, value in _STAMP.items())
    for name, (module, package) in PROGRAMS.items():
        flags = ["-trimpath", "-ldflags", f"-s -w {stamps}", "-o", folder / name]
        go(["build", *flags, package], cwd=MODULES / module, timeout=2400)
