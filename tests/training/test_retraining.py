"""The retrain job: every stage found again after a kill, refusals with their reason, the gate."""

import importlib
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from workbench import PERSONA, STARTER, small_candidates, small_dpo

from db import adapters, jobs, lineage
from db.clock import utcnow
from db.errors import JobCancelled, Refused
from db.models import (
    Adapter,
    Batch,
    BatchKind,
    Candidate,
    Comparison,
    Job,
    JobKind,
    JobState,
    Prompt,
    Round,
    RoundState,
    Run,
)
from training.deciding import decide_round
from training.errors import GateRefused
from training.evaluation.gate_config import GateConfig
from training.evaluation.judges import annotators
from training.jobs import Worker
from training.lease import Lease, free_the_dead
from training.loop import simulated_gate
from training.simulation import judge_all


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def longer(messages, persona, a, b):
    return "a" if len(a) > len(b) else "b" if len(b) > len(a) else "tie"


def worker_of(ledger, workshop, **change):
    return Worker(
        ledger,
        connect=workshop.service,
        dpo=small_dpo(**change),
        candidates=small_candidates(),
        gate=simulated_gate(GateConfig()),
        name=f"test:{threading.get_ident()}:{id(change)}",
        follow_up=False,
    )


def ask(ledger, kind, **params):
    with ledger.begin() as session:
        return jobs.enqueue(session, kind, persona=PERSONA, params=params).id


def labeled(ledger, workshop, panel=None):
    """A round whose label batch is judged."""
    ask(ledger, JobKind.GENERATE)
    done = worker_of(ledger, workshop).step()
    assert done is not None and done.outcome == "done", done
    judged = judge_all(ledger, panel or annotators(8, judge=longer))
    assert judged == 24


def expire(ledger):
    """The killed worker's lease runs out."""
    with ledger.begin() as session:
        for job in session.scalars(select(Job).where(Job.state == JobState.RUNNING)):
            job.lease_expires_at = utcnow() - timedelta(seconds=1)


def state_of(ledger):
    with ledger.begin() as session:
        return session.scalars(select(Round)).one().state


def count(ledger, what, *where):
    with ledger.begin() as session:
        return session.scalar(select(func.count()).select_from(what).where(*where))


def test_a_label_batch_asks_pairs_that_differ_and_only_once(ledger, workshop):
    labeled(ledger, workshop)
    with ledger.begin() as session:
        for comparison in session.scalars(select(Comparison)):
            assert comparison.candidate_a.text != comparison.candidate_b.text
            assert comparison.candidate_a.adapter_id == STARTER
        candidates = list(session.scalars(select(Candidate)))
    assert all(one.tokens and one.logprobs and one.seed is not None for one in candidates)
    ask(ledger, JobKind.GENERATE)
    worker_of(ledger, workshop).step()
    assert count(ledger, Comparison) == 24
    assert count(ledger, Candidate) == len(candidates)


def test_prompts_too_long_for_the_model_are_left_out_and_counted(ledger, workshop):
    from db import prompts

    long = [{"role": "user", "content": "endless " * 600}]
    with ledger.begin() as session:
        prompts.put_prompt(session, long)
        prompts.put_prompt(session, [{"role": "user", "content": "held " * 600}], split="heldout")
    with ledger.begin() as session:
        jobs.enqueue(session, JobKind.GENERATE, persona=PERSONA, params={"comparisons": 31})
    done = worker_of(ledger, workshop).step()
    assert done.outcome == "done", done
    assert "31 comparisons" in done.message and "prompts are too long for the model" in done.message
    with ledger.begin() as session:
        asked = {one.prompt.messages[0]["content"] for one in session.scalars(select(Candidate))}
    assert long[0]["content"] not in asked and len(asked) == 30


def test_responses_in_the_ledger_are_found_and_not_sampled_again(ledger, workshop, monkeypatch):
    from training import responses
    from training.responses import Responses

    labeled(ledger, workshop)
    sampled = []
    real = responses.sample_candidates

    def counted(sampler, encoder, prompts, *args, **kwargs):
        sampled.append(len(prompts))
        return real(sampler, encoder, prompts, *args, **kwargs)

    monkeypatch.setattr(responses, "sample_candidates", counted)
    found = Responses(ledger, workshop.service(), PERSONA)
    with ledger.begin() as session:
        asked = list(session.scalars(select(Prompt).order_by(Prompt.id).limit(6)))
    settings = small_candidates()
    first = found.of(settings, asked[:4], STARTER, "twice", 2)
    again = found.of(settings, asked, STARTER, "twice", 2)
    assert sampled == [4, 2]
    assert [[c.id for c in several] for several in again[:4]] == [
        [c.id for c in several] for several in first
    ]
    found.of(replace(settings, temperature=0.3), asked, STARTER, "twice", 2)
    assert sampled == [4, 2, 6], "samples at another temperature are other samples"


