"""`pixgates expiring` tells what ends soon, of all that can refuse a deployment by ending."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from pytest_pixgates.cli.main import main
from pytest_pixgates.evidence import keys
from tests.evidence.pipeline import TODAY, Pipeline, trusted

LINES = "[environments.dev]\n[environments.prod]\n[infra]\n"


def day(days: int) -> datetime.date:
    return TODAY + datetime.timedelta(days=days)


@pytest.fixture
def gates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "gates"
    folder.mkdir()
    (folder / "gates.toml").write_text(LINES)
    monkeypatch.chdir(tmp_path)
    return folder


def waive(gates: Path, days: int) -> None:
    (gates / "waivers.toml").write_text(
        f'[[infra]]\nid = "W-1"\nrule = "R"\npath = "iac/x"\nowner = "payments"\nreason = "r"\nexpires = {day(days)}\n'
    )


@pytest.mark.parametrize(("days", "code"), [(-3, 1), (0, 1), (13, 1), (15, 0), (80, 0)])
def test_a_waiver_that_ends_within_two_weeks_is_told(
    gates: Path, capsys: pytest.CaptureFixture[str], days: int, code: int
) -> None:
    waive(gates, days)
    assert main(["expiring"]) == code
    said = capsys.readouterr().out
    assert ("waiver W-1 for R at iac/x (infra), owned by payments" in said) is bool(code)
    assert f"{code} of 1 end too soon" in said


def test_how_soon_can_be_said(gates: Path) -> None:
    waive(gates, 20)
    assert main(["expiring", "--within", "30d"]) == 1
    assert main(["expiring", "--within", "1h"]) == 0
    assert main(["expiring", "--within", "soon"]) == 4


def test_nothing_ends_where_nothing_can(gates: Path) -> None:
    assert main(["expiring"]) == 0


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ([], 1),
        ([{"valid_from": str(day(0)), "valid_until": str(day(90))}], 0),
        ([{"valid_from": str(day(9)), "valid_until": str(day(90))}], 1),  # a gap
        ([{"valid_until": str(day(90)), "environments": '["dev"]'}], 1),
        ([{"valid_until": str(day(90)), "revoked": str(day(0))}], 1),
    ],
    ids=["alone", "followed", "a gap", "for less", "revoked"],
)
def test_a_key_that_ends_is_told_unless_another_takes_over(
    gates: Path, capsys: pytest.CaptureFixture[str], others: list[dict[str, str]], code: int
) -> None:
    ending = trusted(keys.generate(), "old", environments='["dev", "prod"]', valid_until=str(day(5)))
    more = [trusted(keys.generate(), "new", **{"environments": '["dev", "prod"]', **each}) for each in others]
    (gates / "gates.toml").write_text(LINES + ending + "".join(more))
    assert main(["expiring"]) == code
    assert ("key old" in capsys.readouterr().out) is bool(code)


def test_evidence_that_grows_too_old_is_told(pipeline: Pipeline, capsys: pytest.CaptureFixture[str]) -> None:
    signed = pipeline.evidence()
    config = ["--config", str(pipeline.root / "gates/gates.toml")]
    assert main(["expiring", *config, "--within", "1h", str(signed)]) == 0
    assert main(["expiring", *config, "--within", "4d", str(signed)]) == 1
    assert f"{signed}: evidence for prod" in capsys.readouterr().out


def test_evidence_that_nobody_trusted_signed_is_refused(
    pipeline: Pipeline, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "x.json").write_text("{}")
    assert main(["expiring", "--config", str(pipeline.root / "gates/gates.toml"), str(tmp_path / "x.json")]) == 1
    assert "x.json" in capsys.readouterr().err
