"""The order of a batch's pairs, and the commands that set it."""

import random
from collections import Counter

import pytest
from click.testing import CliRunner
from filling import batch, candidate, crowd, judge_next, persona
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db import adapters, batches, ordering
from db.batch_commands import group
from db.models import AuditEntry, Batch, Comparison

Make = sessionmaker[Session]


def ranked(session: Session, batch_id: int) -> list[int]:
    query = select(Comparison.id).where(Comparison.batch_id == batch_id)
    return list(session.scalars(query.order_by(Comparison.rank, Comparison.id)))


def test_chance_orders_all_pairs_and_listed_puts_them_back(make: Make) -> None:
    with make.begin() as session:
        persona(session)
        made = batch(session, pairs=12)
        listed = ranked(session, made.id)
        made.strategy = "random"
        assert ordering.rank(session, made) == 12
        assert ranked(session, made.id) != listed
        assert sorted(ranked(session, made.id)) == listed
        made.strategy = "listed"
        ordering.rank(session, made)
        assert ranked(session, made.id) == listed


def test_an_adapter_that_nobody_judged_comes_first(make: Make) -> None:
    with make.begin() as session:
        persona(session)
        (ann,) = crowd(session, ("ann",))
        made = batch(session, pairs=10)
        for verdict in ("a", "b", "a", "b"):
            judge_next(session, ann, verdict)
        adapters.put_adapter(
            session, id="playful_sidekick-third", kind="sft", persona=made.persona_slug, sha256="3"
        )
        fresh = batches.put_comparison(
            session,
            made,
            candidate(session, "old speaks", ask="more?", adapter="old"),
            candidate(session, "third speaks", ask="more?", adapter="third"),
        )
        made.strategy, made.random_share = "informative", 0.0
        assert ordering.rank(session, made) == 7
        assert (
            session.scalars(
                select(Comparison.id)
                .where(Comparison.batch_id == made.id, Comparison.seats > 0)
                .order_by(Comparison.rank)
            ).first()
            == fresh.id
        )


def test_without_any_judgment_informative_is_by_chance(make: Make) -> None:
    with make.begin() as session:
        persona(session)
        made = batch(session, pairs=6)
        made.strategy = "informative"
        assert ordering.rank(session, made) == 6
        assert sorted(ranked(session, made.id)) == list(
            session.scalars(select(Comparison.id).order_by(Comparison.id))
        )


def test_the_random_share_of_places_goes_to_any_pair() -> None:
    pairs = [(number, "x", "y") for number in range(1000)]
    firsts: Counter[bool] = Counter()
    for seed in range(200):
        order = ordering.informative_order(pairs, [7, 8], 0.3, random.Random(seed))
        assert sorted(order) == list(range(1000))
        firsts[order[0] == 7] += 1
    assert 110 <= firsts[True] <= 170
    assert ordering.informative_order(pairs, [7, 8], 0.0, random.Random(1))[:2] == [7, 8]


def test_batches_are_listed_ordered_and_switched_from_the_command_line(
    make: Make, url: str
) -> None:
    with make.begin() as session:
        persona(session)
        batch(session, pairs=3, name="first")
    for arguments, words in [
        (["list"], "0 of 3 judged"),
        (["rank", "first", "--strategy", "random"], "3 pairs in random order"),
        (["priority", "first", "5"], "priority 5"),
        (["overlap", "first", "2", "--extra", "1"], "2 judgments a pair, 3 pairs changed"),
        (["pause", "first"], "paused"),
        (["open", "first"], "open"),
        (["close", "first"], "closed"),
        (["create", "second", "--persona", "playful_sidekick", "--overlap", "2"], "3 comparisons"),
    ]:
        done = CliRunner().invoke(group, [*arguments, "--database-url", url])
        assert done.exit_code == 0, done.output
        assert words in done.output
    again = CliRunner().invoke(group, ["close", "first", "--database-url", url])
    assert "closed already" in str(again.exception)
    with make() as session:
        first = session.scalars(select(Batch).where(Batch.name == "first")).one()
        assert (first.priority, first.overlap, first.extra_overlap) == (5, 2, 1)
        assert {row.overlap for row in session.scalars(select(Comparison))} == {2}
        acts = {entry.act for entry in session.scalars(select(AuditEntry))}
        assert {"rank batch", "batch priority", "batch overlap", "make batch"} <= acts


@pytest.mark.parametrize("name", ["create", "rank", "overlap"])
def test_each_batch_command_has_help(name: str) -> None:
    assert CliRunner().invoke(group, [name, "--help"]).exit_code == 0
