"""What was answered: leases, judgments, what was taken back, and what runs trained on."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.clock import utcnow
from db.models.asking import Comparison
from db.models.base import Base, by_value
from db.models.words import AssignmentState, Verdict


class Assignment(Base):
    """The lease by which one annotator holds one comparison, and which side A is shown on."""

    __tablename__ = "assignment"

    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(String(43), unique=True)
    """Opaque and random: the only id that reaches a browser."""
    comparison_id: Mapped[int] = mapped_column(ForeignKey("comparison.id"), index=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    attempt: Mapped[int] = mapped_column(default=1)
    """2 and up where the annotator came back to revise."""
    placement: Mapped[int]
    """+1 where the canonical A is shown as Response A, −1 where it is shown as Response B."""
    state: Mapped[AssignmentState] = mapped_column(
        by_value(AssignmentState), default=AssignmentState.LEASED
    )
    seat: Mapped[bool] = mapped_column(default=True)
    """Whether it holds one of the comparison's seats; false for imports and pending revisions."""
    skip_reason: Mapped[str | None] = mapped_column(Text)
    leased_at: Mapped[datetime] = mapped_column(default=utcnow)
    shown_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]

    comparison: Mapped[Comparison] = relationship()

    __table_args__ = (
        UniqueConstraint("comparison_id", "annotator_id", "attempt"),
        CheckConstraint("placement IN (-1, 1)", name="placement"),
        CheckConstraint("state IN ('leased', 'judged') OR NOT seat", name="seat"),
        Index("ix_assignment_mine", "annotator_id", "state"),
        Index("ix_assignment_latest", "annotator_id", "id"),
        Index(
            "ix_assignment_lease",
            "expires_at",
            sqlite_where=text("state = 'leased'"),
            postgresql_where=text("state = 'leased'"),
        ),
        Index(
            "uq_assignment_one_lease",
            "annotator_id",
            unique=True,
            sqlite_where=text("state = 'leased'"),
            postgresql_where=text("state = 'leased'"),
        ),
    )


class Judgment(Base):
    """One annotator's verdict on one comparison, in canonical order. Append-only."""

    __tablename__ = "judgment"

    id: Mapped[int] = mapped_column(primary_key=True)
    assignment_id: Mapped[int] = mapped_column(ForeignKey("assignment.id"), unique=True)
    comparison_id: Mapped[int] = mapped_column(ForeignKey("comparison.id"), index=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    verdict: Mapped[Verdict] = mapped_column(by_value(Verdict))
    strength: Mapped[int | None]
    """1 better, 2 much better; null for tie and both bad."""
    placement: Mapped[int]
    """As the assignment's; 0 where an import does not say."""
    weight: Mapped[float] = mapped_column(default=1.0)
    """1 unless an import says otherwise."""
    in_character: Mapped[str | None] = mapped_column(String(8))
    helpful: Mapped[str | None] = mapped_column(String(8))
    safe: Mapped[str | None] = mapped_column(String(8))
    tags: Mapped[list[Any]] = mapped_column(default=list)
    comment: Mapped[str | None] = mapped_column(Text)
    flag: Mapped[str | None] = mapped_column(String(32))
    dwell_ms: Mapped[int | None]
    """Milliseconds between showing and the verdict, by the server's clock."""
    source: Mapped[str] = mapped_column(String(120), default="page")
    external_id: Mapped[str | None] = mapped_column(String(160))
    guideline_version: Mapped[int | None]
    """The guidelines that the annotator had accepted; null before there were any."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    comparison: Mapped[Comparison] = relationship()

    __table_args__ = (
        CheckConstraint("placement IN (-1, 0, 1)", name="placement"),
        CheckConstraint(
            "(verdict IN ('a', 'b') AND strength IN (1, 2))"
            " OR (verdict IN ('tie', 'both_bad') AND strength IS NULL)",
            name="strength",
        ),
        CheckConstraint("weight > 0", name="weight"),
        Index("ix_judgment_annotator", "annotator_id", "created_at"),
    )


class Retraction(Base):
    """Takes one judgment out of what stands (undo or revision). The judgment itself stays."""

    __tablename__ = "retraction"

    judgment_id: Mapped[int] = mapped_column(ForeignKey("judgment.id"), primary_key=True)
    reason: Mapped[str] = mapped_column(String(32))
    """``undone`` or ``revised``."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class JudgmentBlock(Base):
    """Some thousand judgments once more, by column; written by ``db.blocks``, never changed.

    Made of the rows and nothing else: it can be dropped and made again, and no backup needs it.
    """

    __tablename__ = "judgment_block"

    last_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """The newest judgment in it; every judgment up to it is in this block or an earlier one."""
    first_id: Mapped[int]
    judgments: Mapped[int]
    names: Mapped[dict[str, Any]]
    """The adapters and personas behind the codes; columns of one value only."""
    content: Mapped[bytes] = mapped_column(LargeBinary)
    sha256: Mapped[str] = mapped_column(String(64))
    """Of names and content."""

    __table_args__ = (CheckConstraint("first_id <= last_id", name="first_id"),)


class Snapshot(Base):
    """The immutable, hashed set of judgments that one run trains on."""

    __tablename__ = "snapshot"

    id: Mapped[int] = mapped_column(primary_key=True)
    persona_slug: Mapped[str] = mapped_column(ForeignKey("persona.slug"))
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    """Of ``db.snapshots.to_jsonl``; where an earlier version took it, of a shorter form."""
    n_judgments: Mapped[int]
    n_simulated: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class SnapshotJudgment(Base):
    """Membership of a judgment in a snapshot."""

    __tablename__ = "snapshot_judgment"

    snapshot_id: Mapped[int] = mapped_column(ForeignKey("snapshot.id"), primary_key=True)
    judgment_id: Mapped[int] = mapped_column(
        ForeignKey("judgment.id"), primary_key=True, index=True
    )
