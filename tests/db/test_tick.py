"""`personaloop tick` on both databases: it queues once, and says why where it does not."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import filling
import pytest
from click.testing import CliRunner
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from db import jobs, readiness, rounds, snapshots
from db.clock import utcnow
from db.models import AuditEntry, Job, JobState, Run
from db.session import readers
from personaloop import personaloop
from training.candidates import CandidateConfig
from training.dpo_config import DPOConfig
from training.errors import AlreadyTrained
from training.evaluation.gate_config import GateConfig
from training.job_config import JobConfig
from training.lease import FencedSessions, Lease
from training.run_keys import claim_key, settle_orphans
from training.tick import Look, Tick
from training.trigger import Fresh, due

Make = sessionmaker[Session]
JOB = JobConfig(pairs=12, prompts=12, effective=5.0)
DPO = DPOConfig(minimum_pairs=6, minimum_steps=2, batch=4, heldout_share=0.0)


def judged(make: Make, pairs: int, name: str = "batch", people: int = 2) -> None:
    """Pairs that people judged in turn, one judgment each; either place wins as often."""
    with make.begin() as session:
        filling.batch(session, pairs=pairs, name=name)
        crowd = filling.crowd(session, [f"person {number}" for number in range(people)])
        for number in range(pairs):
            filling.judge_next(session, crowd[number % people], "ab"[number // people % 2])


def tick_of(make: Make, url: str, **change: Any) -> Tick:
    given: dict[str, Any] = {"job": JOB, "dpo": DPO, "actor": "cron", **change}
    return Tick(make, readers(url), candidates=CandidateConfig(), **given)


def look(make: Make, url: str, **change: Any) -> Look:
    """One look at the only persona."""
    (found,) = tick_of(make, url, **change).look()
    return found


def count(make: Make) -> int:
    with make.begin() as session:
        return session.scalar(select(func.count()).select_from(Job)) or 0


@pytest.fixture
def ledger(make: Make) -> Make:
    """One persona with twelve pairs that two people judged."""
    with make.begin() as session:
        filling.persona(session)
    judged(make, 12)
    return make


def test_a_due_persona_is_queued_once_and_the_next_looks_say_so(ledger: Make, url: str) -> None:
    dry = look(ledger, url, dry_run=True)
    assert dry.words == "would queue a retraining: 12 new pairs on 12 prompts"
    assert count(ledger) == 0, "a dry run writes nothing"
    first = look(ledger, url)
    assert first.job_id is not None and "queued job" in first.words
    for _ in range(2):
        again = look(ledger, url)
        assert again.job_id is None and not again.failed
        assert again.words == f"not queued: a retraining is under way (job {first.job_id}, queued)"
    assert count(ledger) == 1
    with ledger.begin() as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.act == "retrain")).one()
        assert entry.actor == "cron" and entry.detail["job"] == first.job_id


def test_ten_looks_at_once_queue_one_job_even_where_a_worker_ends_it_between(
    ledger: Make, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import training.tick as ticking

    together, found, real = threading.Barrier(10), list[Look](), ticking.plan_run

    def all_have_looked(*args: Any, **options: Any) -> Any:
        plan = real(*args, **options)
        together.wait(60)
        return plan

    monkeypatch.setattr(ticking, "plan_run", all_have_looked)
    real_enqueue = jobs.enqueue

    def and_ended(session: Session, *args: Any, **options: Any) -> Job:
        job = real_enqueue(session, *args, **options)
        job.state, job.finished_at = JobState.DONE, utcnow() - timedelta(days=9)
        return job

    monkeypatch.setattr(jobs, "enqueue", and_ended)
    threads = [threading.Thread(target=lambda: found.append(look(ledger, url))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.failed for each in found] == [False] * 10, [each.words for each in found]
    assert sum(each.job_id is not None for each in found) == 1
    assert sum("another look was first" in each.words for each in found) == 9
    assert count(ledger) == 1


def test_what_is_missing_is_said_in_words(ledger: Make, url: str) -> None:
    few = look(ledger, url, job=replace(JOB, pairs=20))
    assert "12 new judgments; 20 pairs on 12 prompts are wanted, or any in 7 days" in few.words
    prompts = look(ledger, url, job=replace(JOB, pairs=12, prompts=13, age_hours=0.0))
    assert "13 prompts are wanted" in prompts.words
    unready = look(ledger, url, job=replace(JOB, effective=50.0))
    assert "not ready to train on" in unready.words and "would do" in unready.words
    little = look(ledger, url, dpo=replace(DPO, minimum_pairs=13))
    assert "only 12 usable pairs; at least 13 wanted" in little.words
    assert count(ledger) == 0


def test_old_judgments_are_due_although_they_are_few(ledger: Make, url: str) -> None:
    old = list(tick_of(ledger, url, job=replace(JOB, pairs=99)).look(utcnow() + timedelta(days=8)))
    assert "oldest judgment 8 days old" in old[0].words and old[0].job_id is not None


def test_what_a_rejected_run_saw_is_not_new_and_a_cooldown_is_kept(ledger: Make, url: str) -> None:
    with ledger.begin() as session:
        taken = snapshots.take(session, filling.PERSONA)
        job = jobs.enqueue(session, "retrain", persona=filling.PERSONA)
        job.state, job.finished_at = JobState.DONE, utcnow()
        session.add(
            Run(
                job_id=job.id,
                kind="retrain",
                persona_slug=filling.PERSONA,
                snapshot_id=taken.id,
                state=JobState.DONE,
            )
        )
    assert "nothing new to train on" in look(ledger, url).words
    judged(ledger, 12, name="second")
    assert "6 hours to wait" in look(ledger, url).words
    later = list(tick_of(ledger, url).look(utcnow() + timedelta(hours=7)))
    assert later[0].job_id is not None and "12 new pairs" in later[0].words


def test_a_persona_in_its_blind_comparison_waits(ledger: Make, url: str) -> None:
    with ledger.begin() as session:
        blind = filling.batch(session, pairs=2, name="blind", kind="blind")
        current = rounds.open_round(session, filling.PERSONA, f"{filling.PERSONA}-old")
        current.state, current.blind_batch_id = "blind", blind.id
        current.challenger_id = f"{filling.PERSONA}-new"
    found = look(ledger, url)
    assert found.job_id is None and "0 of 2 blind judgments are in" in found.words


def test_a_complete_comparison_is_decided_and_the_next_round_asked_for(
    ledger: Make, url: str
) -> None:
    with ledger.begin() as session:
        blind = filling.batch(session, pairs=2, name="blind", kind="blind")
        current = rounds.open_round(session, filling.PERSONA, f"{filling.PERSONA}-old")
        current.state, current.blind_batch_id = "blind", blind.id
        current.challenger_id = f"{filling.PERSONA}-new"
        person = filling.crowd(session, ["decider"])[0]
    assert filling.judge_all(ledger, person, "tie") == 2
    assert "complete and the gate would look" in look(ledger, url, dry_run=True).words
    found = look(ledger, url, gate=GateConfig(most_judgments=2))
    with ledger.begin() as session:
        assert session.get_one(type(current), current.id).state == "rejected"
        kinds = [job.kind for job in jobs.jobs(session, live=True)]
    assert kinds.count("generate") == 1, "the next round's pairs are asked for"
    assert "Rejected" in found.words, "what was decided comes first on the persona's line"
    assert found.job_id is not None, "and the same look goes on to what is due"


def test_one_persona_that_fails_hides_none_of_the_others(
    ledger: Make, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import training.tick as ticking

    with ledger.begin() as session:
        filling.persona(session, "formal_concierge")
    real = ticking.last_retraining

    def broken(session: Session, persona: str) -> Any:
        if persona == "formal_concierge":
            raise ValueError("out of order")
        return real(session, persona)

    monkeypatch.setattr(ticking, "last_retraining", broken)
    found = {each.persona: each for each in tick_of(ledger, url).look()}
    assert found["formal_concierge"].failed and "out of order" in found["formal_concierge"].words
    assert found[filling.PERSONA].job_id is not None
    told = CliRunner().invoke(personaloop, ["tick", "--database-url", url])
    assert told.exit_code == 1 and "formal_concierge: failed" in told.output


def test_the_command_prints_a_line_for_each_persona(ledger: Make, url: str) -> None:
    with ledger.begin() as session:
        filling.persona(session, "formal_concierge")
    told = CliRunner().invoke(personaloop, ["tick", "--dry-run", "--database-url", url])
    assert told.exit_code == 0, told.exception
    lines = told.output.strip().splitlines()
    assert [line.partition(":")[0] for line in lines] == ["formal_concierge", filling.PERSONA]
    assert "nothing new" in lines[0] and "60 pairs on 20 prompts are wanted" in lines[1]


def test_the_trigger_is_enough_or_old_enough_and_not_too_soon() -> None:
    now = utcnow()
    config = JobConfig(pairs=60, prompts=20, age_hours=168.0, cooldown_hours=6.0)

    def told(pairs: int, prompts: int, age: float, ended: float | None = None) -> bool:
        last = None if ended is None else now - timedelta(hours=ended)
        fresh = Fresh(pairs, prompts, now - timedelta(hours=age))
        return due(fresh, last, config, now).now

    assert told(60, 20, 1) and not told(59, 20, 1) and not told(60, 19, 1)
    assert told(1, 1, 169) and not told(1, 1, 167)
    assert not told(60, 20, 169, ended=5.9) and told(60, 20, 1, ended=6.1)
    assert not due(Fresh(0, 0, None), None, config, now).now
    never = replace(config, age_hours=0.0)
    assert not due(Fresh(1, 1, now - timedelta(days=999)), None, never, now).now


def test_the_ledger_tells_placement_gold_weights_and_links(ledger: Make) -> None:
    with ledger.begin() as session:
        told = readiness.evidence(session, filling.PERSONA)
        who = told.annotator[0]
        half = readiness.evidence(session, filling.PERSONA, weights={who: 0.5})
    first = [(v == "a") == (p > 0) for v, p in zip(told.verdict, told.placement, strict=True)]
    assert sum(first) == 6 and set(told.placement) == {1, -1}
    assert set(told.item_a) == {f"{filling.PERSONA}-old"} and len(set(told.comparison)) == 12
    assert list(told.links) == [(f"{filling.PERSONA}-old", f"{filling.PERSONA}-new")]
    assert sum(half.weight) == sum(told.weight) - 0.5 * told.annotator.count(who)


def test_two_workers_cannot_give_the_same_key_to_two_runs(ledger: Make, url: str) -> None:
    together, said = threading.Barrier(2), list[str]()

    def begin() -> None:
        together.wait(30)
        try:
            with ledger.begin() as session:
                run = Run(kind="retrain", persona_slug=filling.PERSONA)
                session.add(run)
                session.flush()
                claim_key(session, run, "k" * 64, "c" * 64)
                said.append("mine")
        except AlreadyTrained as error:
            said.append(str(error))

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each == "mine" for each in said) == [False, True], said
    with ledger.begin() as session:
        assert session.scalar(select(func.count()).select_from(Run)) == 1, "no half begun run"
        session.scalars(select(Run)).one().state = JobState.FAILED
    with ledger.begin() as session:
        run = Run(kind="retrain", persona_slug=filling.PERSONA)
        session.add(run)
        session.flush()
        claim_key(session, run, "k" * 64, "c" * 64)  # what failed may be tried again


def test_a_run_whose_job_ended_without_it_is_settled(ledger: Make) -> None:
    with ledger.begin() as session:
        job = jobs.enqueue(session, "retrain", persona=filling.PERSONA)
        run = Run(job_id=job.id, kind="retrain", persona_slug=filling.PERSONA, key="k" * 64)
        session.add(run)
        session.flush()
        assert settle_orphans(session, filling.PERSONA) == 0, "its job lives"
        jobs.cancel(session, job.id)
        assert settle_orphans(session, filling.PERSONA) == 1
        assert run.state == "cancelled" and run.finished_at is not None


def test_a_worker_whose_lease_was_stolen_finds_the_ledger_closed(ledger: Make) -> None:
    from db.errors import LeaseLost

    with ledger.begin() as session:
        jobs.enqueue(session, "retrain", persona=filling.PERSONA)
        job = jobs.claim_job(session, "w", now=utcnow() - timedelta(minutes=5))
        assert job is not None
    lease = Lease(ledger, job.id, "w", threading.Event(), job.fence)
    held = FencedSessions(ledger, lease.hold)
    with held.begin() as session:
        session.add(Run(job_id=job.id, kind="retrain", persona_slug=filling.PERSONA))
    with ledger.begin() as session:
        assert jobs.claim_job(session, "w") is not None, "the same name, a newer claim"
    with pytest.raises(LeaseLost, match="claimed anew"), held.begin() as session:
        session.add(Run(job_id=job.id, kind="retrain", persona_slug=filling.PERSONA))
    with ledger.begin() as session:
        assert session.scalar(select(func.count()).select_from(Run)) == 1
