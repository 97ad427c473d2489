"""Identifiers of Pix: made and checked in whole columns, for a simulation needs millions.

Makers return ASCII as a matrix of bytes, one row per identifier, which `strings` turns into a column of text; checkers
take texts and return booleans. Nothing here looks up whether an identifier belongs to somebody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

Text = NDArray[np.uint8]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

END_TO_END_ID = r"^E[0-9A-Z]{8}[0-9]{12}[A-Za-z0-9]{11}$"
TXID = r"^[A-Za-z0-9]{26,35}$"
PATTERNS = {
    "CPF": r"^[0-9]{11}$",
    "CNPJ": r"^[0-9A-Z]{12}[0-9]{2}$",
    "PHONE": r"^\+55[1-9][1-9]9[0-9]{8}$",
    "EMAIL": r"^[a-z0-9.!#$&'*+/=?^_`{|}~-]+@[a-z0-9-]+(\.[a-z0-9-]+)+$",
    "EVP": r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
}
CPF_WEIGHTS = (np.arange(10, 1, -1), np.arange(11, 1, -1))
CNPJ_WEIGHTS = (np.array([5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]), np.array([6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]))
ZERO = ord("0")
ALPHANUMERIC = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", np.uint8)
HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint8).reshape(256, 2)
MINUTE = 60_000


def strings(text: Text, lengths: Integers | None = None) -> pl.Series:
    """A column of text from a matrix of ASCII bytes; with `lengths`, only the first so many bytes of each row."""
    if not len(text):
        return pl.Series(dtype=pl.String)
    width = text.shape[1]
    lines = np.full((len(text), width + 1), ord("\n"), np.uint8)
    lines[:, :width] = text
    if lengths is None:
        kept = lines.ravel()
    else:
        lines[np.arange(len(text)), lengths] = ord("\n")
        kept = lines[np.arange(width + 1) <= lengths[:, None]]
    return pl.Series([kept.tobytes()[:-1].decode("ascii")]).str.split("\n").explode()


def text(values: Iterable[str], width: int) -> Text:
    """The ASCII matrix of texts that all are `width` long."""
    return np.array(list(values), f"S{width}").view(np.uint8).reshape(-1, width)


def digits(numbers: Integers, width: int) -> Text:
    """Numbers written with leading zeros."""
    return (numbers[:, None] // 10 ** np.arange(width - 1, -1, -1) % 10 + ZERO).astype(np.uint8)


def _with_check_digits(base: Text, weights: tuple[Integers, ...]) -> Text:
    for weight in weights:
        remainder = (base.astype(np.int64) - ZERO) @ weight % 11
        check = np.where(remainder < 2, 0, 11 - remainder) + ZERO
        base = np.hstack([base, check[:, None].astype(np.uint8)])
    return base


def repeated(numbers: Integers, width: int) -> Booleans:
    """Which numbers, written with `width` digits, are one digit repeated: no CPF is."""
    result: Booleans = numbers % ((10**width - 1) // 9) == 0
    return result & (numbers // ((10**width - 1) // 9) <= 9)


def cpf(base: Integers) -> Text:
    """CPFs from their first nine digits, which may not be one digit repeated."""
    if repeated(base, 9).any():
        raise ValueError("a CPF of one repeated digit is invalid, although its check digits are right")
    return _with_check_digits(digits(base, 9), CPF_WEIGHTS)


def cnpj(base: Text) -> Text:
    """CNPJs from their first twelve characters: since July 2026 digits or capital letters, valued ASCII - 48."""
    return _with_check_digits(base, CNPJ_WEIGHTS)


def evp(rng: np.random.Generator, count: int) -> Text:
    """Random keys: UUIDs of version 4, in lower case."""
    raw = rng.integers(0, 256, (count, 16), np.uint8)
    raw[:, 6] = raw[:, 6] & 0x0F | 0x40
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    return np.insert(HEX[raw].reshape(count, 32), [8, 12, 16, 20], ord("-"), axis=1)


def hexadecimal(numbers: NDArray[np.uint64]) -> Text:
    """Sixteen hexadecimal digits for each number."""
    return HEX[numbers.astype(">u8").view(np.uint8).reshape(-1, 8)].reshape(-1, 16)


def utc_minutes(milliseconds: Integers) -> Text:
    """yyyyMMddHHmm in UTC for milliseconds since 1970."""
    dates, which = np.unique(milliseconds // (1440 * MINUTE), return_inverse=True)
    written = [str(date).replace("-", "") for date in dates.astype("datetime64[D]")]
    minute = milliseconds // MINUTE % 1440
    clock = digits(minute // 60 * 100 + minute % 60, 4)
    return np.hstack([text(written, 8)[which], clock]) if written else np.empty((0, 12), np.uint8)


def end_to_end_id(rng: np.random.Generator, ispb: Text, initiated_at: Integers) -> Text:
    """E, the payer's ISPB, the minute in UTC and eleven random characters (two of one minute meet once in 10^19)."""
    prefix = np.full((len(ispb), 1), ord("E"), np.uint8)
    suffix = ALPHANUMERIC[rng.integers(0, 62, (len(ispb), 11), np.uint8)]
    return np.hstack([prefix, ispb, utc_minutes(initiated_at), suffix])


