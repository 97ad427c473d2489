"""The lane `workflows`: the workflows in `.github`, checked by the linters of their trade and run here by act.

`make workflows`; says NOT RUN where it can't. docs/workflows.md says what is stood in for.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_pipeline.deploy import deploy
from pytest_pixgates.start import beside
from tests.git import Git
from tests.lanes.conftest import needed_by
from tests.lanes.workflows import checks
from tests.lanes.workflows.runner import Done, Runner
from tests.promotion.world import World, write_model

ROOT = Path(__file__).parents[2]
REPOSITORY = "example/pix-fraud"
NUMBER = 7
# Of the policy for the runs: few gates of the family, so that a run is short; what the workflows do is the same.
INFRA = """\
[infra]
tflint = ["iac/terraform/modules/key"]
hadolint = ["iac/docker/*/Dockerfile"]
"""


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    with needed_by("workflows"):
        for name in ("zizmor", "check-jsonschema", "act", "node"):
            checks.program(name)
        checks.actionlint()


@pytest.fixture
def github(tmp_path: Path) -> Path:
    """A repository that holds a copy of `.github`."""
    shutil.copytree(ROOT / ".github", tmp_path / ".github")
    return tmp_path


@pytest.mark.parametrize("linter", checks.LINTERS)
def test_the_workflows_are_clean(linter: str, github: Path) -> None:
    done = checks.check(linter, github)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("linter", ["zizmor", "schema", "actionlint"])
@pytest.mark.parametrize("families", [("infra",), ("data_contract", "model_gate", "latency")])
def test_the_workflow_that_init_proposes_is_clean(tmp_path: Path, linter: str, families: tuple[str, ...]) -> None:
    path = tmp_path / beside.WORKFLOW
    path.parent.mkdir(parents=True)
    path.write_text(beside.workflow(families, ("terraform", "locust"), "-r requirements.txt", "main"))
    done = checks.check(linter, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
DEFECTS = {
    "an action that is not pinned": (
        "gates.yml", CHECKOUT, "actions/checkout@v7", "zizmor", "unpinned-uses"),
    "a template that a stranger fills": (
        "pull-request.yml", 'pixgates affected --since "$BASE"',
        'pixgates affected --since "${{ github.event.pull_request.head.ref }}"', "zizmor", "template-injection"),
    "more rights than are needed": (
        "pull-request.yml", "permissions: {}", "permissions: write-all", "zizmor", "excessive-permissions"),
    "code of a stranger with secrets": (
        "pull-request.yml", "  pull_request:\n", "  pull_request_target:\n", "zizmor", "dangerous-triggers"),
    "credentials that stay in the checkout": (
        "gates.yml", "          persist-credentials: false\n", "", "zizmor", "artipacked"),
    "all secrets for a workflow that is called": (
        "main.yml", "    uses: ./.github/workflows/release.yml\n",
        "    uses: ./.github/workflows/release.yml\n    secrets: inherit\n", "zizmor", "secrets-inherit"),
    "a key that there is not": ("gates.yml", "    timeout-minutes:", "    timeout-minute:", "schema", "timeout-minute"),
    "an output that there is not": (
        "main.yml", "needs.image.outputs.scoring", "needs.image.outputs.scorin", "actionlint", "scorin"),
    "a job that there is not": (
        "release.yml", "needs: [gates, sign]", "needs: [gates, signed]", "actionlint", "signed"),
}  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "linter", "said"), DEFECTS.values(), ids=DEFECTS)
def test_a_defect_is_found_by_its_linter(github: Path, file: str, old: str, new: str, linter: str, said: str) -> None:
    path = github / ".github/workflows" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    done = checks.check(linter, github)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def copied(folder: Path, *names: str) -> None:
    """Copy what git knows, or would, of this repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *names]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # or it was removed here
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Git:
    """This repository as it is here, as a clone whose branch `main` is at what is there; its policy has few gates."""
    git = Git(tmp_path_factory.mktemp("product"))
    copied(git.path)
    policy = git.path / "gates/gates.toml"
    head, _, rest = policy.read_text().partition("[infra]\n")
    policy.write_text(head + INFRA + rest[rest.index("[data_contract.") :])
    git("remote", "add", "origin", f"https://github.com/{REPOSITORY}.git")
    git.merged()
    return git


