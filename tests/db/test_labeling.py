"""The labeling flow, on both databases."""

from collections import Counter
from datetime import timedelta

import filling
import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from db import batches, labeling, people
from db.clock import utcnow
from db.errors import AlreadyJudged, LeaseLost, NotFound, Refused, TooSoon
from db.labeling import claim, judge, my_day, my_history, release, renew, revise, skip, undo
from db.models import Assignment, Batch, Comparison, Judgment, Retraction, Verdict

Make = sessionmaker[Session]


@pytest.fixture
def ann(make: Make) -> int:
    """An annotator in a ledger with one batch of three pairs."""
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session)
        return filling.somebody(session).id


def seats(make: Make) -> list[int]:
    with make() as session:
        return list(session.scalars(select(Comparison.seats).order_by(Comparison.id)))


def test_a_reload_shows_the_same_pair_the_same_way_round(make: Make, ann: int) -> None:
    with make.begin() as session:
        first = claim(session, ann)
    with make.begin() as session:
        again = claim(session, ann)
    assert first is not None and again is not None
    assert (again.token, again.placement, again.response_a) == (
        first.token,
        first.placement,
        first.response_a,
    )
    assert again.shown_at == first.shown_at


def test_what_is_shown_names_no_adapter_and_no_candidate(make: Make, ann: int) -> None:
    with make.begin() as session:
        shown = claim(session, ann)
    assert shown is not None
    assert {shown.response_a, shown.response_b} == {"old says 0", "new says 0"}
    assert shown.persona_slug == filling.PERSONA
    assert shown.messages == [{"role": "user", "content": "batch 0?"}]
    assert not shown.revising


@pytest.mark.parametrize("verdict", ["a", "b", "tie", "both_bad"])
def test_a_verdict_in_shown_order_is_stored_in_canonical_order(
    make: Make, ann: int, verdict: str
) -> None:
    for _ in range(3):
        with make.begin() as session:
            shown = claim(session, ann)
            assert shown is not None
            judgment = judge(session, shown.token, ann, verdict, min_dwell=False)
            comparison = session.get_one(Comparison, judgment.comparison_id)
            if verdict in {"a", "b"}:
                chosen = shown.response_a if verdict == "a" else shown.response_b
                canonical = (
                    comparison.candidate_a if judgment.verdict == "a" else comparison.candidate_b
                )
                assert canonical.text == chosen
                assert judgment.strength == 1
            else:
                assert (judgment.verdict, judgment.strength) == (verdict, None)
            assert judgment.placement == shown.placement


def test_a_second_verdict_on_an_assignment_changes_nothing(make: Make, ann: int) -> None:
    with make.begin() as session:
        shown = claim(session, ann)
        assert shown is not None
        judge(session, shown.token, ann, "a", min_dwell=False)
    for verdict in ("a", "b"):
        with pytest.raises(AlreadyJudged, match="already judged"), make.begin() as session:
            judge(session, shown.token, ann, verdict, min_dwell=False)
    with make() as session:
        assert len(session.scalars(select(Judgment)).all()) == 1


def test_the_database_itself_refuses_a_second_judgment(make: Make, ann: int) -> None:
    with make.begin() as session:
        shown = claim(session, ann)
        assert shown is not None
        first = judge(session, shown.token, ann, "a", min_dwell=False)
    with pytest.raises(IntegrityError), make.begin() as session:
        session.add(
            Judgment(
                assignment_id=first.assignment_id,
                comparison_id=first.comparison_id,
                annotator_id=ann,
                verdict=Verdict.TIE,
                placement=1,
            )
        )


def test_the_database_itself_refuses_more_seats_taken_than_there_are(make: Make, ann: int) -> None:
    with make.begin() as session:
        claim(session, ann)
    with pytest.raises(IntegrityError), make.begin() as session:
        session.execute(update(Comparison).values(seats=Comparison.seats - 1))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE judgment SET verdict = 'tie', strength = NULL",
        "DELETE FROM judgment",
        "UPDATE audit_entry SET actor = 'nobody'",
        "DELETE FROM alias_change",
    ],
)
def test_what_was_written_once_cannot_be_changed(make: Make, ann: int, statement: str) -> None:
    with make.begin() as session:
        filling.judge_next(session, ann)
    with pytest.raises(DatabaseError, match="append-only"), make.begin() as session:
        session.execute(text(statement))


def test_a_verdict_before_anybody_could_have_read_is_refused_kindly(make: Make, ann: int) -> None:
    now = utcnow()
    with make.begin() as session:
        shown = claim(session, ann, now=now)
    assert shown is not None and shown.min_dwell_ms == 600 + 12 * 6
    early = now + timedelta(milliseconds=shown.min_dwell_ms - 1)
    with pytest.raises(TooSoon, match="read both"), make.begin() as session:
        judge(session, shown.token, ann, "a", now=early)
    with make.begin() as session:
        judgment = judge(session, shown.token, ann, "a", now=early + timedelta(milliseconds=1))
    assert judgment.dwell_ms == shown.min_dwell_ms


