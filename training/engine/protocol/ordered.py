"""Training requests in their order: each under its number, once, in its turn.

Knows models, numbers and futures; no HTTP and no torch.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from training.engine.errors import BadRequest, EngineError
from training.engine.protocol.files import now
from training.engine.protocol.futures import Weight
from training.engine.protocol.keeping import Keeping
from training.engine.protocol.registry import Run
from training.engine.protocol.service import MAX_SEQ
from training.engine.protocol.turns import Turns


def request_name(owner: str, number: int) -> str:
    """The id of a request of a model or a sampling session."""
    return f"{owner}:{number}"


class Ordered(Keeping):
    """Accepting training requests."""

    def accept(
        self, model_id: str, seq_id: int, start: Callable[[str], None], size: int = 0
    ) -> dict[str, Any]:
        """Queue a training request under its number, once and in its turn.

        Args:
            model_id: whose request it is.
            seq_id: its number.
            start: begins it; gets the request's id.
            size: bytes of its data.
        """
        run = self.live_run(model_id)
        request_id = request_name(model_id, seq_id)
        known = self.known(model_id, seq_id)
        if known is not None:
            return known
        turns = self.turns_of(run)

        def begin() -> None:
            turns.offer(seq_id, lambda: self._start(run, turns, request_id, start))

        weight = Weight(model_id, size=size)
        reply, _ = self.futures.submit(request_id, begin, weight, model_id=model_id)
        if turns:
            self._wake(turns)
        return reply

    def known(self, model_id: str, seq_id: int) -> dict[str, Any] | None:
        """The reply to a training request that was taken before; None when it is new.

        Raises:
            BadRequest: no number of a training request.
        """
        if not 1 <= seq_id <= MAX_SEQ:  # 0 is the model's own creation
            raise BadRequest(f"seq_id: {seq_id} is out of range, must be from 1 to {MAX_SEQ}")
        return self.futures.known(request_name(model_id, seq_id))

    @contextmanager
    def numbered(self, model_id: str, seq_id: int) -> Iterator[None]:
        """Check a request in here: if it is refused, those after it do not wait for it."""
        try:
            yield
        except EngineError:
            run = self.registry.runs.records.get(model_id)
            if run is not None and request_name(model_id, seq_id) not in self.futures:
                self.turns_of(run).refuse(seq_id)
            raise

    def turns_of(self, run: Run) -> Turns:
        """The order of a model's requests."""
        found = self.turns.get(run.model_id)
        if found is None:
            found = Turns(run.last_seq, self.limits.ahead, self.limits.ahead_s)
            self.turns[run.model_id] = found
        return found

    def _start(self, run: Run, turns: Turns, request_id: str, start: Callable[[str], None]) -> None:
        start(request_id)
        run.last_seq = turns.last
        run.last_request = now().isoformat()
        session = self.registry.sessions.records.get(run.session_id)
        if session is not None:
            session.seen = now()

    def _wake(self, turns: Turns) -> None:
        """Look again at those that wait once the first of them has waited long enough."""

        def look() -> None:
            turns.release()
            if turns:
                self._wake(turns)

        deadline = turns.deadline
        if deadline is not None:
            self.later(max(deadline - turns.clock(), 0.0) + 0.01, look)

    def queue_state(self, request_id: str) -> tuple[str, str | None]:
        """Whether a pending request is being worked on, and if not, what it waits for."""
        task = self.tasks.get(request_id)
        if task is not None and not task.started:
            return "paused_capacity", "other requests are being sampled on this engine"
        model_id, _, number = request_id.rpartition(":")
        turns = self.turns.get(model_id)
        if turns and number.isdigit() and int(number) > turns.last:
            return "paused_capacity", f"waiting for request {turns.missing} of {model_id}"
        return "active", None
