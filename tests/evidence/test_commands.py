"""`pixgates keygen`, `sign` and `verify` as a pipeline calls them: processes with arguments, exit codes and output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates.cli.main import main
from pytest_pixgates.core import decode, record
from pytest_pixgates.core.trust import Trust
from pytest_pixgates.evidence import keys
from tests.evidence.pipeline import MODEL, Pipeline, claims, failing
from tests.evidence.test_keys import canaries, secret, stored
from tests.plugin.conftest import LEDGER, MEASURED

Captured = pytest.CaptureFixture[str]


class Commands:
    """A pipeline, its records and its key on disk, and the commands run in it."""

    def __init__(self, made: Pipeline, key: Path) -> None:
        self.made, self.key = made, key
        self.evidence = made.root / ".pixgates" / "evidence.dsse.json"

    def records(self, run: record.Run) -> None:
        record.save(run, self.made.root / ".pixgates")

    def sign(self, *arguments: str, environment: str = "prod") -> int:
        subject = ("--subject", f"model={MODEL}")
        return main(["sign", "--env", environment, "--key", str(self.key), *subject, *arguments])

    def verify(self, *arguments: str, environment: str = "prod", subject: str = f"model={MODEL}") -> int:
        return main(["verify", "--env", environment, "--subject", subject, *arguments])


@pytest.fixture
def commands(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    monkeypatch.chdir(pipeline.root)
    monkeypatch.delenv("PIXGATES_RUN_ID", raising=False)
    monkeypatch.delenv("PIXGATES_REPORT_DIR", raising=False)
    made = Commands(pipeline, stored(tmp_path / "key.pem", pipeline.key.pem()))
    made.records(pipeline.run())
    return made


def test_signed_and_verified_is_go(commands: Commands, capsys: Captured) -> None:
    assert commands.sign() == 0
    assert capsys.readouterr().out.endswith(f"PASSED, for prod: {commands.evidence}\n")
    assert commands.verify() == 0
    out = capsys.readouterr().out
    assert "2 gates for prod, run run-1, signed by ci" in out
    assert out.endswith("pixgates verify: GO, for prod\n")
    assert commands.verify(str(commands.evidence), subject=f"model=sha256:{commands.made.model()}") == 0
    assert commands.verify("--subject", "source=git:HEAD") == 0


def test_exit_codes_are_as_documented(commands: Commands, capsys: Captured) -> None:
    assert commands.verify() == 5
    assert commands.sign() == 0
    assert commands.verify() == 0
    assert commands.verify(subject=f"model=sha256:{'0' * 64}") == 1
    assert commands.verify(environment="nowhere") == 4
    commands.records(commands.made.run(records=map(failing, commands.made.records())))
    assert commands.sign() == 3
    assert commands.verify() == 1
    commands.records(commands.made.run(partial=("-k x",)))
    assert commands.sign() == 1


def test_what_is_refused_leaves_no_earlier_evidence(commands: Commands) -> None:
    assert commands.sign() == 0
    commands.records(commands.made.run(partial=("-k x",)))
    assert commands.sign() == 1
    assert not commands.evidence.exists()
    assert commands.verify() == 5


def test_without_records_nothing_is_signed(commands: Commands, capsys: Captured) -> None:
    (commands.made.root / ".pixgates" / "records.json").unlink()
    assert commands.sign() == 1
    assert "no records" in capsys.readouterr().err


@pytest.mark.parametrize("how", ["pipe", "deep", "large", "folder"])
def test_hostile_records_are_not_signed(commands: Commands, capsys: Captured, how: str) -> None:
    path = commands.made.root / ".pixgates" / "records.json"
    path.unlink()
    if how == "pipe":
        os.mkfifo(path)
    elif how == "folder":
        path.mkdir()
    elif how == "deep":
        path.write_text("[" * 1_000_000)
    else:
        with path.open("wb") as file:
            file.truncate(200 * 2**20)
    assert commands.sign() == 1
    assert "records.json" in capsys.readouterr().err


WRONG: dict[str, list[str]] = {
    "no environment": ["--subject", "model=x"],
    "an empty environment": ["--env", "", "--subject", "model=x"],
    "no subject": ["--env", "prod"],
    "an empty subject": ["--env", "prod", "--subject", ""],
    "a subject without a name": ["--env", "prod", "--subject", "=x"],
    "a subject that is nothing": ["--env", "prod", "--subject", "model="],
    "a subject that is not there": ["--env", "prod", "--subject", "model=nothing.onnx"],
    "half a digest": ["--env", "prod", "--subject", "model=sha256:abc"],
    "a large digest": ["--env", "prod", "--subject", f"model=sha256:{'A' * 64}"],
    "a commit that is not here": ["--env", "prod", "--subject", "source=git:nowhere"],
    "an option of git": ["--env", "prod", "--subject", "source=git:--all"],
    "two answers to one name": ["--env", "prod", "--subject", f"model={MODEL}", "--subject", "model=iac"],
    "another mode": ["--env", "prod", "--subject", f"model={MODEL}", "--mode", "trust"],
    "a time": ["--env", "prod", "--subject", f"model={MODEL}", "--at", "2020-01-01T00:00:00Z"],
    "what was recorded, without going back": [
        *("--env", "prod", "--subject", f"model={MODEL}", "--recorded", f"sha256:{'0' * 64}")
    ],
    "a ledger to go back": ["--env", "prod", "--subject", f"model={MODEL}", "--mode", "reverify", "--ledger", "x"],
}


@pytest.mark.parametrize("how", WRONG)
def test_who_asks_wrongly_gets_no_go(commands: Commands, capsys: Captured, how: str) -> None:
    assert commands.sign() == 0
    assert main(["verify", *WRONG[how]]) == 4
    assert "fix: " in capsys.readouterr().err


def test_the_json_document_says_all(commands: Commands, capsys: Captured) -> None:
    assert commands.sign() == 0
    capsys.readouterr()
    assert commands.verify("--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["verdict"], document["mode"], document["replay"]) == ("GO", "authorise", "unchecked")
    assert document["subjects"] == {"model": commands.made.model()}
    assert document["evidence"][0]["keys"] == ["ci"]
    assert document["refusals"] == []
    assert commands.verify("--json", subject=f"model=sha256:{'0' * 64}") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "STOP"
    assert [(each["rule"], each["where"]) for each in document["refusals"]] == [("other-subject", "model")]
    assert commands.verify("--json", environment="nowhere") == 4
    assert json.loads(capsys.readouterr().out)["verdict"] == "ERROR"


def test_a_ledger_lets_it_go_once(commands: Commands, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "ledger.json").write_text("{}")
    ledger = ("--ledger", str(tmp_path / "ledger.json"))
    assert commands.sign() == 0
    assert commands.verify(*ledger) == 0
    assert commands.verify(*ledger) == 1
    assert "nonce-used" in capsys.readouterr().out
    assert commands.verify("--mode", "reverify") == 0


@pytest.mark.parametrize("variable", ["SOURCE_DATE_EPOCH", "PIXGATES_AT", "PIXGATES_NOW", "TZ", "FAKETIME"])
def test_no_variable_sets_the_time(commands: Commands, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Whoever could would revive what is expired."""
    assert commands.sign() == 0
    old = commands.made.forged(_old)
    assert commands.verify(str(old)) == 1
    monkeypatch.setenv(variable, "1000000000")
    assert commands.verify(str(old)) == 1
    assert commands.verify() == 0


