"""Deciding where annotators disagree: a pair shown blind, what the annotators said, a decision.

A decision is a row beside the judgments: append-only, the latest stands, with the judgments that
stood when it was made. It changes no judgment and no report. Verdicts come in SHOWN order and are
stored in canonical order. Knows no page.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from db import audit
from db.adjudicators import involved, other_admins, refusal
from db.batches import SWAPPED
from db.decisions import AT_ONCE, Decision, decisions, latest
from db.disagreements import Disagreement, waiting
from db.errors import NotFound, Refused
from db.leases import now_or
from db.models import (
    Adjudication,
    Annotator,
    AnnotatorKind,
    Assignment,
    AuditEntry,
    Batch,
    Candidate,
    Comparison,
    Judgment,
    Persona,
    Prompt,
    Retraction,
    Verdict,
)
from db.texts import storable

__all__ = [
    "Case",
    "Decision",
    "Disagreement",
    "Opinion",
    "case",
    "decide",
    "decisions",
    "first_of",
    "next_case",
    "opinions",
    "placement_of",
    "put_first",
    "waiting",
]


FIRST_ANSWER = "answer blind"
"""What the audit log calls the answer that is given before the others' are shown."""


@dataclass(frozen=True)
class Case:
    """A pair as an adjudicator is shown it: blind, the way round that the server drew.

    Attributes:
        comparison_id: The pair; for the server only.
        persona: Who it should sound like; empty without one.
        summary: That persona in a sentence.
        messages: The conversation.
        response_a: The text shown first.
        response_b: The text shown second.
        placement: +1 where the canonical A is Response A, −1 where it is Response B.
        rubric: What the batch asks to look at, in Markdown.
        own: Whether this adjudicator judged the pair and nobody else could decide it.
        seen: Ids of the judgments that stand.
    """

    comparison_id: int
    persona: str
    summary: str
    messages: list[dict[str, Any]]
    response_a: str
    response_b: str
    placement: int
    rubric: str
    own: bool
    seen: tuple[int, ...]


@dataclass(frozen=True)
class Opinion:
    """One standing judgment of a pair, in the order in which the adjudicator sees it."""

    annotator: str
    kind: AnnotatorKind
    verdict: Verdict
    strength: int | None
    tags: tuple[str, ...]
    comment: str
    flag: str
    created_at: datetime


def next_case(
    session: Session,
    annotator_id: int,
    queue: Sequence[Disagreement],
    after: Sequence[int] = (),
) -> Case | None:
    """The first pair of the queue that this person may decide; None when there is none.

    A pair that they judged themselves, only where no other admin could decide it.

    Args:
        session: The session.
        annotator_id: Who is going to decide.
        queue: What ``waiting`` gave.
        after: Pairs to leave for later.
    """
    later = set(after)
    left = [each.comparison_id for each in queue if each.comparison_id not in later]
    others = other_admins(session, annotator_id)
    own: int | None = None
    for start in range(0, len(left), AT_ONCE):
        for comparison_id, who in involved(session, left[start : start + AT_ONCE]).items():
            if annotator_id not in who.everybody:
                return case(session, comparison_id, annotator_id)
            if own is None and refusal(annotator_id, who, others) is None:
                own = comparison_id
    return None if own is None else case(session, own, annotator_id)


def case(session: Session, comparison_id: int, annotator_id: int) -> Case:
    """One pair as this adjudicator is shown it, the same way round at every look.

    Raises:
        NotFound: There is no such pair.
        Refused: They may not decide it.
    """
    judged = _check(session, comparison_id, annotator_id)
    a, b = aliased(Candidate), aliased(Candidate)
    row = session.execute(
        select(Persona.name, Persona.summary, Prompt.messages, a.text, b.text, Batch.rubric)
        .select_from(Comparison)
        .join(Batch, Batch.id == Comparison.batch_id)
        .join(Prompt, Prompt.id == Comparison.prompt_id)
        .join(a, a.id == Comparison.candidate_a_id)
        .join(b, b.id == Comparison.candidate_b_id)
        .outerjoin(Persona, Persona.slug == Comparison.persona_slug)
        .where(Comparison.id == comparison_id)
    ).one()
    name, summary, messages, first, second, rubric = row
    placement = placement_of(session, comparison_id, annotator_id)
    if placement < 0:
        first, second = second, first
    return Case(
        comparison_id=comparison_id,
        persona=name or "",
        summary=summary or "",
        messages=[turn for turn in messages or () if isinstance(turn, dict)],
        response_a=first,
        response_b=second,
        placement=placement,
        rubric=rubric or "",
        own=judged,
        seen=tuple(_standing(session, comparison_id)),
    )


def placement_of(session: Session, comparison_id: int, annotator_id: int) -> int:
    """+1 or −1 for this pair and person: as good as drawn, and the same after a reload.

    Made from the random token of the pair's first assignment, which reaches no other browser.
    """
    token = session.scalar(
        select(Assignment.token)
        .where(Assignment.comparison_id == comparison_id)
        .order_by(Assignment.id)
        .limit(1)
    )
    digest = hashlib.sha256(f"adjudication {token} {annotator_id}".encode()).digest()
    return 1 if digest[0] & 1 else -1


