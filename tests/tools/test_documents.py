"""README and docs are run as a reader would: their files written, their commands run, their output compared."""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "iac" / "terraform" / "modules" / "key" / ".terraform.lock.hcl"
BLOCK = re.compile(r"<!-- (file: (?P<file>\S+)|run) -->\n```\w+\n(?P<text>.*?)```", re.DOTALL)


def stable(text: str) -> list[str]:
    """Lines without what differs between machines and runs: times, versions, order of the gates."""
    text = re.sub(r"\d+(\.\d+)? (min|s)\b( \d+ s\b)?|\bin \d+\.\d+s", "T", text)
    text = re.sub(r"\b\d+\.\d+\.\d+\b", "V", text)
    text = re.sub(r"^[.FE]+(?= +\[)", lambda match: "".join(sorted(match[0])), text, flags=re.MULTILINE)
    text = re.sub(r" +", " ", re.sub(r"[=_]{4,}", "====", text))
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def run(command: str, folder: Path) -> str:
    scripts = str(Path(sys.executable).parent)
    dropped = ("PYTEST", "PIXGATES_RUN_ID", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "CI", "COV_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    environment = kept | {"PATH": f"{scripts}:{kept['PATH']}", "COLUMNS": "100", "PYTEST_ADDOPTS": "-p no:randomly"}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    return done.stdout + done.stderr


@pytest.mark.parametrize("document", ["README.md", "docs/families.md", "docs/contracts.md"])
def test_commands_of_a_document_print_what_it_shows(document: str, tmp_path: Path) -> None:
    text = (ROOT / document).read_text()
    (tmp_path / "terraform").mkdir()
    shutil.copy(LOCK, tmp_path / "terraform")
    ran = 0
    for block in BLOCK.finditer(text):
        if name := block["file"]:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block["text"])
            continue
        for session in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]:
            command, _, expected = session.partition("\n")
            assert stable(run(command, tmp_path)) == stable(expected), command
            ran += 1
    assert ran >= 1


def test_the_gates_in_python_of_the_readme_pass(tmp_path: Path) -> None:
    (tmp_path / "terraform").mkdir()
    shutil.copy(LOCK, tmp_path / "terraform")
    for block in BLOCK.finditer((ROOT / "README.md").read_text()):
        if name := block["file"]:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(block["text"])
    output = run("pytest gates/test_infra.py -q", tmp_path)
    assert "2 passed" in output, output


def test_the_python_prompt_of_the_readme_answers_as_shown() -> None:
    result = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert result.attempted >= 5
    assert result.failed == 0


def test_the_policy_of_the_readme_is_no_longer_than_five_lines() -> None:
    policy = next(
        block["text"]
        for block in BLOCK.finditer((ROOT / "README.md").read_text())
        if block["file"] == "gates/gates.toml"
    )
    assert len(policy.splitlines()) <= 5
    assert set(tomllib.loads(policy)["infra"]) == {"terraform", "tflint", "checkov"}


@pytest.mark.parametrize(
    "document", ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))]
)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{document}: {target}"


def test_every_key_of_the_infra_section_is_documented() -> None:
    from dataclasses import fields

    from pytest_pixgates.infra.policy import InfraPolicy

    text = (ROOT / "docs" / "policy.md").read_text()
    for field in fields(InfraPolicy):
        assert f"| `{field.name}` |" in text, field.name


def test_every_key_of_the_data_contract_section_is_documented() -> None:
    from dataclasses import fields

    from pytest_pixgates.data_contract.policy import Data, DataContractPolicy, Volume

    text = (ROOT / "docs" / "policy.md").read_text().partition("## `[data_contract]`")[2]
    for section in (DataContractPolicy, Data, Volume):
        for field in fields(section):
            assert field.name in text, f"{section.__name__}.{field.name}"
