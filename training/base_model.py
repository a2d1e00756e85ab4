"""Trains the small base model that the product ships, from the generated corpus, on a CPU.

Knows the order of things: tokenizer, model, stages, processes, publishing. What a step does is in
base_steps.py, what decides the model in base_recipe.py. Does not know personas beyond the corpus's
voices; those are learned by the adapters. One recipe gives one model (per torch build and number
of processes).
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.base_card import publish
from training.base_recipe import CONFIG, ROOT, BaseModelConfig
from training.base_steps import (
    average_gradients,
    batch_loss,
    batches,
    learning_rate,
    optimizers_of,
)
from training.base_tokenizer import train_tokenizer
from training.corpus import Bank, conversations, load_bank

__all__ = ["CONFIG", "OUT", "BaseModelConfig", "build_model", "train_base_model", "train_stages"]

log = logging.getLogger(__name__)
OUT = ROOT / "data" / "models" / "personaloop-base"


def corpus_tokenizer(bank: Bank, config: BaseModelConfig) -> Any:
    """Trains the tokenizer on conversations of a seed of their own."""

    def texts() -> Iterator[str]:
        stream = conversations(bank, config.seed + 1, neutral_share=0.4)
        for _, conversation in zip(range(config.tokenizer_conversations), stream, strict=False):
            yield from (turn.content for turn in conversation.turns)

    return train_tokenizer(texts(), config.vocabulary)


def build_model(config: BaseModelConfig, tokenizer: Any) -> Any:
    """A LlamaForCausalLM with tied embeddings, in fp32, from the seed."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(config.seed)
    describe: Any = LlamaConfig
    end, pad = tokenizer.token_to_id("<|end|>"), tokenizer.token_to_id("<|pad|>")
    model = LlamaForCausalLM(
        describe(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=config.width,
            intermediate_size=config.feed_forward,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=config.context,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=end,
            pad_token_id=pad,
            initializer_range=0.03,
        )
    )
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=0.9, max_new_tokens=160, eos_token_id=end, pad_token_id=pad
    )
    return model


def train_base_model(
    config: BaseModelConfig,
    out: Path = OUT,
    *,
    bank: Bank | None = None,
    threads: int = 1,
    metrics: Path | None = None,
    start: Path | None = None,
    earlier_tokens: int = 0,
    rank: int = 0,
) -> dict[str, Any]:
    """Trains and publishes the base model.

    Args:
        config: the recipe.
        out: model folder to replace.
        bank: the intents; None loads the repository's.
        threads: torch threads.
        metrics: JSONL file for the curve, or None.
        start: a published model folder to continue from, tokenizer and weights.
        earlier_tokens: what earlier stages saw, for the model card.
        rank: which of the processes this is; each has conversations of its own, the first writes.

    Returns:
        Facts for the model card: parameters, tokens, steps, minutes, final losses.
    """
    import torch
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM

    torch.set_num_threads(threads)
    bank = bank or load_bank()
    names = {intent.name: number for number, intent in enumerate(bank.intents)}
    if start is None:
        tokenizer = corpus_tokenizer(bank, config)
        model = build_model(config, tokenizer)
    else:
        tokenizer = Tokenizer.from_file(str(start / "tokenizer.json"))
        model = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32)
    torch.manual_seed(config.seed + 3)
    head = torch.nn.Linear(config.width, len(names))
    torch.nn.init.zeros_(head.weight)  # at first it must not pull at a model that is already good
    optimizers = optimizers_of(model, head, config)
    parameters = sum(p.numel() for p in model.parameters())
    log.info("base model: %d parameters, %d intents", parameters, len(names))
    own = replace(config, seed=config.seed + 1000 * rank)
    stream = conversations(bank, own.seed, strength=config.noise)
    everything = [*model.parameters(), *head.parameters()]
    seen = step = 0
    began = published = time.monotonic()
    text_mean = right_mean = None
    facts: dict[str, Any] = {"parameters": parameters}
    for batch in batches(stream, tokenizer, own, names):
        rate = learning_rate(step, seen / config.schedule_tokens, config)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        loss, text_loss, right = batch_loss(model, head, batch, config)
        loss.backward()
        tokens = average_gradients(everything, batch["tokens"])
        torch.nn.utils.clip_grad_norm_(everything, config.clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seen, step = seen + tokens, step + 1
        keep = 0.98 if step > 50 else 0.9
        text_mean = (
            float(text_loss)
            if text_mean is None
            else (keep * text_mean + (1 - keep) * float(text_loss))
        )
        right_mean = (
            float(right) if right_mean is None else (keep * right_mean + (1 - keep) * float(right))
        )
        now = time.monotonic()
        finished = seen >= config.tokens
        facts |= {
            "tokens_seen": seen,
            "tokens_in_all_stages": earlier_tokens + seen,
            "steps": step,
            "training_minutes": round((now - began) / 60, 1),
            "training_loss_nats": round(text_mean, 4),
            "training_intent_accuracy": round(right_mean, 4),
        }
        if rank == 0 and (step % 50 == 0 or finished):
            speed = seen / (now - began)
            log.info("%s", json.dumps({**facts, "rate": round(rate, 6), "per_second": int(speed)}))
            if metrics is not None:
                with metrics.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({**facts, "rate": rate}) + "\n")
        if rank == 0 and (finished or now - published > 60 * config.publish_minutes):
            publish(model, tokenizer, config, facts, out)
            published = now
        if finished:
            return facts
    raise AssertionError("the conversation stream has no end")


def _train_rank(rank: int, port: int, count: int, options: dict[str, Any]) -> None:
    import torch.distributed as processes

    if rank == 0:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    processes.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=count
    )
    try:
        train_base_model(**options, rank=rank)
        processes.barrier()  # the next stage reads what the first process published
    finally:
        processes.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def train_stages(
    stages: Sequence[BaseModelConfig],
    out: Path = OUT,
    *,
    processes: int = 2,
    metrics: Path | None = None,
    first: int = 1,
) -> None:
    """Trains the stages of a recipe one after another, each from what the last one published.

    Processes of one thread each share every step's batch: two of them see twice the tokens a
    second that one process with two threads sees (6,400 against 3,300, measured), because these
    matrices are too small to be worth dividing.

    Args:
        stages: one recipe a stage.
        out: model folder to replace; its card holds the facts of the run.
        processes: how many, one a core.
        metrics: JSONL file for the curves, or None.
        first: number of the stage to begin with; later than 1 continues from `out`.
    """
    from torch.multiprocessing.spawn import spawn

    for number, stage in enumerate(stages, 1):
        if number < first:
            continue
        options = {
            "config": stage,
            "out": out,
            "metrics": metrics,
            "start": out if number > 1 else None,
            "earlier_tokens": sum(earlier.tokens for earlier in stages[: number - 1]),
        }
        spawn(_train_rank, (_free_port(), processes, options), nprocs=processes)
