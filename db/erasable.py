"""What an erasure does with each text column of the ledger: rename in it, empty it, or leave it.

Every column of text is in exactly one of the four lists, which tests/db/test_erasing.py checks
against the models, so that a new column is thought about. Knows no person and changes nothing.
"""

from db import models

RENAMED: dict[type, tuple[str, ...]] = {
    models.AuditEntry: ("actor", "subject", "detail"),
    models.AliasChange: ("actor", "reason"),
    models.Guideline: ("author", "text"),
    models.Adjudication: ("note",),
    models.Batch: ("name", "rubric"),
    models.Assignment: ("skip_reason",),
    models.Job: ("requested_by", "message"),
    models.Round: ("decision",),
    models.Flag: ("note", "resolution", "resolved_by"),
    models.JudgmentReturn: ("note", "actor"),
    models.SetAside: ("reason", "decided_by"),
    models.Notice: ("subject", "text", "seen_by"),
    models.Erasure: ("actor",),
}
"""Where the name, standing as a word of its own, becomes the pseudonym, whoever wrote it."""

EMPTIED: dict[type, str] = {
    models.Judgment: "comment",
    models.Flag: "note",
    models.Adjudication: "note",
}
"""The person's own words, taken out unless they may stay."""

GONE: tuple[type, ...] = (models.Invite, models.Login, models.Password, models.Identity)
"""Every way in; their rows are deleted."""

CODES = "a word of ours or a number, whoever did it"
HASH = "a hash or a random token"
FILES = "of a file or a folder; checksums cover it"
CONTENT = "what is judged, not who judges"

KEPT: dict[str, str] = {
    "adapter.base_model": FILES,
    "adapter.base_model_sha256": HASH,
    "adapter.config": FILES,
    "adapter.id": FILES,
    "adapter.kind": CODES,
    "adapter.metrics": FILES,
    "adapter.parents": FILES,
    "adapter.path": FILES,
    "adapter.service": FILES,
    "adapter.sha256": HASH,
    "adjudication.judgments": CODES,
    "adjudication.verdict": CODES,
    "annotator.kind": CODES,
    "annotator.role": CODES,
    "assignment.state": CODES,
    "assignment.token": HASH,
    "audit_entry.act": CODES,
    "batch.kind": CODES,
    "batch.purpose": CODES,
    "batch.state": CODES,
    "batch.strategy": CODES,
    "candidate.sampling": CONTENT,
    "candidate.source": CONTENT,
    "candidate.stop_reason": CONTENT,
    "candidate.text": CONTENT,
    "comparison.external_id": "another tool's id of the pair",
    "comparison.gold": CODES,
    "erasure.pseudonym": "the pseudonym",
    "flag.kind": CODES,
    "job.kind": CODES,
    "job.params": "settings that the run is made of",
    "job.stage": CODES,
    "job.state": CODES,
    "job.worker": "a machine's name and a process's number",
    "judgment.external_id": "another tool's id of the judgment",
    "judgment.flag": CODES,
    "judgment.helpful": CODES,
    "judgment.in_character": CODES,
    "judgment.safe": CODES,
    "judgment.source": "the page, or the name of the file that it came from",
    "judgment.tags": "chosen from a list",
    "judgment.verdict": CODES,
    "judgment_block.names": "adapters and personas",
    "judgment_block.sha256": HASH,
    "notice.kind": CODES,
    "onboarding.guidelines": CODES,
    "onboarding.practice": CODES,
    "persona.front_matter": CONTENT,
    "persona.name": CONTENT,
    "persona.slug": CONTENT,
    "persona.summary": CONTENT,
    "persona.template_sha256": HASH,
    "practice_answer.verdict": CODES,
    "practice_item.expected": CODES,
    "practice_item.explanation": CONTENT,
    "practice_item.key": CONTENT,
    "practice_item.messages": CONTENT,
    "practice_item.response_a": CONTENT,
    "practice_item.response_b": CONTENT,
    "prompt.intent": CONTENT,
    "prompt.journey": CONTENT,
    "prompt.locale": CONTENT,
    "prompt.messages": CONTENT,
    "prompt.sha256": HASH,
    "prompt.source": CONTENT,
    "prompt.split": CODES,
    "prompt.tags": CONTENT,
    "prompt.tier": CONTENT,
    "repeat.token": HASH,
    "repeat.verdict": CODES,
    "retraction.reason": CODES,
    "round.state": CODES,
    "run.code_sha256": HASH,
    "run.config": "settings that the run is made of",
    "run.excluded": "ids",
    "run.folder": FILES,
    "run.key": HASH,
    "run.kind": CODES,
    "run.state": CODES,
    "set_aside.decision": CODES,
    "sign_in_try.key": HASH,
    "snapshot.sha256": HASH,
}
"""Left as they are, and why; foreign keys are what they point at."""
