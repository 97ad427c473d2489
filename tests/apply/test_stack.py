"""What terraform gets from the environment, and what it does not; and which stack is which."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from iac import stack as stacks
from iac.stack import Stack, unbent


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TF_CLI_ARGS", "-refresh=false"),
        ("TF_CLI_ARGS_plan", "-target=terraform_data.other"),
        ("TF_CLI_ARGS_apply", "-parallelism=3 -target=terraform_data.other"),
        ("TF_CLI_ARGS_force-unlock", "-force"),
        ("TF_WORKSPACE", "other"),
        ("TF_REATTACH_PROVIDERS", "{}"),
    ],
)
def test_no_variable_has_terraform_do_something_else(name: str, value: str) -> None:
    assert unbent({name: value, "PATH": "/bin"}) == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TF_VAR_token", "x"),
        ("TF_TOKEN_example_com", "x"),
        ("AWS_REGION", "x"),
        ("TF_CLI_ARGS_plan", "-parallelism=30"),
    ],
)
def test_values_credentials_and_how_fast_stay(name: str, value: str) -> None:
    assert unbent({name: value}) == {name: value}


def test_what_has_another_state_is_another_stack(tmp_path: Path) -> None:
    stack = Stack(tmp_path, "dev", ("backend.hcl",))
    others = (
        Stack(tmp_path / "x", "dev", ("backend.hcl",)),
        Stack(tmp_path, "prod", ("backend.hcl",)),
        Stack(tmp_path, "dev"),
    )
    assert stack.name not in [each.name for each in others]
    assert stack.name == Stack(tmp_path / "x" / "..", "dev", ("backend.hcl",), wait=5).name


NOTED = """\
#!/bin/sh
until cp "$XDG_STATE_HOME"/pixgates/runs/*.json seen.json 2>/dev/null; do sleep 0.01; done
"""


@pytest.mark.parametrize(
    ("do", "wait", "at_once"),
    [(Stack.settled, 0, True), (Stack.settled, 5, False), (Stack.init, 0, False)],
    ids=["a plan", "one that waits", "what takes no lock"],
)
def test_a_run_notes_whether_it_takes_the_lock_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, do: Callable[[Stack], object], wait: int, at_once: bool
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "terraform").write_text(NOTED)
    (tmp_path / "terraform").chmod(0o755)
    monkeypatch.setattr(stacks.tools, "find", lambda _: SimpleNamespace(path=tmp_path / "terraform"))
    stack = Stack(tmp_path, "dev", wait=wait)
    do(stack)
    noted = json.loads((tmp_path / "seen.json").read_text())
    assert (noted["stack"], noted["at_once"]) == (stack.name, at_once)
    assert list((tmp_path / "state/pixgates/runs").iterdir()) == []
