"""What an annotator is shown, in the order in which it is shown. Knows no seats and no leases."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, aliased

from db.models import Assignment, Batch, Candidate, Comparison, Persona, Prompt, Verdict

DWELL_BASE_MS = 600
DWELL_WORD_MS = 12
DWELL_MOST_MS = 4000

# Built once: putting such a statement together costs more than running it.
_A, _B = aliased(Candidate), aliased(Candidate)
_SHOWN = (
    select(
        Comparison.batch_id,
        Persona.slug,
        Persona.name,
        Persona.summary,
        Persona.front_matter,
        Batch.rubric,
        Prompt.messages,
        _A.text,
        _B.text,
    )
    .join(Batch, Batch.id == Comparison.batch_id)
    .join(Prompt, Prompt.id == Comparison.prompt_id)
    .join(_A, _A.id == Comparison.candidate_a_id)
    .join(_B, _B.id == Comparison.candidate_b_id)
    .outerjoin(Persona, Persona.slug == Comparison.persona_slug)
    .where(Comparison.id == bindparam("comparison"))
)
_TEXTS = (
    select(_A.text, _B.text)
    .select_from(Comparison)
    .join(_A, _A.id == Comparison.candidate_a_id)
    .join(_B, _B.id == Comparison.candidate_b_id)
    .where(Comparison.id == bindparam("comparison"))
)


@dataclass(frozen=True)
class Shown:
    """What one annotator is asked, in the order in which it is shown.

    Attributes:
        token: The assignment's opaque token, the only id that may reach a browser.
        persona_name: Who it should sound like; empty where the pair has no persona.
        persona_summary: That persona in a sentence.
        persona_slug: Its slug, empty where there is none.
        messages: The conversation, turns of ``role`` and ``content``.
        response_a: The text shown first.
        response_b: The text shown second.
        comparison_id: For the server only.
        placement: +1 where the canonical A is Response A, −1 where it is Response B.
        shown_at: When it was first shown under this lease (UTC).
        expires_at: When the lease runs out unless it is renewed (UTC).
        min_dwell_ms: Milliseconds after ``shown_at`` before which no verdict is taken.
        revising: Whether this annotator has judged it before.
        previous: The verdict that stood, in shown order, where ``revising``; None else.
        batch_id: For the server only.
        persona_card: The persona's front matter: tone, constraints, lines, reasons.
        rubric: What this batch asks to look at, in Markdown; empty where it says nothing.
    """

    token: str
    persona_name: str
    persona_summary: str
    persona_slug: str
    messages: list[dict[str, Any]]
    response_a: str
    response_b: str
    comparison_id: int
    placement: int
    shown_at: datetime
    expires_at: datetime
    min_dwell_ms: int
    revising: bool
    previous: Verdict | None = None
    batch_id: int = 0
    persona_card: dict[str, Any] = field(default_factory=dict[str, Any])
    rubric: str = ""


def min_dwell_ms(*texts: str) -> int:
    """How long two responses must stand before a verdict on them counts, in milliseconds.

    600 ms and 12 ms a word shown, at most 4 s: five times as fast as anybody reads, so that it
    stops double clicks and held keys, never a reader.
    """
    words = sum(len(text.split()) for text in texts)
    return min(DWELL_BASE_MS + DWELL_WORD_MS * words, DWELL_MOST_MS)


def show(session: Session, assignment: Assignment, previous: Verdict | None = None) -> Shown:
    """What an assignment shows; ``previous`` is the verdict that stood, in shown order."""
    row = session.execute(_SHOWN, {"comparison": assignment.comparison_id}).one()
    batch_id, slug, name, summary, card, rubric, messages, first, second = row
    if assignment.placement < 0:
        first, second = second, first
    assert assignment.shown_at is not None
    return Shown(
        token=assignment.token,
        persona_name=name or "",
        persona_summary=summary or "",
        persona_slug=slug or "",
        messages=messages,
        response_a=first,
        response_b=second,
        comparison_id=assignment.comparison_id,
        placement=assignment.placement,
        shown_at=assignment.shown_at,
        expires_at=assignment.expires_at,
        min_dwell_ms=min_dwell_ms(first, second),
        revising=assignment.attempt > 1,
        previous=previous,
        batch_id=batch_id,
        persona_card=card or {},
        rubric=rubric or "",
    )


def texts(session: Session, comparison_id: int) -> tuple[str, str]:
    """Both texts of a comparison, in canonical order."""
    return session.execute(_TEXTS, {"comparison": comparison_id}).tuples().one()
