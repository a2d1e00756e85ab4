"""The model service as training sees it: one Tinker client, its base model and its tokenizer.

Knows whether the service is hosted or the local engine, and which names and paths go with it. Does
not know what is sampled or trained.
"""

import contextlib
import functools
import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.adapters import AdapterCard, base_model_sha256, checkpoint_path, portable
from training.errors import AdapterMissing, ConfigRefused, ServiceGone

if TYPE_CHECKING:
    import tinker

    from training.engine.settings import EngineSettings

log = logging.getLogger(__name__)
GONE_SECONDS = 180.0
"""How long an engine may be silent (being started again, say) before waiting ends."""


@dataclass
class Service:
    """A connected model service.

    Attributes:
        client: the Tinker service client.
        rest: the Tinker client for listings, exports and deletions.
        base_model: the name under which the service knows the base model.
        base_folder: the base model's folder; None where only the service has it.
        base_sha256: of the base model's weights (of its name, where the service is hosted).
        hosted: whether this is hosted Tinker.
        context: most tokens of prompt and completion together.
        check: called every few seconds while an answer is awaited; may raise to give up.
        settings: of the local engine; None where the service is hosted.
        address: where the local engine answered when it was connected.
    """

    client: "tinker.ServiceClient"
    rest: "tinker.RestClient"
    base_model: str
    base_folder: Path | None
    base_sha256: str
    hosted: bool
    context: int
    check: Callable[[], None] = lambda: None
    settings: "EngineSettings | None" = None
    address: str = ""
    _samplers: dict[str, Any] = field(default_factory=dict)

    @property
    def stored_base(self) -> str:
        """The base model as adapters name it."""
        return self.base_model if self.base_folder is None else portable(self.base_folder)

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The base model's tokenizer, with its chat template."""
        if self.base_folder is None:
            return self.sampler(None).get_tokenizer()
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(str(self.base_folder), local_files_only=True)

    def wait(self, future: Any) -> Any:
        """The result of a Tinker future, with a look at `check` every two seconds.

        Raises:
            ServiceGone: the local engine moved or is gone; the SDK itself would wait for ever.
        """
        silent_since: float | None = None
        while True:
            try:
                return future.result(timeout=2.0)
            except TimeoutError:
                if future.future().done():
                    raise
                self.check()
                silent_since = self._looked(silent_since)

    def resumed(self, path: str) -> "tinker.TrainingClient | None":
        """A client with the weights and the optimizer of a saved state; None where it is gone."""
        import tinker

        try:
            create = self.client.create_training_client_from_state_with_optimizer
            return self.wait(create(path))
        except (tinker.NotFoundError, tinker.RequestFailedError) as error:
            log.warning("the saved state %s is gone from the service (%s)", path, error)
            return None

    def forget(self, path: str | None) -> None:
        """Delete a saved state that is not needed any more; one that is gone already is fine."""
        import tinker

        if path is not None:
            with contextlib.suppress(tinker.TinkerError):
                self.wait(self.rest.delete_checkpoint_from_tinker_path(path))

    def _looked(self, silent_since: float | None) -> float | None:
        """Since when the local engine is silent, or None; raises where waiting is in vain."""
        if self.settings is None:
            return None
        from training.engine.connection import find

        told = find(self.settings)
        if told is not None and told["url"] != self.address:
            raise ServiceGone(f"the engine was started anew at {told['url']}")
        if told is not None:
            return None
        now = time.monotonic()
        if silent_since is not None and now - silent_since > GONE_SECONDS:
            raise ServiceGone(f"the engine at {self.address} is gone; start it again")
        return silent_since or now

    def sampler(self, model_path: str | None) -> "tinker.SamplingClient":
        """A client that samples from a checkpoint, or from the bare base model (None)."""
        key = model_path or ""
        if key not in self._samplers:
            self._samplers[key] = self.wait(
                self.client.create_sampling_client(model_path=model_path)
                if model_path
                else self.client.create_sampling_client(base_model=self.base_model)
            )
        return self._samplers[key]

    def paths(self, card: AdapterCard) -> tuple[str, str]:
        """The tinker:// paths of an adapter, to train on and to sample from.

        Raises:
            AdapterMissing: the hosted service never made this adapter; weights cannot be uploaded.
        """
        if not self.hosted:
            path = checkpoint_path(card.persona or "", card.id)
            return path, path
        known: Mapping[str, str] = card.service
        if "state" not in known or "sampler" not in known:
            raise AdapterMissing(
                f"{card.id} was not trained on hosted Tinker, and weights cannot be uploaded to "
                "it; train it there with `personaloop sft`"
            )
        return known["state"], known["sampler"]

    def eos(self) -> int:
        """The token id that ends a completion."""
        token = self.tokenizer.eos_token_id
        if not isinstance(token, int):
            raise ConfigRefused(f"{self.base_model}: its tokenizer has no end token")
        return token


def open_service(settings: "EngineSettings | None" = None) -> Service:
    """Connect to hosted Tinker (``TINKER_API_KEY``) or to the local engine, started if needed.

    Hosted Tinker is asked for the model named in ``PERSONALOOP_HOSTED_MODEL``.

    Args:
        settings: of the local engine; None for the defaults.

    Raises:
        ConfigRefused: hosted Tinker without a model name.
        ServiceGone: hosted Tinker refuses the key or does not answer.
    """
    from training.engine.connection import connect, find_or_start
    from training.engine.settings import EngineSettings, base_model_name, prepare_process

    prepare_process()
    settings = settings or EngineSettings()
    if os.environ.get("TINKER_API_KEY"):
        name = os.environ.get("PERSONALOOP_HOSTED_MODEL", "")
        if not name:
            raise ConfigRefused(
                "TINKER_API_KEY is set, so hosted Tinker is used: name its base model in "
                "PERSONALOOP_HOSTED_MODEL, or unset the key to use the local engine"
            )
        import tinker

        sha256 = hashlib.sha256(f"hosted:{name}".encode()).hexdigest()
        try:
            client, rest = connect(settings), tinker.RestClient()
            return Service(client, rest, name, None, sha256, True, _context(rest, name))
        except tinker.TinkerError as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())
            raise ServiceGone(f"hosted Tinker does not let us in: {told}") from error
    client, told = connect(settings), find_or_start(settings)
    import tinker

    rest = tinker.RestClient(base_url=told["url"], api_key=told["key"])
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
        address=told["url"],
    )


def _context(rest: "tinker.RestClient", name: str) -> int:
    """The model's longest sequence in tokens, as the service says."""
    for model in rest.get_server_capabilities().result().supported_models:
        if model.model_name == name and getattr(model, "max_context_length", None):
            return int(model.max_context_length)  # type: ignore[arg-type]
    return 2048
