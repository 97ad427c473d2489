"""Made-up requests against a live service: no error of its own, nothing undocumented, nothing wrong accepted.

In an environment of its own (`tox -e fuzz`), for schemathesis brings a plugin of pytest that slows each start.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from tests.serve.conftest import ROOT, Server, bank, server

__all__ = ["bank", "server"]
EXAMPLES = os.environ.get("PIXGATES_FUZZ_EXAMPLES", "150")


def test_the_description_is_openapi_3_1(server: Server) -> None:
    described = server.ask("GET", "/openapi.json").json
    validate(described, cls=OpenAPIV31SpecValidator)
    assert described["openapi"] == "3.1.0"
    del described["info"]["title"]
    with pytest.raises(Exception, match="title"):
        validate(described, cls=OpenAPIV31SpecValidator)


@pytest.mark.parametrize(
    ("phases", "exclude"),
    [
        ("fuzzing", "none"),
        # What it lists by the schema is not mended by `hooks.py`: a schema can't say rules across fields.
        ("examples,coverage", "positive_data_acceptance"),
    ],
)
def test_schemathesis_finds_nothing(server: Server, phases: str, exclude: str) -> None:
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"http://127.0.0.1:{server.port}/openapi.json",
        "--phases", phases, "--checks", "all", "--max-examples", EXAMPLES, "--no-color", "--continue-on-failure",
    ]  # fmt: skip
    command += [] if exclude == "none" else ["--exclude-checks", exclude]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks"}
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert run.returncode == 0, run.stdout[-6000:]
    assert "Tested: 6" in run.stdout
    assert server.lines("error") == []
    assert any(line["status"] == 200 for line in server.lines("decision"))