def test_candidates_can_be_made_again_from_their_seed(ledger, workshop):
    from training.candidates import sample_candidates
    from training.datums import Encoder
    from training.personas import load_personas

    labeled(ledger, workshop)
    service = workshop.service()
    with ledger.begin() as session:
        one = session.scalars(select(Candidate).order_by(Candidate.id.desc()).limit(1)).one()
        messages, seed, text = one.prompt.messages, one.seed, one.text
    import tinker

    encoder = Encoder(service, load_personas()[PERSONA])
    params = tinker.SamplingParams(max_tokens=10, temperature=1.0, seed=seed)
    tokens = tinker.ModelInput.from_ints(list(encoder.prompt(messages)))
    path = f"tinker://adapter-{PERSONA}/weights/{STARTER}"
    answer = service.sampler(path).sample(tokens, 1, params).result()
    assert encoder.read(answer.sequences[0].tokens) == text
    assert sample_candidates is not None


def test_a_retraining_ends_in_a_blind_comparison_and_the_gate_decides(ledger, workshop):
    labeled(ledger, workshop)
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    worker = worker_of(ledger, workshop)
    done = worker.step()
    assert done is not None and done.outcome == "done", done
    assert "decide on it" in done.message
    assert state_of(ledger) is RoundState.BLIND
    with ledger.begin() as session:
        blind = list(session.scalars(select(Candidate).where(Candidate.adapter_id != STARTER)))
        assert blind and all(one.sampling["temperature"] == 0.5 for one in blind)
    worker.decide()
    assert state_of(ledger) is RoundState.BLIND, "the gate must not peek"
    with ledger.begin() as session:
        current = session.scalars(select(Round)).one()
        with pytest.raises(GateRefused, match="still missing"):
            decide_round(session, current.id, actor="somebody")
    judge_all(ledger, annotators(8, judge=longer))
    worker.decide()
    assert state_of(ledger) in (RoundState.PROMOTED, RoundState.REJECTED)
    with ledger.begin() as session:
        current = session.scalars(select(Round)).one()
        answers = adapters.incumbent(session, PERSONA).id
        promoted = current.state is RoundState.PROMOTED
        assert answers == (current.challenger_id if promoted else STARTER)
        assert "SIMULATED" in current.decision["words"]
        told = lineage.tree(session, current.challenger_id)
        assert told["parents"][0]["id"] == STARTER
        assert told["snapshot"]["judgments"] == 24
        if promoted:
            adapters.rollback(session, PERSONA, actor="test")
            assert adapters.incumbent(session, PERSONA).id == STARTER


def test_a_worker_lives_on_when_every_blind_verdict_is_both_bad(ledger, workshop):
    labeled(ledger, workshop)
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    worker = worker_of(ledger, workshop)
    assert worker.step().outcome == "done"
    judge_all(ledger, annotators(3, judge=lambda m, p, a, b: "both_bad", name="simulated-strict"))
    assert worker.work(once=True) == 0
    assert state_of(ledger) is RoundState.REJECTED
    with ledger.begin() as session:
        assert adapters.incumbent(session, PERSONA).id == STARTER


STAGES = [
    [
        "training.retraining:snapshots.take",
        "training.dpo:_reference_logprobs",
        "training.dpo_run:train_dpo",
        "training.dpo_run:export_adapter",
        "training.retraining:adapters.put_adapter",
        "training.responses:put_candidate",
        "training.batches:batches.open_batch",
        "training.jobs:jobs.finish",
    ],
    ["training.retraining:train_adapter"],  # found done once it is exported
]


@pytest.mark.slow
@pytest.mark.parametrize("stages", STAGES, ids=["each", "trained"])
def test_workers_killed_at_every_stage_leave_the_next_one_the_same_outcome(
    ledger, workshop, monkeypatch, stages
):
    labeled(ledger, workshop)
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    for stage in stages:
        module_name, _, path = stage.partition(":")
        holder = importlib.import_module(module_name)
        *outer, name = path.split(".")
        for part in outer:
            holder = getattr(holder, part)
        real = getattr(holder, name)

        def once_then_dead(*args, real=real, stage=stage, **kwargs):
            real(*args, **kwargs)
            raise Killed(stage)

        with monkeypatch.context() as patched:
            patched.setattr(holder, name, once_then_dead)
            with pytest.raises(Killed, match=stage):
                worker_of(ledger, workshop).step()
        assert worker_of(ledger, workshop).step() is None, "the lease still holds"
        expire(ledger)
    done = worker_of(ledger, workshop).step()
    assert done is not None and done.outcome == "done", done
    assert state_of(ledger) is RoundState.BLIND
    assert count(ledger, Run) == 1
    assert count(ledger, Adapter) == 2
    assert count(ledger, Batch, Batch.kind == BatchKind.BLIND) == 1
    folders = [p for p in (workshop.outputs / "lora" / PERSONA).iterdir() if p.name[0] == "."]
    assert folders == [], "nothing half written is left"


