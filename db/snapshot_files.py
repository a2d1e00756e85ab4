"""A snapshot as a file in the folder of the run that trains on it: written once, verified for good.

Knows the folder and the ledger. Of the run's other files it only knows the report, which names the
snapshot.
"""

import hashlib
import json
import os
from pathlib import Path

from sqlalchemy.orm import Session

from db.models import Snapshot
from db.snapshot_lines import to_jsonl

FILE = "snapshot.jsonl"
REPORT = "pairs.json"


def keep(session: Session, snapshot: Snapshot, folder: Path, *, begun: bool) -> str | None:
    """Write the snapshot's lines into a folder, readable only; those of a begun run are verified.

    Args:
        session: The session.
        snapshot: The judgments.
        folder: The run's; made where it is not there.
        begun: Whether the run trains already, on the lines that are there.

    Returns:
        What is wrong with the file that is there, in words; None where it is as it should be.
    """
    path = folder / FILE
    if begun and path.exists():
        return problem(session, snapshot, folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{FILE}.{os.getpid()}"
    with temporary.open("wb") as file:
        file.write(to_jsonl(session, snapshot.id))
        file.flush()
        os.fsync(file.fileno())
    temporary.chmod(0o444)
    temporary.replace(path)
    return None


def problem(session: Session, snapshot: Snapshot, folder: Path) -> str | None:
    """What is wrong with a run folder's snapshot.jsonl, in words; None where nothing is."""
    path = folder / FILE
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    if found == snapshot.sha256:
        return None
    # Snapshots taken by the first version are named by the hash of another form of the same lines.
    if found == hashlib.sha256(to_jsonl(session, snapshot.id)).hexdigest():
        return None
    return (
        f"{path} is not snapshot {snapshot.id}, it was altered or is another's: its SHA-256 is"
        f" {found[:12]}… and not {snapshot.sha256[:12]}…"
    )


def promised(folder: Path) -> bool:
    """Whether a run's folder must have the file: it is there, or the run's report names it."""
    if (folder / FILE).exists():
        return True
    try:
        return "snapshot" in json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
