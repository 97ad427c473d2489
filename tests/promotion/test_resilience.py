"""While a part is down the delivery refuses or goes on as docs/resilience.md says, and what works goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_pipeline.deploy import deploy
from pytest_pixgates.cli.main import main as pixgates
from pytest_pixgates.latency.service import free_port
from tests.evidence.pipeline import Pipeline
from tests.promotion.test_deploy import state
from tests.promotion.test_mlflow import DOWN
from tests.promotion.test_promote import stored
from tests.promotion.world import Model, World, called


def test_without_the_object_store_nothing_changes_and_what_works_goes_on(
    world: World, good: Model, better: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.promote(good)
    made = deploy(world.place())
    world.promote(better)
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "sa-east-1",
        "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    file = world.root / "a-file"
    file.touch()
    before, named = state(world), world.named(better)
    commands = {
        "promote": world.command("promote", *named), "deploy": world.command("deploy"),
        "rollback": world.command("rollback"), "history": world.command("history"),
    }  # fmt: skip
    for name, words in commands.items():
        done = called([*words, "--ledger", "s3://releases/ledger"])
        assert (done.returncode, "can't be asked" in done.stderr) == (2, True), (name, done.stderr)
        assert state(world) == before, name
    done = called([*commands["deploy"], "--ledger", str(file)])
    assert (done.returncode, "can't be opened" in done.stderr) == (2, True), done.stderr
    world.target().confirm(world.place().unit(made))
    assert deploy(world.place()).release.model == better.sha256, "once it is back, the same command goes on"


def test_without_mlflow_nothing_is_promoted_from_it(world: World, good: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a rollback works meanwhile is in test_mlflow.py."""
    for name, value in DOWN.items():
        monkeypatch.setenv(name, value)
    before, words = stored(world), world.named(good)
    words[words.index("--model") + 1] = "models:/pix-fraud/1"
    gone = f"http://127.0.0.1:{free_port()}"
    done = called([*world.command("promote", *words), "--tracking-uri", gone])
    assert (done.returncode, "can't be asked" in done.stderr) == (2, True), done.stderr
    assert stored(world) == before


def test_without_the_signer_there_is_no_evidence_and_without_that_no_promotion(
    tmp_path: Path, world: World, good: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    from pytest_pixgates.core import record

    made = Pipeline(tmp_path / "signed")
    record.save(made.run(), made.root / ".pixgates")
    evidence = made.root / ".pixgates" / "evidence.dsse.json"
    evidence.write_text("yesterday's")
    words = ["sign", "--env", "prod", "--config", str(made.root / "gates/gates.toml"), "--key-command", "false"]
    assert pixgates([*words, "--report-dir", str(evidence.parent), "--run-id", "run-1"]) == 1
    assert "ended with exit code 1" in capsys.readouterr().err
    before, named = stored(world), world.named(good)
    named[-1] = str(tmp_path / "nothing.dsse.json")
    done = world.call("promote", *named)
    assert (done.returncode, "No such file" in done.stderr) == (2, True), done.stderr
    assert stored(world) == before