def test_too_few_pairs_end_the_job_with_the_number_wanted(ledger, workshop):
    panel = annotators(8, judge=lambda m, p, a, b: "tie")
    labeled(ledger, workshop, panel)
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    done = worker_of(ledger, workshop).step()
    assert done is not None and done.outcome == "failed"
    assert "only 0 usable pairs; at least 8 wanted" in done.message and "24 ties" in done.message
    assert state_of(ledger) is RoundState.LABELING, "people can go on judging"
    assert count(ledger, Adapter) == 1


def test_the_run_counts_what_the_snapshot_has_not_under_its_reason(ledger, workshop):
    import json

    from db import labeling, people

    ask(ledger, JobKind.GENERATE)
    worker = worker_of(ledger, workshop)
    assert worker.step().outcome == "done"
    with ledger.begin() as session:
        person = people.put_annotator(session, "Ada").id
        skipped = labeling.claim(session, person)
        labeling.skip(session, skipped.token, person)
        first = labeling.claim(session, person)
        labeling.judge(session, first.token, person, "a", min_dwell=False)
        labeling.undo(session, person)
        again = labeling.claim(session, person)
        labeling.judge(session, again.token, person, "b", min_dwell=False)
    judge_all(ledger, annotators(8, judge=longer))
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    done = worker.step()
    assert done.outcome == "done", done
    assert "SIMULATED: 23 judgments that it learned from were made by no person" in done.message
    with ledger.begin() as session:
        run = session.scalars(select(Run)).one()
        metrics = session.scalars(select(Adapter).where(Adapter.kind == "dpo")).one().metrics
    folder = workshop.outputs.joinpath(*run.folder.split("/")[-2:])
    report = json.loads((folder / "pairs.json").read_text())
    assert report["not_in_snapshot"] == {"revised or undone": 1, "skipped": 1}
    assert report["simulated_judgments"] == metrics["simulated_judgments"] == 23
    assert report["judgments"] == 24
    dropped = sum(report["dropped_judgments"].values())
    assert report["trained_judgments"] + report["heldout_judgments"] + dropped == 24


def judged_by_a_person_and_others(ledger, workshop):
    """24 standing judgments, one of them by a person."""
    from db import labeling, people

    ask(ledger, JobKind.GENERATE)
    assert worker_of(ledger, workshop).step().outcome == "done"
    with ledger.begin() as session:
        person = people.put_annotator(session, "Ada").id
        shown = labeling.claim(session, person)
        labeling.judge(session, shown.token, person, "a", min_dwell=False)
    assert judge_all(ledger, annotators(8, judge=longer)) == 23


def test_simulated_judgments_that_are_not_asked_for_are_counted_as_left_out(ledger, workshop):
    from db import snapshots
    from training.rounds import left_out

    judged_by_a_person_and_others(ledger, workshop)
    with ledger.begin() as session:
        taken = snapshots.take(session, PERSONA)
        assert left_out(session, taken, utcnow()) == {"by no person": 23}
        assert left_out(session, taken, utcnow() - timedelta(days=1)) == {}


def test_what_any_ancestor_was_trained_on_is_not_new_again(ledger, workshop):
    from db import snapshots
    from training.rounds import trained_judgments

    judged_by_a_person_and_others(ledger, workshop)
    with ledger.begin() as session:
        parent = STARTER
        for name, simulated in (("with-all", True), ("with-people", False)):
            taken = snapshots.take(session, PERSONA, include_simulated=simulated)
            run = Run(kind=JobKind.RETRAIN, persona_slug=PERSONA, snapshot_id=taken.id)
            session.add(run)
            session.flush()
            adapters.put_adapter(
                session, id=name, kind="dpo", persona=PERSONA, run_id=run.id,
                parents=[{"id": parent}],
            )  # fmt: skip
            parent = name
        blend = adapters.put_adapter(
            session, id="blend", kind="fused", persona=PERSONA,
            parents=[{"id": parent}, {"id": "of another ledger"}],
        )  # fmt: skip
        assert len(trained_judgments(session, blend)) == 24
        assert trained_judgments(session, adapters.adapter(session, STARTER)) == set()


