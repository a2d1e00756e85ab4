"""Who is given which pair, in which order, and when one more judgment is asked for."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from filling import batch, crowd, judge_next, persona
from sqlalchemy import Select, select
from sqlalchemy.orm import Session, sessionmaker

from db import extra_judgments, labeling, leases, set_aside
from db.batches import SWAPPED
from db.errors import Away
from db.models import Batch, BatchAnnotator, Candidate, Comparison, Judgment, Verdict
from db.session import sessions

Make = sessionmaker[Session]
NOW = datetime(2026, 1, 1, 8, tzinfo=UTC)


@pytest.fixture
def people(make: Make) -> list[int]:
    """Ann, Bob, Cid, Dan and Eve, and a persona."""
    with make.begin() as session:
        persona(session)
        return crowd(session, ("ann", "bob", "cid", "dan", "eve"))


def told(session: Session, who: int, minutes: int = 0) -> int | None:
    shown = labeling.claim(session, who, now=NOW + timedelta(minutes=minutes))
    return None if shown is None else shown.comparison_id


def only_for(session: Session, made: Batch, *who: int) -> None:
    made.named_only = True
    session.add_all(BatchAnnotator(batch_id=made.id, annotator_id=each) for each in who)
    session.flush()


def write(session: Session, comparison_id: int, who: int, side: str = "a") -> None:
    comparison = session.get_one(Comparison, comparison_id)
    wrote = comparison.candidate_a_id if side == "a" else comparison.candidate_b_id
    session.get_one(Candidate, wrote).author_id = who
    session.flush()


def test_a_batch_that_names_people_is_given_to_nobody_else(make: Make, people: list[int]) -> None:
    ann, bob = people[:2]
    with make.begin() as session:
        first = batch(session, name="first", priority=9)
        only_for(session, first, ann)
        assert told(session, bob) is None
        assert "set aside for certain people" in labeling.why_nothing(session, bob)
        assert labeling.my_day(session, bob, now=NOW).remaining == 0
        batch(session, name="second")
    with make.begin() as session:
        named, free = told(session, ann), told(session, bob)
        assert session.get_one(Comparison, named).batch_id == first.id
        assert session.get_one(Comparison, free).batch.name == "second"
        assert labeling.my_day(session, bob, now=NOW).remaining == 2


@pytest.mark.parametrize("side", ["a", "b"])
def test_nobody_judges_a_reply_that_they_wrote(make: Make, people: list[int], side: str) -> None:
    ann, bob = people[:2]
    with make.begin() as session:
        batch(session, pairs=2)
        first, second = session.scalars(select(Comparison.id).order_by(Comparison.id))
        write(session, first, ann, side)
        assert told(session, ann) == second
        assert told(session, bob) == first
    with make.begin() as session:
        judge_next(session, bob, now=NOW)
        judge_next(session, ann, now=NOW)
        assert told(session, ann) is None


def test_an_author_for_whom_nothing_else_is_left_reads_why(make: Make, people: list[int]) -> None:
    with make.begin() as session:
        batch(session, pairs=1)
        write(session, session.scalars(select(Comparison.id)).one(), people[0])
        assert told(session, people[0]) is None
        assert "replies that you wrote" in labeling.why_nothing(session, people[0])


def test_pairs_come_by_rank_and_a_new_ranking_is_walked_from_its_start(
    make: Make, people: list[int]
) -> None:
    ann = people[0]
    with make.begin() as session:
        made = batch(session, pairs=5)
        one, two, three, four, five = session.scalars(select(Comparison).order_by(Comparison.id))
        for rank, each in enumerate((three, one, five, two, four)):
            each.rank = rank
        session.flush()
        order = []
        for minute in range(2):
            judged = judge_next(session, ann, now=NOW + timedelta(minutes=minute))
            assert judged is not None
            order.append(judged.comparison_id)
        assert order == [three.id, one.id]
        one.rank, two.rank, four.rank, five.rank = 4, 0, 1, 5
        made.ranked_at = NOW + timedelta(minutes=2)
        session.flush()
        for minute in range(3, 6):
            judged = judge_next(session, ann, now=NOW + timedelta(minutes=minute))
            assert judged is not None
            order.append(judged.comparison_id)
        assert order[2:] == [two.id, four.id, five.id]
        assert told(session, ann, 7) is None


def test_what_comes_back_earlier_in_the_order_is_found_again(make: Make, people: list[int]) -> None:
    ann, bob = people[:2]
    with make.begin() as session:
        batch(session, pairs=2)
        first = labeling.claim(session, bob, now=NOW)
        assert first is not None
        judged = judge_next(session, ann, now=NOW)
        assert judged is not None and judged.comparison_id != first.comparison_id
        labeling.release(session, first.token, bob)
        assert told(session, ann, 1) == first.comparison_id


@pytest.mark.parametrize(
    ("query", "range_"),
    [
        (leases._NEXT, "batch_id=?"),
        (leases._NEXT_OF_RANK, "batch_id=? AND rank=? AND id>?"),
        (leases._NEXT_OF_LATER_RANKS, "batch_id=? AND rank>?"),
    ],
)
def test_the_next_pair_is_found_by_the_index_of_open_pairs(
    sqlite_url: str, query: Select[int], range_: str
) -> None:
    with sessions(sqlite_url)() as session:
        sql = query.compile(dialect=session.get_bind().dialect)
        any_values = (1,) * str(sql).count("?")
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", any_values).all()
        words = " | ".join(row[3] for row in plan)
    assert f"USING INDEX ix_comparison_open ({range_})" in words, words
    assert "TEMP B-TREE" not in words, words


VERDICTS = {"a": Verdict.A, "b": Verdict.B, "t": Verdict.TIE, "x": Verdict.BOTH_BAD}


@pytest.mark.parametrize(
    ("standing", "overlap", "extra", "wanted"),
    [
        ("", 2, 2, 2),
        ("a", 2, 2, 2),
        ("aa", 2, 2, 2),
        ("tx", 2, 2, 2),
        ("ab", 2, 2, 3),
        ("at", 2, 2, 3),
        ("aba", 2, 2, 3),
        ("abt", 2, 2, 4),
        ("abtx", 2, 2, 4),
        ("aab", 3, 1, 4),
        ("aabb", 3, 1, 4),
        ("aabb", 3, 2, 5),
        ("ab", 2, 0, 2),
        ("a", 1, 5, 1),
    ],
)
def test_one_more_judgment_is_wanted_until_more_than_half_agree(
    standing: str, overlap: int, extra: int, wanted: int
) -> None:
    verdicts = [VERDICTS[each] for each in standing]
    assert extra_judgments.judgments_wanted(verdicts, overlap, extra) == wanted


def say(session: Session, who: int, verdict: str, minutes: int = 0) -> Judgment:
    """Judge the next pair in canonical order."""
    moment = NOW + timedelta(minutes=minutes)
    shown = labeling.claim(session, who, now=moment)
    assert shown is not None
    placed = SWAPPED[Verdict(verdict)] if shown.placement < 0 else verdict
    made = labeling.judge(session, shown.token, who, placed, now=moment, min_dwell=False)
    assert isinstance(made, Judgment)
    return made


def wants(session: Session) -> tuple[int, int]:
    row = session.execute(select(Comparison.overlap, Comparison.seats)).one()
    return row.overlap, row.seats


def disputed(session: Session, extra: int = 2) -> None:
    batch(session, pairs=1, overlap=2).extra_overlap = extra
    session.flush()


def test_a_disagreement_asks_one_more_person_at_a_time(make: Make, people: list[int]) -> None:
    ann, bob, cid, dan, eve = people
    with make.begin() as session:
        disputed(session)
        say(session, ann, "a")
        assert wants(session) == (2, 1)
        say(session, bob, "b")
        assert wants(session) == (3, 1)
        say(session, cid, "tie")
        assert wants(session) == (4, 1)
        say(session, dan, "both_bad")
        assert wants(session) == (4, 0), "the batch's extra judgments are used up"
        assert told(session, eve) is None


def test_agreement_asks_nobody_more(make: Make, people: list[int]) -> None:
    with make.begin() as session:
        disputed(session)
        say(session, people[0], "tie")
        say(session, people[1], "both_bad")
        assert wants(session) == (2, 0)


def test_what_an_undo_or_a_revision_made_unnecessary_is_given_back(
    make: Make, people: list[int]
) -> None:
    ann, bob, cid = people[:3]
    with make.begin() as session:
        disputed(session)
        say(session, ann, "a")
        second = say(session, bob, "b")
        assert wants(session) == (3, 1)
        labeling.revise(session, bob, second.id, now=NOW)
        say(session, bob, "a")
        assert wants(session) == (2, 0)
        labeling.undo(session, bob, now=NOW)
        say(session, bob, "b")
        assert wants(session) == (3, 1)
        labeling.undo(session, bob, now=NOW)
        assert wants(session) == (2, 0)
        say(session, bob, "b")
        held = labeling.claim(session, cid, now=NOW)
        assert held is not None
        labeling.undo(session, bob, now=NOW)
        say(session, bob, "a")
        assert wants(session) == (3, 0), "what somebody has in hand is theirs"
        labeling.release(session, held.token, cid)
        assert wants(session) == (2, 0)


def test_a_pair_taken_out_of_the_queue_or_set_aside_stays_so(make: Make, people: list[int]) -> None:
    ann, bob = people[:2]
    with make.begin() as session:
        disputed(session)
        say(session, ann, "a")
        say(session, bob, "b")
        set_aside.put(session, session.scalars(select(Comparison)).one(), "says who wrote it")
        session.flush()
        assert wants(session) == (2, 0)
        labeling.undo(session, bob, now=NOW)
        say(session, bob, "tie")
        assert wants(session) == (2, 0)


def test_two_who_answer_at_once_see_each_others_answer(
    url: str, make: Make, people: list[int]
) -> None:
    with make.begin() as session:
        disputed(session)
        shown = [labeling.claim(session, who, now=NOW) for who in people[:2]]
    ready = threading.Barrier(2)

    def answer(number: int, verdict: str) -> None:
        pair = shown[number]
        assert pair is not None
        placed = SWAPPED[Verdict(verdict)] if pair.placement < 0 else verdict
        ready.wait()
        with make.begin() as session:
            labeling.judge(session, pair.token, people[number], placed, now=NOW, min_dwell=False)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(answer, 0, "a"), pool.submit(answer, 1, "b")]:
            done.result(timeout=60)
    with make() as session:
        assert wants(session) == (3, 1)


def test_a_page_keeps_a_pair_for_two_hours_at_most(make: Make, people: list[int]) -> None:
    ann, bob = people[:2]
    with make.begin() as session:
        batch(session, pairs=1)
        shown = labeling.claim(session, ann, now=NOW)
        assert shown is not None
        for minutes in range(10, 120, 10):
            ends = labeling.renew(session, shown.token, ann, now=NOW + timedelta(minutes=minutes))
        assert ends == NOW + timedelta(hours=2)
        with pytest.raises(Away, match="You were away"):
            labeling.renew(session, shown.token, ann, now=NOW + timedelta(minutes=120))
        assert told(session, bob, 121) == shown.comparison_id


def test_whoever_comes_back_holds_the_pair_anew(make: Make, people: list[int]) -> None:
    ann = people[0]
    with make.begin() as session:
        batch(session, pairs=1)
        shown = labeling.claim(session, ann, now=NOW)
        assert shown is not None
        again = told(session, ann, 180)
        assert again == shown.comparison_id
        labeling.renew(session, shown.token, ann, now=NOW + timedelta(minutes=190))
