"""Checkpoints, runs and sessions as lists, their housekeeping, and downloads by signed address."""

import hashlib
import hmac
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from training.engine.errors import BadRequest, EngineError, NotFound
from training.engine.protocol.checkpoint import ADAPTER_PREFIX, Checkpoint
from training.engine.protocol.files import now
from training.engine.protocol.registry import Run
from training.engine.protocol.requests import Requests
from training.engine.protocol.routes import fields_of, requests_of

DOWNLOAD_TTL = timedelta(hours=1)
DOWNLOADABLE = ("adapter_config.json", "adapter_model.safetensors", "adapter.json")


def _page(request: Request, items: list[Any]) -> tuple[list[Any], dict[str, int]]:
    try:
        limit = int(request.query_params.get("limit", 100))
        offset = int(request.query_params.get("offset", 0))
    except ValueError as error:
        raise BadRequest("limit and offset must be integers") from error
    if not (0 < limit <= 10_000 and offset >= 0):
        raise BadRequest("limit must be from 1 to 10000 and offset 0 or more")
    return items[offset : offset + limit], {
        "offset": offset,
        "limit": limit,
        "total_count": len(items),
    }


async def all_checkpoints(request: Request) -> Response:
    """Every checkpoint, newest first."""
    page, cursor = _page(request, requests_of(request).store.listing())
    return JSONResponse({"checkpoints": [c.wire() for c in page], "cursor": cursor})


async def run_checkpoints(request: Request) -> Response:
    """One run's checkpoints."""
    run = request.path_params["run"]
    found = requests_of(request).store.listing(run)
    if not found and not run.startswith(ADAPTER_PREFIX):
        requests_of(request).registry.run(run)
    return JSONResponse({"checkpoints": [c.wire() for c in found]})


def _run_wire(run: Run, checkpoints: list[Checkpoint]) -> dict[str, Any]:
    def last(kind: str) -> dict[str, Any] | None:
        return next((c.wire() for c in checkpoints if c.kind == kind), None)

    return {
        "training_run_id": run.model_id,
        "base_model": run.facts["base_model"],
        "model_owner": "local",
        "is_lora": True,
        "corrupted": False,
        "lora_rank": run.facts.get("rank"),
        "last_request_time": run.last_request,
        "last_checkpoint": last("weights"),
        "last_sampler_checkpoint": last("sampler_weights"),
        "user_metadata": run.facts.get("run_metadata"),
    }


async def all_runs(request: Request) -> Response:
    """Every training run, newest first."""
    requests = requests_of(request)
    runs = sorted(requests.registry.runs.records.values(), key=lambda r: r.created, reverse=True)
    page, cursor = _page(request, runs)
    rows = [_run_wire(run, requests.store.listing(run.model_id)) for run in page]
    return JSONResponse({"training_runs": rows, "cursor": cursor})


async def one_run(request: Request) -> Response:
    """A training run; an adapter's persona counts as one."""
    requests, name = requests_of(request), request.path_params["run"]
    if name.startswith(ADAPTER_PREFIX):
        found = requests.store.listing(name)
        if not found:
            raise NotFound(f"no training run {name} here")
        time = found[0].created.isoformat()
        return JSONResponse(_run_wire(Run(name, "", time, dict(found[0].facts), time), found))
    return JSONResponse(_run_wire(requests.registry.run(name), requests.store.listing(name)))


def _path(request: Request) -> str:
    parts = request.path_params
    return f"tinker://{parts['run']}/{parts['kind']}/{parts['name']}"


async def delete_checkpoint(request: Request) -> Response:
    """Remove a checkpoint from the disk."""
    requests_of(request).delete_checkpoint(_path(request))
    return Response(status_code=204)


async def set_ttl(request: Request) -> Response:
    """Let a checkpoint expire, or never."""
    ttl = fields_of(request).integer("ttl_seconds", None, low=1, high=10 * 366 * 86400)
    requests_of(request).store.set_ttl(_path(request), ttl)
    return Response(status_code=204)


async def publish(request: Request) -> Response:
    """Mark as public (POST) or not (DELETE)."""
    requests_of(request).store.set_public(_path(request), request.method == "POST")
    return Response(status_code=204)


async def weights_info(request: Request) -> Response:
    """Base model and LoRA settings of a checkpoint."""
    requests = requests_of(request)
    checkpoint = requests.store.get(fields_of(request).text("tinker_path"))
    return JSONResponse(dict(requests.facts_of(checkpoint)))


