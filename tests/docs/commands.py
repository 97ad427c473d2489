"""Whether a command that a page shows exists, with the options that it shows, without running it.

Ours are held against their own parsers, those of pytest, git, terraform and kubectl against their help; of any other
program it is asked only whether there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import io
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence

from iac.apply import parser as apply_parser
from ml_pipeline.__main__ import parser as pipeline_parser
from pytest_pixgates.cli.main import parser as pixgates_parser
from pytest_pixgates.core.errors import UsageError
from pytest_pixgates.core.tools import TOOLS
from tests.docs.markdown import ROOT, Block

SHELL = ("console", "sh", "bash", "shell")
OPERATORS = {"&&", "||", ";", "|", "&", "(", ")", ";;"}
LEFT_OPEN = "…"
"""Stands for what the reader fills in; a command with it is not held to be complete."""


def is_commands(block: Block) -> bool:
    """Whether the block shows commands: it says so, or says nothing and has a line that begins with one we know."""
    if block.language:
        return block.language in SHELL
    return any(_known(text) for _, text in shown(block))


def _known(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return any(_program(words) in BEGINNINGS for words in _split(text))
    return False


def shown(block: Block) -> Iterator[tuple[int, str]]:
    """Each command line of the block, continued lines as one, with its line; of a console not the output."""
    lines = block.text.replace("\\\n", "\\\0").split("\n")
    line, console = block.line + bool(block.language), any(each.startswith("$ ") for each in lines)
    for each in lines:
        if each.strip() and (not console or each.startswith("$ ")):
            yield line, each.removeprefix("$ ").replace("\\\0", " ").strip()
        line += 1 + each.count("\\\0")


def problem(text: str, *, foreign: bool = True) -> str:
    """What is wrong with the command line `text`, or "". Programs that are not ours count only if `foreign`."""
    try:
        parts = list(_split(text))
    except ValueError as error:
        return f"can't be read: {error}"
    for words in parts:
        if check := CHECKS.get(_program(words)):
            found = check(words[1:])
        elif foreign:
            found = _other(_program(words), words[1:])
        else:
            found = ""
        if found:
            return found
    return ""


def partial(text: str) -> str:
    """What is wrong with a command that is named within a text, where it needs not be complete, and NAME is a name."""
    with contextlib.suppress(ValueError):
        for words in _split(text):
            if check := CHECKS.get(_program(words)):
                return check([*(LEFT_OPEN if word.isupper() else word for word in words[1:]), LEFT_OPEN])
    return ""


def _split(text: str) -> Iterator[list[str]]:
    """The single commands of a line, without comments, redirections and the variables before them."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    skip = False
    for token in [*lexer, ";"]:
        if skip:
            skip = False
        elif token in OPERATORS:
            if words:
                yield words
            words = []
        elif set(token) <= set("<>&"):
            skip = True
        elif words or not re.match(r"[A-Za-z_]\w*=", token):
            words.append(token)


def _program(words: Sequence[str]) -> str:
    name = words[0].removeprefix(".venv/bin/")
    return "python" if re.fullmatch(r"python3?(\.\d+)?", name) else name


MODULES = {"ml_pipeline": functools.cache(pipeline_parser), "iac.apply": functools.cache(apply_parser)}


def _parsed(make: Callable[[], argparse.ArgumentParser], arguments: Sequence[str]) -> str:
    """Whether what `make` makes takes `arguments`; if something is left open, as far as commands and options go."""
    parser, given = make(), [each for each in arguments if LEFT_OPEN not in each]
    if len(given) == len(arguments):
        told = io.StringIO()
        try:
            with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
                parser.parse_args(given)
        except UsageError as error:
            return error.message
        except SystemExit as error:
            return told.getvalue().strip().rpartition("error: ")[2] if error.code else ""
        return ""
    for word in given:
        commands = next((each for each in parser._actions if isinstance(each, argparse._SubParsersAction)), None)
        if word.startswith("-"):
            if word.partition("=")[0] not in parser._option_string_actions:
                return f"{parser.prog} has no option {word}"
        elif commands is not None:
            if word not in commands.choices:
                return f"{parser.prog} has no {word}; there are {', '.join(commands.choices)}"
            parser = commands.choices[word]
    return ""


