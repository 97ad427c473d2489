"""What a schema can't say of a payment: rules across fields, the times, and that 2.0 is not taken for 2 centavos.

Only what is valid is changed.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import schemathesis

EARLIEST = datetime.fromisoformat("2020-11-16T00:00:00-03:00")

LATEST = datetime.fromisoformat("2040-01-01T00:00:00-03:00")


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    rows = body if isinstance(body, list) else [body]
    for row in rows:
        if isinstance(row, dict):
            agree(row)
    return body


def agree(row: dict[str, Any]) -> None:
    """Mend what breaks only a rule across fields."""
    if row.get("payee_key", 0) is None or row.get("payee_key_type", 0) is None or not has_both(row):
        row.update({name: None for name in ("payee_key", "payee_key_type") if valid(row, name)})
    sides = [row.get(f"{side}_account_id") for side in ("payer", "payee")]
    if sides[0] == sides[1] and isinstance(sides[0], str) and 1 <= len(sides[0]) <= 34:
        row["payee_account_id"] = "other" if sides[0] != "other" else "another"
    ids = row.get("end_to_end_id"), row.get("payer_ispb")
    if all(isinstance(each, str) for each in ids) and re.fullmatch(r"E[0-9A-Z]{8}[0-9]{12}[A-Za-z0-9]{11}", ids[0]):
        row["payer_ispb"] = ids[0][1:9] if re.fullmatch("[0-9A-Z]{8}", ids[1]) else ids[1]
    cents = row.get("amount_cents")
    if isinstance(cents, float) and cents.is_integer():
        row["amount_cents"] = int(cents)
    try:
        if not EARLIEST <= datetime.fromisoformat(row["initiated_at"]) < LATEST:
            row["initiated_at"] = "2024-01-01T00:00:00Z"
    except (KeyError, TypeError, ValueError):
        pass


def has_both(row: dict[str, Any]) -> bool:
    return ("payee_key" in row) == ("payee_key_type" in row)


def valid(row: dict[str, Any], name: str) -> bool:
    """Whether the field may be replaced without making a wrong payment right."""
    value = row.get(name)
    if value is None:
        return True
    kinds = ("CPF", "CNPJ", "PHONE", "EMAIL", "EVP")
    return isinstance(value, str) and (value in kinds if name == "payee_key_type" else 11 <= len(value) <= 77)