async def all_sessions(request: Request) -> Response:
    """Every session's id, newest first."""
    records = requests_of(request).registry.sessions.records.values()
    page, _ = _page(request, sorted(records, key=lambda s: s.created, reverse=True))
    return JSONResponse({"sessions": [s.session_id for s in page]})


async def one_session(request: Request) -> Response:
    """What a session made."""
    registry = requests_of(request).registry
    session = registry.sessions.records.get(request.path_params["session_id"])
    if session is None:
        raise NotFound(f"no session {request.path_params['session_id']} here")
    runs, samplers = registry.of_session(session.session_id)
    return JSONResponse(
        {
            "training_run_ids": [r.model_id for r in runs],
            "sampler_ids": [s.sampler_id for s in samplers],
            "user_metadata": session.user_metadata,
            "display_name": session.display_name,
        }
    )


# Downloads: fetched without the API key, so the address itself is the permission.


class Downloads:
    """Signed addresses, each good for an hour and for the very weights that it was made for.

    Nothing is remembered: an address outlives the engine as long as its key stays the same.
    """

    def __init__(self, key: str):
        self._key = hashlib.sha256(b"download " + key.encode()).digest()

    def token(self, checkpoint: Checkpoint, expires: int) -> str:
        """The signature of a checkpoint's address, good until a time (seconds, UTC)."""
        said = f"{expires} {checkpoint.path} {checkpoint.key}"
        signature = hmac.new(self._key, said.encode(), hashlib.sha256).hexdigest()
        return f"{expires}-{signature}"

    def is_good(self, checkpoint: Checkpoint, token: str) -> bool:
        """Whether an address was signed here for these weights and is not past its time."""
        expires = token.partition("-")[0]
        if not (expires.isdigit() and len(expires) < 16 and int(expires) > now().timestamp()):
            return False
        wanted = self.token(checkpoint, int(expires))
        return hmac.compare_digest(wanted.encode(), token.encode())


async def download_urls(request: Request) -> Response:
    """Signed addresses of an export's files (also of an adapter folder's)."""
    requests: Requests = requests_of(request)
    checkpoint = requests.store.get(_path(request))
    if checkpoint.kind != "external_weights" and not checkpoint.read_only:
        raise BadRequest(f"{checkpoint.path} is no export; save it with save_weights_external")
    downloads: Downloads = request.app.state.downloads
    expires = now() + DOWNLOAD_TTL
    token = downloads.token(checkpoint, int(expires.timestamp()))
    base = str(request.base_url).rstrip("/")
    place = quote(checkpoint.path.removeprefix("tinker://"), safe="/")
    names = [n for n in DOWNLOADABLE if (checkpoint.folder / n).is_file()]
    urls = {name: f"{base}/download/{place}/{token}/{name}" for name in names}
    return JSONResponse({"urls": urls, "expires": expires.isoformat()})


async def download(request: Request) -> Response:
    """A file by its signed address."""
    downloads: Downloads = request.app.state.downloads
    parts = request.path_params
    try:
        checkpoint = requests_of(request).store.get(_path(request))
    except EngineError:
        checkpoint = None
    if checkpoint is not None and downloads.is_good(checkpoint, parts["token"]):
        file = checkpoint.folder / parts["file"]
        if parts["file"] in DOWNLOADABLE and file.is_file():
            return FileResponse(file)
    raise NotFound("this download address is wrong or has expired; ask for a new one")


def routes() -> list[Route]:
    """All listing and download paths."""
    one = "/api/v1/training_runs/{run}/checkpoints/{kind}/{name}"
    return [
        Route("/api/v1/checkpoints", all_checkpoints),
        Route("/api/v1/training_runs", all_runs),
        Route("/api/v1/training_runs/{run}", one_run),
        Route("/api/v1/training_runs/{run}/checkpoints", run_checkpoints),
        Route(one, delete_checkpoint, methods=["DELETE"]),
        Route(f"{one}/ttl", set_ttl, methods=["PUT"]),
        Route(f"{one}/publish", publish, methods=["POST", "DELETE"]),
        Route(f"{one}/external_weights_urls", download_urls),
        Route("/api/v1/weights_info", weights_info, methods=["POST"]),
        Route("/api/v1/sessions", all_sessions),
        Route("/api/v1/sessions/{session_id}", one_session),
        Route("/download/{run}/{kind}/{name}/{token}/{file}", download),
    ]
