"""The order in which a batch's pairs are asked: as made, by chance, or by what teaches most.

Ranks are written for the pairs that still have seats; ``db.leases`` hands them out by rank. Knows
no annotator. What a pair of adapters teaches is ``preference.asking``'s answer.
"""

import random
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session, aliased

from db import judgments
from db.clock import utcnow
from db.eligibility import HAS_SEATS
from db.models import Batch, Candidate, Comparison
from preference.asking import next_pairs
from preference.bradley_terry import fit_bradley_terry
from preference.errors import PreferenceError

PICKED = 200
"""Pairs that ``informative`` chooses one after the other; those behind come by chance until the
batch is ranked again."""

_Open = list[tuple[int, str, str]]


def rank(session: Session, batch: Batch, *, now: datetime | None = None) -> int:
    """Put a batch's open pairs in the order of its strategy; gives how many.

    Args:
        session: The session.
        batch: Which; its strategy and random share say how.
        now: The moment (UTC); None for the present. Everybody goes on from the new start.
    """
    order = planned(session, batch)
    write_ranks(session, list(enumerate(order)))
    batch.ranked_at = now or utcnow()
    session.flush()
    return len(order)


def planned(session: Session, batch: Batch) -> list[int]:
    """A batch's open pairs in the order of its strategy, with what is known by now; only read."""
    return _order(session, batch, _open_pairs(session, batch.id))


def write_ranks(session: Session, ranks: Sequence[tuple[int, int]]) -> None:
    """Give pairs their ranks, (rank, pair) each, in the order of ids as whoever locks several."""
    if ranks:
        session.execute(
            update(Comparison),
            [{"id": pair, "rank": rank} for rank, pair in sorted(ranks, key=lambda each: each[1])],
        )


def informative_order(
    pairs: _Open, taught: list[int], random_share: float, chance: random.Random
) -> list[int]:
    """The pairs that teach most in their order, the others by chance among and behind them.

    Args:
        pairs: Every open pair.
        taught: Ids of those that were chosen, the best first.
        random_share: Share of places given to any pair by chance, 0 to 1.
        chance: The dice.
    """
    best, others = list(reversed(taught)), [pair for pair, _, _ in pairs]
    chance.shuffle(others)
    placed: dict[int, None] = {}
    while len(placed) < len(pairs):
        source = others if not best or chance.random() < random_share else best
        placed.setdefault(source.pop())
    return list(placed)


def _order(session: Session, batch: Batch, pairs: _Open) -> list[int]:
    ids = [pair for pair, _, _ in pairs]
    if batch.strategy == "listed":
        return ids
    chance = random.Random(f"batch {batch.id} {batch.ranked_at}")
    if batch.strategy == "random":
        chance.shuffle(ids)
        return ids
    shuffled = list(pairs)
    chance.shuffle(shuffled)
    taught = _taught(session, batch, shuffled)
    return informative_order(pairs, taught, batch.random_share, chance)


def _taught(session: Session, batch: Batch, pairs: _Open) -> list[int]:
    """Pairs whose judgments would teach most now: adapters without any judgment come first."""
    frame = judgments.standing_frame(session, persona=batch.persona_slug)
    different = [each for each in pairs if each[1] != each[2]]
    try:
        fit = fit_bradley_terry(frame["item_a"], frame["item_b"], frame["verdict"], prior="firth")
    except PreferenceError:  # too little is known to choose by: chance it is, as documented
        return []
    known = set(fit.items)
    new = [pair for pair, one, other in different if one not in known or other not in known]
    rated = [each for each in different if each[1] in known and each[2] in known]
    if not rated:
        return new[:PICKED]
    room = max(PICKED - len(new), 0)
    picks = next_pairs(fit, [(one, other) for _, one, other in rated], n=min(room, len(rated)))
    return [*new[:PICKED], *(rated[pick.position][0] for pick in picks)]


def _open_pairs(session: Session, batch_id: int) -> _Open:
    one, other = aliased(Candidate), aliased(Candidate)
    query = (
        select(Comparison.id, one.adapter_id, other.adapter_id)
        .join(one, one.id == Comparison.candidate_a_id)
        .join(other, other.id == Comparison.candidate_b_id)
        .where(Comparison.batch_id == batch_id, HAS_SEATS)
        .order_by(Comparison.id)
    )
    return list(session.execute(query).tuples())
