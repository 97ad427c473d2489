"""The service as an ASGI application: endpoints, limits, and one line of log for each request that is no probe."""

from __future__ import annotations

import asyncio
import secrets
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import PurePath
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_pipeline.serving import openapi
from ml_pipeline.serving.contract import Contract, Record
from ml_pipeline.serving.log import Log
from ml_pipeline.serving.metrics import Metrics
from ml_pipeline.serving.queue import Queue, overloaded
from ml_pipeline.serving.requests import DEPTH, Reader, Refused
from ml_pipeline.serving.scoring import Answer, Scoring
from ml_pipeline.serving.stores import Memory, Unreachable

BATCH = 100  # payments
BODY = 8 << 10  # bytes of one payment
BODY_BATCH = 256 << 10
BODY_SECONDS = 5.0
CHUNK = 5  # payments of a batch that are scored before others get their turn
PROBES = frozenset({"/livez", "/readyz", "/metrics"})
KNOWN = frozenset({"/score", "/score/batch", "/model", "/openapi.json"}) | PROBES


@dataclass
class Service:
    """All that the endpoints need. `draining`: other processes should get the payments from now on."""

    scoring: Scoring
    queue: Queue
    request: Contract
    answer: Contract
    metrics: Metrics
    log: Log
    draining: bool = False
    refused_model: str | None = None  # why a model was not taken
    in_flight: int = 0

    async def unready(self) -> list[str]:
        """Why no payments should be sent here."""
        reasons = ["draining"] if self.draining else []
        if self.scoring.model is None:
            reasons.append(f"no model: {self.refused_model or 'not loaded yet'}")
        if self.log.broken:
            reasons.append("the log can't be written")
        try:
            await self.scoring.store.check()
        except Unreachable as error:
            reasons.append(f"the state can't be reached: {error}")
        return reasons


def application(service: Service) -> ASGIApp:
    """The application. Its routes take what `openapi.described` says."""
    reader = Reader(service.request, BATCH)
    described = msgspec.json.encode(openapi.described(service.request, service.answer, BATCH))
    routes = [
        Route("/score", partial(_score, service, reader), methods=["POST"]),
        Route("/score/batch", partial(_score_batch, service, reader), methods=["POST"]),
        Route("/livez", _livez),
        Route("/readyz", partial(_readyz, service)),
        Route("/metrics", partial(_metrics, service)),
        Route("/model", partial(_model, service)),
        Route("/openapi.json", partial(_openapi, described)),
    ]
    handlers: dict[Any, Any] = {Refused: _refused, HTTPException: _raised, Exception: _failed}
    return Edge(Starlette(routes=routes, exception_handlers=handlers), service)


async def _score(service: Service, reader: Reader, request: Request) -> Response:
    one = reader.one(await _body(request, BODY))
    service.queue.reserve(1)
    try:
        made: Answer = await service.queue.done(partial(service.scoring.answer, one))
    finally:
        service.queue.free(1)
    request.state.lines = [made.line]
    return _json(made.row)


async def _score_batch(service: Service, reader: Reader, request: Request) -> Response:
    rows = reader.many(await _body(request, BODY_BATCH))
    service.scoring.refuse_future(rows)
    service.queue.reserve(len(rows))
    made: list[Answer] = []
    request.state.lines = []
    try:
        for start in range(0, len(rows), CHUNK):
            some = partial(_chunk, service.scoring, rows[start : start + CHUNK], made)
            await service.queue.done(some, patient=start > 0)
    finally:
        service.queue.free(len(rows))
        request.state.lines = [each.line for each in made]
    return _json([each.row for each in made])


async def _chunk(scoring: Scoring, rows: list[Record], made: list[Answer]) -> None:
    for each in rows:  # those before one that is refused are decided, and logged
        made.append(await scoring.answer(each))


async def _livez(_: Request) -> Response:
    return _json({"status": "alive"})


async def _readyz(service: Service, _: Request) -> Response:
    reasons = await service.unready()
    service.metrics.ready.set(not reasons)
    return _json({"status": "unready" if reasons else "ready", "reasons": reasons}, 503 if reasons else 200)


async def _metrics(service: Service, _: Request) -> Response:
    metrics, store = service.metrics, service.scoring.store
    metrics.waiting.set(service.queue.rows)
    if isinstance(store, Memory):
        metrics.forgotten.set(store.forgotten)
    return Response(metrics.text(), media_type="text/plain; version=0.0.4")


