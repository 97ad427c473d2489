"""How a release proves itself, wherever it runs: it serves its model, and decides on a payment by that model."""

from __future__ import annotations

import http.client
import json
import secrets
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from ml_pipeline.targets import SERVED, Unfit, Unit

ANSWER = 5.0  # seconds for one answer


def prove(unit: Unit, url: str) -> None:
    """Ask the service at `url`. Raises Unfit if it is not this release, or does not work."""
    named = f"generation {unit.generation}"
    try:
        status, said = ask(url, "GET", "/model")
        found = (said.get("model") or {}).get("sha256", {})
        expected = {name: unit.release.files[name] for name in SERVED}
        if status != 200 or found != expected:
            raise Unfit(f"{named} serves another model: {found}")
        status, said = ask(url, "POST", "/score", payment())
        by = said.get("model_version", "")
        if status != 200 or not by.endswith(unit.release.model[:12]):
            raise Unfit(f"{named} answers a payment with {status}, decided by {by or 'nobody'}")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unfit(f"{named} does not answer: {type(error).__name__} {error}") from None


def payment() -> dict[str, Any]:
    """A small payment between two accounts that exist for this alone."""
    at = datetime.now(UTC)
    return {
        "end_to_end_id": f"E00000000{at:%Y%m%d%H%M}{secrets.token_hex(6)[:11]}", "txid": None,
        "initiated_at": at.isoformat(timespec="milliseconds"), "payer_account_id": "smoke-payer",
        "payer_ispb": "00000000", "payee_account_id": "smoke-payee", "payee_ispb": "00000000",
        "payee_key_type": None, "payee_key": None, "initiation_type": "MANU", "amount_cents": 100,
        "device_id": "0" * 16, "device_registered": True,
    }  # fmt: skip


def ask(url: str, method: str, path: str, said: Any = None) -> tuple[int, dict[str, Any]]:
    """Status and body of an answer in JSON. Raises OSError, ValueError, HTTPException."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=ANSWER)
    try:
        body = json.dumps(said) if said is not None else None
        place = parts.path.rstrip("/") + path
        connection.request(method, place, body, {"content-type": "application/json", "connection": "close"})
        answer = connection.getresponse()
        found = json.loads(answer.read())
        return answer.status, found if isinstance(found, dict) else {}
    finally:
        connection.close()
