"""Ranks batches again by themselves as judgments come in, beside the work and never within a claim.

A worker calls it between jobs. What is chosen is computed in a transaction that only reads; ranks
are written some at a time, so that nobody who labels waits for all of them. Meanwhile pairs come in
an order between the old one and the new one, which harms nothing. Knows no strategy but that
``informative`` has to be kept fresh; the random share stays as ``db.ordering`` deals it.
"""

from datetime import datetime, timedelta

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, sessionmaker

from db import ordering
from db.clock import utcnow
from db.eligibility import HAS_SEATS
from db.models import Batch, BatchState, Comparison, Judgment

EVERY = 20
"""Judgments of a batch since it was ranked, after which its order is due."""
PAUSE = timedelta(minutes=1)
"""How long an order stays at least: everybody begins a new one from its start."""
LOOKED_AT = 5000
"""Newest judgments of the ledger among which a batch's new ones are counted."""
AT_ONCE = 1000
"""Ranks written in one transaction."""


def due(session: Session, now: datetime | None = None) -> list[int]:
    """Ids of the open batches whose order is due, in the order in which they are asked."""
    moment = now or utcnow()
    newest = session.scalar(select(func.max(Judgment.id))) or 0
    query = (
        select(Batch.id, Batch.ranked_at)
        .where(
            Batch.strategy == "informative",
            Batch.state == BatchState.OPEN,
            Batch.purpose == "work",
            exists().where(Comparison.batch_id == Batch.id, HAS_SEATS),
        )
        .order_by(Batch.priority.desc(), Batch.id)
    )
    found: list[int] = []
    for batch_id, ranked_at in session.execute(query).tuples():
        if ranked_at is not None and moment - ranked_at < PAUSE:
            continue
        new = select(func.count()).select_from(Judgment).join(Judgment.comparison)
        new = new.where(Judgment.id > newest - LOOKED_AT, Comparison.batch_id == batch_id)
        if ranked_at is not None:
            new = new.where(Judgment.created_at > ranked_at)
        if (session.scalar(new) or 0) >= EVERY:
            found.append(batch_id)
    return found


def rank_due(sessions: sessionmaker[Session], now: datetime | None = None) -> dict[str, int]:
    """Rank every batch that is due; gives their names and how many pairs each has open."""
    done: dict[str, int] = {}
    with reading(sessions) as session:
        waiting = due(session, now)
    for batch_id in waiting:
        with reading(sessions) as session:
            batch = session.get_one(Batch, batch_id)
            order = list(enumerate(ordering.planned(session, batch)))
        for start in range(0, len(order), AT_ONCE):
            with sessions.begin() as session:
                ordering.write_ranks(session, order[start : start + AT_ONCE])
        with sessions.begin() as session:
            session.get_one(Batch, batch_id).ranked_at = now or utcnow()
        done[batch.name] = len(order)
    return done


def reading(sessions: sessionmaker[Session]) -> Session:
    """A session of the same ledger that only reads and holds up no writer."""
    engine = sessions.kw["bind"].execution_options(ledger_reader=True)
    return sessionmaker(engine, expire_on_commit=False)()
