"""Decoding many sequences at once from one set of weights: a cohort that rows join and leave.

Prompts are prefilled in batches padded on the right (no mask, the fast kernels), then decoded
together; a row's shorter prompt leaves holes in the cache that are masked. Knows no HTTP and no
scheduling: the caller decides when to step.
"""

from collections.abc import Sequence

import numpy as np
import torch
from transformers.cache_utils import Cache

from training.engine.compute.base import BaseModel
from training.engine.compute.cache import BufferLayer, layers_of, new_cache
from training.engine.compute.picking import Settings, pick
from training.engine.compute.tasks import Row, Task, finished_sequence, rows_of, score_prompt
from training.engine.messages import SampleRequest, SampleResult

PREFILL_TOKENS = 4096
PREFILL_LOGITS = 32 * 1024 * 1024


class Cohort:
    """Rows decoded together; every :meth:`step` adds a token to each."""

    def __init__(self, base: BaseModel, rows: list[Row]):
        """Prefill the rows' prompts, once for rows of the same request."""
        self.base = base
        self.rows: list[Row] = []
        self.cache = new_cache(base.n_layers)
        self.layers: list[BufferLayer] = []
        self.positions = torch.zeros((0, 0), dtype=torch.int32)
        self._prefill(rows)

    # Prefill

    def _prefill(self, rows: list[Row]) -> None:
        unique: list[Task] = list(dict.fromkeys(row.task for row in rows))
        unique.sort(key=lambda task: len(task.request.prompt))
        which = {task: i for i, task in enumerate(unique)}
        caches, last = [], []
        for part in self._prefill_batches(unique):
            cache = new_cache(self.base.n_layers)
            last.append(self._prefill_part(part, cache))
            caches.append(cache)
        self.cache = caches[0]
        self.layers = layers_of(self.cache)
        for other in caches[1:]:
            for mine, theirs in zip(self.layers, layers_of(other), strict=True):
                mine.join(theirs)
        lengths = torch.tensor([len(task.request.prompt) for task in unique])
        columns = torch.arange(int(lengths.max()), dtype=torch.int32)[None]
        positions = torch.where(columns < lengths[:, None], columns, -1).int()
        order = torch.tensor([which[row.task] for row in rows])
        for layer in self.layers:
            layer.take(order.to(self.base.device), None)
        self.positions = positions[order].to(self.base.device)
        self.rows = rows
        self.next_position = lengths[order].to(self.base.device)
        self._regroup()
        self._advance(torch.cat(last)[order.to(self.base.device)])

    def _prefill_batches(self, tasks: list[Task]) -> list[list[Task]]:
        batches: list[list[Task]] = [[]]
        for task in tasks:
            width = len(task.request.prompt)
            limit = PREFILL_TOKENS
            if task.request.prompt_logprobs or task.request.topk_prompt:
                limit = min(limit, PREFILL_LOGITS // self.base.facts.vocab_size)
            if batches[-1] and width * (len(batches[-1]) + 1) > limit:
                batches.append([])
            batches[-1].append(task)
        return batches

    def _prefill_part(self, tasks: list[Task], cache: Cache) -> torch.Tensor:
        """Fill ``cache`` and return the logits (tasks, vocabulary) after each prompt."""
        device = self.base.device
        prompts = [task.request.prompt for task in tasks]
        width = max(len(p) for p in prompts)
        ids = np.zeros((len(prompts), width), np.int64)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = prompt
        ends = torch.tensor([len(p) - 1 for p in prompts], device=device)
        rows = torch.arange(len(prompts), device=device)
        scored = any(t.request.prompt_logprobs or t.request.topk_prompt for t in tasks)
        keep, where = (0, ends) if scored else torch.unique(ends, return_inverse=True)
        logits = self.base.logits(
            torch.from_numpy(ids).to(device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=keep,
        )
        for row, task in enumerate(tasks if scored else []):
            score_prompt(task, logits[row])
        return logits[rows, where]

    # Decode

    def step(self) -> list[Task]:
        """One token for every row.

        Returns:
            The tasks that became complete.
        """
        finished = self._drop_finished()
        if not self.rows:
            return finished
        mask = self._mask()
        logits = self.base.logits(
            self.last_tokens[:, None],
            attention_mask=mask,
            position_ids=self.next_position[:, None],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )[:, -1]
        self.positions = torch.cat([self.positions, self.next_position[:, None].int()], 1)
        # Finished rows may still ride along; they must not leave the model's positions.
        self.next_position = (self.next_position + 1).clamp_(max=self.base.facts.context_length - 1)
        self._advance(logits)
        return finished

    def _mask(self) -> object:
        """What each row may look at: None for everything, else additive masks by layer type."""
        window = self.base.sliding_window
        holes = bool(self._holes)
        too_long = window is not None and self.positions.shape[1] + 1 >= window
        if not holes and not too_long:
            return None
        seen = torch.nn.functional.pad(self.positions >= 0, (0, 1), value=True)
        full = _additive(seen)
        if window is None:
            return full
        near = torch.nn.functional.pad(
            self.positions > (self.next_position[:, None] - window), (0, 1), value=True
        )
        sliding = _additive(seen & near)
        if not self.base.layer_types:
            return sliding
        return {"full_attention": full, "sliding_attention": sliding}

    def _advance(self, logits: torch.Tensor) -> None:
        """Draw the next token of each row from (rows, vocabulary) and note it."""
        tokens = pick(logits, self._settings, lambda i: self.rows[i].numbers.next())
        chosen = logits.gather(-1, tokens[:, None])[:, 0] - torch.logsumexp(logits, -1)
        top = None
        if self._topk:
            k = min(self._topk, logits.shape[1])
            values, ids = torch.topk(logits, k, dim=-1)
            values = values - torch.logsumexp(logits, -1, keepdim=True)
            top = (ids.tolist(), values.tolist())
        self.last_tokens = tokens
        self._note(tokens.tolist(), chosen.tolist(), top)

    def _note(self, tokens: list[int], logprobs: list[float], top: tuple | None) -> None:
        for i, row in enumerate(self.rows):
            if row.finished:
                continue
            token = tokens[i]
            row.tokens.append(token)
            row.logprobs.append(logprobs[i])
            request = row.task.request
            if request.topk_sample and top is not None:
                k = request.topk_sample
                row.topk.append((top[0][i][:k], top[1][i][:k]))
            stopped = token in row.stop or (
                bool(request.params.stop_texts) and self._text_stop(row)
            )
            if stopped or len(row.tokens) >= row.room or row.task.cancelled:
                row.finished = True
                self._finished += 1
                row.task.sequences[row.index] = finished_sequence(row, stopped)

    def _text_stop(self, row: Row) -> bool:
        """Whether the decoded tail has a stop text (token borders need not match the text's)."""
        texts = row.task.request.params.stop_texts
        tail = row.tokens[-(max(len(t.encode()) for t in texts) + 4) :]
        decoded = self.base.tokenizer.decode(
            tail, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return any(text in decoded for text in texts)

    # Composition

    def _regroup(self) -> None:
        params = [row.task.request.params for row in self.rows]
        self._settings = Settings.of(params, self.base.facts.vocab_size, self.base.device)
        self._topk = max((row.task.request.topk_sample for row in self.rows), default=0)
        self._holes = bool((self.positions < 0).any())
        self._finished = 0

    def _drop_finished(self) -> list[Task]:
        """Let finished rows leave once they are many enough to pay for the copy."""
        if not self._finished:
            return []
        done = [row.task for row in self.rows if row.finished and row.task.done]
        done = [task for task in dict.fromkeys(done) if not task.reported]
        for task in done:
            task.reported = True
        alive = [i for i, row in enumerate(self.rows) if not row.finished]
        if not alive:
            self.rows = []
            self._finished = 0
            return done
        if self._finished * 4 >= len(self.rows):
            self._keep(alive)
        return done

    def _keep(self, alive: list[int]) -> None:
        device = self.base.device
        index = torch.tensor(alive, device=device)
        positions = self.positions[index]
        filled = (positions >= 0).sum(1)
        longest = int(filled.max())
        columns = None
        if positions.shape[1] > longest + max(32, longest // 4):
            # Squeeze out columns that are holes for everybody who stays.
            columns = torch.argsort((positions < 0).int(), dim=1, stable=True)[:, :longest]
            positions = positions.gather(1, columns)
        for layer in self.layers:
            layer.take(index, columns)
        self.positions = positions
        self.next_position = self.next_position[index]
        self.last_tokens = self.last_tokens[index]
        self.rows = [self.rows[i] for i in alive]
        self._regroup()

    def absorb(self, other: "Cohort") -> None:
        """Take the other's rows in."""
        if not other.rows:
            return
        width = max(self.positions.shape[1], other.positions.shape[1])
        parts = [
            torch.nn.functional.pad(p, (0, width - p.shape[1]), value=-1)
            for p in (self.positions, other.positions)
        ]
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            mine.join(theirs)
        self.positions = torch.cat(parts)
        self.next_position = torch.cat([self.next_position, other.next_position])
        self.last_tokens = torch.cat([self.last_tokens, other.last_tokens])
        finished = self._finished + other._finished
        self.rows = self.rows + other.rows
        self._regroup()
        self._finished = finished

    @property
    def cost(self) -> int:
        """Columns of cache that the rows hold or may come to need."""
        return sum(row.cost for row in self.rows)


def _additive(seen: torch.Tensor) -> torch.Tensor:
    """0 where a row may look and a very negative number where not, (rows, 1, 1, columns)."""
    mask = torch.zeros(seen.shape, device=seen.device)
    return mask.masked_fill_(~seen, torch.finfo(torch.float32).min)[:, None, None]


def sample_now(base: BaseModel, requests: Sequence[SampleRequest]) -> list[SampleResult]:
    """Decode requests to the end in one cohort, with whatever adapter is switched on."""
    pairs = [rows_of(base, request) for request in requests]
    with torch.inference_mode():
        cohort = Cohort(base, [row for _, rows in pairs for row in rows])
        while cohort.rows:
            cohort.step()
    return [task.result() for task, _ in pairs]
