"""Candidates: stored completions with all that is needed to make them again.

Knows nothing of how they are generated. Token ids and log-probabilities are kept as little-endian
bytes, never pickled.
"""

import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.errors import Refused
from db.models import Candidate
from db.texts import storable

NEARLY = 0.85
"""Share of common words from which two texts count as nearly the same."""


def put_candidate(
    session: Session,
    *,
    prompt_id: int,
    persona: str | None,
    adapter_id: str,
    text: str,
    sampling: Mapping[str, Any] | None = None,
    seed: int | None = None,
    tokens: NDArray[np.int32] | None = None,
    logprobs: NDArray[np.float32] | None = None,
    stop_reason: str | None = None,
    source: str = "generated",
) -> Candidate:
    """Store a completion, or find the one with the same prompt, persona, adapter, seed and source.

    The stored one is given as it is, so that generating can be repeated after a crash. Where no
    seed is known (imports), the text takes the seed's part in that key.

    Args:
        session: The session.
        prompt_id: What it answers.
        persona: Slug of the persona it speaks as; None for imported texts.
        adapter_id: Who wrote it.
        text: The completion.
        sampling: temperature, top_p, top_k, max_tokens, stop as asked.
        seed: The seed as asked.
        tokens: Token ids, shape (n,), the stop token included.
        logprobs: Natural log-probability of each token, shape (n,).
        stop_reason: ``stop`` or ``length``.
        source: Where it comes from.

    Raises:
        Refused: ``tokens`` and ``logprobs`` differ in length.
    """
    if tokens is not None and logprobs is not None and len(tokens) != len(logprobs):
        raise Refused(f"a candidate has {len(tokens)} tokens but {len(logprobs)} log-probabilities")
    text = storable(text)
    query = select(Candidate).where(
        Candidate.prompt_id == prompt_id,
        Candidate.persona_slug.is_(None) if persona is None else Candidate.persona_slug == persona,
        Candidate.adapter_id == adapter_id,
        Candidate.source == source,
        (Candidate.seed.is_(None) & (Candidate.text == text))
        if seed is None
        else Candidate.seed == seed,
    )
    found = session.scalar(query.limit(1))
    if found is not None:
        return found
    made = Candidate(
        prompt_id=prompt_id,
        persona_slug=persona,
        adapter_id=adapter_id,
        text=text,
        sampling=dict(sampling or {}),
        seed=seed,
        tokens=None if tokens is None else np.asarray(tokens, dtype="<i4").tobytes(),
        logprobs=None if logprobs is None else np.asarray(logprobs, dtype="<f4").tobytes(),
        stop_reason=stop_reason,
        source=source,
    )
    session.add(made)
    session.flush()
    return made


def token_ids(candidate: Candidate) -> NDArray[np.int32] | None:
    """The candidate's token ids, shape (n,); None where they are not known."""
    if candidate.tokens is None:
        return None
    return np.frombuffer(candidate.tokens, dtype="<i4").astype(np.int32)


def token_logprobs(candidate: Candidate) -> NDArray[np.float32] | None:
    """The candidate's log-probabilities, shape (n,); None where they are not known."""
    if candidate.logprobs is None:
        return None
    return np.frombuffer(candidate.logprobs, dtype="<f4").astype(np.float32)


def nearly_same(a: str, b: str, *, threshold: float = NEARLY) -> bool:
    """Whether two texts differ too little for a comparison to teach anything.

    Words are compared without case and punctuation; the similarity is twice the number of common
    words (with repetition) over the number of words in both (Dice, 1945).

    Args:
        a: One text.
        b: The other.
        threshold: Similarity from 0 to 1 at which they count as nearly the same.
    """
    if a.strip() == b.strip():
        return True
    words_a, words_b = _words(a), _words(b)
    total = words_a.total() + words_b.total()
    if total == 0:
        return False
    return 2 * (words_a & words_b).total() / total >= threshold


def _words(text: str) -> Counter[str]:
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(each if each.isalnum() else " " for each in folded)
    return Counter(kept.split())
