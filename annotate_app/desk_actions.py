"""What admins do at the desk: flags, pairs set aside, decisions, notices, batches, erasing.

One transaction each; the ledger's verbs write the audit log. Knows no page.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from annotate_app import work_queries
from db import (
    adjudication,
    batch_changes,
    batch_making,
    batches,
    erasing,
    flags,
    notices,
    reassigning,
    set_aside,
)
from db.session import transact

T = TypeVar("T")


def _do(work: Callable[[Any], T]) -> T:
    done = transact(None, work)
    work_queries.forget()
    return done


def resolve_flag(flag_id: int, words: str, *, stop_asking: bool, actor: str) -> None:
    """Put a flag away with what was done, and take its pair out of the queue where asked.

    Raises:
        Refused: There are no words, or somebody resolved it meanwhile; then nothing is changed.
    """

    def work(session: Any) -> None:
        flags.resolve(session, flag_id, words, actor=actor)
        if stop_asking:
            flags.stop_asking(session, flag_id, actor=actor)

    _do(work)


def release(comparison_id: int, *, actor: str) -> None:
    """Ask for a pair that was set aside after all."""
    _do(lambda session: set_aside.release(session, comparison_id, actor=actor))


def drop(comparison_id: int, *, actor: str) -> None:
    """Never show a pair that was set aside."""
    _do(lambda session: set_aside.drop(session, comparison_id, actor=actor))


def decide(
    comparison_id: int,
    annotator_id: int,
    verdict: tuple[str, int | None],
    *,
    first: tuple[str, int | None],
    seen: Sequence[int],
    note: str,
) -> None:
    """Decide a pair, in the order in which the adjudicator sees it.

    Raises:
        Refused: They may not, or it was decided meanwhile.
    """
    _do(
        lambda session: adjudication.decide(
            session,
            comparison_id,
            annotator_id,
            verdict[0],
            strength=verdict[1],
            seen=seen,
            note=note,
            first=first,
        )
    )


def answer_blind(comparison_id: int, annotator_id: int, verdict: tuple[str, int | None]) -> None:
    """Keep what an adjudicator answers before the others' answers are shown.

    Raises:
        Refused: They may not decide this pair.
    """
    _do(lambda session: adjudication.put_first(session, comparison_id, annotator_id, *verdict))


def put_away(notice_id: int, *, actor: str) -> None:
    """Put a notice away."""
    _do(lambda session: notices.put_away(session, notice_id, actor))


def make_batch(plan: batch_making.BatchPlan, *, actor: str) -> batch_making.MadeBatch:
    """Make a batch with its comparisons.

    Raises:
        Refused: The name is taken, a value is bad, or there is nothing to compare.
    """
    return _do(lambda session: batch_making.make_batch(session, plan, actor=actor))


def order_batch(batch_id: int, strategy: str | None, *, actor: str) -> int:
    """Put a batch's open pairs in order anew, by another strategy where one is given."""
    return _do(
        lambda session: batch_changes.order(
            session, batches.batch(session, batch_id), strategy, actor=actor
        )
    )


def ask_for(batch_id: int, overlap: int, extra: int, *, actor: str) -> int:
    """Ask for more or fewer judgments of each pair of a batch."""
    return _do(
        lambda session: batch_changes.ask_for(
            session, batches.batch(session, batch_id), overlap, extra=extra, actor=actor
        )
    )


def give_rest(batch_id: int, names: Sequence[str], *, actor: str) -> list[str]:
    """Let a batch be for these people only; nobody named: for everybody."""
    return _do(lambda session: reassigning.give_rest(session, batch_id, names, actor=actor))


def give(comparison_id: int, to: str, *, from_: str, actor: str) -> None:
    """Move a pair in hand to somebody by name.

    Raises:
        Refused: They may not judge it, or hold another pair.
    """
    _do(lambda session: reassigning.give(session, comparison_id, to, from_=from_, actor=actor))


def take_back(batch_id: int, comparison_id: int, annotator: str, *, actor: str) -> None:
    """End somebody's lease on a pair, which goes back to the queue.

    Raises:
        Refused: They hold it no longer.
    """
    _do(
        lambda session: reassigning.take_back(
            session, batch_id, comparison_id=comparison_id, annotator=annotator, actor=actor
        )
    )


def erase(name: str, *, keep_comments: bool, actor: str) -> erasing.Erased:
    """Give a person a pseudonym and blank their words.

    Raises:
        Refused: It was done already, or they would erase themselves.
    """
    return _do(
        lambda session: erasing.erase(session, name, actor=actor, keep_comments=keep_comments)
    )
