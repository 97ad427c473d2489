"""Plans that real terraform applies, or that are refused: without evidence, changed, stale, or behind a lock."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from iac.apply import ASKED_WRONGLY, main
from tests.apply.world import EVIDENCE, FOLDER, PLAN, WAITS, Served, until


def test_what_was_judged_and_signed_is_applied_and_settles(world: Served) -> None:
    world.plan()
    assert (world.root / PLAN).stat().st_mode & 0o077 == 0
    assert world.run().returncode == 1  # no evidence
    assert world.sign().returncode == 0
    rehearsed = world.apply("--dry-run")
    assert rehearsed.returncode == 0, rehearsed.stderr
    assert "would 1/2 apply" in rehearsed.stdout
    assert world.states.asked == []
    done = world.apply()
    assert done.returncode == 0, done.stderr
    assert "dev: is as it is declared" in done.stdout
    assert world.states.value == 1
    assert world.states.held == {}
    again = world.apply()  # the plan is spent
    assert again.returncode == 1
    assert "no plan" in again.stderr


def test_the_plan_is_told_before_anything_is_done(world: Served) -> None:
    done = world.run("--plan", "--dry-run")
    assert done.returncode == 0
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [
        "would 1/3 init", "would 2/3 plan", "would 3/3 gate",
    ]  # fmt: skip
    assert not (world.root / PLAN).exists()


def test_drift_is_red_until_it_is_as_it_is_declared_and_changes_nothing(world: Served) -> None:
    found = world.run("--drift")
    assert found.returncode == 1
    assert "is not as it is declared" in found.stderr
    assert (world.states.asked, world.states.held, (world.root / PLAN).exists()) == ([], {}, False)
    world.env["TF_CLI_ARGS_plan"] = "-target=terraform_data.other"  # of which nothing has drifted
    assert world.run("--drift").returncode == 1
    world.plan()
    world.sign()
    world.apply()
    assert world.run("--drift").returncode == 0


@contextlib.contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def refused(world: Served, said: str, *words: str, environment: str = "dev") -> None:
    before = list(world.states.asked)
    done = world.apply(*words, environment=environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stderr
    assert world.states.asked == before
    assert world.states.value is None


def test_a_plan_without_evidence_is_refused(vouched: Served) -> None:
    done = vouched.run()
    assert done.returncode == 1
    assert "(missing)" in done.stderr


def test_a_plan_with_one_more_byte_is_refused(vouched: Served) -> None:
    with replaced(vouched.root / PLAN, (vouched.root / PLAN).read_bytes() + b"\0"):
        refused(vouched, "(other-subject)")


def test_another_plan_in_its_place_is_refused(vouched: Served) -> None:
    kept = (vouched.root / PLAN).read_bytes()
    evidence = (vouched.root / EVIDENCE).read_bytes()
    with replaced(vouched.root / FOLDER / "main.tf", (vouched.root / FOLDER / "main.tf").read_bytes()):
        vouched.plan()  # the same sources, planned once more
        assert (vouched.root / PLAN).read_bytes() != kept
        (vouched.root / EVIDENCE).write_bytes(evidence)
        with replaced(vouched.root / PLAN, (vouched.root / PLAN).read_bytes()):
            refused(vouched, "(other-subject)")
    (vouched.root / PLAN).write_bytes(kept)


def test_evidence_that_was_changed_is_refused(vouched: Served) -> None:
    with replaced(vouched.root / EVIDENCE, (vouched.root / EVIDENCE).read_bytes().replace(b'"sig"', b'"gis"')):
        refused(vouched, "refused: ")


def test_evidence_for_another_commit_is_refused(vouched: Served) -> None:
    before = vouched.git("rev-parse", "HEAD")
    vouched.write("README", "another")
    vouched.git.commit()
    try:
        refused(vouched, "(other-subject)")
    finally:
        vouched.git("reset", "--hard", "--quiet", before)


def test_evidence_for_another_environment_is_refused(vouched: Served) -> None:
    vouched.write("iac/terraform/environments/prod/prod.tfplan", "")
    (vouched.root / "iac/terraform/environments/prod/prod.tfplan").write_bytes((vouched.root / PLAN).read_bytes())
    refused(vouched, "(other-environment)", environment="prod")


def test_a_state_that_could_not_be_stored_comes_first(vouched: Served) -> None:
    lost = vouched.root / FOLDER / "errored.tfstate"
    lost.write_text("{}")
    try:
        refused(vouched, "terraform state push errored.tfstate")
    finally:
        lost.unlink()


def test_a_plan_that_destroys_is_not_signed_as_passed_and_not_applied(world: Served) -> None:
    world.applied()
    world.declare(None)
    planned = world.run("--plan")
    assert planned.returncode == 1
    assert "plan-destroy" in planned.stdout
    assert "STOP: the plan does not pass" in planned.stderr
    assert world.sign().returncode == 3
    done = world.apply()
    assert done.returncode == 1
    assert world.states.value == 1


def test_a_stale_plan_is_planned_again_and_asks_for_new_evidence(world: Served) -> None:
    world.vouched()
    moved = json.loads(json.dumps({"version": 4, "terraform_version": "1.9.0", "serial": 7, "lineage": "other"}))
    world.states.state = json.dumps({**moved, "outputs": {}, "resources": []}).encode()
    rehearsed = world.apply("--dry-run")
    assert rehearsed.returncode == 1
    assert "stale" in rehearsed.stderr
    before = (world.root / PLAN).read_bytes()
    done = world.apply()
    assert done.returncode == 1
    assert "STOP: the plan is stale: it was made for no state yet, and there is state other, serial 7" in done.stderr
    assert "needs evidence of its own" in done.stderr
    assert (world.root / PLAN).read_bytes() != before
    assert not (world.root / EVIDENCE).exists()
    assert world.states.value is None
    assert world.sign().returncode == 0
    assert world.apply().returncode == 0
    assert world.states.value == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [("main.tf", "# not reviewed\n"), ("evil.auto.tfvars.json", "{}"), ("ignored.tfstate.auto.tfvars", "")],
)
def test_a_plan_of_what_is_not_committed_is_not_signed(world: Served, name: str, text: str) -> None:
    world.write(".git/info/exclude", "ignored.*")
    with (world.root / FOLDER / name).open("a") as file:
        file.write(text)
    world.plan()
    done = world.sign()
    assert done.returncode == 1
    assert "other-commit" in done.stdout
    assert (FOLDER / name).as_posix() in done.stdout


def test_what_was_asked_wrongly_is_told(world: Served) -> None:
    for words, environment in (((), "nowhere"), (("--stack", ".."), "dev"), (("--stack", "/"), "dev")):
        done = world.run("--plan", *words, environment=environment)
        assert done.returncode == 2, done.stderr
        assert "python -m iac.apply: " in done.stderr


PROD = Path("iac/terraform/environments/prod")


@pytest.fixture
def environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the environments dev and prod, and other names for the latter."""
    for folder in (FOLDER, PROD, Path("iac/terraform/topics")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "backend.hcl").touch()
    (tmp_path / "link").symlink_to(PROD)
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans/gates.toml").write_text('[environments.dev]\nrequires = ["infra"]\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("--stack", str(PROD)),
        ("--stack", f"{PROD.parent}/./prod"),
        ("--stack", "link"),
        ("--stack", str(PROD.parent)),
        ("--backend-config", "../prod/backend.hcl"),
        ("--stack", "iac/terraform/topics", "--backend-config", "../environments/prod/backend.hcl"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("environments")
def test_one_environment_does_not_speak_for_another(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--env", "dev", "--plan", "--dry-run", *words]) == ASKED_WRONGLY
    assert "is of another environment, not of dev: name it by --env" in capsys.readouterr().err


def test_a_link_does_not_make_one_environment_another(environments: Path) -> None:
    (environments / FOLDER).rename(environments / FOLDER.with_name("old"))
    (environments / FOLDER).symlink_to("prod")
    assert main(["--env", "dev", "--plan", "--dry-run"]) == ASKED_WRONGLY


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--stack", str(FOLDER)),
        ("--stack", "iac/terraform/topics", "--backend-config", "../environments/dev/backend.hcl"),
        ("--backend-config", "key=../prod/backend.hcl"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("environments")
def test_an_environment_speaks_for_its_own_and_for_what_all_share(words: tuple[str, ...]) -> None:
    assert main(["--env", "dev", "--plan", "--dry-run", *words]) == 0


# Locks


@pytest.fixture
def applying(world: Served, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    world.declare(1, WAITS.format(began=tmp_path / "began", go=tmp_path / "go"))
    world.vouched()
    with world.applying(tmp_path) as running:
        yield running


def test_the_lock_of_a_run_that_was_killed_is_taken_away_by_its_name(
    world: Served, applying: subprocess.Popen[str]
) -> None:
    left = world.states.held["ID"]
    world.kill(applying)
    for words in ((), ("--unlock", "other")):  # over HTTP terraform does not tell whose it is: the lane `cloud` goes on
        done = world.run("--plan", *words)
        assert done.returncode == 1
        assert f"STOP: lock {left}, held by somebody" in done.stderr
        assert world.states.held["ID"] == left
    done = world.run("--plan", "--unlock", left)  # what was half made may be planned to be replaced, so not "passed"
    assert f"lock {left}, held by somebody (unknown operation): taken away as asked" in done.stdout
    assert "3/3 gate" in done.stdout, done.stderr
    assert world.states.held == {}


def test_the_lock_of_a_run_that_goes_on_stays(world: Served, applying: subprocess.Popen[str], tmp_path: Path) -> None:
    for kill in (False, True):  # the second time only terraform goes on, without us
        if kill:
            applying.kill()
            applying.wait()
        done = world.run("--plan")
        assert done.returncode == 1, done.stdout
        assert "STOP: lock " in done.stderr
        assert f"--unlock {world.states.held['ID']}" in done.stderr
    (tmp_path / "go").touch()
    until(lambda: not world.states.held)
    assert world.states.value == 1


def test_an_apply_that_is_asked_to_end_leaves_a_state_and_no_lock(
    world: Served, applying: subprocess.Popen[str]
) -> None:
    applying.send_signal(signal.SIGTERM)
    _, said = applying.communicate(timeout=180)
    assert applying.returncode == 1
    assert "interrupted" in said
    assert world.states.held == {}