def test_simulated_judgments_train_nothing_unless_asked(ledger, workshop):
    labeled(ledger, workshop)
    ask(ledger, JobKind.RETRAIN)
    done = worker_of(ledger, workshop).step()
    assert done is not None and done.outcome == "failed"
    assert "no standing judgment" in done.message and "simulated" in done.message


def test_a_second_retraining_waits_for_the_blind_decision(ledger, workshop):
    labeled(ledger, workshop)
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    assert worker_of(ledger, workshop).step().outcome == "done"
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    done = worker_of(ledger, workshop).step()
    assert done.outcome == "failed" and "0 of 1" in done.message
    assert state_of(ledger) is RoundState.BLIND
    with ledger.begin() as session, pytest.raises(Refused):
        jobs.enqueue(session, JobKind.RETRAIN)


def test_a_cancelled_job_stops_at_its_next_sign_of_life(ledger, workshop):
    labeled(ledger, workshop)
    job_id = ask(ledger, JobKind.RETRAIN, include_simulated=True)
    worker = worker_of(ledger, workshop)
    real = worker.connect

    def connect_and_cancel():
        with ledger.begin() as session:
            jobs.cancel(session, job_id)
        return real()

    worker.connect = connect_and_cancel
    done = worker.step()
    assert done.outcome == "cancelled"
    assert state_of(ledger) is RoundState.LABELING


def test_a_worker_that_is_told_to_stop_gives_its_job_back_at_once(ledger, workshop):
    labeled(ledger, workshop)
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    worker = worker_of(ledger, workshop)
    worker.stop.set()
    assert worker.step().outcome == "left"
    assert worker_of(ledger, workshop).step().outcome == "done"


def test_leases_of_dead_processes_are_freed_and_living_ones_kept(ledger):
    import os
    import socket
    import subprocess

    gone = subprocess.Popen(["true"])
    gone.wait()
    with ledger.begin() as session:
        for pid in (gone.pid, os.getpid()):
            jobs.enqueue(session, JobKind.GENERATE, persona=PERSONA)
            jobs.claim_job(session, f"{socket.gethostname()}:{pid}")
    with ledger.begin() as session:
        assert free_the_dead(session) == 1
        claimed = jobs.claim_job(session, "next")
        assert claimed is not None and claimed.attempts == 2
        assert jobs.claim_job(session, "next") is None


def test_a_busy_database_does_not_fail_the_job_that_says_how_far_it_is(ledger, monkeypatch):
    from db.errors import Busy
    from training import lease as leases

    job_id = ask(ledger, JobKind.GENERATE)
    with ledger.begin() as session:
        jobs.claim_job(session, "me")

    def busy(*args, **kwargs):
        raise Busy("the database is busy")

    with Lease(ledger, job_id, "me", threading.Event()) as lease:
        with monkeypatch.context() as patched:
            patched.setattr(leases.jobs, "beat", busy)
            lease.progress("working", 0.5)
        lease.progress("another stage", 0.6)
    with ledger.begin() as session:
        assert jobs.job(session, job_id).stage == "another stage"


def test_a_worker_that_lost_its_job_leaves_the_run_of_the_next_one_alone(
    ledger, workshop, monkeypatch
):
    labeled(ledger, workshop)
    job_id = ask(ledger, JobKind.RETRAIN, include_simulated=True)
    from training import retraining

    def taken_over_meanwhile(*args, **kwargs):
        expire(ledger)
        with ledger.begin() as session:
            assert jobs.claim_job(session, "another worker").id == job_id
        raise ValueError("something broke in the worker that was left behind")

    monkeypatch.setattr(retraining, "train_adapter", taken_over_meanwhile)
    done = worker_of(ledger, workshop).step()
    assert done.outcome == "left" and "another worker" in done.message
    assert state_of(ledger) is RoundState.TRAINING
    assert count(ledger, Run, Run.state == JobState.RUNNING) == 1


def test_a_lost_lease_stops_the_job(ledger):
    job_id = ask(ledger, JobKind.GENERATE)
    with ledger.begin() as session:
        jobs.claim_job(session, "me")
    with Lease(ledger, job_id, "me", threading.Event()) as lease:
        lease.progress("working", 0.5)
        with ledger.begin() as session:
            jobs.cancel(session, job_id)
        with pytest.raises(JobCancelled):
            lease.progress("another stage", 0.6)
        with pytest.raises(JobCancelled):
            lease.check()


