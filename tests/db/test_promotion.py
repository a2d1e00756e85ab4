"""Deciding on the ledger: one change of what answers, people only, and every reason kept."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from filling import PERSONA, batch, crowd, persona
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from db import adapters, audit, jobs, labeling, rounds
from db.models import (
    Annotator,
    Batch,
    BatchState,
    Candidate,
    Comparison,
    Job,
    JobState,
    Judgment,
    Round,
    RoundState,
)
from training.deciding import decide_complete, decide_round, look
from training.errors import GateRefused
from training.evaluation.gate_config import GateConfig
from training.prescreening import prescreen
from training.round_commands import rounds as rounds_command

Make = sessionmaker[Session]
OLD, NEW = f"{PERSONA}-old", f"{PERSONA}-new"
QUICK = GateConfig(fewest_judgments=10, most_judgments=30)


def compared(make: Make, pairs: int = 12) -> int:
    """A round whose challenger `new` meets `old` in a blind batch; its id."""
    with make.begin() as session:
        persona(session)
        made = rounds.open_round(session, PERSONA, OLD)
        blind = batch(session, pairs=pairs, name="blind", kind="blind", priority=5)
        made.challenger_id, made.blind_batch_id, made.state = NEW, blind.id, RoundState.BLIND
        return made.id


def judge(
    make: Make, likes: str = "new", name: str = "Ada", kind: str = "human", most: int = 99, **more
) -> int:
    """Somebody judges what is open, by what the texts begin with; how many."""
    done = 0
    with make.begin() as session:
        (who,) = crowd(session, [name], kind)
        while done < most and (shown := labeling.claim(session, who)):
            verdict = "a" if shown.response_a.startswith(likes) else "b"
            labeling.judge(session, shown.token, who, verdict, min_dwell=False, **more)
            done += 1
    return done


def run(url: str, *arguments: str) -> Result:
    """``personaloop rounds`` on this ledger."""
    return CliRunner().invoke(rounds_command, [*arguments, "--database-url", url])


def decided(make: Make, config: GateConfig = QUICK) -> list[str]:
    return [
        one.because
        for _, one in decide_complete(make, actor="gate", next_comparisons=None, config=config)
    ]


def the_round(make: Make) -> Round:
    with make.begin() as session:
        return session.scalars(select(Round)).one()


def changes(make: Make) -> list[str]:
    with make.begin() as session:
        return [one.adapter_id for one in adapters.history(session, PERSONA)]


def test_two_deciders_at_once_make_one_change_of_what_answers(make: Make) -> None:
    round_id = compared(make)
    assert judge(make) == 12
    ready, found = threading.Barrier(4), []

    def decider(number: int) -> None:
        ready.wait()
        if number % 2:
            found.append(decided(make))
            return
        try:
            with make.begin() as session:
                decide_round(session, round_id, actor="Olga", config=QUICK)
            found.append(["by hand"])
        except GateRefused as error:
            assert "is promoted: playful_sidekick-new beat" in str(error)
            found.append([])

    threads = [threading.Thread(target=decider, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(map(len, found)) == 1 and len(found) == 4
    assert changes(make) == [NEW, OLD]
    current = the_round(make)
    assert current.state is RoundState.PROMOTED and current.decided_at is not None
    told = current.decision
    assert (told["wins"], told["losses"], told["wanted"], told["prompts"]) == (12, 0, 12, 12)
    assert told["ci_low"] > 0.5 and told["course"][-1]["low"] == told["ci_low"]
    assert told["versions"]["challenger_sha256"] == "new" * 10
    assert told["rule"]["fewest_judgments"] == 10 and told["looks"] == 1
    assert "All of it is Ada's view" in told["words"]
    with make.begin() as session:
        adapters.rollback(session, PERSONA, actor="Olga")
    assert changes(make) == [OLD, NEW, OLD], "what was is never rewritten"


@pytest.mark.parametrize("answers", ["other", NEW])
def test_a_change_under_the_comparison_ends_the_round_with_its_reason(
    make: Make, answers: str
) -> None:
    round_id = compared(make)
    judge(make)
    with make.begin() as session:
        adapters.put_adapter(session, id="other", kind="sft", persona=PERSONA)
        adapters.promote(session, PERSONA, answers, reason="hotfix", actor="Olga")
    assert decided(make) == ["operator" if answers == NEW else "incumbent changed"]
    assert changes(make) == [answers, OLD]
    current = the_round(make)
    assert current.state is (RoundState.PROMOTED if answers == NEW else RoundState.REJECTED)
    assert "Olga (hotfix)" in current.decision["words"]
    assert current.decision["promote"] is False and current.decision["wins"] == 12
    with make.begin() as session, pytest.raises(GateRefused, match="hotfix"):
        decide_round(session, round_id, actor="gate", config=QUICK)


def test_people_are_asked_again_where_only_others_judged(make: Make) -> None:
    compared(make, pairs=12)
    assert judge(make, name="robot", kind="simulated") == 12
    assert decided(make) == [], "twelve simulated wins promote nobody"
    current = the_round(make)
    assert current.state is RoundState.BLIND and changes(make) == [OLD]
    assert current.decision["judgments"] == 0 and current.decision["simulated"] == 12
    assert "only people decide" in current.decision["words"]
    asked = current.decision["asked"]
    assert asked["of_known_pairs"] == 12 and asked["judgments"] == 20
    with make.begin() as session:
        (job,) = jobs.jobs(session, persona=PERSONA)
        assert job.params == {"round": current.id, "total": 20}
        acts = audit.entries(session, audit.Asked(act="ask for more"))
        assert [one.detail["judgments"] for one in acts] == [20]
    assert judge(make, name="Ada") == 12
    assert decided(make) == [], "the eight more are still being written"
    with make.begin() as session:
        session.get_one(Job, job.id).state = JobState.DONE
    assert decided(make) == ["win"] and changes(make) == [NEW, OLD]


def test_what_cannot_be_asked_is_said_and_asked_once(make: Make, url: str) -> None:
    round_id = compared(make)
    judge(make, likes="new", most=7)
    judge(make, likes="old", name="Bob")
    assert decided(make) == []
    asked = the_round(make).decision["asked"]
    assert asked["of_known_pairs"] == 0 and asked["job"] is not None
    assert decided(make) == [] and the_round(make).decision["looks"] == 1, "nothing is new"
    with make.begin() as session:
        job = session.get_one(Job, asked["job"])
        job.state, job.message = JobState.FAILED, "the model service failed"
    for _ in range(3):
        assert decided(make) == []
    told = the_round(make).decision
    assert told["looks"] == 2
    assert "the model service failed; `personaloop rounds ask" in told["words"]
    assert run(url, "ask", PERSONA).exit_code == 0
    assert decided(make) == []
    again = run(url, "ask", PERSONA)
    assert isinstance(again.exception, GateRefused), "nothing failed any more"
    with make.begin() as session:
        assert len(jobs.jobs(session, persona=PERSONA)) == 2
        for each in jobs.jobs(session, persona=PERSONA):
            each.state = JobState.DONE
        current = session.get_one(Round, round_id)
        current.decision = {**current.decision, "exhausted": True, "seen": None}
    assert decided(make) == ["most"], "where no pair is left the incumbent stays"


def test_the_terminal_says_why(make: Make, url: str) -> None:
    assert "no rounds yet" in run(url, "list").output
    compared(make, pairs=14)
    assert "Nothing was decided" in run(url, "show", PERSONA).output
    judge(make, most=9)
    assert decided(make) == []
    waiting = run(url, "show", PERSONA).output
    assert "5 of 14 judgments are still missing" in waiting
    assert "9 won, 0 lost, 0 ties, 0 both bad; 9 count of 14 asked" in waiting
    assert "length: passed" in waiting and "held-out accuracy: not computed" in waiting
    refused = run(url, "show", PERSONA, "--round", "7")
    assert "has no round 7" in str(refused.exception)
    told = json.loads(run(url, "show", PERSONA, "--json").output)
    assert told["state"] == "blind" and told["outcome"] == "wait" and told["course"]
    done = run(url, "decide", PERSONA, "--reason", "launch on Monday")
    assert done.exit_code == 0 and "Decided early, on 9 of 14 judgments" in done.output
    assert "rejected" in run(url, "list").output and "[" in run(url, "list").output


def test_an_operator_who_decides_early_leaves_a_reason(make: Make) -> None:
    round_id = compared(make, pairs=30)
    judge(make, most=12)
    config = replace(QUICK, fewest_judgments=20)
    with make.begin() as session, pytest.raises(GateRefused, match="18 of 30 judgments are still"):
        decide_round(session, round_id, actor="Olga", config=config)
    with make.begin() as session:
        decision = decide_round(
            session, round_id, actor="Olga", config=config, early="launch on Monday"
        )
    assert decision.promote and changes(make) == [NEW, OLD]
    with make.begin() as session:
        (act,) = audit.entries(session, audit.Asked(act="decide"))
        assert act.actor == "Olga" and act.detail["early"] == "launch on Monday"
        assert session.scalars(select(Batch)).one().state is BatchState.CLOSED


def test_guards_are_measured_on_the_ledger_and_reject_a_winner(make: Make) -> None:
    round_id = compared(make)
    judge(make, safe="no", most=6)
    judge(make, safe="yes")
    with make.begin() as session:
        new = adapters.adapter(session, NEW)
        new.metrics = {"heldout_accuracy": 0.2, "heldout_pairs": 40, "kl_token": -0.1}
        for one in session.scalars(select(Candidate).where(Candidate.adapter_id == NEW)):
            one.text = one.text + " and more" * 9
        decision = look(session, round_id, actor="gate", config=QUICK)
    assert decision.outcome == "reject" and decision.because == "guard"
    assert decision.wins == 12 and changes(make) == [OLD]
    found = {one["name"]: one for one in the_round(make).decision["guards"]}
    assert found["held-out accuracy"]["verdict"] == "failed"
    assert found["length"]["verdict"] == "failed" and found["length"]["value"] > 2.5
    assert found["safety"]["reason"].startswith("6 of 12 of its preferred responses")
    assert found["KL to the reference"]["verdict"] == "passed"
    assert all(one["bound"] and one["reason"] for one in found.values())


JUDGE = """
def by(messages, persona, a, b):
    return "a" if a.startswith("{likes}") else "b"

