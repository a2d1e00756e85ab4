"""The order of a batch is kept fresh as judgments come in, beside the claims."""

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from filling import batch, candidate, crowd, judge_next, persona
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db import adapters, batches, labeling, ordering, reranking
from db.clock import utcnow
from db.models import Batch, Comparison
from personaloop import personaloop

Make = sessionmaker[Session]
RANKED = datetime(2026, 1, 1, tzinfo=UTC)  # the dice of the next order are thrown from it


@pytest.fixture
def ranked(make: Make) -> int:
    """A batch of 60 pairs, ranked, of which pairs of a third adapter came in later; a person."""
    with make.begin() as session:
        persona(session)
        made = batch(session, pairs=50)
        adapters.put_adapter(
            session, id="playful_sidekick-third", kind="sft", persona=made.persona_slug, sha256="3"
        )
        made.strategy, made.random_share = "informative", 0.2
        ordering.rank(session, made, now=RANKED)
        for number in range(10):
            ask = f"more {number}?"
            batches.put_comparison(
                session,
                made,
                candidate(session, f"old {number}", ask=ask, adapter="old"),
                candidate(session, f"third {number}", ask=ask, adapter="third"),
            ).rank = 1000 + number
        return crowd(session, ["ann"])[0]


def _judge(make: Make, who: int, count: int) -> None:
    with make.begin() as session:
        for number in range(count):
            assert judge_next(session, who, "ab"[number % 2]) is not None


def _first(make: Make, count: int) -> list[int]:
    with make() as session:
        query = select(Comparison.id).where(Comparison.seats > 0)
        return list(session.scalars(query.order_by(Comparison.rank, Comparison.id).limit(count)))


def test_an_order_is_due_after_some_judgments_and_a_minute(make: Make, ranked: int) -> None:
    _judge(make, ranked, reranking.EVERY - 1)
    assert reranking.rank_due(make) == {}
    _judge(make, ranked, 1)
    assert reranking.rank_due(make, RANKED + timedelta(seconds=30)) == {}
    assert reranking.rank_due(make) == {"batch": 40}
    assert reranking.rank_due(make, utcnow() + timedelta(minutes=2)) == {}  # nothing new since


def test_what_teaches_most_by_now_is_handed_out_next_and_chance_keeps_its_share(
    make: Make, ranked: int
) -> None:
    before = _first(make, 20)
    assert max(before) <= 50  # the third adapter's pairs stand last
    _judge(make, ranked, reranking.EVERY)
    reranking.rank_due(make, utcnow() + timedelta(minutes=2))
    after = _first(make, 20)
    third = [each for each in after if each > 50]
    assert len(third) == 10  # nobody judged it yet: all of it is asked soon …
    assert set(after[: after.index(third[-1]) + 1]) - set(third)  # … with some by chance between
    with make.begin() as session:
        shown = labeling.claim(session, ranked, now=utcnow() + timedelta(minutes=3))
        assert shown is not None and shown.comparison_id == after[0]


@pytest.mark.parametrize("change", [{"strategy": "random"}, {"state": "paused"}])
def test_other_orders_and_batches_that_rest_are_left_alone(make: Make, ranked, change) -> None:
    _judge(make, ranked, reranking.EVERY)
    with make.begin() as session:
        for name, value in change.items():
            setattr(session.scalars(select(Batch)).one(), name, value)
    assert reranking.rank_due(make, utcnow() + timedelta(minutes=2)) == {}


def test_a_server_without_a_worker_ranks_by_command(make: Make, ranked: int, url: str) -> None:
    def run(*arguments: str):
        return CliRunner().invoke(personaloop, ["batches", *arguments, "--database-url", url])

    assert "no batch is due" in run("rank", "--due").output
    _judge(make, ranked, reranking.EVERY)
    assert "batch: 40 pairs in informative order" in run("rank", "--due").output
    assert run("rank").exit_code == 2 and run("rank", "batch", "--due").exit_code == 2
