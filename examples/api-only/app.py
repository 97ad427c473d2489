"""A small service: how long a payment may be held, by its amount."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


async def ready(request: Request) -> Response:
    return Response(status_code=204)


async def quote(request: Request) -> JSONResponse:
    amount = float(request.query_params.get("amount", "10"))
    return JSONResponse({"hold_minutes": 0 if amount < 1_000 else 30})


app = Starlette(routes=[Route("/healthz", ready), Route("/quote", quote)])
