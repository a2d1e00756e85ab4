"""Gold, repeats, pausing, self-naming and returns, on both databases."""

import json
from datetime import timedelta

import filling
import pytest
from click.testing import CliRunner
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session, sessionmaker

from db import (
    blocks,
    gold,
    gold_pairs,
    judgments,
    labeling,
    leases,
    notices,
    pausing,
    repeat_answers,
    returns,
    set_aside,
)
from db.annotator_commands import annotators
from db.clock import utcnow
from db.doctor import examine
from db.errors import AlreadyJudged, LeaseLost, Paused, Refused, TooSoon
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
        assert len(judgments.standing_frame(session)) == seats
    assert all(each.ok for each in examine(url))


def test_failed_gold_pauses_tells_the_admin_and_resume_begins_anew(make: Make) -> None:
    who = world(make, golds=8, gold_rate=0.3)
    with pytest.raises(Paused, match="Everything you answered is saved"):
        judge_some(make, who, 60, "both_bad")
    with make.begin() as session:
        assert len(notices.open_(session, "paused")) == 1
        person = session.get_one(Annotator, who)
        assert gold.scores(session)[who] == (0, 6)
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
        assert repeat_answers.twice(session) == []
        labeling.judge(session, undone.token, who, "b", now=moment, min_dwell=False)
        assert len(repeat_answers.twice(session)) == 1
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


def a_repeat(make: Make, who: int):
    """Judge until a repeat is on the table: what is shown, and when."""
    now = utcnow().replace(hour=1, minute=0)
    for number in range(60):
        moment = now + timedelta(minutes=number)
        with make.begin() as session:
            shown = labeling.claim(session, who, now=moment)
            assert shown is not None
            known = session.scalar(select(Repeat.id).where(Repeat.token == shown.token))
            if known is not None:
                return shown, moment
            labeling.judge(session, shown.token, who, "a", now=moment, min_dwell=False)
    pytest.fail("no repeat came up")


def test_a_skipped_repeat_never_comes_back_and_is_no_answer(make: Make) -> None:
    who = world(make, repeat_rate=0.3)
    shown, moment = a_repeat(make, who)
    with make.begin() as session:
        labeling.skip(session, shown.token, who, "cannot tell")
        labeling.skip(session, shown.token, who)  # a second press changes nothing
        with pytest.raises(Refused, match="skipped"):
            labeling.judge(session, shown.token, who, "a", now=moment, min_dwell=False)
        after = labeling.claim(session, who, now=moment)
        assert after is not None and after.comparison_id != shown.comparison_id
        assert repeat_answers.twice(session) == []
        assert repeat_answers.count(session, who) == 0


def test_a_repeat_is_kept_while_it_is_open_and_lost_once_answered(make: Make) -> None:
    who = world(make, repeat_rate=0.3)
    shown, moment = a_repeat(make, who)
    with make.begin() as session:
        until = labeling.renew(session, shown.token, who, now=moment)
        assert until == moment + labeling.LEASE
        labeling.judge(session, shown.token, who, "a", now=moment, min_dwell=False)
        with pytest.raises(LeaseLost):
            labeling.renew(session, shown.token, who, now=moment)
        other = filling.somebody(session, "bo").id
        with pytest.raises(Refused, match="somebody else"):
            labeling.renew(session, shown.token, other)


def test_a_repeat_that_is_let_go_waits_for_its_annotator(make: Make) -> None:
    who = world(make, repeat_rate=0.3)
    shown, moment = a_repeat(make, who)
    with make.begin() as session:
        labeling.release(session, shown.token, who)
        labeling.release(session, shown.token, who)
        back = labeling.claim(session, who, now=moment + timedelta(hours=3))
        assert back is not None and back.token == shown.token
        assert back.shown_at == moment + timedelta(hours=3)
        other = filling.somebody(session, "bo").id
        assert labeling.claim(session, other, now=moment).token != shown.token


def test_a_second_tab_shows_the_same_repeat_and_one_answer_counts(make: Make) -> None:
    who = world(make, repeat_rate=0.3)
    shown, moment = a_repeat(make, who)
    with make.begin() as session:
        tab = labeling.claim(session, who, now=moment)
        assert (tab.token, tab.response_a) == (shown.token, shown.response_a)
    with make.begin() as session:
        labeling.judge(session, tab.token, who, "b", now=moment, min_dwell=False)
    with make.begin() as session:
        with pytest.raises(AlreadyJudged):
            labeling.judge(session, shown.token, who, "a", now=moment, min_dwell=False)
        assert session.scalar(select(func.count(Repeat.id))) == 1


