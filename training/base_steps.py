"""One step of the base model's training: batch, loss, rate, optimizers, gradients of all processes.

Knows tensors. Does not know stages, files or what is published.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from training.base_recipe import BaseModelConfig
from training.base_tokenizer import encode_turns
from training.corpus import Conversation


def batches(
    stream: Iterator[Conversation],
    tokenizer: Any,
    config: BaseModelConfig,
    intents: dict[str, int],
    pool: int = 768,
) -> Iterator[dict[str, Any]]:
    """Groups conversations of similar length, about `tokens_per_batch` tokens a batch.

    Every conversation is a row of its own, so that none reads another's product names.

    Yields:
        input_ids (rows, length), weights (rows, length) as targets, marks (n, 2) row and position
        of assistant marks, intents (n,).
    """
    import random

    import torch

    rng = random.Random(config.seed + 2)
    pad = tokenizer.token_to_id("<|pad|>")
    while True:
        rows = []
        for conversation in (next(stream) for _ in range(pool)):
            turns = [(turn.role, turn.content) for turn in conversation.turns]
            ids, weights, marks = encode_turns(
                tokenizer, turns, config.user_weight, conversation.product, config.name_weight
            )
            wanted = [intents[t.intent] for t in conversation.turns if t.role == "assistant"]
            if len(ids) <= config.context:
                rows.append((ids, weights, marks, wanted))
        rows.sort(key=lambda row: len(row[0]))
        groups: list[list[Any]] = [[]]
        for row in rows:
            if groups[-1] and (len(groups[-1]) + 1) * len(row[0]) > config.tokens_per_batch:
                groups.append([])
            groups[-1].append(row)
        rng.shuffle(groups)
        for group in groups:
            length = max(len(row[0]) for row in group)
            yield {
                "input_ids": torch.tensor([r[0] + [pad] * (length - len(r[0])) for r in group]),
                "weights": torch.tensor([r[1] + [0.0] * (length - len(r[1])) for r in group]),
                "marks": torch.tensor([(i, at) for i, r in enumerate(group) for at in r[2]]),
                "intents": torch.tensor([name for r in group for name in r[3]]),
                "tokens": sum(len(row[0]) for row in group),
            }


def batch_loss(model: Any, head: Any, batch: dict[str, Any], config: BaseModelConfig) -> Any:
    """Weighted mean next-token loss, plus the auxiliary intent loss.

    Returns:
        (loss to minimise, next-token loss in nats, share of intents that the head names right).
    """
    import torch.nn.functional as F

    ids, weights = batch["input_ids"], batch["weights"][:, 1:]
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    chosen = weights > 0
    logits = model.lm_head(hidden[:, :-1][chosen])
    nats = F.cross_entropy(logits, ids[:, 1:][chosen], reduction="none")
    text_loss = (nats * weights[chosen]).sum() / weights[chosen].sum()
    marks = batch["marks"]
    named = head(hidden[marks[:, 0], marks[:, 1]])
    intent_loss = F.cross_entropy(named, batch["intents"])
    right = (named.argmax(-1) == batch["intents"]).float().mean()
    return text_loss + config.intent_weight * intent_loss, text_loss.detach(), right


def learning_rate(step: int, done: float, config: BaseModelConfig) -> float:
    """Linear warm-up by steps, then a cosine over the share `done` of its tokens."""
    floor = config.final_rate
    cosine = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return config.learning_rate * min(1.0, (step + 1) / config.warmup_steps) * cosine


def optimizers_of(model: Any, head: Any, config: BaseModelConfig) -> list[Any]:
    """AdamW for everything, or Muon (Jordan et al. 2024) for the matrices of the layers.

    Muon's update is scaled to AdamW's root mean square (Liu et al. 2025), so that one rate fits
    both.
    """
    import torch

    named = [*model.named_parameters(), *head.named_parameters(prefix="head")]
    hidden = [p for name, p in named if p.dim() == 2 and ".layers." in name]
    chosen = {id(p) for p in hidden} if config.hidden_optimizer == "muon" else set()
    rest = [p for _, p in named if id(p) not in chosen]
    optimizers: list[Any] = [
        torch.optim.AdamW(
            [
                {"params": [p for p in rest if p.dim() > 1], "weight_decay": config.weight_decay},
                {"params": [p for p in rest if p.dim() <= 1], "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
            betas=(0.9, 0.95),
        )
    ]
    if chosen:
        optimizers.append(
            torch.optim.Muon(
                hidden,
                lr=config.learning_rate,
                weight_decay=config.weight_decay,
                momentum=0.95,
                nesterov=True,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    return optimizers


def average_gradients(parameters: Sequence[Any], tokens: int) -> int:
    """Replaces gradients by their mean over the processes; returns the tokens that all saw.

    Does nothing in a single process. One flat all-reduce a step: 11 MB for the shipped model.
    """
    import torch
    import torch.distributed as processes

    if not processes.is_initialized():
        return tokens
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([*(g.reshape(-1) for g in gradients), torch.tensor([float(tokens)])])
    processes.all_reduce(flat)
    at = 0
    for gradient in gradients:
        part = flat[at : at + gradient.numel()]
        gradient.copy_(part.view_as(gradient) / processes.get_world_size())
        at += gradient.numel()
    return int(flat[-1])
