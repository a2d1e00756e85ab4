"""How long each batch still takes at its own pace of the last days. Reads times, prints words.

The range is ``preference.finishing``'s. Looks only at the newest judgments of the ledger, so that a
million old ones cost nothing.
"""

from collections import defaultdict
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.clock import utcnow
from db.models import Assignment, Comparison, Judgment, Retraction
from preference.finishing import Finish, time_to_finish

WINDOW = timedelta(days=7)
"""What a batch's pace is of, at most."""
LOOKED_AT = 20_000
"""Newest judgments of the ledger among which a batch's are looked for."""
UNKNOWN = "not enough judgments yet to tell how long"


def recent(session: Session, now: datetime | None = None) -> dict[int, list[float]]:
    """By batch, how many hours ago each of its recent standing judgments was made.

    Imported judgments hold no seat and are left out: they were made elsewhere.
    """
    moment = now or utcnow()
    newest = session.scalar(select(func.max(Judgment.id))) or 0
    query = (
        select(Comparison.batch_id, Judgment.created_at)
        .select_from(Judgment)
        .join(Comparison, Comparison.id == Judgment.comparison_id)
        .join(Assignment, Assignment.id == Judgment.assignment_id)
        .outerjoin(Retraction, Retraction.judgment_id == Judgment.id)
        .where(
            Judgment.id > newest - LOOKED_AT,
            Judgment.created_at > moment - WINDOW,
            Assignment.seat,
            Retraction.judgment_id.is_(None),
        )
    )
    found: defaultdict[int, list[float]] = defaultdict(list)
    for batch_id, at in session.execute(query).tuples():
        found[batch_id].append(max(0.0, (moment - at).total_seconds() / 3600))
    return dict(found)


def finish(session: Session, batch_id: int, left: int, now: datetime | None = None) -> str:
    """When one batch will be done, in words."""
    return in_words(time_to_finish(recent(session, now).get(batch_id, []), left))


def in_words(told: Finish | None) -> str:
    """A time to finish as people read it, with its range (8 in 10 cases) and what it is of."""
    if told is None:
        return UNKNOWN
    if told.left == 0:
        return "done"
    of = f"at its pace of the last {_long(told.span)}"
    if told.high < 1 / 60:
        return f"less than a minute {of}"
    unit, size = _unit(told.hours)
    if told.low < size / 2:
        return f"about {_long(told.hours)}, up to {_long(told.high)}, {of}"
    if _unit(told.high) != (unit, size):
        return f"about {_long(told.hours)} ({_long(told.low)} to {_long(told.high)}) {of}"
    low, high = round(told.low / size), round(told.high / size)
    between = f" ({low:,} to {high:,})" if low != high else ""
    return f"about {_long(told.hours)}{between} {of}"


def _long(hours: float) -> str:
    unit, size = _unit(hours)
    return _many(max(1, round(hours / size)), unit)


def _unit(hours: float) -> tuple[str, float]:
    if hours < 1.5:
        return "minute", 1 / 60
    return ("hour", 1.0) if hours < 48 else ("day", 24.0)


def _many(count: int, unit: str) -> str:
    return f"{count:,} {unit}{'' if count == 1 else 's'}"
