"""Cached reads: right numbers, new judgments seen at once, nothing mixed between ledgers."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from annotate_app import actions, queries, work_queries
from annotate_app.naming import short, short_names
from db import labeling
from db.errors import NotFound, Refused
from db.models import Annotator, AuditEntry, Comparison, Retraction
from db.session import close_database, sessions, upgrade
from tests.annotate_app import seeding


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """An empty ledger of its own, configured as the one in use."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("PERSONALOOP_OUTPUTS", str(tmp_path))
    upgrade(url)
    work_queries.forget()
    yield sessions(url)
    close_database(url)


@pytest.fixture
def world(ledger):
    """A small seeded ledger."""
    with ledger.begin() as session:
        seeding.seed_world(session, rounds=2, judged=20, blind=16, simulated=2)
    work_queries.forget()
    return ledger


def test_an_empty_ledger_answers_everything_with_nothing(ledger):
    assert queries.totals().judgments == 0
    assert queries.totals().at is None
    assert queries.analysis().sections == ()
    assert queries.blind_results().empty
    assert queries.usable_pairs().empty
    assert work_queries.rounds() == []
    assert work_queries.people() == []


def test_totals_tell_people_from_simulated_and_leave_out_what_was_retracted(world):
    before = queries.totals()
    assert 0 < before.simulated < before.judgments
    with world.begin() as session:
        session.add(Retraction(judgment_id=1, reason="undone"))
    after = queries.totals()
    assert after.judgments == before.judgments - 1


def test_a_new_judgment_moves_the_numbers_at_once(world):
    import random

    before = queries.analysis("playful_sidekick", batch_kind="blind")
    view = work_queries.rounds("playful_sidekick")[1]
    with world.begin() as session:
        comparison = session.scalars(
            select(Comparison).where(Comparison.batch_id == view.blind_batch)
        ).first()
        someone = seeding.people(session, 8, 0)[7]
        seeding.judge_once(
            session, random.Random(1), comparison, someone, {}, seeding.utcnow(), "a"
        )
    after = queries.analysis("playful_sidekick", batch_kind="blind")
    assert after.n == before.n + 1


def test_filters_narrow_what_is_counted(world):
    everything = queries.analysis()
    assert {section.persona for section in everything.sections} == {
        "playful_sidekick",
        "technical_advisor",
    }
    one = queries.analysis("playful_sidekick")
    assert [section.persona for section in one.sections] == ["playful_sidekick"]
    people = queries.analysis("playful_sidekick", include_simulated=False)
    assert people.n == one.n - one.simulated
    assert queries.analysis("playful_sidekick", round=1).n < one.n


def test_each_round_has_its_blind_result(world):
    table = queries.blind_results()
    assert list(table["round"]) == [1, 2, 1, 2]
    assert (table["n"] > 0).all()
    assert (table["ci_low"] < table["win_rate"]).all()


def test_usable_judgments_leave_out_blind_ones_and_count_what_is_new(world):
    row = queries.usable_pairs().set_index("persona").loc["playful_sidekick"]
    assert row["judged"] == 40
    assert row["new"] == 0  # each round's snapshot holds its judgments
    assert row["decided"] + row["ties"] + row["both_bad"] == row["judged"]


def test_two_ledgers_are_never_mixed(world, tmp_path, monkeypatch):
    assert queries.totals().judgments > 0
    other = f"sqlite:///{tmp_path / 'other.db'}"
    upgrade(other)
    monkeypatch.setenv("DATABASE_URL", other)
    assert queries.totals().judgments == 0
    assert work_queries.personas() == {}
    close_database(other)


def test_short_names_say_the_round_or_the_start(world):
    names = short_names(work_queries.rounds())
    assert names["playful_sidekick-sft-v1"] == "the start"
    assert names["playful_sidekick-dpo-r2"] == "round 2"
    assert short("playful_sidekick-other", names, "playful_sidekick") == "other"
    assert short("gpt-4", names, None) == "gpt-4"


def test_retrain_writes_one_job_and_the_audit(world):
    number = actions.retrain("playful_sidekick", actor="Ada")
    (job,) = [job for job in work_queries.jobs() if job.live]
    assert (job.id, job.requested_by, job.state) == (number, "Ada", "queued")
    with pytest.raises(Refused, match="under way already"):
        actions.retrain("playful_sidekick", actor="Ada")
    actions.cancel_job(number, actor="Ada")
    assert work_queries.jobs()[0].state == "cancelled"
    with world() as session:
        acts = list(session.scalars(select(AuditEntry.act)))
    assert acts.count("retrain") == 1
    assert "cancel job" in acts


def test_promote_needs_a_reason_and_can_be_rolled_back(world):
    with pytest.raises(Refused, match="why"):
        actions.promote("playful_sidekick", "playful_sidekick-dpo-r2", reason=" ", actor="Ada")
    before = work_queries.incumbents()["playful_sidekick"].adapter
    actions.promote("playful_sidekick", "playful_sidekick-dpo-r2", reason="wins", actor="Ada")
    now = work_queries.incumbents()["playful_sidekick"]
    assert (now.adapter, now.reason, now.actor) == ("playful_sidekick-dpo-r2", "wins", "Ada")
    assert actions.roll_back("playful_sidekick", actor="Ada") == before
    assert work_queries.incumbents()["playful_sidekick"].adapter == before


def test_nobody_takes_away_their_own_rights(world):
    with pytest.raises(Refused):
        actions.set_role("Ada", "evaluator", actor="Ada")
    with pytest.raises(Refused):
        actions.set_active("Ada", False, actor="Ada")
    actions.set_active("Bruno", False, actor="Ada")
    assert not {p.name: p for p in work_queries.people()}["Bruno"].active


def test_batches_pause_open_and_change_places(world):
    first = work_queries.batches()[0]
    actions.set_batch_state(first.id, "paused", actor="Ada")
    actions.set_batch_priority(first.id, -5, actor="Ada")
    moved = work_queries.batches()[-1]
    assert (moved.id, moved.state, moved.priority) == (first.id, "paused", -5)
    with pytest.raises(NotFound):
        actions.set_batch_priority(10**6, 1, actor="Ada")


def test_batches_tell_the_progress_that_the_ledger_tells(world):
    from db.batches import progress

    for view in work_queries.batches():
        with world() as session:
            told = progress(session, view.id)
        assert (view.comparisons, view.wanted, view.judged, view.leased, view.skipped) == (
            told.comparisons,
            told.wanted,
            told.judged,
            told.leased,
            told.skipped,
        )
        assert view.simulated == told.simulated


def test_people_are_listed_with_what_they_judged(world):
    people = {person.name: person for person in work_queries.people()}
    assert people["Ada"].role == "admin"
    assert people["Ada"].judged > 0
    assert people["Ada"].last_at is not None
    assert [p.kind for p in work_queries.people()][-1] == "simulated"


def test_the_pace_counts_what_people_judged_here_and_nothing_simulated_or_imported(world):
    since = seeding.utcnow() - timedelta(days=400)
    before = queries.judged_since(since)
    for source, counted in (("simulated", 0), ("import crowd.csv", 0), ("page", 1)):
        with world.begin() as session:
            person = session.scalars(select(Annotator).where(Annotator.name == "Ada")).one()
            shown = labeling.claim(session, person.id)
            labeling.judge(session, shown.token, person.id, "tie", min_dwell=False, source=source)
        assert queries.judged_since(since) == before + counted, source
