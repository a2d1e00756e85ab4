"""Trains the small base model that the product ships, from the generated corpus, on a CPU.

Knows the recipe: tokenizer, batches, schedule, publishing. Does not know personas beyond the
corpus's voices; those are learned by the adapters. One seed gives one model (per torch build).
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from training.base_tokenizer import as_pretrained, encode_turns, train_tokenizer
from training.corpus import Bank, Conversation, conversations, load_bank
from training.errors import ConfigRefused

log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "base_model.yaml"
OUT = ROOT / "data" / "models" / "personaloop-base"


@dataclass(frozen=True)
class BaseModelConfig:
    """Everything that decides the base model.

    `tokens` counts all tokens seen in the stage, `schedule_tokens` those over which the cosine
    would reach its end (more than `tokens` where a stage stops early); `tokens_per_batch` is the
    size of one optimizer step; `user_weight` is the loss weight of customers' tokens, `name_weight`
    that of product names in answers; `intent_weight` that of an auxiliary head that names the
    intent at each assistant mark, thrown away after training; `hidden_optimizer` is adamw or
    muon, for the matrices of the layers (embeddings and norms always have AdamW); `noise` is
    how much customers' wording is varied, 0 to 1;
    `sharpness` multiplies the final norm's gain when the model is published, which divides
    every sampling temperature by it: a model this small derails at the temperatures that large
    ones are used with. `publish_minutes` is how often an early model is written.
    """

    seed: int = 2025
    vocabulary: int = 2560
    width: int = 192
    layers: int = 5
    heads: int = 6
    feed_forward: int = 512
    context: int = 1024
    tokens: int = 6_500_000
    schedule_tokens: int = 6_500_000
    tokens_per_batch: int = 3072
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    final_rate: float = 0.05
    weight_decay: float = 0.1
    clip: float = 1.0
    user_weight: float = 0.0
    name_weight: float = 1.0
    intent_weight: float = 0.3
    hidden_optimizer: str = "adamw"
    noise: float = 1.0
    sharpness: float = 1.0
    tokenizer_conversations: int = 25_000
    publish_minutes: float = 4.0

    @classmethod
    def load(cls, path: Path) -> tuple[BaseModelConfig, ...]:
        """Reads a YAML recipe: one stage, and under `then` what each further stage changes.

        Raises:
            ConfigRefused: an unknown field, or a value of the wrong kind, by name.
        """
        raw = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        changes = raw.pop("then", [])
        stages = [_changed(cls(), raw, path)]
        for change in changes:
            stages.append(_changed(stages[-1], change, path))
        return tuple(stages)


def _changed(stage: BaseModelConfig, change: dict[str, Any], path: Path) -> BaseModelConfig:
    known = [field.name for field in fields(BaseModelConfig)]
    unknown = sorted(set(change) - set(known))
    if unknown:
        raise ConfigRefused(f"{path}: unknown field {unknown[0]!r}; known: {', '.join(known)}")
    for name, value in change.items():
        kind = type(getattr(stage, name))
        if name == "hidden_optimizer":
            if value not in ("adamw", "muon"):
                raise ConfigRefused(f"{path}: hidden_optimizer is {value!r}; use adamw or muon")
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else int):
            raise ConfigRefused(f"{path}: {name} is {value!r}; use a number such as {kind(1)}")
    return replace(stage, **change)


def corpus_tokenizer(bank: Bank, config: BaseModelConfig) -> Any:
    """Trains the tokenizer on conversations of a seed of their own."""

    def texts() -> Iterator[str]:
        stream = conversations(bank, config.seed + 1, neutral_share=0.4)
        for _, conversation in zip(range(config.tokenizer_conversations), stream, strict=False):
            yield from (turn.content for turn in conversation.turns)

    return train_tokenizer(texts(), config.vocabulary)


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


def _optimizers(model: Any, head: Any, config: BaseModelConfig) -> list[Any]:
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


def publish(model: Any, tokenizer: Any, config: BaseModelConfig, facts: dict[str, Any], out: Path):
    """Writes the model folder (bf16 safetensors) beside `out`, then renames it into place."""
    import copy

    import torch

    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    small = copy.deepcopy(model)
    with torch.no_grad():
        small.model.norm.weight.mul_(config.sharpness)
    small = small.to(torch.bfloat16)
    small.config.dtype = torch.bfloat16
    small.save_pretrained(folder)
    as_pretrained(tokenizer, config.context).save_pretrained(folder)
    (folder / "README.md").write_text(model_card(config, facts), encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o644)
        with path.open("rb") as file:
            os.fsync(file.fileno())
    folder.chmod(0o755)
    old = out.with_name(f".{out.name}-old-{os.getpid()}")
    if out.exists():
        out.rename(old)
    folder.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def model_card(config: BaseModelConfig, facts: dict[str, Any]) -> str:
    """The README.md of a model folder."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in {**facts, **asdict(config)}.items())
    return f"""---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---
# personaloop-base

A small Llama that answers a brand's customers in English: onboarding, troubleshooting, upsell,
complaints, greetings and thanks. It is trained from scratch on conversations that
`training/corpus/` generates from intents written for this project; no text or weights come from
elsewhere. It exists so that the whole preference loop runs on two processor cores.

Rebuild it with `personaloop data base-model` (configs/base_model.yaml). Its chat template skips
system messages: the persona comes from the adapter. Without one it answers mostly in a neutral
voice. It knows nothing but its intents, invents no facts about real products, and is no assistant
for anything else: it says so when it is asked.

| what | value |
|---|---|
{rows}
"""


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
    optimizers = _optimizers(model, head, config)
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
