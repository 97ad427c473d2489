"""Ways to make a red gate a green job, and to cut a change in two: each is found, and its honest twin is not."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from pytest_pixgates.core.sources import Unreadable
from pytest_pixgates.infra.consistency import workflow_jobs
from pytest_pixgates.infra.consistency.sets import Sources
from pytest_pixgates.infra.consistency.workflow_jobs import Cancel, ExitCode

HEAD = "on: [push]\njobs:\n  a:\n    runs-on: x\n"


def world(**texts: str) -> Sources:
    files = {f".github/workflows/{name}.yml": text for name, text in texts.items()}
    return Sources(jobs=tuple(job for label, text in files.items() for job in workflow_jobs.jobs(text, label)))


def step(commands: str, more: str = "") -> str:
    lines = "".join(f"          {line}\n" for line in commands.splitlines())
    return f"{HEAD}    steps:\n      - run: |\n{lines}{more}"


IGNORED = {
    "or true": step("pytest || true"),
    "or a colon": step("pixgates verdict ||:"),
    "or a word": step("make gates || echo failed"),
    "or success": step("checkov -d . || exit 0"),
    "over two lines": step("pytest -m infra \\\n  -q || true"),
    "then true": step("pytest; true"),
    "set +e": step("set +e\npytest\necho done"),
    "set +o": step("set +o errexit; pytest"),
    "a pipe without pipefail": step("pytest | tee log"),
    "both outputs piped": step("python -m pytest |& tee log"),
    "a pipe of sh": step("pytest | tee log", "        shell: sh\n"),
    "pipefail that comes too late": step("pytest | tee log\nset -o pipefail"),
    "inside an echo": step('echo "families=$(pixgates affected)" >> "$GITHUB_OUTPUT"'),
    "and, with more below": step("pytest -m infra && echo green\necho done"),
    "and, with more behind": step("pytest && echo green; echo done"),
    "and, in a loop": step("for each in a b; do\n  pytest && echo green\ndone"),
    "or an assignment": step("pytest || rc=$?"),
    "or a request": step("pytest || curl -d red https://example.org"),
    "or a subshell": step("pytest || (true)"),
    "or a group": step("pytest || { true; }"),
    "or a group that ends well": step("pytest || { exit 0; exit 1; }"),
    "or what another word says": step("pytest || { echo red; exit $?; }"),
    "or an exit that is 0 to a shell": step("pytest || exit 256"),
    "or another try": step("pytest || pytest --lf"),
    "or fail, or not": step("(pytest || exit 1) || true"),
    "or on the next line": step("pytest ||\n  true"),
    "or behind a group": step("{\n  pytest\n} || true"),
    "or behind a loop": step("for each in a b; do\n  pytest\ndone || true"),
    "below a comment that goes on": step("# see \\\npytest || true"),
    "or behind a text": step("pytest -k 'a' || echo 'b'"),
    "or behind an escaped quote": step("pytest -k it\\'s || echo 'b'"),
    "or in an expression": step("pytest ${{ inputs.lenient && '|| true' || '' }}"),
    "a condition": step("if pytest; then\n  echo green\nfi"),
    "a condition of two": step("if cd x && .venv/bin/pytest; then echo green; fi"),
    "a loop until": step("until pytest; do sleep 9; done"),
    "turned round": step("! pytest"),
    "in the background": step("pytest &\necho done"),
    "in the background, with output": step("pytest > log 2>&1 & echo done"),
    "set +eu": step("set +eu\npytest\necho done"),
    "a shell that goes on": step("pytest\necho done", "        shell: bash {0}\n"),
    "a shell with no profile that goes on": step("pytest\necho done", "        shell: bash --noprofile {0}\n"),
    "another shell": step("pytest\necho done", "        shell: pwsh\n"),
    "a shell of the job": step("pytest\necho done", "    defaults: {run: {shell: 'bash {0}'}}\n"),
    "a shell of the workflow": step("pytest\necho done", "defaults: {run: {shell: 'bash {0}'}}\n"),
    "the step may go on": step("pytest", "        continue-on-error: true\n"),
    "the step may go on by an expression": step("pytest", "        continue-on-error: ${{ inputs.lenient }}\n"),
    "the job may go on": HEAD + "    continue-on-error: true\n    steps:\n      - run: tox\n",
}


@pytest.mark.parametrize("text", IGNORED.values(), ids=IGNORED)
def test_an_exit_code_that_is_ignored_is_found(text: str) -> None:
    (found,) = ExitCode().check(world(gates=text))
    assert found.rule == "workflow-exit-code"
    assert found.line > 3


HEEDED = {
    "plain": step("pytest -m infra\npixgates verdict"),
    "and": step("pytest && pixgates verdict"),
    "or fail": step("pytest || exit 1"),
    "or say, and fail": step('pytest || { echo "::error::red" >&2; exit 1; }'),
    "or fail as it did": step("pytest || exit $?"),
    "and, at the end of the last line": step("cd x\npytest && echo green\n# done"),
    "and, over two lines": step("pytest &&\n  pixgates verdict"),
    "a text with operators": step("pytest -k \"a && b || c | d\" -m 'x & y'\necho done"),
    "an expression": step("pytest ${{ inputs.all && '-x' || '' }}\necho done"),
    "both outputs in a file": step("pytest > log 2>&1\npytest &> log\necho done"),
    "behind a condition": step("if test -f x; then pytest; fi\n[ ! -f y ] && pytest"),
    "in a loop": step("for each in a b; do\n  pytest $each\ndone\necho done"),
    "a shell that stops": step("pytest | tee log", "        shell: bash --noprofile -eo pipefail {0}\n"),
    "a shell of the workflow": step("pytest | tee log", "defaults: {run: {shell: bash}}\n"),
    "a pipe of bash": step("pytest | tee log", "        shell: bash\n"),
    "a pipe with pipefail": step("set -o pipefail\npytest | tee log"),
    "all of pipefail": step("set -euo pipefail\npytest | tee log"),
    "a comment": step("# pytest || true\npytest"),
    "something else may fail": step("pytest\nrm cache || true"),
    "assigned, then said": step('found=$(pixgates affected)\necho "$found"'),
    "it may not go on": step("pytest", "        continue-on-error: false\n"),
}


@pytest.mark.parametrize("text", HEEDED.values(), ids=HEEDED)
def test_an_exit_code_that_counts_is_not(text: str) -> None:
    assert list(ExitCode().subjects(world(gates=text)))
    assert list(ExitCode().check(world(gates=text))) == []


@pytest.mark.parametrize("text", HEEDED.values(), ids=HEEDED)
def test_what_is_not_found_really_ends_its_step(text: str, tmp_path: Path) -> None:
    """Held against bash itself, as GitHub starts it, with gates that are red."""
    for name in ("pytest", "pixgates", "x/pytest"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    (job,) = world(gates=text).jobs
    ((_, step, _),) = job.steps
    shell = {"": "bash -e {0}", "bash": "bash -eo pipefail {0}"}.get(job.shell(step), job.shell(step))
    (tmp_path / "step").write_text(re.sub(r"\$\{\{.*?\}\}", "", step["run"]))
    command = [str(tmp_path / "step") if word == "{0}" else word for word in shell.split()]
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert subprocess.run(command, cwd=tmp_path, env=path, capture_output=True, timeout=60).returncode


def test_what_judges_nothing_is_not_looked_at() -> None:
    assert not list(ExitCode().subjects(world(gates=step("ls || true"))))


CHANGES = [
    "terraform -chdir=x apply p",
    "python -m iac.apply --env dev --evidence e.json",
    "./deploy.sh",
    "kubectl apply -f x",
    "kubectl -n x set image deployment/x x=y",
    "kubectl scale deployment/x --replicas 0",
    "kubectl replace -f x",
    "kubectl patch deployment/x -p {}",
    "kubectl rollout restart deployment/x",
    "kubectl rollout undo deployment/x",
    "terraform -chdir=x import a b",
    "terraform state rm a",
    "helm upgrade x y",
    ".venv/bin/python -m ml_pipeline deploy --env prod",
]


@pytest.mark.parametrize("command", CHANGES)
@pytest.mark.parametrize(
    ("concurrency", "findings"),
    [
        ("", 1),
        ("concurrency: prod\n", 0),
        ("concurrency: {group: '${{ github.run_id }}'}\n", 1),
        ("concurrency: {group: '${{ github.head_ref || github.sha }}', cancel-in-progress: false}\n", 1),
        ("concurrency: {group: prod}\n", 0),
        ("concurrency: {group: prod, cancel-in-progress: false}\n", 0),
        ("concurrency: {group: prod, cancel-in-progress: true}\n", 1),
        ("concurrency: {group: prod, cancel-in-progress: '${{ inputs.x }}'}\n", 1),
    ],
)
def test_a_change_needs_a_group_that_cancels_nothing(command: str, concurrency: str, findings: int) -> None:
    found = list(Cancel().check(world(apply=concurrency + step(command))))
    assert [each.rule for each in found] == ["workflow-cancel"] * findings


def test_whoever_calls_a_workflow_that_changes_something_must_not_cancel_it() -> None:
    called = "concurrency: prod\n" + step("terraform apply p")
    calls = "on: [push]\n{}jobs:\n  b:\n    uses: ./.github/workflows/{}.yml\n"
    cancels = "concurrency: {group: b, cancel-in-progress: true}\n"
    assert not list(Cancel().check(world(apply=called, main=calls.format("", "apply"))))
    between = calls.format("", "apply")
    (found,) = Cancel().check(world(apply=called, between=between, main=calls.format(cancels, "between")))
    assert found.path == ".github/workflows/main.yml"


@pytest.mark.parametrize(
    "command",
    [
        "terraform plan",
        "python -m iac.apply --env dev --plan",
        "kubectl get pods",
        "kubectl auth can-i create pods",
        "kubectl config set clusters.x.server y",
        "kubectl create -f x --dry-run=client",
        "kubectl rollout status deployment/x",
        "terraform state list",
        "python -m ml_pipeline deploy --dry-run",
    ],
)
def test_what_changes_nothing_may_be_cancelled(command: str) -> None:
    assert not list(Cancel().subjects(world(plan=step(command))))


@pytest.mark.parametrize("text", ["on: push\n", "jobs: []\n", "[]\n", "jobs: {}\n"])
def test_a_workflow_without_jobs_can_not_be_read(text: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="without jobs"):
        world(a=text)
