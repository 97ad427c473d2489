"""Pages are run as a reader would: their files written, their commands run, their output compared."""

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

from tests.docs.markdown import NOTE, OTHERS, PAGES, ROOT, Block, blocks

LOCK = ROOT / "iac" / "terraform" / "modules" / "key" / ".terraform.lock.hcl"
# A translation has the blocks of what it translates: tests/docs/test_structure.py.
RUN = [page for page in PAGES if page != "README.pt-BR.md" and any(block.run for block in blocks(page))]
ALIKE = (
    (r"\d+(\.\d+)? (min|s)\b( \d+ s\b)?|\bin \d+\.\d+s( \(\d+:\d\d:\d\d\))?", "T"),  # what something took
    (r"\b\d+\.\d+\.\d+\b", "V"),  # a version
    (r"\b\d{4}-\d\d-\d\d(T[\d:.]+Z?)?", "D"),  # a day
    (r"\b[0-9a-f]{12,64}\b", "H"),  # a digest
    (r'"[A-Za-z0-9+/]{43}="', "K"),  # a public key
    (r"run \S+, signed", "run R, signed"),  # its id
    (r"\S+/(?=\.pixgates/)", ""),  # where the repository lies
    (r" +", " "),
)


def stable(text: str) -> list[str]:
    """Lines without what differs between machines and runs."""
    text = re.sub(r"^[.FE]+(?= +\[)", lambda match: "".join(sorted(match[0])), text, flags=re.MULTILINE)
    text = re.sub(r"[=_]{4,}", "====", text)
    for pattern, stands in ALIKE:
        text = re.sub(pattern, stands, text)
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def run(command: str, folder: Path) -> tuple[str, int]:
    """What the command prints, and its exit code."""
    scripts = str(Path(sys.executable).parent)
    dropped = ("PYTEST", "PIXGATES_RUN_ID", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "CI", "COV_", "GIT_", "GITHUB_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    own = {
        "PATH": f"{scripts}:{kept['PATH']}",
        "COLUMNS": "100",
        "PYTEST_ADDOPTS": "-p no:randomly",
        "PIXGATES_LOOKS": str(folder.parent / "looks.json"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{f"GIT_{who}_NAME": "A Reader" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "reader@example.org" for who in ("AUTHOR", "COMMITTER")},
    }
    done = subprocess.run(command, shell=True, cwd=folder, env=kept | own, capture_output=True, text=True, timeout=600)
    return done.stdout + done.stderr, done.returncode


def sessions(block: Block) -> list[tuple[str, str, int]]:
    """Each command of a console, with the output below it and its exit code: the block's for the last, else 0."""
    parts = [each.partition("\n") for each in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]]
    codes = [*[0] * (len(parts) - 1), block.code]
    return [(command, expected, code) for (command, _, expected), code in zip(parts, codes, strict=False)]


def write(block: Block, folder: Path) -> None:
    path = folder / block.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader begins: in a repository with the lock file that `terraform init` wrote."""
    made = tmp_path / "repository"
    (made / "terraform").mkdir(parents=True)
    shutil.copy(LOCK, made / "terraform")
    return made


@pytest.mark.parametrize("page", RUN)
def test_commands_of_a_page_print_what_it_shows(page: str, folder: Path) -> None:
    for block in blocks(page):
        if block.file:
            write(block, folder)
        for command, expected, code in sessions(block) if block.run else ():
            printed, ended = run(command, folder)
            told = f"{page}:{block.line}: $ {command}\nexit code {ended}, printed:\n{printed}"
            assert (stable(printed), ended) == (stable(expected), code), told


@pytest.mark.parametrize("page", [*PAGES, *OTHERS])
def test_a_block_that_is_run_has_something_to_run(page: str) -> None:
    empty = [each.line for each in blocks(page) if each.run and not (each.language == "console" and sessions(each))]
    assert not empty, f"{page}: no console with `$ command` in lines {empty}, so nothing there is run"


def test_a_block_says_what_its_last_command_ends_with(folder: Path) -> None:
    console = "$ true\n$ false\nnothing\n"
    assert sessions(Block("x.md", 1, "console", console, run=True)) == [("true", "", 0), ("false", "nothing\n", 0)]
    assert [code for *_, code in sessions(Block("x.md", 1, "console", console, run=True, code=1))] == [0, 1]
    note = NOTE.search("<!-- run: 1 -->\n")
    assert note is not None
    assert note.group("run", "code") == ("run", "1")
    assert run("echo printed; exit 3", folder) == ("printed\n", 3)
    assert sessions(Block("x.md", 1, "sh", "pixgates verdict\n", run=True)) == []


def test_the_gates_in_python_of_the_readme_pass(folder: Path) -> None:
    for block in blocks("README.md"):
        if block.file:
            write(block, folder)
    output, code = run("pytest gates/test_infra.py -q", folder)
    assert "2 passed" in output, output
    assert code == 0


@pytest.mark.parametrize("page", [page for page in PAGES if any(">>> " in block.text for block in blocks(page))])
def test_the_python_prompt_of_a_page_answers_as_shown(page: str) -> None:
    prompts = "\n".join(block.text for block in blocks(page) if ">>> " in block.text)
    test = doctest.DocTestParser().get_doctest(prompts, {}, page, page, 0)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_policy_of_the_readme_is_no_longer_than_five_lines() -> None:
    policy = next(block.text for block in blocks("README.md") if block.file == "gates/gates.toml")
    assert len(policy.splitlines()) <= 5
    assert set(tomllib.loads(policy)["infra"]) == {"terraform", "tflint", "checkov"}
