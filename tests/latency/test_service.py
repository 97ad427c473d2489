"""Load goes to the service that was started, and to no other one that answers in its place."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pytest_pixgates.core.errors import NotMeasured
from pytest_pixgates.latency.policy import Service
from pytest_pixgates.latency.service import running

BRIEF = """
import os, socket, sys
print(os.getpid(), flush=True)
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    server.accept()
    sys.exit("Address already in use")
"""


def test_a_fixed_port_that_another_service_has_is_refused_before_the_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = Service(url=f"http://127.0.0.1:{other.getsockname()[1]}", start=("{python}", "-c", BRIEF))
        with (
            pytest.raises(NotMeasured, match="before the service is started"),
            running(taken, tmp_path, tmp_path / "log"),
        ):
            pass
    assert not (tmp_path / "log").exists()


def test_a_service_that_ends_under_load_is_not_judged_by_what_answers_in_its_place(tmp_path: Path) -> None:
    brief, log = Service(start=("{python}", "-c", BRIEF, "{port}")), tmp_path / "log"
    with pytest.raises(NotMeasured, match=r"ended with 1 under load(?s:.*)in use"), running(brief, tmp_path, log):
        os.waitid(os.P_PID, int(log.read_text().split()[0]), os.WEXITED | os.WNOWAIT)