def test_a_repeat_answered_too_early_is_refused_and_stays(make: Make) -> None:
    who = world(make, repeat_rate=0.3)
    shown, moment = a_repeat(make, who)
    with make.begin() as session:
        with pytest.raises(TooSoon):
            labeling.judge(session, shown.token, who, "a", now=moment)
        again = labeling.claim(session, who, now=moment)
        assert again is not None and again.token == shown.token
        later = moment + timedelta(milliseconds=shown.min_dwell_ms)
        assert isinstance(labeling.judge(session, shown.token, who, "a", now=later), Repeat)


def test_a_day_counts_answers_to_repeats_like_any_other(make: Make) -> None:
    who = world(make, repeat_rate=0.3)
    shown, moment = a_repeat(make, who)
    with make.begin() as session:
        before = labeling.my_day(session, who, now=moment)
        later = moment + timedelta(seconds=30)
        labeling.judge(session, shown.token, who, "a", now=later)
        day = labeling.my_day(session, who, now=later)
        assert (day.judged_today, day.judged_total) == (
            before.judged_today + 1,
            before.judged_total + 1,
        )
        assert day.minutes_today == pytest.approx(before.minutes_today + 0.5)
        tomorrow = labeling.my_day(session, who, now=later + timedelta(days=1))
        assert (tomorrow.judged_today, tomorrow.judged_total) == (0, day.judged_total)


def test_the_guard_of_a_claim_reads_once_where_nothing_names_itself(make: Make) -> None:
    world(make, pairs=1)
    with make.begin() as session:
        pair = session.scalars(select(Comparison.id)).one()
        session.expire_all()
        asked: list[str] = []
        engine = session.get_bind()

        def note(_connection, _cursor, statement, *_) -> None:
            asked.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        try:
            assert not set_aside.caught(session, pair)
        finally:
            event.remove(engine, "before_cursor_execute", note)
        assert len(asked) == 1


def test_a_text_that_came_to_name_itself_is_caught_at_the_claim(make: Make) -> None:
    who = world(make, pairs=2)
    with make.begin() as session:
        first = session.scalars(select(Comparison).order_by(Comparison.id)).first()
        first.candidate_a.text = "I am ChatGPT."  # as from before there was a check
        session.flush()
        shown = labeling.claim(session, who)
        assert shown is not None and shown.comparison_id != first.id
        assert [each.comparison_id for each in set_aside.waiting(session)] == [first.id]


def test_pairs_on_which_three_agree_are_offered_as_gold_once(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=2, overlap=3)
        for number, name in enumerate(("ann", "bo", "cy")):
            who = filling.somebody(session, name).id
            for _ in range(2):
                shown = labeling.claim(session, who)
                side = "a" if shown.placement > 0 else "b"
                other = "b" if side == "a" else "a"
                first = shown.comparison_id == min(session.scalars(select(Comparison.id)))
                verdict = side if first or number else other
                labeling.judge(session, shown.token, who, verdict, min_dwell=False)
        (found,) = gold_pairs.agreed(session)
        assert (found.verdict, found.people) == ("a", 3)
        assert found.pair.text_a.startswith("old says")
        gold.add(session, found.pair.comparison_id, found.verdict, actor="test")
        assert gold_pairs.agreed(session) == []


def test_the_command_tells_place_pace_and_gold_of_everybody(make: Make, url: str) -> None:
    who = world(make, golds=3, gold_rate=0.2)
    judge_some(make, who, 20, "a")
    with make.begin() as session:
        only = filling.somebody(session, "bo")
        made = session.scalars(select(Comparison).where(Comparison.gold.is_not(None))).first()
        held = leases.seat_assignment(
            session, only.id, made.id, utcnow(), labeling.LEASE, seat=False
        )
        side = "a" if held.placement > 0 else "b"
        labeling.judge(session, held.token, only.id, side, min_dwell=False)
    told = CliRunner().invoke(annotators, ["--format", "json", "--database-url", url])
    assert told.exit_code == 0, told.output
    rows = {each["annotator"]: each for each in json.loads(told.output)}
    assert rows["ann"]["first_place"] == 1.0
    assert 0.5 < rows["ann"]["first_place_low"] < 1.0
    assert rows["ann"]["judgments"] + rows["ann"]["gold"] == 20
    assert rows["ann"]["seconds"] is not None
    assert (rows["bo"]["judgments"], rows["bo"]["gold_right"], rows["bo"]["gold"]) == (0, 1, 1)
    assert 0 < rows["bo"]["gold_low"] < 1
    lines = CliRunner().invoke(annotators, ["--database-url", url]).output
    assert "A won 100 %" in lines and "gold 1 of 1 (" in lines