def _old(data: dict[str, Any]) -> None:
    claims(data).update(started="2020-01-01T00:00:00Z", expires="2020-01-02T00:00:00Z")


def test_sign_takes_the_key_from_a_variable_or_a_command(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, capfd: Captured
) -> None:
    key = commands.made.key
    monkeypatch.setenv("CI_EVIDENCE", key.pem())
    subject = ["--subject", f"model={MODEL}"]
    assert main(["sign", "--env", "prod", "--key-env", "CI_EVIDENCE", *subject]) == 0
    assert main(["sign", "--env", "prod", "--key-env", "CI_EVIDENCE", *subject]) == 4  # it was taken away
    assert main(["sign", "--env", "prod", "--key-command", f"cat {commands.key}", *subject]) == 0
    out, err = capfd.readouterr()
    everything = out + err + "".join(path.read_text() for path in (commands.made.root / ".pixgates").iterdir())
    assert not secret(key) & canaries(everything)


def test_evidence_that_can_not_be_written_is_not_signed(commands: Commands, capsys: Captured) -> None:
    assert commands.sign("--out", f"{MODEL}/evidence.json") == 1
    assert "can't be written" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--key", "a", "--key-env", "b"]])
def test_sign_wants_one_key(commands: Commands, arguments: list[str]) -> None:
    assert main(["sign", "--env", "prod", *arguments]) == 4


