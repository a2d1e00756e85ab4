"""What the dashboards read of the ledger, as small frozen values. Knows no SQL and no page."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db.models import JobState


@dataclass(frozen=True)
class Pulse:
    """Where the ledger stands; two equal pulses mean the same standing judgments and names."""

    latest: int
    retracted: int
    erased: int = 0


@dataclass(frozen=True)
class RoundView:
    """One round as the pages tell it, with what led to it and came of it."""

    persona: str
    number: int
    state: str
    incumbent: str
    challenger: str | None
    label_batch: int | None
    blind_batch: int | None
    run: int | None
    snapshot: str | None
    snapshot_judgments: int
    snapshot_simulated: int
    decision: dict[str, Any]
    decided_at: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class BatchView:
    """A batch with how far it is."""

    id: int
    name: str
    kind: str
    state: str
    persona: str | None
    overlap: int
    priority: int
    comparisons: int
    wanted: int
    judged: int
    leased: int
    skipped: int
    simulated: int
    created_at: datetime
    gold_rate: float = 0.0
    repeat_rate: float = 0.0
    strategy: str = "listed"
    extra_overlap: int = 0
    ranked_at: datetime | None = None
    named_only: bool = False

    @property
    def left(self) -> int:
        """Judgments still wanted."""
        return max(0, self.wanted - self.judged)


@dataclass(frozen=True)
class JobView:
    """A job with its run."""

    id: int
    kind: str
    persona: str | None
    state: str
    stage: str
    progress: float
    message: str
    requested_by: str
    attempts: int
    worker: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    lease_expires_at: datetime | None
    run: int | None
    folder: str
    params: dict[str, Any]

    @property
    def live(self) -> bool:
        """Queued or running."""
        return self.state in (JobState.QUEUED.value, JobState.RUNNING.value)


@dataclass(frozen=True)
class AdapterView:
    """An adapter as the pages list it."""

    id: str
    kind: str
    persona: str | None
    parents: tuple[str, ...]
    run: int | None
    metrics: dict[str, Any]
    path: str
    sha256: str
    created_at: datetime


@dataclass(frozen=True)
class AliasView:
    """One change of what answers for a persona."""

    persona: str
    adapter: str
    previous: str | None
    reason: str
    actor: str
    created_at: datetime


@dataclass(frozen=True)
class PersonView:
    """An annotator, how they sign in if they ever could, and how much they judged."""

    id: int
    name: str
    kind: str
    role: str
    active: bool
    invited: bool
    judged: int
    last_at: datetime | None
    created_at: datetime
    ways: tuple[str, ...] = ()
    """``password``, a provider's host, ``link``."""
    paused_at: datetime | None = None
    paused_reason: str = ""


@dataclass(frozen=True)
class Totals:
    """How many judgments stand, whose they are, and when the last one came.

    Attributes:
        judgments: standing judgments.
        simulated: of these, from simulated annotators.
        automatic: of these, from automatic judges.
        annotators: who judged at all.
        at: time of the newest judgment; None without any.
    """

    judgments: int
    simulated: int
    automatic: int
    annotators: int
    at: datetime | None
