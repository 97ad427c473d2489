"""What two contracts call alike is alike."""

# ruff: noqa: E501 - the table below reads best with a line for each case

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pixgates.core.scan import Finding
from pytest_pixgates.data_contract import contract, vocabulary

ACCOUNT = """\
      - name: account_id
        businessName: Account
        logicalType: string
        classification: confidential
        description: The account.
        logicalTypeOptions:
          minLength: 1
"""


def table(name: str, column: str) -> contract.Contract:
    head = f"apiVersion: v3.1.0\nkind: DataContract\nid: {name}\nversion: 1.0.0\nstatus: active\nschema:\n"
    return contract.parse(f"{head}  - name: {name}\n    properties:\n{column}", f"{name}.yaml")


def conflicts(first: str, second: str) -> list[Finding]:
    return list(vocabulary.conflicts([table("stream", first), table("training", second)]))


def test_the_same_field_twice_is_no_conflict() -> None:
    assert conflicts(ACCOUNT, ACCOUNT) == []


@pytest.mark.parametrize("own", ["        required: true\n", "        unique: true\n", "        primaryKey: true\n"])
def test_whether_a_field_is_required_or_unique_is_the_table_s_affair(own: str) -> None:
    assert conflicts(ACCOUNT, ACCOUNT + own) == []


@pytest.mark.parametrize(
    ("change", "rule", "said"),
    [
        (("logicalType: string", "logicalType: integer"), "type", "account_id: type is integer, but string in stream.yaml:9"),
        (("confidential", "public"), "classification", "account_id: classification is public, but confidential in stream.yaml:9"),
        (("minLength: 1", "minLength: 2"), "rule", "account_id.minLength is asked here, otherwise in stream.yaml:9"),
        (("minLength: 1", "maxLength: 9"), "rule", "account_id.minLength is not asked here, there in stream.yaml:9"),
        (("businessName: Account", "businessName: Client"), "business", "account_id: business is Client, but Account in stream.yaml:9"),
        (("name: account_id", "name: accountId"), "spelling", "accountId is written account_id in stream.yaml:9"),
        (("name: account_id", "name: client"), "synonym", 'client is "Account", which is called account_id in stream.yaml:9'),
    ],
)  # fmt: skip
def test_a_difference_is_a_finding_that_names_both_places(change: tuple[str, str], rule: str, said: str) -> None:
    other = ACCOUNT.replace(*change)
    if rule == "type":
        other = other.partition("        logicalTypeOptions")[0]
    found = {finding.rule: finding for finding in conflicts(ACCOUNT, other)}
    assert found[f"vocabulary-{rule}"].message == said
    assert found[f"vocabulary-{rule}"].where == "training.yaml:9"


def test_this_repository_speaks_one_language() -> None:
    root = Path(__file__).parents[2]
    read = [contract.read(path, root) for path in sorted((root / "gates" / "contracts").glob("*.yaml"))]
    assert vocabulary.conflicts(read) == ()