def test_verify_loads_no_more_than_it_needs(commands: Commands) -> None:
    """A deployment waits for it: benchmarks/evidence.py measures how long."""
    assert commands.sign() == 0
    code = (
        "import json, sys; from pytest_pixgates.cli.main import main; code = main(sys.argv[1:]); "
        "sys.stderr.write(json.dumps(sorted({name.split('.')[0] for name in sys.modules}))); sys.exit(code)"
    )
    argv = [sys.executable, "-c", code, "verify", "--env", "prod", "--subject", f"model={MODEL}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    names = {name for name in json.loads(done.stderr) if name not in sys.stdlib_module_names}
    assert {name for name in names if not name.startswith("_")} <= {"pytest_pixgates", "cryptography", "cffi"}


# A new key


def test_a_new_key_is_trusted_as_it_is_printed(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "new.pem"
    assert main(["keygen", str(path), "--name", 'ci "2026"', "--env", "dev", "--env", "prod", "--days", "30"]) == 0
    out, err = capsys.readouterr()
    (key,) = decode.decode(Trust, tomllib.loads(out)["evidence"]).keys
    made = keys.from_file(path)
    assert (key.id, key.name, key.environments) == (made.id, 'ci "2026"', ("dev", "prod"))
    assert (key.valid_until - key.valid_from).days == 30
    assert path.stat().st_mode & 0o777 == 0o600
    assert not secret(made) & canaries(out + err)


def test_a_key_is_never_overwritten_nor_put_into_a_repository(tmp_path: Path, pipeline: Pipeline) -> None:
    path = stored(tmp_path / "there.pem", "mine")
    assert main(["keygen", str(path), "--name", "x", "--env", "prod"]) == 4
    assert path.read_text() == "mine"
    inside = pipeline.root / "iac" / "key.pem"
    assert main(["keygen", str(inside), "--name", "x", "--env", "prod"]) == 4
    assert not inside.exists()
    assert main(["keygen", str(tmp_path / "no" / "key.pem"), "--name", "x", "--env", "prod"]) == 4
    assert main(["keygen", str(tmp_path / "new.pem"), "--name", "x", "--env", "prod", "--days", "0"]) == 4


# A whole pipeline: a real run of a real gate, then the commands as processes


class Real:
    """A repository with a third party's family of gates, and the commands run in it."""

    def __init__(self, root: Path, key: Path) -> None:
        self.made = Pipeline(root, LEDGER_POLICY)
        self.made.write("pytest_ledger.py", LEDGER)
        self.made.write("conftest.py", 'pytest_plugins = ["pytest_ledger"]\n')
        self.made.write("ledger.json", json.dumps(MEASURED))
        self.made.write(".gitignore", ".pixgates\n__pycache__\n")
        self.made.git.commit()
        self.key = stored(key, self.made.key.pem())
        dropped = ("PIXGATES", "PYTEST")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        self.environment |= {"PIXGATES_RUN_ID": "42", "PYTHONPATH": str(root), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}

    def __call__(self, *command: str) -> tuple[int, str]:
        argv = [sys.executable, "-P", "-m", *command]
        done = subprocess.run(argv, cwd=self.made.root, env=self.environment, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    def gates(self, *arguments: str) -> tuple[int, str]:
        alone = ("-p", "pytest_pixgates.plugin", "-p", "no:cacheprovider")
        return self("pytest", *alone, "gates", *arguments)

    def sign(self) -> tuple[int, str]:
        subject = ("--subject", "books=ledger.json")
        return self("pytest_pixgates", "sign", "--env", "prod", "--key", str(self.key), *subject)

    def verify(self) -> tuple[int, str]:
        subjects = ("--subject", "books=ledger.json", "--subject", "source=git:HEAD")
        return self("pytest_pixgates", "verify", "--env", "prod", *subjects)


def test_from_a_real_run_to_an_answer(tmp_path: Path) -> None:
    real = Real(tmp_path / "repository", tmp_path / "key.pem")
    code, said = real.gates("--pixgates-env", "prod")
    assert code == 0, said
    for step in (real.sign, real.verify):
        code, said = step()
        assert code == 0, said
    real.made.write("ledger.json", json.dumps({**MEASURED, "settled": [0.5, 0.4, 0.6, 1000]}))
    code, said = real.verify()
    assert (code, "other-subject" in said) == (1, True)
    real.made.git.commit()
    assert real.gates("--pixgates-env", "prod")[0] == 1
    assert real.sign()[0] == 3
    code, said = real.verify()
    assert (code, "gate-not-passed" in said) == (1, True)


def test_a_real_run_that_was_narrowed_or_for_no_environment_is_not_signed(tmp_path: Path) -> None:
    real = Real(tmp_path / "repository", tmp_path / "key.pem")
    for arguments, rule in [((), "other-environment"), (("--pixgates-env", "prod", "-k", "settled"), "partial")]:
        assert real.gates(*arguments)[0] == 0
        code, said = real.sign()
        assert (code, rule in said) == (1, True), said
        assert real.verify()[0] == 5


LEDGER_POLICY = """\
[environments.dev]
[environments.locked]
[environments.prod]
requires = ["ledger/limit[settled]"]

[ledger.limits]
settled = { at_least = 0.9 }
disputed = { at_least = 0.1 }

"""
