"""The lane `cluster`: releases go to a real control plane on loopback. `make cluster`; says NOT RUN where it can't."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_pixgates.core import tools
from tests.lanes.cluster import binaries, control_plane, disks
from tests.lanes.cluster.control_plane import Cluster
from tests.lanes.cluster.world import ClusterWorld, buckets, kubectl
from tests.lanes.conftest import needed_by, not_covered, s3
from tests.promotion.world import Model, write_model


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with needed_by("cluster"):
        tools.find(tools.KUBECTL)
        programs = binaries.bring()
    not_covered(request.config, "images, probes, preStop, disks and NetworkPolicies: no container runs on these nodes")
    folder = tmp_path_factory.mktemp("control-plane")
    with (
        s3("cluster", *buckets()),
        control_plane.running(programs, folder) as made,
        disks.given(made),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("KUBECONFIG", str(made.kubeconfig))
        patch.setenv("PIXGATES_KUBECTL", str(kubectl()))
        yield made


@pytest.fixture
def world_of(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ClusterWorld]]:
    """Makes a world of one's own; its namespaces are removed."""
    monkeypatch.chdir(tmp_path)  # where the target keeps its locks
    made: list[ClusterWorld] = []

    def make(**changes: object) -> ClusterWorld:
        made.append(ClusterWorld(tmp_path / f"world-{len(made)}", cluster=cluster, **changes))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def world(world_of: Callable[..., ClusterWorld]) -> ClusterWorld:
    return world_of()


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return write_model(tmp_path_factory.mktemp("good"), 1.0)


@pytest.fixture(scope="session")
def better(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return write_model(tmp_path_factory.mktemp("better"), 2.0)


@pytest.fixture(scope="session")
def third(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return write_model(tmp_path_factory.mktemp("third"), 3.0)
