"""Hosted Tinker as a place to train: its settings, its door, and what it does otherwise.

Knows the configuration (configs/hosted.yaml), whether the service answers, which models it serves
and which wishes it cannot meet. Does not know runs, adapters or the ledger. tinker is imported only
inside functions.
"""

import hashlib
import logging
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from training.configs import CONFIGS, in_range, load_config
from training.errors import ConfigRefused, ServiceGone, ServiceRefused

if TYPE_CHECKING:
    import tinker

log = logging.getLogger(__name__)
KEY_VARIABLE = "TINKER_API_KEY"
MODEL_VARIABLE = "PERSONALOOP_HOSTED_MODEL"
RENDERER_VARIABLE = "PERSONALOOP_HOSTED_RENDERER"
DAY_SECONDS = 86_400
SHORTEST_LIFETIME = 3_600
"""Seconds; the service takes no shorter lifetime of a checkpoint."""
ASK_SECONDS = 5.0


@dataclass(frozen=True)
class HostedConfig:
    """How hosted Tinker is used.

    Attributes:
        model: name of its base model, such as ``Qwen/Qwen3-8B``; ``PERSONALOOP_HOSTED_MODEL`` goes
            before it.
        renderer: tinker-cookbook's name of the chat format; empty is the one that it recommends
            for the model. ``PERSONALOOP_HOSTED_RENDERER`` goes before it.
        context: most tokens of prompt and completion together; 0 is what the service says.
        silent_minutes: how long a service that cannot be reached is waited for.
        answer_minutes: how long one request that was taken may go unanswered.
        look_seconds: between two looks whether the service is still there, while waiting.
        checkpoint_days: lifetime of the saved states of a running run.
        superseded_days: lifetime of the states of an adapter that nothing relies on, such as one in
            whose place another answers.
    """

    model: str = ""
    renderer: str = ""
    context: int = 0
    silent_minutes: float = 15.0
    answer_minutes: float = 180.0
    look_seconds: float = 15.0
    checkpoint_days: float = 7.0
    superseded_days: float = 30.0

    def __post_init__(self) -> None:
        """Refuse values out of range, by name."""
        in_range(self, "context", 0)
        for name in ("silent_minutes", "answer_minutes", "look_seconds"):
            in_range(self, name, 0.001)
        for name in ("checkpoint_days", "superseded_days"):
            in_range(self, name, SHORTEST_LIFETIME / DAY_SECONDS, 3650.0)

    @property
    def checkpoint_seconds(self) -> int:
        """Lifetime of a running run's saved states."""
        return int(self.checkpoint_days * DAY_SECONDS)

    @property
    def superseded_seconds(self) -> int:
        """Lifetime of what another adapter has replaced."""
        return int(self.superseded_days * DAY_SECONDS)


def hosted_config() -> HostedConfig:
    """configs/hosted.yaml, with what the environment says before it."""
    told = {"model": os.environ.get(MODEL_VARIABLE), "renderer": os.environ.get(RENDERER_VARIABLE)}
    given = {name: value for name, value in told.items() if value}
    return load_config(HostedConfig, CONFIGS / "hosted.yaml", given)


def wanted() -> bool:
    """Whether hosted Tinker is asked for."""
    return bool(os.environ.get(KEY_VARIABLE))


def address() -> str:
    """Where hosted Tinker is: ``TINKER_BASE_URL``, else the SDK's default."""
    from tinker.lib.base_url import resolve_base_url

    return resolve_base_url()


def name_sha256(model: str) -> str:
    """Stands for the weights of a base model that only the service has."""
    return hashlib.sha256(f"hosted:{model}".encode()).hexdigest()


def answers(url: str) -> bool:
    """Whether the service is there; one that asks for patience (429) is."""
    try:
        answer = httpx.get(f"{url}/api/v1/healthz", timeout=ASK_SECONDS, follow_redirects=True)
    except httpx.HTTPError:
        return False
    return answer.status_code < 500


def knock(url: str, config: HostedConfig) -> None:
    """Wait until the service answers; the SDK itself would wait for minutes and say nothing.

    Raises:
        ServiceGone: it did not within ``silent_minutes``.
    """
    began = time.monotonic()
    limit = min(config.silent_minutes * 60, 60.0)
    while not answers(url):
        if time.monotonic() - began > limit:
            raise ServiceGone(
                f"hosted Tinker at {url} does not answer; look at the network and TINKER_BASE_URL, "
                "or unset TINKER_API_KEY to use the local engine"
            )
        time.sleep(min(1.0, limit / 4))


def check_model(capabilities: Any, model: str) -> int | None:
    """The model's longest sequence in tokens as the service says, None where it does not.

    Raises:
        ConfigRefused: the service does not serve the model, or only for sampling.
    """
    known = {one.model_name: one for one in capabilities.supported_models if one.model_name}
    if model not in known:
        raise ConfigRefused(
            f"hosted Tinker serves no {model!r}; name one of its models in {MODEL_VARIABLE}: "
            f"{', '.join(sorted(known)) or 'it lists none'}"
        )
    if known[model].trainable is False:
        raise ConfigRefused(f"hosted Tinker samples from {model} but does not train it")
    length = known[model].max_context_length
    return int(length) if length else None


def refusal(config: Any) -> str | None:
    """What a run's configuration asks for that hosted Tinker would silently do otherwise.

    Args:
        config: of a supervised or a preference run.
    """
    alpha = getattr(config, "alpha", None) if hasattr(config, "rank") else None
    if alpha is None:
        return None
    return (
        f"alpha {alpha:g} cannot be chosen on hosted Tinker; leave it out of the configuration "
        "(alpha: null), the service's own is read from the export"
    )


def differences(config: Any) -> list[str]:
    """What is otherwise on hosted Tinker without changing what is learned, in sentences."""
    told = [
        "LoRA's alpha is the service's own; it is read from the export",
        "there is no dropout",
        "layers are chosen by kind (attention, feed-forward, output head), not one by one",
        "two runs of the same data and seed agree closely, not bit for bit",
        "weights cannot be uploaded: only adapters that the service trained can be trained further",
    ]
    if getattr(config, "train_output", False):
        told.append("the output head is adapted too")
    return told


def said(error: Exception) -> str:
    """An error in one line, without the key."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"[:400]
    return without_key(text)


def without_key(text: str) -> str:
    """A text without the service's key."""
    key = os.environ.get(KEY_VARIABLE, "")
    if len(key) >= 8:
        text = text.replace(key, "tml-…")
    return re.sub(r"\btml-[A-Za-z0-9_-]{12,}", "tml-…", text)


def translated(error: "tinker.TinkerError") -> Exception:
    """The SDK's error as training says it; the very error where the SDK says it well enough."""
    import tinker

    if isinstance(error, tinker.AuthenticationError | tinker.PermissionDeniedError):
        return ServiceRefused(f"hosted Tinker does not let us in: {said(error)}")
    if getattr(error, "status_code", None) == 402:
        return ServiceRefused(f"hosted Tinker asks for payment first: {said(error)}")
    if isinstance(error, tinker.RateLimitError):
        return ServiceGone(
            f"hosted Tinker still asks for patience after minutes of waiting: {said(error)}"
        )
    if isinstance(error, tinker.APIConnectionError | tinker.InternalServerError):
        return ServiceGone(f"hosted Tinker cannot be reached: {said(error)}")
    return error