def pull_request(product: Git, base: str) -> dict[str, Any]:
    """The event, of a branch of the same repository."""
    ends = {"base": {"ref": "main", "sha": base}, "head": {"ref": "change", "sha": product("rev-parse", "HEAD")}}
    for each in ends.values():
        each["repo"] = {"full_name": REPOSITORY}  # type: ignore[assignment]
    return {"number": NUMBER, "pull_request": {"number": NUMBER, **ends}, "repository": {"full_name": REPOSITORY}}


def asked(product: Git, folder: Path, changes: dict[str, str]) -> tuple[Runner, Done]:
    """A pull request that appends to files, run."""
    base = product("rev-parse", "main")
    product("switch", "--quiet", "--force-create", "change", "main")
    for name, text in changes.items():
        (product.path / name).write_text((product.path / name).read_text() + text)
    product.commit()
    runner = Runner(product.path, folder)
    return runner, runner.run("pull_request", "pull-request.yml", pull_request(product, base))


KEY = "iac/terraform/modules/key/main.tf"


def test_a_pull_request_runs_what_it_affects_and_comments(product: Git, tmp_path: Path) -> None:
    runner, done = asked(product, tmp_path / "act", {KEY: "\n# changed\n"})
    assert done.returncode == 0, done.text[-6000:]
    assert set(done.jobs.values()) == {True}
    assert 'families=["infra"]' in done.text
    assert "# pixgates: PASS" in runner.comment(NUMBER)
    assert (runner.artifacts / "gates-prod-infra/records.json").is_file()
    assert (runner.artifacts / "code-scanning/uploaded.json").is_file()
    assert not (runner.artifacts / "pipeline").exists()


def test_a_pull_request_with_a_defect_is_red_and_its_records_say_why(product: Git, tmp_path: Path) -> None:
    """act ends where a called workflow fails; what GitHub does then is held by tests/architecture (`.ci/concluded`)."""
    runner, done = asked(product, tmp_path / "act", {KEY: '\nvariable "left_over" {\n  type = string\n}\n'})
    assert done.returncode != 0
    assert {name.rpartition("/")[2]: how for name, how in done.jobs.items()} == {
        "Which families are affected": True,
        "infra for prod": False,
    }
    summary = (runner.artifacts / "gates-prod-infra/summary.md").read_text()
    assert "# pixgates: FAIL" in summary
    assert "terraform\\_unused\\_declarations" in summary


def test_a_pull_request_that_affects_no_gate_runs_none_and_is_green(product: Git, tmp_path: Path) -> None:
    _, done = asked(product, tmp_path / "act", {"README.md": "\nMore.\n"})
    assert done.returncode == 0, done.text[-6000:]
    assert "families=[]" in done.text
    assert [name.rpartition("/")[2] for name in done.jobs] == ["Which families are affected", "Concluded"]


CODE = (".ci", ".github", ".gitignore", "LICENSE", "Makefile", "README.md", "gates/contracts", "ml_pipeline",
        "pyproject.toml", "pytest_pixgates", "uv.lock")  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """This code with a policy, a key and a ledger of its own; in dev one release lived, and another answers."""
    made = World(tmp_path / "world")
    copied(made.repository, *CODE)
    made.git("remote", "add", "origin", f"https://github.com/{REPOSITORY}.git")
    made.git.commit()
    for name, weight in (("good", 1.0), ("better", 2.0)):
        made.promote(write_model(tmp_path / name, weight))
        deploy(made.place())
    yield made
    made.stop()


def test_the_rollback_workflow_brings_back_what_worked_before(world: World, tmp_path: Path) -> None:
    target = f"--target local --folder {world.root / 'local'} --port {world.port}"
    runner = Runner(world.repository, tmp_path / "act", {"TARGET": target, "LEDGER_URL": world.ledger.url})
    reason = f"false alarms; $(touch {tmp_path / 'never'}) ${{{{ github.token }}}}"
    said = {"environment": "dev", "reason": reason}
    done = runner.run("workflow_dispatch", "rollback.yml", {"inputs": said}, **said)
    assert done.returncode == 0, done.text[-6000:]
    good, _, live = world.history().generations
    assert (world.history().live, live.entry.restores, live.entry.why) == (live, 1, reason)
    assert live.release.model == good.release.model
    world.target().confirm(world.place().unit(live))  # what answers is that model
    assert not (tmp_path / "never").exists()
    again = runner.run(
        "workflow_dispatch", "rollback.yml", {"inputs": {**said, "generation": "7"}}, **said, generation="7"
    )
    assert again.returncode != 0
    assert len(world.history().generations) == 3
