"""The web application: routes, the key, limits, and errors as JSON. No torch."""

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from training.engine.errors import Busy, EngineError
from training.engine.protocol import listings, routes
from training.engine.protocol.listings import Downloads
from training.engine.protocol.requests import Requests

logger = logging.getLogger(__name__)
OPEN_PATHS = ("/healthz", "/api/v1/healthz")
SWEEP_EVERY_S = 30.0


async def healthz(_: Request) -> Response:
    """Readiness and nothing else, for anyone."""
    return JSONResponse({"status": "ok"})


class Gate:
    """Before routing: the key is compared, the body is read and bounded."""

    def __init__(self, app: ASGIApp, key: str, max_body_bytes: int, max_reading_bytes: int):
        self._app = app
        self._key = key.encode()
        self._limit = max_body_bytes
        self._most = max_reading_bytes
        self._reading = 0
        self.last_request = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on with ``scope["body"]`` set."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if path not in OPEN_PATHS and not path.startswith("/download/"):
            headers = dict(scope["headers"])
            if not hmac.compare_digest(headers.get(b"x-api-key", b""), self._key):
                detail = "the X-API-Key header is missing or wrong for this engine"
                await JSONResponse({"detail": detail}, 401)(scope, receive, send)
                return
            self.last_request = time.monotonic()
            await self._bounded(headers, scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _bounded(
        self, headers: dict[bytes, bytes], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Read the body and hand on; refuse one that is too large or, for now, one too many."""
        length = headers.get(b"content-length", b"")
        claimed = int(length) if length.isdigit() else 0
        large = f"the body is larger than {self._limit} bytes"
        if claimed > self._limit:
            await JSONResponse({"detail": large}, 413)(scope, receive, send)
            return
        if self._reading and self._reading + claimed > self._most:
            busy = _busy("too many large bodies are being sent at once; ask again")
            await busy(scope, receive, send)
            return
        self._reading += claimed
        try:
            try:
                body = await self._read(receive)
            except ClientDisconnect:
                return  # what came is a part only, and nobody hears the answer
            if body is None:
                await JSONResponse({"detail": large}, 413)(scope, receive, send)
                return
            scope["body"] = body
            await self._app(scope, receive, send)
        finally:
            self._reading -= claimed

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body, None when it is too large.

        Raises:
            ClientDisconnect: it broke off. A part of a training request may well read as a whole
                one with fewer sequences, so it must not be taken.
        """
        parts: list[bytes] = []
        size = 0
        while True:
            message: Message = await receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._limit:
                return None
            if not message.get("more_body"):
                return b"".join(parts)


def _busy(detail: str) -> JSONResponse:
    """429: the SDK waits a second and asks again."""
    return JSONResponse({"detail": detail}, 429, {"Retry-After": "1"})


async def _engine_error(_: Request, error: Exception) -> Response:
    if isinstance(error, Busy):
        return _busy(str(error))
    status = getattr(error, "status", 500)
    return JSONResponse({"detail": str(error) or type(error).__name__}, status_code=status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = f"{request.method} {request.url.path}: {error.detail}"
    if error.status_code == 404:
        detail += (
            "; this engine trains, samples and keeps checkpoints, and has no accounts, billing, "
            "projects or traces"
        )
    return JSONResponse({"detail": detail}, status_code=error.status_code)


async def _surprise(_: Request, error: Exception) -> Response:
    """A bug: 500 would be repeated for five minutes, so it is told as a bad request.

    Starlette raises the error again once this reply is sent, and the server logs it.
    """
    detail = f"the engine failed on this request ({type(error).__name__}: {error}); see its log"
    return JSONResponse({"detail": detail}, status_code=400)


def build(requests: Requests, key: str) -> tuple[ASGIApp, Gate]:
    """The application and its gate (which knows when the last request came)."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        requests.futures.bind()
        requests.later = asyncio.get_running_loop().call_later
        sweeper = asyncio.create_task(_sweep(requests))
        yield
        sweeper.cancel()

    app = Starlette(
        routes=[*routes.routes(), *listings.routes(), *(Route(p, healthz) for p in OPEN_PATHS)],
        lifespan=lifespan,
        exception_handlers={
            EngineError: _engine_error,
            HTTPException: _http_error,
            Exception: _surprise,
        },
    )
    app.state.requests = requests
    app.state.downloads = Downloads(key)
    settings = requests.settings
    gate = Gate(app, key, settings.max_body_bytes, settings.limits.reading_bytes)
    return gate, gate


async def _sweep(requests: Requests) -> None:
    while True:
        await asyncio.sleep(SWEEP_EVERY_S)
        try:
            requests.sweep()
        except Exception:
            logger.exception("housekeeping failed")
