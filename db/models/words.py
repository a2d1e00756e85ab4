"""The closed lists of words that columns hold."""

from enum import StrEnum


class AnnotatorKind(StrEnum):
    """Who judges: a person, a simulated annotator, or an automatic judge."""

    HUMAN = "human"
    SIMULATED = "simulated"
    AUTOMATIC = "automatic"


class Role(StrEnum):
    """What a person may do. Each role may do what the ones before it may."""

    EVALUATOR = "evaluator"
    ANALYST = "analyst"
    ADMIN = "admin"


class Verdict(StrEnum):
    """One annotator's answer. A skip is not a verdict."""

    A = "a"
    B = "b"
    TIE = "tie"
    BOTH_BAD = "both_bad"


class AdapterKind(StrEnum):
    """Where an adapter comes from. ``external`` is a system known by name only (imports)."""

    BASE = "base"
    SFT = "sft"
    DPO = "dpo"
    FUSED = "fused"
    EXTERNAL = "external"


class BatchKind(StrEnum):
    """Why comparisons are asked: to train, to decide between two adapters, or imported."""

    LABEL = "label"
    BLIND = "blind"
    IMPORTED = "imported"


class BatchState(StrEnum):
    """Whether a batch's comparisons are handed out."""

    OPEN = "open"
    PAUSED = "paused"
    CLOSED = "closed"


class AssignmentState(StrEnum):
    """A lease's life. ``released`` may come back, ``withdrawn`` was judged and retracted."""

    LEASED = "leased"
    JUDGED = "judged"
    SKIPPED = "skipped"
    RELEASED = "released"
    WITHDRAWN = "withdrawn"


class JobKind(StrEnum):
    """Work that a worker can claim."""

    GENERATE = "generate"
    SFT = "sft"
    RETRAIN = "retrain"


class JobState(StrEnum):
    """A job's life. A running job whose lease ran out is claimed again and resumes."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RoundState(StrEnum):
    """Where a persona's round stands."""

    LABELING = "labeling"
    TRAINING = "training"
    BLIND = "blind"
    PROMOTED = "promoted"
    REJECTED = "rejected"
