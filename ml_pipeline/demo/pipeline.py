"""A repository of its own in a folder, and the commands of a pipeline in it, each as a process.

Nothing here knows how the commands work: the repository, its keys, gates, services and ledger are real, the models are
small.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ("dev", "staging", "prod")
OWNERS = ("ana", "bia")
EVALUATION = "ml_pipeline/evaluation/evaluation.json"
LEDGER = "ml_pipeline/deployments/ledger"
REGISTRY = "ml_pipeline/registry/mlflow.db"
SECONDS = 600
WATCH = ("--window", "10", "--every", "0.5", "--least", "20", "--burn", "2", "--objective", "0.9", "--slow", "1")


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> str:
        return self.out + self.err


@dataclass
class Pipeline:
    """Below `root`: `repository`, and the keys beside it. `ports` are the stable ones of the environments."""

    root: Path
    environments: Sequence[str] = ENVIRONMENTS
    ports: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.repository = self.root / "repository"
        self.ports = self.ports or dict(zip(self.environments, free_ports(len(self.environments)), strict=True))

    def begin(self) -> None:
        """A repository with gates, manifests, contracts, and keys that its policy trusts."""
        for name in ("iac/k8s", "gates/contracts"):
            shutil.copytree(ROOT / name, self.repository / name)
        policy = Path(__file__).with_name("gates.toml").read_text()
        kept = [part for part in policy.split("\n\n") if self._is_wanted(part)]
        trusted = [self.key("release"), *(self.key(name, "--owner") for name in OWNERS)]
        self.write("gates/gates.toml", "\n\n".join([*kept, *trusted]))
        self.write(".gitignore", ".pixgates/\n__pycache__/\n/ml_pipeline/\n/rendered-*.yaml\n")
        self.git("init", "--quiet", "--initial-branch", "main")
        self.commit("The service, its infrastructure and its gates")

    def _is_wanted(self, part: str) -> bool:
        """Of the policy's environments, those that there are here."""
        names = [name for name in ENVIRONMENTS if part.startswith(f"[environments.{name}]")]
        return not names or names[0] in self.environments

    def key(self, name: str, *options: str) -> str:
        """A new private key beside the repository. Returns what the policy must say to trust it."""
        named = [word for each in self.environments for word in ("--env", each)]
        done = self.pixgates("keygen", str(self.private(name)), "--name", name, *named, *options)
        return done.out

    def private(self, name: str) -> Path:
        return self.root / f"{name}.pem"

    def write(self, name: str, text: str) -> None:
        path = self.repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self, message: str) -> str:
        """All that is not ignored. Returns the commit."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=demo", "-c", "user.email=demo@example.org", "-c", "commit.gpgsign=false")
        command = ["git", *who, *words]
        return subprocess.run(command, cwd=self.repository, capture_output=True, text=True, check=True).stdout.strip()

    # The steps of a pipeline

    def step(self, *words: object) -> Done:
        """`python -m ml_pipeline`."""
        return self.call(["python", "-m", "ml_pipeline", *map(str, words)])

    def pixgates(self, *words: object) -> Done:
        return self.call(["pixgates", *map(str, words)])

    def gates(self, environment: str) -> Done:
        """All gates, for an environment, measured anew."""
        return self.call(["pytest", "-q", "--pixgates-env", environment, "--pixgates-no-cache"])

    def render(self, environment: str) -> Path:
        """The manifests of an environment, as they would be applied."""
        from pytest_pixgates.core import tools

        kubectl = tools.find(tools.KUBECTL).path
        command = [str(kubectl), "kustomize", f"iac/k8s/overlays/{environment}"]
        done = subprocess.run(command, cwd=self.repository, capture_output=True, check=True)
        path = self.repository / f"rendered-{environment}.yaml"
        path.write_bytes(done.stdout)
        return path

    def sign(self, environment: str) -> Done:
        """A process of its own, after the gates: the only one that meets the key."""
        return self.pixgates(
            "sign", "--env", environment, "--key", self.private("release"), "--subject", f"evaluation={EVALUATION}",
            "--subject", f"manifests={self.render(environment).name}",
        )  # fmt: skip

    def promote(self, environment: str, *words: object) -> Done:
        manifests = f"rendered-{environment}.yaml"
        return self.step("promote", "--env", environment, "--evidence", ".pixgates/evidence.dsse.json",
                         "--manifests", manifests, *words)  # fmt: skip

    def deploy(self, environment: str, *words: object) -> Done:
        return self.step("deploy", "--env", environment, "--port", self.ports[environment], *words)

    def rollback(self, environment: str, *words: object) -> Done:
        return self.step("rollback", "--env", environment, "--port", self.ports[environment], *words)

    def history(self, environment: str) -> Done:
        return self.step("history", "--env", environment)

    def call(self, words: Sequence[str], env: Mapping[str, str] | None = None) -> Done:
        """Run a command in the repository, as a process of its own."""
        began = time.monotonic()
        done = subprocess.run(
            self.argv(words), cwd=self.repository, env={**self.env(), **(env or {})}, capture_output=True, text=True,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        return Done(tuple(words), done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def argv(self, words: Sequence[str]) -> list[str]:
        """What is really started for a command as people write it."""
        modules = {"pytest": ["-m", "pytest", "-p", "no:cacheprovider"], "pixgates": ["-m", "pytest_pixgates"]}
        return [sys.executable, *modules.get(words[0], []), *words[1:]]

    def env(self) -> dict[str, str]:
        """The environment of the commands: nothing of whoever runs this."""
        self.repository.mkdir(parents=True, exist_ok=True)
        theirs = ("PIXGATES_RUN_ID", "PIXGATES_REPORT_DIR", "PYTEST_", "MLFLOW_", "LEDGER_URL", "COV_", "GITHUB_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
        return kept | {
            "PYTHONPATH": str(ROOT), "PIXGATES_LOOKS": str(self.root / "looks.json"),
            "PIXGATES_CACHE_DIR": str(self.root / "cache"),
        }  # fmt: skip

    @contextlib.contextmanager
    def watched(self, environment: str) -> Iterator[tuple[tuple[str, ...], subprocess.Popen[str]]]:
        """`watch`, beside what happens meanwhile: the command, and its process."""
        place = ("--env", environment, "--port", str(self.ports[environment]))
        words = ("python", "-m", "ml_pipeline", "watch", *place, *WATCH)
        process = subprocess.Popen(
            self.argv(words), cwd=self.repository, env=self.env(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            yield words, process
        finally:
            process.kill()

    # What the world sees

    def model(self, environment: str) -> str:
        """The version of the model that answers; "" if nobody does."""
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            return str(ask(self.ports[environment], "GET", "/model")["model"]["version"])
        return ""

    def pay(self, environment: str, cents: int, count: int) -> list[dict[str, Any]]:
        """The decisions on so many payments of so many cents."""
        from ml_pipeline.targets.proof import payment

        said = []
        for _ in range(count):
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                said.append(ask(self.ports[environment], "POST", "/score", payment() | {"amount_cents": cents}))
        return said

    def aliases(self) -> dict[str, str]:
        """MLflow's, but for the candidate."""
        import sqlite3

        if not (self.repository / REGISTRY).is_file():
            return {}
        with contextlib.closing(sqlite3.connect(self.repository / REGISTRY)) as database:
            rows = database.execute("SELECT alias, version FROM registered_model_aliases").fetchall()
        return {str(alias): str(version) for alias, version in rows if alias != "candidate"}

    def stop(self) -> None:
        """End the services."""
        from ml_pipeline.targets.local import Local

        for name in self.environments:
            Local(self.repository / "ml_pipeline" / "deployments" / "local" / name, port=self.ports[name]).stop()


def ask(port: int, method: str, path: str, said: object = None) -> Any:
    """The service's answer. Raises OSError, ValueError, HTTPException."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        body = None if said is None else json.dumps(said)
        connection.request(method, path, body, {"content-type": "application/json", "connection": "close"})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def free_ports(count: int) -> list[int]:
    """So many ports of this machine that nobody uses."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]
