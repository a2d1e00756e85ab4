"""Sessions, training runs and samplers: who asked for what, kept over restarts as small JSON files.

Knows names and times, no weights and no HTTP. Used on the event loop's thread only.
"""

import re
import secrets
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar

from training.engine.errors import BadRequest, Busy, NotFound
from training.engine.protocol.files import now, read_json, write_json
from training.engine.protocol.limits import Limits

SILENT = timedelta(minutes=15)
"""Without a request or heartbeat for so long, a client makes room for others."""
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
        last_seq: the highest request number that was started.
        saved_seq: what the file says of it.
    """

    model_id: str
    session_id: str
    created: str
    facts: dict[str, Any]
    last_request: str
    last_seq: int = 0
    saved_seq: int = 0


@dataclass
class Sampler:
    """One sampling session: the base (no path), a checkpoint's path, or a private snapshot.

    Attributes:
        seen: last use, UTC.
    """

    sampler_id: str
    session_id: str
    created: str
    base_model: str
    model_path: str | None = None
    snapshot: str | None = None
    clones: int = 0
    seen: datetime = field(default_factory=now)


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
                if not isinstance(record, Run):
                    record.seen = datetime.fromtimestamp(file.stat().st_mtime, UTC)
                self.records[value[key]] = record

    def put(self, record: T) -> T:
        """Add or rewrite a record."""
        if isinstance(record, Run):
            record.saved_seq = record.last_seq
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
    """The three tables and the rules between them.

    Attributes:
        alive: ids of the training models that the compute has; the service's own set.
    """

    def __init__(
        self,
        root: Path,
        base_model: str,
        limits: Limits | None = None,
        alive: set[str] | None = None,
    ):
        self.base_model = base_model
        self._limits = limits or Limits()
        self.alive = alive if alive is not None else set()
        self.sessions: Table[Session] = Table(root / "sessions", Session, "session_id")
        self.runs: Table[Run] = Table(root / "runs", Run, "model_id")
        self.samplers: Table[Sampler] = Table(root / "samplers", Sampler, "sampler_id")

    def new_session(self, metadata: dict[str, str] | None, name: str | None) -> Session:
        """Open a session.

        Raises:
            Busy: there are too many, all in use.
        """
        self._make_room_for_session()
        session_id = f"session-{secrets.token_hex(8)}"
        return self.sessions.put(Session(session_id, now().isoformat(), metadata, name))

    def session(self, session_id: str) -> Session:
        """The session, made anew when a well-formed id is unknown (a client from before a loss).

        Raises:
            BadRequest: a malformed id, or the session is finished.
            Busy: it is unknown, and there are too many, all in use.
        """
        if not _ID.fullmatch(session_id):
            raise BadRequest(f"session_id {session_id!r}: letters, digits, _ and - only")
        session = self.sessions.records.get(session_id)
        if session is None:
            self._make_room_for_session()
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
        """Note a sampling session.

        Raises:
            Busy: there are too many, all in use.
        """
        most = self._limits.samplers
        if sampler.sampler_id not in self.samplers.records:
            if len(self.samplers.records) >= most:
                silent = now() - SILENT
                leaving = [s for s in list(self.samplers.records.values()) if s.seen < silent]
                leaving.sort(key=lambda s: s.seen)
                for other in leaving[: most // 16 + 1]:
                    self.samplers.remove(other.sampler_id)
            if len(self.samplers.records) >= most:
                raise Busy(f"{most} sampling clients are in use, the engine's limit; close some")
        return self.samplers.put(sampler)

    def sampler(self, sampler_id: str) -> Sampler:
        """The sampling session.

        Raises:
            NotFound: there is none of this id.
        """
        sampler = self.samplers.records.get(sampler_id)
        if sampler is None:
            raise NotFound(f"no sampling session {sampler_id} here (any more)")
        sampler.seen = now()
        session = self.sessions.records.get(sampler.session_id)
        if session is not None:
            session.seen = now()
        return sampler

    def of_session(self, session_id: str) -> tuple[list[Run], list[Sampler]]:
        """The runs and samplers that a session made."""
        runs = [r for r in list(self.runs.records.values()) if r.session_id == session_id]
        samplers = [s for s in list(self.samplers.records.values()) if s.session_id == session_id]
        return runs, samplers

    def silent_models(self, since: datetime) -> list[str]:
        """Living models of clients that have been silent since a time, the longest silent first."""
        seen: dict[str, datetime] = {}
        for model_id in self.alive:
            session = self.sessions.records.get(model_id.rpartition(":train:")[0])
            seen[model_id] = session.seen if session else datetime.fromtimestamp(0, UTC)
        return sorted((m for m in seen if seen[m] < since), key=lambda m: seen[m])

    def oldest_snapshots(self, used: set[str]) -> list[Sampler]:
        """Samplers that have to leave so that one more private snapshot fits.

        Args:
            used: ids of samplers that must stay.
        """
        found = [s for s in list(self.samplers.records.values()) if s.snapshot]
        excess = len(found) + 1 - self._limits.snapshots
        if excess <= 0:
            return []
        idle = sorted((s for s in found if s.sampler_id not in used), key=lambda s: s.seen)
        return idle[:excess]

    def forget_runs(self, keep: set[str]) -> None:
        """Forget the oldest runs of which nothing is left."""
        leaving = sorted(set(self.runs.records) - keep, key=lambda m: self.runs.records[m].created)
        for model_id in leaving[: self._limits.runs // 16 + 1]:
            self.runs.remove(model_id)

    def _make_room_for_session(self) -> None:
        most = self._limits.sessions
        if len(self.sessions.records) < most:
            return
        silent = now() - SILENT
        busy = {model_id.rpartition(":train:")[0] for model_id in self.alive}
        leaving = [
            s
            for s in self.sessions.records.values()
            if (s.finished or s.seen < silent) and s.session_id not in busy
        ]
        leaving.sort(key=lambda s: s.seen)
        self._forget_sessions({s.session_id for s in leaving[: most // 16 + 1]})
        if len(self.sessions.records) >= most:
            raise Busy(f"{most} clients are connected, the engine's limit; close some")

    def _forget_sessions(self, session_ids: set[str]) -> None:
        for sampler in list(self.samplers.records.values()):
            if sampler.session_id in session_ids:
                self.samplers.remove(sampler.sampler_id)
        for session_id in session_ids:
            self.sessions.remove(session_id)

    def prune(self, older_than: datetime, keep_runs: set[str]) -> list[str]:
        """Forget what nobody used since a time, except runs that still have checkpoints.

        Returns:
            The ids of the forgotten training runs.
        """
        old = {
            s.session_id
            for s in self.sessions.records.values()
            if s.seen < older_than and datetime.fromisoformat(s.created) < older_than
        }
        removed = [
            run.model_id
            for run in self.runs.records.values()
            if run.session_id in old and run.model_id not in keep_runs
        ]
        for model_id in removed:
            self.runs.remove(model_id)
        self._forget_sessions(old)
        return removed
