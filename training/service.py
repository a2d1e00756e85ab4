"""The model service as training sees it: one Tinker client, its base model and its tokenizer.

Knows whether the service is hosted or the local engine, and which names and paths go with it. Does
not know what is sampled or trained.
"""

import contextlib
import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training import hosted
from training.adapters import AdapterCard, checkpoint_path, portable
from training.errors import AdapterMissing, CheckpointGone, ConfigRefused, ServiceGone
from training.hosted import HostedConfig
from training.rendering import ChatTemplate, CookbookRenderer, Rendering
from training.waiting import Watch

if TYPE_CHECKING:
    import tinker

    from training.engine.settings import EngineSettings

log = logging.getLogger(__name__)


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
        address: where the service answered when it was connected.
        terms: how hosted Tinker is used; None for the local engine.
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
    terms: HostedConfig | None = None
    _samplers: dict[str, Any] = field(default_factory=dict)

    @property
    def stored_base(self) -> str:
        """The base model as adapters name it."""
        return self.base_model if self.base_folder is None else portable(self.base_folder)

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The base model's tokenizer."""
        if self.base_folder is None:
            return hosted_tokenizer(self.base_model)
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(str(self.base_folder), local_files_only=True)

    @functools.cached_property
    def rendering(self) -> Rendering:
        """How conversations become tokens: the chat template, or the cookbook's renderer."""
        if self.terms is None:
            return ChatTemplate(self.tokenizer, self.eos())
        return CookbookRenderer(self.tokenizer, self.base_model, self.terms.renderer)

    def wait(self, future: Any) -> Any:
        """The result of a Tinker future, with a look at `check` every two seconds.

        Raises:
            ServiceGone: the service moved, is gone, or left the request unanswered for longer than
                the configuration says; the SDK itself would wait for ever.
            ServiceRefused: hosted Tinker takes neither key nor payment.
        """
        import tinker

        watch = Watch(self)
        while True:
            try:
                return future.result(timeout=watch.pause)
            except TimeoutError:
                if future.future().done():
                    raise
                self.check()
                watch.look()
            except tinker.TinkerError as error:
                if not self.hosted:
                    raise
                better = hosted.translated(error)
                if better is error:
                    raise
                raise better from error

    def resumed(self, path: str) -> "tinker.TrainingClient | None":
        """A client with the weights and the optimizer of a saved state; None where it is gone.

        Raises:
            ServiceGone: the service failed at loading it; it may well be there.
        """
        create = self.client.create_training_client_from_state_with_optimizer
        try:
            client = self._loaded(create, path)
        except CheckpointGone as error:
            log.warning("%s", error)
            return None
        self.keep_for_now(path)
        return client

    def started_from(self, path: str) -> "tinker.TrainingClient":
        """A client with a state's weights and a fresh optimizer.

        Raises:
            CheckpointGone: the service no longer keeps it.
        """
        return self._loaded(self.client.create_training_client_from_state, path)

    def _loaded(self, create: Callable[[str], Any], path: str) -> "tinker.TrainingClient":
        import tinker

        try:
            return self.wait(create(path))
        except tinker.NotFoundError as error:
            raise _gone(path, error) from error
        except tinker.RequestFailedError as error:
            if str(getattr(error.category, "value", error.category)) == "server":
                raise ServiceGone(
                    f"the service failed to load {path}: {hosted.said(error)}"
                ) from error
            raise _gone(path, error) from error

    def forget(self, path: str | None) -> None:
        """Delete a saved state that is not needed any more; one that is gone already is fine."""
        import tinker

        if path is not None:
            with contextlib.suppress(tinker.TinkerError):
                self.wait(self.rest.delete_checkpoint_from_tinker_path(path))

    @property
    def checkpoint_seconds(self) -> int | None:
        """Lifetime of a running run's saved states; the local engine keeps them until deleted."""
        return None if self.terms is None else self.terms.checkpoint_seconds

    def keep_for_now(self, path: str) -> None:
        """Let a state live as long from now as a running run's states do."""
        if self.hosted:
            self.keep(path, self.checkpoint_seconds)

    def keep(self, path: str, seconds: int | None) -> None:
        """Set a hosted state's lifetime.

        Args:
            path: of the state.
            seconds: from now; None is for ever.

        Raises:
            CheckpointGone: the service no longer keeps it.
        """
        import tinker

        try:
            self.wait(self.rest.set_checkpoint_ttl_from_tinker_path(path, seconds))
        except tinker.NotFoundError as error:
            raise CheckpointGone(
                f"the service no longer keeps {path} ({hosted.said(error)})"
            ) from error

    def sampler(self, model_path: str | None) -> "tinker.SamplingClient":
        """A client that samples from a checkpoint, or from the bare base model (None)."""
        key = model_path or ""
        if key not in self._samplers:
            self._samplers[key] = self._sampling(model_path)
        return self._samplers[key]

    def _sampling(self, model_path: str | None) -> "tinker.SamplingClient":
        import tinker

        create = self.client.create_sampling_client
        if model_path is None:
            return self.wait(create(base_model=self.base_model))
        try:
            return self.wait(create(model_path=model_path))
        except tinker.NotFoundError as error:
            raise _gone(model_path, error) from error

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


def _gone(path: str, error: Exception) -> CheckpointGone:
    return CheckpointGone(
        f"the service no longer keeps {path}: it expired or was deleted ({hosted.said(error)})"
    )


def hosted_tokenizer(model: str) -> Any:
    """The tokenizer of a hosted base model, by tinker-cookbook's knowledge of names."""
    from training.rendering import cookbook

    return cookbook("tokenizer_utils").get_tokenizer(model)


def open_service(settings: "EngineSettings | None" = None) -> Service:
    """Connect to hosted Tinker (``TINKER_API_KEY``) or to the local engine, started if needed.

    Hosted Tinker is used as configs/hosted.yaml says; ``PERSONALOOP_HOSTED_MODEL`` names its model.

    Args:
        settings: of the local engine; None for the defaults.

    Raises:
        ConfigRefused: hosted Tinker without a model name, with one that it does not serve, or
            without tinker-cookbook.
        ServiceRefused: hosted Tinker refuses the key.
        ServiceGone: hosted Tinker does not answer.
    """
    from training.opening import hosted_service, local_service

    return hosted_service() if hosted.wanted() else local_service(settings)
