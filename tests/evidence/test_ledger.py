"""A ledger lets evidence count once, whoever asks at the same time, and never forgets in silence."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pytest_pixgates import NonceLedger, verify_evidence
from pytest_pixgates.evidence.ledger import FileLedger, LedgerError
from tests.evidence.pipeline import Pipeline

SPEND = """
import sys
from pathlib import Path
from pytest_pixgates.evidence.ledger import FileLedger
print(len(FileLedger(Path(sys.argv[1])).spend(["a", "b"], sys.argv[2])))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.json"
    path.write_text("{}")
    return path


def test_what_was_used_is_told_with_its_use(path: Path) -> None:
    assert FileLedger(path).spend(["a"], "prod, run 1") == {}
    assert FileLedger(path).spend(["a"], "prod, run 2") == {"a": "prod, run 1"}
    assert FileLedger(path).spend(["b"], "prod, run 3") == {}


def test_several_are_used_together_or_not_at_all(path: Path) -> None:
    assert FileLedger(path).spend(["a"], "first") == {}
    assert FileLedger(path).spend(["a", "b"], "second") == {"a": "first"}
    assert FileLedger(path).spend(["b"], "third") == {}


def test_of_several_at_once_one_wins(path: Path) -> None:
    command = [sys.executable, "-c", SPEND, str(path)]
    racers = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True) for n in range(6)]
    said = sorted(racer.communicate()[0].strip() for racer in racers)
    assert said == ["0", *["2"] * 5]


def test_a_ledger_that_is_not_there_is_not_made_up(tmp_path: Path) -> None:
    with pytest.raises(LedgerError):
        FileLedger(tmp_path / "ledger.json").spend(["a"], "x")
    assert not (tmp_path / "ledger.json").exists()


def test_a_ledger_in_a_folder_that_is_none_is_refused(path: Path) -> None:
    with pytest.raises(LedgerError):
        FileLedger(path / "ledger.json").spend(["a"], "x")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"used": []}', '{"used": {"a": 1}}', '{"used": {}, "more": 1}'])
def test_a_ledger_that_is_odd_is_refused_and_left_as_it_is(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(LedgerError):
        FileLedger(path).spend(["a"], "x")
    assert path.read_text() == content


def test_what_it_holds_is_plain(path: Path) -> None:
    FileLedger(path).spend(["a"], "prod")
    assert json.loads(path.read_text()) == {"used": {"a": "prod"}}


class InMemory:
    """A ledger as a caller would write one, such as over an object store."""

    def __init__(self) -> None:
        self.used: dict[str, str] = {}

    def spend(self, nonces: Sequence[str], use: str) -> Mapping[str, str]:
        before = {nonce: self.used[nonce] for nonce in nonces if nonce in self.used}
        self.used |= {} if before else dict.fromkeys(nonces, use)
        return before


def test_a_ledger_of_ones_own_is_asked_through_the_public_names(shared: Pipeline) -> None:
    ledger: NonceLedger = InMemory()
    asked = [f"model=sha256:{shared.model()}"]
    policy = shared.root / "gates" / "gates.toml"
    evidence = [shared.evidence()]
    first = verify_evidence(evidence, asked, policy=policy, environment="prod", ledger=ledger, use="generation 7")
    assert first.go
    again = verify_evidence(evidence, asked, policy=policy, environment="prod", ledger=ledger)
    assert [each.rule for each in again.refusals] == ["nonce-used"]
    assert "generation 7" in again.refusals[0].what
    recorded = [f"sha256:{first.evidence[0].sha256}"]
    assert verify_evidence(evidence, asked, policy=policy, environment="prod", mode="reverify", recorded=recorded).go