@functools.cache
def _help(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    return done.stdout + done.stderr


def _options_in(help_text: str, arguments: Sequence[str]) -> str:
    known = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", help_text))
    negatable = {each.replace("--[no-]", "--") for each in re.findall(r"--\[no-\][\w-]+", help_text)}
    for word in arguments:
        name = word.partition("=")[0]
        letters = {f"-{letter}" for letter in name[1:]} if name[1:2] != "-" else {name}
        if re.fullmatch(r"--?[A-Za-z][\w-]*", name) and name not in known | negatable and not letters <= known:
            return f"there is no option {name}"
    return ""


def _pytest(arguments: Sequence[str]) -> str:
    help_text = _help(sys.executable, "-m", "pytest", "--help")
    for word in arguments:
        path = word.partition("::")[0]
        if path.startswith("tests/") and LEFT_OPEN not in path and not (ROOT / path).exists():
            return f"there is no {path}"
    return _options_in(help_text, [word for word in arguments if not re.fullmatch(r"-n\d+", word)])


def _make(arguments: Sequence[str]) -> str:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for word in arguments:
        if LEFT_OPEN not in word and "=" not in word and not word.startswith("-") and word not in targets:
            return f"the Makefile has no target {word}"
    return ""


def _python(arguments: Sequence[str]) -> str:
    first, *rest = arguments or [""]
    if first == "-m" and rest:
        module = rest[0]
        if module in MODULES:
            return _parsed(MODULES[module], rest[1:])
        if module in CHECKS:
            return CHECKS[module](rest[1:])
        return "" if LEFT_OPEN in module or importlib.util.find_spec(module) else f"there is no module {module}"
    if first.endswith(".py") and not (ROOT / first).exists():
        return f"there is no {first}"
    return ""


def _pip(arguments: Sequence[str]) -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in arguments:
        match = re.fullmatch(r"(?:pytest-pixgates|\.)\[(.*)\](?:==.*)?", word)
        if match and (unknown := set(match[1].split(",")) - set(project["optional-dependencies"])):
            return f"there is no extra {', '.join(sorted(unknown))}"
    return ""


def _with_commands(program: str, flag: str) -> Callable[[Sequence[str]], str]:
    """Holds the options of a sub-command against its help, where the program is on this machine."""

    def check(arguments: Sequence[str]) -> str:
        name = next((word for word in arguments if not word.startswith("-")), "")
        if not shutil.which(program) or not name or LEFT_OPEN in name:
            return ""
        return _options_in(_help(program, name, flag) + _help(program, flag), arguments)

    return check


def _other(program: str, arguments: Sequence[str]) -> str:
    if "/" in program and not program.startswith(("/", "~")):
        return "" if (ROOT / program).exists() else f"there is no {program}"
    if program in FOREIGN:
        return FOREIGN[program](arguments)
    known = (
        shutil.which(program) or program in TOOLS or not subprocess.run(["bash", "-c", f"type -- {program}"]).returncode
    )
    return "" if known else f"there is no program {program}"


CHECKS: dict[str, Callable[[Sequence[str]], str]] = {
    "pixgates": functools.partial(_parsed, functools.cache(pixgates_parser)),
    "pytest": _pytest,
    "python": _python,
    "make": _make,
    "pip": _pip,
}
FOREIGN = {
    "git": _with_commands("git", "-h"),
    "terraform": _with_commands("terraform", "-help"),
    "kubectl": _with_commands("kubectl", "--help"),
}
BEGINNINGS = {
    *CHECKS,
    *FOREIGN,
    "cd",
    "cp",
    "curl",
    "docker",
    "echo",
    "export",
    "kill",
    "mkdir",
    "pre-commit",
    "source",
}
"""What a block that doesn't say its language is told by."""
