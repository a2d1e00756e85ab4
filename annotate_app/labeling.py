"""The label page's way to the ledger: one transaction an act, and the words for the person.

Knows no streamlit, so that the whole flow is tested without a browser.
"""

import json
import logging
from datetime import datetime, timedelta

from sqlalchemy import CompoundSelect, select, union_all
from sqlalchemy.orm import Session

from annotate_app.panel.answers import Answer, Status, reasons_of
from annotate_app.words import clip, many
from db import labeling
from db.clock import utcnow
from db.errors import (
    AlreadyJudged,
    Away,
    Busy,
    LeaseLost,
    NotFound,
    PersonaLoopError,
    Refused,
    TooSoon,
)
from db.flags import COMMENT, raise_flag
from db.labeling import MyDay, Past, Shown
from db.labeling_day import REMAINING_COUNTED
from db.models import Assignment, Comparison, Persona, Repeat
from db.session import readers, transact
from db.settings import outputs_dir

log = logging.getLogger(__name__)

FIRST_PAIRS = "first_pairs.json"
"""Written by ``personaloop serve`` while it prepares the first pairs: state, since, message."""
FIRST_PAIRS_TRUST = timedelta(minutes=15)
CHANGING = "You have seen this pair before. What you answer now counts."
WORDS = {
    ("a", 2): "A is much better",
    ("a", 1): "A is better",
    ("b", 1): "B is better",
    ("b", 2): "B is much better",
    ("tie", None): "Tie",
    ("both_bad", None): "Both bad",
}


def claim_pair(annotator_id: int) -> Shown | None:
    """The pair on this person's table, or the next one; None when there is none.

    Raises:
        PersonaLoopError: The account is off, or the database is busy.
    """
    return transact(None, lambda session: labeling.claim(session, annotator_id))


def away_words(token: str, annotator_id: int) -> str | None:
    """Renew the lease of the pair on screen: None while it is held, else why it is not.

    The words are empty where the page just goes on, and say so where the person seems to be gone.
    """
    try:
        transact(None, lambda session: labeling.renew(session, token, annotator_id))
    except Busy:
        return None
    except Away as away:
        return str(away)
    except PersonaLoopError:
        return ""
    return None


def keep_pair(token: str, annotator_id: int) -> bool:
    """Renew the lease of the pair on screen; False where it is not held any more."""
    return away_words(token, annotator_id) is None


def handle_answer(
    answer: Answer, annotator_id: int, *, on_screen: str, since: datetime | None = None
) -> Status:
    """Do what an answer asks, once, and say what became of it.

    Args:
        answer: From the panel.
        annotator_id: Whose it is, from the sign-in, never from the browser.
        on_screen: The token that this browser session was shown last.
        since: When their day began (UTC); None for midnight UTC.
    """
    try:
        words = transact(
            None, lambda session: _act(session, answer, annotator_id, on_screen, since)
        )
        return Status(answer.id, "saved", words)
    except (AlreadyJudged, TooSoon, LeaseLost, NotFound, Refused) as error:
        return Status(answer.id, "note", _sentence(str(error)))
    except Busy:
        words = "Not saved yet: the database is busy. Your choice is kept and sent again."
        return Status(answer.id, "retry", words)
    except PersonaLoopError as error:
        return Status(answer.id, "note", _sentence(str(error)))
    except Exception:
        log.exception("an answer could not be saved")
        words = "Not saved yet: something is wrong on our side. Your choice is kept and sent again."
        return Status(answer.id, "retry", words)


def _act(
    session: Session,
    answer: Answer,
    annotator_id: int,
    on_screen: str,
    since: datetime | None,
) -> str:
    if answer.act == "undo":
        if answer.token != on_screen:
            raise Refused("You took that answer back already; here is the pair.")
        labeling.undo(session, annotator_id, since=since)
        return "Taken back. Here is the pair again."
    if answer.act == "skip":
        labeling.skip(session, answer.token, annotator_id, answer.reason)
        noted = keep_note(session, answer, annotator_id)
        return "Skipped, and your note is kept" if noted else "Skipped"
    labeling.judge(
        session,
        answer.token,
        annotator_id,
        answer.verdict or "",
        strength=answer.strength,
        **answer.details,
    )
    return "Saved"


