"""A short latency gate on a release that has just begun to get requests: the gate of `pytest -m latency`, nothing else.

It runs in a process and a folder of its own, on payments that exist for this alone. Six seconds are what a p95 takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from ml_pipeline.targets import Unfit, Unit
from ml_pipeline.targets.proof import payment

RATE, SECONDS, PATIENCE = 50, 6, 300.0
POLICY = """\
[latency]
url = {url}
ready = "/readyz"
allowed_targets = [{host}]

[latency.endpoints.score]
path = "/score"
requests = "gates/payments.ndjson"
expect = {{ status = [200], json = {{ model_version = {version} }} }}

[latency.stages.short]
rate = {rate}
duration = "{seconds}s"

[latency.limits]
p95 = {p95}
"""


def judge(unit: Unit, url: str, p95: str) -> None:
    """Raises Unfit unless 95 % of the payments are decided within `p95`, and by the model of the release."""
    parts = urlsplit(url)
    said = {
        "url": f"{parts.scheme}://{parts.netloc}", "host": parts.hostname or "", "p95": p95,
        "version": f"{unit.release.name}-{unit.release.model[:12]}",
    }  # fmt: skip
    quoted = {name: json.dumps(value) for name, value in said.items()}
    with tempfile.TemporaryDirectory(prefix="pixgates-") as name:
        gates = Path(name) / "gates"
        gates.mkdir()
        (gates / "gates.toml").write_text(POLICY.format(**quoted, rate=RATE, seconds=SECONDS))
        payments = [json.dumps(payment()) for _ in range(RATE * SECONDS * 2)]
        (gates / "payments.ndjson").write_text("\n".join(payments) + "\n")
        command = [sys.executable, "-m", "pytest", "-m", "latency", "-p", "no:cacheprovider"]
        env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "PIXGATES_RUN_ID"))}
        try:
            done = subprocess.run(
                command, cwd=name, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            raise Unfit(f"the latency gate gave no answer within {PATIENCE:g} s") from None
        why = _reasons(Path(name))
    if done.returncode or why:
        raise Unfit(f"the latency gate did not pass: {why or (done.stdout + done.stderr).strip()[-600:]}")


def _reasons(folder: Path) -> str:
    """What the gates that did not pass say; "" if all did."""
    try:
        records = json.loads((folder / ".pixgates" / "records.json").read_bytes())["records"]
    except (OSError, ValueError, KeyError):
        return "it left no record"
    found = [each for each in records if each["outcome"] != "PASS"]
    return "; ".join(f"{each['gate']} is {each['outcome']}: {each['reason']}" for each in found)
