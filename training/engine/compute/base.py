"""The base model: loaded once from a Hugging Face folder, frozen, its linear layers wrapped.

Knows the model's limits (context, vocabulary, end tokens) and how to run it; knows no requests.
"""

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training.engine.compute.attention import register
from training.engine.compute.lora import LoraLinear, wrap_linears
from training.engine.errors import EngineError
from training.engine.hashes import base_model_sha256
from training.engine.messages import ModelFacts
from training.engine.settings import base_model_name, check_base_folder


class BaseModel:
    """A frozen causal language model in float32 with switchable LoRA on every linear layer.

    Attributes:
        layers: the wrapped linear layers by path.
        tied: whether the output head shares the embeddings' weight.
        sliding_window: attention span in tokens where all layers have one, else None.
    """

    def __init__(self, path: Path, device: str | None = None, threads: int | None = None):
        """Load the folder.

        Args:
            path: a Hugging Face model folder with safetensors weights and a tokenizer.
            device: a torch device; None takes CUDA where there is one.
            threads: CPU threads for torch; None takes one a core.

        Raises:
            EngineError: the folder is not a causal language model that can be served, or the
                device is not there.
        """
        if threads:
            torch.set_num_threads(threads)
        else:
            torch.set_num_threads(max(1, len(os.sched_getaffinity(0))))
        self.path = path
        self.device = _device(device)
        self.model, self.tokenizer = _load(path)
        self.model.to(self.device)
        if (
            self.model.config._attn_implementation == "sdpa"
            and self.model._supports_attention_backend
        ):
            self.model.set_attn_implementation(register())
        self.model.requires_grad_(False)
        self.model.eval()
        self.config: Any = self.model.config.get_text_config()
        embedding = self.model.get_input_embeddings()
        head = self.model.get_output_embeddings()
        self.tied = head is not None and head.weight is embedding.weight
        self.layers: dict[str, LoraLinear] = wrap_linears(self.model, head, self.tied)
        if not self.layers:
            raise EngineError(f"{path}: no linear layers were found in the model's blocks to adapt")
        self.n_layers = int(self.config.num_hidden_layers)
        self.layer_types: list[str] = list(getattr(self.config, "layer_types", None) or [])
        known = {"full_attention", "sliding_attention"}
        strange = sorted(set(self.layer_types) - known)
        if strange:
            raise EngineError(
                f"{path}: layers of type {strange} are not supported; "
                "use a model of full or sliding-window attention"
            )
        window = getattr(self.config, "sliding_window", None)
        uses_window = "sliding_attention" in self.layer_types or not self.layer_types
        self.sliding_window: int | None = int(window) if window and uses_window else None
        self.facts = ModelFacts(
            name=base_model_name(path),
            architecture=type(self.model).__name__,
            context_length=_context_length(self.config),
            vocab_size=int(embedding.weight.shape[0]),
            eos_ids=_eos_ids(self.model, self.tokenizer),
            sha256=base_model_sha256(path),
        )

    def logits(self, ids: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """Float32 logits (batch, positions, vocabulary) for token ids (batch, n)."""
        return self.model(input_ids=ids, **kwargs).logits.float()


def _device(name: str | None) -> torch.device:
    """The device, tried out, because torch knows many names for what is not there."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EngineError(f"device {name}: cannot be used here: {first:.120}") from error
    return device


def _load(path: Path) -> tuple[Any, Any]:
    """Model and tokenizer from a local folder, every failure as one line."""
    check_base_folder(path)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except Exception as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise EngineError(f"base model {path}: cannot be loaded: {first[0]}") from error
    return model, tokenizer


def _context_length(config: Any) -> int:
    for name in ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"):
        if getattr(config, name, None):
            return int(getattr(config, name))
    return 4096


def _eos_ids(model: nn.Module, tokenizer: Any) -> tuple[int, ...]:
    ids: set[int] = set()
    generation: Any = getattr(model, "generation_config", None)
    for value in (
        getattr(generation, "eos_token_id", None),
        getattr(model.config, "eos_token_id", None),
        getattr(tokenizer, "eos_token_id", None),
    ):
        if isinstance(value, int):
            ids.add(value)
        elif isinstance(value, list | tuple):
            ids.update(int(v) for v in value)
    return tuple(sorted(ids))
