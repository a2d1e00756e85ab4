"""One annotator in a process of its own: judges, and misbehaves as browsers and people do.

Whatever the ledger acknowledged is written to the process's own log before the next step, so that
the parent can tell what was lost when it kills the process.
"""

import contextlib
import os
import random
import secrets
import signal
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, configure_mappers, sessionmaker

from db.clock import utcnow
from db.errors import AlreadyJudged, LeaseLost, Refused
from db.labeling import Shown, claim, judge, release, skip, undo
from db.models import Assignment, AssignmentState
from db.session import sessions

configure_mappers()  # once, before the processes are forked
LEASE = timedelta(seconds=2.0)
VERDICTS = ("a", "b", "tie", "both_bad")
JUDGED_BY_HAND = (
    "INSERT INTO judgment (assignment_id, comparison_id, annotator_id, verdict, placement, weight,"
    " tags, source, created_at) SELECT id, comparison_id, annotator_id, 'tie', placement, 1.0,"
    " '[]', 'by hand', leased_at FROM assignment"
)


@dataclass(frozen=True)
class Task:
    """What one process does.

    Attributes:
        url: The ledger.
        annotator: Whose judgments.
        seed: Of this process's behaviour.
        log: File of what was acknowledged.
        stop: File that, once there, ends the process after its current step.
    """

    url: str
    annotator: int
    seed: int
    log: str
    stop: str


def work(task: Task) -> None:
    """Judge until nothing is left and the stop file is there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    dice = random.Random(task.seed)
    make = sessions(task.url)
    log = os.open(task.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    while not Path(task.stop).exists():
        with make.begin() as session:
            shown = claim(session, task.annotator, lease=LEASE)
        if shown is None:
            time.sleep(dice.uniform(0.02, 0.15))
            continue
        try:
            _step(make, task, shown, dice, log)
        except (Refused, LeaseLost):
            continue


def _step(
    make: sessionmaker[Session], task: Task, shown: Shown, dice: random.Random, log: int
) -> None:
    act = dice.random()
    if act < 0.03:
        with make.begin() as session:
            skip(session, shown.token, task.annotator, "not for me")
        return
    if act < 0.06:
        with make.begin() as session:
            release(session, shown.token, task.annotator)
        return
    if act < 0.09:  # away from the desk: the lease runs out, perhaps somebody else takes the seat
        time.sleep(LEASE.total_seconds() * dice.uniform(0.8, 1.6))
    if act < 0.12:  # shown, reloaded, shown again
        with make.begin() as session:
            claim(session, task.annotator, lease=LEASE)
    with make.begin() as session:
        judge(session, shown.token, task.annotator, dice.choice(VERDICTS), min_dwell=False)
    os.write(log, f"judged {shown.token}\n".encode())
    if act > 0.95:  # a double click
        try:
            with make.begin() as session:
                judge(session, shown.token, task.annotator, "tie", min_dwell=False)
            os.write(log, f"judged twice {shown.token}\n".encode())
        except AlreadyJudged:
            pass
    elif act > 0.93:
        with make.begin() as session:
            undo(session, task.annotator)
        os.write(log, f"undone {shown.token}\n".encode())
    elif act > 0.91:
        _around_the_verbs(make, shown, task)


def _around_the_verbs(make: sessionmaker[Session], shown: Shown, task: Task) -> None:
    """What a mistake in the code would write; only the database's constraints stand in the way."""
    for rude in (_second_judgment, _one_too_many):
        with contextlib.suppress(IntegrityError), make.begin() as session:
            rude(session, shown, task)


def _second_judgment(session: Session, shown: Shown, task: Task) -> None:
    session.execute(text(f"{JUDGED_BY_HAND} WHERE token = :token"), {"token": shown.token})


def _one_too_many(session: Session, shown: Shown, task: Task) -> None:
    full = session.scalar(
        text(
            "SELECT id FROM comparison WHERE seats = 0 AND NOT EXISTS (SELECT 1 FROM assignment"
            " WHERE comparison_id = comparison.id AND annotator_id = :me) ORDER BY id DESC LIMIT 1"
        ),
        {"me": task.annotator},
    )
    if full is None:
        return
    session.execute(text("UPDATE comparison SET seats = seats - 1 WHERE id = :id"), {"id": full})
    token = secrets.token_urlsafe(32)
    session.add(
        Assignment(
            token=token,
            comparison_id=full,
            annotator_id=task.annotator,
            placement=1,
            state=AssignmentState.JUDGED,
            expires_at=utcnow(),
        )
    )
    session.flush()
    session.execute(text(f"{JUDGED_BY_HAND} WHERE token = :token"), {"token": token})
