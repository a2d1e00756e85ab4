"""One step of the base model's training: batch, loss, rate, optimizers, gradients of all processes.

Knows tensors. Does not know stages, files or what is published.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from training.base_recipe import BaseModelConfig
from training.base_tokenizer import ASSISTANT, PAD, SPECIAL_TOKENS, encode_turns
from training.corpus import Bank, Conversation, conversations, questions


def stream_of(bank: Bank, config: BaseModelConfig) -> Iterator[Conversation]:
    """What a stage reads, without end: whole conversations, or first turns alone."""
    stream = conversations if config.lesson == "conversations" else questions
    return stream(bank, config.seed, strength=config.noise, dropping=config.dropping)


def batches(
    stream: Iterator[Conversation],
    tokenizer: Any,
    config: BaseModelConfig,
    intents: dict[str, int],
    pool: int = 1536,
) -> Iterator[dict[str, Any]]:
    """Groups conversations of similar length, about `tokens_per_batch` tokens a batch.

    Every conversation is a row of its own, so that none reads another's product names. A turn
    that nobody answered yet is closed by the assistant's mark, where the intent is named.

    Yields:
        input_ids (rows, length), weights (rows, length) as targets, marks (n, 2) row and position
        of assistant marks, intents (n,), words (rows, length): whether a token is of a text.
    """
    import random

    import torch

    rng = random.Random(config.seed + 2)
    special = {tokenizer.token_to_id(name) for name in SPECIAL_TOKENS}
    pad, mark = tokenizer.token_to_id(PAD), tokenizer.token_to_id(ASSISTANT)
    while True:
        rows = []
        for conversation in (next(stream) for _ in range(pool)):
            turns = [(turn.role, turn.content) for turn in conversation.turns]
            ids, weights, marks = encode_turns(
                tokenizer, turns, config.user_weight, conversation.product, config.name_weight
            )
            wanted = [intents[t.intent] for t in conversation.turns if t.role == "user"]
            if len(marks) < len(wanted):
                marks.append(len(ids))
                ids.append(mark)
                weights.append(0.0)
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
                "words": torch.tensor(
                    [
                        [float(i not in special) for i in r[0]] + [0.0] * (length - len(r[0]))
                        for r in group
                    ]
                ),
                "marks": torch.tensor([(i, at) for i, r in enumerate(group) for at in r[2]]),
                "intents": torch.tensor([name for r in group for name in r[3]]),
                "tokens": sum(len(row[0]) for row in group),
            }


def batch_loss(model: Any, head: Any, batch: dict[str, Any], config: BaseModelConfig) -> Any:
    """The loss of a stage's lesson.

    words: the intent's cross-entropy from the sum of a question's embeddings over the root of
    their number; the layers have no part in it. questions: from the state at the assistant's
    mark after `reading_layer` layers, so that the layers above can look the intent up there for
    every token of the answer. conversations: the weighted mean next-token loss, plus
    `intent_weight` times the intent's.

    Returns:
        (loss to minimise, next-token loss in nats or 0, share of intents that the head names
        right).
    """
    import torch
    import torch.nn.functional as F

    ids, weights = batch["input_ids"], batch["weights"][:, 1:]
    if config.lesson == "words":
        words = batch["words"]
        vectors = model.get_input_embeddings()(ids) * words[..., None]
        states = vectors.sum(1) / words.sum(1, keepdim=True).clamp(min=1).sqrt()
    else:
        out = model.model(input_ids=ids, use_cache=False, output_hidden_states=True)
        hidden, marks = out.last_hidden_state, batch["marks"]
        states = out.hidden_states[config.reading_layer][marks[:, 0], marks[:, 1]]
        states = F.rms_norm(states, states.shape[-1:])
    named = head(states)
    intent_loss = F.cross_entropy(named, batch["intents"])
    right = (named.argmax(-1) == batch["intents"]).float().mean()
    chosen = weights > 0
    if config.lesson == "words" or not chosen.any():
        return intent_loss, torch.zeros(()), right
    nats = F.cross_entropy(
        model.lm_head(hidden[:, :-1][chosen]), ids[:, 1:][chosen], reduction="none"
    )
    text_loss = (nats * weights[chosen]).sum() / weights[chosen].sum()
    return text_loss + config.intent_weight * intent_loss, text_loss.detach(), right


def shrink_words(model: Any) -> None:
    """Gives taught embeddings twice the spread of fresh weights, directions unchanged.

    They are the output layer too: at the size that naming intents gives them, the next-token loss
    begins far above that of a coin with a side for every token.
    """
    import torch

    with torch.no_grad():
        embeddings = model.get_input_embeddings().weight
        embeddings.mul_(2 * model.config.initializer_range / embeddings.std())


def learning_rate(step: int, done: float, config: BaseModelConfig) -> float:
    """Linear warm-up by steps, then a cosine over the share `done` of its tokens."""
    floor = config.final_rate
    cosine = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return config.learning_rate * min(1.0, (step + 1) / config.warmup_steps) * cosine


def optimizers_of(model: Any, head: Any, config: BaseModelConfig) -> list[Any]:
    """AdamW for everything, or Muon (Jordan et al. 2024) for the matrices of the layers.

    Muon's update is scaled to AdamW's root mean square (Liu et al. 2025), so that one rate fits
    both. Three Newton-Schulz iterations instead of five: matrices of a few hundred rows are
    orthogonal enough after three, and each costs 3 % of a step.
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
                ns_steps=3,
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