async def _model(service: Service, _: Request) -> Response:
    model = service.scoring.model
    said = None
    if model is not None:
        said = {
            "name": model.name, "version": model.version, "sha256": model.sha256, "features": model.features,
            "threshold": model.threshold, "loaded_at": model.loaded_at, "reasons": model.typical is not None,
        }  # fmt: skip
    limits = {
        "body_bytes": BODY, "batch_body_bytes": BODY_BATCH, "batch_payments": BATCH, "depth": DEPTH,
        "queue_payments": service.queue.limit, "wait_ms": service.queue.patience * 1000, "body_seconds": BODY_SECONDS,
    }  # fmt: skip
    return _json({"model": said, "refused": service.refused_model, "limits": limits})


async def _openapi(described: bytes, _: Request) -> Response:
    return Response(described, media_type=openapi.JSON)


async def _body(request: Request, limit: int) -> bytes:
    """The body, if it is declared as JSON and within the limit. Raises Refused."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.replace(" ", "").replace('"', "").lower()
    if kind.strip().lower() != openapi.JSON or charset not in ("", "charset=utf-8"):
        raise Refused(415, "the body must be application/json in UTF-8")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refused(415, "the body must not be compressed")
    too_large = Refused(413, f"the body must have at most {limit} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise too_large
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise Refused(408, "the body did not come in time") from None
    except ClientDisconnect:
        raise Refused(400, "the body ends too early") from None
    return body


def _json(said: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(said), status, media_type=openapi.JSON)


async def _refused(request: Request, refused: Refused) -> Response:
    return _problem(refused, request.scope)


async def _raised(request: Request, error: HTTPException) -> Response:
    """What Starlette refuses by itself: an unknown path, a method."""
    made = _problem(Refused(error.status_code, error.detail), request.scope)
    made.headers.update(error.headers or {})
    return made


async def _failed(request: Request, _: Exception) -> Response:
    return _problem(Refused(500, "an error of the service; its log has the id"), request.scope)


def _problem(refused: Refused, scope: Scope) -> Response:
    said = {
        "title": refused.title, "status": refused.status, "request_id": scope["state"]["request_id"],
        "violations": [asdict(each) for each in refused.violations],
    }  # fmt: skip
    made = Response(msgspec.json.encode(said), refused.status, media_type=openapi.PROBLEM)
    if refused.retry_after is not None:
        made.headers["retry-after"] = str(refused.retry_after)
    if refused.status in (408, 413):  # the rest of the body would be taken for the next request
        made.headers["connection"] = "close"
    return made


class Edge:
    """What surrounds every request: its id, its figures, its line of log, refusals, and what nobody foresaw."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        self._most = service.queue.limit * 4  # requests under way, most of whose bodies are still to come

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        scope["state"] = {"request_id": secrets.token_hex(8), "lines": []}
        answer = partial(self._send, scope, send, began)
        self._service.in_flight += 1
        try:
            crowded = self._service.in_flight > self._most and scope["path"] not in PROBES
            await (_problem(overloaded(), scope) if crowded else self._app)(scope, receive, answer)
        except Exception as error:  # it was answered by `_failed`
            self._log_unforeseen(error, scope)
        finally:
            self._service.in_flight -= 1

    async def _send(self, scope: Scope, send: Send, began: float, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message["headers"]
            headers.append((b"x-request-id", scope["state"]["request_id"].encode()))
            if self._service.draining and not any(name == b"connection" for name, _ in headers):
                headers.append((b"connection", b"close"))
            self._record(scope, message["status"], time.perf_counter() - began)
        await send(message)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        """The figures and the line of a request, whose answer is about to be sent."""
        path, state, metrics = scope["path"], scope["state"], self._service.metrics
        endpoint = path if path in KNOWN else "other"
        metrics.requests.labels(endpoint, status).inc()
        metrics.latency.labels(endpoint).observe(seconds)
        if path in PROBES:
            return
        said = {
            "request_id": state["request_id"], "endpoint": endpoint, "status": status,
            "latency_ms": round(seconds * 1000, 3),
        }  # fmt: skip
        write: Callable[..., None] = self._service.log.write
        if path == "/score" and state["lines"]:
            write("INFO", "decision", **said, **state["lines"][0])
            return
        for line in state["lines"]:
            write("INFO", "decision", request_id=state["request_id"], endpoint=endpoint, **line)
        write("INFO" if status < 500 else "WARNING", "request", **said)

    def _log_unforeseen(self, error: Exception, scope: Scope) -> None:
        # Where, but not what: the text may hold a value.
        places = [
            f"{PurePath(each.filename).name}:{each.lineno} {each.name}"
            for each in traceback.extract_tb(error.__traceback__)
        ]
        request_id = scope["state"]["request_id"]
        self._service.log.write("ERROR", "error", request_id=request_id, error=type(error).__name__, at=places[-5:])
