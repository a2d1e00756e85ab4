"""Paths to requests: sessions, training, sampling. Thin: reads bodies, calls, writes replies."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from training.engine.errors import BadRequest, Gone
from training.engine.protocol.fields import Fields
from training.engine.protocol.requests import Requests
from training.engine.protocol.wire import decode_forward_backward

POLL_S = 25.0
Handler = Callable[[Request], Awaitable[Response]]


def body_of(request: Request) -> bytes:
    """The request's body, which the application read and bounded before routing."""
    return request.scope["body"]


def fields_of(request: Request) -> Fields:
    """The request's JSON object."""
    return Fields.parse(body_of(request))


def requests_of(request: Request) -> Requests:
    """The engine's requests."""
    return request.app.state.requests


def _plain(name: str) -> Handler:
    """A handler for a request that only needs its JSON."""

    async def handle(request: Request) -> Response:
        return JSONResponse(getattr(requests_of(request), name)(fields_of(request)))

    return handle


async def client_config(_: Request) -> Response:
    """Flags: requests in order, no compression, plain httpx."""
    return JSONResponse(
        {
            "pjwt_auth_enabled": False,
            "parallel_fwdbwd_chunks": False,
            "proto_compress_fwdbwd": False,
            "use_pyqwest_transport": True,
            "sample_use_retrieve_futures": False,
            "sample_max_concurrent_requests": 512,
            "custom_loss_server_side": False,
            "sample_join_sampling_session": True,
        }
    )


async def dynamic_config(_: Request) -> Response:
    """Flags that the client asks for now and then."""
    return JSONResponse(
        {
            "refresh_interval_sec": 3600,
            "sample_cancel_enabled": True,
            "sample_cancel_max_batch_size": 64,
        }
    )


async def telemetry(_: Request) -> Response:
    """Accepted and thrown away: nothing of it is stored or sent anywhere."""
    return JSONResponse({"status": "accepted"})


async def capabilities(request: Request) -> Response:
    """The one model that is served."""
    facts = requests_of(request).facts
    return JSONResponse(
        {
            "supported_models": [
                {
                    "model_name": facts.name,
                    "max_context_length": facts.context_length,
                    "trainable": True,
                    "sampleable": True,
                }
            ]
        }
    )


async def create_session(request: Request) -> Response:
    """Open a session."""
    body = fields_of(request)
    session = requests_of(request).registry.new_session(
        body.strings("user_metadata"), body.text("display_name", None)
    )
    return JSONResponse({"type": "create_session", "session_id": session.session_id})


async def heartbeat(request: Request) -> Response:
    """Keep a session's models in memory; 410 ends the client's loop for a finished session."""
    registry = requests_of(request).registry
    session_id = fields_of(request).text("session_id")
    known = registry.sessions.records.get(session_id)
    if known is not None and known.finished:
        raise Gone(f"session {session_id} is finished; open a new ServiceClient")
    registry.session(session_id)
    return JSONResponse({"type": "session_heartbeat"})


async def finish_session(request: Request) -> Response:
    """Free a session's models and samplers."""
    requests_of(request).finish_session(request.path_params["session_id"])
    return Response(status_code=204)


async def get_info(request: Request) -> Response:
    """A training model's base, rank and tokenizer."""
    return JSONResponse(requests_of(request).info(fields_of(request).text("model_id")))


async def forward_backward(request: Request) -> Response:
    """Queue a forward or forward and backward pass (protobuf)."""
    if request.headers.get("content-encoding"):
        raise BadRequest("compressed bodies are not supported (proto_compress_fwdbwd is off)")
    message = await asyncio.to_thread(decode_forward_backward, body_of(request))
    return JSONResponse(requests_of(request).forward_backward(message))


async def save_weights(request: Request) -> Response:
    """Queue a checkpoint with optimizer state."""
    return JSONResponse(requests_of(request).save(fields_of(request), "weights", "save_weights"))


async def save_for_sampler(request: Request) -> Response:
    """Queue sampler weights: named ones, or a private snapshot with a sampling session."""
    body = fields_of(request)
    if body.has("sampling_session_seq_id") and not body.has("path"):
        return JSONResponse(requests_of(request).save_snapshot(body))
    return JSONResponse(
        requests_of(request).save(body, "sampler_weights", "save_weights_for_sampler")
    )


async def save_external(request: Request) -> Response:
    """Queue an export in PEFT's format."""
    return JSONResponse(
        requests_of(request).save(fields_of(request), "external_weights", "save_weights_external")
    )


async def retrieve_future(request: Request) -> Response:
    """Hold until the result is there; 408 makes the client ask again without a word."""
    request_id = fields_of(request).text("request_id")
    reply = await requests_of(request).futures.fetch(request_id, POLL_S)
    if reply is None:
        state, reason = requests_of(request).queue_state(request_id)
        told = {"detail": "still running", "queue_state": state, "queue_state_reason": reason}
        return JSONResponse(told, status_code=408)
    return Response(reply.body, media_type=reply.content_type)


async def cancel_future(request: Request) -> Response:
    """Stop a sampling request whose client gave up."""
    requests_of(request).cancel(fields_of(request).text("request_id"))
    return JSONResponse({"status": "accepted"})


async def join_sampler(request: Request) -> Response:
    """Give another client of a sampling session its own number."""
    registry = requests_of(request).registry
    sampler = registry.sampler(fields_of(request).text("sampling_session_id"))
    sampler.clones += 1
    registry.samplers.put(sampler)
    return JSONResponse({"type": "join_sampling_session", "client_counter": sampler.clones})


async def get_sampler(request: Request) -> Response:
    """A sampling session's base and path."""
    sampler = requests_of(request).registry.sampler(request.path_params["sampler_id"])
    value: dict[str, Any] = {"sampler_id": sampler.sampler_id, "base_model": sampler.base_model}
    if sampler.model_path:
        value["model_path"] = sampler.model_path
    return JSONResponse(value)


def routes() -> list[Route]:
    """All paths under /api/v1 but the listings."""
    # The busiest first: routes are tried in order.
    posts: dict[str, Handler] = {
        "retrieve_future": retrieve_future,
        "asample": _plain("sample"),
        "forward_backward": forward_backward,
        "optim_step": _plain("optim_step"),
        "client/config": client_config,
        "client/dynamic_config": dynamic_config,
        "telemetry": telemetry,
        "create_session": create_session,
        "session_heartbeat": heartbeat,
        "sessions/{session_id}/finish": finish_session,
        "create_model": _plain("create_model"),
        "load_weights": _plain("load_weights"),
        "get_info": get_info,
        "save_weights": save_weights,
        "save_weights_for_sampler": save_for_sampler,
        "save_weights_external": save_external,
        "cancel_future": cancel_future,
        "create_sampling_session": _plain("create_sampler"),
        "join_sampling_session": join_sampler,
    }
    gets: dict[str, Handler] = {
        "get_server_capabilities": capabilities,
        "samplers/{sampler_id}": get_sampler,
    }
    return [
        *(Route(f"/api/v1/{path}", handler, methods=["POST"]) for path, handler in posts.items()),
        *(Route(f"/api/v1/{path}", handler, methods=["GET"]) for path, handler in gets.items()),
    ]
