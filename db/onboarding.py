"""What is asked of evaluators before they judge: guidelines to accept, pairs to practise on.

The asking is the page's: ``db.labeling`` hands pairs to whoever claims them. Nothing is required
until an admin says so, and never of analysts and admins. Knows no page.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import audit, guidelines, practice
from db.errors import NotFound, Refused
from db.models import Annotator, Guideline, Judgment, Onboarding, Role

GUIDELINES = ("offered", "required")
PRACTICE = ("off", "offered", "required")


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Attributes:
        guidelines: ``offered``, or ``required`` before a pair is shown.
        practice: ``off``, ``offered``, or ``required`` before the first pair.
    """

    guidelines: str = "offered"
    practice: str = "offered"


@dataclass(frozen=True)
class Step:
    """Where one annotator stands.

    Attributes:
        unread: The current guidelines where they are not accepted yet; None where they are.
        accepted: The newest version that was accepted; None where none was.
        may_practise: Whether there are practice pairs left that were never answered.
        must_read: Whether the guidelines come before the next pair.
        must_practise: Whether practice comes before the first pair.
    """

    unread: Guideline | None
    accepted: int | None
    may_practise: bool
    must_read: bool
    must_practise: bool

    @property
    def must(self) -> bool:
        """Whether anything comes before the next pair."""
        return self.must_read or self.must_practise


def asked(session: Session, annotator_id: int | None = None) -> Asked:
    """What is asked of everybody, or of one annotator where something else was said of them."""
    for whose in (annotator_id, None) if annotator_id is not None else (None,):
        found = session.scalar(
            select(Onboarding)
            .where(
                Onboarding.annotator_id.is_(None)
                if whose is None
                else Onboarding.annotator_id == whose
            )
            .order_by(Onboarding.id.desc())
            .limit(1)
        )
        if found is not None:
            return Asked(found.guidelines, found.practice)
    return Asked()


def require(
    session: Session,
    *,
    actor: str,
    guidelines: str | None = None,
    practice: str | None = None,
    annotator_id: int | None = None,
) -> Asked:
    """Say what is asked from now on.

    Args:
        session: The session.
        actor: Who says so.
        guidelines: ``offered`` or ``required``; None leaves it.
        practice: ``off``, ``offered`` or ``required``; None leaves it.
        annotator_id: Of whom; None for everybody.

    Raises:
        Refused: Not one of these words.
        NotFound: There is no such annotator.
    """
    before = asked(session, annotator_id)
    after = Asked(guidelines or before.guidelines, practice or before.practice)
    if after.guidelines not in GUIDELINES:
        raise Refused(f"guidelines are offered or required, not {after.guidelines!r}")
    if after.practice not in PRACTICE:
        raise Refused(f"practice is off, offered or required, not {after.practice!r}")
    subject = "everybody"
    if annotator_id is not None:
        person = session.get(Annotator, annotator_id)
        if person is None:
            raise NotFound("this account does not exist; `personaloop users list` shows everybody")
        subject = person.name
    session.add(
        Onboarding(annotator_id=annotator_id, guidelines=after.guidelines, practice=after.practice)
    )
    session.flush()
    audit.record(
        session,
        actor,
        "onboarding",
        subject,
        guidelines=after.guidelines,
        practice=after.practice,
    )
    return after


def mark_ready(session: Session, annotator_id: int, *, actor: str) -> None:
    """Let somebody judge at once: trained elsewhere. Nothing is accepted in their name.

    Raises:
        NotFound: There is no such annotator.
    """
    require(session, actor=actor, guidelines="offered", practice="off", annotator_id=annotator_id)


def step(session: Session, annotator_id: int) -> Step:
    """What an annotator may or must do before judging.

    Raises:
        NotFound: There is no such annotator.
    """
    person = session.get(Annotator, annotator_id)
    if person is None:
        raise NotFound("this account does not exist; ask for a new invitation")
    wanted = asked(session, annotator_id)
    newest = guidelines.current(session)
    accepted = guidelines.accepted(session, annotator_id)
    unread = newest if newest is not None and newest.version != accepted else None
    to_practise = wanted.practice != "off" and not practice.practised(session, annotator_id)
    free = person.role is not Role.EVALUATOR
    return Step(
        unread=unread,
        accepted=accepted,
        may_practise=to_practise,
        must_read=not free and unread is not None and wanted.guidelines == "required",
        must_practise=not free
        and to_practise
        and wanted.practice == "required"
        and not _has_judged(session, annotator_id),
    )


def _has_judged(session: Session, annotator_id: int) -> bool:
    found = select(Judgment.id).where(Judgment.annotator_id == annotator_id).limit(1)
    return session.scalar(found) is not None
