"""What is asked of whom: batches and comparisons, annotators and how they sign in."""

from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.clock import utcnow
from db.models.base import Base, by_value
from db.models.content import Candidate, Prompt
from db.models.words import AnnotatorKind, BatchKind, BatchState, Role, Verdict


class Batch(Base):
    """A set of comparisons asked for one reason, with how often each is to be judged."""

    __tablename__ = "batch"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(160), unique=True)
    kind: Mapped[BatchKind] = mapped_column(by_value(BatchKind))
    state: Mapped[BatchState] = mapped_column(by_value(BatchState), default=BatchState.OPEN)
    persona_slug: Mapped[str | None] = mapped_column(ForeignKey("persona.slug"))
    overlap: Mapped[int] = mapped_column(default=1)
    """Judgments wanted a comparison, by different annotators."""
    priority: Mapped[int] = mapped_column(default=0)
    """Higher is asked first."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    round_number: Mapped[int | None]
    """The round it was asked in, where an import told it; this ledger's own rounds name theirs."""
    purpose: Mapped[str] = mapped_column(String(16), default="work", server_default="work")
    """``work``, or ``gold``: comparisons with a known answer, mixed into other batches and left
    out of ratings and training."""
    strategy: Mapped[str] = mapped_column(String(16), default="listed", server_default="listed")
    """Which comparison is asked next: ``listed`` (as made), ``informative`` (the analyzer's
    choice) or ``random``."""
    random_share: Mapped[float] = mapped_column(default=0.2, server_default="0.2")
    """Under ``informative`` the share of claims that are drawn at random, for calibration."""
    extra_overlap: Mapped[int] = mapped_column(default=0, server_default="0")
    """Judgments that may be added to a comparison whose first ones disagree."""
    gold_rate: Mapped[float] = mapped_column(default=0.0, server_default="0")
    """Share of an annotator's pairs that are gold."""
    repeat_rate: Mapped[float] = mapped_column(default=0.0, server_default="0")
    """Share of an annotator's pairs that are an own earlier one, mirrored."""
    named_only: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Only for the annotators in ``batch_annotator``."""
    rubric: Mapped[str] = mapped_column(Text, default="", server_default="")
    """What to look at, in Markdown, shown on the label page."""
    ranked_at: Mapped[datetime | None]
    """When its comparisons were last put in order; null where they stand as they were made."""

    __table_args__ = (CheckConstraint("overlap >= 1", name="overlap"),)


class BatchAnnotator(Base):
    """Somebody whom a batch is for, where it is not for everybody."""

    __tablename__ = "batch_annotator"

    batch_id: Mapped[int] = mapped_column(ForeignKey("batch.id"), primary_key=True)
    annotator_id: Mapped[int] = mapped_column(
        ForeignKey("annotator.id"), primary_key=True, index=True
    )


class Comparison(Base):
    """Two candidates for one prompt and persona, in canonical order A, B (A has the smaller id).

    Who is shown where is the assignment's placement, never this order.
    """

    __tablename__ = "comparison"

    id: Mapped[int] = mapped_column(primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("batch.id"))
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompt.id"))
    persona_slug: Mapped[str | None] = mapped_column(ForeignKey("persona.slug"))
    candidate_a_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"))
    candidate_b_id: Mapped[int] = mapped_column(ForeignKey("candidate.id"))
    gold: Mapped[Verdict | None] = mapped_column(by_value(Verdict))
    """The known answer in canonical order, where there is one."""
    overlap: Mapped[int]
    """Judgments wanted of this comparison; 0 where it cannot be shown (texts unknown)."""
    seats: Mapped[int]
    """Judgments still to be handed out: overlap less the assignments that hold a seat."""
    rank: Mapped[int] = mapped_column(default=0, server_default="0")
    """Smaller is asked first within a batch."""
    external_id: Mapped[str | None] = mapped_column(String(160))
    """The importer's own id of this pair."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    batch: Mapped[Batch] = relationship()
    prompt: Mapped[Prompt] = relationship()
    candidate_a: Mapped[Candidate] = relationship(foreign_keys=[candidate_a_id])
    candidate_b: Mapped[Candidate] = relationship(foreign_keys=[candidate_b_id])

    __table_args__ = (
        UniqueConstraint("batch_id", "candidate_a_id", "candidate_b_id"),
        CheckConstraint("candidate_a_id < candidate_b_id", name="canonical_order"),
        CheckConstraint("seats >= 0 AND seats <= overlap", name="seats"),
        Index(
            "ix_comparison_open",
            "batch_id",
            "rank",
            "id",
            sqlite_where=text("seats > 0"),
            postgresql_where=text("seats > 0"),
        ),
        Index("ix_comparison_external", "batch_id", "external_id"),
    )


class Annotator(Base):
    """Somebody who judges or reads. ``kind`` says whether this is a person."""

    __tablename__ = "annotator"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    kind: Mapped[AnnotatorKind] = mapped_column(
        by_value(AnnotatorKind), default=AnnotatorKind.HUMAN
    )
    role: Mapped[Role] = mapped_column(by_value(Role), default=Role.EVALUATOR)
    active: Mapped[bool] = mapped_column(default=True)
    paused_at: Mapped[datetime | None]
    """Since when no pair is handed to them; null while they judge."""
    paused_reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Invite(Base):
    """A one-time sign-in link. Only the token's SHA-256 is stored."""

    __tablename__ = "invite"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Login(Base):
    """A signed-in browser. Only the cookie's SHA-256 is stored; revoking works at once."""

    __tablename__ = "login"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotator.id"))
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
