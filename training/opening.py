"""Opening a model service: hosted Tinker behind its door, or the local engine.

Knows which clients are made and what is asked before anything else. What is refused here is refused
before a run begins. Does not know what the service is used for.
"""

import os
from typing import TYPE_CHECKING, Any

from training import hosted
from training.adapters import base_model_sha256
from training.errors import ConfigRefused
from training.service import Service
from training.waiting import InThread

if TYPE_CHECKING:
    import tinker

    from training.engine.settings import EngineSettings

UNOPENED: Any = None
"""In the place of a client that is about to be opened."""


def hosted_service() -> Service:
    """Hosted Tinker, as configs/hosted.yaml and the environment say."""
    terms = hosted.hosted_config()
    if not terms.model:
        raise ConfigRefused(
            "TINKER_API_KEY is set, so hosted Tinker is used: name its base model in "
            "PERSONALOOP_HOSTED_MODEL, or unset the key to use the local engine"
        )
    from training.engine.connection import connect
    from training.engine.settings import prepare_process
    from training.rendering import check_renderer

    # The tokenizers of hosted models are not on this machine.
    os.environ.setdefault("HF_HUB_OFFLINE", "0")
    prepare_process()
    check_renderer(terms.model, terms.renderer)
    url = hosted.address()
    hosted.knock(url, terms)
    import tinker

    made = Service(
        connect(),
        UNOPENED,
        terms.model,
        None,
        hosted.name_sha256(terms.model),
        True,
        0,
        address=url,
        terms=terms,
    )
    # Named in full: all that leave them to the environment share one client of the SDK.
    key = os.environ[hosted.KEY_VARIABLE]
    made.rest = made.wait(InThread(lambda: tinker.RestClient(base_url=url, api_key=key)))
    made.wait(InThread(lambda: made.client.holder))
    answer = made.wait(made.rest.get_server_capabilities())
    length = hosted.check_model(answer, terms.model)
    if not terms.context and not length:
        raise ConfigRefused(
            f"hosted Tinker does not say how long a sequence of {terms.model} may be; say it as "
            "context in configs/hosted.yaml"
        )
    made.context = min(terms.context or length or 0, length or terms.context)
    return made


def local_service(settings: "EngineSettings | None") -> Service:
    """The local engine, started where none runs."""
    from training.engine.connection import connect, find_or_start
    from training.engine.settings import EngineSettings, base_model_name, prepare_process

    prepare_process()
    settings = settings or EngineSettings()
    client, found = connect(settings), find_or_start(settings)
    import tinker

    rest = tinker.RestClient(base_url=found["url"], api_key=found["key"])
    name = base_model_name(settings.base_model)
    sha256 = base_model_sha256(settings.base_model)
    return Service(
        client,
        rest,
        name,
        settings.base_model,
        sha256,
        False,
        _context(rest, name),
        settings=settings,
        address=found["url"],
    )


def _context(rest: "tinker.RestClient", name: str) -> int:
    """The model's longest sequence in tokens, as the service says."""
    for model in rest.get_server_capabilities().result().supported_models:
        if model.model_name == name and getattr(model, "max_context_length", None):
            return int(model.max_context_length)  # type: ignore[arg-type]
    return 2048
