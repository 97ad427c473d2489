"""Every block of commands in the documentation is run, or held against the commands that there are."""

from __future__ import annotations

import pytest

from tests.docs import commands
from tests.docs.markdown import PAGES, ROOT, Block, blocks, spans

REMEDY = (
    "mend it; or put <!-- run --> right above its block, with the output below each `$ command`, and it is run; or "
    "<!-- not run: WHY --> if it can be neither run nor checked"
)
OURS = ("pixgates ", "python -m ml_pipeline ", "python -m iac.apply", "make ")


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_is_shown_exists_with_its_options(page: str) -> None:
    wrong = []
    for block in blocks(page):
        if block.run or not commands.is_commands(block):
            continue
        for line, text in commands.shown(block):
            if found := commands.problem(text, foreign=not block.why):
                wrong.append(f"{page}:{line}: `{text}`: {found}\n  fix: {REMEDY}")
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_text_names_exists(page: str) -> None:
    named = [(line, text) for line, text in spans(page) if text.startswith(OURS)]
    wrong = [f"{page}:{line}: `{text}`: {found}" for line, text in named if (found := commands.partial(text))]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("page", PAGES)
def test_a_console_is_run_or_says_why_not(page: str) -> None:
    """Output that nobody compares is output that is no longer true."""
    for block in blocks(page):
        lines = block.text.splitlines()
        if block.language == "console" and not block.run and not block.why:
            output = [line for line in lines if not line.startswith("$ ")]
            assert not output, f"{page}:{block.line}: shows output that no test compares; fix: {REMEDY}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("pixgates verdict --env prod && pixgates tools install tflint", ""),
        ("pixgates verdict --environment prod", "unrecognized arguments"),
        ("pixgates veredict", "invalid choice"),
        ("pixgates sign --subject a=b …", ""),
        ("pixgates sign --subjects a=b …", "has no option --subjects"),
        ("pixgates verify --subject a=b", "--env"),
        ("python -m ml_pipeline train --seed 3", ""),
        ("python -m ml_pipeline train --seeds 3", "unrecognized arguments"),
        ("python -m ml_pipeline trian", "invalid choice"),
        ("python -m no_such_module", "no module"),
        ("python benchmarks/none.py", "there is no benchmarks/none.py"),
        ("X=1 make gates  # a comment", ""),
        ("make gate", "no target gate"),
        ("pytest -m infra -q --pixgates-env prod", ""),
        ("pytest --pixgates-environment prod", "no option --pixgates-environment"),
        ("pytest tests/nothing", "there is no tests/nothing"),
        ("pip install 'pytest-pixgates[infra,model]'", ""),
        ("pip install 'pytest-pixgates[infrastructure]'", "no extra infrastructure"),
        ("git add gates/baseline.json && git commit -m text", ""),
        ("git commit --no-such-option", "no option --no-such-option"),
        ("git grep -nE text", ""),
        ("git grep -nZ text", "no option -nZ"),
        ("no-such-program --help", "no program no-such-program"),
        (".ci/run", ""),
        (".ci/walk", "there is no .ci/walk"),
        ("pixgates verdict 'open", "can't be read"),
        ("echo '{}' > file | pixgates veredict", "invalid choice"),
    ],
)
def test_a_command_is_told_from_one_that_is_none(text: str, found: str) -> None:
    assert found in (told := commands.problem(text))
    assert bool(found) == bool(told), told


def test_a_block_says_what_it_is() -> None:
    page = "docs/x.md"
    assert commands.is_commands(Block(page, 1, "", "pixgates tools install\n"))
    assert commands.is_commands(Block(page, 1, "", "$ make gates\n"))
    assert commands.is_commands(Block(page, 1, "", "# first\npixgates tools install\n"))
    assert commands.is_commands(Block(page, 1, "", "pixgates sign \\\n  --env prod\n"))
    assert not commands.is_commands(Block(page, 1, "", "dev/0001.json  promoted\n"))
    assert not commands.is_commands(Block(page, 1, "toml", "make = 1\n"))
    block = Block(page, 5, "", "pixgates sign \\\n  --env prod\n\npixgates verdict\n")
    assert list(commands.shown(block)) == [(5, "pixgates sign    --env prod"), (8, "pixgates verdict")]
    block = Block(page, 5, "console", "$ make gates\nnothing to do\n$ make test\n")
    assert list(commands.shown(block)) == [(6, "make gates"), (8, "make test")]


def test_pages_are_found() -> None:
    assert {"README.md", "docs/policy.md", "docs/reference/policy.md"} <= set(PAGES)
    assert all((ROOT / page).is_file() for page in PAGES)
