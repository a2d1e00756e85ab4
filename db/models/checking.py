"""What is looked at beside the judgments: mirrored repeats, flags, returns, adjudications."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from db.clock import utcnow
from db.models.base import Base, by_value
from db.models.words import Verdict


class Repeat(Base):
    """An own earlier pair shown again, mirrored, to see whether the answer is the same.

    Not a judgment: it is in no rating, no report's counts and no training.
    """

    __tablename__ = "repeat"

    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(String(43), unique=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    comparison_id: Mapped[int] = mapped_column(ForeignKey("comparison.id"))
    judgment_id: Mapped[int] = mapped_column(ForeignKey("judgment.id"))
    """The first answer."""
    placement: Mapped[int]
    """The other way round than the first time."""
    shown_at: Mapped[datetime] = mapped_column(default=utcnow)
    answered_at: Mapped[datetime | None]
    verdict: Mapped[Verdict | None] = mapped_column(by_value(Verdict))
    """In canonical order; null while it is open or where it was skipped."""
    strength: Mapped[int | None]
    dwell_ms: Mapped[int | None]

    __table_args__ = (
        CheckConstraint("placement IN (-1, 1)", name="placement"),
        Index("ix_repeat_mine", "annotator_id", "id"),
        Index(
            "uq_repeat_one_open",
            "annotator_id",
            unique=True,
            sqlite_where=text("answered_at IS NULL"),
            postgresql_where=text("answered_at IS NULL"),
        ),
    )


class SetAside(Base):
    """A comparison that is shown to nobody until an admin has looked: a text names itself."""

    __tablename__ = "set_aside"

    comparison_id: Mapped[int] = mapped_column(ForeignKey("comparison.id"), primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    """Which words of which side, for the admin."""
    overlap: Mapped[int]
    """Judgments it wanted, given back when it is released."""
    decision: Mapped[str | None] = mapped_column(String(16))
    """``released`` or ``dropped``; null while it waits."""
    decided_by: Mapped[str | None] = mapped_column(String(120))
    decided_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (
        CheckConstraint("decision IN ('released', 'dropped')", name="decision"),
        CheckConstraint("overlap >= 0", name="overlap"),
    )


class Flag(Base):
    """What an annotator says is wrong with a pair; waits for an admin."""

    __tablename__ = "flag"

    id: Mapped[int] = mapped_column(primary_key=True)
    comparison_id: Mapped[int] = mapped_column(ForeignKey("comparison.id"), index=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    judgment_id: Mapped[int | None] = mapped_column(ForeignKey("judgment.id"))
    """The judgment it came with; null where the pair was skipped."""
    kind: Mapped[str] = mapped_column(String(32))
    """``personal data``, ``unsafe`` or ``broken``."""
    note: Mapped[str | None] = mapped_column(Text)
    resolution: Mapped[str | None] = mapped_column(Text)
    """What was done about it, in words; null while it waits."""
    resolved_by: Mapped[str | None] = mapped_column(String(120))
    resolved_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (Index("ix_flag_open", "resolved_at", "id"),)


class JudgmentReturn(Base):
    """A judgment given back to its annotator for correction. It stands until they revise it."""

    __tablename__ = "judgment_return"

    id: Mapped[int] = mapped_column(primary_key=True)
    judgment_id: Mapped[int] = mapped_column(ForeignKey("judgment.id"), index=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    note: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    answered_at: Mapped[datetime | None]

    __table_args__ = (Index("ix_judgment_return_open", "annotator_id", "answered_at"),)


class Adjudication(Base):
    """An expert's decision where annotators disagree. Append-only; the latest stands."""

    __tablename__ = "adjudication"

    id: Mapped[int] = mapped_column(primary_key=True)
    comparison_id: Mapped[int] = mapped_column(ForeignKey("comparison.id"), index=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    """Who decided."""
    verdict: Mapped[Verdict] = mapped_column(by_value(Verdict))
    """In canonical order."""
    strength: Mapped[int | None]
    note: Mapped[str] = mapped_column(Text, default="")
    judgments: Mapped[list[Any]]
    """Ids of the judgments that stood when it was decided."""
    placement: Mapped[int]
    """How the pair was shown to who decided."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (
        CheckConstraint("placement IN (-1, 1)", name="placement"),
        CheckConstraint(
            "(verdict IN ('a', 'b') AND strength IN (1, 2))"
            " OR (verdict IN ('tie', 'both_bad') AND strength IS NULL)",
            name="strength",
        ),
    )
