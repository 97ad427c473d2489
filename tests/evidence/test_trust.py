"""What the policy and the guide say of keys and refusals is exactly what the code knows."""

from __future__ import annotations

import dataclasses
import datetime
import re
from pathlib import Path

import pytest

from pytest_pixgates.cli import approve, keygen, sign, verify
from pytest_pixgates.core import policy
from pytest_pixgates.core.errors import PolicyError
from pytest_pixgates.core.trust import Trust, TrustedKey
from pytest_pixgates.evidence import keys
from pytest_pixgates.evidence.codes import Code
from tests.evidence.pipeline import POLICY, trusted

GUIDE = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text()
KEY = keys.generate()


def read(root: Path, text: str) -> Trust:
    (root / "gates").mkdir(exist_ok=True)
    (root / "gates" / "gates.toml").write_text(POLICY + text)
    return policy.load(root / "gates" / "gates.toml").trust


def test_a_key_is_read_and_known_by_its_id(tmp_path: Path) -> None:
    (key,) = read(tmp_path, trusted(KEY)).keys
    assert (key.name, key.id, key.raw) == ("ci", KEY.id, KEY.public)


def test_a_key_is_valid_through_its_last_day() -> None:
    days = (datetime.date(2026, 1, 1), datetime.date(2026, 1, 1))
    key = TrustedKey("ci", "A" * 43 + "=", ("prod",), *days)
    assert key.ends - key.begins == 86400
    assert key.begins == datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).timestamp()


WRONG = {
    "no public key": {"public": '""'},
    "half a public key": {"public": '"AAAA"'},
    "a public key in another alphabet": {"public": f'"{"-" * 43}="'},
    "a public key with more behind it": {"public": f'"{"A" * 43}=\\n"'},
    "a public key whose last digit is odd": {"public": f'"{"A" * 42}B="'},
    "no name": {"name": '" "'},
    "no environment": {"environments": "[]"},
    "an unknown environment": {"environments": '["prdo"]'},
    "an end before the beginning": {"valid_until": "2020-01-01"},
    "a time for a date": {"valid_until": "2099-01-01T00:00:00Z"},
    "a text for a date": {"valid_until": '"tomorrow"'},
    "true for a date": {"revoked": "true"},
    "an unknown key": {"trusted": "true"},
}


@pytest.mark.parametrize("how", WRONG)
def test_a_key_that_is_odd_is_refused(tmp_path: Path, how: str) -> None:
    with pytest.raises(PolicyError, match=r"gates\.toml:\d+: evidence\.keys\[0\]"):
        read(tmp_path, trusted(KEY, **WRONG[how]))


@pytest.mark.parametrize(
    ("second", "what"),
    [(trusted(KEY, "other"), "public"), (trusted(keys.generate(), "ci"), "name")],
)
def test_two_keys_are_told_apart(tmp_path: Path, second: str, what: str) -> None:
    with pytest.raises(PolicyError, match=f"two keys have the {what}"):
        read(tmp_path, trusted(KEY) + second)
    assert len(read(tmp_path, trusted(KEY) + trusted(keys.generate(), "other")).keys) == 2


def test_the_guide_lists_every_refusal_as_the_code_has_it() -> None:
    rows = [line for line in GUIDE.splitlines() if re.match(r"\| `[a-z-]+` \|", line)]
    assert rows == [f"| `{code.value}` | {code.meaning} | {code.remedy} |" for code in Code]


def test_the_guide_names_only_refusals_that_there_are() -> None:
    threats = GUIDE.partition("## Threats")[2]
    told = set(re.findall(r"`([a-z]+-[a-z-]+)`", threats)) - {"evidence-keys"}
    assert told <= {code.value for code in Code}


@pytest.mark.parametrize("command", [approve, keygen, sign, verify])
def test_the_guide_has_the_exit_codes_of_the_help(command: object) -> None:
    import argparse

    parsers = argparse.ArgumentParser().add_subparsers()
    command.add_parser(parsers)  # type: ignore[attr-defined]
    ((name, parser),) = parsers.choices.items()
    assert parser.epilog is not None
    assert f"| `pixgates {name}` | {parser.epilog.removeprefix('exit code: ')} |" in GUIDE


@pytest.mark.parametrize("section", ["keys", "owners"])
def test_the_guide_and_the_policy_know_the_same_keys(section: str) -> None:
    table = (Path(__file__).parents[2] / "docs" / "reference" / "policy.md").read_text()
    found = table.partition(f"## `[[evidence.{section}]]`")[2].partition("\n## ")[0]
    told = {name for row in re.findall(r"^\| (`.+?) \|", found, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert told == {each.name for each in dataclasses.fields(TrustedKey)}
