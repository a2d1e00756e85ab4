"""Pairs of responses that nobody judged, for one run: found in the ledger, labeled, kept for good.

Knows candidates, training/taste.py and the run folder. Does not know models. What a run
labels is written into its folder before it is used, so that a resumed run trains on the same.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.candidates import token_ids
from db.models import Candidate, Prompt
from training.dpo_config import DPOConfig
from training.pairs import PreferencePair, is_heldout, prompt_key
from training.runs import RunFolder
from training.taste import Taste, fit_taste, label_unjudged

FILE = "unjudged.json"
Samples = dict[str, tuple[list[dict[str, str]], list[tuple[str, tuple[int, ...]]]]]


def unjudged_pairs(
    session: Session,
    persona: str,
    adapter_id: str,
    judged: Sequence[PreferencePair],
    wanted: int,
    config: DPOConfig,
    run: RunFolder,
) -> tuple[list[PreferencePair], dict[str, Any]]:
    """The pairs to train on beside the judged ones, and what the run's report says of them.

    Args:
        session: the session.
        persona: slug.
        adapter_id: the reference: only its own responses are paired.
        judged: every judged pair that may be trained on.
        wanted: pairs wanted, at most.
        config: whether and how.
        run: where they are kept; found there when the run is resumed.
    """
    kept = run.read(FILE)
    if kept is None:
        run.path.mkdir(parents=True, exist_ok=True)
        pairs, said = _labeled(session, persona, adapter_id, judged, wanted, config)
        kept = {"pairs": [asdict(pair) for pair in pairs], "report": said}
        run.write(FILE, kept)
    return [_pair(raw) for raw in kept["pairs"]], dict(kept["report"])


def _labeled(
    session: Session,
    persona: str,
    adapter_id: str,
    judged: Sequence[PreferencePair],
    wanted: int,
    config: DPOConfig,
) -> tuple[list[PreferencePair], dict[str, Any]]:
    if wanted < 1:
        return [], {"why": "none wanted"}
    taste = fit_taste([pair for pair in judged if not pair.tie])
    if taste is None:
        return [], {"why": "too few judged prompts to learn what is liked"}
    said = about(taste)
    if taste.accuracy < config.taste_accuracy:
        return [], {**said, "why": "it does not predict judgments well enough"}
    pairs = label_unjudged(
        taste,
        _samples(session, persona, adapter_id, config.heldout_share),
        judged={pair.key for pair in judged},
        most=wanted,
        sure=config.taste_sure,
        weight=config.unjudged_weight,
    )
    return pairs, said


def about(taste: Taste) -> dict[str, Any]:
    """What the model thinks is liked, and how well it predicts."""
    return {
        "accuracy": round(taste.accuracy, 4),
        "pairs": taste.pairs,
        "likes": taste.in_words(),
        "ridge": taste.ridge,
    }


def _samples(session: Session, persona: str, adapter_id: str, heldout: float) -> Samples:
    """The adapter's responses to prompts that may be trained on, by prompt."""
    rows = session.execute(
        select(Candidate, Prompt)
        .join(Prompt, Prompt.id == Candidate.prompt_id)
        .where(
            Candidate.persona_slug == persona,
            Candidate.adapter_id == adapter_id,
            Prompt.split == "loop",
        )
        .order_by(Candidate.id)
    )
    samples: Samples = {}
    for candidate, prompt in rows.tuples():
        key, tokens = prompt_key(prompt.messages), token_ids(candidate)
        if tokens is not None and not is_heldout(key, heldout):
            _, responses = samples.setdefault(key, (list(prompt.messages), []))
            responses.append((candidate.text, tuple(tokens.tolist())))
    return samples


def _pair(raw: dict[str, Any]) -> PreferencePair:
    known = dict(raw)
    for name in ("messages", "judgments", "chosen_tokens", "rejected_tokens"):
        known[name] = None if known[name] is None else tuple(known[name])
    return PreferencePair(**known)