def test_an_operator_who_changes_what_answers_is_not_overruled(ledger, workshop):
    labeled(ledger, workshop)
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    worker = worker_of(ledger, workshop)
    assert worker.step().outcome == "done"
    with ledger.begin() as session:
        current = session.scalars(select(Round)).one()
        round_id, challenger = current.id, current.challenger_id
        adapters.put_adapter(session, id="other", kind="sft", persona=PERSONA)
        adapters.promote(session, PERSONA, "other", reason="hotfix", actor="operator")
    judge_all(ledger, annotators(8, judge=lambda m, p, a, b: "both_bad"))
    worker.decide()
    assert challenger and state_of(ledger) is RoundState.REJECTED
    with ledger.begin() as session:
        assert adapters.incumbent(session, PERSONA).id == "other"
        decision = session.get_one(Round, round_id).decision
        assert "operator changed" in decision["words"] and "hotfix" in decision["words"]


def test_unjudged_pairs_are_labeled_once_kept_and_reported(ledger, workshop):
    import json

    labeled(ledger, workshop)
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    worker = worker_of(ledger, workshop, unjudged=1.0, taste_accuracy=0.5, taste_sure=0.5)
    done = worker.step()
    assert done is not None and done.outcome == "done", done
    with ledger.begin() as session:
        run = session.scalars(select(Run)).one()
        folder = workshop.outputs.joinpath(*run.folder.split("/")[-2:])
        metrics = session.scalars(select(Adapter).where(Adapter.kind == "dpo")).one().metrics
    report = json.loads((folder / "pairs.json").read_text())
    kept = json.loads((folder / "unjudged.json").read_text())
    assert report["unjudged"] == len(kept["pairs"]) == metrics["unjudged"]
    assert "why" in report["taste"] or report["taste"]["likes"]
    unjudged = [pair for pair in report["pairs"] if not pair["judgments"]]
    assert len(unjudged) == report["unjudged"]


def test_a_run_keeps_its_snapshot_and_refuses_one_that_was_altered(ledger, workshop, monkeypatch):
    import hashlib

    from db.models import Snapshot
    from training import dpo_run

    labeled(ledger, workshop)
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    with monkeypatch.context() as patched:

        def killed(*args, **kwargs):
            raise Killed

        patched.setattr(dpo_run, "train_dpo", killed)
        with pytest.raises(Killed):
            worker_of(ledger, workshop).step()
    with ledger.begin() as session:
        run = session.scalars(select(Run)).one()
        path = workshop.outputs.joinpath(*run.folder.split("/")[1:]) / "snapshot.jsonl"
        sha256 = session.scalars(select(Snapshot.sha256)).one()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"{}\n")
    expire(ledger)
    done = worker_of(ledger, workshop).step()
    assert done.outcome == "failed" and "snapshot.jsonl is not snapshot 1" in done.message
    assert count(ledger, Adapter) == 1 and state_of(ledger) is RoundState.LABELING


def test_a_gate_that_cannot_tell_asks_for_more_pairs_until_the_most(ledger, workshop):
    labeled(ledger, workshop)
    ask(ledger, JobKind.RETRAIN, include_simulated=True)
    worker = worker_of(ledger, workshop)
    worker.gate = GateConfig(
        count_simulated=True,
        fewest_judgments=5,
        most_judgments=24,
        least_more=8,
        least_chance=0.0,
    )
    assert worker.step().outcome == "done"
    asked = []
    for _ in range(6):
        judge_all(ledger, annotators(3, judge=lambda m, p, a, b: "tie"))
        worker.decide()
        if state_of(ledger) is not RoundState.BLIND:
            break
        done = worker.step()
        assert done is not None and done.outcome == "done", done
        asked.append(done.message)
    assert state_of(ledger) is RoundState.REJECTED
    assert asked and "more blind comparisons of" in asked[0]
    with ledger.begin() as session:
        current = session.scalars(select(Round)).one()
        pairs = session.scalars(
            select(Comparison).where(Comparison.batch_id == current.blind_batch_id)
        ).all()
        asked_about = {
            (one.prompt_id, frozenset((one.candidate_a.text, one.candidate_b.text)))
            for one in pairs
        }
        assert len(asked_about) == len(pairs), "no pair is asked twice"
        assert {one.prompt.split for one in pairs} == {"heldout"}
        told = current.decision
        shown = sum(one.overlap for one in pairs)  # what names itself is set aside and replaced
        assert told["because"] == "most" and told["ties"] == shown == 24 and told["looks"] >= 2
        assert adapters.incumbent(session, PERSONA).id == STARTER
