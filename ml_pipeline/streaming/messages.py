"""What the records of the topics hold, as their contracts in gates/contracts say: JSON, times as RFC 3339.

A record that breaks its contract is refused with the field and the rule, from a closed list and never with the value:
the reason goes into logs and metrics, where no personal data may be. Unknown fields are let through, so that the
producer can add one before its consumers know it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

BEGAN = datetime(2020, 11, 16, 3, tzinfo=UTC)  # Pix: no payment is older
FUTURE_MS = 300_000  # how far a payment may be ahead of the time that its record was written
DAMAGED = "the value is no JSON"

Id = Annotated[str, Meta(pattern="^E[0-9A-Z]{8}[0-9]{12}[A-Za-z0-9]{11}$")]
Account = Annotated[str, Meta(min_length=1, max_length=34)]
Institution = Annotated[str, Meta(pattern="^[0-9A-Z]{8}$")]
Cents = Annotated[int, Meta(ge=1, le=10_000_000_000)]
Moment = Annotated[datetime, Meta(tz=True)]


class Transaction(msgspec.Struct, frozen=True, gc=False):
    """A record of `transactions`."""

    end_to_end_id: Id
    initiated_at: Moment
    payer_account_id: Account
    payer_ispb: Institution
    payee_account_id: Account
    payee_ispb: Institution
    initiation_type: Literal["MANU", "DICT", "QRES", "QRDN", "INIC"]
    amount_cents: Cents
    device_id: Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
    device_registered: bool
    txid: Annotated[str, Meta(pattern="^[A-Za-z0-9]{26,35}$")] | None = None
    payee_key_type: Literal["CPF", "CNPJ", "PHONE", "EMAIL", "EVP"] | None = None
    payee_key: Annotated[str, Meta(min_length=11, max_length=77)] | None = None


class Processed(msgspec.Struct, frozen=True, gc=False):
    """A record of `processed_transactions`."""

    end_to_end_id: str
    initiated_at: datetime
    payer_account_id: str
    payee_account_id: str
    amount_cents: int
    score: float | None
    decision: Literal["approve", "review", "block"]
    model_version: str
    reasons: tuple[str, ...]
    scored_at: datetime


class Aggregated(msgspec.Struct, frozen=True, gc=False):
    """A record of `transactions_aggregated`: a window as far as it is known; a later record replaces it."""

    payer_ispb: str
    window_start: datetime
    window_end: datetime
    payments: int
    blocked_payments: int
    total_amount_cents: int
    mean_score: float | None


class RefusedError(ValueError):
    """A record breaks its contract; says how, without a value."""


encode = msgspec.json.Encoder().encode
processed = msgspec.json.Decoder(Processed).decode
_transaction = msgspec.json.Decoder(Transaction).decode


def transaction(value: bytes | None, written_ms: int | None) -> Transaction:
    """The payment in a record that was written at `written_ms` (since 1970; None: unknown). Raises RefusedError."""
    if value is None:
        raise RefusedError("there is no value")
    try:
        one = _transaction(value)
    except msgspec.ValidationError as error:
        raise RefusedError(_without_values(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise RefusedError(DAMAGED) from None
    if one.initiated_at < BEGAN:
        raise RefusedError("$.initiated_at: earlier than Pix")
    if written_ms is not None and milliseconds(one.initiated_at) > written_ms + FUTURE_MS:
        # Time goes on with the latest payment: one from next year would make all others late.
        raise RefusedError("$.initiated_at: in the future of its record")
    if (one.payee_key is None) != (one.payee_key_type is None):
        raise RefusedError("$.payee_key: a key has a type, and a type has a key")
    if one.payer_account_id == one.payee_account_id:
        raise RefusedError("$.payee_account_id: nobody pays themselves")
    if one.end_to_end_id[1:9] != one.payer_ispb:
        raise RefusedError("$.end_to_end_id: begins with the institution of the payer")
    return one


def milliseconds(moment: datetime) -> int:
    """Since 1970."""
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def _without_values(said: str) -> str:
    """msgspec quotes the value of an enumeration that it does not know, and no other."""
    rule, _, path = said.rpartition(" - at `")
    if not rule:
        rule, path = said, "$`"
    return f"{path.rstrip('`')}: {re.sub(r'^Invalid enum value .*', 'not one of those allowed', rule, flags=re.DOTALL)}"
