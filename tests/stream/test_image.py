"""The image of the worker holds what the worker imports, and no more: here with nothing else to be found."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stream.made import World

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "iac/docker/stream-worker"
# Starts the worker up to where it would ask the brokers, without the distributions that are not named, and tells which
# of the named ones it imported.
ALONE = """\
import importlib.abc, json, os, re, sys
from importlib.metadata import packages_distributions

named = set(json.loads(sys.argv[1]))
known = {
    module: {re.sub("[-_.]+", "-", each).lower() for each in distributions}
    for module, distributions in packages_distributions().items()
}

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if path is None and name != "ml_pipeline" and name in known and not known[name] & named:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from ml_pipeline.__main__ import main
import ml_pipeline.streaming.worker as worker

worker.Worker.run = lambda self: None
code = main(["stream", "--port", "0"])
print(json.dumps(sorted({each for module in set(sys.modules) & known.keys() for each in known[module] & named})))
sys.stdout.flush()
os._exit(code)  # the clients would look for their brokers first
"""


def named(text: str) -> set[str]:
    """The distributions of a requirements file."""
    return set(re.findall(r"^([a-z0-9-]+)(?:==|$)", text, re.MULTILINE))


def started(world: World, folder: Path, distributions: set[str]) -> subprocess.CompletedProcess[str]:
    """The worker by the variables of its pod, but that files stand in for buckets."""
    told = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "AWS_MSK_IAM", "AWS_REGION": "sa-east-1", "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret", "MODEL_URI": world.model.as_uri(), "ACCOUNTS_URI": world.data.as_uri(),
        "STATE_DIR": str(folder / "state"),
    }  # fmt: skip
    command = [sys.executable, "-c", ALONE, json.dumps(sorted(distributions))]
    return subprocess.run(
        command, env={**os.environ, **told}, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_worker_starts_with_what_its_image_has_and_uses_all_that_was_asked_for(
    world: World, tmp_path: Path
) -> None:
    done = started(world, tmp_path, named((IMAGE / "requirements.txt").read_text()))
    assert done.returncode == 0, done.stderr
    *_, last = done.stdout.splitlines()
    assert named((IMAGE / "requirements.in").read_text()) <= set(json.loads(last))


@pytest.mark.parametrize("lacking", sorted(named((IMAGE / "requirements.in").read_text())))
def test_the_worker_does_not_start_without_any_of_them(world: World, tmp_path: Path, lacking: str) -> None:
    done = started(world, tmp_path, named((IMAGE / "requirements.txt").read_text()) - {lacking})
    assert done.returncode != 0
    assert "No module named" in done.stderr or "is missing" in done.stderr
