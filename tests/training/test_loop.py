"""The loop in miniature on the tiny model: rounds, report, going on after a kill."""

import json

import pytest
from workbench import PERSONA, STARTER, small_candidates, small_dpo

from training.evaluation.judges import annotators
from training.loop import Loop, LoopPlan
from training.loop_report import environment, table, write_report
from training.runs import RunFolder


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def shorter(messages, persona, a, b):
    return "a" if len(a) < len(b) else "b" if len(b) < len(a) else "tie"


def plan_of(**change) -> LoopPlan:
    plain = {
        "personas": (PERSONA,),
        "rounds": 2,
        "judgments": 24,
        "blind": 10,
        "annotators": 6,
        "judge": "",
        "seed": 1,
        "dpo": small_dpo(),
        "candidates": small_candidates(),
    }
    return LoopPlan(**{**plain, **change})


def loop_of(ledger, workshop, folder, judge=shorter, **change) -> Loop:
    plan = plan_of(**change)
    panel = annotators(plan.annotators, seed=plan.seed, judge=judge)
    return Loop(ledger, plan, panel, workshop.service, RunFolder(folder))


@pytest.mark.slow
def test_a_loop_plays_its_rounds_and_reports_them(ledger, workshop, tmp_path):
    loop = loop_of(ledger, workshop, tmp_path / "loop")
    rows = loop.run()
    assert [(row.persona, row.round, row.judgments) for row in rows] == [
        (PERSONA, 1, 24),
        (PERSONA, 2, 24),
    ]
    for row in rows:
        assert row.win_rate_vs_previous is not None and len(row.ci) == 2
        assert row.win_rate_vs_start is not None and len(row.ci_start) == 2
        assert row.start == STARTER and row.simulated and "SIMULATED" in row.decision
    about = environment(loop.plan, base_model="tiny", base_sha256="0" * 64, service="test")
    write_report(tmp_path / "report.json", rows, about)
    report = json.loads((tmp_path / "report.json").read_text())
    wanted = (
        "persona round judgments win_rate_vs_previous ci win_rate_vs_start ci_start "
        "heldout_accuracy promoted seconds"
    )
    assert set(wanted.split()) <= set(report["rounds"][0])
    assert report["environment"]["seed"] == 1 and report["environment"]["simulated"] is True
    printed = table(rows, loop.plan)
    assert printed.count("SIMULATED") == 2 and PERSONA in printed


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["judge", "retraining", "blind comparison"])
def test_a_killed_loop_goes_on_to_the_same_numbers(ledger, workshop, tmp_path, moment):
    loop = loop_of(ledger, workshop, tmp_path / "loop", rounds=1)

    def die(line):
        if moment in line:
            raise Killed(line)

    loop.say = die
    with pytest.raises(Killed):
        loop.run()
    rows = loop_of(ledger, workshop, tmp_path / "loop", rounds=1).run()
    assert [row.judgments for row in rows] == [24]
    assert loop_of(ledger, workshop, tmp_path / "loop", rounds=1).run() == rows


@pytest.mark.slow
def test_a_judge_that_only_ties_trains_nothing_and_says_why(ledger, workshop, tmp_path):
    loop = loop_of(ledger, workshop, tmp_path / "loop", judge=lambda m, p, a, b: "tie")
    rows = loop.run()
    assert [row.promoted for row in rows] == [False, False]
    assert all("only 0 usable pairs" in row.decision for row in rows)
    assert all(row.win_rate_vs_start is None for row in rows)
    assert "–" in table(rows, loop.plan)


@pytest.mark.slow
def test_judgments_by_people_that_a_loop_learns_from_are_said(ledger, workshop, tmp_path):
    from db import labeling, people

    loop = loop_of(ledger, workshop, tmp_path / "loop", rounds=1)
    loop._generate(PERSONA)
    with ledger.begin() as session:
        person = people.put_annotator(session, "Ada").id
        shown = labeling.claim(session, person)
        labeling.judge(session, shown.token, person, "a", min_dwell=False)
    rows = loop.run()
    assert [(row.judgments, row.by_people) for row in rows] == [(24, 1)]
    assert "round 1 also learned from 1 judgments by people" in table(rows, loop.plan)


def test_a_job_of_the_loop_may_be_run_by_a_worker_beside_it(ledger, workshop, tmp_path):
    from db import jobs
    from db.models import JobKind, JobState

    loop = loop_of(ledger, workshop, tmp_path / "loop")

    def somebody_else_does_it():
        with ledger.begin() as session:
            jobs.enqueue(session, JobKind.GENERATE, persona=PERSONA)
            job = jobs.claim_job(session, "another worker")
            jobs.finish(session, job.id, "another worker", message="made")
        return

    loop.worker.step = somebody_else_does_it
    ended = loop._ended(JobKind.GENERATE, PERSONA, {"comparisons": 24})
    assert (ended.state, ended.message) == (JobState.DONE, "made")


def test_a_killed_loop_is_gone_on_with_and_a_finished_or_other_one_set_aside(tmp_path, capsys):
    from training.loop_command import _begin_anew_where_needed

    def files():
        return sorted(path.name for path in tmp_path.iterdir() if path.is_file())

    def play(identity, fresh=False):
        _begin_anew_where_needed(tmp_path, identity, fresh)
        there = files()
        (tmp_path / "progress.json").write_text(identity)
        return there

    (tmp_path / "on-0123").mkdir()
    assert play("one") == ["plan.sha256"]
    assert play("one") == ["plan.sha256", "progress.json"]
    assert "going on with" in capsys.readouterr().err
    assert play("other") == ["plan.sha256"]
    assert play("other", fresh=True) == ["plan.sha256"]
    (tmp_path / "finished.json").write_text("{}")
    assert play("other") == ["plan.sha256"]
    assert len(list(tmp_path.glob("before-*"))) == 3
    assert (tmp_path / "on-0123").is_dir(), "loops on other ledgers are none of its business"
