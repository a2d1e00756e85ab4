"""What is to be done and was done: jobs, runs, rounds, the audit log."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.clock import utcnow
from db.models.base import Base, by_value
from db.models.words import JobKind, JobState, RoundState


class Job(Base):
    """Queued work. A page writes the row; a worker claims it, renews its lease, and finishes it."""

    __tablename__ = "job"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[JobKind] = mapped_column(by_value(JobKind))
    persona_slug: Mapped[str | None] = mapped_column(ForeignKey("persona.slug"))
    params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    state: Mapped[JobState] = mapped_column(by_value(JobState), default=JobState.QUEUED)
    worker: Mapped[str | None] = mapped_column(String(120))
    lease_expires_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0, server_default="0")
    """Rises with every claim: only who holds the newest number may write."""
    stage: Mapped[str] = mapped_column(String(64), default="")
    """What it does now, in words: snapshot, training, exporting, generating …"""
    progress: Mapped[float] = mapped_column(default=0.0)
    """Share done, 0 to 1."""
    message: Mapped[str] = mapped_column(Text, default="")
    """The outcome or the error in one line."""
    requested_by: Mapped[str] = mapped_column(String(120), default="")
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("progress >= 0 AND progress <= 1", name="progress"),
        Index("ix_job_queue", "state", "id"),
        Index(
            "uq_job_one_retrain",
            "persona_slug",
            unique=True,
            sqlite_where=text("kind = 'retrain' AND state IN ('queued', 'running')"),
            postgresql_where=text("kind = 'retrain' AND state IN ('queued', 'running')"),
        ),
    )


class Run(Base):
    """One execution of training: what went in, where its metrics and adapter are."""

    __tablename__ = "run"

    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("job.id"))
    kind: Mapped[JobKind] = mapped_column(by_value(JobKind))
    persona_slug: Mapped[str] = mapped_column(ForeignKey("persona.slug"))
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey("snapshot.id"))
    reference_id: Mapped[str | None] = mapped_column(ForeignKey("adapter.id"))
    """The adapter that the policy starts from and is held to."""
    config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    state: Mapped[JobState] = mapped_column(by_value(JobState), default=JobState.RUNNING)
    folder: Mapped[str] = mapped_column(Text, default="")
    """outputs/runs/<run>/ with metrics.jsonl."""
    started_at: Mapped[datetime] = mapped_column(default=utcnow)
    finished_at: Mapped[datetime | None]
    key: Mapped[str | None] = mapped_column(String(64))
    """Hash of snapshot, configuration, parent and code: the same key trains once."""
    code_sha256: Mapped[str | None] = mapped_column(String(64))
    """Of the training code that ran."""
    excluded: Mapped[list[Any] | None]
    """Annotators whose judgments were left out on purpose (a counterfactual); null for none."""

    __table_args__ = (
        Index(
            "uq_run_key",
            "key",
            unique=True,
            sqlite_where=text("state IN ('running', 'done')"),
            postgresql_where=text("state IN ('running', 'done')"),
        ),
    )


class Round(Base):
    """One pass from candidates to an evaluated adapter, for one persona."""

    __tablename__ = "round"

    id: Mapped[int] = mapped_column(primary_key=True)
    persona_slug: Mapped[str] = mapped_column(ForeignKey("persona.slug"))
    number: Mapped[int]
    state: Mapped[RoundState] = mapped_column(by_value(RoundState), default=RoundState.LABELING)
    incumbent_id: Mapped[str] = mapped_column(ForeignKey("adapter.id"))
    challenger_id: Mapped[str | None] = mapped_column(ForeignKey("adapter.id"))
    label_batch_id: Mapped[int | None] = mapped_column(ForeignKey("batch.id"))
    blind_batch_id: Mapped[int | None] = mapped_column(ForeignKey("batch.id"))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"))
    decision: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The gate's evidence: win rate, interval, counts, rule, in words."""
    decided_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (UniqueConstraint("persona_slug", "number"),)


class AuditEntry(Base):
    """Append-only log of administrative acts."""

    __tablename__ = "audit_entry"

    id: Mapped[int] = mapped_column(primary_key=True)
    actor: Mapped[str] = mapped_column(String(120))
    act: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(200), default="")
    detail: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
