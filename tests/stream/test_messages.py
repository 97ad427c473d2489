"""A record is read as its contract says, or refused with a reason that holds no value."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from ml_pipeline.streaming import messages
from ml_pipeline.streaming.messages import Aggregated, Processed, RefusedError, Transaction
from tests.stream import made

CONTRACTS = Path(__file__).parents[2] / "gates" / "contracts"
RECORDS = {"transactions": Transaction, "processed_transactions": Processed, "transactions_aggregated": Aggregated}
TYPES = {"string": "string", "timestamp": "string", "integer": "integer", "boolean": "boolean", "number": "number",
         "array": "array"}  # fmt: skip
RULES = {"pattern": "pattern", "minLength": "minLength", "maxLength": "maxLength", "minimum": "minimum",
         "maximum": "maximum"}  # fmt: skip


def declared(name: str) -> list[dict[str, Any]]:
    (schema,) = yaml.safe_load((CONTRACTS / f"{name}.odcs.yaml").read_text())["schema"]
    return schema["properties"]


def known(record: type) -> dict[str, dict[str, Any]]:
    """What the record says of each field, as JSON schema; of a nullable field the part that is not null."""
    schema = msgspec.json.schema(record)
    properties = schema["$defs"][record.__name__]["properties"]
    nullable = {name: each["anyOf"] for name, each in properties.items() if "anyOf" in each}
    values = {name: next(one for one in either if one.get("type") != "null") for name, either in nullable.items()}
    return {name: {**each, **values.get(name, {}), "nullable": name in nullable} for name, each in properties.items()}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_has_the_fields_of_its_contract_with_their_types_and_in_their_order(name: str) -> None:
    fields = known(RECORDS[name])
    assert list(fields) == [each["name"] for each in declared(name)] or name == "transactions"
    assert {each["name"] for each in declared(name)} == set(fields)
    for each in declared(name):
        its = fields[each["name"]]
        assert its.get("type", "string") == TYPES[each["logicalType"]], each["name"]
        assert its["nullable"] != (each.get("required", False) or each.get("primaryKey", False)), each["name"]


def test_what_is_read_keeps_the_limits_patterns_and_lists_of_the_contract() -> None:
    fields = known(Transaction)
    for each in declared("transactions"):
        its = fields[each["name"]]
        options = each.get("logicalTypeOptions", {})
        if each["logicalType"] != "timestamp":
            assert {rule: options[rule] for rule in RULES if rule in options} == {
                rule: its[rule] for rule in RULES.values() if rule in its
            }, each["name"]
        for quality in each.get("quality", []):
            assert sorted(its["enum"]) == sorted(quality["arguments"]["validValues"])
    begins = next(each for each in declared("transactions") if each["name"] == "initiated_at")["logicalTypeOptions"]
    assert datetime.fromisoformat(begins["minimum"]) == messages.BEGAN


def test_what_the_simulator_makes_is_read(world: made.World) -> None:
    for row in world.rows[:500]:
        one = messages.transaction(msgspec.json.encode(row), None)
        assert msgspec.structs.asdict(one) == row


NOW = messages.milliseconds(datetime(2026, 12, 1, tzinfo=UTC))


def test_what_breaks_the_contract_is_refused_with_its_reason(world: made.World) -> None:
    row = next(each for each in world.rows if each["payee_key"] and each["txid"] is None)
    for reason, value in made.broken(row).items():
        with pytest.raises(RefusedError) as refused:
            messages.transaction(value, NOW)
        assert str(refused.value) == reason


@pytest.mark.parametrize("value", [b"\xff", b'{"end_to_end_id": "\xff"}', b"[" * 100_000, b"", b"{}" * 2], ids=repr)
def test_what_is_no_json_is_refused(value: bytes) -> None:
    with pytest.raises(RefusedError):
        messages.transaction(value, NOW)


def test_no_reason_quotes_a_value(world: made.World) -> None:
    row = world.rows[0]
    said = {reason(made.changed(row, **{name: value})) for name in row for value in VALUES}
    assert len(said) > len(row)
    assert [each for each in said if "Maria" in each or len(each) > 120] == []


VALUES = ("Maria da Silva", "Maria - at `$.x`", 12.5, [], {"Maria": "da Silva"}, True, None)


def reason(value: bytes) -> str:
    try:
        messages.transaction(value, NOW)
    except RefusedError as refused:
        return str(refused)
    return ""


def test_an_unknown_field_is_let_through(world: made.World) -> None:
    messages.transaction(made.changed(world.rows[0], channel="app"), NOW)


def test_a_payment_may_be_as_far_ahead_of_its_record_as_clocks_differ(world: made.World) -> None:
    at = messages.milliseconds(world.rows[0]["initiated_at"])
    value = msgspec.json.encode(world.rows[0])
    messages.transaction(value, at - messages.FUTURE_MS)
    with pytest.raises(RefusedError, match="in the future"):
        messages.transaction(value, at - messages.FUTURE_MS - 1)
