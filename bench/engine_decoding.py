"""Sides that decode: our cohort, `transformers.generate`, and the matrix products alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.engine import BATCH, Work
from bench.engine_data import base_matrices, base_tokenizer, prompt_tokens


@contextmanager
def ours_decoding(new_tokens: int, temperature: float) -> Iterator[Work]:
    """One cohort of our batched decoding."""
    import numpy as np

    from db.settings import base_model_dir
    from training.engine.compute.base import BaseModel
    from training.engine.compute.sampling import sample_now
    from training.engine.messages import SampleRequest, SamplingParams

    base = BaseModel(base_model_dir())
    params = SamplingParams(
        max_tokens=new_tokens, temperature=temperature, seed=1, stop_at_eos=temperature > 0
    )
    requests = [
        SampleRequest("", np.array(ids, np.int64), 1, params)
        for ids in prompt_tokens(base.tokenizer)
    ]

    def work() -> dict[str, Any]:
        tokens = [r.sequences[0].tokens.tolist() for r in sample_now(base, requests)]
        return {"tokens": tokens, "made": sum(map(len, tokens))}

    yield work


@contextmanager
def generate(new_tokens: int, temperature: float) -> Iterator[Work]:
    """`transformers.generate` on the whole batch, padded on the left."""
    import torch
    from transformers import AutoModelForCausalLM

    from db.settings import base_model_dir

    tokenizer = base_tokenizer()
    model: Any = AutoModelForCausalLM.from_pretrained(
        base_model_dir(), dtype=torch.float32, local_files_only=True
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device).eval()
    prompts = prompt_tokens(tokenizer)
    width = max(map(len, prompts))
    pad = tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    end = tokenizer.eos_token_id
    settings: dict[str, Any] = {"max_new_tokens": new_tokens, "pad_token_id": pad}
    if temperature > 0:
        settings.update(do_sample=True, temperature=temperature, top_p=1.0, top_k=0)
    else:
        model.generation_config.eos_token_id = None
        settings.update(do_sample=False)

    def work() -> dict[str, Any]:
        with torch.inference_mode():
            out = model.generate(input_ids=ids, attention_mask=mask, **settings)
        tokens = out[:, width:].tolist()
        if temperature > 0:
            tokens = [t[: t.index(end) + 1] if end in t else t for t in tokens]
        return {"tokens": tokens, "made": sum(map(len, tokens))}

    yield work


@contextmanager
def decoding_products(new_tokens: int) -> Iterator[Work]:
    """One product a matrix and step, for the whole batch."""
    import torch

    weights = base_matrices()
    inputs = [torch.randn(BATCH, w.shape[1], device=w.device) for w in weights]

    def work() -> None:
        with torch.inference_mode():
            for _ in range(new_tokens):
                for x, w in zip(inputs, weights, strict=True):
                    torch.mm(x, w.T)

    yield work
