"""Identifiers are valid by rules that others wrote down, and invalid ones are told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.br import cnpj as stdnum_cnpj
from stdnum.br import cpf as stdnum_cpf

from ml_pipeline import identifiers

BASES = st.lists(st.integers(0, 10**9 - 1), min_size=1, max_size=20)


def not_repeated(bases: list[int]) -> np.ndarray:
    numbers = np.array(bases)
    return numbers[~identifiers.repeated(numbers, 9)]


@given(BASES)
def test_a_cpf_that_is_made_is_valid_to_others_too(bases: list[int]) -> None:
    made = identifiers.strings(identifiers.cpf(not_repeated(bases))).to_list()
    assert all(map(stdnum_cpf.is_valid, made))
    assert identifiers.is_cpf(made).all()


@given(st.from_regex(r"[0-9]{11}", fullmatch=True))
def test_a_cpf_is_judged_as_others_do_unless_it_is_one_digit_repeated(text: str) -> None:
    assert identifiers.is_cpf([text])[0] == (stdnum_cpf.is_valid(text) and len(set(text)) > 1)


@pytest.mark.parametrize("digit", "0123456789")
def test_one_digit_repeated_is_no_cpf_although_its_check_digits_are_right(digit: str) -> None:
    assert not identifiers.is_cpf([digit * 11])[0]
    with pytest.raises(ValueError, match="one repeated digit"):
        identifiers.cpf(np.array([int(digit * 9)]))


@given(st.from_regex(r"[0-9]{14}", fullmatch=True))
def test_a_numeric_cnpj_is_judged_as_others_do(text: str) -> None:
    assert identifiers.is_cnpj([text])[0] == (stdnum_cnpj.is_valid(text) and len(set(text)) > 1)


@given(st.lists(st.from_regex(r"[0-9A-Z]{12}", fullmatch=True), min_size=1, max_size=9))
def test_an_alphanumeric_cnpj_has_the_check_digits_of_its_characters_less_48(bases: list[str]) -> None:
    made = identifiers.strings(identifiers.cnpj(identifiers.text(bases, 12))).to_list()
    kept = [text for text in made if len(set(text)) > 1]
    assert identifiers.is_cnpj(kept).all()
    changed = [text[:-1] + str((int(text[-1]) + 1) % 10) for text in kept]
    assert not identifiers.is_cnpj(changed).any()


def test_the_published_example_of_an_alphanumeric_cnpj_is_valid() -> None:
    assert identifiers.is_cnpj(["12ABC34501DE35"])[0]
    assert not identifiers.is_cnpj(["12ABC34501DE36", "12abc34501de35", "12.ABC.345/01DE-35"]).any()


def test_an_end_to_end_id_names_bank_and_minute_in_utc() -> None:
    rng = np.random.default_rng(0)
    at = np.array([1_785_585_599_999, 1_785_585_600_000])  # the last millisecond of a day in UTC, and the first
    made = identifiers.strings(identifiers.end_to_end_id(rng, identifiers.text(["99900001"] * 2, 8), at)).to_list()
    assert [text[:21] for text in made] == ["E99900001202608011159", "E99900001202608011200"]
    assert identifiers.is_end_to_end_id(made).all()
    bad = [
        made[0][:-1],
        "e" + made[0][1:],
        made[0][:9] + "202613011200" + made[0][21:],
        made[0][:-1] + "_",
        made[0] + "\n",
    ]
    assert not identifiers.is_end_to_end_id(bad).any()


def test_txids_and_random_keys_have_their_forms() -> None:
    rng = np.random.default_rng(0)
    txids = identifiers.txid(rng, 500).to_list()
    assert identifiers.is_txid(txids).all()
    assert {len(text) for text in txids} <= set(range(26, 36))
    assert not identifiers.is_txid(["a" * 25, "a" * 36, "a" * 30 + "-"]).any()
    keys = identifiers.strings(identifiers.evp(rng, 500)).to_list()
    assert identifiers.is_key("EVP", keys).all()
    assert len(set(keys)) == 500


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("CPF", "11144477735", "11144477736"),
        ("CNPJ", "12ABC34501DE35", "12ABC34501DE34"),
        ("PHONE", "+5511987654321", "+5501987654321"),
        ("EMAIL", "someone@example.com", "someone@example"),
        ("EVP", "123e4567-e89b-42d3-a456-426655440000", "123e4567-e89b-12d3-a456-426655440000"),
    ],
)
def test_each_kind_of_key_is_told_from_what_looks_like_it(kind: str, good: str, bad: str) -> None:
    assert identifiers.is_key(kind, [good, bad]).tolist() == [True, False]


def test_an_unknown_kind_of_key_is_an_error() -> None:
    with pytest.raises(ValueError, match="'RG' is no kind of Pix key"):
        identifiers.is_key("RG", ["1"])


@given(st.lists(st.text(st.sampled_from("abc0"), max_size=9), min_size=1, max_size=9))
def test_columns_of_text_come_back_as_they_were(texts: list[str]) -> None:
    width = max(map(len, texts)) or 1
    padded = identifiers.text([each.ljust(width, "x") for each in texts], width)
    assert identifiers.strings(padded, np.array([len(each) for each in texts])).to_list() == texts