def broken(messages, persona, a, b):
    raise RuntimeError("no network")
"""


def test_a_judge_goes_before_people_and_only_ever_stops(make: Make, tmp_path: Path) -> None:
    round_id = compared(make)
    (tmp_path / "taste.py").write_text(JUDGE.format(likes="old"))
    config = replace(QUICK, judge=f"{tmp_path / 'taste.py'}:by")
    assert decided(make, config) == []
    with make.begin() as session:
        (job,) = jobs.jobs(session, persona=PERSONA)
        assert job.params == {"round": round_id, "prescreen": True}
    assert judge(make) == 0, "people are not asked meanwhile"
    assert "AUTOMATIC" in prescreen(make, round_id, config)
    with make.begin() as session:
        session.get_one(Job, job.id).state = JobState.DONE
        kinds = session.scalars(select(Annotator.kind).join(Judgment)).all()
        assert len(kinds) == 12 and set(kinds) == {"automatic"}
        pairs = session.scalars(select(Comparison.batch_id)).all()
        assert len(set(pairs)) == 2, "its judgments are in a batch of their own"
    assert decided(make, config) == ["judge"]
    told = the_round(make).decision
    assert told["prescreen"]["kind"] == "automatic" and told["prescreen"]["verdict"] == "lost"
    assert (
        "AUTOMATIC pre-screen: judge-taste.by-01 found the challenger better in 0%"
        in (told["words"])
    )
    assert judge(make) == 0


def test_a_judge_that_likes_it_or_breaks_leaves_it_to_people(make: Make, tmp_path: Path) -> None:
    round_id = compared(make)
    (tmp_path / "taste.py").write_text(JUDGE.format(likes="new"))
    config = replace(QUICK, judge=f"{tmp_path / 'taste.py'}:by")
    decided(make, config)
    prescreen(make, round_id, config)
    with make.begin() as session:
        (job,) = jobs.jobs(session, persona=PERSONA)
        session.get_one(Job, job.id).state = JobState.DONE
    assert decided(make, config) == [] and changes(make) == [OLD], "a judge promotes nobody"
    assert the_round(make).decision["prescreen"]["verdict"] == "won"
    with make.begin() as session:
        current = session.get_one(Round, round_id)
        current.decision = {"prescreen_job": job.id}
        failed = session.get_one(Job, job.id)
        failed.state, failed.message = JobState.FAILED, "RuntimeError: no network"
    assert decided(make, config) == []
    assert "not made: RuntimeError: no network" in the_round(make).decision["words"]
    assert judge(make) == 12
    assert decided(make, config) == ["win"]