def keep_note(session: Session, answer: Answer, annotator_id: int) -> bool:
    """Keep what was flagged or written with a skip; whether there was something."""
    kind, words = answer.details.get("flag"), answer.details.get("comment")
    if not kind and not words:
        return False
    comparison_id = session.scalar(_comparison_of(answer.token))
    if comparison_id is None:
        raise NotFound("This pair is not known here. Reload the page for the next one.")
    raise_flag(session, comparison_id, annotator_id, kind or COMMENT, words)
    return True


def _comparison_of(token: str) -> CompoundSelect[int]:
    """The pair that a token stands for: an assignment's, or a repeat's."""
    return union_all(
        select(Assignment.comparison_id).where(Assignment.token == token),
        select(Repeat.comparison_id).where(Repeat.token == token),
    )


def reasons_at(token: str) -> tuple[str, ...]:
    """The reasons that may be given for the pair of a token: its persona's, or the general ones."""
    with readers()() as session:
        front = session.scalar(
            select(Persona.front_matter)
            .join(Comparison, Comparison.persona_slug == Persona.slug)
            .where(Comparison.id.in_(_comparison_of(token)))
        )
    return reasons_of(front or {})


def wait_ms(shown: Shown | None, now: datetime | None = None) -> int:
    """How long the verdict buttons still wait, in milliseconds, by the server's clock."""
    if shown is None:
        return 0
    passed = ((now or utcnow()) - shown.shown_at).total_seconds() * 1000
    return max(0, round(shown.min_dwell_ms - passed))


def progress_words(day: MyDay, *, holding: bool) -> str:
    """``12 of 80 · 3 min today · about 25 s a pair``; the pace once there are a few pairs."""
    done = day.judged_today
    many_left = day.remaining >= REMAINING_COUNTED
    of = f"{REMAINING_COUNTED:,}+" if many_left else f"{done + day.remaining + holding:,}"
    pace = f" · about {max(1, round(day.pace_s))} s a pair" if day.pace_s is not None else ""
    return f"{done:,} of {of} · {day.minutes_today:.0f} min today{pace}"


def added_words(past: Past) -> list[str]:
    """What came with an earlier answer beside the verdict, each as a person would say it."""
    asked = [
        ("in character", past.in_character), ("helpful", past.helpful), ("safe", past.safe),
    ]  # fmt: skip
    said = [*past.tags]
    said += [f"{name}: {'not sure' if how == 'unsure' else how}" for name, how in asked if how]
    if past.flag:
        said.append(f"flagged as {past.flag}")
    if past.comment:
        said.append(f"“{clip(past.comment, 400)}”")
    return said


def verdict_words(past: Past) -> str:
    """An earlier answer as its button says it."""
    return WORDS[past.verdict.value, past.strength]


def nothing_words(annotator_id: int) -> str:
    """Why there is no pair, kindly."""
    with readers()() as session:
        return labeling.why_nothing(session, annotator_id)


def first_pairs_words(now: datetime | None = None) -> str:
    """What to say while the very first pairs are being written; empty when they are not."""
    try:
        known = json.loads((outputs_dir() / FIRST_PAIRS).read_text("utf-8"))
        since = datetime.fromisoformat(known["since"])
        state = known["state"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if (now or utcnow()) - since > FIRST_PAIRS_TRUST:
        return ""
    if state == "failed":
        return f"The first pairs could not be written. {known.get('message', '')}"
    return "The first pairs are being written; about a minute. This page shows them by itself."


def days_words(day: MyDay) -> str:
    """The day in a sentence, as in ``You judged 12 pairs today in 3 minutes; 240 in all``."""
    today = (
        f"You judged {many(day.judged_today, 'pair')} today in "
        f"{many(max(1, round(day.minutes_today)), 'minute')}"
        if day.judged_today
        else "You have not judged a pair today"
    )
    return f"{today}; {day.judged_total:,} in all."


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
