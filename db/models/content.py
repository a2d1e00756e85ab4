"""What is compared: personas, prompts, adapters and the candidates they wrote."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.clock import utcnow
from db.models.base import Base, by_value
from db.models.words import AdapterKind


class Persona(Base):
    """A described speaker that conditions generation. Its guide is in templates/personas/."""

    __tablename__ = "persona"

    slug: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(120))
    summary: Mapped[str] = mapped_column(Text, default="")
    template_sha256: Mapped[str] = mapped_column(String(64), default="")
    front_matter: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Prompt(Base):
    """The conversation to answer: messages of role and content, the last one from the user."""

    __tablename__ = "prompt"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    """Of the canonical JSON of ``messages``."""
    messages: Mapped[list[Any]]
    split: Mapped[str] = mapped_column(String(16), default="loop")
    """``loop`` for training rounds, ``heldout`` for blind comparisons, ``imported`` for none."""
    source: Mapped[str] = mapped_column(String(120), default="")
    journey: Mapped[str | None] = mapped_column(String(64))
    intent: Mapped[str | None] = mapped_column(String(64))
    locale: Mapped[str | None] = mapped_column(String(16))
    tier: Mapped[str | None] = mapped_column(String(32))
    tags: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    __table_args__ = (CheckConstraint("split IN ('loop', 'heldout', 'imported')", name="split"),)


class Adapter(Base):
    """LoRA weights known to the ledger, or (``external``) a system known by its texts only."""

    __tablename__ = "adapter"

    id: Mapped[str] = mapped_column(String(160), primary_key=True)
    persona_slug: Mapped[str | None] = mapped_column(ForeignKey("persona.slug"))
    kind: Mapped[AdapterKind] = mapped_column(by_value(AdapterKind))
    base_model: Mapped[str] = mapped_column(Text, default="")
    base_model_sha256: Mapped[str] = mapped_column(String(64), default="")
    path: Mapped[str] = mapped_column(Text, default="")
    """Folder, relative to the repository or the outputs folder where it lies inside one of them."""
    sha256: Mapped[str] = mapped_column(String(64), default="")
    parents: Mapped[list[Any]] = mapped_column(default=list)
    """``[{"id": …, "sha256": …, "weight": …}]``; the reference of a DPO run is its first parent."""
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id", use_alter=True))
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    service: Mapped[dict[str, Any] | None]
    """State and sampler paths on the service that trained it, and until when they are kept."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class AliasChange(Base):
    """Append-only history of what answers for a persona; the newest row is the incumbent."""

    __tablename__ = "alias_change"

    id: Mapped[int] = mapped_column(primary_key=True)
    persona_slug: Mapped[str] = mapped_column(ForeignKey("persona.slug"), index=True)
    adapter_id: Mapped[str] = mapped_column(ForeignKey("adapter.id"))
    previous_id: Mapped[str | None] = mapped_column(ForeignKey("adapter.id"))
    reason: Mapped[str] = mapped_column(Text)
    """``shipped``, ``promoted``, ``rolled back`` … in words, with the evidence."""
    actor: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Candidate(Base):
    """One stored completion. Log-probabilities are little-endian float32, one a token."""

    __tablename__ = "candidate"

    id: Mapped[int] = mapped_column(primary_key=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompt.id"), index=True)
    persona_slug: Mapped[str | None] = mapped_column(ForeignKey("persona.slug"))
    adapter_id: Mapped[str] = mapped_column(ForeignKey("adapter.id"), index=True)
    text: Mapped[str] = mapped_column(Text)
    sampling: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """temperature, top_p, top_k, max_tokens, stop as asked."""
    seed: Mapped[int | None]
    tokens: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Little-endian int32 token ids, the stop token included."""
    logprobs: Mapped[bytes | None] = mapped_column(LargeBinary)
    stop_reason: Mapped[str | None] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(120), default="generated")
    author_id: Mapped[int | None]
    """The annotator who wrote it, where a person did; nobody judges their own. No foreign key: on
    SQLite adding one would have copied the table."""
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    prompt: Mapped[Prompt] = relationship()

    __table_args__ = (
        UniqueConstraint("prompt_id", "persona_slug", "adapter_id", "seed", "source"),
    )
