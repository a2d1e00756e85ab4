"""How conversations become tokens and tokens become text again, on either service.

Knows two ways: the base model's own chat template (local engine), and tinker-cookbook's renderer of
the model (hosted Tinker). tinker-cookbook is imported here only, and only when a hosted run is
asked for. Does not know personas' guides, what is trained, or what is sampled.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from training.errors import ConfigRefused

INSTALL = "pip install 'tinker-cookbook==0.5.8'"
Turns = Sequence[Mapping[str, str]]


class Rendering(Protocol):
    """One model's way of writing conversations."""

    @property
    def stop(self) -> list[int] | list[str] | None:
        """What ends a completion when sampling; None is the model's end token."""
        ...

    def prompt(self, turns: Turns) -> tuple[int, ...]:
        """The tokens of a conversation, ready for a completion."""
        ...

    def completion(self, turns: Turns, text: str) -> tuple[int, ...]:
        """The tokens of an answer to a conversation, its end included."""
        ...

    def read(self, tokens: Sequence[int]) -> str:
        """The text of sampled tokens, without ends and surrounding space."""
        ...


class ChatTemplate:
    """The tokenizer's own chat template."""

    stop = None

    def __init__(self, tokenizer: Any, end: int):
        """Bind tokenizer and end token."""
        self.tokenizer = tokenizer
        self.end = end

    def prompt(self, turns: Turns) -> tuple[int, ...]:
        """As `Rendering`."""
        ids = self.tokenizer.apply_chat_template(
            list(turns), add_generation_prompt=True, tokenize=True
        )
        return tuple(ids["input_ids"] if hasattr(ids, "keys") else ids)

    def completion(self, turns: Turns, text: str) -> tuple[int, ...]:
        """As `Rendering`."""
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return (*(int(token) for token in ids), self.end)

    def read(self, tokens: Sequence[int]) -> str:
        """As `Rendering`."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True).strip()


class CookbookRenderer:
    """tinker-cookbook's renderer of a hosted model."""

    def __init__(self, tokenizer: Any, model: str, name: str = ""):
        """Load the renderer.

        Args:
            tokenizer: of the model.
            model: its name.
            name: of the renderer; empty is the recommended one.
        """
        self.name = check_renderer(model, name)
        self.model = model
        self._renderer = cookbook("renderers").get_renderer(self.name, tokenizer, model_name=model)

    @property
    def stop(self) -> list[int] | list[str]:
        """As `Rendering`."""
        return self._renderer.get_stop_sequences()

    def prompt(self, turns: Turns) -> tuple[int, ...]:
        """As `Rendering`."""
        return tuple(self._renderer.build_generation_prompt([dict(t) for t in turns]).to_ints())

    def completion(self, turns: Turns, text: str) -> tuple[int, ...]:
        """As `Rendering`: what is left of the supervised example after the prompt.

        Raises:
            ConfigRefused: the renderer writes a conversation otherwise when it trains than when it
                samples, so that a model would be trained on prompts that it never sees.
        """
        told = [*(dict(turn) for turn in turns), {"role": "assistant", "content": text}]
        whole = tuple(self._renderer.build_supervised_example(told)[0].to_ints())
        prompt = self.prompt(turns)
        if whole[: len(prompt)] != prompt:
            raise ConfigRefused(
                f"the renderer {self.name} of {self.model} writes prompts for sampling otherwise "
                "than for training; choose another one as renderer in configs/hosted.yaml: "
                f"{', '.join(recommended(self.model)) or 'see tinker-cookbook'}"
            )
        return whole[len(prompt) :]

    def read(self, tokens: Sequence[int]) -> str:
        """As `Rendering`; tokens that are no answer of this model read as nothing."""
        exceptions = cookbook("exceptions")
        try:
            message, _ = self._renderer.parse_response(list(tokens))
        except exceptions.RendererError:
            return ""
        return cookbook("renderers").get_text_content(message).strip()


def cookbook(module: str) -> Any:
    """A module of tinker-cookbook.

    Raises:
        ConfigRefused: it is not installed.
    """
    try:
        return importlib.import_module(f"tinker_cookbook.{module}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "tinker_cookbook":
            raise
        raise ConfigRefused(
            "hosted Tinker needs tinker-cookbook, which is not installed: "
            f"{INSTALL} (the extra `hosted`), or unset TINKER_API_KEY to use the local engine"
        ) from error


def recommended(model: str) -> list[str]:
    """The renderers that tinker-cookbook recommends for a model; none of one it does not know."""
    known, exceptions = cookbook("model_info"), cookbook("exceptions")
    try:
        return list(known.get_recommended_renderer_names(model))
    except (KeyError, ValueError, exceptions.ConfigurationError):
        return []


def check_renderer(model: str, name: str) -> str:
    """The renderer to use: the one named, else the recommended one.

    Raises:
        ConfigRefused: tinker-cookbook is not installed, or knows no renderer for the model.
    """
    chosen = recommended(model)
    if name:
        return name
    if not chosen:
        raise ConfigRefused(
            f"tinker-cookbook knows no renderer for {model!r}; name one as "
            "renderer in configs/hosted.yaml or in PERSONALOOP_HOSTED_RENDERER"
        )
    return chosen[0]
