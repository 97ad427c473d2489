"""The service over HTTP: what it answers, what it refuses, what it tells of itself and what it never tells."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from ml_pipeline.serving import contract
from tests.serve.conftest import CONTRACTS, Bank, Server, Start

CANARIES = {"payer_account_id": "canary-12345678909", "payee_account_id": "canary-98765432100"}


def answered(server: Server, body: Any, **headers: str) -> tuple[int, list[dict[str, str]]]:
    made = server.ask("POST", "/score", body, **headers)
    if made.status != 200:
        assert made.headers["content-type"] == "application/problem+json"
        assert made.json["status"] == made.status
        assert made.json["request_id"] == made.headers["x-request-id"]
    return made.status, made.json.get("violations", [])


def test_a_payment_gets_a_decision_as_the_contract_has_it(server: Server, bank: Bank) -> None:
    made = server.ask("POST", "/score", bank.payments[0])
    assert made.status == 200
    agreed = contract.read(CONTRACTS / "processed_transactions.odcs.yaml")
    assert agreed.violations(made.json) == []
    sent = bank.payments[0]
    same = ("end_to_end_id", "payer_account_id", "payee_account_id", "amount_cents")
    assert [made.json[name] for name in same] == [sent[name] for name in same]
    assert made.json["decision"] == ("block" if made.json["score"] >= bank.threshold else "approve")


def test_a_batch_is_answered_in_its_order_and_like_single_payments(start: Start, bank: Bank, tmp_path: Any) -> None:
    rows = bank.payments[:30]
    one, many = start("--state", str(tmp_path / "one")), start("--state", str(tmp_path / "many"))
    singly = [one.ask("POST", "/score", row).json for row in rows]
    batch = many.ask("POST", "/score/batch", rows)
    assert batch.status == 200
    told = ("end_to_end_id", "score", "decision", "reasons")
    assert [[each[name] for name in told] for each in batch.json] == [[each[name] for name in told] for each in singly]


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("amount_cents", 0, "minimum 1"),
        ("amount_cents", 10_000_000_001, "maximum"),
        ("amount_cents", "canary", "must be of type integer"),
        ("amount_cents", True, "must be of type integer"),
        ("amount_cents", 1.5, "must be of type integer"),
        ("amount_cents", None, "must be of type integer"),
        ("initiation_type", "canary", "must be one of MANU"),
        ("device_id", "canary", "pattern"),
        ("end_to_end_id", "E99900004202605010301dr5c5Cc7IU9\n", "pattern"),
        ("payer_account_id", "", "minLength 1"),
        ("payer_account_id", "canary" * 10, "maxLength 34"),
        ("payer_account_id", ["canary"], "must be of type string"),
        ("device_registered", "canary", "must be of type boolean"),
        ("initiated_at", "canary", "must be a time with its zone"),
        ("initiated_at", "2026-05-01T03:01:06", "must be a time with its zone"),
        ("initiated_at", "2020-11-15T03:01:06Z", "must not be before 2020-11-16"),
    ],
)
def test_a_wrong_value_is_refused_by_field_and_rule_and_never_repeated(
    server: Server, bank: Bank, field: str, value: Any, rule: str
) -> None:
    made = server.ask("POST", "/score", {**bank.payments[1], field: value})
    assert made.status == 422
    (found,) = made.json["violations"]
    assert found["field"] == field
    assert rule in found["rule"]
    assert b"canary" not in made.body


def test_all_that_is_wrong_is_said_at_once(server: Server, bank: Bank) -> None:
    broken = {**bank.payments[1], "amount_cents": 0, "device_id": "x", "cpf 123": 1}
    del broken["payee_ispb"]
    status, found = answered(server, broken)
    assert status == 422
    assert {each["field"] for each in found} == {"amount_cents", "device_id", "payee_ispb", ""}
    assert "123" not in json.dumps(found)


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (lambda one: {"payee_account_id": one["payer_account_id"]}, "payer_account_id,payee_account_id"),
        (lambda one: {"payer_ispb": "00000000"}, "end_to_end_id,payer_ispb"),
        (lambda one: {"payee_key": None, "payee_key_type": "CPF"}, "payee_key,payee_key_type"),
    ],
)
def test_rules_across_fields_hold_for_one_payment_as_for_the_table(
    server: Server, bank: Bank, change: Any, fields: str
) -> None:
    status, found = answered(server, {**bank.payments[1], **change(bank.payments[1])})
    assert (status, [each["field"] for each in found]) == (422, [fields])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 415),
        (b"{", 400),
        (b"nonsense", 400),
        (b"\xff\xfe{}", 400),
        (b'{"amount_cents": NaN}', 400),
        (b'{"amount_cents": ' + b"9" * 5000 + b"}", 400),
        (b'{"payee_key": "\\ud800"}', 422),
        (b"[]", 422),
        (b"null", 422),
        (b"[" * 4000 + b"]" * 4000, 422),
        (b" " * 8193, 413),
    ],
)
def test_a_body_that_is_no_payment_is_refused(server: Server, body: bytes, status: int) -> None:
    assert answered(server, body)[0] == status
    assert server.ask("GET", "/livez").status == 200


def test_a_field_that_is_given_twice_is_refused(server: Server, bank: Bank) -> None:
    data = json.dumps(bank.payments[1]).encode()
    for twice in (b'{"amount_cents": 1, ', b'{"amount\\u005fcents": 1, '):
        status, found = answered(server, twice + data[1:])
        assert (status, found) == (422, [{"field": "", "rule": "a field is given twice"}])


def test_a_field_that_is_given_twice_is_refused_also_if_another_row_leaves_it_out(server: Server, bank: Bank) -> None:
    row = json.dumps({name: value for name, value in bank.payments[1].items() if name != "txid"}).encode()
    for twice in (b'{"txid": null, "txid": null, ', b'{"txid": null, "tx\\u0069d": null, '):
        made = server.ask("POST", "/score/batch", b"[" + row + b", " + twice + row[1:] + b"]")
        assert (made.status, made.json["violations"]) == (422, [{"field": "", "rule": "a field is given twice"}])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/json; charset=latin-1"}, 415),
        ({"content_encoding": "gzip"}, 415),
        ({"content_type": "Application/JSON; charset=UTF-8"}, 200),
    ],
)
def test_what_is_not_declared_as_json_is_refused(
    server: Server, bank: Bank, headers: dict[str, str], status: int
) -> None:
    assert answered(server, bank.payments[2], **headers)[0] == status


def test_a_batch_has_limits_and_names_the_row(server: Server, bank: Bank) -> None:
    rows = bank.payments[:3]
    for body, status in (([], 422), (rows * 34, 422), ([{**rows[0], "amount_cents": 0}], 422), (rows[0], 422)):
        assert server.ask("POST", "/score/batch", body).status == status
    wrong = [rows[0], {**rows[1], "payer_ispb": "00000000"}, {**rows[2], "payer_ispb": "00000000"}]
    found = server.ask("POST", "/score/batch", wrong).json["violations"]
    assert [each["field"] for each in found] == ["1.end_to_end_id,payer_ispb", "2.end_to_end_id,payer_ispb"]
    assert server.ask("POST", "/score/batch", b" " * (256 << 10) + b"[]").status == 413


def test_unknown_paths_and_methods_are_refused_as_problems(server: Server) -> None:
    for method, path, status in (("GET", "/nowhere", 404), ("GET", "/score", 405), ("DELETE", "/model", 405)):
        made = server.ask(method, path)
        assert (made.status, made.json["status"]) == (status, status)


def test_a_payment_of_the_future_is_refused(start: Start, bank: Bank) -> None:
    server = start("--ahead", "60")
    later = {**bank.payments[0], "initiated_at": "2199-01-01T00:00:00Z"}
    status, found = answered(server, later)
    assert (status, [each["field"] for each in found]) == (422, ["initiated_at"])


def test_a_batch_with_a_payment_of_the_future_is_refused_before_any_is_decided(start: Start, bank: Bank) -> None:
    server = start("--ahead", "60")
    years = zip(bank.payments, (2024, 2199, 2199), strict=False)
    rows = [{**row, "initiated_at": f"{year}-01-01T00:00:00Z"} for row, year in years]
    made = server.ask("POST", "/score/batch", rows)
    assert made.status == 422
    assert [each["field"] for each in made.json["violations"]] == ["1.initiated_at", "2.initiated_at"]
    assert server.ask("POST", "/score", rows[0]).status == 200
    assert ["repeated" in line for line in server.lines("decision")] == [False]


def test_what_a_refused_batch_decided_is_logged_and_answered_again(start: Start, bank: Bank) -> None:
    server = start()
    first, second = bank.payments[:2]
    made = server.ask("POST", "/score/batch", [first, second, {**first, "amount_cents": first["amount_cents"] + 1}])
    assert made.status == 409
    again = server.ask("POST", "/score", first)
    assert again.status == 200
    *decided, repeated = server.lines("decision")
    assert [line["request_id"] for line in decided] == [made.headers["x-request-id"]] * 2
    assert repeated["repeated"]
    assert (repeated["payment"], repeated["decision"]) == (decided[0]["payment"], decided[0]["decision"])
    assert again.json["scored_at"] == decided[0]["scored_at"]


def test_the_model_and_the_limits_are_told(server: Server, bank: Bank) -> None:
    said = server.ask("GET", "/model").json
    record = json.loads(bank.record.read_text())
    assert said["model"]["sha256"] == record["model"]["sha256"]
    assert said["model"]["version"] == f"pix-fraud-{record['model']['sha256']['model.onnx'][:12]}"
    assert said["limits"]["body_bytes"] == 8192
    assert server.ask("GET", "/readyz").json == {"status": "ready", "reasons": []}


def test_what_happens_is_counted(start: Start, bank: Bank) -> None:
    server = start()
    made = [server.ask("POST", "/score", row).json for row in (*bank.payments[:5], bank.payments[0])]
    server.ask("POST", "/score", {})
    figures = server.figures()
    version = made[0]["model_version"]
    decided = sum(value for name, value in figures.items() if name.startswith("scoring_decisions_total"))
    assert decided == 5
    assert figures["scoring_repeated_total"] == 1
    assert figures['scoring_requests_total{endpoint="/score",status="200"}'] == 6
    assert figures['scoring_requests_total{endpoint="/score",status="422"}'] == 1
    assert figures['scoring_request_seconds_count{endpoint="/score"}'] == 7
    assert figures['scoring_state_missing_total{what="payer_account"}'] == 5
    assert any(name.startswith("scoring_model_info") and version in name for name in figures)
    assert figures["scoring_queue_rows"] == 0


def test_neither_log_nor_snapshot_nor_figures_hold_an_id_or_a_refused_value(start: Start, bank: Bank) -> None:
    server = start()
    for row in ({**bank.payments[0], **CANARIES}, {**bank.payments[0], **CANARIES, "device_id": "canary"}):
        server.ask("POST", "/score", row)
        server.ask("POST", "/score/batch", [row])
    figures = server.ask("GET", "/metrics").body
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    snapshot = (server.log.parent / "state" / "accounts.snapshot").read_bytes()
    kept = server.log.read_bytes() + figures + snapshot
    secret = [*CANARIES.values(), "canary", *(bank.payments[0][name] for name in ("end_to_end_id", "device_id"))]
    assert [each for each in secret if each.encode() in kept] == []
    assert len(server.lines("decision")) == 2  # the second time as a repeated one


def test_each_request_has_a_line_with_status_and_latency(start: Start, bank: Bank) -> None:
    server = start()
    ids = [
        server.ask("POST", path, body).headers["x-request-id"]
        for path, body in (("/score", bank.payments[0]), ("/score", {}), ("/score/batch", bank.payments[1:4]))
    ]
    lines = [line for line in server.lines() if "request_id" in line]
    whole = [line for line in lines if "status" in line]
    assert [(line["request_id"], line["status"]) for line in whole] == list(zip(ids, (200, 422, 200), strict=True))
    assert all(line["latency_ms"] >= 0 for line in whole)
    assert sum(line["request_id"] == ids[2] for line in lines) == 4  # three payments and the request
