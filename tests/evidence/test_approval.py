"""What a person signed for counts for exactly that use, by a key that signs nothing else."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_pixgates import Approval, PolicyError, verify_approval
from pytest_pixgates.cli.main import main
from pytest_pixgates.core import policy
from pytest_pixgates.evidence import approval, envelope, keys, statement
from pytest_pixgates.evidence.approval import Claims, Purpose, approve
from pytest_pixgates.evidence.codes import Code
from tests.evidence.pipeline import DAY, NOW, OTHER_KEYS, Pipeline, codes, payload, trusted
from tests.evidence.test_keys import stored

ASKED = {"release": "12" * 32}


class Owners:
    """A repository whose policy knows people, one for each thing that may speak against a key."""

    def __init__(self, made: Pipeline) -> None:
        self.made, self.ana = made, keys.generate()
        self.others = {name: keys.generate() for name in OTHER_KEYS}
        self.path = made.root / "gates" / "gates.toml"
        rows = {"ana": (self.ana, {}), **{f"a-{name}": (self.others[name], OTHER_KEYS[name]) for name in OTHER_KEYS}}
        text = "".join(trusted(key, name, **changes) for name, (key, changes) in rows.items())
        self.path.write_text(self.path.read_text() + text.replace("[[evidence.keys]]", "[[evidence.owners]]"))
        made.git.commit()

    def approved(self, key: keys.PrivateKey | None = None, **changes: Any) -> str:
        """Signed whatever speaks against it, as only who has the key can."""
        said = {
            "purpose": Purpose.BREAK_GLASS, "environment": "prod", "about": "prod:7", "reason": "fraud wave",
            "at": statement.stamp(NOW), "accepts": ("missing",), **changes,
        }  # fmt: skip
        subjects = [{"name": name, "digest": {"sha256": digest}} for name, digest in ASKED.items()]
        claims = {name: value for name, value in said.items() if name != "predicate_type"} | {"schema": 1}
        data = {
            "_type": statement.STATEMENT, "subject": subjects,
            "predicateType": said.get("predicate_type", approval.PREDICATE), "predicate": claims,
        }  # fmt: skip
        return envelope.sealed(json.dumps(data).encode(), [key or self.ana])

    def ask(self, text: str, **changes: Any) -> Approval:
        values: dict[str, Any] = {
            "asked": ASKED, "policy": self.path, "environment": "prod", "purpose": "break-glass", "about": "prod:7",
            **changes,
        }  # fmt: skip
        return verify_approval(text, values.pop("asked"), **values)


@pytest.fixture
def owners(pipeline: Pipeline) -> Owners:
    return Owners(pipeline)


def test_what_an_owner_signed_counts(owners: Owners) -> None:
    found = owners.ask(owners.approved())
    assert (found.counts, found.owner, found.reason, found.accepts) == (True, "ana", "fraud wave", ("missing",))


def spoilt(change: Callable[[dict[str, Any]], object]) -> Callable[[Owners], str]:
    def make(owners: Owners) -> str:
        data = json.loads(owners.approved())
        change(data)
        return json.dumps(data)

    return make


WRONG: dict[str, tuple[Code, Callable[[Owners], str]]] = {
    "nothing": (Code.UNSIGNED, lambda owners: ""),
    "no signature": (Code.UNSIGNED, spoilt(lambda data: data.update(signatures=[]))),
    "huge": (Code.TOO_LARGE, lambda owners: owners.approved() + " " * envelope.MOST_BYTES),
    "no JSON": (Code.MALFORMED, lambda owners: owners.approved()[:-20]),
    "a lone surrogate": (Code.MALFORMED, lambda owners: "\ud800"),
    "a stranger's": (Code.UNKNOWN_KEY, lambda owners: owners.approved(keys.generate())),
    "CI's": (Code.UNKNOWN_KEY, lambda owners: owners.approved(owners.made.key)),
    "an expired key's": (Code.KEY_EXPIRED, lambda owners: owners.approved(owners.others["expired"])),
    "a future key's": (Code.KEY_NOT_YET_VALID, lambda owners: owners.approved(owners.others["future"])),
    "a revoked key's": (Code.KEY_REVOKED, lambda owners: owners.approved(owners.others["revoked"])),
    "of an owner of dev": (Code.KEY_NOT_ALLOWED, lambda owners: owners.approved(owners.others["dev-only"])),
    "evidence": (Code.UNKNOWN_KEY, lambda owners: owners.made.evidence().read_text()),
    "another predicate": (Code.WRONG_TYPE, lambda owners: owners.approved(predicate_type=statement.PREDICATE)),
    "another purpose": (Code.WRONG_TYPE, lambda owners: owners.approved(purpose="review")),
    "another environment": (Code.OTHER_ENVIRONMENT, lambda owners: owners.approved(environment="dev")),
    "another use": (Code.OTHER_SUBJECT, lambda owners: owners.approved(about="prod:8")),
    "no reason": (Code.MALFORMED, lambda owners: owners.approved(reason=" ")),
    "an unknown field": (Code.MALFORMED, lambda owners: owners.approved(excuse="none")),
    "of long ago": (Code.EXPIRED, lambda owners: owners.approved(at=statement.stamp(NOW - 4 * DAY))),
    "of tomorrow": (Code.FROM_FUTURE, lambda owners: owners.approved(at=statement.stamp(NOW + DAY))),
}


@pytest.mark.parametrize("how", WRONG)
def test_what_is_wrong_is_refused_by_its_code_alone(owners: Owners, how: str) -> None:
    code, make = WRONG[how]
    found = owners.ask(make(owners))
    assert ([each.rule for each in found.refusals], found.counts) == ([code.value], False)


def test_other_bytes_are_not_approved(owners: Owners) -> None:
    for asked in ({"release": "0" * 64}, {**ASKED, "more": "0" * 64}, {"other": ASKED["release"]}):
        assert [each.rule for each in owners.ask(owners.approved(), asked=asked).refusals] == ["other-subject"]


def test_what_the_ledger_knew_counts_later_too_unless_its_key_was_lost_before(owners: Owners) -> None:
    old = owners.approved(at=statement.stamp(NOW - 4 * DAY))
    assert owners.ask(old, mode="reverify").counts
    assert owners.ask(owners.approved(owners.others["revoked"]), mode="reverify").counts, "revoked five days from now"
    text = owners.path.read_text().replace('name = "ana"\n', 'name = "ana"\nrevoked = 2026-01-01\n')
    owners.path.write_text(text)
    assert [each.rule for each in owners.ask(old, mode="reverify").refusals] == [Code.KEY_REVOKED.value]


def test_an_approval_is_no_evidence_even_by_a_key_of_evidence(owners: Owners) -> None:
    made = owners.made
    assert codes(made.verify(made.file(owners.approved()))) == [Code.UNKNOWN_KEY.value]
    assert codes(made.verify(made.file(owners.approved(made.key)))) == [Code.WRONG_TYPE.value]


def test_a_key_is_of_one_kind(owners: Owners) -> None:
    twice = trusted(owners.made.key, "both").replace("[[evidence.keys]]", "[[evidence.owners]]")
    owners.path.write_text(owners.path.read_text() + twice)
    with pytest.raises(PolicyError, match="two keys have the public"):
        policy.load(owners.path)


def test_an_owner_of_an_environment_that_there_is_not_is_refused(owners: Owners) -> None:
    row = trusted(keys.generate(), "bia", environments='["prdo"]').replace("[[evidence.keys]]", "[[evidence.owners]]")
    owners.path.write_text(owners.path.read_text() + row)
    with pytest.raises(PolicyError, match=r"the key bia is for 'prdo'; did you mean 'prod'\?"):
        policy.load(owners.path)


def test_whose_word_would_not_count_signs_nothing(owners: Owners) -> None:
    reviewed = policy.load(owners.path, environment="prod")
    claims = Claims(Purpose.REVIEW, "prod", "prod:7", "looked at", statement.stamp(NOW))
    assert approve(ASKED, claims, reviewed, owners.ana)[0]
    for key, code in {
        owners.made.key: Code.UNKNOWN_KEY, owners.others["expired"]: Code.KEY_EXPIRED,
        owners.others["dev-only"]: Code.KEY_NOT_ALLOWED,
    }.items():  # fmt: skip
        text, refusals = approve(ASKED, claims, reviewed, key)
        assert (text, [each.rule for each in refusals]) == ("", [code.value])


def test_the_command_signs_or_says_why_not(
    owners: Owners, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(owners.made.root)
    mine = stored(tmp_path / "ana.pem", owners.ana.pem())
    words = ["approve", "--env", "prod", "--purpose", "break-glass", "--about", "prod:7", "--reason", "fraud wave"]
    words += ["--subject", f"release=sha256:{ASKED['release']}", "--accept", "missing"]
    out = tmp_path / "approval.dsse.json"
    assert main([*words, "--key", str(mine), "--out", str(out)]) == 0
    assert owners.ask(out.read_text()).counts
    capsys.readouterr()
    assert main([*words, "--key", str(mine)]) == 0
    assert json.loads(payload(capsys.readouterr().out))["predicate"]["accepts"] == ["missing"]
    theirs = stored(tmp_path / "ci.pem", owners.made.key.pem())
    assert main([*words, "--key", str(theirs), "--out", str(tmp_path / "none")]) == 1
    assert "refused (unknown-key)" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
    assert main([*words[:-2], "--reason", "", "--key", str(mine)]) == 4
    assert main(words) == 4


def test_a_new_owner_is_trusted_as_keygen_prints_it(
    owners: Owners, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keygen", str(tmp_path / "bia.pem"), "--name", "bia", "--env", "prod", "--owner"]) == 0
    owners.path.write_text(owners.path.read_text() + capsys.readouterr().out)
    key = keys.from_file(tmp_path / "bia.pem")
    assert owners.ask(owners.approved(key, at=statement.stamp(now()))).owner == "bia"
    assert policy.load(owners.path).trust.owners[-1].valid_from == datetime.datetime.now(datetime.UTC).date()


def now() -> float:
    return datetime.datetime.now(datetime.UTC).timestamp()
