"""Sampling requests on their way: a task a request, a row a wanted sequence. Knows no decoding."""

import math
from dataclasses import dataclass, field

import numpy as np
import torch

from training.engine.compute.base import BaseModel
from training.engine.compute.picking import Numbers
from training.engine.messages import SampledSequence, SampleRequest, SampleResult, TopK


@dataclass(eq=False)
class Task:
    """A request on its way: its finished sequences and what the prefill found out.

    Attributes:
        started: whether one of its sequences has begun.
        cancelled: nobody wants it any more.
        reported: its cohort has told that it is complete.
    """

    request: SampleRequest
    sequences: list[SampledSequence | None]
    prompt_logprobs: np.ndarray | None = None
    topk_prompt: TopK | None = None
    started: bool = False
    cancelled: bool = False
    reported: bool = False

    @property
    def done(self) -> bool:
        """Whether every sequence is finished."""
        return all(s is not None for s in self.sequences)

    def result(self) -> SampleResult:
        """The whole answer; only once done."""
        sequences = [s for s in self.sequences if s is not None]
        return SampleResult(sequences, self.prompt_logprobs, self.topk_prompt)


@dataclass(eq=False)
class Row:
    """One sequence being decoded."""

    task: Task
    index: int
    numbers: Numbers
    room: int
    stop: frozenset[int]
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    topk: list[tuple[list[int], list[float]]] = field(default_factory=list)
    finished: bool = False

    @property
    def cost(self) -> int:
        """Columns of cache that the row may come to need."""
        return len(self.task.request.prompt) + self.room


def rows_of(base: BaseModel, request: SampleRequest) -> tuple[Task, list[Row]]:
    """A task and its rows, one a wanted sequence."""
    task = Task(request, [None] * request.num_samples)
    p = request.params
    room = base.facts.context_length - len(request.prompt)
    if p.max_tokens is not None:
        room = min(room, p.max_tokens)
    stop = frozenset(p.stop_tokens) | (frozenset(base.facts.eos_ids) if p.stop_at_eos else set())
    rows = []
    for i in range(request.num_samples):
        seed = None if p.seed is None else (p.seed + i) % 2**64
        rows.append(Row(task, i, Numbers(seed), max(room, 0), frozenset(stop)))
    return task, rows


def finished_sequence(row: Row, stopped: bool) -> SampledSequence:
    """What a row has come to."""
    topk = None
    if row.topk:
        topk = TopK(
            np.array([ids for ids, _ in row.topk], np.int32),
            np.array([lps for _, lps in row.topk], np.float32),
        )
    return SampledSequence(
        np.array(row.tokens, np.int32), np.array(row.logprobs, np.float32), stopped, topk
    )


def score_prompt(task: Task, logits: torch.Tensor) -> None:
    """Log-probabilities of the prompt's own tokens from logits (positions, vocabulary)."""
    request = task.request
    n = len(request.prompt)
    first = 1 if request.last_n is None else max(1, n - request.last_n)
    part = logits[first - 1 : n - 1]
    norm = torch.logsumexp(part, -1, keepdim=True)
    if request.prompt_logprobs:
        targets = torch.from_numpy(request.prompt[first:].copy()).to(logits.device)[:, None]
        scores = np.full(n, math.nan, np.float32)
        scores[first:] = (part.gather(-1, targets) - norm)[:, 0].cpu().numpy()
        task.prompt_logprobs = scores
    if request.topk_prompt:
        k = min(request.topk_prompt, logits.shape[1])
        ids = np.zeros((n, k), np.int32)
        lps = np.full((n, k), -99999.0, np.float32)
        values, indices = torch.topk(part, k, dim=-1)
        ids[first:] = indices.cpu().numpy()
        lps[first:] = (values - norm).cpu().numpy()
        task.topk_prompt = TopK(ids, lps)
