"""The description of the service (OpenAPI 3.1), made from the contracts and from the limits in force."""

from __future__ import annotations

from typing import Any

from ml_pipeline.serving.contract import Contract

JSON, PROBLEM = "application/json", "application/problem+json"
STATUSES = {
    400: "The body is not JSON.",
    408: "The body did not come in time.",
    409: "Another payment had this id.",
    413: "The body is too large.",
    415: "The body is not declared as application/json.",
    422: "The payment is not as the contract has it: field and rule, never the value.",
    503: "Too many payments wait.",
}
EXAMPLE = {
    "end_to_end_id": "E9990000420240501030100000000001", "txid": None, "initiated_at": "2024-05-01T00:01:06.522-03:00",
    "payer_account_id": "0000000803", "payer_ispb": "99900004", "payee_account_id": "0000005638",
    "payee_ispb": "99900005", "payee_key_type": "EVP", "payee_key": "66923b05-fe12-48f4-b0c1-aeb18fd60194",
    "initiation_type": "DICT", "amount_cents": 4621, "device_id": "ff2b6087606fd81b", "device_registered": True,
}  # fmt: skip
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["title", "status", "request_id", "violations"],
    "additionalProperties": False,
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "request_id": {"type": "string"},
        "violations": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "rule"],
                "additionalProperties": False,
                "properties": {"field": {"type": "string"}, "rule": {"type": "string"}},
            },
        },
    },
}


def described(request: Contract, answer: Contract, batch: int) -> dict[str, Any]:
    """The whole description."""
    many = {
        name: {"type": "array", "items": _ref(name), "minItems": 1, "maxItems": batch}
        for name in (request.name, answer.name)
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Scoring of Pix payments",
            "version": request.version,
            "description": "Each payment gets a decision before it goes on. The models of request and answer are the "
            f"contracts {request.name} {request.version} and {answer.name} {answer.version}.",
        },
        "paths": {
            "/score": {
                "post": _scoring("score", "Decide on one payment.", _ref(request.name), _ref(answer.name), EXAMPLE)
            },
            "/score/batch": {
                "post": _scoring("score_batch", "Decide on some.", many[request.name], many[answer.name], [EXAMPLE])
            },
            "/livez": {"get": _got("livez", "Whether the process answers.", {"type": "object"})},
            "/readyz": {
                "get": _got("readyz", "Whether payments should be sent here.", {"type": "object"})
                | {"responses": {each: _answered(JSON, {"type": "object"}, says) for each, says in READY.items()}}
            },
            "/model": {"get": _got("model", "The model, its digests, and the limits.", {"type": "object"})},
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "summary": "Figures for Prometheus.",
                    "responses": {"200": _answered("text/plain", {"type": "string"}, "The figures.")},
                }
            },
            "/openapi.json": {"get": _got("openapi", "This description.", {"type": "object"})},
        },
        "components": {
            "schemas": {request.name: request.schema, answer.name: answer.schema, "problem": PROBLEM_SCHEMA}
        },
    }


READY = {"200": "They should.", "503": "They should not, for the reasons given."}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _answered(kind: str, schema: dict[str, Any], says: str) -> dict[str, Any]:
    return {"description": says, "content": {kind: {"schema": schema}}}


def _got(name: str, says: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"operationId": name, "summary": says, "responses": {"200": _answered(JSON, schema, says)}}


def _scoring(name: str, says: str, body: dict[str, Any], answer: dict[str, Any], example: Any) -> dict[str, Any]:
    responses = {str(status): _answered(PROBLEM, _ref("problem"), why) for status, why in STATUSES.items()}
    responses["503"]["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return {
        "operationId": name,
        "summary": says,
        "requestBody": {"required": True, "content": {JSON: {"schema": body, "example": example}}},
        "responses": {"200": _answered(JSON, answer, "Decided.")} | responses,
    }
