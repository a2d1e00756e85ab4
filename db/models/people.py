"""How people sign in and learn, and what they are told: no judgments are here."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.clock import utcnow
from db.models.base import Base, by_value
from db.models.words import Verdict


class Password(Base):
    """The argon2id hash of a local account's password."""

    __tablename__ = "password"

    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), primary_key=True)
    hash: Mapped[str] = mapped_column(String(200))
    """In the PHC string format, with its parameters and salt."""
    set_at: Mapped[datetime] = mapped_column(default=utcnow)


class Identity(Base):
    """An account at an OpenID provider that signs a person in here."""

    __tablename__ = "identity"

    id: Mapped[int] = mapped_column(primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), index=True)
    issuer: Mapped[str] = mapped_column(String(300))
    subject: Mapped[str] = mapped_column(String(300))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (UniqueConstraint("issuer", "subject"),)


class SignInTry(Base):
    """How often a password was tried for one name, or from one address, without success."""

    __tablename__ = "sign_in_try"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The SHA-256 of what is counted, so that names that are nobody's are not kept."""
    tries: Mapped[int]
    last_at: Mapped[datetime]
    until: Mapped[datetime]
    """No password is looked at before."""

    __table_args__ = (Index("ix_sign_in_try_last", "last_at"),)


class Guideline(Base):
    """One version of what evaluators go by, in Markdown. Append-only."""

    __tablename__ = "guideline"

    version: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    author: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class GuidelineAcceptance(Base):
    """That somebody read a version and goes by it. Append-only."""

    __tablename__ = "guideline_acceptance"

    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), primary_key=True)
    version: Mapped[int] = mapped_column(ForeignKey("guideline.version"), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Onboarding(Base):
    """What is asked of evaluators before they judge. Append-only; the newest row counts.

    Who asked for it is in the audit log.
    """

    __tablename__ = "onboarding"

    id: Mapped[int] = mapped_column(primary_key=True)
    annotator_id: Mapped[int | None] = mapped_column(ForeignKey("annotator.id"))
    """Whom it is about; null where it is about everybody who has no row of their own."""
    guidelines: Mapped[str] = mapped_column(String(16))
    """``offered``, or ``required`` before a pair is shown."""
    practice: Mapped[str] = mapped_column(String(16))
    """``off``, ``offered``, or ``required`` before the first pair."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (
        CheckConstraint("guidelines IN ('offered', 'required')", name="guidelines"),
        CheckConstraint("practice IN ('off', 'offered', 'required')", name="practice"),
        Index("ix_onboarding_whose", "annotator_id", "id"),
    )


class PracticeItem(Base):
    """A pair to practise on, with the answer and why."""

    __tablename__ = "practice_item"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    """Its name in the file that it came from."""
    position: Mapped[int] = mapped_column(default=0)
    persona_slug: Mapped[str | None] = mapped_column(ForeignKey("persona.slug"))
    messages: Mapped[list[Any]]
    response_a: Mapped[str] = mapped_column(Text)
    response_b: Mapped[str] = mapped_column(Text)
    expected: Mapped[Verdict] = mapped_column(by_value(Verdict))
    explanation: Mapped[str] = mapped_column(Text)
    active: Mapped[bool] = mapped_column(default=True)


class PracticeAnswer(Base):
    """What somebody answered in practice. Never a judgment."""

    __tablename__ = "practice_answer"

    id: Mapped[int] = mapped_column(primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    item_id: Mapped[int] = mapped_column(ForeignKey("practice_item.id"))
    verdict: Mapped[Verdict] = mapped_column(by_value(Verdict))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (Index("ix_practice_answer_mine", "annotator_id", "item_id"),)


class Notice(Base):
    """Something that an admin should know and can put away."""

    __tablename__ = "notice"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    """``paused``, ``set aside``, ``flag`` …"""
    subject: Mapped[str] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    seen_at: Mapped[datetime | None]
    seen_by: Mapped[str | None] = mapped_column(String(120))

    __table_args__ = (Index("ix_notice_open", "seen_at", "id"),)


class Erasure(Base):
    """That a person's name and words were taken out on request; their verdicts stay.

    While ``finished_at`` is null the triggers let the erasing transaction blank that person's
    comments and rename them in the audit log, and nothing else.
    """

    __tablename__ = "erasure"

    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"), primary_key=True)
    pseudonym: Mapped[str] = mapped_column(String(120))
    comments: Mapped[int]
    """How many comments were blanked; minus one where they were kept (a pseudonym only)."""
    actor: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    finished_at: Mapped[datetime | None]

    __table_args__ = (CheckConstraint("comments >= -1", name="comments"),)
