"""What an admin changes of a batch that is under way: how often it asks, and in which order.

Each is in the audit log. Knows no page; who it is for is ``db.reassigning``'s.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from db import audit, ordering
from db.batch_making import MOST_OVERLAP, STRATEGIES
from db.batches import set_overlap
from db.errors import Refused
from db.models import Batch, Comparison


def ask_for(
    session: Session, batch: Batch, overlap: int, *, actor: str, extra: int | None = None
) -> int:
    """Ask for so many judgments of each pair that asks for as many as its batch does.

    Args:
        session: The session.
        batch: Which.
        overlap: Judgments a pair; what is taken already stays.
        actor: Who.
        extra: Judgments that may be added where the first ones disagree; None leaves it.

    Returns:
        How many pairs were changed.

    Raises:
        Refused: A number is out of bounds.
    """
    if not 1 <= overlap <= MOST_OVERLAP or not 0 <= (extra or 0) <= MOST_OVERLAP:
        raise Refused(f"overlap is 1 to {MOST_OVERLAP}, extra 0 to {MOST_OVERLAP}")
    same = select(Comparison).where(
        Comparison.batch_id == batch.id, Comparison.overlap == batch.overlap
    )
    changed = 0
    for each in session.scalars(same.order_by(Comparison.id).with_for_update()):
        wanted = max(overlap, each.overlap - each.seats)
        if wanted != each.overlap:
            set_overlap(session, each, wanted)
            changed += 1
    batch.overlap = overlap
    batch.extra_overlap = batch.extra_overlap if extra is None else extra
    session.flush()
    audit.record(
        session,
        actor,
        "batch overlap",
        batch.name,
        overlap=overlap,
        extra=batch.extra_overlap,
        pairs=changed,
    )
    return changed


def order(session: Session, batch: Batch, strategy: str | None, *, actor: str) -> int:
    """Put a batch's open pairs in order anew, by another strategy where one is given.

    Returns:
        How many pairs are open.

    Raises:
        Refused: There is no such strategy.
    """
    if strategy is not None and strategy not in STRATEGIES:
        raise Refused(f"strategy {strategy!r} is unknown; use {', '.join(STRATEGIES)}")
    batch.strategy = strategy or batch.strategy
    count = ordering.rank(session, batch)
    audit.record(session, actor, "rank batch", batch.name, pairs=count, strategy=batch.strategy)
    return count
