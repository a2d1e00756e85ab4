"""Drawing the next token of many rows at once, each row by its own settings and random numbers.

A row's draw depends only on its logits and its own number, never on its neighbours, so results do
not change with batching. Knows logits, not text.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from training.engine.messages import SamplingParams

BLOCK = 64
TRIES = 3
COLDEST = 1e-6
"""Below it a row is greedy: dividing by less would leave float32."""


class Numbers:
    """A stream of uniform numbers in [0, 1), drawn from NumPy in blocks, begun when it is used."""

    def __init__(self, seed: int | None):
        self._seed = seed
        self._random: np.random.Generator | None = None
        self._block = np.zeros(0)
        self._next = BLOCK

    def next(self) -> float:
        """The next number of the stream."""
        if self._next == BLOCK:
            if self._random is None:
                self._random = np.random.default_rng(self._seed)
            self._block = self._random.random(BLOCK)
            self._next = 0
        self._next += 1
        return float(self._block[self._next - 1])


@dataclass
class Settings:
    """The rows' sampling settings as tensors, made once for each composition of the batch.

    Attributes:
        temperature, top_k, top_p: shape (rows,); a top_k of the whole vocabulary keeps all.
        greedy: indices of the rows that take the likeliest token.
        drawn: indices of the others.
        filtered: whether any of these has a top-k or top-p.
    """

    temperature: torch.Tensor
    top_k: torch.Tensor
    top_p: torch.Tensor
    greedy: torch.Tensor
    drawn: torch.Tensor
    filtered: bool

    @classmethod
    def of(cls, params: list[SamplingParams], vocab: int, device: torch.device) -> "Settings":
        """Tensors for the rows' parameters."""
        k = [p.top_k if 0 < p.top_k < vocab else vocab for p in params]
        greedy = [p.temperature < COLDEST or kk == 1 for p, kk in zip(params, k, strict=True)]
        filtered = any(
            not g and (p.top_p < 1 or kk < vocab)
            for p, kk, g in zip(params, k, greedy, strict=True)
        )

        def rows(wanted: bool) -> torch.Tensor:
            found = [i for i, flag in enumerate(greedy) if flag == wanted]
            return torch.tensor(found, device=device, dtype=torch.long)

        return cls(
            temperature=torch.tensor([p.temperature or 1.0 for p in params], device=device),
            top_k=torch.tensor(k, device=device),
            top_p=torch.tensor([p.top_p for p in params], device=device),
            greedy=rows(True),
            drawn=rows(False),
            filtered=filtered,
        )


def pick(logits: torch.Tensor, settings: Settings, number: Callable[[int], float]) -> torch.Tensor:
    """Choose a token a row.

    A filtered row draws from all tokens and keeps the draw if it lies within the row's top-k and
    nucleus; what is kept is distributed exactly as a draw from the renormalised filter, without
    sorting the vocabulary. After ``TRIES`` misses the row is sorted after all.

    Args:
        logits: float32 (rows, vocabulary).
        settings: of the same rows.
        number: gives a row's next uniform number.

    Returns:
        Token ids, int64 (rows,).
    """
    if not settings.drawn.numel():
        return logits.argmax(-1)
    rows = settings.drawn
    whole = rows.numel() == logits.shape[0]
    scaled = (logits if whole else logits[rows]) / settings.temperature[rows, None]
    p = torch.softmax(scaled, -1)
    chosen = (
        _draw_filtered(p, settings, rows, number)
        if settings.filtered
        else _draw(p, _numbers(rows, number))
    )
    if whole:
        return chosen
    tokens = logits.new_zeros(logits.shape[0], dtype=torch.long)
    tokens[settings.greedy] = logits[settings.greedy].argmax(-1)
    tokens[rows] = chosen
    return tokens


def _numbers(rows: torch.Tensor, number: Callable[[int], float]) -> torch.Tensor:
    return torch.tensor(
        [number(row) for row in rows.tolist()], dtype=torch.float64, device=rows.device
    )


def _draw(p: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
    """A column of each row of ``p`` (rows, n), by its share of the row's mass."""
    mass = p.cumsum(-1, dtype=torch.float64)
    found = torch.searchsorted(mass, uniforms[:, None] * mass[:, -1:], right=True)[:, 0]
    return found.clamp_(max=p.shape[1] - 1)


def _draw_filtered(
    p: torch.Tensor, settings: Settings, rows: torch.Tensor, number: Callable[[int], float]
) -> torch.Tensor:
    chosen = torch.zeros(len(rows), dtype=torch.long, device=p.device)
    top_k, top_p = settings.top_k[rows], settings.top_p[rows]
    vocab = p.shape[1]
    # Both filters together need the mass of the top k: sorted at once.
    both = (top_k < vocab) & (top_p < 1)
    open_rows = torch.nonzero(~both)[:, 0]
    for _ in range(TRIES):
        if not open_rows.numel():
            break
        part = p if len(open_rows) == len(p) else p[open_rows]
        drawn = _draw(part, _numbers(rows[open_rows], number))
        above = part > part.gather(-1, drawn[:, None])
        kept = (above * part).sum(-1) < top_p[open_rows]
        if bool((top_k[open_rows] < vocab).any()):
            kept &= above.sum(-1) < top_k[open_rows]
        chosen[open_rows] = drawn
        open_rows = open_rows[~kept]
    sorted_rows = torch.cat([open_rows, torch.nonzero(both)[:, 0]])
    if sorted_rows.numel():
        chosen[sorted_rows] = _draw_sorted(
            p[sorted_rows],
            top_k[sorted_rows],
            top_p[sorted_rows],
            _numbers(rows[sorted_rows], number),
        )
    return chosen


def _draw_sorted(
    p: torch.Tensor, top_k: torch.Tensor, top_p: torch.Tensor, uniforms: torch.Tensor
) -> torch.Tensor:
    """Top-k first, then the nucleus of what is left, renormalised; then one draw."""
    values, ids = torch.sort(p, dim=-1, descending=True, stable=True)
    ranks = torch.arange(p.shape[1], device=p.device)
    values = torch.where(ranks < top_k[:, None], values, 0.0)
    before = values.cumsum(-1) - values
    kept = torch.where(before < top_p[:, None] * values.sum(-1, keepdim=True), values, 0.0)
    choice = _draw(kept, uniforms)
    # Rounding at the very end must not land on a dropped token.
    choice = torch.minimum(choice, ((kept > 0).sum(-1) - 1).clamp(min=0))
    return ids.gather(-1, choice[:, None])[:, 0]
