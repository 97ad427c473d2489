"""What a storage driver would do: a volume for each claim whose pod has got a node. Nothing is stored."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from tests.lanes.cluster.control_plane import Cluster

EVERY = 0.3  # seconds
CHOSEN = "volume.kubernetes.io/selected-node"


@contextlib.contextmanager
def given(cluster: Cluster) -> Iterator[None]:
    """As long as the block runs."""
    ended = threading.Event()

    def give() -> None:
        while not ended.wait(EVERY):
            with contextlib.suppress(OSError):  # somebody else was first, or the cluster is busy
                for each in cluster.ask("/api/v1/persistentvolumeclaims")["items"]:
                    if CHOSEN in each["metadata"].get("annotations", {}) and not each["spec"].get("volumeName"):
                        cluster.ask("/api/v1/persistentvolumes", "POST", _volume(each))

    giving = threading.Thread(target=give)
    giving.start()
    try:
        yield
    finally:
        ended.set()
        giving.join()


def _volume(claim: dict[str, Any]) -> dict[str, Any]:
    metadata, spec = claim["metadata"], claim["spec"]
    reference = {"kind": "PersistentVolumeClaim", **{key: metadata[key] for key in ("name", "namespace", "uid")}}
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"volume-{metadata['uid']}"},
        "spec": {
            "capacity": spec["resources"]["requests"], "accessModes": spec["accessModes"],
            "storageClassName": spec["storageClassName"], "claimRef": reference,
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": "/nowhere"},
        },
    }  # fmt: skip
