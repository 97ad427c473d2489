"""A repository with a stack of Terraform, a policy for its plans and a key: what a plan goes through to be applied.

The stack needs no provider, and its state lies behind `States`, a server whose locks outlive whoever took them, as
those in a bucket do.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from iac import lock
from pytest_pixgates.core import trust
from pytest_pixgates.evidence import keys
from tests.git import Git

ROOT = Path(__file__).parents[2]
FOLDER = Path("iac/terraform/environments/dev")
PLAN = FOLDER / "dev.tfplan"
EVIDENCE = Path(".pixgates/plans/dev/evidence.dsse.json")
HTTP = """\
  backend "http" {{
    address        = "{url}"
    lock_address   = "{url}"
    unlock_address = "{url}"
  }}
"""
STACK = """\
terraform {{
{backend}}}

resource "terraform_data" "one" {{
  input = {value}
{more}}}
"""
WAITS = """\
  provisioner "local-exec" {{
    command = "touch {began}; for i in $(seq 6000); do [ -e {go} ] && exit 0; sleep 0.1; done"
  }}
"""
KEYS = """
[[evidence.keys]]
name = "release"
public = "{public}"
environments = ["dev", "prod"]
valid_from = {begin}
valid_until = {end}
"""
POLICY = """\
[environments.dev]
requires = ["infra"]
subjects = ["source"]

[environments.prod]
requires = ["infra"]

[infra]
plan_max_changes = 3
"""
GATE = """\
import os


def test_plan(infra):
    assert infra.plan(os.environ["PLAN"])
"""


class States:
    """A server that keeps one state and its lock."""

    def __init__(self) -> None:
        self.state, self.lock, self.asked = b"", b"", list[str]()
        self.let_go = threading.Event()
        self.let_go.set()
        states = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                with contextlib.suppress(ConnectionError):
                    super().handle_one_request()

            def answer(self, code: int, body: bytes = b"") -> None:
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def body(self) -> bytes:
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def do_GET(self) -> None:
                self.answer(200 if states.state else 404, states.state)

            def do_POST(self) -> None:
                states.asked.append("store")
                states.state = self.body()
                self.answer(200)

            def do_LOCK(self) -> None:
                body = self.body()
                if states.lock:
                    self.answer(423, states.lock)
                else:
                    states.lock = body
                    self.answer(200)

            def do_UNLOCK(self) -> None:
                self.body()
                states.lock = b""
                self.answer(200)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/state"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def held(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.lock or b"{}")
        return found

    @property
    def value(self) -> object:
        """What was applied last; None before."""
        resources = json.loads(self.state or b"{}").get("resources", [])
        return resources[0]["instances"][0]["attributes"]["input"]["value"] if resources else None


@dataclass
class Pipeline:
    """The repository at `root`, and what its pipeline does; `env` is what all steps get beside the environment here."""

    root: Path
    key: keys.PrivateKey = field(default_factory=keys.generate)
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.git = Git(self.root)

    def trusted(self) -> str:
        """What a policy says to trust the key."""
        day, today = datetime.timedelta(days=1), datetime.datetime.now(datetime.UTC).date()
        return KEYS.format(public=trust.encoded(self.key.public), begin=today - day, end=today + day)

    def write(self, name: str | Path, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def command(self, *words: str, environment: str = "dev") -> list[str]:
        return [sys.executable, "-m", "iac.apply", "--env", environment, *words]

    def environ(self) -> dict[str, str]:
        """Without the key."""
        own = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "XDG_STATE_HOME": str(self.state_home)}
        return {**os.environ, **own, **self.env}

    @property
    def state_home(self) -> Path:
        """Where runs note themselves: of this world alone."""
        return self.root.with_name(f"{self.root.name}-state")

    def run(self, *words: str, environment: str = "dev") -> subprocess.CompletedProcess[str]:
        command = self.command(*words, environment=environment)
        return subprocess.run(
            command, cwd=self.root, env=self.environ(), capture_output=True, text=True, timeout=600, check=False
        )

    def plan(self) -> None:
        done = self.run("--plan")
        assert done.returncode == 0, done.stdout + done.stderr

    def sign(self, environment: str = "dev") -> subprocess.CompletedProcess[str]:
        """In a process of its own, which has the key."""
        words = ["sign", "--config", "plans/gates.toml", "--env", environment, "--report-dir", str(EVIDENCE.parent)]
        command = [sys.executable, "-m", "pytest_pixgates", *words, "--key-env", "SIGNING_KEY"]
        env = {**self.environ(), "SIGNING_KEY": self.key.pem()}
        return subprocess.run(command, cwd=self.root, env=env, capture_output=True, text=True, timeout=120, check=False)

    def vouched(self) -> None:
        """Planned, judged and signed."""
        self.plan()
        done = self.sign()
        assert done.returncode == 0, done.stdout + done.stderr

    def apply(self, *words: str, environment: str = "dev") -> subprocess.CompletedProcess[str]:
        return self.run("--evidence", str(EVIDENCE), *words, environment=environment)

    def applied(self) -> subprocess.CompletedProcess[str]:
        self.vouched()
        done = self.apply()
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    @contextlib.contextmanager
    def applying(self, flags: Path) -> Iterator[subprocess.Popen[str]]:
        """An apply of what WAITS, that is under way and goes on once the file `go` is in `flags`."""
        pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        command = self.command("--evidence", str(EVIDENCE))
        with subprocess.Popen(command, cwd=self.root, env=self.environ(), **pipes) as running:
            try:
                until(lambda: (flags / "began").exists() or running.poll() is not None)
                assert running.poll() is None, running.communicate()
                yield running
            finally:
                (flags / "go").touch()
                running.kill()

    def kill(self, running: subprocess.Popen[str]) -> None:
        """End an apply, and its terraform, as a power cut would."""
        (note,) = self.state_home.glob("pixgates/runs/*.json")
        terraform = int(json.loads(note.read_text())["pid"])
        running.kill()
        os.killpg(terraform, signal.SIGKILL)
        running.wait()
        until(lambda: lock.ticks(terraform) == lock.GONE)


@dataclass
class World(Pipeline):
    """A repository with one small stack, whose state lies as `backend` says."""

    backend: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.write("plans/gates.toml", POLICY + self.trusted())
        self.write("plans/test_plan.py", GATE)
        self.write(".gitignore", "*.tfplan\n.terraform/\n.pixgates/\n__pycache__/\n.pytest_cache/\n")
        self.write("pyproject.toml", "[tool.pytest.ini_options]\n")
        self.declare(1)

    def declare(self, value: int | None, more: str = "") -> None:
        """What the stack should be, committed; None for nothing at all."""
        text = STACK.format(backend=self.backend, value=value, more=more)
        self.write(FOLDER / "main.tf", text if value is not None else text.partition("resource")[0] + "locals {}\n")
        self.git.commit()


@dataclass
class Served(World):
    """One whose state `states` keeps."""

    states: States = field(default_factory=States)

    def __post_init__(self) -> None:
        self.backend = HTTP.format(url=self.states.url)
        super().__post_init__()


def until(holds: Callable[[], object], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.05)


@contextlib.contextmanager
def states() -> Iterator[States]:
    made = States()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.server.server_close()
