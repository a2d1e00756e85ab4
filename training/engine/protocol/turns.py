"""The order of one model's training requests: each waits for its turn, and none runs twice.

The SDK numbers them 1, 2, 3 and asks that they run in that order. One that comes too early waits
for those before it, for a while: a number may never come, because its client gave up on it. A
number whose request was refused holds nobody up, and may be used again. Knows numbers and times.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from training.engine.errors import BadRequest, Busy

MOST_REFUSED = 1024


@dataclass
class Turns:
    """One model's numbers.

    Attributes:
        last: the highest number that was started.
        most: how many may wait.
        patience_s: how long they wait for a number that does not come.
    """

    last: int
    most: int
    patience_s: float
    clock: Callable[[], float] = time.monotonic
    _refused: set[int] = field(default_factory=set)
    _early: dict[int, tuple[float, Callable[[], None]]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self._early)

    def offer(self, number: int, start: Callable[[], None]) -> None:
        """Start a request if it is its turn, else let it wait.

        Raises:
            BadRequest: it, or one after it, was started already.
            Busy: too many wait.
        """
        if number <= self.last:
            raise BadRequest(
                f"request {number} was already taken, or came after request {self.last} had "
                "begun; its result is lost"
            )
        if not self._is_next(number) and len(self._early) >= self.most:
            raise Busy(
                f"{self.most} requests of this model wait for request {self.missing}; send it first"
            )
        self._early[number] = (self.clock() + self.patience_s, start)
        self._go_on()

    def refuse(self, number: int) -> None:
        """A request of this number was refused: the next ones need not wait for it."""
        if self.last < number <= self.last + MOST_REFUSED:
            self._refused.add(number)
            self._go_on()

    @property
    def missing(self) -> int:
        """The number that is waited for."""
        number = self.last + 1
        while number in self._refused:
            number += 1
        return number

    @property
    def deadline(self) -> float | None:
        """When the first of those that wait goes on without those before it."""
        return min((until for until, _ in self._early.values()), default=None)

    def release(self, *, everything: bool = False) -> None:
        """Start what has waited long enough, and all that came before it."""
        now = self.clock()
        due = [n for n, (until, _) in self._early.items() if everything or until <= now]
        for number in sorted(n for n in self._early if due and n <= max(due)):
            self._start(number)
        self._go_on()

    def _is_next(self, number: int) -> bool:
        return all(n in self._refused for n in range(self.last + 1, number))

    def _go_on(self) -> None:
        while self._early:
            first = min(self._early)
            if not self._is_next(first):
                return
            self._start(first)

    def _start(self, number: int) -> None:
        _, start = self._early.pop(number)
        before, self.last = self.last, number
        try:
            start()
        except BaseException:
            self.last = before
            raise
        self._refused = {n for n in self._refused if n > number}
