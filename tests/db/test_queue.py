"""Who is given which pair, in which order, and when one more judgment is asked for."""

from datetime import UTC, datetime, timedelta

import pytest
from filling import batch, crowd, judge_next, persona
from sqlalchemy import Select, select
from sqlalchemy.orm import Session, sessionmaker

from db import labeling, leases
from db.models import Batch, BatchAnnotator, Candidate, Comparison
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
