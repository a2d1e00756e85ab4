"""Sessions, training runs and samplers: who asked for what, kept over restarts as small JSON files.

Knows names and times, no weights and no HTTP. Used on the event loop's thread only.
"""

import re
import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from training.engine.errors import BadRequest, NotFound
from training.engine.protocol.files import now, read_json, write_json

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass
class Session:
    """One client's session.

    Attributes:
        seen: last heartbeat or request, UTC.
        finished: the client closed it.
    """

    session_id: str
    created: str
    user_metadata: dict[str, str] | None = None
    display_name: str | None = None
    finished: bool = False
    seen: datetime = field(default_factory=now)


@dataclass
class Run:
    """One training model that was created, alive or not.

    Attributes:
        last_seq: the highest request number that was accepted.
    """

    model_id: str
    session_id: str
    created: str
    facts: dict[str, Any]
    last_request: str
    last_seq: int = 0


@dataclass
class Sampler:
    """One sampling session: the base (no path), a checkpoint's path, or a private snapshot."""

    sampler_id: str
    session_id: str
    created: str
    base_model: str
    model_path: str | None = None
    snapshot: str | None = None
    clones: int = 0


T = TypeVar("T", Session, Run, Sampler)


class Table(Generic[T]):
    """Records of one kind, each a file, all in memory."""

    def __init__(self, folder: Path, kind: type[T], key: str):
        self._folder = folder
        self._key = key
        folder.mkdir(parents=True, exist_ok=True)
        self.records: dict[str, T] = {}
        for file in folder.glob("*.json"):
            value = read_json(file)
            if isinstance(value, dict):
                try:
                    record = kind(**value)
                except TypeError:
                    continue
                if isinstance(record, Session):
                    record.seen = datetime.fromtimestamp(file.stat().st_mtime, UTC)
                self.records[value[key]] = record

    def put(self, record: T) -> T:
        """Add or rewrite a record."""
        value = asdict(record)
        value.pop("seen", None)
        self.records[value[self._key]] = record
        write_json(self._file(value[self._key]), value, flush=False)
        return record

    def remove(self, key: str) -> None:
        """Forget a record."""
        self.records.pop(key, None)
        self._file(key).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self._folder / f"{key.replace(':', '~')}.json"


class Registry:
    """The three tables and the rules between them."""

    def __init__(self, root: Path, base_model: str):
        self.base_model = base_model
        self.sessions: Table[Session] = Table(root / "sessions", Session, "session_id")
        self.runs: Table[Run] = Table(root / "runs", Run, "model_id")
        self.samplers: Table[Sampler] = Table(root / "samplers", Sampler, "sampler_id")

    def new_session(self, metadata: dict[str, str] | None, name: str | None) -> Session:
        """Open a session."""
        session_id = f"session-{secrets.token_hex(8)}"
        return self.sessions.put(Session(session_id, now().isoformat(), metadata, name))

    def session(self, session_id: str) -> Session:
        """The session, made anew when a well-formed id is unknown (a client from before a loss).

        Raises:
            BadRequest: a malformed id, or the session is finished.
        """
        if not _ID.fullmatch(session_id):
            raise BadRequest(f"session_id {session_id!r}: letters, digits, _ and - only")
        session = self.sessions.records.get(session_id)
        if session is None:
            session = self.sessions.put(Session(session_id, now().isoformat()))
        if session.finished:
            raise BadRequest(f"session {session_id} is finished; open a new ServiceClient")
        session.seen = now()
        return session

    def new_run(self, model_id: str, session_id: str, facts: dict[str, Any]) -> Run:
        """Note a training model."""
        time = now().isoformat()
        return self.runs.put(Run(model_id, session_id, time, facts, time))

    def run(self, model_id: str) -> Run:
        """The training run.

        Raises:
            NotFound: there is none of this id.
        """
        run = self.runs.records.get(model_id)
        if run is None:
            raise NotFound(f"no training run {model_id} here")
        return run

    def new_sampler(self, sampler: Sampler) -> Sampler:
        """Note a sampling session."""
        return self.samplers.put(sampler)

    def sampler(self, sampler_id: str) -> Sampler:
        """The sampling session.

        Raises:
            NotFound: there is none of this id.
        """
        sampler = self.samplers.records.get(sampler_id)
        if sampler is None:
            raise NotFound(f"no sampling session {sampler_id} here (any more)")
        session = self.sessions.records.get(sampler.session_id)
        if session is not None:
            session.seen = now()
        return sampler

    def of_session(self, session_id: str) -> tuple[list[Run], list[Sampler]]:
        """The runs and samplers that a session made."""
        runs = [r for r in list(self.runs.records.values()) if r.session_id == session_id]
        samplers = [s for s in list(self.samplers.records.values()) if s.session_id == session_id]
        return runs, samplers

    def prune(self, older_than: datetime, keep_runs: set[str]) -> list[str]:
        """Forget what nobody used since a time, except runs that still have checkpoints.

        Returns:
            The ids of the forgotten training runs.
        """
        removed: list[str] = []
        for session in list(self.sessions.records.values()):
            if session.seen >= older_than or datetime.fromisoformat(session.created) >= older_than:
                continue
            runs, samplers = self.of_session(session.session_id)
            for sampler in samplers:
                self.samplers.remove(sampler.sampler_id)
            for run in runs:
                if run.model_id not in keep_runs:
                    self.runs.remove(run.model_id)
                    removed.append(run.model_id)
            self.sessions.remove(session.session_id)
        return removed
