"""The ledger's tables. What is stored, never how it is used.

Words are those of docs/glossary.md. Judgments are append-only (triggers in the migrations refuse
UPDATE and DELETE); one per assignment by a unique constraint. The judgment that stands for an
annotator and a comparison is the one without a Retraction.
"""

from db.models.answers import (
    Assignment,
    Judgment,
    JudgmentBlock,
    Retraction,
    Snapshot,
    SnapshotJudgment,
)
from db.models.asking import Annotator, Batch, BatchAnnotator, Comparison, Invite, Login
from db.models.base import Base, by_value
from db.models.checking import Adjudication, Flag, JudgmentReturn, Repeat, SetAside
from db.models.content import Adapter, AliasChange, Candidate, Persona, Prompt
from db.models.people import (
    Erasure,
    Guideline,
    GuidelineAcceptance,
    Identity,
    Notice,
    Onboarding,
    Password,
    PracticeAnswer,
    PracticeItem,
    SignInTry,
)
from db.models.words import (
    AdapterKind,
    AnnotatorKind,
    AssignmentState,
    BatchKind,
    BatchState,
    JobKind,
    JobState,
    Role,
    RoundState,
    Verdict,
)
from db.models.work import AuditEntry, Job, Round, Run

__all__ = [
    "Adapter",
    "AdapterKind",
    "Adjudication",
    "AliasChange",
    "Annotator",
    "AnnotatorKind",
    "Assignment",
    "AssignmentState",
    "AuditEntry",
    "Base",
    "Batch",
    "BatchAnnotator",
    "BatchKind",
    "BatchState",
    "Candidate",
    "Comparison",
    "Erasure",
    "Flag",
    "Guideline",
    "GuidelineAcceptance",
    "Identity",
    "Invite",
    "Job",
    "JobKind",
    "JobState",
    "Judgment",
    "JudgmentBlock",
    "JudgmentReturn",
    "Login",
    "Notice",
    "Onboarding",
    "Password",
    "Persona",
    "PracticeAnswer",
    "PracticeItem",
    "Prompt",
    "Repeat",
    "Retraction",
    "Role",
    "Round",
    "RoundState",
    "Run",
    "SetAside",
    "SignInTry",
    "Snapshot",
    "SnapshotJudgment",
    "Verdict",
    "by_value",
]
