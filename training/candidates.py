"""Candidates: sampled through the Tinker SDK, chosen into pairs worth asking.

Knows sampling, seeds and how different two texts are. Does not know the ledger (training/batches.py
stores what is made here) nor what people like.
"""

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from db.candidates import nearly_same
from training.configs import in_range
from training.datums import Encoder

if TYPE_CHECKING:
    import tinker

Progress = Callable[[str, float], None]
WINDOW = 64
"""Requests on their way at a time: enough to fill the engine's batches, few enough to report."""


@dataclass(frozen=True)
class CandidateConfig:
    """How candidates are sampled and paired.

    Attributes:
        temperature: at which a label pair's responses are sampled; 0 is greedy.
        blind_temperature: at which adapters answer in a blind comparison: as they answer customers,
            calmer than where variety is what people should choose from.
        top_p: smallest set of tokens whose probability reaches this; 1 keeps all.
        top_k: keep this many of the likeliest tokens; -1 keeps all.
        max_tokens: most tokens of a completion.
        samples: completions a prompt from which a label pair is chosen.
        nearly: share of common words from which a pair is not asked, 0 to 1.
        label_comparisons: comparisons of a label batch.
        blind_comparisons: comparisons of a blind batch, at most.
        overlap: judgments wanted a comparison, by different annotators.
        seed: of every sample.
    """

    temperature: float = 1.0
    blind_temperature: float = 0.5
    top_p: float = 1.0
    top_k: int = -1
    max_tokens: int = 120
    samples: int = 4
    nearly: float = 0.85
    label_comparisons: int = 72
    blind_comparisons: int = 60
    overlap: int = 1
    seed: int = 7

    def __post_init__(self) -> None:
        """Refuse values out of range, by name."""
        in_range(self, "temperature", 0.0, 10.0)
        in_range(self, "blind_temperature", 0.0, 10.0)
        in_range(self, "top_p", 1e-6, 1.0)
        in_range(self, "top_k", -1)
        in_range(self, "samples", 2, 64)
        in_range(self, "nearly", 0.0, 1.0)
        for name in ("max_tokens", "label_comparisons", "blind_comparisons", "overlap"):
            in_range(self, name, 1)
        in_range(self, "seed", 0)

    def sampling(self) -> dict[str, Any]:
        """What is stored with each candidate."""
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": self.top_k,
            "max_tokens": self.max_tokens,
        }


@dataclass(frozen=True)
class Completion:
    """One sampled completion.

    Attributes:
        text: without end token and surrounding space.
        tokens: ids, int32, shape (n,), the end token included.
        logprobs: natural log-probabilities, float32, shape (n,).
        seed: asking for one sample with it gives the same again.
        stop_reason: ``stop`` or ``length``.
    """

    text: str
    tokens: np.ndarray
    logprobs: np.ndarray
    seed: int
    stop_reason: str


def request_seed(config: CandidateConfig, adapter_id: str, prompt: str, purpose: str) -> int:
    """The seed of a prompt's first sample; sample i has this plus i.

    Args:
        config: has the seed that all of them follow; asked otherwise, they are other samples.
        adapter_id: who answers.
        prompt: the prompt's hash.
        purpose: what the samples are for, so that two rounds get different ones.
    """
    told = f"{config.seed}:{adapter_id}:{prompt}:{purpose}:{sorted(config.sampling().items())}"
    return int(hashlib.sha256(told.encode()).hexdigest()[:7], 16) * 8


def sample_candidates(
    sampler: "tinker.SamplingClient",
    encoder: Encoder,
    prompts: Sequence[tuple[str, Sequence[dict[str, str]]]],
    adapter_id: str,
    config: CandidateConfig,
    *,
    purpose: str,
    samples: int,
    progress: Progress = lambda stage, share: None,
) -> Iterator[list[Completion]]:
    """Sample completions of each prompt, in the prompts' order, many on their way at a time.

    A prompt that leaves no room to answer gets none: an empty list stands in its place.

    Args:
        sampler: of the adapter.
        encoder: of persona and service.
        prompts: (hash, messages) each.
        adapter_id: who answers; part of the seeds.
        config: how to sample.
        purpose: part of the seeds.
        samples: completions a prompt.
        progress: told the share done, 0 to 1; may raise to stop.
    """
    import tinker

    waiting: deque[tuple[int, Any]] = deque()
    done = 0

    def received() -> list[Completion]:
        nonlocal done
        seed, future = waiting.popleft()
        done += 1
        progress("generating", done / len(prompts))
        if future is None:
            return []
        return [
            _completion(encoder, sequence, seed + number)
            for number, sequence in enumerate(encoder.service.wait(future).sequences)
        ]

    def asked(prompt: str, tokens: tuple[int, ...]) -> tuple[int, Any]:
        seed = request_seed(config, adapter_id, prompt, purpose)
        room = encoder.service.context - len(tokens)
        if room < 2:
            return seed, None
        params = tinker.SamplingParams(
            max_tokens=min(config.max_tokens, room),
            temperature=config.temperature,
            top_p=config.top_p,
            top_k=config.top_k,
            seed=seed,
            stop=encoder.rendering.stop,
        )
        given = tinker.ModelInput.from_ints(list(tokens))
        return seed, sampler.sample(given, num_samples=samples, sampling_params=params)

    for prompt, messages in prompts:
        waiting.append(asked(prompt, encoder.prompt(messages)))
        if len(waiting) >= WINDOW:
            yield received()
    while waiting:
        yield received()


def _completion(encoder: Encoder, sequence: Any, seed: int) -> Completion:
    tokens = np.asarray(sequence.tokens, dtype=np.int32)
    logprobs = np.asarray(sequence.logprobs, dtype=np.float32)
    return Completion(
        encoder.read(tokens.tolist()), tokens, logprobs, seed, str(sequence.stop_reason)
    )


def choose_pair(texts: Sequence[str], nearly: float, *, rank: int = 0) -> tuple[int, int] | None:
    """The two of several texts that teach most, or None where all are alike.

    Those are the two that say the same in the most different manner (`difference`). It is found
    without knowing what anybody likes.

    Args:
        texts: completions of one prompt; empty ones are never chosen.
        nearly: share of common words from which a pair counts as alike.
        rank: 0 for the most different pair, 1 for the next …
    """
    usable = [number for number, text in enumerate(texts) if text.strip()]
    pairs = [
        (i, j)
        for i, j in combinations(usable, 2)
        if not nearly_same(texts[i], texts[j], threshold=nearly)
    ]
    pairs.sort(key=lambda pair: -difference(texts[pair[0]], texts[pair[1]]))
    return pairs[rank] if rank < len(pairs) else None


def difference(one: str, other: str) -> float:
    """How differently two texts say the same, 0 for equal and at most about 2.8.

    Length, ending and exclamation marks tell manners apart. Shared content counts too: where two
    texts speak of different things, people choose between the things, and nobody learns which
    manner they like.
    """
    sizes = sorted((len(one.split()), len(other.split())))
    length = 1 - sizes[0] / max(1, sizes[1])
    ending = float(one.rstrip().endswith("?") != other.rstrip().endswith("?"))
    exclaims = min(abs(one.count("!") - other.count("!")), 3) / 3
    manner = length + 0.5 * ending + 0.5 * exclaims
    return 0.0 if one == other else manner + 2 * min(shared_content(one, other), 0.4)


def shared_content(one: str, other: str) -> float:
    """Share of the shorter text's long words that the other has too, 0 to 1."""
    words, others = (set(re.findall(r"\w{4,}", text.lower())) for text in (one, other))
    return len(words & others) / max(1, min(len(words), len(others)))
