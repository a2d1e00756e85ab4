"""Who is next: waiting sequences handed out fairly, and room for a chat beside a thousand others.

Sequences of one set of weights wait in a line. Clients take turns in it; of one client's requests
the oldest and the newest take turns, so that all that wait get on and what came last does not wait
for all that came before. Small requests are kept apart from bulk and have room of their own. Knows
requests and their sizes; decodes nothing.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from training.engine.compute.tasks import Row, Task

SMALL_ROWS = 16
"""Sequences that a client may have on their way, all small requests together, and not be bulk."""
QUANTUM = 16
"""Sequences of one request that are taken in a turn, because they share the reading of a prompt."""
RESERVED = 4
"""Beside bulk that fills the room, small requests get one part in so many of it on top."""


class Line:
    """The waiting sequences of one lane."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, deque[tuple[Task, deque[Row]]]] = OrderedDict()
        self._newest_next: dict[str, bool] = {}
        self._current: tuple[str, Task, deque[Row], int] | None = None

    def __bool__(self) -> bool:
        return bool(self._owners)

    def add(self, task: Task, rows: Iterable[Row]) -> None:
        """Let a request's sequences wait."""
        self._owners.setdefault(task.request.owner, deque()).append((task, deque(rows)))

    def peek(self) -> Row | None:
        """The sequence whose turn it is, None when nobody waits."""
        if self._current is None:
            self._current = self._turn()
        return self._current[2][0] if self._current else None

    def take(self) -> Row:
        """Take the sequence that :meth:`peek` showed."""
        row = self.peek()
        if row is None or self._current is None:
            raise LookupError("nobody is waiting")
        owner, task, rows, left = self._current
        rows.popleft()
        if not rows:
            self._forget(owner, task)
        self._current = (owner, task, rows, left - 1) if rows and left > 1 else None
        return row

    def drop(self) -> Task:
        """Drop all of the request whose turn it is, because it was cancelled."""
        if self.peek() is None or self._current is None:
            raise LookupError("nobody is waiting")
        owner, task = self._current[:2]
        self._forget(owner, task)
        self._current = None
        return task

    def _turn(self) -> tuple[str, Task, deque[Row], int] | None:
        if not self._owners:
            return None
        owner, waiting = next(iter(self._owners.items()))
        self._owners.move_to_end(owner)
        newest = self._newest_next.get(owner, False)
        self._newest_next[owner] = not newest
        task, rows = waiting[-1 if newest else 0]
        return owner, task, rows, QUANTUM

    def _forget(self, owner: str, task: Task) -> None:
        waiting = self._owners[owner]
        if waiting[0][0] is task:
            waiting.popleft()
        elif waiting[-1][0] is task:
            waiting.pop()
        else:
            # Newer ones came while it had its turn.
            del waiting[next(i for i, (other, _) in enumerate(waiting) if other is task)]
        if not waiting:
            del self._owners[owner]
            self._newest_next.pop(owner, None)

    def tasks(self) -> Iterator[Task]:
        """All requests that wait."""
        for waiting in self._owners.values():
            for task, _ in waiting:
                yield task

    def drain_into(self, other: "Line") -> None:
        """Let all wait in another line instead."""
        for waiting in self._owners.values():
            for task, rows in waiting:
                other.add(task, rows)
        self._owners.clear()
        self._newest_next.clear()
        self._current = None


class Load:
    """How many sequences of small requests each client has on their way."""

    def __init__(self) -> None:
        self._rows: Counter[str] = Counter()

    def add(self, task: Task) -> None:
        """A request came."""
        if task.request.num_samples <= SMALL_ROWS:
            self._rows[task.request.owner] += task.request.num_samples

    def remove(self, task: Task) -> None:
        """A request is answered."""
        owner = task.request.owner
        if task.request.num_samples <= SMALL_ROWS:
            self._rows[owner] -= task.request.num_samples
            if self._rows[owner] <= 0:
                del self._rows[owner]

    def is_small(self, task: Task) -> bool:
        """Whether a request is small, and not one of many of its client."""
        small = task.request.num_samples <= SMALL_ROWS
        return small and self._rows[task.request.owner] <= SMALL_ROWS


@dataclass
class Room:
    """The memory for keys and values, in columns, and who may have how much of it.

    Attributes:
        columns: what all sequences together may hold.
        small: columns that small requests hold.
        bulk: columns that bulk holds.
    """

    columns: int
    small: int = 0
    bulk: int = 0

    def admits_small(self, cost: int) -> bool:
        """Whether a sequence of a small request may begin.

        One goes ahead whatever its size, and some more beyond the room, so that no chat waits for
        bulk to end.
        """
        fits = self.small + self.bulk + cost <= self.columns
        return fits or self.small == 0 or self.small + cost <= self.columns // RESERVED

    def admits_bulk(self, cost: int, mine: int, lanes: int) -> bool:
        """Whether a sequence of bulk may begin.

        Args:
            cost: columns that it may come to need.
            mine: columns that its own lane holds.
            lanes: bulk lanes that want room, its own included.
        """
        if self.small + self.bulk == 0:
            return True
        fits = self.small + self.bulk + cost <= self.columns
        return fits and (mine == 0 or mine + cost <= self.columns // max(lanes, 1))
