"""Gold, repeats, pausing, self-naming and returns, on both databases."""

from datetime import timedelta

import filling
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from db import blocks, gold, judgments, labeling, notices, pausing, repeats, returns, set_aside
from db.clock import utcnow
from db.doctor import examine
from db.errors import AlreadyJudged, Paused, Refused
from db.models import Annotator, Assignment, Comparison, Judgment, Repeat
from db.self_naming import found_in

Make = sessionmaker[Session]


def world(make: Make, *, pairs: int = 60, golds: int = 0, gold_rate=0.0, repeat_rate=0.0) -> int:
    with make.begin() as session:
        filling.persona(session)
        work = filling.batch(session, pairs=pairs)
        source = filling.batch(session, pairs=golds, name="known")
        source.state = "closed"
        ids = session.scalars(select(Comparison.id).where(Comparison.batch_id == source.id))
        for each in list(ids):
            gold.add(session, each, "a", actor="test")
        gold.set_rates(session, work, actor="test", gold=gold_rate, repeat=repeat_rate)
        return filling.somebody(session).id


def judge_some(make: Make, who: int, count: int, verdict: str = "a") -> int:
    """Judge until `count` pairs are judged or nothing is left, always Response A."""
    now = utcnow().replace(hour=1, minute=0)
    for number in range(count):
        with make.begin() as session:
            if (
                filling.judge_next(session, who, verdict, now=now + timedelta(minutes=number))
                is None
            ):
                return number
    return count


def test_gold_takes_no_seat_counts_in_no_result_and_is_scored(make: Make, url: str) -> None:
    who = world(make, golds=3, gold_rate=0.2)
    judge_some(make, who, 20, "tie")
    with make() as session:
        right, of = gold.scores(session)[who]
        assert (right, of) == (0, 3)
        seats = session.scalar(select(func.count()).where(Assignment.seat))
        known = judgments.tables(session)
        assert judgments.chosen(blocks.standing(session), known).n == seats
        assert judgments.counts(session).judgments == seats
    assert all(each.ok for each in examine(url))


def test_failed_gold_pauses_tells_the_admin_and_resume_begins_anew(make: Make) -> None:
    who = world(make, golds=8, gold_rate=0.3)
    with pytest.raises(Paused, match="Everything you answered is saved"):
        judge_some(make, who, 60, "both_bad")
    with make.begin() as session:
        assert len(notices.open_(session, "paused")) == 1
        person = session.get_one(Annotator, who)
        assert gold.scores(session)[who] == (0, 5)
        pausing.resume(session, person, actor="admin")
        assert notices.open_(session, "paused") == []
        assert pausing.latest_gold(session, who) == []
        assert labeling.claim(session, who) is not None


def test_undo_never_unscores_gold(make: Make) -> None:
    who = world(make, golds=1, gold_rate=0.3)
    now = utcnow().replace(hour=1)
    for _ in range(10):
        with make.begin() as session:
            made = filling.judge_next(session, who, "tie", now=now)
            if session.get_one(Comparison, made.comparison_id).gold is not None:
                shown = labeling.undo(session, who, now=now)
                side = "a" if shown.placement > 0 else "b"
                labeling.judge(session, shown.token, who, side, now=now, min_dwell=False)
                break
    with make() as session:
        assert gold.scores(session)[who] == (0, 1)


def test_a_repeat_is_mirrored_answered_once_undone_and_no_judgment(make: Make, url: str) -> None:
    who = world(make, repeat_rate=0.3)
    now = utcnow().replace(hour=1, minute=0)
    for number in range(40):
        moment = now + timedelta(minutes=number)
        with make.begin() as session:
            shown = labeling.claim(session, who, now=moment)
            again = labeling.claim(session, who, now=moment)
            assert shown is not None and again is not None and again.token == shown.token
            before = session.scalar(select(func.count(Judgment.id)))
            made = labeling.judge(session, shown.token, who, "a", now=moment, min_dwell=False)
            if isinstance(made, Repeat):
                break
    else:
        pytest.fail("no repeat came up")
    with make.begin() as session:
        repeat = session.scalars(select(Repeat)).one()
        first = session.get_one(Judgment, repeat.judgment_id)
        assert repeat.placement == -first.placement and not shown.revising
        assert session.scalar(select(func.count(Judgment.id))) == before
        assert labeling.my_history(session, who)[0].token == shown.token
        with pytest.raises(AlreadyJudged):
            labeling.judge(session, shown.token, who, "b", now=moment, min_dwell=False)
        undone = labeling.undo(session, who, now=moment)
        assert undone.revising and undone.response_a == shown.response_a
        assert repeats.twice(session) == []
        labeling.judge(session, undone.token, who, "b", now=moment, min_dwell=False)
        assert len(repeats.twice(session)) == 1
    assert all(each.ok for each in examine(url))


def test_a_pair_that_names_itself_is_set_aside_until_an_admin_releases_it(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        into = filling.batch(session, pairs=0)
        one = filling.candidate(session, "I am **Claude**, made to help.")
        made = filling.batches.put_comparison(
            session, into, one, filling.candidate(session, "Hello.", adapter="new")
        )
        who = filling.somebody(session).id
        assert (made.overlap, made.seats) == (0, 0)
        assert [each.comparison_id for each in set_aside.waiting(session)] == [made.id]
        assert len(notices.open_(session, "set aside")) == 1
        assert labeling.claim(session, who) is None
        set_aside.release(session, made.id, actor="admin")
        assert labeling.claim(session, who) is not None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("As GPT-4, I can help.", True),
        ("I’m ChatGPT!", True),
        ("As an AI language model developed by OpenAI, no.", True),
        ("I was trained by Anthropic.", True),
        ("ChatGPT is a language model by OpenAI.", False),
        ("As Claude Monet said, colour is my joy.", False),
        ("As an AI language model, I cannot.", False),
        ("I am a falconer.", False),
    ],
)
def test_only_words_about_oneself_name_the_author(text: str, named: bool) -> None:
    assert bool(found_in(text)) is named


def test_a_returned_judgment_stands_until_it_is_revised(make: Make) -> None:
    who = world(make, pairs=2)
    with make.begin() as session:
        made = filling.judge_next(session, who)
        returns.give_back(session, made.id, "Look at the second reply again.", actor="admin")
        assert [each.judgment_id for each in returns.waiting(session, who)] == [made.id]
        with pytest.raises(Refused):
            returns.give_back(session, made.id, "Twice.", actor="admin")
        shown = labeling.revise(session, who, made.id)
        labeling.judge(session, shown.token, who, "tie", min_dwell=False)
        assert returns.waiting(session, who) == []
