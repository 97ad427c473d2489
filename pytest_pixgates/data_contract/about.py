"""The gates of `data_contract` in words."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_pixgates.core.family import About

_PAGE = "docs/contracts.md"

ABOUT: Mapping[str, About] = {
    "data": About(
        "Every rule of the contract holds for every row of the data set, and it has the contract's columns and types.",
        "FAIL if rows break a rule, told by rule, line and count; PASS only if every rule was measured. A missing "
        "file, no row, a column that isn't there, a word of the contract that can't be checked: each is an ERROR. Of "
        "a `sample`, shares are judged by their interval at alpha.",
        ("contracts",),
        _PAGE,
    ),
    "volume": About(
        "The newest period holds about as many rows as the periods before it let one expect.",
        "FAIL if the count lies outside the prediction interval at the volume's own alpha; INCONCLUSIVE if too few "
        "periods are there to tell.",
        (),
        "docs/reference/policy.md",
    ),
    "vocabulary": About(
        "What several contracts name alike is alike in all of them: type, classification, unit, rules.",
        "FAIL for each name that means two things.",
        ("contracts",),
        _PAGE,
    ),
    "changes": About(
        "The contract broke nobody since the branch left its target, or its version says that it did.",
        "FAIL for a broken promise without a new major version; ERROR where git can't tell what it was before.",
        ("contracts",),
        f"{_PAGE}#when-a-contract-changes",
    ),
}