def opinions(session: Session, comparison_id: int, placement: int) -> list[Opinion]:
    """What the annotators said of a pair, as seen with this placement, oldest first."""
    rows = session.execute(
        select(Judgment, Annotator.name, Annotator.kind)
        .join(Annotator, Annotator.id == Judgment.annotator_id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .where(Judgment.comparison_id == comparison_id, Retraction.judgment_id.is_(None))
        .order_by(Judgment.id)
    ).tuples()
    return [
        Opinion(
            annotator=name,
            kind=kind,
            verdict=judgment.verdict if placement > 0 else SWAPPED[judgment.verdict],
            strength=judgment.strength,
            tags=tuple(str(tag) for tag in judgment.tags or ()),
            comment=judgment.comment or "",
            flag=judgment.flag or "",
            created_at=judgment.created_at,
        )
        for judgment, name, kind in rows
    ]


def put_first(
    session: Session,
    comparison_id: int,
    annotator_id: int,
    verdict: Verdict | str,
    strength: int | None = None,
) -> tuple[Verdict, int | None]:
    """Keep the answer that an adjudicator gives blind, in SHOWN order; the first of a case stays.

    It is written down before the others' answers are shown, so that a reload asks nothing anew.

    Raises:
        NotFound: There is no such pair.
        Refused: They may not decide it.
    """
    session.get(Comparison, comparison_id, with_for_update=True)
    _check(session, comparison_id, annotator_id)
    known = first_of(session, comparison_id, annotator_id)
    if known is not None:
        return known
    chosen, much = _answer(verdict, strength)
    who = session.get_one(Annotator, annotator_id).name
    told = {"annotator": annotator_id, "shown": chosen.value, "strength": much}
    audit.record(session, who, FIRST_ANSWER, f"comparison {comparison_id}", **told)
    return chosen, much


def first_of(
    session: Session, comparison_id: int, annotator_id: int
) -> tuple[Verdict, int | None] | None:
    """What this person answered blind on a pair since it was last decided; None before they did."""
    decided = latest(session, [comparison_id]).get(comparison_id)
    query = select(AuditEntry.detail).where(
        AuditEntry.act == FIRST_ANSWER, AuditEntry.subject == f"comparison {comparison_id}"
    )
    if decided is not None:
        query = query.where(AuditEntry.created_at > decided.created_at)
    for detail in session.scalars(query.order_by(AuditEntry.id)):
        if detail.get("annotator") == annotator_id:
            return Verdict(str(detail["shown"])), detail.get("strength")
    return None


def decide(
    session: Session,
    comparison_id: int,
    annotator_id: int,
    verdict: Verdict | str,
    *,
    seen: Sequence[int],
    strength: int | None = None,
    note: str = "",
    first: tuple[Verdict | str, int | None] | None = None,
    now: datetime | None = None,
) -> Adjudication:
    """Decide a pair. The latest decision stands; earlier ones and all judgments stay.

    Args:
        session: The session.
        comparison_id: The pair.
        annotator_id: Who decides.
        verdict: In SHOWN order.
        seen: Ids of the judgments that were looked at.
        strength: 1 better (also when None) or 2 much better; only for a and b.
        note: Why.
        first: The answer given before the others' were shown, with its strength; where it is
            another one it is kept as a decision of its own, before this one.
        now: The moment (UTC); None for the present.

    Raises:
        NotFound: There is no such pair.
        Refused: They may not decide it, or it is decided and no judgment is new since.
    """
    who = session.get(Annotator, annotator_id)
    if who is None:
        raise NotFound("this account does not exist")
    session.get(Comparison, comparison_id, with_for_update=True)  # two admins take turns
    _check(session, comparison_id, annotator_id)
    there = set(_standing(session, comparison_id))
    decided = latest(session, [comparison_id]).get(comparison_id)
    if decided is not None and there <= set(decided.judgments):
        raise Refused("this pair was decided meanwhile; nothing was changed")
    placement = placement_of(session, comparison_id, annotator_id)
    final = _answer(verdict, strength)
    answers = [final]
    if first is not None and _answer(*first) != final:
        answers.insert(0, _answer(*first))
    moment = now_or(now)
    made: Adjudication | None = None
    for place, (chosen, much) in enumerate(answers, start=1):
        before = place < len(answers)
        made = Adjudication(
            comparison_id=comparison_id,
            annotator_id=annotator_id,
            verdict=chosen if placement > 0 else SWAPPED[chosen],
            strength=much,
            note="before the annotators' answers were shown" if before else storable(note).strip(),
            judgments=sorted(there & set(seen)),
            placement=placement,
            created_at=moment,
        )
        session.add(made)
        session.flush()
    assert made is not None
    audit.record(
        session,
        who.name,
        "adjudicate",
        f"comparison {comparison_id}",
        verdict=made.verdict.value,
        judgments=len(made.judgments),
        changed=len(answers) > 1,
    )
    return made


def _standing(session: Session, comparison_id: int) -> list[int]:
    return list(
        session.scalars(
            select(Judgment.id)
            .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
            .where(Judgment.comparison_id == comparison_id, Retraction.judgment_id.is_(None))
            .order_by(Judgment.id)
        )
    )


def _check(session: Session, comparison_id: int, annotator_id: int) -> bool:
    """Whether this person judged the pair themselves.

    Raises:
        NotFound: There is no such pair.
        Refused: They may not decide it.
    """
    if session.get(Comparison, comparison_id) is None:
        raise NotFound(f"there is no comparison {comparison_id}")
    who = involved(session, [comparison_id])[comparison_id]
    refused = refusal(annotator_id, who, other_admins(session, annotator_id))
    if refused is not None:
        raise Refused(refused)
    return annotator_id in who.judges


def _answer(verdict: Verdict | str, strength: int | None) -> tuple[Verdict, int | None]:
    try:
        chosen = Verdict(verdict)
    except ValueError:
        raise Refused(f"{verdict!r} is not a, b, tie or both_bad") from None
    if chosen not in {Verdict.A, Verdict.B}:
        return chosen, None
    if strength not in {None, 1, 2}:
        raise Refused("strength must be 1 (better) or 2 (much better)")
    return chosen, strength or 1
