"""A push goes on only if the gates passed exactly what is pushed; pushed really, to a bare repository beside it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugin.conftest import MEASURED, Repository

ROOT = Path(__file__).parents[2]
HOOK = f"#!/bin/sh\nexec {sys.executable} -m pytest_pixgates pre-push\n"
NOT_RUN = "ledger passed, and nothing that the gates read has changed since: not run again"


class Pushing:
    """The repository under git, with a remote, and a hook that is asked before each push."""

    def __init__(self, repository: Repository, remote: Path) -> None:
        self.repository, self.path = repository, repository.path
        repository.write(".gitignore", ".pixgates\n__pycache__\n.pytest_cache\n")
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "a")
        self.git("config", "user.email", "a@example.com")
        subprocess.run(["git", "init", "-q", "--bare", remote], check=True)
        self.git("remote", "add", "origin", str(remote))
        self.commit()

    def git(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *arguments], cwd=self.path, check=True, capture_output=True, text=True)

    def commit(self, **measured: list[float]) -> None:
        self.repository.write("ledger.json", json.dumps({**MEASURED, **measured}))
        self.git("add", "-A")
        self.git("commit", "-q", "--no-verify", "--allow-empty", "-m", "change")

    def push(self, *arguments: str) -> tuple[bool, str]:
        """Whether it went out, and what was said."""
        done = subprocess.run(
            ["git", "push", *(arguments or ("origin", "HEAD"))],
            cwd=self.path,
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def pushing(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Pushing:
    return Pushing(repository, tmp_path_factory.mktemp("remote") / "origin.git")


@pytest.fixture
def hooked(pushing: Pushing) -> Pushing:
    hook = pushing.path / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(HOOK)
    hook.chmod(0o755)
    return pushing


def test_a_good_commit_goes_out_and_is_not_judged_twice(hooked: Pushing) -> None:
    went, said = hooked.push()
    assert went, said
    assert "pixgates pre-push: ledger passed\n" in said
    before = hooked.repository.records()["id"]
    hooked.repository.write("README.md", "nothing that a gate reads\n")
    hooked.git("add", "-A")
    hooked.git("commit", "-qm", "words")
    went, said = hooked.push()
    assert went, said
    assert NOT_RUN in said
    assert hooked.repository.records()["id"] == before


def test_a_defect_stays_here_until_it_is_mended(hooked: Pushing) -> None:
    assert hooked.push()[0]
    hooked.commit(settled=[0.5, 0.4, 0.6, 1000])
    went, said = hooked.push()
    assert not went
    assert "ledger/limit[settled]" in said
    assert "pixgates pre-push: NOT pushed" in said
    assert not hooked.push()[0]
    hooked.commit()
    assert hooked.push()[0]


def test_a_mend_that_was_not_committed_does_not_count(hooked: Pushing) -> None:
    hooked.commit(settled=[0.5, 0.4, 0.6, 1000])
    hooked.repository.write("ledger.json", json.dumps(MEASURED))
    went, said = hooked.push()
    assert not went
    assert "refused: ledger.json: is not what" in said
    assert "git stash" in said
    hooked.commit()
    went, said = hooked.push()
    assert went, said
    assert NOT_RUN in said


def test_a_gate_or_a_configuration_that_is_not_committed_does_not_count(hooked: Pushing) -> None:
    hooked.repository.write("conftest.py", 'pytest_plugins = ["pytest_ledger"]\n# other\n')
    went, said = hooked.push()
    assert not went
    assert "refused: conftest.py: is not what" in said


def test_another_commit_than_the_one_that_is_here_is_not_taken_for_it(hooked: Pushing) -> None:
    hooked.commit(settled=[0.5, 0.4, 0.6, 1000])
    hooked.git("branch", "broken")
    hooked.commit()
    assert hooked.push("origin", "main")[0]
    went, said = hooked.push("origin", "broken")
    assert not went
    assert "refused: ledger.json: is not what" in said


def test_a_new_gate_is_run_although_all_others_passed(hooked: Pushing) -> None:
    assert hooked.push()[0]
    hooked.repository.gate("assert ledger.pending >= 0.5", name="test_pending")
    hooked.commit()
    went, said = hooked.push()
    assert not went
    assert "INCONCLUSIVE" in said


def test_deleting_a_branch_pushes_nothing(hooked: Pushing) -> None:
    hooked.git("branch", "old")
    assert hooked.push("origin", "old")[0]
    hooked.commit(settled=[0.5, 0.4, 0.6, 1000])
    went, said = hooked.push("origin", "--delete", "old")
    assert went
    assert "nothing is pushed" in said


def test_a_tag_is_judged_by_its_commit(hooked: Pushing) -> None:
    hooked.git("tag", "-a", "v1", "-m", "v1")
    assert hooked.push("origin", "v1")[0]
    hooked.commit(settled=[0.5, 0.4, 0.6, 1000])
    hooked.git("tag", "-a", "v2", "-m", "v2")
    assert not hooked.push("origin", "v2")[0]


def test_without_a_policy_nothing_goes_out(hooked: Pushing) -> None:
    hooked.git("rm", "-q", "gates/gates.toml")
    hooked.commit()
    went, said = hooked.push()
    assert not went
    assert "gates.toml" in said


def test_verdict_can_be_asked_about_a_commit(pushing: Pushing) -> None:
    pushing.repository.run()
    assert pushing.repository.verdict("--commit", "HEAD") == 0
    pushing.commit(disputed=[0.2, 0.1, 0.3, 1000])
    assert pushing.repository.verdict("--commit", "HEAD") == 1
    pushing.repository.run()
    assert pushing.repository.verdict("--commit", "HEAD") == 0
    assert pushing.repository.verdict("--commit", "HEAD~1") == 1
    assert pushing.repository.verdict("--commit", "nowhere") == 1


def test_the_hook_that_other_repositories_take_works_with_pre_commit(
    pushing: Pushing, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("PRE_COMMIT_HOME", str(home / "pre-commit"))
    programs = home / "bin"
    programs.mkdir()
    (programs / "pixgates").write_text(f'#!/bin/sh\nexec {sys.executable} -m pytest_pixgates "$@"\n')
    (programs / "pixgates").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    offered = home / "hooks"
    offered.mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", offered)
    for arguments in (
        ("init", "-q"),
        ("add", "-A"),
        ("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "one"),
        ("tag", "v1"),
    ):
        subprocess.run(["git", *arguments], cwd=offered, check=True)
    pushing.repository.write(
        ".pre-commit-config.yaml", f"repos:\n  - repo: {offered}\n    rev: v1\n    hooks:\n      - id: pixgates\n"
    )
    pushing.commit()
    install = [sys.executable, "-m", "pre_commit", "install", "--hook-type", "pre-push"]
    subprocess.run(install, cwd=pushing.path, check=True, capture_output=True)
    went, said = pushing.push()
    assert went, said
    assert "ledger passed" in said
    went, said = pushing.push("origin", "HEAD:other")
    assert went, said
    pushing.commit(settled=[0.5, 0.4, 0.6, 1000])
    went, said = pushing.push()
    assert not went
    assert "pixgates pre-push: NOT pushed" in said
