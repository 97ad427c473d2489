"""What lanes share: the word for what can't run here, and a stack of this repository that is really applied."""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_pixgates.core import process, tools
from pytest_pixgates.core.errors import PixgatesError
from pytest_pixgates.core.process import Completed

IAC = Path(__file__).parents[2] / "iac"
NOT_RUN = 69
"""Exit code of a lane that can't run here: not 0, and none of pytest's own."""


@contextlib.contextmanager
def needed_by(lane: str) -> Iterator[None]:
    """End the whole run as NOT RUN if what the lane needs can't be had: no test of it may look passed or skipped."""
    try:
        yield
    except (PixgatesError, ImportError) as error:
        pytest.exit(f"NOT RUN: lane {lane}: {error}", returncode=NOT_RUN)


_not_covered = pytest.StashKey[list[str]]()


def not_covered(config: pytest.Config, what: str) -> None:
    """Have the end of the run say what the lane leaves out."""
    config.stash.setdefault(_not_covered, []).append(what)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for what in config.stash.get(_not_covered, []):
        terminalreporter.write_line(f"NOT COVERED: {what}")


def free_ports(count: int) -> list[int]:
    """So many ports of this machine that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def s3(lane: str, *buckets: str) -> Iterator[None]:
    """S3 as an emulator has it, on loopback, where this process and what it starts look for it."""
    with needed_by(lane):
        import boto3
        from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    said = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "sa-east-1",
        "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
    }  # fmt: skip
    client = boto3.client("s3", endpoint_url=said["AWS_ENDPOINT_URL"], region_name="sa-east-1",
                          aws_access_key_id="none", aws_secret_access_key="none")  # fmt: skip
    for bucket in buckets:
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "sa-east-1"})
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in said.items():
                patch.setenv(name, value)
            yield
    finally:
        server.stop()


@dataclass(frozen=True)
class Stack:
    """A Terraform stack in `repository`, a folder that holds a copy of `iac`; `env` is what Terraform gets."""

    repository: Path
    name: str
    env: Mapping[str, str]

    @property
    def folder(self) -> Path:
        return self.repository / "iac" / "terraform" / self.name

    def copy(self, repository: Path) -> Stack:
        """The stack as it is now, its state too, to be edited without touching this one."""
        shutil.copytree(self.repository, repository)
        return Stack(repository, self.name, self.env)

    def run(self, *arguments: str, timeout: float = 120) -> Completed:
        terraform = tools.find(tools.TERRAFORM).path
        return process.run([terraform, *arguments, "-no-color"], cwd=self.folder, timeout=timeout, env=self.env)

    def must(self, *arguments: str, timeout: float = 120) -> Completed:
        done = self.run(*arguments, timeout=timeout)
        assert done.returncode == 0, done.tail()
        return done

    def plan(self, *arguments: str, timeout: float = 120) -> Completed:
        """Its return code says: 0 nothing to do, 2 something, 1 refused."""
        return self.run("plan", "-detailed-exitcode", "-input=false", *arguments, timeout=timeout)


def copy_of_iac(repository: Path) -> None:
    """`iac` as it is in the work tree, without what Terraform may have left there."""
    left = shutil.ignore_patterns(".terraform", "*.tfstate*", "*.tfplan", "*override.tf")
    shutil.copytree(IAC, repository / "iac", ignore=left)
