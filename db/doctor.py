"""Examines a ledger and what lies around it. Changes nothing."""

import hashlib
import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import and_, func, not_, or_, select, text
from sqlalchemy.orm import Session

from db import blocks, snapshot_files, snapshots
from db.errors import LedgerError
from db.migrations.run import drift
from db.models import (
    Adapter,
    Assignment,
    AssignmentState,
    Comparison,
    Judgment,
    Retraction,
    Run,
    Snapshot,
)
from db.session import ledger_url, readers, require_current, sqlite_file
from db.settings import REPOSITORY, outputs_dir

APPEND_ONLY = (
    "judgment",
    "retraction",
    "alias_change",
    "audit_entry",
    "snapshot",
    "snapshot_judgment",
    "guideline",
    "guideline_acceptance",
    "adjudication",
    "onboarding",
)

ERASABLE = ("judgment", "audit_entry", "alias_change", "guideline", "adjudication")
"""Those of them in which an erasure may blank words."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    ok: bool
    text: str


def migration_findings() -> list[Finding]:
    """Whether the migrations make exactly the tables of the models."""
    found = drift()
    if not found:
        return [Finding(True, "the migrations make exactly the tables of db/models.py")]
    return [Finding(False, f"migration drift: {each}") for each in found]


def examine(url: str | None) -> list[Finding]:
    """Everything that can be checked without changing anything."""
    path = sqlite_file(url)
    shown = ledger_url(url).render_as_string()
    if path is not None and not path.is_file():
        return [Finding(False, f"there is no ledger at {path}: run `personaloop init`")]
    findings = [*migration_findings()]
    try:
        require_current(url)
    except LedgerError as error:
        return [*findings, Finding(False, str(error))]
    findings.append(Finding(True, f"the ledger {shown} is at this code's revision"))
    with readers(url)() as session:
        findings.extend(_integrity(session))
        findings.extend(_append_only(session))
        findings.extend(_seats(session))
        findings.extend(_judgments(session))
        findings.extend(_blocks(session))
        findings.extend(_snapshots(session))
        findings.extend(_run_folders(session))
        findings.extend(_adapters(session))
    findings.extend(_modes(path))
    return findings


def _integrity(session: Session) -> Iterator[Finding]:
    if _database(session) != "sqlite":
        yield Finding(True, "PostgreSQL holds foreign keys and checks itself")
        return
    problems = [str(row[0]) for row in session.execute(text("PRAGMA integrity_check"))]
    good = problems == ["ok"]
    yield Finding(good, "integrity_check: ok" if good else f"damaged: {'; '.join(problems[:3])}")
    broken = session.execute(text("PRAGMA foreign_key_check")).all()
    where = ", ".join(sorted({str(row[0]) for row in broken}))
    yield Finding(
        not broken,
        f"{len(broken)} rows point at rows that do not exist (in {where})"
        if broken
        else "every foreign key points at a row",
    )


def _append_only(session: Session) -> Iterator[Finding]:
    if _database(session) == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        acts = dict.fromkeys(APPEND_ONLY, ("update", "delete"))
    else:
        query = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'"
        acts = {t: ("change", "update")[: 1 + (t in ERASABLE)] for t in APPEND_ONLY}
    held = {str(row[0]) for row in session.execute(text(query))}
    open_ = [t for t in APPEND_ONLY if not {f"{t}_no_{act}" for act in acts[t]} <= held]
    yield Finding(
        not open_,
        f"no longer append-only: {', '.join(open_)}; restore a backup or the triggers"
        if open_
        else f"append-only: {', '.join(APPEND_ONLY)}",
    )


def _seats(session: Session) -> Iterator[Finding]:
    held = (
        select(func.count())
        .where(Assignment.comparison_id == Comparison.id, Assignment.seat)
        .correlate(Comparison)
        .scalar_subquery()
    )
    query = select(Comparison.id).where(Comparison.seats != Comparison.overlap - held)
    yield _none_of(session, query, "comparisons whose seats do not match what is held")


def _judgments(session: Session) -> Iterator[Finding]:
    joined = select(Judgment.id).join(Assignment, Assignment.id == Judgment.assignment_id)
    yield _none_of(
        session,
        joined.where(
            or_(
                Judgment.comparison_id != Assignment.comparison_id,
                Judgment.annotator_id != Assignment.annotator_id,
            )
        ),
        "judgments that are not of their assignment's comparison and annotator",
    )
    ended = (AssignmentState.JUDGED, AssignmentState.WITHDRAWN)
    yield _none_of(
        session,
        select(Assignment.id)
        .outerjoin(Judgment, Judgment.assignment_id == Assignment.id)
        .where(
            or_(
                and_(Assignment.state.in_(ended), Judgment.id.is_(None)),
                and_(Assignment.state.not_in(ended), Judgment.id.is_not(None)),
            )
        ),
        "assignments whose state and judgment disagree",
    )
    yield _none_of(
        session,
        joined.outerjoin(Retraction, Retraction.judgment_id == Judgment.id).where(
            or_(
                and_(
                    Assignment.state == AssignmentState.WITHDRAWN,
                    Retraction.judgment_id.is_(None),
                ),
                and_(
                    Assignment.state == AssignmentState.JUDGED,
                    Retraction.judgment_id.is_not(None),
                ),
            )
        ),
        "judgments whose retraction and assignment disagree about what stands",
    )
    yield _none_of(
        session,
        select(Assignment.comparison_id)
        .where(Assignment.state == AssignmentState.JUDGED, Assignment.seat)
        .group_by(Assignment.comparison_id, Assignment.annotator_id)
        .having(func.count() > 1),
        "comparisons with two standing judgments by one annotator",
    )


def _blocks(session: Session) -> Iterator[Finding]:
    wrong = list(blocks.verify(session))
    for each in wrong[:5]:
        yield Finding(False, f"{each}; make them again: `personaloop doctor --rebuild-blocks`")
    if not wrong:
        last = blocks.last_sealed(session)
        yield Finding(True, f"the blocks of judgments up to {last} say what their rows say")


def _snapshots(session: Session) -> Iterator[Finding]:
    checked = 0
    for taken in session.scalars(select(Snapshot).order_by(Snapshot.id)):
        if not snapshots.stated(session, taken):
            yield Finding(
                False,
                f"snapshot {taken.id} of {taken.persona_slug}: its judgments are not those of its"
                " hash; restore a backup",
            )
        checked += 1
    yield Finding(True, f"{checked} snapshots were compared with their hashes")


def _run_folders(session: Session) -> Iterator[Finding]:
    """The snapshots in the folders of runs; what is not on this machine is passed over."""
    checked = 0
    runs = select(Run.folder, Snapshot).join(Snapshot, Snapshot.id == Run.snapshot_id)
    for stored, taken in session.execute(runs.where(Run.folder != "").order_by(Run.id)).tuples():
        folder = adapter_folder(stored)
        if snapshot_files.promised(folder):
            wrong = snapshot_files.problem(session, taken, folder)
            if wrong:
                yield Finding(False, f"{wrong}; restore a backup of it")
            checked += 1
    yield Finding(True, f"{checked} snapshots in folders of runs were compared with the ledger")


def _adapters(session: Session) -> Iterator[Finding]:
    checked = 0
    for adapter in session.scalars(select(Adapter).where(not_(Adapter.path == ""))):
        problem = _adapter_problem(adapter)
        if problem:
            yield Finding(False, f"adapter {adapter.id}: {problem}")
        checked += 1
    yield Finding(True, f"{checked} adapter folders were compared with their checksums")


def _adapter_problem(adapter: Adapter) -> str | None:
    folder = adapter_folder(adapter.path)
    card = folder / "adapter.json"
    if not card.is_file():
        return f"{card} is missing; restore the folder or retrain"
    try:
        files: Any = json.loads(card.read_text(encoding="utf-8"))["files"]
        checksums = {str(name): str(said) for name, said in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{card} is malformed"
    for name, said in checksums.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing; restore the folder or retrain"
        with path.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != said:
                return f"{path} was altered after it was written (checksum differs)"
    if adapter.sha256 and adapter.sha256 not in checksums.values():
        return f"{folder} holds other weights than the ledger knows"
    return None


def adapter_folder(path: str) -> Path:
    """Where an adapter's folder is, from its path as stored."""
    stored = Path(path)
    if stored.is_absolute():
        return stored
    if stored.parts[:1] == ("outputs",):
        return outputs_dir().joinpath(*stored.parts[1:])
    return REPOSITORY / stored


def _modes(database: Path | None) -> Iterator[Finding]:
    secrets = [outputs_dir() / "engine" / "engine.json", outputs_dir() / "mixing.key"]
    if database is not None:
        secrets.append(database)
    for path in secrets:
        if not path.is_file():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        private = not mode & 0o077
        yield Finding(
            private,
            f"{path} is readable by nobody else"
            if private
            else f"{path} is readable by others (mode {mode:04o}): chmod 600 {path}",
        )


def _none_of(session: Session, query: Any, what: str) -> Finding:
    found = session.execute(query.limit(6)).scalars().all()
    if not found:
        return Finding(True, f"no {what}")
    listed = ", ".join(str(each) for each in found[:5]) + (" …" if len(found) > 5 else "")
    return Finding(False, f"{what}: {listed}")


def _database(session: Session) -> str:
    """``sqlite`` or ``postgresql``."""
    return session.get_bind().dialect.name
