"""When a batch will be done, read from its own recent judgments and said in words."""

from datetime import timedelta

import filling
import pytest
from click.testing import CliRunner
from sqlalchemy.orm import Session, sessionmaker

from db import labeling, pace
from db.clock import utcnow
from personaloop import personaloop
from preference.finishing import Finish

Make = sessionmaker[Session]


def test_only_standing_judgments_of_the_batch_and_of_the_last_days_count(make: Make) -> None:
    now = utcnow()
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=30, priority=1)
        filling.batch(session, pairs=3, name="other")
        (ann,) = filling.crowd(session, ["ann"])
        filling.judge_next(session, ann, now=now - timedelta(days=9))
        for number in range(12):
            filling.judge_next(session, ann, now=now - timedelta(hours=12 - number))
        assert labeling.undo(session, ann, now=now) is not None
        recent = pace.recent(session, now)
        assert set(recent) == {1}
        assert sorted(round(each) for each in recent[1]) == list(range(2, 13))
        assert pace.finish(session, 1, 17, now).startswith("about 19 hours (")
        assert pace.finish(session, 2, 3, now) == pace.UNKNOWN


@pytest.mark.parametrize(
    ("hours", "low", "high", "words"),
    [
        (5, 3, 9, "about 5 hours (3 to 9) at its pace of the last 3 days"),
        (5, 5, 5.2, "about 5 hours at its pace of the last 3 days"),
        (1, 0.75, 6, "about 60 minutes (45 minutes to 6 hours) at its pace of the last 3 days"),
        (0.7, 0.001, 96, "about 42 minutes, up to 4 days, at its pace of the last 3 days"),
        (0.01, 0.005, 0.012, "less than a minute at its pace of the last 3 days"),
    ],
)
def test_times_are_said_in_units_that_fit(hours, low, high, words) -> None:
    assert pace.in_words(Finish(7, 50, 72, hours, low, high)) == words
    assert pace.in_words(Finish(0, 50, 72, 0, 0, 0)) == "done"


def test_the_commands_tell_it_for_what_is_open(make: Make, url: str) -> None:
    def run(*arguments: str) -> str:
        given = ["batches", *arguments, "--database-url", url]
        done = CliRunner().invoke(personaloop, given)
        assert done.exit_code == 0, done.exception
        return done.output

    now = utcnow()
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=30)
        (ann,) = filling.crowd(session, ["ann"])
        for number in range(12):
            filling.judge_next(session, ann, now=now - timedelta(hours=12 - number))
    assert "about 18 hours (" in run("list")
    shown = run("show", "batch")
    assert "time to finish  about 18 hours (" in shown
    assert "12 of 30 (0 simulated)" in shown and "held by         nobody" in shown
    run("pause", "batch")
    assert "hours" not in run("list")