def txid(rng: np.random.Generator, count: int) -> pl.Series:
    """Ids of charges: 26 to 35 characters, 32 most often."""
    lengths = np.where(rng.random(count) < 0.6, 32, rng.integers(26, 36, count))
    return strings(ALPHANUMERIC[rng.integers(0, 62, (count, 35), np.uint8)], lengths)


def _matching(values: Iterable[str], pattern: str) -> tuple[list[str], Booleans]:
    known = list(values)
    return known, np.array([re.fullmatch(pattern, value, re.ASCII) is not None for value in known], np.bool_)


def _checked(values: Iterable[str], kind: str, width: int, weights: tuple[Integers, ...]) -> Booleans:
    known, valid = _matching(values, PATTERNS[kind])
    given = text((value for value, fits in zip(known, valid, strict=True) if fits), width)
    right = (_with_check_digits(given[:, :-2], weights) == given).all(axis=1)
    valid[valid] = right & (given != given[:, :1]).any(axis=1)
    return valid


def is_cpf(values: Iterable[str]) -> Booleans:
    """Which are CPFs: eleven digits, right check digits, not one digit repeated."""
    return _checked(values, "CPF", 11, CPF_WEIGHTS)


def is_cnpj(values: Iterable[str]) -> Booleans:
    """Which are CNPJs, numeric or alphanumeric, in capitals and without punctuation."""
    return _checked(values, "CNPJ", 14, CNPJ_WEIGHTS)


def is_end_to_end_id(values: Iterable[str]) -> Booleans:
    """Which have the form of an EndToEndId, with a date and time that exist."""
    known, valid = _matching(values, END_TO_END_ID)
    stamps = pl.Series([value[9:21] for value in known], dtype=pl.String).str.to_datetime("%Y%m%d%H%M", strict=False)
    return valid & stamps.is_not_null().to_numpy()


def is_txid(values: Iterable[str]) -> Booleans:
    """Which have the form of a charge's txid."""
    return _matching(values, TXID)[1]


def is_key(kind: str, values: Iterable[str]) -> Booleans:
    """Which are Pix keys of a kind: CPF, CNPJ, PHONE, EMAIL or EVP. Raises ValueError on any other kind."""
    if kind not in PATTERNS:
        raise ValueError(f"{kind!r} is no kind of Pix key; there are {', '.join(PATTERNS)}")
    if kind == "EMAIL":  # the directory of keys takes at most 77 characters
        values = (value if len(value) <= 77 else "" for value in values)
    return {"CPF": is_cpf, "CNPJ": is_cnpj}.get(kind, lambda texts: _matching(texts, PATTERNS[kind])[1])(values)
