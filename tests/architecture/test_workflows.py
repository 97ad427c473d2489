"""What the workflows of this repository keep to, beyond what linters know; each rule with a workflow that breaks it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FLOWS = ROOT / ".github/workflows"
USES = re.compile(r"uses: (?P<action>(?!\./)[^@\s]+)@(?P<ref>\S+)(?P<comment>.*)")
# What a step runs is a command that runs here just as well; `gh` and `aws` need an account.
COMMANDS = (
    r"make [a-z-]+", r"\.ci/[a-z]+", r"\.venv/bin/(?:pytest|pixgates|python -m (?:ml_pipeline|iac\.apply)) ",
    r"gh (?:pr (?:comment|view|create)|workflow run|auth setup-git)",
    r"aws (?:ecr get-login-password|eks update-kubeconfig|s3 cp) ",
    r"git (?:switch|push) ", r"cat ", r"jq ",
)  # fmt: skip

Flows = dict[str, str]
Rule = Callable[[Flows], Iterator[str]]


def flows() -> Flows:
    """The text of each workflow, and of each action of ours, by its name."""
    actions = {f"{path.parent.name}/action.yml": path.read_text() for path in ROOT.glob(".github/actions/*/action.yml")}
    return {path.name: path.read_text() for path in sorted(FLOWS.glob("*.yml"))} | actions


def jobs(texts: Flows) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, text in texts.items():
        for job, keys in yaml.safe_load(text).get("jobs", {}).items():
            yield f"{name}: {job}", keys


def steps(texts: Flows) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, job in jobs(texts):
        yield from ((where, step) for step in job.get("steps", []))
    for name, text in texts.items():
        yield from ((name, step) for step in yaml.safe_load(text).get("runs", {}).get("steps", []))


def pinned(texts: Flows) -> Iterator[str]:
    """Every action by a whole commit with its version beside it, and one commit for one action."""
    seen: dict[str, str] = {}
    for name, text in texts.items():
        for match in USES.finditer(text):
            what = f"{match['action']}@{match['ref']}{match['comment']}"
            if not re.fullmatch(r"[0-9a-f]{40}", match["ref"]) or not re.fullmatch(
                r" # v\d+\.\d+\.\d+", match["comment"]
            ):
                yield f"{name}: {what}"
            elif seen.setdefault(match["action"], what) != what:
                yield f"{name}: {what}, and elsewhere {seen[match['action']]}"


def one_command(texts: Flows) -> Iterator[str]:
    """Each step is one command, which runs on any other machine as well."""
    for where, step in steps(texts):
        command = step.get("run", "make x").strip()
        if "\n" in command or not re.match("|".join(COMMANDS), command):
            yield f"{where}: {command}"


def few_rights(texts: Flows) -> Iterator[str]:
    """No workflow has a right that its job does not name; only these may write, and never more than that."""
    may = {
        "pull-request.yml: report": {"pull-requests", "security-events"},
        "main.yml: image": {"security-events"},
        "model.yml: propose": {"contents", "pull-requests", "actions"},
    }
    for name, text in texts.items():
        if "jobs:" in text and yaml.safe_load(text).get("permissions") != {}:
            yield f"{name}: permissions are not {{}}"
    for where, job in jobs(texts):
        rights = job.get("permissions")
        if not isinstance(rights, dict):
            yield f"{where}: names no permissions"
            continue
        writes = {each for each, how in rights.items() if how == "write"} - {"id-token"}
        if extra := writes - may.get(where, set()):
            yield f"{where}: may write {', '.join(sorted(extra))}"


def strangers_get_nothing(texts: Flows) -> Iterator[str]:
    """What runs for a pull request of a fork has no secret, no role in the cloud, and no more than its own rights."""
    for name, text in texts.items():
        if "pull_request_target" in text or "workflow_run:" in text:
            yield f"{name}: runs with the rights of the target"
    reached, todo = set[str](), [name for name, text in texts.items() if re.search(r"^  pull_request:", text, re.M)]
    while todo:
        reached.add(name := todo.pop())
        its: dict[str, Any] = yaml.safe_load(texts[name])["jobs"]
        kept = kept_from_strangers(its)
        for job, keys in its.items():
            if job in kept:
                continue
            if (called := keys.get("uses", "").rpartition("/")[2]) and called not in reached:
                todo.append(called)
            if "secrets." in json.dumps(keys) or "id-token" in keys.get("permissions", {}) or "environment" in keys:
                yield f"{name}: {job} has more than a stranger may have"
            if needs(keys) & kept:
                yield f"{name}: {job} needs a job that strangers don't run"


def kept_from_strangers(its: dict[str, Any]) -> set[str]:
    """The jobs that say so, and those that are skipped because one of them is."""
    said = ("head.repo.full_name == github.repository", "event_name != 'pull_request'")
    kept = {job for job, keys in its.items() if any(each in str(keys.get("if", "")) for each in said)}
    while more := {job for job, keys in its.items() if needs(keys) & kept and "if" not in keys} - kept:
        kept |= more
    return kept


def needs(keys: dict[str, Any]) -> set[str]:
    named = keys.get("needs", [])
    return {named} if isinstance(named, str) else set(named)


def the_key_is_alone(texts: Flows) -> Iterator[str]:
    """Secrets are in jobs that run no test, in an environment of their own; none of them uses a cache of others."""
    for where, job in jobs(texts):
        said, trusted = json.dumps(job), "environment" in job
        if "secrets." in said and not str(job.get("environment", "")).startswith("sign-"):
            yield f"{where}: has a secret outside of the environments sign-*"
        if "secrets." in said and re.search(r"pytest|make (?:gates|test|model)|iac\.apply|--plan", said):
            yield f"{where}: runs code under test beside the key"
        for step in job.get("steps", []) if trusted else []:
            if step.get("uses") == "./.github/actions/setup" and step.get("with", {}).get("cache") != "false":
                yield f"{where}: uses a cache that other jobs write"


def nothing_lands_on_the_sources(texts: Flows) -> Iterator[str]:
    """Any job can upload an artifact: it is unpacked beside the sources, and what is taken over passes `.ci/unpack`."""
    for where, job in jobs(texts):
        its = job.get("steps", [])
        for step, after in zip(its, [*its[1:], {}], strict=False):
            if not step.get("uses", "").startswith("actions/download-artifact@"):
                continue
            said = step["with"]
            to = str(said.get("path", "."))
            if not re.fullmatch(r"\.pixgates(/[a-z]+)*|reports", to):
                yield f"{where}: unpacks an artifact to {to}"
            if said.get("name") == "pipeline" and after.get("run") != f".ci/unpack {to}":
                yield f"{where}: does not hand the data and the model to .ci/unpack"


def only_who_asks_github_has_the_token(texts: Flows) -> Iterator[str]:
    """The token is no variable of a whole job: in a job that may write, our own code never runs beside it."""
    for where, job in jobs(texts):
        if "github.token" in json.dumps(job.get("env", {})):
            yield f"{where}: gives the token to all steps"
    for where, step in steps(texts):
        if "github.token" in json.dumps(step) and re.search(r"\.venv/|\.ci/|make ", step.get("run", "")):
            yield f"{where}: gives the token to {step['run']}"


def calls_fit(texts: Flows) -> Iterator[str]:
    """Whoever calls a workflow gives what it requires, and nothing that it does not know."""
    for where, job in jobs(texts):
        called = job.get("uses", "").rpartition("/")[2]
        if not called:
            continue
        takes = (yaml.safe_load(texts[called])[True].get("workflow_call") or {}).get("inputs", {})
        given = set(job.get("with", {}))
        missing = {name for name, its in takes.items() if its.get("required")} - given
        if missing or given - takes.keys():
            yield f"{where}: gives {sorted(given)} to {called}, which takes {sorted(takes)}"


def only_downloads_are_tried_again(texts: Flows) -> Iterator[str]:
    """No step is repeated until it passes."""
    for name, text in texts.items():
        for word in ("retry", "--reruns", "until ", "while "):
            if word in text.replace("retention", ""):
                yield f"{name}: {word}"


def ends_are_bounded(texts: Flows) -> Iterator[str]:
    """Each job has a time limit."""
    for where, job in jobs(texts):
        if "uses" not in job and "timeout-minutes" not in job:
            yield f"{where}: has no timeout-minutes"


RULES = [pinned, one_command, few_rights, strangers_get_nothing, the_key_is_alone, nothing_lands_on_the_sources,
         only_who_asks_github_has_the_token, calls_fit, only_downloads_are_tried_again, ends_are_bounded]  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_workflows_keep_the_rule(rule: Rule) -> None:
    assert list(rule(flows())) == []


CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
BROKEN: list[tuple[Rule, str, str, str]] = [
    (pinned, "gates.yml", CHECKOUT, "actions/checkout@v7"),
    (pinned, "gates.yml", CHECKOUT, CHECKOUT.partition(" #")[0]),
    (pinned, "gates.yml", CHECKOUT, CHECKOUT.replace("3d3c", "3d3d")),
    (pinned, "setup/action.yml", "# v7.0.0", "# v7"),
    (one_command, "nightly.yml", "run: .ci/nightly", "run: ./do-something"),
    (one_command, "nightly.yml", "run: .ci/nightly", "run: |\n          .ci/nightly\n          .ci/fresh"),
    (few_rights, "gates.yml", "permissions: {}\n", "permissions: read-all\n"),
    (few_rights, "gates.yml", "permissions: {}\n", ""),
    (few_rights, "gates.yml", "      contents: read", "      contents: write"),
    (few_rights, "tests.yml", "    permissions:\n      contents: read\n", ""),
    (strangers_get_nothing, "pull-request.yml", "  pull_request:\n", "  pull_request_target:\n"),
    (strangers_get_nothing, "gates.yml", "      contents: read\n", "      contents: read\n      id-token: write\n"),
    (strangers_get_nothing, "gates.yml", "ENVIRONMENT: ", "KEY: ${{ secrets.KEY }}\n      ENVIRONMENT: "),
    (strangers_get_nothing, "infra.yml", " && github.event.pull_request.head.repo.full_name == github.repository", ""),
    (strangers_get_nothing, "pull-request.yml", "needs: [affected, model, gates]", "needs: [affected, report]"),
    (the_key_is_alone, "release.yml", "    environment: sign-${{ inputs.environment }}\n", ""),
    (the_key_is_alone, "release.yml", 'cache: "false"', 'cache: "true"'),
    (the_key_is_alone, "apply.yml", ".venv/bin/pixgates sign", ".venv/bin/pytest && .venv/bin/pixgates sign"),
    (nothing_lands_on_the_sources, "release.yml", "path: .pixgates/pipeline", "path: ml_pipeline"),
    (nothing_lands_on_the_sources, "release.yml", "          path: .pixgates/evidence\n", ""),
    (nothing_lands_on_the_sources, "gates.yml", "run: .ci/unpack .pixgates/pipeline", "run: cat .pixgates/pipeline"),
    (
        only_who_asks_github_has_the_token,
        "model.yml",
        "      SEED: ",
        "      GH_TOKEN: ${{ github.token }}\n      SEED: ",
    ),
    (
        only_who_asks_github_has_the_token,
        "model.yml",
        "run: make seed",
        "env:\n          GH_TOKEN: ${{ github.token }}\n        run: make seed",
    ),
    (calls_fit, "main.yml", "      environment: prod\n", ""),
    (calls_fit, "main.yml", "      first: true\n", "      frist: true\n"),
    (only_downloads_are_tried_again, "gates.yml", ".venv/bin/pytest -m infra", ".ci/retry .venv/bin/pytest -m infra"),
    (only_downloads_are_tried_again, "gates.yml", ".venv/bin/pytest -m infra", ".venv/bin/pytest --reruns 2 -m infra"),
    (ends_are_bounded, "gates.yml", "    timeout-minutes: 30\n", ""),
]


@pytest.mark.parametrize(
    ("rule", "file", "old", "new"), BROKEN, ids=[f"{each[0].__name__}-{number}" for number, each in enumerate(BROKEN)]
)
def test_a_workflow_that_breaks_the_rule_is_found(rule: Rule, file: str, old: str, new: str) -> None:
    texts = flows()
    assert old in texts[file]
    assert list(rule(texts | {file: texts[file].replace(old, new)}))


def test_whoever_reviews_the_gates_is_asked_for_what_decides() -> None:
    owners = [
        line.split() for line in (ROOT / ".github/CODEOWNERS").read_text().splitlines() if line[:1] not in ("", "#")
    ]
    for path in ("/gates/", "/.github/", "/.ci/", "/pytest_pixgates/", "/Makefile"):
        assert [path, "@example/fraud-gates"] in owners
    for words in owners[1:]:
        assert (ROOT / words[0].strip("/")).exists(), words[0]


def script(name: str, *words: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """A script of `.ci`, in an environment of its own."""
    return subprocess.run(
        [ROOT / ".ci" / name, *words], env={"PATH": os.environ["PATH"], **env}, cwd=cwd, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip


def concluded(skipped: str = "", **results: str) -> int:
    needs = {name: {"result": result, "outputs": {}} for name, result in results.items()}
    return script("concluded", NEEDS=json.dumps(needs), SKIPPED=skipped).returncode


@pytest.mark.parametrize(
    ("skipped", "results", "code"),
    [
        ("", {"a": "success", "b": "success"}, 0),
        ("b", {"a": "success", "b": "skipped"}, 0),
        ("b", {"a": "success", "b": "success"}, 0),
        ("", {"a": "success", "b": "skipped"}, 1),
        ("b", {"a": "skipped", "b": "skipped"}, 1),
        ("b", {"a": "success", "b": "failure"}, 1),
        ("a b", {"a": "cancelled", "b": "skipped"}, 1),
        ("", {"a": "", "b": "success"}, 1),
        ("c", {"a": "success"}, 1),
        ("", {}, 1),
    ],
)
def test_concluded_is_green_only_if_all_that_had_to_run_is(skipped: str, results: dict[str, str], code: int) -> None:
    assert concluded(skipped, **results) == code


def test_concluded_without_what_it_asks_for_is_red() -> None:
    for env in ({}, {"NEEDS": ""}, {"NEEDS": "{"}):
        assert script("concluded", **env).returncode == 1


@pytest.mark.parametrize(("passes_at", "code", "calls"), [(1, 0, 1), (2, 0, 2), (3, 0, 3), (4, 1, 3)])
def test_retry_tries_a_download_three_times(tmp_path: Path, passes_at: int, code: int, calls: int) -> None:
    fails_until = f"echo x >> calls; [ $(wc -l < calls) -ge {passes_at} ]"
    done = script("retry", "bash", "-c", fails_until, cwd=tmp_path, RETRY_PAUSE="0")
    assert done.returncode == code
    assert len((tmp_path / "calls").read_text().split()) == calls


@pytest.mark.parametrize(
    "command",
    ["", ".venv/bin/pytest -m infra", "pixgates verdict", "make gates", "make test", "python -m ml_pipeline deploy",
     "terraform apply p"],
)  # fmt: skip
def test_retry_refuses_what_gives_a_verdict_or_changes_something(command: str) -> None:
    done = script("retry", *command.split(), RETRY_PAUSE="0")
    assert done.returncode == 4
    assert done.stderr.startswith("retry: ")


MADE = ("data/transactions/day=1/part.parquet", "evaluation/evaluation.json", "model/model.onnx", "registry/mlflow.db",
        "registry/artifacts/1/models/m-1/MLmodel", "rehearsal/payments.ndjson")  # fmt: skip
SOURCE = "ml_pipeline/ledger/guard.py"


def unpacked(root: Path, *names: str, to: str = "") -> subprocess.CompletedProcess[str]:
    """A checkout beside which an artifact with these files was downloaded, after `.ci/unpack`."""
    for name in (SOURCE, *(f".pixgates/pipeline/{each}" for each in names)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    if to:
        (root / ".pixgates/pipeline/data/link").symlink_to(to)
    return script("unpack", ".pixgates/pipeline", cwd=root)


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir() or path.is_symlink()}


def test_unpack_moves_the_data_and_the_model_to_their_places(tmp_path: Path) -> None:
    done = unpacked(tmp_path, *MADE)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path) == {SOURCE, *(f"ml_pipeline/{name}" for name in MADE)}
    again = unpacked(tmp_path, *MADE)
    assert (again.returncode, "is there already" in again.stderr) == (1, True), "what is there is not mixed with it"


@pytest.mark.parametrize(
    "more",
    ["ledger/guard.py", "guard.py", ".gitignore", "ledger/__pycache__/guard.cpython-312.pyc", "registry/__init__.py",
     "registry/__init__.pyc", "registry/__init__.cpython-312-x86_64-linux-gnu.so", "data/__pycache__/x", "model/x.pth",
     "data2/x"],
)  # fmt: skip
def test_unpack_takes_nothing_that_could_run(tmp_path: Path, more: str) -> None:
    done = unpacked(tmp_path, *MADE, more)
    assert done.returncode == 1
    assert done.stderr.startswith("unpack: ")
    assert files(tmp_path / "ml_pipeline") == {"ledger/guard.py"}
    assert (tmp_path / SOURCE).read_text() == SOURCE


def test_unpack_follows_no_link_and_wants_a_folder_that_holds_something(tmp_path: Path) -> None:
    linked = unpacked(tmp_path / "linked", *MADE, to="../../../ml_pipeline/ledger")
    assert (linked.returncode, "is no plain file" in linked.stderr) == (1, True)
    assert files(tmp_path / "linked/ml_pipeline") == {"ledger/guard.py"}
    (tmp_path / "empty").mkdir()
    assert script("unpack", "empty", cwd=tmp_path).returncode == 1
    assert script("unpack", "nowhere", cwd=tmp_path).returncode == 4
    assert script("unpack", cwd=tmp_path).returncode == 4
