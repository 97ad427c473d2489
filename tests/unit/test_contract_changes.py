"""What a changed contract does to who reads the data, and what its version must say of it."""

# ruff: noqa: E501 - the tables below read best with a line for each case

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pixgates.data_contract import changes, contract

BASE = """\
apiVersion: v3.1.0
kind: DataContract
id: payments
version: 1.2.3
status: active
schema:
  - name: payments
    properties:
      - name: id
        logicalType: string
        primaryKey: true
        classification: restricted
        description: The number.
        logicalTypeOptions:
          pattern: ^[0-9]+$
      - name: amount
        logicalType: integer
        classification: internal
        description: The amount.
        logicalTypeOptions:
          format: i64
          minimum: 1
          maximum: 100
        quality:
          - {name: few, metric: nullValues, mustBeLessThan: 5, unit: percent}
          - {name: kinds, metric: invalidValues, arguments: {validValues: [1, 2]}, mustBe: 0}
"""
NEW = "      - {name: note, logicalType: string, classification: internal, description: A note.}\n"


def read(text: str) -> contract.Contract:
    return contract.parse(text, "c.yaml")


@pytest.mark.parametrize("version", ["1.2.3", "2.0.0"])
def test_nothing_changed_needs_nothing(version: str) -> None:
    text = BASE.replace("1.2.3", version)
    assert changes.changes(read(BASE), read(BASE.replace("The amount.", "How much."))) == ()
    assert changes.judged(read(text), read(text)) == ()


BREAKING = {
    "a column gone": (NEW, "", "the column note is gone"),
    "a type": ("logicalType: integer", "logicalType: number", "amount was of type integer and is of number"),
    "a narrower type": ("format: i64", "format: i32", "amount is of type integer i32: was amount is of type integer i64"),
    "a classification relaxed": ("classification: restricted", "classification: public", "id was restricted and is public"),
    "nulls allowed": ("        primaryKey: true\n", "", "no longer asked: id is not null"),
    "a looser limit": ("minimum: 1", "minimum: 0", "amount ≥ 0: was amount ≥ 1"),
    "a limit gone": ("          minimum: 1\n", "", "no longer asked: amount ≥ 1"),
    "a looser share": ("mustBeLessThan: 5", "mustBeLessThan: 6", "amount is not null (failing rows < 6.0000%): was amount is not null (failing rows < 5.0000%)"),
    "a value more": ("[1, 2]", "[1, 2, 3]", "amount is one of 1, 2, 3: was amount is one of 1, 2"),
    "another pattern": ("^[0-9]+$", "^[0-9]{3}$", "id matches ^[0-9]{3}$: was id matches ^[0-9]+$"),
    "another table": ("- name: payments", "- name: pagamentos", "the table payments is gone"),
    "another id": ("id: payments", "id: pagamentos", "the id was payments and is pagamentos"),
    "other columns allowed": ("    properties:", "    customProperties: [{property: additionalColumns, value: true}]\n    properties:", "columns beyond the contract's were forbidden and are allowed"),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKING)
def test_what_breaks_readers_needs_a_major_version(name: str) -> None:
    there, here, said = BREAKING[name]
    old = BASE + NEW if there == NEW else BASE
    if name == "a type":
        there, here = "logicalType: integer", "logicalType: number"
        old = old.replace("          format: i64\n", "")
    new = old.replace(there, here)
    found = {change.what: change.breaking for change in changes.changes(read(old), read(new))}
    assert found.get(said) is True, found
    same = changes.judged(read(old), read(new))
    assert same[0].message.startswith("breaking change without a new version")
    minor = changes.judged(read(old), read(new.replace("1.2.3", "1.3.0")))
    assert any(said in finding.message and finding.fix.startswith("make it version 2.0.0") for finding in minor)
    assert changes.judged(read(old), read(new.replace("1.2.3", "2.0.0"))) == ()


HARMLESS = {
    "a new column": ("", NEW, "the column note is new"),
    "a stricter limit": ("maximum: 100", "maximum: 50", "amount ≤ 50: was amount ≤ 100"),
    "a stricter share": ("mustBeLessThan: 5", "mustBeLessThan: 4", "amount is not null (failing rows < 4.0000%): was amount is not null (failing rows < 5.0000%)"),
    "a value less": ("[1, 2]", "[1]", "amount is one of 1: was amount is one of 1, 2"),
    "a stricter classification": ("classification: internal", "classification: confidential", "amount was internal and is confidential"),
    "a new rule": ("        logicalTypeOptions:\n          pattern", "        unique: true\n        logicalTypeOptions:\n          minLength: 1\n          pattern", "newly asked: id has at least 1 characters"),
    "a pattern that is stated to fit": ("          pattern: ^[0-9]+$", "          pattern: ^[0-9]{3}$\n        customProperties: [{property: replacesPattern, value: '^[0-9]+$'}]", "id matches ^[0-9]{3}$: was id matches ^[0-9]+$"),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_what_promises_more_needs_any_new_version(name: str) -> None:
    there, here, said = HARMLESS[name]
    new = BASE.replace(there, here) if there else BASE + here
    if name == "a new rule":
        new = new.replace("        unique: true\n", "")
    assert {change.what: change.breaking for change in changes.changes(read(BASE), read(new))} == {said: False}
    assert changes.judged(read(BASE), read(new))[0].message.startswith("change without a new version")
    assert changes.judged(read(BASE), read(new.replace("1.2.3", "1.2.4"))) == ()


def test_a_version_that_goes_back_or_is_none_is_found() -> None:
    new = BASE + NEW
    assert changes.judged(read(BASE), read(new.replace("1.2.3", "1.2.2")))
    assert "is not of the form 1.2.3" in changes.judged(read(BASE), read(new.replace("1.2.3", "next")))[0].message


def test_this_repository_s_contracts_equal_themselves() -> None:
    root = Path(__file__).parents[2]
    for path in (root / "gates" / "contracts").glob("*.yaml"):
        found = contract.read(path, root)
        assert changes.changes(found, found) == ()