def test_the_dwell_grows_with_the_words_up_to_four_seconds() -> None:
    assert labeling.min_dwell_ms("", "") == 600
    assert labeling.min_dwell_ms("one two", "three") == 636
    assert labeling.min_dwell_ms("word " * 5000) == 4000


def test_an_annotator_never_gets_a_pair_twice(make: Make, ann: int) -> None:
    assert filling.judge_all(make, ann) == 3
    with make.begin() as session:
        assert claim(session, ann) is None


def test_overlap_is_filled_exactly_by_different_people(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        made = filling.batch(session, pairs=4, overlap=2)
        crowd = filling.crowd(session, "abc")
    assert [filling.judge_all(make, who) for who in crowd] == [4, 4, 0]
    with make() as session:
        done = batches.progress(session, made.id)
        assert (done.wanted, done.judged, done.leased) == (8, 8, 0)
        pairs = session.execute(select(Judgment.comparison_id, Judgment.annotator_id)).all()
        assert len(set(pairs)) == 8


def test_a_lease_that_ran_out_gives_its_seat_to_the_next(make: Make, ann: int) -> None:
    now = utcnow()
    with make.begin() as session:
        other = filling.somebody(session, "bob").id
        for pair in session.scalars(select(Comparison).where(Comparison.id > 1)):
            batches.set_overlap(session, pair, 0)
        held = claim(session, ann, now=now, lease=timedelta(minutes=1))
        assert claim(session, other, now=now) is None
    later = now + timedelta(minutes=2)
    with make.begin() as session:
        taken = claim(session, other, now=later)
    assert held is not None and taken is not None and taken.comparison_id == held.comparison_id
    with pytest.raises(LeaseLost, match="somebody else"), make.begin() as session:
        judge(session, held.token, ann, "a", now=later, min_dwell=False)


def test_a_lease_that_ran_out_is_revived_while_its_seat_is_free(make: Make, ann: int) -> None:
    now = utcnow()
    with make.begin() as session:
        other = filling.somebody(session, "bob").id
        held = claim(session, ann, now=now, lease=timedelta(minutes=1))
        assert held is not None
        later = now + timedelta(minutes=2)
        moved_on = claim(session, other, now=later)  # reaps, and takes the pair given back
        assert moved_on is not None and moved_on.comparison_id == held.comparison_id
        release(session, moved_on.token, other)
    with make.begin() as session:
        judge(session, held.token, ann, "a", now=later, min_dwell=False)
    assert seats(make) == [0, 1, 1]


def test_coming_back_after_lunch_shows_the_same_pair_again(make: Make, ann: int) -> None:
    now = utcnow()
    with make.begin() as session:
        held = claim(session, ann, now=now)
    with make.begin() as session:
        again = claim(session, ann, now=now + timedelta(hours=1))
    assert held is not None and again is not None
    assert (again.token, again.shown_at) == (held.token, now + timedelta(hours=1))


def test_renewing_keeps_a_pair_from_being_given_away(make: Make, ann: int) -> None:
    now = utcnow()
    with make.begin() as session:
        other = filling.somebody(session, "bob").id
        held = claim(session, ann, now=now)
        assert held is not None
        renew(session, held.token, ann, now=now + timedelta(minutes=14))
        taken = claim(session, other, now=now + timedelta(minutes=20))
    assert taken is not None and taken.comparison_id != held.comparison_id


def test_a_skipped_pair_goes_to_somebody_else_and_never_comes_back(make: Make, ann: int) -> None:
    with make.begin() as session:
        shown = claim(session, ann)
        assert shown is not None
        skip(session, shown.token, ann, "cannot tell")
        skip(session, shown.token, ann, "cannot tell")
    assert seats(make) == [1, 1, 1]
    assert filling.judge_all(make, ann) == 2
    with pytest.raises(Refused, match="skipped"), make.begin() as session:
        judge(session, shown.token, ann, "a", min_dwell=False)
    with make.begin() as session:
        other = filling.somebody(session, "bob").id
        taken = claim(session, other)
    assert taken is not None and taken.comparison_id == shown.comparison_id


def test_a_released_pair_may_come_back_with_the_same_token(make: Make, ann: int) -> None:
    with make.begin() as session:
        shown = claim(session, ann)
        assert shown is not None
        release(session, shown.token, ann)
    assert seats(make) == [1, 1, 1]
    filling.judge_all(make, ann)
    with make() as session:
        kept = session.scalars(select(Assignment).where(Assignment.token == shown.token)).one()
        assert kept.state == "judged" and kept.placement == shown.placement


def test_undo_takes_back_the_last_and_shows_it_the_same_way_round(make: Make, ann: int) -> None:
    with make.begin() as session:
        first = claim(session, ann)
        assert first is not None
        judgment = judge(session, first.token, ann, "b", min_dwell=False)
        claim(session, ann)
        again = undo(session, ann)
        assert again.comparison_id == first.comparison_id
        assert (again.placement, again.response_a) == (first.placement, first.response_a)
        assert again.revising and again.previous == "b" and again.token != first.token
        assert session.get_one(Retraction, judgment.id).reason == "undone"
    assert seats(make) == [0, 1, 1]
    with make.begin() as session:
        judge(session, again.token, ann, "tie", min_dwell=False)
        assert batches.progress(session, 1).judged == 1
    assert seats(make) == [0, 1, 1]


def test_undo_twice_goes_back_two_judgments(make: Make, ann: int) -> None:
    with make.begin() as session:
        shown = [claim(session, ann)]
        judge(session, shown[0].token, ann, "a", min_dwell=False)
        shown.append(claim(session, ann))
        judge(session, shown[1].token, ann, "a", min_dwell=False)
        assert undo(session, ann).comparison_id == shown[1].comparison_id
        assert undo(session, ann).comparison_id == shown[0].comparison_id
    assert seats(make) == [0, 1, 1]


def test_there_is_nothing_to_undo_on_a_new_day(make: Make, ann: int) -> None:
    yesterday = utcnow() - timedelta(days=1)
    with make.begin() as session:
        filling.judge_next(session, ann, now=yesterday)
    with pytest.raises(Refused, match="nothing to undo"), make.begin() as session:
        undo(session, ann)


def test_an_undone_pair_left_alone_goes_back_to_the_queue(make: Make, ann: int) -> None:
    now = utcnow()
    with make.begin() as session:
        other = filling.somebody(session, "bob").id
        filling.judge_next(session, ann, now=now)
        again = undo(session, ann, now=now)
        taken = claim(session, other, now=now + timedelta(hours=1))
    assert taken is not None and taken.comparison_id == again.comparison_id


def test_a_revision_replaces_the_old_answer_only_when_it_is_given(make: Make, ann: int) -> None:
    with make.begin() as session:
        old = filling.judge_next(session, ann, "a")
        assert old is not None
        shown = revise(session, ann, old.id)
        assert batches.progress(session, 1).judged == 1
        assert session.get(Retraction, old.id) is None
        new = judge(session, shown.token, ann, "both_bad", min_dwell=False)
        assert session.get_one(Retraction, old.id).reason == "revised"
        assert batches.progress(session, 1).judged == 1
        history = my_history(session, ann)
    assert [(past.judgment_id, past.stands) for past in history] == [
        (new.id, True),
        (old.id, False),
    ]
    assert seats(make) == [0, 1, 1]


def test_a_revision_given_up_leaves_the_old_answer(make: Make, ann: int) -> None:
    with make.begin() as session:
        old = filling.judge_next(session, ann, "a")
        assert old is not None
        shown = revise(session, ann, old.id)
        skip(session, shown.token, ann)
        assert session.get(Retraction, old.id) is None
    assert filling.judge_all(make, ann) == 2
    assert seats(make) == [0, 0, 0]


def test_only_the_own_standing_judgment_can_be_revised(make: Make, ann: int) -> None:
    with make.begin() as session:
        other = filling.somebody(session, "bob").id
        old = filling.judge_next(session, ann)
        assert old is not None
        with pytest.raises(Refused, match="somebody else's"):
            revise(session, other, old.id)
        again = undo(session, ann)
        judge(session, again.token, ann, "b", min_dwell=False)
        with pytest.raises(Refused, match="changed that answer"):
            revise(session, ann, old.id)
        with pytest.raises(NotFound):
            revise(session, ann, 999)


def test_somebody_elses_token_judges_nothing(make: Make, ann: int) -> None:
    with make.begin() as session:
        other = filling.somebody(session, "bob").id
        shown = claim(session, ann)
        assert shown is not None
        with pytest.raises(Refused, match="somebody else"):
            judge(session, shown.token, other, "a", min_dwell=False)
        with pytest.raises(NotFound, match="not known"):
            judge(session, "made up", ann, "a", min_dwell=False)


@pytest.mark.parametrize(
    ("verdict", "values", "message"),
    [
        ("c", {}, "not a verdict"),
        ("tie", {"strength": 1}, "no strength"),
        ("a", {"strength": 3}, "strength is 1"),
        ("a", {"safe": "maybe"}, "yes, no or unsure"),
    ],
)
def test_a_bad_value_is_refused_by_name(
    make: Make, ann: int, verdict: str, values: dict, message: str
) -> None:
    with make.begin() as session:
        shown = claim(session, ann)
        assert shown is not None
        with pytest.raises(Refused, match=message):
            judge(session, shown.token, ann, verdict, min_dwell=False, **values)


def test_everything_said_with_a_verdict_is_kept(make: Make, ann: int) -> None:
    said = {
        "strength": 2,
        "comment": "Warm 😊\nbut long\x00",
        "tags": ["tone"],
        "in_character": "yes",
        "helpful": "no",
        "safe": "unsure",
        "flag": "broken",
    }
    with make.begin() as session:
        shown = claim(session, ann)
        assert shown is not None
        kept_id = judge(session, shown.token, ann, "a", min_dwell=False, **said).id
    with make() as session:
        kept = session.get_one(Judgment, kept_id)
        assert kept.comment == "Warm 😊\nbut long\ufffd"
        assert {name: getattr(kept, name) for name in said if name != "comment"} == {
            name: value for name, value in said.items() if name != "comment"
        }


def test_a_switched_off_account_gets_nothing_and_frees_its_pair(make: Make, ann: int) -> None:
    with make.begin() as session:
        shown = claim(session, ann)
        assert shown is not None
        people.set_active(session, "ann", False)
    assert seats(make) == [1, 1, 1]
    with pytest.raises(Refused, match="switched off"), make.begin() as session:
        claim(session, ann)
    with pytest.raises(Refused, match="switched off"), make.begin() as session:
        judge(session, shown.token, ann, "a", min_dwell=False)


def test_higher_priority_is_asked_first_and_a_batch_can_be_chosen(make: Make, ann: int) -> None:
    with make.begin() as session:
        urgent = filling.batch(session, name="urgent", pairs=1, priority=5)
        first = claim(session, ann)
        assert first is not None and first.batch_id == urgent.id
        other = claim(session, ann, batch_id=1)
        assert other is not None and other.batch_id == 1
    assert seats(make) == [0, 1, 1, 1]


def test_a_paused_batch_hands_out_nothing_but_takes_what_is_out(make: Make, ann: int) -> None:
    with make.begin() as session:
        shown = claim(session, ann)
        assert shown is not None
        batches.set_state(session, 1, "paused")
        judge(session, shown.token, ann, "a", min_dwell=False)
        assert claim(session, ann) is None
        assert "paused" in labeling.why_nothing(session, ann)


def test_a_pair_with_an_unknown_text_is_never_shown(make: Make, ann: int) -> None:
    with make.begin() as session:
        made = session.get_one(Batch, 1)
        one = filling.candidate(session, "", ask="unknown?", adapter="old")
        other = filling.candidate(session, "known", ask="unknown?", adapter="new")
        assert batches.put_comparison(session, made, one, other).seats == 0
    assert filling.judge_all(make, ann) == 3


def test_placements_are_even_within_a_comparison_and_random_across(make: Make) -> None:
    with make.begin() as session:
        filling.persona(session)
        filling.batch(session, pairs=60, overlap=4)
        crowd = filling.crowd(session, "abcd")
    for who in crowd:
        filling.judge_all(make, who)
    with make() as session:
        rows = session.execute(select(Judgment.comparison_id, Judgment.placement)).all()
        firsts = session.scalars(select(Assignment.placement).limit(60)).all()
    sums = Counter()
    for comparison, placement in rows:
        sums[comparison] += placement
    assert set(sums.values()) == {0}
    assert 10 < firsts.count(1) < 50  # a fair coin falls outside once in 10^7 runs


def test_the_day_counts_what_stands_today(make: Make, ann: int) -> None:
    now = utcnow().replace(hour=12)
    with make.begin() as session:
        shown = claim(session, ann, now=now)
        assert shown is not None
        judge(session, shown.token, ann, "a", now=now + timedelta(seconds=90))
        filling.judge_next(session, ann, now=now - timedelta(days=1))
        day = my_day(session, ann, now=now)
    assert (day.judged_today, day.judged_total, day.remaining) == (1, 2, 1)
    assert day.minutes_today == pytest.approx(1.5)


def test_why_nothing_says_why(make: Make) -> None:
    with make.begin() as session:
        ann, bob = filling.crowd(session, ["ann", "bob"])
        assert "Nothing has been prepared" in labeling.why_nothing(session, ann)
        filling.persona(session)
        filling.batch(session, pairs=1)
        assert "reload" in labeling.why_nothing(session, ann)
        shown = claim(session, bob)
        assert shown is not None
        assert "other people" in labeling.why_nothing(session, ann)
        judge(session, shown.token, bob, "a", min_dwell=False)
        assert "all its judgments" in labeling.why_nothing(session, ann)
        filling.batch(session, name="wide", pairs=1, overlap=2)
        filling.judge_next(session, ann)
        assert "somebody else's eyes" in labeling.why_nothing(session, ann)
