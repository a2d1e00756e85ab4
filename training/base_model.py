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
    shrink_words,
    stream_of,
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
    stages: Sequence[BaseModelConfig],
    out: Path = OUT,
    *,
    bank: Bank | None = None,
    metrics: Path | None = None,
    first: int = 1,
    rank: int = 0,
) -> dict[str, Any]:
    """Trains and publishes the base model, stage after stage.

    Args:
        stages: the recipe; the last stage's model is the base model.
        out: model folder to replace.
        bank: the intents; None loads the repository's.
        metrics: JSONL file for the curve, or None.
        first: number of the stage to begin with; later than 1 continues from the model in `out`,
            with a fresh intent head.
        rank: which of the processes this is; each has conversations of its own, the first writes.

    Returns:
        Facts for the model card: parameters, tokens, minutes, and the last stage's means.
    """
    import torch
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM

    torch.set_num_threads(1)
    bank = bank or load_bank()
    if first == 1:
        tokenizer = corpus_tokenizer(bank, stages[0])
        model = build_model(stages[0], tokenizer)
    else:
        tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
        model = LlamaForCausalLM.from_pretrained(out, dtype=torch.float32)
    head = torch.nn.Linear(stages[0].width, len(bank.intents))
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    facts: dict[str, Any] = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens_in_all_stages": sum(stage.tokens for stage in stages[: first - 1]),
        "training_minutes": 0.0,
    }
    log.info("base model: %d parameters, %d intents", facts["parameters"], len(bank.intents))
    for stage in stages[first - 1 :]:
        own = replace(stage, seed=stage.seed + 1000 * rank)
        before = dict(facts)
        for facts in _steps(model, head, tokenizer, bank, own, before):
            if rank == 0:
                _report(facts, metrics)
                if facts["publish"]:
                    publish(model, tokenizer, stages, facts, out)
    return facts


def _report(facts: dict[str, Any], metrics: Path | None) -> None:
    log.info("%s", json.dumps(facts))
    if metrics is not None:
        with metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")


def _steps(
    model: Any, head: Any, tokenizer: Any, bank: Bank, config: BaseModelConfig, before: Any
) -> Iterator[dict[str, Any]]:
    """Trains one stage; yields the facts so far every 50 steps and at its end."""
    import torch

    names = {intent.name: number for number, intent in enumerate(bank.intents)}
    optimizers = optimizers_of(model, head, config)
    everything = [*model.parameters(), *head.parameters()]
    seen = step = 0
    began = published = time.monotonic()
    means = {"training_loss_nats": 0.0, "training_intent_accuracy": 0.0}
    for batch in batches(stream_of(bank, config), tokenizer, config, names):
        now_rate = learning_rate(step, seen / config.tokens, config)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = now_rate
        loss, text_loss, right = batch_loss(model, head, batch, config)
        loss.backward()
        seen += average_gradients(everything, batch["tokens"])
        step += 1
        torch.nn.utils.clip_grad_norm_(everything, config.clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        keep = min(1 - 1 / step, 0.98)
        for name, value in zip(means, (text_loss, right), strict=True):
            means[name] = keep * means[name] + (1 - keep) * float(value)
        finished = seen >= config.tokens
        if finished and config.lesson == "words":
            shrink_words(model)
        if step % 50 and not finished:
            continue
        now = time.monotonic()
        due = finished or now - published > 60 * config.publish_minutes
        published = now if due else published
        yield {
            **before,
            "lesson": config.lesson,
            "tokens_in_stage": seen,
            "tokens_in_all_stages": before["tokens_in_all_stages"] + seen,
            "training_minutes": round(before["training_minutes"] + (now - began) / 60, 1),
            "steps_in_stage": step,
            "tokens_a_second": int(seen / (now - began)),
            **{name: round(value, 4) for name, value in means.items()},
            "publish": due,
        }
        if finished:
            return


def _train_rank(rank: int, port: int, count: int, options: dict[str, Any]) -> None:
    import torch.distributed as processes

    if rank == 0:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    processes.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=count
    )
    try:
        train_base_model(**options, rank=rank)
        processes.barrier()  # the first process may still publish
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
    """Trains a recipe in several processes of one thread each.

    They share every step's batch: two of them see twice the tokens a second that one process with
    two threads sees (6,400 against 3,300, measured), because these matrices are too small to be
    worth dividing.

    Args:
        stages: the recipe, one configuration a stage.
        out: model folder to replace; its card holds the facts of the run.
        processes: how many, one a core.
        metrics: JSONL file for the curves, or None.
        first: number of the stage to begin with; later than 1 continues from `out`.
    """
    from torch.multiprocessing.spawn import spawn

    options = {"stages": tuple(stages), "out": out, "metrics": metrics, "first": first}
    spawn(_train_rank, (_free_port(), processes, options), nprocs=processes)
